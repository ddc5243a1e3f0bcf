"""The arithmetic under the clause finder: cues' shortcut, hashed features, weights on disk, probabilities."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from countersign.clauses import weights as w
from countersign.clauses.cuad import CUAD_CATEGORY
from countersign.clauses.cues import cue_counts, required_words, signed
from countersign.clauses.features import features
from countersign.clauses.position import compiled, plain
from countersign.clauses.structure import STRUCTURAL
from countersign.playbook.load import load_playbook
from countersign.settings import ROOT

FAMILIES = [family for name in ("msa", "nda") for family in load_playbook(ROOT / "playbooks", name).families]
CUES = [cue for family in FAMILIES for cue in family.cues]


@pytest.mark.parametrize(
    ("cue", "words"),
    [
        (r"\bgoverning law\b", ("governing law",)),
        (r"\b(?:insurance|insured)\b", ("insurance", "insured")),
        (r"\brenewals?\b", ("renewal",)),
        (r"\b(?:non-?)?compete\b", ("compete",)),
        (r"\b(?:a|an) agreement|\bof\b", ()),
        (r"[a-z]{3,}", ()),
        (r"(?P<name>audit)", ()),
        (r"(?i:audit)", ()),
        (r"\baudit(?!or)", ("audit",)),
        (r"(?<!no )escrow", ("escrow",)),
        (r"\x61udit", ()),
        (r"escrow)", ()),
    ],
)
def test_the_letters_that_every_match_of_a_cue_has(cue: str, words: tuple[str, ...]) -> None:
    assert required_words(cue) == words


@settings(max_examples=40, deadline=None)
@given(st.sampled_from(CUES), st.data())
def test_the_shortcut_never_hides_a_match(cue: str, data: st.DataObject) -> None:
    matching = data.draw(st.from_regex(compiled(cue)))
    words = required_words(cue)
    assert not words or any(word in matching for word in words)


def test_cues_are_counted_by_passage_and_signs_only_beside_them() -> None:
    law = next(family for family in FAMILIES if family.key == "governing_law")
    texts = [plain("Governed by the laws of the State of Ohio."), plain("Nothing of the kind."), plain("laws of Ohio")]
    counts = cue_counts(texts, law)
    assert counts.tolist() == [2, 0, 0]
    assert signed(texts, counts, [r"\bohio\b"]).tolist() == [True, False, False]


def test_features_are_the_same_each_time_and_belong_to_their_passage() -> None:
    texts = ["The term is one year.", "The term is one year.", ""]
    rows, hashes = features(texts)
    again_rows, again_hashes = features(list(texts))
    assert np.array_equal(rows, again_rows)
    assert np.array_equal(hashes, again_hashes)
    assert list(rows) == sorted(rows)
    first, second = set(hashes[rows == 0].tolist()), set(hashes[rows == 1].tolist())
    assert first < second  # the second also knows the words of the passage before it
    assert int(hashes.max()) < 2**32


def test_numbers_and_months_share_their_features() -> None:
    one, other = (set(features([text])[1].tolist()) for text in ("On 3 June 2019", "On 7 April 2024"))
    assert one == other


def test_no_passages_no_features() -> None:
    rows, hashes = features([])
    assert len(rows) == len(hashes) == 0
    assert w.margins(w.committed(), rows, hashes, 0).shape == (0, len(w.committed().families))


def test_margins_are_the_sums_of_a_passages_weights() -> None:
    weights = w.committed()
    rows, hashes = features(["This Agreement is governed by the laws of Delaware.", "Rain is expected.", "…"])
    margins = w.margins(weights, rows, hashes, 3)
    for row in range(2):
        own = hashes[rows == row]
        known = [int(place) for place in np.flatnonzero(np.isin(weights.vocabulary, own))]
        expected = weights.table[known].sum(axis=0) / np.sqrt(len(own)) + weights.bias
        assert margins[row] == pytest.approx(expected, abs=1e-3)
    law = weights.column("governing_law")
    assert law is not None
    assert margins[0, law] > margins[1, law]


def test_weights_survive_the_disk(tmp_path: Path) -> None:
    before = w.committed()
    w.save(tmp_path / "weights.npz", before)
    after = w.load(tmp_path / "weights.npz")
    assert after.families == before.families
    assert np.array_equal(after.vocabulary, before.vocabulary)
    assert np.allclose(after.table, before.table, atol=1e-6)
    assert np.array_equal(after.document, before.document)


def test_the_committed_weights_are_small_sorted_and_named() -> None:
    weights = w.committed()
    assert w.PATH.stat().st_size < 3_000_000
    assert set(weights.families) == set(CUAD_CATEGORY) - set(STRUCTURAL)
    assert np.all(np.diff(weights.vocabulary.astype(np.int64)) > 0)
    assert np.all((weights.threshold > 0) & (weights.threshold < 1))
    assert np.all(weights.passage[:, :2] >= 0)
    assert np.all(weights.document[:, :2] >= 0)


@given(st.lists(st.floats(-20, 20, width=32), min_size=1, max_size=20))
def test_a_better_passage_never_scores_lower(values: list[float]) -> None:
    logits = np.array(values, dtype=np.float32)
    scores = w.document_probabilities(logits, np.array([0.8, 0.3, -1.0], dtype=np.float32))
    assert np.all((scores >= 0) & (scores <= 1))
    order = np.argsort(logits, kind="stable")
    assert np.all(np.diff(scores[order]) >= 0)
