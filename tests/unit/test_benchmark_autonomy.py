"""The simulation of autonomy by evidence, at a size that says little and runs at once."""

import json

import numpy as np
import pytest

from benchmarks import autonomy
from countersign.evidence.eprocess import Growth, Watch
from countersign.evidence.observation import Observation


def test_medians_and_their_intervals() -> None:
    assert autonomy.median(np.arange(1, 102)) == (51, [41, 61], 101)
    assert autonomy.median(np.full(9, autonomy.NEVER)) == (None, [None, None], 9)


def test_the_simulated_gate_is_the_product_s() -> None:
    """Arm by arm, item by item: the state that is stored promotes where the simulation does."""
    draw = autonomy.right_or_wrong(0.99)
    ours, _ = autonomy.promoted(draw, 0.95, 20, 400, seed=4)
    agreements, _ = draw(np.random.default_rng(4), (20, 400))
    for arm, expected in zip(agreements, ours, strict=True):
        state = Growth(bar=0.95)
        at = autonomy.NEVER
        for number, agreement in enumerate(arm, start=1):
            state = state.seen(Observation(agreement=agreement))
            if state.reached(autonomy.POLICY.threshold):
                at = number
                break
        assert at == expected


def test_drawn_and_computed_probabilities_are_one() -> None:
    for share in (0.95, 0.99):
        ours, _ = autonomy.promoted(autonomy.right_or_wrong(share), 0.95, 4000, 200, seed=6)
        exact = autonomy.promoted_exactly(0.95, share, 200)
        assert abs((ours < autonomy.NEVER).mean() - exact) < 4 * (exact * (1 - exact) / 4000) ** 0.5
    assert autonomy.promoted_exactly(0.95, 0.95, 1000) <= 0.05


def test_the_simulated_watch_is_the_product_s() -> None:
    looked, total, share = autonomy.demoted(
        0.95, 0.97, 0.0, 1, 5, level=autonomy.Autonomy.SEMI_AUTONOMOUS, calm=0, sampled=False
    )
    watch = Watch(bar=0.95)
    while watch.suspicion(autonomy.POLICY.run_length) < 1:
        watch = watch.seen(Observation(agreement=0.0))
    assert (looked[0], total[0], share) == (watch.items, watch.items, 0.0)


def test_prints_one_object_with_every_figure(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def small(figures: autonomy.Figures, *_: int) -> None:
        figures.share("false_promotion", 3, 100, "x")
        figures.middle("median_to_promote_97", np.asarray([5, 6, 7]), "x")
        figures.mean("coverage", np.asarray([0.5, 0.7]), "x")

    for name in ("measure_promotion", "measure_demotion", "measure_threshold"):
        monkeypatch.setattr(autonomy, name, small)
    monkeypatch.setattr("sys.argv", ["autonomy.py", "--json", "--quick"])
    assert autonomy.main() == 0
    found = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert (found["false_promotion"], found["false_promotion_n"]) == (0.03, 100)
    assert found["false_promotion_interval"] == [0.0103, 0.0845] and found["median_to_promote_97"] == 6
    assert found["coverage"] == 0.6
