"""A comparison of two arms in sentences, and as one page."""

from countersign.batch.compare import Comparison, Flip, Said
from countersign.batch.pages import Html, Id, cards, heading, many, page, paragraph, quotation, table
from countersign.evidence.intervals import Estimate

MAX_FLIPS = 300
"""Flips on the page, the widest apart first; JSON has all of them."""


def arm_name(model: str | None, playbook: str | None) -> str:
    """The other arm in words."""
    parts = [f"model {model}" if model else "", f"playbook {playbook}" if playbook else ""]
    return " and ".join(part for part in parts if part) or "the present settings"


def sentences(found: Comparison) -> list[str]:
    """What the comparison says, each with its interval and its reservations."""
    if found.pairs == 0:
        return [f"None of {found.chosen:,} reviews could be compared. {_left_out(found)}".strip()]
    same, low, high = found.routes_same
    said = [
        f"{found.pairs:,} of {found.chosen:,} stored reviews were analysed by both arms. {_left_out(found)}".strip(),
        f"The gate sends {same:,} of {found.pairs:,} the same way "
        f"({same / found.pairs:.1%}, 95 % interval {low:.1%} to {high:.1%}).",
        f"On {many(found.clauses, 'clause')} that nobody corrected, the arms come to the same severity in "
        f"{percent(found.clauses_same)}.",
    ]
    if (people := found.people) is not None:
        test = "" if people.p is None else f", exact McNemar p = {people.p:.3f}"
        said += [
            f"Against what people signed ({many(people.reviews, 'review')}, {many(people.clauses, 'clause')}) "
            f"the stored arm is right in {percent(people.stored)}, the other in {percent(people.again)}; "
            f"the difference is {points(people.difference)}. Only the stored arm is right throughout in "
            f"{many(people.stored_only, 'review')}, only the other in {people.again_only:,}{test}.",
            "Who signed had seen what the stored arm says, and not the other: this leans towards the stored arm.",
        ]
    else:
        said.append("No person has signed any of these reviews, so neither arm can be held against people.")
    if found.rejected:
        said.append(f"{found.rejected:,} were rejected: that is about the contract, and says nothing of a clause.")
    said.append(
        f"Models cost ${found.stored_cost / 1e6:.4f} a review as stored and ${found.again_cost / 1e6:.4f} with the "
        f"other arm; the difference is {_amount(found.cost_difference, 1e6, '$', '')}."
        + (f" {found.unpriced_calls:,} calls have no known price and count as 0." if found.unpriced_calls else "")
    )
    said.append(
        f"The machine's stages take {found.stored_ms / 1000:.2f} s as stored and {found.again_ms / 1000:.2f} s again "
        f"(medians); the mean difference is {_amount(found.time_difference, 1000, '', ' s')}. Both depend on what else "
        "ran at the time."
    )
    if found.corrected_reviews:
        said.append(
            f"{found.corrected_reviews:,} stored analyses had used earlier corrections; the other arm had no memory."
        )
    return said


def comparison_page(found: Comparison, arm: str, batch_id: str) -> str:
    """The page."""
    parts = [
        cards(
            [
                (f"{found.pairs:,}", "reviews analysed by both"),
                (f"{found.clauses_same.value:.1%}" if found.clauses_same.value is not None else "–", "clauses alike"),
                (f"{len(found.flips):,}", "clauses seen differently"),
                (f"{len(found.route_flips):,}", "reviews sent elsewhere"),
                (_amount(found.cost_difference, 1e6, "$", "", plain=True), "in cost, a review"),
                (_amount(found.time_difference, 1000, "", " s", plain=True), "in time, a review"),
            ]
        ),
        heading("What it says"),
        *(paragraph(line) for line in sentences(found)),
    ]
    if found.route_flips:
        parts += [
            heading("Reviews that the gate would send elsewhere"),
            table(
                ("review", "as stored", "with the other arm"),
                ((Id(one.review_id), one.before, one.after) for one in found.route_flips[:MAX_FLIPS]),
            ),
        ]
    if found.flips:
        shown = found.flips[:MAX_FLIPS]
        parts += [
            heading("Clauses that the arms see differently"),
            table(("review", "clause", "as stored", "with the other arm", "people"), (_line(flip) for flip in shown)),
        ]
        if len(found.flips) > MAX_FLIPS:
            parts.append(paragraph(f"The {MAX_FLIPS:,} widest apart of {len(found.flips):,}; JSON has all."))
    parts.append("<footer><p>Nothing was changed: no review, no trail, no memory. Intervals are 95 %.</p></footer>")
    return page("Stored reviews, analysed again", f"Rerun {batch_id} with {arm}.", *parts)


def percent(found: Estimate) -> str:
    """A share with its interval."""
    if found.value is None:
        return "– (nothing to count)"
    if found.low is None or found.high is None:
        return f"{found.value:.1%} (too few reviews for an interval)"
    return f"{found.value:.1%} ({found.low:.1%} to {found.high:.1%})"


def points(found: Estimate) -> str:
    """A difference of shares in percentage points with its interval."""
    if found.value is None:
        return "unknown"
    if found.low is None or found.high is None:
        return f"{found.value * 100:+.1f} points"
    return f"{found.value * 100:+.1f} points ({found.low * 100:+.1f} to {found.high * 100:+.1f})"


def _amount(found: Estimate, unit: float, before: str, after: str, *, plain: bool = False) -> str:
    if found.value is None:
        return "–"

    def form(value: float) -> str:
        digits = 4 if before else 2
        return f"{'-' if value < 0 else '+'}{before}{abs(value) / unit:.{digits}f}{after}"

    if plain or found.low is None or found.high is None:
        return form(found.value)
    return f"{form(found.value)} ({form(found.low)} to {form(found.high)})"


def _left_out(found: Comparison) -> str:
    if not found.left_out:
        return ""
    words = {"erased": "erased or expired, so that no text is left"}
    counted = ", ".join(f"{count:,} {words.get(why, why)}" for why, count in found.left_out.items())
    return f"Left out: {counted}."


def _line(flip: Flip) -> tuple[str, str, Html, Html, str]:
    return (
        Id(flip.review_id),
        flip.clause.replace("_", " "),
        _said(flip.before),
        _said(flip.after),
        flip.person or "not decided",
    )


def _said(said: Said) -> Html:
    if said.severity is None:
        return quotation("no finding", "")
    return quotation(f"{said.severity}: {said.statement}", said.quote)
