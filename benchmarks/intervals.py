"""Intervals for measured shares."""

from math import sqrt
from statistics import NormalDist


def wilson(k: int, n: int, confidence: float = 0.95) -> tuple[float, float]:
    """The Wilson score interval of a share of `k` in `n`, as (low, high) in [0, 1]; (0, 1) when nothing was counted.

    Unlike the normal approximation it stays honest at 0 % and 100 % (Wilson 1927).

    Raises:
        ValueError: `k` is not between 0 and `n`, or `confidence` not between 0 and 1.
    """
    if not 0 <= k <= n or not 0 < confidence < 1:
        raise ValueError(f"expected 0 <= k <= n and 0 < confidence < 1, got k={k}, n={n}, confidence={confidence}")
    if n == 0:
        return 0.0, 1.0
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    share = k / n
    centre = share + z * z / (2 * n)
    spread = z * sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    low, high = ((centre + sign * spread) / (1 + z * z / n) for sign in (-1, 1))
    return (0.0 if k == 0 else low), (1.0 if k == n else high)
