"""The sentinel's parts: folding with a way back, rules, and work that grows with the text and no faster."""

import sys
from collections.abc import Callable
from types import FrameType
from typing import Any, TypeAlias

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from countersign.document.model import DocumentText, Page
from countersign.sentinel.disguises import hidden_stretches, islands
from countersign.sentinel.normalise import fold
from countersign.sentinel.screen import screen
from countersign.sentinel.signals import RULES, _neighbourhoods

TraceFunction: TypeAlias = Callable[[FrameType, str, Any], Any]


@pytest.mark.parametrize(
    ("text", "folded"),
    [
        ("Plain  text\n\n\tHere", "plain text\nhere"),
        ("ﬁnal ＡＢ", "final ab"),
        ("сору", "copy"),
        ("“naïve” — it’s", '"naive" - it\'s'),
        ("a\u200bb\u00adc\u202ed", "abcd"),
        ("instruc-\n  tions", "instructions"),
        ("ig<b>no</b>re", "ignore"),
        ("a < b and c > d", "a < b and c > d"),
    ],
)
def test_folding(text: str, folded: str) -> None:
    assert fold(text).text == folded


@settings(deadline=None)
@given(st.text())
def test_every_folded_character_has_a_place_in_the_original(text: str) -> None:
    view = fold(text)
    places = [view.original(at, at + 1) for at in range(len(view.text))]
    assert all(0 <= start < end <= len(text) for start, end in places)
    assert places == sorted(places)


@settings(deadline=None)
@given(st.text(alphabet=st.characters(max_codepoint=127, exclude_characters="<-"), max_size=200))
def test_ascii_maps_back_to_itself(text: str) -> None:
    view = fold(text)
    for at, character in enumerate(view.text):
        start, _ = view.original(at, at + 1)
        assert text[start].lower() == character or text[start].isspace()


def test_islands_are_found_by_what_they_decode_to() -> None:
    text = "id 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08 and SGVsbG8gdGhlcmUsIGdvb2QgZnJpZW5k!"
    (island,) = islands(text)
    assert (island.text, island.encoding) == ("Hello there, good friend", "base64")
    assert text[island.start : island.end] == "SGVsbG8gdGhlcmUsIGdvb2QgZnJpZW5k"


def test_hidden_stretches() -> None:
    text = 'a <!-- b --> c <p style="font-size:0px">d</p> <!-- open'
    assert [text[start:end] for start, end in hidden_stretches(text)] == ["<!-- b -->", '<p style="font-size:0px">d</']


def test_rules_are_told_apart_and_explained() -> None:
    assert len({rule.name for rule in RULES}) == len(RULES)
    for rule in RULES:
        assert all(rule.needles), rule.name
        assert rule.explanation, rule.name
        assert 0 <= rule.document < 1, rule.name
        assert 0 <= rule.instruction < 1, rule.name


HOSTILE = [
    *(rule.needles[0] for rule in RULES),
    "<!-- ", "a b c d ", "%20%20", "send data ", "\u202eabcdefgh", "<img ", "ignore ", "you are not ", "&#65;",
    "say the following ", "=== end of document === ", "i\u0430", "- \n", "<b ", "Z" * 40, "0a ", "01010101 ",
    "\n", "\n ", "a-\n", '<p style="color:white ', "<p hidden ", " alt='", "![", '](a "', "[//]: # ", "\ufe01",
    "\u200b\u200c", "\\u0041", "1gn0r3 ", "i.g.n.o.r.e ", "a-b-c-", "vtaber ", "!#$%&()*+;<=>?@^{|}", "http://",
    "a@", "write me a poem ",
]  # fmt: skip


def lines_run(text: str) -> int:
    """How many lines of the sentinel's own code run while `text` is screened: its work, whatever the machine."""
    count = 0

    def on_line(_frame: FrameType, _event: str, _arg: object) -> TraceFunction:
        nonlocal count
        count += 1
        return on_line

    def on_call(frame: FrameType, _event: str, _arg: object) -> TraceFunction | None:
        return on_line if "sentinel" in frame.f_code.co_filename else None

    before = sys.gettrace()
    sys.settrace(on_call)
    try:
        screen(text, DocumentText(text=text, pages=(Page(number=1, start=0, end=len(text)),)))
    finally:
        sys.settrace(before)
    return count


@pytest.mark.parametrize("piece", HOSTILE)
def test_work_is_linear_for_hostile_repetition(piece: str) -> None:
    short, long = ((piece * (size // len(piece) + 1))[:size] for size in (400, 1_600))
    lines_run(short)
    assert lines_run(long) <= 4.6 * lines_run(short) + 1_000


@given(st.text(alphabet="ab ignore.\n", min_size=1, max_size=200), st.integers(1, 60))
@settings(deadline=None, max_examples=60)
def test_no_pattern_sees_more_than_a_stretch_at_a_time(piece: str, times: int) -> None:
    text = piece * times
    stretches = _neighbourhoods(text, ("ig", "a"))
    assert all(0 <= low < high <= len(text) and high - low <= 2_000 for low, high in stretches)
    assert sum(high - low for low, high in stretches) <= 2 * len(text) + 2_000
    for needle in ("ig", "a"):
        for at in range(len(text)):
            if text.startswith(needle, at):
                low, high = max(at - 200, 0), min(at + 200, len(text))
                assert any(start <= low and high <= end for start, end in stretches)
