"""Train the sentinel's scorer: `python benchmarks/train_sentinel.py [--write] [--json] [--data DIR]`.

A logistic regression over hashed n-grams for each channel, on stretches of 6 to 48 tokens cut anew in every pass, with
the worst passages of benign texts added as it goes. Calibrated on benign texts, each scored by weights that never saw
it. `--write` writes `countersign/sentinel/weights.npz`. Needs numpy only; about three minutes on one core. The same
data always gives the same weights. `benchmarks/sentinel.py --cross-validate` measures what comes of it.
"""

import argparse
import json
import math
import os
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from benchmarks.sentinel_cases import FOLDS, Case, contract_group, folds, load  # noqa: E402
from countersign.document.read import PDF, read_document  # noqa: E402
from countersign.sentinel.grams import BITS, grams  # noqa: E402
from countersign.sentinel.normalise import fold  # noqa: E402
from countersign.sentinel.scorer import excursions  # noqa: E402
from countersign.sentinel.weights import PATH, UNIT, Calibration, Head, Weights, save  # noqa: E402

SHORTEST, LONGEST = 6, 48
"""Tokens of the stretches trained on."""
PASSES = 5
CHOSEN_FROM = 2
"""The pass from which the weights so far choose what to learn from."""
MINED, MINED_WEIGHT, MINED_TOKENS = 3, 3.0, 120
"""So many of the worst passages of each benign text are added, counted so often, so long at most."""
AVERAGED = 3
"""The weights are the mean over so many last passes."""
BATCH, RATE, DECAY = 512, 0.1, 1e-5
DRIFT = 0.05
"""Taken off every token, so that a text with nothing for or against it has no passage."""
FEWEST_KEPT = 8
"""Smaller weights, in units, are dropped."""
TAIL = 0.1
"""The share of benign texts, those with the highest sums, that the calibration is fitted to."""
SEED = 5
PROMPTS = {"wildguard_benign", "notinject"}
PROMPT = 0.2
"""Weight of a benign prompt as an attack on the document channel: harmless, but no contract speaks so."""
PASTED_TOKENS, PASTED = 3000, 0.2
"""So much of every fifth contract counts as something that a requester may paste, with this weight."""

Numbers = NDArray[np.int64]
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Text:
    """One text as (N, FEATURES) feature places; `whole` texts are not cut."""

    features: NDArray[np.int32]
    group: str
    source: str
    attack: bool
    weight: float
    whole: bool = False
    calibrates: bool = False
    """Whether its best passage counts as one of a benign text."""


@dataclass(frozen=True)
class Policy:
    """What a channel allows, as `Calibration` has it: `hold` and `block` are expected passages in `tokens` tokens."""

    attacks_weigh: float
    """All attacks together, for each unit of weight of the benign texts."""
    tokens: int
    hold: float
    block: float


DOCUMENT = Policy(attacks_weigh=0.3, tokens=36_000, hold=0.25, block=0.005)
"""60 pages of 600 tokens."""
INSTRUCTION = Policy(attacks_weigh=1.0, tokens=600, hold=0.03, block=0.01)
"""One page. Its benign texts are prompts made to look like attacks: requests for a review look far less so."""


def encode(text: str) -> NDArray[np.int32]:
    """The feature places of a text."""
    return grams(text, fold(text)).features.astype(np.int32)


def document_texts(cases: Sequence[Case], agreements: Sequence[Text]) -> list[Text]:
    """What the document channel learns from: agreements against everything that speaks to a model."""
    texts = list(agreements)
    for case in cases:
        if case.measure == "false_hard_negatives":
            texts.append(_text(case.document, case, attack=False, whole=True))
        elif case.attack:
            texts.append(_text(case.attack, case, attack=True))
        elif case.measure == "false_public" and case.source in PROMPTS:
            texts.append(replace(_text(case.instruction, case, attack=True), weight=PROMPT))
    return texts


def instruction_texts(cases: Sequence[Case], agreements: Sequence[Text]) -> list[Text]:
    """What the instruction channel learns from: public attacks against benign prompts, e-mails and pasted contract."""
    texts = []
    for case in cases:
        if case.measure in {"recall_public", "false_public"}:
            attack = case.measure == "recall_public"
            texts.append(replace(_text(case.instruction, case, attack=attack), calibrates=not attack))
    for text in agreements[::5]:
        texts.append(replace(text, features=text.features[:PASTED_TOKENS], weight=PASTED, calibrates=False))
    return texts


def _text(text: str, case: Case, *, attack: bool, whole: bool = False) -> Text:
    return Text(encode(text), case.group, case.source, attack=attack, weight=1, whole=whole)


def read_agreements(data: Path, cases: Sequence[Case]) -> list[Text]:
    """Every benign agreement there is: CUAD, ContractNLI, Kleister NDAs, standard terms."""
    found = [(case.document, case.group) for case in cases if case.measure == "false_contracts"]
    nli = data / "contract_nli" / "contract_nli.json"
    if nli.exists():
        documents = json.loads(nli.read_text(encoding="utf-8"))["documents"]
        found += [(document["text"], contract_group(document["id"])) for document in documents]
    for path in sorted((data / "kleister_nda" / "pdf").glob("*.pdf")):
        text = read_document(path.read_bytes(), PDF, max_bytes=1 << 26).text
        found.append((text, contract_group(f"kleister {path.name}")))
    for path in sorted((data / "knowledge" / "derived_text").glob("*.txt")):
        found.append((path.read_text(encoding="utf-8"), contract_group(f"terms {path.name}")))
    return [Text(encode(text), group, "agreements", attack=False, weight=1, calibrates=True) for text, group in found]


def fit(texts: Sequence[Text], policy: Policy) -> Head:
    """The head trained on `texts`, with a calibration still to be made."""
    random = np.random.default_rng(SEED)
    learner = Learner()
    mean, drift = np.zeros(1 << BITS), 0.0
    for number in range(PASSES):
        stretches = [
            stretch
            for text in texts
            for stretch in (learner.chosen(text, random) if number >= CHOSEN_FROM else cut(text, random))
        ]
        learner.learn(stretches, policy.attacks_weigh, random)
        if number >= PASSES - AVERAGED:
            mean += learner.table / AVERAGED
            drift += learner.drift / AVERAGED
    table = np.round(mean * UNIT).astype(np.int32)
    table[np.abs(table) < FEWEST_KEPT] = 0
    unset = Calibration(decay=1, scale=1, tokens=policy.tokens, hold=policy.hold, block=policy.block)
    return Head(table, round((drift - DRIFT) * UNIT), unset)


Stretch = tuple[NDArray[np.int32], bool, float]
"""Features, whether it is of an attack, weight."""


def cut(text: Text, random: np.random.Generator, core: tuple[int, int] | None = None) -> list[Stretch]:
    """The text in stretches of random length, or of them those that share a token with `core`.

    The stretches of an attack share its weight, for not all of them carry it.
    """
    count = len(text.features)
    if not count:
        return []
    cuts = [0]
    while not text.whole and count - cuts[-1] > LONGEST + SHORTEST:
        cuts.append(cuts[-1] + int(random.integers(SHORTEST, LONGEST + 1)))
    cuts.append(count)
    low, high = core or (0, count)
    pieces = [(a, b) for a, b in pairwise(cuts) if a < high and b > low]
    weight = text.weight / math.sqrt(len(pieces)) if text.attack else text.weight
    return [(text.features[a:b], text.attack, weight) for a, b in pieces]


class Learner:
    """Logistic regression by Adagrad over sums of token scores."""

    def __init__(self) -> None:
        self.table = np.zeros(1 << BITS, dtype=np.float32)
        self.drift = 0.0
        self._bias = 0.0
        self._squares = np.full(1 << BITS, 1e-2, dtype=np.float32)
        self._square_of_bias, self._square_of_drift = 1e-2, 1.0

    def learn(self, stretches: Sequence[Stretch], attacks_weigh: float, random: np.random.Generator) -> None:
        """One pass over the stretches in random order."""
        attack = np.array([stretch[1] for stretch in stretches])
        weight = np.array([stretch[2] for stretch in stretches], dtype=np.float32)
        weight[attack] *= attacks_weigh * weight[~attack].sum() / weight[attack].sum()
        order = random.permutation(len(stretches))
        for first in range(0, len(order), BATCH):
            batch = order[first : first + BATCH]
            features = np.concatenate([stretches[number][0] for number in batch])
            lengths = np.array([len(stretches[number][0]) for number in batch])
            self._step(features, lengths, attack[batch], weight[batch])

    def chosen(self, text: Text, random: np.random.Generator) -> list[Stretch]:
        """What the next pass learns from a text, now that there are weights to judge it by.

        Of an attack only what overlaps its best passage: most of a long prompt is harmless. Of a benign text
        everything, and again the passages taken for attacks.
        """
        found = self._passages(text)
        if text.attack:
            return cut(text, random, found[0][:2] if found else None)
        weight = MINED_WEIGHT * text.weight
        mined = [(text.features[max(a, b - MINED_TOKENS) : b], False, weight) for a, b, _ in found[:MINED]]
        return [*cut(text, random), *mined]

    def _passages(self, text: Text) -> list[tuple[int, int, int]]:
        """(first, end, sum) of the passages by the weights so far, the best first."""
        if not len(text.features):
            return []
        scores = self.table[text.features].sum(axis=1) + (self.drift - DRIFT)
        found = excursions(np.round(scores * UNIT).astype(np.int64), UNIT)
        return sorted(((a, b + 1, total) for a, b, total in found), key=lambda each: (-each[2], each[0]))

    def _step(
        self, features: NDArray[np.int32], lengths: Numbers, attack: NDArray[np.bool_], weight: NDArray[np.float32]
    ) -> None:
        starts = np.concatenate([[0], np.cumsum(lengths)[:-1]])
        sums = np.add.reduceat(self.table[features].sum(axis=1), starts) + self._bias + self.drift * lengths
        error = ((1 / (1 + np.exp(-np.clip(sums, -30, 30))) - attack) * weight).astype(np.float32)
        each = np.repeat(np.repeat(error, lengths), features.shape[1])
        gradient = np.bincount(features.ravel(), each, minlength=len(self.table)).astype(np.float32)
        touched = np.flatnonzero(gradient)
        slope = gradient[touched] + DECAY * len(lengths) * self.table[touched]
        self._squares[touched] += slope * slope
        self.table[touched] -= RATE * slope / np.sqrt(self._squares[touched])
        of_bias, of_drift = float(error.sum()), float((error * lengths).sum())
        self._square_of_bias += of_bias * of_bias
        self._square_of_drift += of_drift * of_drift
        self._bias -= RATE * of_bias / math.sqrt(self._square_of_bias)
        self.drift -= 0.1 * RATE * of_drift / math.sqrt(self._square_of_drift)


def best(head: Head, features: NDArray[np.int32]) -> float:
    """The highest sum over a passage of the text."""
    if not len(features):
        return 0.0
    scores = head.table[features].sum(axis=1, dtype=np.int64) + head.drift
    return max((total for _, _, total in excursions(scores, 1)), default=0) / UNIT


def calibrate(maxima: Floats, tokens: Floats, policy: Policy) -> Calibration:
    """The extreme-value law of the maxima of benign texts, by maximum likelihood on their highest tenth.

    Lower maxima count only as being somewhere below it, so the tail decides. For a given decay the likelihood has its
    best scale in closed form; the decay is found on a fine grid.

    Raises:
        ValueError: the texts are too few, or their maxima too alike, to have a tail.
    """
    tokens = np.maximum(tokens, 1)
    floor = float(np.quantile(maxima, 1 - TAIL))
    above = maxima > floor
    clipped = np.maximum(maxima, floor)
    if not above.any():
        raise ValueError(f"{len(maxima)} benign texts with a highest sum of {floor:.2f} are too few to calibrate with")

    def fitted(decay: float) -> tuple[float, float]:
        scale = float(above.sum()) / float((tokens * np.exp(-decay * clipped)).sum())
        return float(above.sum()) * (math.log(scale) + math.log(decay)) - decay * float(maxima[above].sum()), scale

    decay = max(np.geomspace(0.02, 5, 800).tolist(), key=lambda each: fitted(each)[0])
    return Calibration(decay, fitted(decay)[1], policy.tokens, policy.hold, policy.block)


@dataclass(frozen=True)
class Channel:
    """What one channel learns from, and the heads made of it: one for each fold, and one from everything."""

    texts: list[Text]
    policy: Policy
    held: list[Head]
    """Trained without the fold's groups and carriers, calibrated without its texts."""
    calibration: Calibration
    """From the best passages of all benign texts, each judged by the head of its fold."""

    def whole(self) -> Head:
        """The head trained on everything."""
        return replace(fit(self.texts, self.policy), calibration=self.calibration)

    def without(self, banned: Callable[[Text], bool]) -> Head:
        """The head trained on all but the banned texts."""
        return replace(fit([t for t in self.texts if not banned(t)], self.policy), calibration=self.calibration)


@dataclass(frozen=True)
class Study:
    """Both channels, trained fold by fold."""

    cases: Sequence[Case]
    fold_of: Callable[[str], int]
    document: Channel
    instruction: Channel

    @classmethod
    def of(cls, data: Path, cases: Sequence[Case]) -> "Study":
        """Read what there is to learn from, and train the heads of the folds."""
        agreements = read_agreements(data, cases)
        document, instruction = document_texts(cases, agreements), instruction_texts(cases, agreements)
        fold_of = folds([text.group for text in (*document, *instruction)] + [case.group for case in cases])
        carriers = [{case.carrier for case in cases if case.carrier and fold_of(case.group) == n} for n in range(FOLDS)]
        return cls(
            cases,
            fold_of,
            _channel("document", document, DOCUMENT, fold_of, carriers),
            _channel("instruction", instruction, INSTRUCTION, fold_of, carriers),
        )

    def unseen_group(self, case: Case) -> Weights:
        """Weights that never saw the group of the case, nor the contract around its payload."""
        number = self.fold_of(case.group)
        return Weights(self.document.held[number], self.instruction.held[number])

    def unseen_source(self, source: str) -> Weights:
        """Weights that never saw an attack of the source, nor the contracts around its payloads."""
        carriers = {case.carrier for case in self.cases if case.source == source}

        def banned(text: Text) -> bool:
            return text.source == source or text.group in carriers

        return Weights(self.document.without(banned), self.instruction.without(banned))

    def whole(self) -> Weights:
        """The weights from everything: those to ship."""
        return Weights(self.document.whole(), self.instruction.whole())


def _channel(
    name: str, texts: list[Text], policy: Policy, fold_of: Callable[[str], int], carriers: Sequence[set[str]]
) -> Channel:
    number_of = np.array([fold_of(text.group) for text in texts])
    calibrates = np.array([text.calibrates for text in texts])
    lengths = np.array([len(text.features) for text in texts], dtype=np.float64)
    maxima = np.zeros(len(texts))
    heads = []
    for number in range(FOLDS):
        learnt = [t for t, n in zip(texts, number_of, strict=True) if n != number and t.group not in carriers[number]]
        heads.append(fit(learnt, policy))
        for place in np.flatnonzero(calibrates & (number_of == number)):
            maxima[place] = best(heads[-1], texts[place].features)
        print(f"{name}: fold {number + 1} of {FOLDS}", file=sys.stderr, flush=True)

    def law(chosen: NDArray[np.bool_]) -> Calibration:
        return calibrate(maxima[chosen], lengths[chosen], policy)

    held = [replace(head, calibration=law(calibrates & (number_of != n))) for n, head in enumerate(heads)]
    return Channel(texts, policy, held, law(calibrates))


def main(arguments: Sequence[str] | None = None) -> None:
    """Train, and with `--write` write the weights."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=os.environ.get("COUNTERSIGN_DATA", "../shared/data"))
    parser.add_argument("--quick", action="store_true", help="a seeded sample: shows that it works, no more")
    parser.add_argument("--json", action="store_true", help="the last line is one JSON object")
    parser.add_argument("--write", action="store_true", help="write the weights")
    options = parser.parse_args(arguments)
    began = time.process_time()
    study = Study.of(options.data, load(options.data, quick=options.quick))
    trained = study.whole()
    result: dict[str, object] = {}
    for name, channel, head in (
        ("document", study.document, trained.document),
        ("instruction", study.instruction, trained.instruction),
    ):
        result[name] = {
            "texts": len(channel.texts),
            "features": int(np.count_nonzero(head.table)),
            "decay": round(head.calibration.decay, 4),
            "scale": float(f"{head.calibration.scale:.4g}"),
        }
    if options.write:
        save(PATH, trained)
        result["weights_bytes"] = PATH.stat().st_size
    result["cpu_seconds"] = round(time.process_time() - began, 1)
    print(json.dumps(result) if options.json else result)


if __name__ == "__main__":
    main()
