"""Shadow runs as rows for people."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from countersign.store.shadow import RunRow
from starters.console.views.words import count, human, visible

OPEN = "open"
"""What the store calls a case that has neither a pair nor a failure yet."""


@dataclass(frozen=True)
class RunView:
    """One run. `done` of `cases` have ended; `state` says how, `agreement` and `kappa` are "" until they are known."""

    run_id: str
    at: datetime
    source: str
    playbook: str
    model: str
    cases: int
    done: int
    state: str
    going: bool
    agreement: str
    kappa: str
    clauses: str


def runs_of(rows: Sequence[RunRow]) -> tuple[RunView, ...]:
    """Runs in the order given."""
    return tuple(_view(row) for row in rows)


def _view(row: RunRow) -> RunView:
    left = row.failures.get(OPEN, 0)
    lost = {why: number for why, number in row.failures.items() if why != OPEN}
    told = [f"{row.pairs:,} of {row.cases:,} compared"]
    told += [f"{number:,} {human(why)}" for why, number in lost.items()]
    if left:
        told.append(f"{left:,} to come")
    figures = row.figures if row.figures and row.figures.pairs == row.pairs else None
    return RunView(
        run_id=row.run_id,
        at=row.created_at,
        source=visible(str(row.facts.get("source", ""))),
        playbook=str(row.facts.get("playbook", "")),
        model=visible(str(row.facts.get("model", ""))),
        cases=row.cases,
        done=row.cases - left,
        state=", ".join(told),
        going=left > 0,
        agreement=_share(figures.agreement) if figures else "",
        kappa=_kappa(figures.kappa) if figures else "",
        clauses=count(figures.clauses, "clause") if figures else "",
    )


def _share(found: tuple[float | None, float | None, float | None]) -> str:
    value, low, high = found
    if value is None:
        return "–"
    return f"{value:.1%}" + (f" ({low:.1%} to {high:.1%})" if low is not None and high is not None else "")


def _kappa(found: tuple[float | None, float | None, float | None]) -> str:
    value, low, high = found
    if value is None:
        return "–"
    return f"{value:.2f}" + (f" ({low:.2f} to {high:.2f})" if low is not None and high is not None else "")
