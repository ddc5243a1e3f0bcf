"""The lab's rules and its prompt cache, as pure parts."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from provider_lab.script import Facts, Rule, Script
from provider_lab.wire import CACHE_LEAST, CACHE_STEP, CHARS_PER_TOKEN, PromptCache, chunks, in_pieces

from countersign.errors import ServiceUnavailable
from workers.embedded import lab

FACTS: dict[str, Any] = {
    "number": 1,
    "provider": "anthropic",
    "model": "claude-sonnet-5",
    "agent": "specialist",
    "tools": ("report_findings", "search"),
    "text": "the liability family",
    "stream": True,
}


def chosen(script: Script, **facts: object) -> int | None:
    return script.choose(Facts.model_validate({**FACTS, **facts}))[0]


@pytest.mark.parametrize(
    "rule",
    [
        Rule(provider="openai"),
        Rule(model="claude-opus-*"),
        Rule(agent="plan"),
        Rule(tool="state_plan"),
        Rule(contains="governing law"),
        Rule(stream=False),
        Rule(request=2),
    ],
)
def test_each_field_that_is_set_must_match(rule: Rule) -> None:
    assert chosen(Script([rule])) is None
    assert chosen(Script([Rule(**{name: FACTS.get(name) for name in rule.model_fields_set & FACTS.keys()})])) == 0


def test_the_first_match_wins_until_it_is_used_up() -> None:
    script = Script([Rule(agent="plan"), Rule(times=2, do="hang"), Rule(model="claude-*", tool="search"), Rule()])
    assert [chosen(script) for _ in range(4)] == [1, 1, 2, 2]
    assert chosen(script, tools=()) == 3
    assert [rule["applied"] for rule in script.shown()] == [0, 2, 2, 1]


def test_what_is_skipped_is_left_to_later_rules() -> None:
    script = Script([Rule(skip=2, times=1, do="cut"), Rule(contains="liability")])
    assert [chosen(script) for _ in range(5)] == [1, 1, 0, 1, 1]


def test_without_a_match_the_answer_is_an_ordinary_one() -> None:
    place, rule = Script([Rule(provider="openai", do="hang")]).choose(Facts.model_validate(FACTS))
    assert (place, rule) == (None, Rule())
    assert rule.do == "answer"


@given(first=st.text("ab", max_size=9000), second=st.text("ab", max_size=9000), shared=st.text("cd", max_size=9000))
def test_the_cache_reads_steps_of_a_shared_beginning_and_no_more(first: str, second: str, shared: str) -> None:
    cache = PromptCache()
    assert cache.read(shared + first)[0] == 0
    read, kept = cache.read(shared + second)
    same = next(
        (n for n, (a, b) in enumerate(zip(first, second, strict=False)) if a != b), min(len(first), len(second))
    )
    whole = (len(shared) + same) // CHARS_PER_TOKEN // CACHE_STEP * CACHE_STEP
    assert read == (whole if whole >= CACHE_LEAST else 0)
    assert read <= kept <= len(shared + second) / CHARS_PER_TOKEN


@given(text=st.text(max_size=300), size=st.integers(1, 50), tokens=st.integers(0, 5000), count=st.integers(1, 20))
def test_pieces_are_the_whole(text: str, size: int, tokens: int, count: int) -> None:
    assert "".join(chunks(text, size)) == text
    pieces = list(in_pieces(text.encode(), tokens, count))
    assert b"".join(piece.data for piece in pieces) == text.encode()
    assert sum(piece.tokens for piece in pieces) == (tokens if text else 0)
    assert all(piece.tokens >= 0 for piece in pieces)
    assert len(pieces) <= count


def test_an_installation_without_the_lab_says_what_to_do(tmp_path: Path) -> None:
    lab.require_lab()
    with pytest.raises(ServiceUnavailable) as raised:
        lab.require_lab(tmp_path)
    assert str(tmp_path) in raised.value.message
    assert "checkout" in raised.value.remedy


def test_a_worker_beside_the_lab_has_its_addresses_and_no_real_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANTHROPIC_API_KEY", "a real one")
    environment = lab.worker_environment("http://127.0.0.1:1", "offline")
    assert environment["ANTHROPIC_BASE_URL"] == "http://127.0.0.1:1"
    assert environment["OPENAI_BASE_URL"] == "http://127.0.0.1:1/v1"
    assert environment["COUNTERSIGN_MODEL"] == lab.MODELS
    assert "a real one" not in environment.values()
    kept = lab.worker_environment("http://127.0.0.1:1", "anthropic:claude-opus-5")
    assert kept["COUNTERSIGN_MODEL"] == "anthropic:claude-opus-5"
