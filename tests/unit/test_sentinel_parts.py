"""The sentinel's parts: folding with a way back, rules, and time that grows with the text and no faster."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from countersign.document.model import DocumentText, Page
from countersign.sentinel.disguises import hidden_stretches, islands
from countersign.sentinel.normalise import fold
from countersign.sentinel.screen import screen
from countersign.sentinel.signals import RULES


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


@given(st.text())
def test_every_folded_character_has_a_place_in_the_original(text: str) -> None:
    view = fold(text)
    places = [view.original(at, at + 1) for at in range(len(view.text))]
    assert all(0 <= start < end <= len(text) for start, end in places)
    assert places == sorted(places)


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
]  # fmt: skip


@pytest.mark.parametrize("piece", HOSTILE)
def test_time_is_bounded_for_hostile_repetition(piece: str) -> None:
    size = 40_000
    text = (piece * (size // len(piece) + 1))[:size]
    began = time.process_time()
    screen("", DocumentText(text=text, pages=(Page(number=1, start=0, end=size),)))
    assert time.process_time() - began < 2, "40,000 characters take 20 to 200 ms; seconds mean a pattern backtracks"
