"""Pseudonyms: stable, keyed, and unrelated between kinds."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from countersign.trail.pseudonym import Pseudonyms

ONE = Pseudonyms(b"1" * 32)


@given(st.text())
def test_a_pseudonym_has_its_form_and_is_stable(value: str) -> None:
    assert re.fullmatch(r"p1:[0-9a-f]{32}", ONE.of("user", value))
    assert ONE.of("user", value) == Pseudonyms(b"1" * 32).of("user", value)


def test_kind_key_and_value_each_matter() -> None:
    seen = {
        ONE.of("user", "ann"),
        ONE.of("reviewer", "ann"),
        ONE.of("tenant", "ann"),
        ONE.of("user", "bob"),
        Pseudonyms(b"2" * 32).of("user", "ann"),
    }
    assert len(seen) == 5


def test_one_person_in_two_spellings_is_one_person() -> None:
    assert ONE.of("user", " Ann@Example.com ") == ONE.of("user", "ann@example.com")


def test_the_version_of_the_key_is_seen() -> None:
    assert Pseudonyms(b"1" * 32, version=7).of("user", "ann").startswith("p7:")


def test_a_short_key_is_refused() -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        Pseudonyms(b"short")
