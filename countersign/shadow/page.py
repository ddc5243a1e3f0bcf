"""A shadow report as one self-contained page: no script, nothing fetched, every word of a document escaped."""

from collections.abc import Iterable, Sequence
from html import escape

from countersign.evidence.agreement import Agreement
from countersign.evidence.intervals import Estimate
from countersign.shadow.judging import DECISION
from countersign.shadow.plots import bar, reliability_plot, risk_plot
from countersign.shadow.report import Disagreement, ShadowReport, kinds

MAX_DISAGREEMENTS = 300
"""Shown on the page; the JSON has all of them."""
OPEN = 20
"""Of these the quotations are unfolded."""

STYLE = """
:root { --ink: #1c2733; --soft: #566372; --line: #d9e0e7; --paper: #fff; --back: #f4f6f8; --blue: #2b6a99;
  --pale: #dbe7f0; --red: #a3312b; --green: #2c7a4b; }
* { box-sizing: border-box; }
html { -webkit-text-size-adjust: 100%; }
body { margin: 0; font: 16px/1.55 system-ui, -apple-system, "Segoe UI", sans-serif; color: var(--ink);
  background: var(--back); }
main { max-width: 70rem; margin: 0 auto; padding: 2.25rem 1.25rem 4rem; }
h1 { font-size: 1.8rem; line-height: 1.2; margin: 0 0 .35rem; }
h2 { font-size: 1.2rem; margin: 2.75rem 0 .5rem; }
h3 { font-size: 1rem; margin: 0 0 .5rem; }
p { max-width: 44rem; margin: .5rem 0; } .soft { color: var(--soft); } .lead { font-size: 1.1rem; }
.cards { display: grid; grid-template-columns: repeat(auto-fit, minmax(13.5rem, 1fr)); gap: .75rem; margin: 1.5rem 0; }
.card, .panel, .scroll, .difference { background: var(--paper); border: 1px solid var(--line); border-radius: .6rem; }
.card { padding: .9rem 1rem; } .card b { display: block; font-size: 1.65rem; line-height: 1.25; }
.card span { display: block; color: var(--soft); font-size: .88rem; line-height: 1.4; }
.pair { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 24rem), 1fr)); gap: .75rem; }
.panel { padding: 1rem; } .panel p { font-size: .92rem; color: var(--soft); }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-size: .92rem; }
th, td { text-align: left; padding: .45rem .75rem; border-bottom: 1px solid var(--line); vertical-align: middle; }
th { font-weight: 600; white-space: nowrap; } tr:last-child td { border-bottom: 0; }
td.n, th.n { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
td.bars { width: 26%; min-width: 7rem; }
svg.plot { display: block; width: 100%; height: auto; font-size: 12px; }
svg text { fill: var(--soft); font-family: inherit; } svg text.name { fill: var(--ink); }
svg text.target { fill: var(--red); }
.grid { stroke: var(--line); } .ideal { fill: none; stroke: var(--soft); stroke-dasharray: 4 4; }
.target { stroke: var(--red); stroke-dasharray: 5 4; fill: none; } text.target { stroke: none; }
.curve { fill: none; stroke: var(--blue); stroke-width: 2.2; } .dot { fill: var(--blue); fill-opacity: .85; }
.whisker { stroke: var(--ink); stroke-width: 1.2; } svg.bar { width: 100%; height: .8rem; display: block; }
.track { fill: var(--pale); } .fill { fill: var(--blue); }
.difference { margin: .5rem 0; padding: .65rem .9rem; break-inside: avoid; }
.difference summary { cursor: pointer; overflow-wrap: anywhere; }
.difference .who { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 18rem), 1fr)); gap: .75rem;
  margin-top: .5rem; }
.who b { font-size: .85rem; color: var(--soft); font-weight: 600; }
blockquote { margin: .2rem 0 0; padding-left: .7rem; border-left: 3px solid var(--line); font-size: .9rem;
  overflow-wrap: anywhere; }
.critical { border-left: 4px solid var(--red); } .bad { color: var(--red); }
.tag { font-size: .82rem; color: var(--soft); } summary .tag { display: block; }
.caveat { border-left: 4px solid #c58a1b; padding-left: .8rem; }
dl { max-width: 46rem; } dt { font-weight: 600; margin-top: .6rem; } dd { margin: 0; color: var(--soft); }
footer { margin-top: 3rem; color: var(--soft); font-size: .85rem; overflow-wrap: anywhere; }
@media (max-width: 34rem) { main { padding: 1.25rem .9rem 3rem; } h1 { font-size: 1.45rem; }
  .cards { grid-template-columns: 1fr 1fr; } .card b { font-size: 1.3rem; } .wide { display: none; }
  th, td { padding: .4rem .5rem; white-space: normal; } th { overflow-wrap: anywhere; } td.bars { min-width: 4rem; } }
@media print { body { background: #fff; font-size: 11pt; } main { max-width: none; padding: 0; }
  .scroll { overflow: visible; } .panel, .card { break-inside: avoid; } }
"""


def page(found: ShadowReport, target: float = 0.05) -> str:
    """The page; `target` is the share of error that would be allowed among what is released."""
    parts = [
        _cards(found),
        *_meaning(found),
        _plots(found, target),
        _effort(found),
        "<h2>Clause by clause</h2>",
        "<p>Agreement between agents and people on each clause; the line is the 95 % interval. "
        "Precision: of the clauses that the agents report, how many are there. Recall: of those that are there, how "
        "many the agents report.</p>",
        _clauses(found.clauses),
        *_differences(found),
        _glossary(),
    ]
    title = "How well the agents agree with people"
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n"
        f"<title>{title}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n<main>\n<h1>{title}</h1>\n"
        f'<p class="soft">{escape(_lead(found))}</p>\n' + "\n".join(parts) + f"\n{_footer(found)}\n</main>\n</body>\n"
        "</html>\n"
    )


def _lead(found: ShadowReport) -> str:
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
        f'<div class="card"><b>{escape(big)}</b><span>{escape(small)}</span></div>' for big, small in facts
    )
    return f'<div class="cards">{inside}</div>'


def _meaning(found: ShadowReport) -> list[str]:
    """The figures in sentences."""
    overall = found.overall
    if not overall.n:
        return ["<p>No clause was judged, so nothing can be said.</p>"]
    lines = [
        f"Agents and people were compared on {overall.n:,} clauses of {overall.contracts:,} contracts. "
        f"They differ on {len(found.disagreements):,} of them{_of_kinds(found)}."
    ]
    if found.claims.ece.value is not None:
        lines.append(
            f"When the agents state how sure they are that a clause is there, they are off by "
            f"{found.claims.ece.value:.0%} on average (calibration error)."
        )
    if found.alpha is not None:
        lines.append(
            f"Where two people judged the same clause, they agree among themselves at {found.alpha:.2f} (alpha)."
        )
    if found.failures:
        why = ", ".join(f"{count} {what}" for what, count in found.failures.items())
        lines.append(f"Not compared: {why}.")
    if found.erased:
        lines.append(f"The content of {found.erased} contracts was erased; of those the review's figures alone count.")
    caveat = found.facts.get("caveat")
    return [
        f'<p class="lead">{escape(lines[0])}</p>',
        *(f"<p>{escape(line)}</p>" for line in lines[1:]),
        *([f'<p class="caveat">{escape(str(caveat))}</p>'] if caveat else []),
    ]


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
        f'<div class="panel"><h3>Is stated confidence honest?</h3>{honest}<p>{escape(claims)}</p></div>'
        f'<div class="panel"><h3>What could be released, at which risk?</h3>'
        f"{risky}<p>{escape(released)}</p></div></div>"
    )


def _releasable(found: ShadowReport, target: float) -> str:
    points = zip(found.curve.coverage, found.curve.risk, strict=True)
    share = max((coverage for coverage, risk in points if risk <= target), default=0.0)
    return (
        f"Reviews from the surest to the least sure; error is the share of clauses, weighted by severity, on which the "
        f"person disagrees. In this run the surest {share:.0%} stay at or below {target:.0%}. What a cell may really "
        "release is decided by a test that holds for the future too: see countersign autonomy show."
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
    return "<h2>Time and money</h2>" + "".join(f"<p>{escape(line)}</p>" for line in lines)


def _clauses(clauses: Sequence[Agreement]) -> str:
    head = (
        '<tr><th scope="col">clause</th><th scope="col" class="n wide">n</th><th scope="col" class="n">agreement</th>'
        '<td class="bars wide"></td><th scope="col" class="n wide">precision</th>'
        '<th scope="col" class="n wide">recall</th>'
        '<th scope="col" class="n">F1</th><th scope="col" class="n wide">kappa</th></tr>'
    )
    rows = "".join(
        f'<tr><th scope="row">{escape(_words(one.clause))}</th><td class="n wide">{one.n:,}</td>'
        f'<td class="n">{_share(one.agreement)}</td>'
        f'<td class="bars wide">{bar(one.agreement.value, *one.agreement_wilson)}</td>'
        f'<td class="n wide">{_share(one.precision)}</td><td class="n wide">{_share(one.recall)}</td>'
        f'<td class="n">{_number(one.f1)}</td><td class="n wide">{_number(one.kappa)}</td></tr>'
        for one in sorted(clauses, key=lambda one: one.agreement.value or 0.0)
    )
    return f'<div class="scroll"><table><thead>{head}</thead><tbody>{rows}</tbody></table></div>'


def _differences(found: ShadowReport) -> Iterable[str]:
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
        yield _difference(one, is_open=place < OPEN)


def _difference(one: Disagreement, *, is_open: bool) -> str:
    # Where labels have no severity both sides have the same, which says nothing.
    differ = one.agent_severity != one.person_severity
    severities = (one.agent_severity, one.person_severity) if differ else ("", "")
    sure = f" · stated confidence {one.confidence:.0%}" if one.confidence is not None else ""
    graver = ' <b class="bad">severity-1</b>' if one.critical else ""
    return (
        f'<details class="difference{" critical" if one.critical else ""}"{" open" if is_open else ""}>'
        f"<summary><b>{escape(_words(one.clause))}</b>{graver}: agents {escape(_label(one.agent))}, "
        f"person {escape(_label(one.person))} "
        f'<span class="tag">{escape(one.contract)}{escape(sure)}</span></summary><div class="who">'
        f"{_side('Agents', one.agent, severities[0], one.agent_quote)}"
        f"{_side('Person', one.person, severities[1], one.person_quote)}</div></details>"
    )


def _side(who: str, label: str, severity: str, quote: str) -> str:
    said = _label(label) + (f", {severity}" if severity else "")
    words = (
        f"<blockquote>{escape(' '.join(quote.split()))}</blockquote>" if quote else '<p class="tag">no quotation</p>'
    )
    return f"<div><b>{who}: {escape(said)}</b>{words}</div>"


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
        "<h2>What the words mean</h2><dl>"
        + "".join(f"<dt>{escape(term)}</dt><dd>{escape(what)}</dd>" for term, what in terms)
        + "</dl>"
    )


def _footer(found: ShadowReport) -> str:
    facts = ", ".join(
        f"{name.replace('_', ' ')} {value}" for name, value in found.facts.items() if value and name != "caveat"
    )
    return f"<footer><p>Made by countersign shadow report. {escape(facts)}</p></footer>"


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
