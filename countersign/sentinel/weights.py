"""The scorer's trained weights: one head for each channel, and the calibration that makes sums into risks.

Made by `benchmarks/train_sentinel.py` (see ATTRIBUTION.md here) and committed as `weights.npz`. Weights are whole
numbers, so a text has the same score on every machine and version.
"""

import math
import struct
import tokenize
import zipfile
import zlib
from dataclasses import asdict, dataclass, fields
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from countersign.errors import CountersignError
from countersign.sentinel.grams import BITS
from countersign.words import Channel

PATH = Path(__file__).with_name("weights.npz")
UNIT = 256
"""Weights are kept as multiples of 1/UNIT of a natural-logarithm unit."""
HOLD, BLOCK = 0.3, 0.6
"""The risks that `Calibration.hold` and `Calibration.block` are mapped to."""
HIGHEST = 0.95
"""No statistic is proof."""
_UNREADABLE = (
    OSError, ValueError, KeyError, EOFError, IndexError, TypeError, NotImplementedError, RuntimeError,
    struct.error, tokenize.TokenError, zipfile.BadZipFile, zlib.error,
)  # fmt: skip
"""What numpy and zipfile raise for a missing or damaged archive."""


class SentinelError(CountersignError):
    """The sentinel cannot judge: its weights are missing or damaged. Nothing may count as clean for that reason."""

    type = "SentinelError"


@dataclass(frozen=True)
class Calibration:
    """From a passage's sum x to a risk, by extreme-value statistics of benign texts.

    A benign text of n tokens has on average `scale * n * exp(-decay * x)` passages with a sum of at least x: the law of
    maximal segment scores, known as the E-value of sequence search (Karlin and Altschul, PNAS 87:2264, 1990). `decay`
    and `scale` are fitted to the best passages of benign texts that the weights never saw, given their lengths. n is
    always `tokens`, the length of a long text of the channel, never that of the text at hand: so the number of passages
    is accounted for, and padding cannot lower a score.
    """

    decay: float
    """Per unit of x; above 0."""
    scale: float
    """Expected passages with x = 0 for each token; above 0."""
    tokens: int
    """Length of the reference text, in tokens (some 600 a page)."""
    hold: float
    """The risk is 0.3 where a benign text of that length is expected to have so many passages as bad."""
    block: float
    """The risk is 0.6 where it is expected to have so many; below `hold`."""

    def expected(self, x: float) -> float:
        """How many passages with a sum of at least `x` a benign text of the reference length has on average."""
        return self.scale * self.tokens * math.exp(-self.decay * x)

    def risk(self, x: float) -> float:
        """The risk in [0, 0.95], linear in x: 0.3 where `hold` passages are expected and 0.6 where `block` are."""
        steps = (math.log(self.hold / (self.scale * self.tokens)) + self.decay * x) / math.log(self.hold / self.block)
        return round(min(max(HOLD + (BLOCK - HOLD) * steps, 0.0), HIGHEST), 4)

    def least_sum(self, risk: float) -> float:
        """The x whose risk is `risk`: the inverse of `risk`, for a `risk` above 0 and below 0.95."""
        steps = (risk - HOLD) / (BLOCK - HOLD)
        return (
            steps * math.log(self.hold / self.block) - math.log(self.hold / (self.scale * self.tokens))
        ) / self.decay


@dataclass(frozen=True)
class Head:
    """One channel's weights: `table[place]` is a feature's, `drift` is added for each token; both times UNIT."""

    table: NDArray[np.int32]
    drift: int
    calibration: Calibration


@dataclass(frozen=True)
class Weights:
    """The heads of both channels."""

    document: Head
    instruction: Head

    def head(self, channel: Channel) -> Head:
        """The head of `channel`."""
        return self.document if channel is Channel.DOCUMENT else self.instruction


def save(path: Path, weights: Weights) -> None:
    """Write the weights, only those that are not 0."""
    arrays: dict[str, NDArray[np.generic]] = {}
    for channel in Channel:
        head = weights.head(channel)
        places = np.flatnonzero(head.table)
        arrays[f"{channel}_gaps"] = np.diff(places, prepend=0).astype(np.uint32)
        arrays[f"{channel}_table"] = head.table[places].astype(np.int16)
        arrays[f"{channel}_drift"] = np.array(head.drift)
        arrays[f"{channel}_calibration"] = np.array(list(asdict(head.calibration).values()), dtype=np.float64)
    np.savez_compressed(path, allow_pickle=False, **arrays)


def load(path: Path) -> Weights:
    """Read what `save` wrote.

    Raises:
        SentinelError: the file is missing, damaged or of another version.
    """
    try:
        with np.load(path, allow_pickle=False) as data:
            heads = {channel: _head(data, channel) for channel in Channel}
    except _UNREADABLE as error:
        raise SentinelError(
            f"the sentinel's weights {path.name} cannot be read ({type(error).__name__})",
            remedy="Install the package again, or write them anew with benchmarks/train_sentinel.py --write",
        ) from None
    return Weights(document=heads[Channel.DOCUMENT], instruction=heads[Channel.INSTRUCTION])


def _head(data: "np.lib.npyio.NpzFile", channel: Channel) -> Head:
    table = np.zeros(1 << BITS, dtype=np.int32)
    table[np.cumsum(data[f"{channel}_gaps"], dtype=np.int64)] = data[f"{channel}_table"]
    names = [field.name for field in fields(Calibration)]
    values = dict(zip(names, map(float, data[f"{channel}_calibration"]), strict=True))
    calibration = Calibration(**{**values, "tokens": int(values["tokens"])})  # type: ignore[arg-type]
    if not (calibration.decay > 0 and calibration.scale > 0 and 0 < calibration.block < calibration.hold):
        raise ValueError(channel)
    return Head(table, int(data[f"{channel}_drift"]), calibration)


@lru_cache(maxsize=1)
def committed() -> Weights:
    """The weights that ship with the package, read once.

    Raises:
        SentinelError: they are missing or damaged.
    """
    return load(PATH)


@lru_cache(maxsize=1)
def silent() -> Weights:
    """Weights that find nothing: what the rules alone say."""
    calibration = Calibration(decay=1, scale=1, tokens=1, hold=0.2, block=0.1)
    head = Head(np.zeros(1 << BITS, dtype=np.int32), -UNIT, calibration)
    return Weights(document=head, instruction=head)
