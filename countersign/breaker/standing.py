"""From what is kept of a circuit, in Redis or here, to what is said of it."""

from collections.abc import Mapping
from dataclasses import fields
from datetime import UTC, datetime

from countersign.breaker.config import SECOND, Rules
from countersign.breaker.model import Circuit
from countersign.breaker.words import Standing, State

RESULTS = ("admitted", "refused", "success", "failure", "ignored", "throttled", "stalled")


def fields_of(circuit: Circuit) -> dict[str, str]:
    """A circuit as the script answers `standing`: its fields as texts, the window summed up."""
    sums = circuit.sums()
    answer = {
        field.name: str(getattr(circuit, field.name))
        for field in fields(Circuit)
        if field.name not in {"window", "leases", "transitions"}
    }
    answer |= {"calls": str(sums.calls), "failures": str(sums.failures), "slow": str(sums.slow)}
    answer["held"] = str(int(circuit.held))
    answer["in_flight"] = str(len(circuit.leases))
    answer["probes"] = str(sum(lease.probe for lease in circuit.leases.values()))
    return answer


def standing_of(name: str, answer: Mapping[str, str], rules: Rules, now: float, *, degraded: bool = False) -> Standing:
    """`answer` in words. `now` is the wall clock in seconds; the circuit's own clock says how long ago things were."""
    state, seen = State(answer["state"]), int(answer["seen"])

    def at(field: str) -> datetime | None:
        moment = int(answer[field])
        return datetime.fromtimestamp(now - (seen - moment) / SECOND, UTC) if moment else None

    until, retry_at = int(answer["until"]), int(answer["retry_at"])
    by_hand = answer["held"] == "1"
    probe_in_s = None
    if state is State.OPEN and not (by_hand and until == 0):
        probe_in_s = max(0, max(until, retry_at) - seen) / SECOND
    return Standing(
        name=name,
        state=state,
        since=datetime.fromtimestamp(now - (seen - int(answer["since"])) / SECOND, UTC),
        calls=int(answer["calls"]),
        failures=int(answer["failures"]),
        slow=int(answer["slow"]),
        limit=int(float(answer["limit"])),
        in_flight=int(answer["in_flight"]),
        probes=int(answer["probes"]),
        probe_quota=rules.probes,
        probe_in_s=probe_in_s,
        paused_s=max(0, retry_at - seen) / SECOND,
        by_hand=by_hand,
        opened_at=at("opened_at"),
        opened_by=answer["opened_by"],
        opened_why=answer["opened_why"],
        reset_at=at("reset_at"),
        reset_by=answer["reset_by"],
        reset_why=answer["reset_why"],
        openings=int(answer["level"]),
        transitions={
            State.CLOSED: int(answer["to_closed"]),
            State.OPEN: int(answer["to_open"]),
            State.HALF_OPEN: int(answer["to_half_open"]),
        },
        results={result: int(answer[result]) for result in RESULTS},
        degraded=degraded,
    )
