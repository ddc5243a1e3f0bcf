"""Circuits: who may call a model or a tool now, shared by all processes through Redis. One atomic question each.

Redis away is an ordinary state: for as long, this process keeps circuits of its own by the same rules (`model.py`), and
says so. What Redis lost is learned again. Keys carry circuits' names and random tokens and share one hash tag, so that
a cluster keeps them together.
"""

import asyncio
import logging
import random
import secrets
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import inf
from pathlib import Path
from typing import TYPE_CHECKING, Any

from countersign.breaker.config import SECOND, Overrides, Rules, check_name, config_of
from countersign.breaker.model import RESET, Admission, Circuit
from countersign.breaker.standing import fields_of, standing_of
from countersign.breaker.words import Kind, Permit, Result, Standing, State, Transition
from countersign.errors import CircuitOpen, InvalidRequest, ServiceUnavailable, Throttled
from countersign.store.script import SharedScript

if TYPE_CHECKING:
    from redis.asyncio import Redis

_log = logging.getLogger(__name__)

SCRIPT = Path(__file__).with_name("circuit.lua")
PREFIX = "{countersign}:circuit"
KNOWN = f"{PREFIX}s"
"""The set of all circuits' names."""
ALONE = "alone-"
"""Beginning of the token of a permit that this process gave by itself."""
BEAT_S = 5.0
"""A permit's beats reach Redis no more often than this, nor than four times in `stall_s`."""
LONGEST = 30 * 24 * 3600 * SECOND
"""Times given from outside count as no longer than this, in microseconds."""
LONGEST_REASON = 200
PAID_AT_ONCE = 16
"""Reports that Redis missed are told again, as many after each question that it answers."""
MOST_OWED = 10_000


@dataclass(frozen=True)
class Owed:
    """A report that may not have reached Redis; after `due` (event loop's time) the lease has run out anyway."""

    name: str
    special: tuple[str | int, ...]
    due: float


class Circuits:
    """The circuits of models and tools. Safe to use from concurrent tasks of one event loop.

    Only `open` and `reset` raise when Redis is away. `redis` must not decode its responses; `close` closes it.
    `overrides` changes rules by circuit (`config_of`). `clock` gives the time in microseconds; without one the server's
    holds, which all processes share. `chance` gives a number in [0, 1) for everything that is spread out.
    """

    def __init__(
        self,
        redis: "Redis",
        overrides: Overrides | None = None,
        clock: Callable[[], int] | None = None,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._script = SharedScript(
            redis,
            SCRIPT,
            _log,
            away="circuits go on in this process, which sees its own calls alone",
            back="circuits are shared again",
        )
        self._overrides = overrides or {}
        self._clock = clock
        self._chance = chance
        self._rules: dict[str, Rules] = {}
        self._alone: dict[str, Circuit] = {}
        self._held: dict[str, float] = {}
        """Circuits that were open by hand when Redis last said so, until when (event loop's time)."""
        self._beats: dict[str, float] = {}
        """When the beat of a permit is worth telling again."""
        self._purge_at = 1000
        self._owed: dict[str, Owed] = {}

    @property
    def degraded(self) -> bool:
        """Whether this process keeps circuits of its own, because Redis did not answer."""
        return self._script.away

    async def close(self) -> None:
        """Close the connections."""
        await self._script.close()

    # --- calls ---

    async def admit(self, name: str) -> Permit:
        """Leave to make one call; whoever gets it says `done`, and `beat` meanwhile, or the call counts as stalled.

        Raises:
            CircuitOpen: the provider fails; `retry_after_s` is the time until a probe may be had, a little spread.
            Throttled: too many calls are in flight, or the provider asked for a pause; `retry_after_s` says how long.
            InvalidRequest: `name` is no circuit's.
        """
        rules = self._rules_of(name)
        token = secrets.token_hex(8)
        admission = await self._admitted(name, token)
        if admission is None:
            token = ALONE + token
            circuit = self._own(name)
            admission = circuit.admit(self._now(), self._chance(), rules, token)
            _tell(name, circuit.transitions)
        wait_s = admission.wait / SECOND
        if admission.refused == "open":
            raise CircuitOpen(
                f"circuit {name}: is open; ask again in {wait_s:.0f} s",
                remedy="`countersign circuits` says since when and why",
                retry_after_s=wait_s,
            )
        if admission.refused:
            raise Throttled(
                f"circuit {name}: lets no more calls through at once; ask again in {wait_s:.0f} s",
                remedy="`countersign circuits` shows its limit",
                retry_after_s=wait_s,
            )
        now = asyncio.get_running_loop().time()
        self._remember(token, now, rules)
        return Permit(name=name, token=token, probe=admission.probe, began=time.monotonic())

    async def beat(self, permit: Permit) -> None:
        """The call makes progress: it may be silent for `stall_s` again. Costs nothing when called for every token."""
        due = self._beats.get(permit.token)
        now = asyncio.get_running_loop().time()
        if due is None or now < due:
            return
        rules = self._rules_of(permit.name)
        self._beats[permit.token] = now + _beat_every(rules)
        if permit.token.startswith(ALONE):
            circuit = self._own(permit.name)
            circuit.beat(self._now(), self._chance(), rules, permit.token)
            _tell(permit.name, circuit.transitions)
        else:
            await self._ask("beat", permit.name, permit.token)

    async def done(self, permit: Permit, result: Result) -> None:
        """The call has ended. Only the first report counts, and none after the call counted as stalled.

        A report that does not reach Redis is told again once it answers.
        """
        self._beats.pop(permit.token, None)
        kind, taken, retry_after = result.kind, _micros(result.seconds), _micros(result.retry_after_s or 0.0)
        if permit.token.startswith(ALONE):
            circuit = self._own(permit.name)
            rules = self._rules_of(permit.name)
            circuit.done(self._now(), self._chance(), rules, permit.token, kind, taken, retry_after)
            _tell(permit.name, circuit.transitions)
            return
        await self._report(permit.name, permit.token, (permit.token, kind.value, taken, retry_after))

    # --- people ---

    async def open(self, name: str, *, reason: str, by: str, for_s: float | None = None) -> None:
        """Let no call through from now on, for `for_s` seconds or until `reset`; then probes decide as ever.

        `by` is a pseudonym and `reason` has no names in it: both are kept and shown.

        Raises:
            InvalidRequest: `name` is no circuit's, `reason` or `by` is empty or too long, `for_s` is out of range.
            ServiceUnavailable: Redis does not answer.
        """
        if for_s is not None and not 0 < for_s * SECOND <= LONGEST:
            raise InvalidRequest("for_s: is not within 0 and 30 days", remedy="Leave it out to open until a reset")
        duration = 0 if for_s is None else max(1, _micros(for_s))
        await self._by_hand("open", name, by, reason, duration)

    async def reset(self, name: str, *, reason: str, by: str) -> None:
        """Close the circuit and forget what it learned; calls in flight stay in flight. Raises as `open` does."""
        await self._by_hand("reset", name, by, reason)

    async def look(self, name: str) -> Standing | None:
        """Where one shared circuit stands; None while it is unknown, or Redis is away. Takes no call's place."""
        answer = await self._ask("standing", name)
        return standing_of(name, _pairs(answer), self._rules_of(name), time.time()) if answer else None

    async def standing(self) -> tuple[Standing, ...]:
        """Every known circuit by name; while Redis is away, those that this process keeps."""
        names = await self._script.run((KNOWN,), ("names",))
        if names is not None:
            known = sorted(name.decode() for name in names)
            answers = await asyncio.gather(*(self._ask("standing", name) for name in known))
            now = time.time()
            shared = [
                standing_of(name, _pairs(answer), self._rules_of(name), now)
                for name, answer in zip(known, answers, strict=True)
                if answer
            ]
            if None not in answers:
                return tuple(shared)
        alone = []
        for name, circuit in sorted(self._alone.items()):
            rules = self._rules_of(name)
            circuit.look(self._now(), self._chance(), rules)
            _tell(name, circuit.transitions)
            alone.append(standing_of(name, fields_of(circuit), rules, time.time(), degraded=True))
        return tuple(alone)

    # --- Redis, or not ---

    def _now(self) -> int:
        return time.time_ns() // 1000 if self._clock is None else self._clock()

    def _rules_of(self, name: str) -> Rules:
        rules = self._rules.get(name)
        if rules is None:
            rules = self._rules[name] = Rules.of(config_of(check_name(name), self._overrides))
        return rules

    def _own(self, name: str) -> Circuit:
        """This process's own circuit, which begins as what a person made of the shared one."""
        circuit = self._alone.get(name)
        if circuit is None:
            circuit = self._alone[name] = Circuit.new(self._now())
        left_s = self._held.pop(name, 0.0) - asyncio.get_running_loop().time()
        if left_s > 0:
            duration = 0 if left_s == inf else max(1, _micros(left_s))
            why = "was open by hand when Redis went"
            circuit.open(self._now(), self._chance(), self._rules_of(name), "unknown", why, duration)
        return circuit

    async def _admitted(self, name: str, token: str) -> Admission | None:
        """What Redis answers; None while it is away."""
        asks = self._script.asks
        unused = Owed(name, (token, Kind.IGNORED.value, 0, 0), self._due(name))
        try:
            answer = await self._ask("admit", name, token)
        except asyncio.CancelledError:
            # Nobody will make this call, which may have been let through.
            self._owe(token, unused)
            raise
        if answer is None:
            if asks:
                self._owe(token, unused)
            return None
        refused, probe, wait, held, held_for = answer
        loop = asyncio.get_running_loop()
        if held:
            if name not in self._held:
                _log.warning("circuit %s: a person opened it", name)
            self._held[name] = loop.time() + int(held_for) / SECOND if int(held_for) else inf
        else:
            if self._held.pop(name, None) is not None:
                _log.warning("circuit %s: is not held open by a person any more", name)
            if name in self._alone and self._alone[name].held:
                del self._alone[name]
        return Admission(refused=refused.decode(), probe=bool(probe), wait=int(wait))

    async def _report(self, name: str, token: str, special: tuple[str | int, ...]) -> None:
        owed = Owed(name, special, self._due(name))
        try:
            answer = await self._ask("done", name, *special)
        except asyncio.CancelledError:
            self._owe(token, owed)
            raise
        if answer is None:
            self._owe(token, owed)

    async def _by_hand(self, question: str, name: str, by: str, reason: str, *special: int) -> None:
        check_name(name)
        for field, text in (("by", by), ("reason", reason)):
            if not text.strip() or len(text) > LONGEST_REASON:
                raise InvalidRequest(
                    f"{field}: is empty or longer than {LONGEST_REASON} characters",
                    remedy="Who opens or resets a circuit says why, for the record",
                )
        if await self._ask(question, name, by.strip(), reason.strip(), *special) is None:
            raise ServiceUnavailable(
                f"Redis does not answer: it is not known whether the circuit {name} was changed",
                remedy="Circuits are shared through Redis; look with `countersign circuits` once it answers",
            )

    async def _ask(self, question: str, name: str, *special: str | int) -> Sequence[Any] | None:
        """The script's answer; None while Redis is away. What it missed is told afterwards."""
        answer = await self._asked(question, name, special)
        for _ in range(PAID_AT_ONCE):
            if answer is None or not self._owed:
                break
            token, owed = self._owed.popitem()
            if owed.due > asyncio.get_running_loop().time():
                await self._report_again(token, owed)
        return answer

    async def _report_again(self, token: str, owed: Owed) -> None:
        paid = False
        try:
            paid = await self._asked("done", owed.name, owed.special) is not None
        finally:
            if not paid:
                self._owe(token, owed)

    async def _asked(self, question: str, name: str, special: tuple[str | int, ...]) -> Sequence[Any] | None:
        key = f"{PREFIX}:{name}"
        keys = (KNOWN, key, f"{key}:ends", f"{key}:calls")
        now = "" if self._clock is None else self._clock()
        args = (question, now, repr(self._chance()), name, *self._rules_of(name).arguments(), *special)
        reply = await self._script.run(keys, args)
        if reply is None:
            return None
        answer, changes = reply
        words = [word.decode() for word in changes]
        _tell(
            name,
            [Transition(State(words[at]), State(words[at + 1]), words[at + 2]) for at in range(0, len(words), 3)],
        )
        return list(answer)

    def _due(self, name: str) -> float:
        return asyncio.get_running_loop().time() + self._rules_of(name).stall / SECOND

    def _owe(self, token: str, owed: Owed) -> None:
        if len(self._owed) < MOST_OWED:
            self._owed.setdefault(token, owed)

    def _remember(self, token: str, now: float, rules: Rules) -> None:
        """Note when the first beat is worth telling; forget calls that nobody ended."""
        if len(self._beats) >= self._purge_at:
            self._beats = {known: due for known, due in self._beats.items() if due + rules.stall / SECOND > now}
            self._purge_at = max(1000, 2 * len(self._beats))
        self._beats[token] = now + _beat_every(rules)


def _beat_every(rules: Rules) -> float:
    return min(BEAT_S, rules.stall / SECOND / 4)


def _micros(seconds: float) -> int:
    """Seconds from outside as microseconds; what makes no sense (negative, no number) as 0."""
    return round(min(max(0.0, seconds) * SECOND, LONGEST))


def _pairs(flat: Sequence[bytes]) -> dict[str, str]:
    return {name.decode(): value.decode() for name, value in zip(flat[::2], flat[1::2], strict=True)}


def _tell(name: str, transitions: Sequence[Transition]) -> None:
    for change in transitions:
        # What a person does is said wherever it is done, which is a command line that prints warnings alone.
        loud = change.after is State.OPEN or change.why == RESET
        level = logging.WARNING if loud else logging.INFO
        _log.log(level, "circuit %s: %s -> %s (%s)", name, change.before, change.after, change.why)
