"""Cells, their evidence and what was decided about them, for people who may sign for a level or take it back."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from math import exp, log
from urllib.parse import quote

from markupsafe import Markup

from countersign.evidence.course import Point, Step
from countersign.evidence.level import LADDER
from countersign.shadow.plots import capital_plot, share_plot
from countersign.store.evidence_dossier import Dossier
from countersign.store.evidence_rows import CellRow, HistoryRow
from countersign.words import Autonomy
from starters.console.views.words import count, human, name_of, visible
from starters.console.visit import HOME

MEANINGS = {
    Autonomy.SUPERVISED: "A person signs everything",
    Autonomy.SEMI_AUTONOMOUS: "A person signs what is grave, unsure or suspicious, and a random sample of the rest",
    Autonomy.AUTONOMOUS: "Released without a person where nothing speaks against it; a random sample is looked at",
}
NAMES = {level: level.value.replace("_", "-") for level in Autonomy}
RULES = {
    "signed": "signed for by a person, on the evidence",
    "override": "given by a person without the evidence",
    "person": "taken back by a person",
    "critical": "taken back: a severity-1 error",
    "watch": "taken back: the watch went off",
    "arm": "another arm starts supervised",
}
SOURCES = {
    "review": ("review that a person signed", "reviews that a person signed"),
    "shadow": ("shadow review judged blind", "shadow reviews judged blind"),
    "labels": ("labelled case of a shadow run", "labelled cases of shadow runs"),
}
ROWS = 24
"""Lines of a curve's table; between them nothing is left out that its ends do not show."""


@dataclass(frozen=True)
class CellCard:
    """A cell in the overview. `progress` is how far the evidence is, in per cent of what it takes (by powers)."""

    page: str
    title: str
    under: str
    level: Autonomy
    name: str
    meaning: str
    overridden: bool
    proposed: str
    items: str
    criticals: int
    agreement: str
    evidence: str
    next: str
    progress: int
    missing: str
    suspicion: int


def page_of(playbook: str, contract_type: str) -> str:
    """The address of a cell's page."""
    return f"{HOME}/autonomy/{quote(playbook, safe='')}/{quote(contract_type, safe='')}"


def card_of(row: CellRow) -> CellCard:
    """The cell in short."""
    evidence = missing = ""
    progress = 0
    if row.next_level and row.capital is not None and row.takes is not None:
        evidence = f"{figure(row.capital)} of {row.takes:g}"
        # Both the capital and what it takes are products: their logarithms are what grows evenly.
        progress = max(0, min(100, round(100 * log(max(row.capital, 1e-9)) / log(row.takes))))
        missing = "" if row.proposed else f"{count(row.still_needed or 0, 'more item')} if all agree"
    return CellCard(
        page=page_of(row.playbook, row.contract_type),
        title=name_of(row.contract_type),
        under=name_of(row.playbook),
        level=row.autonomy,
        name=NAMES[row.autonomy],
        meaning=MEANINGS[row.autonomy],
        overridden=row.overridden or row.granted is not None,
        proposed=NAMES[row.next_level] if row.proposed and row.next_level else "",
        items=count(row.since, "item"),
        criticals=row.criticals,
        agreement=percent(row.agreement),
        evidence=evidence,
        next=NAMES[row.next_level] if row.next_level else "",
        progress=progress,
        missing=missing,
        suspicion=round(100 * row.suspicion),
    )


@dataclass(frozen=True)
class Curve:
    """A plot with its numbers: each row the item's number, what stood there, and what happened ("" for nothing)."""

    title: str
    text: str
    plot: Markup
    head: tuple[str, str]
    rows: tuple[tuple[int, str, str, str], ...]


@dataclass(frozen=True)
class Past:
    """One change of the level."""

    at: datetime
    before: str
    after: str
    how: str
    bad: bool
    by: str
    reason: str
    evidence: str


@dataclass(frozen=True)
class CellPage:
    """All that a cell's page shows. `proposed` is the level that may be signed for, `below` those it may fall to."""

    card: CellCard
    digest: str
    proposed: Autonomy | None
    reasons: tuple[str, ...]
    below: tuple[tuple[Autonomy, str], ...]
    agreement: str
    items: str
    at_least: str
    looked_at: str
    curves: tuple[Curve, ...]
    arm: tuple[tuple[str, str], ...]
    fingerprint: str
    sources: str
    threshold: str
    past: tuple[Past, ...]
    granted: str
    undecided: str
    """What keeps evidence that would be enough from being signed for; "" for nothing."""


def cell_page(found: Dossier) -> CellPage:
    """A cell's page."""
    row, level = found.row, found.state.level
    return CellPage(
        card=card_of(row),
        digest=found.digest,
        proposed=row.next_level if row.proposed else None,
        reasons=row.reasons,
        below=tuple((one, NAMES[one]) for one in LADDER[: LADDER.index(level)]),
        agreement=percent(found.agreement),
        items=count(len(found.points), "item"),
        at_least=f"{found.at_least:.1%}" if found.points else "",
        looked_at=f"{found.share:.0%}",
        curves=_curves(found),
        arm=_arm(found),
        fingerprint=row.arm,
        sources=", ".join(count(number, *SOURCES[source]) for source, number in found.sources.items()),
        threshold=_threshold(found),
        past=tuple(past_of(one) for one in reversed(found.history)),
        granted=NAMES[row.granted] if row.granted else "",
        undecided=_undecided(row),
    )


def _undecided(row: CellRow) -> str:
    enough = row.capital is not None and row.takes is not None and row.capital >= row.takes
    return count(row.still_open, "review") if enough and not row.proposed else ""


def _curves(found: Dossier) -> tuple[Curve, ...]:
    if not found.points:
        return ()
    errors = {point.item for point in found.points if point.critical}
    takes = found.policy.threshold
    curves = []
    for level in LADDER[1:]:
        after = found.row.next_level is level
        steps = [point.step(level) for point in found.points]
        if after:
            bar, title = found.state.track(level).growth.bar, f"Evidence for {NAMES[level]}"
            text = (
                f"A bet that agreement is above {bar:.0%}. Each item that agrees makes it grow, each that does not "
                f"costs more. At {takes:g} times the start it is enough: agents that are not above {bar:.0%} ever get "
                f"there with a probability of at most {found.policy.alpha:.0%}, however often one looks."
            )
            if missing := card_of(found.row).missing:
                text += f" It takes {missing}."
            plot = capital_plot([step.log_e for step in steps], errors, takes, title)
            curves.append(_curve(title, text, plot, found.points, steps, ("evidence", "agreement"), _capital_row))
        watched = _last_watch(steps)
        if watched and not after:
            title = f"Watch over {NAMES[level]}"
            text = (
                f"Looks for a fall of agreement below {found.state.track(level).growth.bar:.0%}. At 100 % the level is "
                f"taken back at once and nobody has to sign; agents that did not fall get there once in "
                f"{found.policy.run_length:,.0f} items on average, or more rarely."
            )
            points = found.points[-len(watched) :]
            plot = share_plot(
                [(point.item, step.suspicion or 0.0) for point, step in zip(points, watched, strict=True)],
                title,
                "way to taking the level back",
            )
            curves.append(_curve(title, text, plot, points, watched, ("way to going off", "agreement"), _watch_row))
    return tuple(curves)


def _last_watch(steps: Sequence[Step]) -> list[Step]:
    """The steps since the present watch began; none where nothing is watched."""
    kept: list[Step] = []
    for step in reversed(steps):
        if step.suspicion is None:
            break
        kept.append(step)
    return kept[::-1]


def _capital_row(step: Step) -> str:
    return figure(exp(min(step.log_e, 700.0)))


def _watch_row(step: Step) -> str:
    return f"{step.suspicion or 0.0:.1%}"


def _curve(  # noqa: PLR0913, PLR0917 - a curve is all of this
    title: str,
    text: str,
    plot: str,
    points: Sequence[Point],
    steps: Sequence[Step],
    head: tuple[str, str],
    value: Callable[[Step], str],
) -> Curve:
    every = max(1, -(-len(points) // ROWS))
    rows = [
        (point.item, value(step), percent(step.agreement), _happened(point, step))
        for place, (point, step) in enumerate(zip(points, steps, strict=True))
        if place % every == 0 or place == len(points) - 1 or point.critical or step.fell
    ]
    return Curve(title, text, Markup(plot), head, tuple(rows))  # noqa: S704 - made by us, every word in it escaped


def _happened(point: Point, step: Step) -> str:
    return "severity-1 error" if point.critical else "watch went off" if step.fell else ""


def _arm(found: Dossier) -> tuple[tuple[str, str], ...]:
    """What the arm is made of, in short."""
    if found.arm is None:
        return ()
    models: dict[str, list[str]] = {}
    for role, model in sorted(found.arm.models.items()):
        models.setdefault(model, []).append(human(role))
    lines = [("Models", "; ".join(f"{model} ({', '.join(roles)})" for model, roles in models.items()))]
    lines.append(("Prompts", count(len(found.arm.prompts), "agent")))
    lines.append(("Playbook", found.arm.playbook_digest[:12]))
    lines.append(("Code", found.arm.code_version[:24]))
    return tuple((word, visible(text)) for word, text in lines)


def _threshold(found: Dossier) -> str:
    known = found.confidence
    if known is None:
        return (
            "The playbook's own: there are too few pairs of this arm, or they show too little, to calibrate its "
            "confidence and to set a threshold by risk control."
        )
    how = f"confidence is calibrated ({human(known.kind)}) on {count(known.pairs, 'pair')}"
    if known.threshold is None:
        return f"Nothing may be released: {how}, and no threshold keeps the error at {known.target:.0%}."
    error = f", {known.error:.1%} of them wrong" if known.error is not None else ""
    return (
        f"{known.threshold:.3f}: {how}; the threshold keeps the error among what is released at {known.target:.0%} or "
        f"less with a confidence of {1 - known.delta:.0%}, by {count(known.threshold_pairs, 'other pair')}. "
        f"{known.coverage:.0%} of these are above it{error}."
    )


def past_of(row: HistoryRow) -> Past:
    """A change in words."""
    shown = row.evidence or {}
    items, agreement = shown.get("items"), shown.get("agreement")
    evidence = count(items, "item") if isinstance(items, int) else ""
    # After a fall they stand for what is left of the evidence, which is not why it fell.
    if evidence and isinstance(agreement, float) and row.rule not in ("critical", "watch"):
        evidence += f", agreement {agreement:.1%}"
    return Past(
        at=row.changed_at,
        before=NAMES[row.level_before],
        after=NAMES[row.level],
        how=RULES.get(row.rule, human(row.rule)),
        bad=row.rule in ("critical", "watch"),
        by="" if row.by_hash == "countersign" else row.by_hash,
        reason=visible(row.reason),
        evidence=evidence,
    )


def figure(value: float) -> str:
    """A capital for people: three digits, never a wall of them."""
    return f"{value:.3g}" if 0.001 <= value < 10_000 else "below 0.001" if value < 0.001 else "over 10,000"


def percent(value: float | None) -> str:
    """A share as people read it."""
    return "–" if value is None else f"{value:.1%}"
