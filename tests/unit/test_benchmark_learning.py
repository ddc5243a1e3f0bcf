"""The pairs of contracts that the benchmark of learning is about."""

from pathlib import Path

import pytest

from benchmarks.learning_cases import LIGHT, SAME, likeness, pairs, scanned, shares
from countersign.memory.embedding import HashingEmbedder
from countersign.playbook.load import load_playbook
from countersign.settings import ROOT

CLAUSE = "This Agreement shall be governed by the laws of the State of New York without regard to its conflict of laws."


def test_the_same_clause_is_told_by_its_words() -> None:
    assert shares(CLAUSE, CLAUSE.upper()) == 1
    assert shares(CLAUSE, f"{CLAUSE} The parties submit to the courts of that State and waive every objection.") < SAME
    assert shares(CLAUSE, "Either party may terminate upon thirty days' notice to the other party in writing.") == 0
    assert shares("Too short.", CLAUSE) == 0


def test_pairs_are_of_two_contracts_and_repeat(data: Path) -> None:
    playbook = load_playbook(ROOT / "playbooks", "msa")
    contracts = scanned(data, playbook, 12)
    if not contracts:
        pytest.skip("COUNTERSIGN_DATA holds no contract texts")
    found = pairs(contracts, playbook, LIGHT, 6)
    assert found
    assert found == pairs(scanned(data, playbook, 12), playbook, LIGHT, 6)
    assert all(pair.source != pair.target and pair.before in LIGHT for pair in found)
    figures = likeness(contracts, HashingEmbedder(), 50)
    assert figures["unlike"] == 50
