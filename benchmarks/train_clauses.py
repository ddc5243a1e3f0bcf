"""Train and measure the clause finder on CUAD: `python benchmarks/train_clauses.py [--write] [--quick] [--json]`.

Measures by cross-validation grouped by contract: a contract counts as having a family when any passage reaches the
family's threshold, and everything (features kept, weights, calibration, thresholds) comes from the training folds
alone. `--write` then trains on all contracts and writes `countersign/clauses/weights.npz`. Needs numpy only; one
run takes about ten minutes on one core. The same data always gives the same weights.
"""

import argparse
import json
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from countersign.clauses import weights as w  # noqa: E402
from countersign.clauses.cuad import CUAD_CATEGORY  # noqa: E402
from countersign.clauses.cues import cue_counts, signed  # noqa: E402
from countersign.clauses.features import features  # noqa: E402
from countersign.clauses.passages import passages  # noqa: E402
from countersign.clauses.position import plain  # noqa: E402
from countersign.clauses.structure import STRUCTURAL  # noqa: E402
from countersign.playbook.load import load_playbook  # noqa: E402
from countersign.playbook.model import Playbook  # noqa: E402
from countersign.settings import Settings  # noqa: E402

FAMILIES = tuple(key for key in CUAD_CATEGORY if key not in STRUCTURAL)
"""The families to train; title and parties are found by form."""
OVERLAP = 0.5
"""A passage is positive when it shares this much of itself, or of a labelled span, with the span."""
LEAST_CONTRACTS = 4
"""A feature counts when it stands in at least so many training contracts."""
KEPT_FEATURES = 60_000
"""Features kept after training, those with the strongest weights."""
BATCH, RATE, DECAY = 512, 0.3, 1e-6
SEED = 7
MEASURED_FROM = 20
"""Families with fewer positive contracts are reported but pooled apart."""

Bools = NDArray[np.bool_]


@dataclass(frozen=True)
class Corpus:
    """N passages of C contracts, F families. `pointer[i]:pointer[i + 1]` are passage i's entries in `hashes`."""

    pointer: NDArray[np.int64]
    hashes: NDArray[np.uint32]
    contract: NDArray[np.int64]
    labels: Bools  # (N, F)
    cued: Bools  # (N, F)
    grave: Bools  # (N, F)
    present: Bools  # (C, F)
    structural: dict[str, tuple[Bools, Bools]]
    """By family found by form: (C,) whether something was found, and whether the experts found it."""


def read_corpus(data: Path, playbook: Playbook, most: int | None = None) -> Corpus:
    """CUAD as `data/cuad` lays it out: contracts.jsonl, spans.jsonl, txt/."""
    folder = data / "cuad"
    contracts = [json.loads(line) for line in (folder / "contracts.jsonl").read_text(encoding="utf-8").splitlines()]
    contracts = contracts[:most]
    spans: dict[tuple[str, str], dict[str, object]] = {}
    for line in (folder / "spans.jsonl").read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        spans[row["contract_id"], row["category"]] = row
    counts, hashes, owners, labels, cued, grave = [], [], [], [], [], []
    present = np.zeros((len(contracts), len(FAMILIES)), dtype=bool)
    structural = {key: (np.zeros(len(contracts), bool), np.zeros(len(contracts), bool)) for key in STRUCTURAL}
    for number, contract in enumerate(contracts):
        text = (folder / contract["txt"]).read_text(encoding="utf-8")
        places = passages(text)
        pieces = [text[start:end] for start, end in places]
        rows, found = features(pieces)
        counts.append(np.bincount(rows, minlength=len(places)))
        hashes.append(found.astype(np.uint32))
        owners.append(np.full(len(places), number))
        plain_texts = [plain(piece) for piece in pieces]
        cues = [cue_counts(plain_texts, playbook.family(key)) for key in FAMILIES]
        cued.append(np.stack(cues, axis=1) > 0)
        signs = [playbook.family(key).walk_away.signs for key in FAMILIES]
        grave.append(np.stack([signed(plain_texts, *pair) for pair in zip(cues, signs, strict=True)], axis=1))
        for key, (said, true) in structural.items():
            said[number] = STRUCTURAL[key](text) is not None
            true[number] = bool(spans[contract["contract_id"], CUAD_CATEGORY[key]]["present"])
        starts, ends = np.array(places).reshape(-1, 2).T
        label = np.zeros((len(places), len(FAMILIES)), dtype=bool)
        for column, key in enumerate(FAMILIES):
            row = spans[contract["contract_id"], CUAD_CATEGORY[key]]
            present[number, column] = bool(row["present"])
            for span in row["spans"]:  # type: ignore[attr-defined]
                shared = np.minimum(ends, span["end"]) - np.maximum(starts, span["start"])
                label[:, column] |= shared >= OVERLAP * np.minimum(ends - starts, span["end"] - span["start"])
        labels.append(label)
    return Corpus(
        pointer=np.concatenate([[0], np.cumsum(np.concatenate(counts))]),
        hashes=np.concatenate(hashes),
        contract=np.concatenate(owners),
        labels=np.concatenate(labels),
        cued=np.concatenate(cued),
        grave=np.concatenate(grave),
        present=present,
        structural=structural,
    )


def _entries(corpus: Corpus, chosen: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """(index into `chosen`, index into `hashes`) of every feature of the chosen passages."""
    lengths = np.diff(corpus.pointer)[chosen]
    owners = np.repeat(np.arange(len(chosen)), lengths)
    before = np.concatenate([[0], np.cumsum(lengths)[:-1]])
    return owners, np.repeat(corpus.pointer[chosen] - before, lengths) + np.arange(lengths.sum())


def _vocabulary(corpus: Corpus, chosen: NDArray[np.int64]) -> NDArray[np.uint32]:
    owners, entries = _entries(corpus, chosen)
    keys = (corpus.hashes[entries].astype(np.uint64) << np.uint64(32)) | corpus.contract[chosen][owners].astype(
        np.uint64
    )
    values, contracts = np.unique(np.unique(keys) >> np.uint64(32), return_counts=True)
    return np.asarray(values[contracts >= LEAST_CONTRACTS], dtype=np.uint32)


def fit_table(corpus: Corpus, contracts: NDArray[np.int64], epochs: int) -> w.Weights:
    """One-against-rest logistic regression of all families at once, by Adagrad; strongest features kept, quantised."""
    chosen = np.flatnonzero(np.isin(corpus.contract, contracts))
    vocabulary = _vocabulary(corpus, chosen)
    random = np.random.default_rng(SEED)
    table = np.zeros((len(vocabulary), len(FAMILIES)), dtype=np.float32)
    squares = np.full_like(table, 1e-3)
    bias = np.log(np.clip(corpus.labels[chosen].mean(axis=0), 1e-5, 1)).astype(np.float32)
    lengths = np.diff(corpus.pointer)
    for _ in range(epochs):
        order = random.permutation(chosen)
        for first in range(0, len(order), BATCH):
            batch = np.sort(order[first : first + BATCH])
            owners, entries = _entries(corpus, batch)
            hashes = corpus.hashes[entries]
            places = np.minimum(np.searchsorted(vocabulary, hashes), len(vocabulary) - 1)
            known = vocabulary[places] == hashes
            owners, places = owners[known], places[known]
            norm = (1 / np.sqrt(np.maximum(lengths[batch], 1))).astype(np.float32)
            sums = np.zeros((len(batch), len(FAMILIES)), dtype=np.float32)
            rows, starts = np.unique(owners, return_index=True)
            sums[rows] = np.add.reduceat(table[places], starts, axis=0)
            margin = sums * norm[:, None] + bias
            error = (1 / (1 + np.exp(-margin)) - corpus.labels[batch]).astype(np.float32)
            bias -= 0.05 * error.mean(axis=0)
            by_place = np.argsort(places, kind="stable")
            touched, starts = np.unique(places[by_place], return_index=True)
            gradient = np.add.reduceat((error * norm[:, None])[owners[by_place]], starts, axis=0)
            gradient += DECAY * BATCH * table[touched]
            squares[touched] += gradient * gradient
            table[touched] -= RATE * gradient / np.sqrt(squares[touched])
    strength = np.abs(table).max(axis=1)
    kept = np.sort(np.argsort(-strength, kind="stable")[:KEPT_FEATURES])
    scale = np.maximum(np.abs(table[kept]).max(axis=0), 1e-6) / 127
    count = len(FAMILIES)
    return w.Weights(
        families=FAMILIES,
        vocabulary=vocabulary[kept],
        table=np.round(table[kept] / scale) * scale,
        bias=bias,
        passage=np.tile(np.array([1, 0, 0], dtype=np.float32), (count, 1)),
        document=np.tile(np.array([1, 0, 0], dtype=np.float32), (count, 1)),
        threshold=np.full(count, 0.5, dtype=np.float32),
    )


def margins_of(corpus: Corpus, weights: w.Weights, contracts: NDArray[np.int64]) -> tuple[NDArray[np.int64], w.Floats]:
    """The passages of the contracts, and their margins."""
    chosen = np.flatnonzero(np.isin(corpus.contract, contracts))
    owners, entries = _entries(corpus, chosen)
    return chosen, w.margins(weights, owners, corpus.hashes[entries].astype(np.uint64), len(chosen))


def out_of_fold(corpus: Corpus, contracts: NDArray[np.int64], folds: int, epochs: int) -> w.Floats:
    """(N, F) margins of the contracts' passages, each by weights that never saw its contract; 0 elsewhere."""
    margins = np.zeros(corpus.labels.shape, dtype=np.float32)
    fold = np.random.default_rng(SEED + 1).permutation(len(contracts)) % folds
    for number in range(folds):
        table = fit_table(corpus, contracts[fold != number], epochs)
        chosen, margin = margins_of(corpus, table, contracts[fold == number])
        margins[chosen] = margin
    return margins


def logistic(inputs: NDArray[np.float64], target: Bools, ridge: float) -> NDArray[np.float64]:
    """Coefficients (intercept last) of a logistic regression by Newton's method, the slopes shrunk by `ridge`."""
    design = np.column_stack([inputs, np.ones(len(inputs))])
    penalty = np.diag([ridge] * inputs.shape[1] + [1e-3])
    found = np.zeros(design.shape[1])
    for _ in range(100):
        chance = 1 / (1 + np.exp(-np.clip(design @ found, -30, 30)))
        slope = design.T @ (chance - target) + penalty @ found
        curvature = (design * (chance * (1 - chance) + 1e-9)[:, None]).T @ design + penalty
        step = np.linalg.solve(curvature, slope)
        found -= np.clip(step, -2, 2)
        if np.abs(step).max() < 1e-6:
            break
    return found


def best_threshold(chance: w.Floats, present: Bools) -> float:
    """The probability with the best F1, drawn towards 0.42 (near the best if calibrated) where positives are few."""
    grid = np.arange(0.1, 0.8, 0.02)
    f1 = [2 * (chance[present] >= t).sum() / max((chance >= t).sum() + present.sum(), 1) for t in grid]
    share = present.sum() / (present.sum() + 40)
    return float(share * grid[int(np.argmax(f1))] + (1 - share) * 0.42)


def calibrate(corpus: Corpus, table: w.Weights, contracts: NDArray[np.int64], margins: w.Floats) -> w.Weights:
    """The weights with passage and document steps and thresholds fitted to out-of-fold margins of the contracts."""
    chosen = np.flatnonzero(np.isin(corpus.contract, contracts))
    passage, document, threshold = [], [], []
    for column in range(len(FAMILIES)):
        margin, cued, label = margins[chosen, column], corpus.cued[chosen, column], corpus.labels[chosen, column]
        steps = logistic(np.column_stack([margin, cued]).astype(np.float64), label, ridge=1.0).astype(np.float32)
        steps[0], steps[1] = max(steps[0], 0.1), max(steps[1], 0)
        logits = w.passage_logits(margin, cued, steps)
        owner = corpus.contract[chosen]
        tops = np.array([_top(logits[owner == number]) for number in contracts])
        present = corpus.present[contracts, column]
        final = logistic(tops, present, ridge=0.5).astype(np.float32)
        final[0], final[1] = max(final[0], 0.05), max(final[1], 0)
        score = np.clip(tops @ final[:2] + final[2], -30, 30)
        passage.append(steps)
        document.append(final)
        threshold.append(best_threshold((1 / (1 + np.exp(-score))).astype(np.float32), present))
    return w.Weights(
        families=table.families,
        vocabulary=table.vocabulary,
        table=table.table,
        bias=table.bias,
        passage=np.array(passage, dtype=np.float32),
        document=np.array(document, dtype=np.float32),
        threshold=np.array(threshold, dtype=np.float32),
    )


def _top(logits: w.Floats) -> tuple[float, float]:
    return float(logits.max(initial=-12.0)), w.next_best(logits)


def predict(corpus: Corpus, weights: w.Weights, contracts: NDArray[np.int64]) -> tuple[w.Floats, Bools]:
    """(contracts, F) probabilities, and whether each contract counts as having each family, as in `find_clauses`."""
    chosen, margins = margins_of(corpus, weights, contracts)
    chance = np.zeros((len(contracts), len(FAMILIES)), dtype=np.float32)
    for place, number in enumerate(contracts):
        own = corpus.contract[chosen] == number
        for column in range(len(FAMILIES)):
            logits = w.passage_logits(margins[own, column], corpus.cued[chosen[own], column], weights.passage[column])
            chance[place, column] = w.document_probabilities(logits, weights.document[column]).max(initial=0.0)
    grave = np.array([corpus.grave[corpus.contract == number].any(axis=0) for number in contracts])
    return chance, (chance >= weights.threshold) | grave


def figures(said: Bools, present: Bools) -> dict[str, float | int]:
    """Precision, recall and F1 of the pooled decisions."""
    hits, claims, truths = int((said & present).sum()), int(said.sum()), int(present.sum())
    return {
        "n": truths,
        "precision": round(hits / max(claims, 1), 4),
        "recall": round(hits / max(truths, 1), 4),
        "f1": round(2 * hits / max(claims + truths, 1), 4),
    }


def report(corpus: Corpus, chance: w.Floats, said: Bools) -> dict[str, object]:
    """Figures per family and overall, micro and macro, with a 95 % interval of the micro F1 over contracts."""
    brier = float(((chance - corpus.present) ** 2).mean())
    rates = corpus.present.mean(axis=0)
    keys = (*FAMILIES, *corpus.structural)
    said = np.column_stack([said, *(found for found, _ in corpus.structural.values())])
    present = np.column_stack([corpus.present, *(true for _, true in corpus.structural.values())])
    families = {key: figures(said[:, column], present[:, column]) for column, key in enumerate(keys)}
    often = present.sum(axis=0) >= MEASURED_FROM
    random = np.random.default_rng(SEED)
    draws = [random.integers(0, len(said), len(said)) for _ in range(1000)]
    spread = [figures(said[draw][:, often], present[draw][:, often])["f1"] for draw in draws]
    macro = [families[key]["f1"] for key, often_enough in zip(keys, often, strict=True) if often_enough]
    return {
        "n_contracts": len(said),
        "families": families,
        "micro_all": figures(said, present),
        "families_measured": int(often.sum()),
        "micro": figures(said[:, often], present[:, often]),
        "micro_f1_interval": [round(float(q), 4) for q in np.quantile(spread, [0.025, 0.975])],
        "macro_f1": round(float(np.mean(macro)), 4) if macro else None,
        "micro_rare": figures(said[:, ~often], present[:, ~often]),
        "brier": round(brier, 4),
        "brier_of_base_rate": round(float((rates * (1 - rates)).mean()), 4),
    }


def cross_validate(corpus: Corpus, folds: int, inner: int, epochs: int) -> dict[str, object]:
    """The report of predictions for every contract by weights, calibration and thresholds that never saw it."""
    count = len(corpus.present)
    fold = np.random.default_rng(SEED).permutation(count) % folds
    chance = np.zeros(corpus.present.shape, dtype=np.float32)
    said = np.zeros(corpus.present.shape, dtype=bool)
    for number in range(folds):
        train, held = np.flatnonzero(fold != number), np.flatnonzero(fold == number)
        table = fit_table(corpus, train, epochs)
        model = calibrate(corpus, table, train, out_of_fold(corpus, train, inner, epochs))
        chance[held], said[held] = predict(corpus, model, held)
        print(f"fold {number + 1} of {folds}", figures(said[held], corpus.present[held]), file=sys.stderr, flush=True)
    return report(corpus, chance, said)


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, and with `--write` train on everything and write the weights."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Settings().data, help="folder laid out like shared/data")
    parser.add_argument(
        "--quick", action="store_true", help="60 contracts, 2 folds, 1 epoch: shows that it works, no more"
    )
    parser.add_argument("--json", action="store_true", help="the last line is one JSON object")
    parser.add_argument("--write", action="store_true", help="train on everything and write the weights")
    parser.add_argument("--no-measure", action="store_true", help="skip the cross-validation")
    options = parser.parse_args(arguments)
    began = time.monotonic()
    folds, inner, epochs, most = (2, 2, 1, 60) if options.quick else (5, 3, 4, None)
    corpus = read_corpus(options.data, load_playbook(ROOT / "playbooks", "msa"), most)
    result: dict[str, object] = {"n_contracts": len(corpus.present), "n_passages": len(corpus.contract)}
    if not options.no_measure:
        result |= cross_validate(corpus, folds, inner, epochs)
    if options.write:
        everything = np.arange(len(corpus.present))
        table = fit_table(corpus, everything, epochs)
        model = calibrate(corpus, table, everything, out_of_fold(corpus, everything, 5, epochs))
        w.save(w.PATH, model)
        result["weights_bytes"] = w.PATH.stat().st_size
    result["seconds"] = round(time.monotonic() - began, 1)
    if not options.json:
        for key, value in result.get("families", {}).items():  # type: ignore[attr-defined]
            print(f"{key:38s}", value)
        print({key: value for key, value in result.items() if key != "families"})
    else:
        print(json.dumps(result))


if __name__ == "__main__":
    main()
