"""How sure the gate may be of an analysis: by evidence about the arm where there is any, else by what was stated."""

from countersign.review.payloads import CellStanding, Payload


class Sureness(Payload):
    """A confidence and the threshold it is held against, both in [0, 1]; without a threshold nothing is sure enough."""

    stated: float
    value: float
    threshold: float | None
    note: str
    """What the two rest on; empty where nothing is known of the arm."""

    @property
    def enough(self) -> bool:
        """Whether no person has to look for want of confidence."""
        return self.threshold is not None and self.value >= self.threshold

    @property
    def shortfall(self) -> str:
        """In words, why it is not enough."""
        if self.threshold is None:
            return f"no confidence is high enough: {self.note}"
        return f"confidence {self.value:.2f} is below {self.threshold:.2f}"


def sureness(stated: float, playbook_threshold: float, standing: CellStanding | None) -> Sureness:
    """Calibrated confidence against the threshold by risk control; without evidence for them, as stated against the
    playbook's."""
    if standing is None:
        return Sureness(stated=stated, value=stated, threshold=playbook_threshold, note="")
    if not standing.calibrated:
        note = "confidence as stated and the playbook's threshold: too few pairs with this arm to calibrate"
        return Sureness(stated=stated, value=stated, threshold=playbook_threshold, note=note)
    note = (
        f"confidence {stated:.2f} calibrated on {standing.calibration_pairs} pairs ({standing.calibration}), threshold "
        f"by risk control on {standing.threshold_pairs} for at most {standing.target_error:.0%} error"
    )
    value = interpolated(standing.calibrated, stated)
    return Sureness(stated=stated, value=value, threshold=standing.threshold, note=note)


def interpolated(grid: tuple[float, ...], at: float) -> float:
    """The value at `at` in [0, 1] of a function known at equal steps from 0 to 1."""
    place = min(1.0, max(0.0, at)) * (len(grid) - 1)
    low = min(int(place), len(grid) - 2)
    share = place - low
    return round(grid[low] * (1 - share) + grid[low + 1] * share, 6)
