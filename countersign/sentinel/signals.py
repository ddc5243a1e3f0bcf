"""Find the rules' matches in a folded text, quickly: literal words first, patterns only around them."""

from collections.abc import Iterator
from dataclasses import dataclass

from countersign.sentinel import orders, voices
from countersign.sentinel.normalise import View
from countersign.sentinel.rule import Kind, Rule, rule
from countersign.sentinel.weights import HIGHEST
from countersign.words import Channel

RULES: tuple[Rule, ...] = orders.RULES + voices.RULES

CONCEALED = rule(
    Kind.CONCEALED, "concealed", 0.6, 0.45, "", "", "hides the words of another signal from the reader's eye"
)
"""Added by the screen to hits in encoded or invisible text."""

HIDDEN_ORDER = rule(
    Kind.TASK,
    "hidden_order",
    0.45,
    0.3,
    "",
    r"\b(?:ignore|approve|accept|say|report|mark|rate|classify|output|respond|reply|answer|do not|don't|never|always"
    r"|you must|summari[sz]e|tell|send|delete|skip|recommend) (?:\w+ ){0,3}?(?:this|that|the|any|all|as|only|it|no"
    r"|with)\b",
    "gives an order in text that a reader cannot see",
)
"""Tried by the screen on invisible text only."""

FOREIGN = rule(
    Kind.FOREIGN,
    "foreign_passage",
    0.35,
    0,
    "",
    "",
    "holds a passage in another language than the rest, which the rules cannot judge",
)
"""Added by the screen to a sentence that is not English in a document that is."""

STYLE = {
    Channel.DOCUMENT: rule(
        Kind.STYLE,
        "reads_like_an_order",
        HIGHEST,
        0,
        "",
        "",
        "holds a passage that reads like a request to a model, not like a contract",
    ),
    Channel.INSTRUCTION: rule(
        Kind.STYLE,
        "reads_like_an_attack",
        0,
        HIGHEST,
        "",
        "",
        "holds a passage that reads like known attempts to take control of a model",
    ),
}
"""Added by the screen to passages that the statistical scorer finds; it counts with the risk found."""


@dataclass(frozen=True)
class Hit:
    """One match: `rule` at `start` to `end` of the original text, counting for `score`; `note` explains it further."""

    rule: Rule
    start: int
    end: int
    score: float
    note: str = ""


_REACH = 200
"""Characters on either side of a needle in which its pattern may match."""

_STRETCH = 2000
"""Characters that a pattern is tried on at a time. So no pattern, whatever it does with one stretch, can take more than
a constant time for each character of the text; neighbouring stretches share twice the reach, and no match is lost."""

_CROWD = 50
"""Characters after a match's start within which further matches of the same rule are left out."""


def find(view: View, channel: Channel) -> Iterator[Hit]:
    """The matches of the rules of `channel` in the view, with offsets of the original text.

    Of matches of one rule that crowd together only the first counts: repetition proves nothing more.
    """
    text = view.text
    for each in RULES:
        weight = each.weight(channel)
        if weight == 0:
            continue
        crowded_until = 0
        for low, high in _neighbourhoods(text, each.needles):
            for match in each.pattern.finditer(text, low, high):
                found = match.group().strip()
                if found and match.start() >= crowded_until:
                    crowded_until = match.start() + _CROWD
                    start = text.index(found, match.start())
                    yield Hit(each, *view.original(start, start + len(found)), weight)


def _neighbourhoods(text: str, needles: tuple[str, ...]) -> list[tuple[int, int]]:
    """Where a rule's pattern is to be tried: the text around its needles, in stretches of bounded length."""
    places: list[int] = []
    for needle in needles:
        place = text.find(needle)
        while place >= 0:
            places.append(place)
            place = text.find(needle, place + len(needle))
    merged: list[tuple[int, int]] = []
    for place in sorted(places):
        low, high = max(place - _REACH, 0), min(place + _REACH, len(text))
        if merged and low <= merged[-1][1]:
            low = merged.pop()[0]
        while high - low > _STRETCH:
            merged.append((low, low + _STRETCH))
            low += _STRETCH - 2 * _REACH
        merged.append((low, high))
    return merged
