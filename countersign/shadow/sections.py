"""A shadow report in HTML, section by section: for a page of its own and for the console. Looks are in `report.css`."""

from collections.abc import Callable, Iterable, Sequence
from html import escape
from pathlib import Path

from countersign.evidence.agreement import Agreement
from countersign.evidence.intervals import Estimate
from countersign.shadow.judging import DECISION
from countersign.shadow.plots import bar, reliability_plot, risk_plot
from countersign.shadow.report import Disagreement, ShadowReport, kinds
from countersign.visible import visible

TITLE = "How well the agents agree with people"
SHEET = Path(__file__).with_name("report.css")
MAX_DISAGREEMENTS = 300
"""Shown on the page; the JSON has all of them."""
OPEN = 20
"""Of these the quotations are unfolded."""

Link = Callable[[str], str | None]
"""From a contract as the report calls it to the address of its review, where there is one."""


def body(found: ShadowReport, target: float, link: Link = lambda contract: None) -> str:
    """Everything below the title: what it comes to in words, figures, plots, then where agents and people differ."""
    return "\n".join(
        (
            *_meaning(found),
            _cards(found),
            _plots(found, target),
            *_differences(found, link),
            "<h2>Clause by clause</h2>",
            "<p>Agreement between agents and people on each clause; the line is the 95 % interval. "
            "Precision: of the clauses that the agents report, how many are there. Recall: of those that are there, "
            "how many the agents report.</p>",
            _clauses(found.clauses),
            _effort(found),
            _glossary(),
            _footer(found),
        )
    )


def words(text: str) -> str:
    """Text of others as HTML: no markup, and no character that deceives."""
    return escape(visible(text))


def lead(found: ShadowReport) -> str:
    """Which run this is, in plain text."""
    made = found.facts
    of = f" of {found.cases:,} given" if found.cases != found.contracts else ""
    playbook = f", playbook {made['playbook']}" if made.get("playbook") else ""
    return f"Shadow run {found.title}: {found.contracts:,} contracts{of}{playbook}. Nothing was released."


def _cards(found: ShadowReport) -> str:
    overall, effort = found.overall, found.effort
    facts = [
        (_share(overall.agreement), "of all clauses judged alike" + _between(overall.agreement)),
        (_share(overall.precision), "of the clauses reported are there (precision)" + _between(overall.precision)),
        (_share(overall.recall), "of the clauses there are reported (recall)" + _between(overall.recall)),
        (_number(overall.f1), "F1, both in one figure" + _between(overall.f1, percent=False)),
        (_number(overall.kappa), "kappa: agreement beyond chance" + _between(overall.kappa, percent=False)),
        (f"{found.criticals:,}", "severity-1 errors: each would take all autonomy back"),
        (_seconds(effort.machine_s_median), "machine time of a contract, median"),
        (f"${effort.cost_usd:,.2f}", "paid for models, all contracts"),
    ]
    inside = "".join(
        f'<div class="figure{" bad" if what.startswith("severity-1") and found.criticals else ""}">'
        f"<b>{words(big)}</b><span>{words(what)}</span></div>"
        for big, what in facts
    )
    return f'<div class="cards">{inside}</div>'


def _meaning(found: ShadowReport) -> list[str]:
    """The figures in sentences."""
    overall = found.overall
    if not overall.n:
        return ["<p>No clause was judged, so nothing can be said.</p>"]
    lines = [f"They differ on {len(found.disagreements):,}{_of_kinds(found)}."] if found.disagreements else []
    if found.claims.ece.value is not None:
        lines.append(
            f"When the agents state how sure they are that a clause is there, they are off by "
            f"{found.claims.ece.value:.0%} on average (calibration error)."
        )
    if found.alpha.value is not None:
        lines.append(
            f"Where two people judged the same clause, they agree among themselves at {_number(found.alpha)}"
            f"{_between(found.alpha, percent=False)} (alpha)."
        )
    if found.failures:
        why = ", ".join(f"{count} {what}" for what, count in found.failures.items())
        lines.append(f"Not compared: {why}.")
    if found.erased:
        lines.append(f"The content of {found.erased} contracts was erased; of those the review's figures alone count.")
    caveat = found.facts.get("caveat")
    return [
        f'<p class="lead">{_headline(found)}</p>',
        *([f'<p class="caveat">{words(str(caveat))}</p>'] if caveat else []),
        *(f"<p>{words(line)}</p>" for line in lines),
    ]


def _headline(found: ShadowReport) -> str:
    """What it comes to, as HTML."""
    overall = found.overall
    sure = _between(overall.agreement).removeprefix(", ")
    verb, number = ("were", f"{found.criticals:,} severity-1 errors")
    if found.criticals < 2:
        verb, number = "was", f"{'one' if found.criticals else 'no'} severity-1 error"
    grave = (
        f"There {verb} <strong>{number}</strong> (a critical clause that a person found and the agents missed or "
        "understated)."
    )
    return (
        f"On {overall.n:,} clauses of {overall.contracts:,} contracts, agents and people said the same "
        f"<strong>{_share(overall.agreement)} of the time</strong>"
        f"{f' (with 95 % confidence, {sure})' if sure else ''}. {grave}"
    )


def _of_kinds(found: ShadowReport) -> str:
    counts = kinds(found)
    return ": " + ", ".join(f"{count:,} {what}" for what, count in counts.items()) if counts else ""


def _plots(found: ShadowReport, target: float) -> str:
    ece = found.claims.ece
    claims = (
        f"{found.claims.n:,} claims. On the dashed line a stated 80 % is right in 80 % of the cases; dots below it are "
        f"too sure of themselves. Calibration error {_share(ece)}{_between(ece)}."
    )
    released = _releasable(found, target)
    honest = reliability_plot(found.claims.bins, "Reliability diagram")
    risky = risk_plot(found.curve.coverage, found.curve.risk, target, "Risk-coverage curve")
    return (
        '<h2>How far the agents can be trusted</h2><div class="pair">'
        f'<div class="panel"><h3>Is stated confidence honest?</h3>{honest}<p>{words(claims)}</p></div>'
        f'<div class="panel"><h3>What could be released, at which risk?</h3>'
        f"{risky}<p>{words(released)}</p></div></div>"
    )


def _releasable(found: ShadowReport, target: float) -> str:
    points = zip(found.curve.coverage, found.curve.risk, strict=True)
    share = max((coverage for coverage, risk in points if risk <= target), default=0.0)
    area = found.band.aurc
    mean = f" Mean error over the curve: {_share(area)}{_between(area)}." if area.value is not None else ""
    return (
        f"Reviews from the surest to the least sure; error is the share of clauses, weighted by severity, on which the "
        f"person disagrees. In this run the surest {share:.0%} stay at or below {target:.0%}.{mean} What a cell may "
        "really release is decided by a test that holds for the future too: see countersign autonomy show."
    )


def _effort(found: ShadowReport) -> str:
    effort = found.effort
    lines = [
        f"The machine took {_seconds(effort.machine_s_median)} a contract in the median, "
        f"{_hours(effort.machine_hours)} in all, and ${effort.cost_usd:,.2f} for models."
    ]
    if effort.by_hand_hours is None and effort.by_hand_usd is None:
        lines.append(
            "What a contract takes by hand was not stated, so nothing is said about savings; give --manual-minutes and "
            "--manual-cost to have it compared."
        )
    if effort.by_hand_hours is not None:
        lines.append(
            f"By hand, at {effort.baseline.minutes:g} minutes a contract as stated, the same work is "
            f"{_hours(effort.by_hand_hours)}."
        )
    if effort.by_hand_usd is not None:
        lines.append(f"At ${effort.baseline.usd:,.2f} a contract, as stated, it is ${effort.by_hand_usd:,.2f}.")
    return "<h2>Time and money</h2>" + "".join(f"<p>{words(line)}</p>" for line in lines)


def _clauses(clauses: Sequence[Agreement]) -> str:
    head = (
        '<tr><th scope="col">clause</th><th scope="col" class="n wide">n</th><th scope="col" class="n">agreement</th>'
        '<td class="bars wide"></td><th scope="col" class="n wide">precision</th>'
        '<th scope="col" class="n wide">recall</th>'
        '<th scope="col" class="n">F1</th><th scope="col" class="n wide">kappa</th></tr>'
    )
    rows = "".join(
        f'<tr><th scope="row">{words(_words(one.clause))}</th><td class="n wide">{one.n:,}</td>'
        f'<td class="n">{_share(one.agreement)}</td>'
        f'<td class="bars wide">{bar(one.agreement.value, *one.agreement_wilson)}</td>'
        f'<td class="n wide">{_share(one.precision)}</td><td class="n wide">{_share(one.recall)}</td>'
        f'<td class="n">{_number(one.f1)}</td><td class="n wide">{_number(one.kappa)}</td></tr>'
        for one in sorted(clauses, key=lambda one: one.agreement.value or 0.0)
    )
    return (
        '<div class="scroll" tabindex="0" role="region" aria-label="Clause by clause">'
        f"<table><thead>{head}</thead><tbody>{rows}</tbody></table></div>"
    )


def _differences(found: ShadowReport, link: Link) -> Iterable[str]:
    shown = found.disagreements[:MAX_DISAGREEMENTS]
    yield "<h2>Where they differ</h2>"
    if not shown:
        yield "<p>Nowhere.</p>"
        return
    more = len(found.disagreements) - len(shown)
    yield (
        "<p>The gravest first, then what the agents were surest of. Neither side is right by itself: a label can be "
        f"wrong too.{f' {more:,} more are in the JSON.' if more else ''}</p>"
    )
    for place, one in enumerate(shown):
        yield _difference(one, link(one.contract), is_open=place < OPEN)


def _difference(one: Disagreement, review: str | None, *, is_open: bool) -> str:
    # Where labels have no severity both sides have the same, which says nothing.
    differ = one.agent_severity != one.person_severity
    severities = (one.agent_severity, one.person_severity) if differ else ("", "")
    sure = f" · stated confidence {one.confidence:.0%}" if one.confidence is not None else ""
    opens = (
        f'<p class="tag"><a href="{words(review)}">Open the review of {words(one.contract)}</a></p>' if review else ""
    )
    graver = ' <b class="bad">severity-1</b>' if one.critical else ""
    return (
        f'<details class="difference{" critical" if one.critical else ""}"{" open" if is_open else ""}>'
        f"<summary><b>{words(_words(one.clause))}</b>{graver}: agents {words(_label(one.agent))}, "
        f"person {words(_label(one.person))} "
        f'<span class="tag">{words(one.contract)}{words(sure)}</span></summary><div class="who">'
        f"{_side('Agents', one.agent, severities[0], one.agent_quote)}"
        f"{_side('Person', one.person, severities[1], one.person_quote)}</div>{opens}</details>"
    )


def _side(who: str, label: str, severity: str, quote: str) -> str:
    said = _label(label) + (f", {severity}" if severity else "")
    quoted = (
        f"<blockquote>{words(' '.join(quote.split()))}</blockquote>" if quote else '<p class="tag">no quotation</p>'
    )
    return f"<div><b>{who}: {words(said)}</b>{quoted}</div>"


def _glossary() -> str:
    terms = (
        ("Agreement", "the share of clauses to which agents and person give the same label and severity."),
        (
            "Precision, recall, F1",
            "how many reported clauses are there, how many that are there are reported, and both.",
        ),
        ("Kappa", "agreement beyond what chance alone would give: 0 is chance, 1 is perfect (Cohen 1960)."),
        ("Interval", "where the true figure lies with 95 % confidence, whole contracts drawn anew (bootstrap)."),
        ("Calibration error", "how far stated confidence is from the share that was right (ECE, ten bins)."),
        ("Severity-1 error", "a critical clause that a person found and the agents missed or understated."),
    )
    return (
        '<h2>What the words mean</h2><dl class="words">'
        + "".join(f"<dt>{words(term)}</dt><dd>{words(what)}</dd>" for term, what in terms)
        + "</dl>"
    )


def _footer(found: ShadowReport) -> str:
    facts = ", ".join(
        f"{name.replace('_', ' ')} {value}" for name, value in found.facts.items() if value and name != "caveat"
    )
    return f'<p class="made">Made by countersign shadow report. {words(facts)}</p>'


def _label(label: str) -> str:
    return label.replace("_", " ")


def _words(clause: str) -> str:
    return "the decision as a whole" if clause == DECISION else clause.replace("_", " ")


def _share(found: Estimate) -> str:
    return "–" if found.value is None else f"{found.value:.1%}"


def _number(found: Estimate) -> str:
    return "–" if found.value is None else f"{found.value:.2f}"


def _between(found: Estimate, *, percent: bool = True) -> str:
    if found.low is None or found.high is None:
        return ""
    return f", {found.low:.0%} to {found.high:.0%}" if percent else f", {found.low:.2f} to {found.high:.2f}"


def _hours(hours: float) -> str:
    return f"{hours:,.1f} hours" if hours >= 2 else f"{hours * 60:.1f} minutes"


def _seconds(seconds: float | None) -> str:
    return "–" if seconds is None else f"{seconds:.1f} s" if seconds < 120 else f"{seconds / 60:.1f} min"
