"""The sentinel: instruction and document in, a risk score with explained signals out. Pure and linear in the text.

Two layers see the text with its disguises undone: rules, which say what an attacker wants, and a statistical scorer,
which says that a passage does not read like what the channel carries. What they find close together adds up as
independent evidence does (noisy-or), each kind of evidence once; so the scorer can raise what the rules found and
never lower it.
"""

import math
from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import replace

from countersign.document.model import DocumentText
from countersign.review.payloads import Screening, Signal
from countersign.sentinel.disguises import hidden_stretches, islands
from countersign.sentinel.foreign import foreign_passages, is_english
from countersign.sentinel.grams import grams
from countersign.sentinel.normalise import View, fold
from countersign.sentinel.rule import Kind
from countersign.sentinel.scorer import passages
from countersign.sentinel.signals import CONCEALED, FOREIGN, HIDDEN_ORDER, STYLE, Hit, find
from countersign.sentinel.weights import Head, Weights, committed
from countersign.words import ELEVATED_FROM, Channel, RiskBand

_WINDOW = 400
"""Characters within which hits of a document count together; an instruction is one window."""

_MAX_SIGNALS = 20
"""Signals reported, the strongest first: enough to explain a verdict, small enough for a history."""


def screen(
    instruction: str, document: DocumentText, *, block_above: float = 0.6, weights: Weights | None = None
) -> Screening:
    """Judge how likely instruction or document try to steer the model.

    Args:
        instruction: what the requester asks; empty when nothing was asked.
        document: the text under review. Its `hidden` stretches weigh more than what a reader can see.
        block_above: a risk score above it, in [0, 1], is `blocked`; from 0.3 up to it is `elevated`.
        weights: the scorer's; those that ship with the package where none are given.

    Returns:
        The risk score in [0, 1] and up to 20 signals, the strongest first. Signals carry offsets into the text of
        their channel and never quote it. The score is that of the worst window of the document, not a sum over it,
        so the length of a contract does not matter, and added paragraphs do not lower it while the document as a whole
        reads as English: in another language the scorer, which knows English only, judges its English passages.

    Raises:
        SentinelError: the weights are missing or damaged. Without a verdict a person must look.
    """
    weights = weights or committed()
    asked = _hits(instruction, Channel.INSTRUCTION, (), weights)
    written = _hits(document.text, Channel.DOCUMENT, document.hidden, weights)
    risk = round(max(_noisy_or(asked), _worst_window(written)), 4)
    signals = [_signal(hit, Channel.INSTRUCTION, None) for hit in asked]
    signals += [_signal(hit, Channel.DOCUMENT, document) for hit in written]
    signals.sort(key=lambda signal: (-signal.score, signal.channel, signal.start or 0))
    return Screening(risk_score=risk, band=band(risk, block_above), signals=tuple(signals[:_MAX_SIGNALS]))


def band(risk: float, block_above: float) -> RiskBand:
    """The band of a risk score: `blocked` above `block_above`, else `elevated` from 0.3, else `clean`."""
    if risk > block_above:
        return RiskBand.BLOCKED
    return RiskBand.ELEVATED if risk >= ELEVATED_FROM else RiskBand.CLEAN


def _hits(text: str, channel: Channel, hidden: tuple[tuple[int, int], ...], weights: Weights) -> list[Hit]:
    """Every hit in `text`, in order of place, with what the concealed ones say about concealment added."""
    view = fold(text)
    english = is_english(text)
    head = weights.head(channel)
    foreign = channel is Channel.DOCUMENT and not english
    hits = [*find(view, channel), *_styled(text, view, channel, head, foreign=foreign)]
    for island in islands(text):
        decoded = fold(island.text)
        inside = list(find(decoded, channel))
        if island.whole:
            inside += _styled(island.text, decoded, channel, head, foreign=foreign)
        if inside:
            strongest = {hit.rule.name: hit for hit in sorted(inside, key=lambda hit: hit.score)}
            hits += [replace(hit, start=island.start, end=island.end) for hit in strongest.values()]
            hits.append(Hit(CONCEALED, island.start, island.end, CONCEALED.weight(channel), island.encoding))
    if english and FOREIGN.weight(channel):
        hits += [Hit(FOREIGN, start, end, FOREIGN.weight(channel)) for start, end in foreign_passages(text)]
    hits += _concealed(text, hits, sorted({*hidden, *hidden_stretches(text)}), channel)
    return sorted(hits, key=lambda hit: (hit.start, hit.end, hit.rule.name))


def _styled(text: str, view: View, channel: Channel, head: Head, *, foreign: bool) -> list[Hit]:
    """What the scorer finds. It has learnt from English: in a foreign document it judges the English passages only."""
    return [
        Hit(STYLE[channel], passage.start, passage.end, passage.risk, "; ".join(passage.reasons))
        for passage in passages(grams(text, view), head)
        if not foreign or is_english(text[passage.start : passage.end])
    ]


def _concealed(text: str, hits: Iterable[Hit], hidden: list[tuple[int, int]], channel: Channel) -> list[Hit]:
    """Hits for suspicious words, and for plain orders, that stand where a reader of the original sees nothing."""
    starts = [start for start, _ in hidden]
    found = []
    for hit in hits:
        at = bisect_right(starts, hit.end - 1) - 1
        if at >= 0 and hidden[at][1] > hit.start:
            found.append(Hit(CONCEALED, hit.start, hit.end, CONCEALED.weight(channel)))
    for start, end in hidden:
        view = fold(text[start:end])
        for match in HIDDEN_ORDER.pattern.finditer(view.text):
            low, high = view.original(*match.span())
            found.append(Hit(HIDDEN_ORDER, start + low, start + high, HIDDEN_ORDER.weight(channel)))
    return found


def _worst_window(hits: list[Hit]) -> float:
    """The highest noisy-or over windows of `_WINDOW` characters; a hit longer than that counts in all it reaches into.

    A window holds a bounded number of hits, and the long ones do not overlap.
    """
    worst, end = 0.0, 0
    reaching: list[Hit] = []
    for first, opening in enumerate(hits):
        reaching = [hit for hit in reaching if hit.end > opening.start]
        while end < len(hits) and hits[end].start < opening.start + _WINDOW:
            end += 1
        worst = max(worst, _noisy_or([*reaching, *hits[first:end]]))
        if opening.end - opening.start > _WINDOW:
            reaching.append(opening)
    return worst


def _noisy_or(hits: Iterable[Hit]) -> float:
    """One minus the chance that all are innocent, each kind counted once, with its strongest hit."""
    strongest: dict[Kind, float] = {}
    for hit in hits:
        strongest[hit.rule.kind] = max(strongest.get(hit.rule.kind, 0.0), hit.score)
    return 1 - math.prod(1 - score for score in strongest.values())


def _signal(hit: Hit, channel: Channel, document: DocumentText | None) -> Signal:
    how = f" ({hit.note})" if hit.note else ""
    return Signal(
        name=hit.rule.name,
        channel=channel,
        score=hit.score,
        explanation=f"The {channel} {hit.rule.explanation}{how}.",
        start=hit.start,
        end=hit.end,
        page=document.page_of(hit.start) if document is not None and document.pages else None,
    )
