"""Does autonomy by evidence keep what it promises? Simulated items against the very code that decides.

    python benchmarks/autonomy.py [--quick] [--seed N] [--json]

Promotion: arms exactly at the bar, looked at after every item, and how often each gate ever promotes them; beside the
product's gate a naive one, which promotes as soon as Wilson's 95 % interval lies above the bar (30 items or more). Then
the items it takes to promote arms that deserve it. Demotion: items until an arm that fell by ten points is taken back,
in items that a person looked at and in all items with the audit sample that the product draws. Threshold: confidences
that are stated too high, calibrated on some pairs, a threshold set on others, its true error and coverage computed.

Exit codes: 0 measured; 2 wrong arguments.
"""

import argparse
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from math import log, log1p, sqrt
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.intervals import wilson
from countersign.evidence.audit_sample import share_looked_at
from countersign.evidence.calibration import fit
from countersign.evidence.eprocess import BETS, DROPS, HEAD_START, log_path, suspicions, watched
from countersign.evidence.level import EvidencePolicy
from countersign.evidence.risk_control import review_threshold
from countersign.words import Autonomy

Floats = NDArray[np.float64]
Draw = Callable[[np.random.Generator, tuple[int, int]], tuple[Floats, Floats]]
"""Agreements and weights of so many arms (rows) and items (columns); weight 0 stands for an item nobody looked at."""

POLICY = EvidencePolicy()
FEWEST_NAIVE = 30
NEVER = np.iinfo(np.int64).max
TARGET, DELTA = 0.02, 0.05
CHUNK = 4_000_000
"""Items simulated at once: bounds the memory."""


def right_or_wrong(share: float) -> Draw:
    """Items that agree wholly with this probability, all looked at."""

    def draw(rng: np.random.Generator, shape: tuple[int, int]) -> tuple[Floats, Floats]:
        return (rng.random(shape) < share).astype(np.float64), np.ones(shape)

    return draw


def by_severity(mean: float) -> Draw:
    """Items that agree but for a part: disagreement is rare, and its size is drawn evenly from [0, 1]."""

    def draw(rng: np.random.Generator, shape: tuple[int, int]) -> tuple[Floats, Floats]:
        wrong = rng.random(shape) < 2 * (1 - mean)
        return 1.0 - wrong * rng.random(shape), np.ones(shape)

    return draw


def looked_at_unevenly(mean: float, *, weighted: bool) -> Draw:
    """Half of the items are easy (2 points above the mean) and looked at five times as often as the hard half."""

    def draw(rng: np.random.Generator, shape: tuple[int, int]) -> tuple[Floats, Floats]:
        easy = rng.random(shape) < 0.5
        propensity, least = np.where(easy, 0.5, 0.1), 0.1
        looked = rng.random(shape) < propensity
        agrees = rng.random(shape) < mean + np.where(easy, 0.02, -0.02)
        weights: Floats = looked * (least / propensity) if weighted else looked.astype(np.float64)
        return agrees.astype(np.float64), weights

    return draw


def chunks(arms: int, items: int) -> Iterator[int]:
    """How many arms to simulate at once, until all are."""
    size = max(1, CHUNK // items)
    for begun in range(0, arms, size):
        yield min(size, arms - begun)


def first(reached: NDArray[np.bool_]) -> NDArray[np.int64]:
    """The first item, counted from 1, at which each row is true; `NEVER` where it is not."""
    return np.where(reached.any(axis=1), reached.argmax(axis=1) + 1, NEVER)


def promoted(draw: Draw, bar: float, arms: int, items: int, seed: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The item at which the product's gate and the naive one first promote each arm."""
    rng = np.random.default_rng(seed)
    ours, naive = [], []
    for size in chunks(arms, items):
        agreements, weights = draw(rng, (size, items))
        ours.append(first(log_path(agreements, bar, weights) >= np.log(POLICY.threshold)))
        looked = np.cumsum(weights > 0, axis=1)
        share = np.cumsum(agreements * (weights > 0), axis=1) / np.maximum(looked, 1)
        naive.append(first((looked >= FEWEST_NAIVE) & (wilson_low(share, np.maximum(looked, 1)) > bar)))
    return np.concatenate(ours), np.concatenate(naive)


def promoted_exactly(bar: float, share: float, items: int) -> float:
    """The probability that an arm that is right with `share` is promoted within so many items, computed.

    The gate's capital depends on nothing but how many items there were and how many were wrong; so the distribution of
    the number wrong among arms not yet promoted is carried from item to item.
    """
    wrong = np.arange(items + 1)
    begun = [log(part) + wrong * (log1p(-bet) - log1p(bet * (1 / bar - 1))) for bet, part in BETS]
    steps = [log1p(bet * (1 / bar - 1)) for bet, _ in BETS]
    alive = np.zeros(items + 1)
    alive[0] = 1.0
    for item in range(1, items + 1):
        upto = item + 1
        alive[1:upto] = alive[1:upto] * share + alive[: upto - 1] * (1 - share)
        alive[0] *= share
        capital = np.logaddexp.reduce([at[:upto] + item * step for at, step in zip(begun, steps, strict=True)])
        alive[:upto][capital >= np.log(POLICY.threshold)] = 0.0
    return 1.0 - float(alive.sum())


def wilson_low(share: Floats, n: NDArray[np.int64]) -> Floats:
    """Lower ends of 95 % Wilson intervals."""
    z = 1.959963984540054
    spread = z * np.sqrt(share * (1 - share) / n + z * z / (4.0 * n * n))
    low: Floats = (share + z * z / (2 * n) - spread) / (1 + z * z / n)
    return low


def demoted(  # noqa: PLR0913 - a scenario is that many numbers
    bar: float, before: float, after: float, arms: int, seed: int, *, level: Autonomy, calm: int, sampled: bool
) -> tuple[NDArray[np.int64], NDArray[np.int64], float]:
    """(items looked at, all items) from the fall to the demotion of each arm, and the share looked at before the fall.

    `calm` items come before the fall; an arm demoted then by mistake starts its watch anew, as after a new promotion.
    """
    rng = np.random.default_rng(seed)
    values = np.full((len(DROPS), arms), HEAD_START)
    looked_at, total = np.zeros(arms, np.int64), np.full(arms, NEVER)
    looked_before = 0.0
    for item in range(calm + 20_000):
        suspicion = suspicions(values, POLICY.run_length)
        propensity = np.asarray([share_looked_at(level, each) for each in suspicion]) if sampled else np.ones(arms)
        looked = rng.random(arms) < propensity
        agrees = rng.random(arms) < (before if item < calm else after)
        values = np.where(looked, watched(values, agrees, bar), values)
        alarm = suspicions(values, POLICY.run_length) >= 1
        values[:, alarm] = HEAD_START
        if item < calm:
            looked_before += float(propensity.mean()) / calm
            continue
        open_still = total == NEVER
        looked_at += looked & open_still
        total[alarm & open_still] = item - calm + 1
        if not (total == NEVER).any():
            break
    return looked_at, total, looked_before


def run_lengths(bar: float, share: float, arms: int, seed: int) -> tuple[float, float]:
    """The mean number of looked-at items until an arm that did not fall is demoted, and its standard error."""
    _, total, _ = demoted(bar, share, share, arms, seed, level=Autonomy.SEMI_AUTONOMOUS, calm=0, sampled=False)
    capped = np.minimum(total, 20_000)
    return float(capped.mean()), float(capped.std(ddof=1) / sqrt(arms))


def thresholds(runs: int, calibrating: int, setting: int, seed: int) -> tuple[Floats, Floats, float]:
    """The true error and the coverage of the threshold in each run; the error is nan where nothing may be released.

    The third is the coverage of the best threshold that one could set knowing every item's true chance of an error.

    The truth: an item of difficulty d is right with 1 - d, d from Beta(0.4, 5), 7 % on average; the agents state it as
    too sure and with noise.
    """
    rng = np.random.default_rng(seed)

    def items(n: int) -> tuple[Floats, Floats]:
        wrong = rng.beta(0.4, 5.0, n)
        stated = 1.0 / (1.0 + np.exp(-(1.6 * np.log((1 - wrong + 1e-9) / (wrong + 1e-9)) / 2 + rng.normal(1, 0.5, n))))
        return stated, wrong

    world, world_wrong = items(400_000)
    errors, coverages = [], []
    for _ in range(runs):
        stated, wrong = items(calibrating + setting)
        failed = (rng.random(stated.size) < wrong).astype(float)
        calibration = fit("simulated", stated[:calibrating], 1.0 - failed[:calibrating])
        found = review_threshold(
            calibration.apply_all(stated[calibrating:]), failed[calibrating:], target=TARGET, delta=DELTA, binary=True
        )
        kept = calibration.apply_all(world) >= (np.inf if found.threshold is None else found.threshold)
        errors.append(float(world_wrong[kept].mean()) if kept.any() else np.nan)
        coverages.append(float(kept.mean()))
    falling = world_wrong[np.argsort(-world)]
    allowed = np.cumsum(falling) <= TARGET * np.arange(1, len(falling) + 1)
    return np.asarray(errors), np.asarray(coverages), (int(np.flatnonzero(allowed)[-1]) + 1) / len(falling)


def median(values: NDArray[np.int64]) -> tuple[int | None, list[int | None], int]:
    """The median, its 95 % interval from order statistics, and n; None stands for "not within the simulated items"."""
    ordered = np.sort(values)
    n = len(ordered)
    reach = 0.98 * sqrt(n)
    places = (n // 2, max(0, int(n / 2 - reach)), min(n - 1, int(n / 2 + reach)))
    middle, low, high = (None if ordered[place] == NEVER else int(ordered[place]) for place in places)
    return middle, [low, high], n


class Figures:
    """Figures under their names, each with its interval and n beside it; printed as they come."""

    def __init__(self) -> None:
        self.found: dict[str, object] = {}

    def put(self, name: str, value: float | None, interval: Sequence[float | None], n: int, what: str) -> None:
        """Note and print one figure."""
        self.found |= {name: value, f"{name}_interval": interval, f"{name}_n": n}
        print(f"{what}: {value} (95 % {interval[0]} to {interval[1]}, n = {n})", flush=True)

    def share(self, name: str, hits: int, n: int, what: str) -> None:
        """A share with Wilson's interval."""
        self.put(name, round(hits / n, 4), [round(end, 4) for end in wilson(hits, n)], n, what)

    def middle(self, name: str, values: NDArray[np.int64], what: str) -> None:
        """A median."""
        self.put(name, *median(values), what)

    def mean(self, name: str, values: Floats, what: str) -> None:
        """A mean with its normal interval."""
        reach = 1.96 * float(values.std(ddof=1)) / sqrt(len(values))
        mean = float(values.mean())
        self.put(name, round(mean, 4), [round(mean - reach, 4), round(mean + reach, 4)], len(values), what)


def measure_promotion(figures: Figures, arms: int, items: int, seed: int) -> None:
    """False promotions at the bar and medians above it."""
    print(f"Promotion, alpha {POLICY.alpha:g}, looked at after each of {items:,} items")
    low, high = POLICY.semi_bar, POLICY.autonomous_bar
    for name, draw, bar, what in (
        ("", right_or_wrong(low), low, f"arm exactly at {low}, right or wrong"),
        ("_autonomous", right_or_wrong(high), high, f"arm exactly at {high}, right or wrong"),
        ("_by_severity", by_severity(low), low, f"arm exactly at {low}, weighted by severity"),
        (
            "_sampled",
            looked_at_unevenly(low, weighted=True),
            low,
            f"arm exactly at {low}, easy items audited more often",
        ),
    ):
        ours, naive = promoted(draw, bar, arms, items, seed)
        figures.share(f"false_promotion{name}", int((ours < NEVER).sum()), arms, f"  {what}: falsely promoted")
        figures.share(f"naive_false_promotion{name}", int((naive < NEVER).sum()), arms, "    by the naive gate")
    for name, bar in (("", low), ("_autonomous", high)):
        exact = promoted_exactly(bar, bar, items)
        figures.found[f"false_promotion{name}_exact"] = round(exact, 5)
        print(f"  arm exactly at {bar}, right or wrong: computed, not drawn: {exact:.5f}")
    ours, _ = promoted(looked_at_unevenly(low, weighted=False), low, arms // 10, items, seed)
    falsely = int((ours < NEVER).sum())
    figures.share("false_promotion_unweighted", falsely, arms // 10, "  the last again, without propensity weights")
    deserving = max(1000, arms // 5)
    for share, bar, limit in ((0.97, low, 8000), (0.98, low, 4000), (0.99, low, 2000), (0.99, high, 20_000)):
        ours, naive = promoted(right_or_wrong(share), bar, deserving, limit, seed + 1)
        name = f"median_to_promote_{share * 100:.0f}" + ("_autonomous" if bar == high else "")
        figures.middle(name, ours, f"  arm at {share} against {bar}: items to promote")
        figures.middle(f"naive_{name}", naive, "    by the naive gate")


def measure_demotion(figures: Figures, arms: int, seed: int) -> None:
    """Items until a fall is answered, and between false alarms."""
    print(f"Demotion, threshold {POLICY.run_length:g}, after 300 looked-at items without a fall")
    semi, full = Autonomy.SEMI_AUTONOMOUS, Autonomy.AUTONOMOUS
    cases = ((0.95, 0.95, semi), (0.95, 0.97, semi), (0.95, 0.99, semi), (0.98, 0.98, full), (0.98, 0.99, full))
    worst: tuple[int, NDArray[np.int64]] | None = None
    for bar, before, level in cases:
        after = round(before - 0.1, 2)
        name = f"{level}_{before * 100:.0f}_to_{after * 100:.0f}"
        looked, _, _ = demoted(bar, before, after, arms, seed, level=level, calm=300, sampled=False)
        figures.middle(f"median_to_demote_{name}", looked, f"  {level}, {before} to {after}: looked-at items to demote")
        middle = median(looked)[0] or NEVER
        worst = max(worst or (0, looked), (middle, looked), key=lambda each: each[0])
        _, total, before_fall = demoted(bar, before, after, arms // 4, seed, level=level, calm=1500, sampled=True)
        figures.middle(f"median_to_demote_{name}_all", total, f"    of all items, {before_fall:.0%} looked at before")
        figures.found[f"audited_{name}"] = round(before_fall, 4)
    if worst:
        figures.middle("median_to_demote_10pt", worst[1], "  fall of ten points, the slowest of these: looked-at items")
    for before in (0.97, 0.99):
        after = round(before - 0.1, 2)
        looked, _, _ = demoted(0.95, before, after, arms, seed, level=semi, calm=0, sampled=False)
        name = f"median_to_demote_at_once_{before * 100:.0f}"
        figures.middle(name, looked, f"  {before} to {after} right after the promotion: looked-at items")
    for bar, share in ((0.95, 0.95), (0.95, 0.97), (0.98, 0.98), (0.98, 0.99)):
        mean, error = run_lengths(bar, share, arms // 8, seed)
        figures.put(
            f"run_length_{bar * 100:.0f}_at_{share * 100:.0f}",
            round(mean),
            [round(mean - 1.96 * error), round(mean + 1.96 * error)],
            arms // 8,
            f"  arm that stays at {share}, bar {bar}: looked-at items between false demotions, on average",
        )


def measure_threshold(figures: Figures, runs: int, seed: int) -> None:
    """Error and coverage of the threshold set from 500 + 1500 pairs."""
    print(f"Review threshold for an error of at most {TARGET:.0%}, delta {DELTA:g}: 500 pairs calibrate, 1,500 set it")
    errors, coverages, best = thresholds(runs, 500, 1500, seed)
    released = errors[np.isfinite(errors)]
    figures.mean("realised_error", released, "  error of what is released")
    figures.mean("coverage", coverages, "  share released")
    figures.found["coverage_of_the_omniscient"] = round(best, 4)
    print(f"    the most that could be released by one who knows the truth: {best:.4f}")
    figures.share("above_target", int((released > TARGET).sum()), runs, "  runs whose true error is above the target")
    figures.share("nothing_released", runs - len(released), runs, "  runs in which nothing may be released")


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--quick", action="store_true", help="fewer arms and items, under 60 s")
    parser.add_argument("--seed", type=int, default=2027)
    parser.add_argument("--json", action="store_true", help="the last line is one JSON object")
    given = parser.parse_args()
    if given.seed < 0:
        parser.error("--seed must not be negative")
    arms, items, falling, runs = (4000, 3000, 2000, 200) if given.quick else (20_000, 10_000, 8000, 2000)
    figures = Figures()
    measure_promotion(figures, arms, items, given.seed)
    measure_demotion(figures, falling, given.seed)
    measure_threshold(figures, runs, given.seed)
    if given.json:
        print(json.dumps(figures.found))
    return 0


if __name__ == "__main__":
    sys.exit(main())
