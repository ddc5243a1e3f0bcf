"""Cold memory's pure parts: unit vectors that see shared words, and passages that lose nothing."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from countersign.memory.embedding import DIMENSIONS, HashingEmbedder, MiniLmEmbedder, normalised
from countersign.memory.knowledge import split_passages, vector_text

HASHING = HashingEmbedder()
LIABILITY = "The total liability of the Supplier shall not exceed the fees paid in the preceding twelve months."
COOKERY = "Whisk the eggs with sugar until pale, then fold in the flour and bake until golden."
QUESTION = "What is the cap on the supplier's liability?"


def cosine(one: list[float], other: list[float]) -> float:
    return math.fsum(a * b for a, b in zip(one, other, strict=True))


@given(st.text(max_size=300))
def test_vectors_are_of_unit_length_or_zero(text: str) -> None:
    (vector,) = HASHING.embed([text])
    length = math.sqrt(cosine(vector, vector))
    assert len(vector) == DIMENSIONS
    assert length == pytest.approx(1) or (length == 0 and vector_text(vector) is None)


def test_hashing_is_the_same_on_every_machine() -> None:
    (vector,) = HASHING.embed(["indemnity"])
    assert [(index, value) for index, value in enumerate(vector) if value] == [(321, -1.0)]


def test_shared_words_are_nearer_than_none() -> None:
    question, near, far = HASHING.embed([QUESTION, LIABILITY, COOKERY])
    assert cosine(question, near) > cosine(question, far) + 0.1


def test_case_does_not_matter_and_order_does() -> None:
    one, shouted, turned = HASHING.embed(
        ["party of the first part", "PARTY OF THE FIRST PART", "part first the of party"]
    )
    assert one == shouted
    assert cosine(one, turned) < 0.99


def test_a_vector_of_zeros_stays_one() -> None:
    assert normalised([0.0, 0.0]) == [0.0, 0.0]


@given(st.text(alphabet=st.sampled_from("ab. \n;"), max_size=400), st.integers(5, 60))
def test_passages_keep_every_word_in_order_and_in_size(text: str, size: int) -> None:
    passages = split_passages(text, size)
    assert " ".join(passages).split() == text.split()
    assert all(len(passage) <= size or " " not in passage for passage in passages)


def test_short_paragraphs_stay_together_and_whole() -> None:
    text = "First paragraph.\n\nSecond\nparagraph.\n\n" + "x" * 30
    assert split_passages(text, 40) == ("First paragraph.\n\nSecond paragraph.", "x" * 30)


def test_a_long_paragraph_is_cut_at_a_sentence() -> None:
    assert split_passages("One sentence here. Another one here. A third.", 25) == (
        "One sentence here.",
        "Another one here.",
        "A third.",
    )


def test_sentence_vectors_see_meaning_where_they_are_installed() -> None:
    minilm = MiniLmEmbedder.installed()
    if minilm is None:
        pytest.skip("the extra `semantic` is not installed")
    question, near, far, empty = minilm.embed([QUESTION, LIABILITY, COOKERY, "—"])
    assert cosine(question, question) == pytest.approx(1)
    assert cosine(question, near) > 0.5
    assert cosine(question, far) < 0.2
    assert not any(empty)
    assert minilm.embed([LIABILITY])[0] == pytest.approx(near, abs=0.02)
