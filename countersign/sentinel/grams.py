"""A folded text as tokens with hashed features: words, their beginnings and ends, pairs and triples of neighbours.

The same in training and at run time. Time and memory are linear in the text.
"""

import re
import zlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from countersign.sentinel.normalise import View

BITS = 20
"""Features are hashed into 2**BITS places."""
FEATURES = 8
"""Features of a token: the word, two beginnings, two ends, the pair and the triple it ends, the pair around a gap."""

_ADDRESS = r"(?:https?://|www\.)[^\s<>\"]+|(?<![^\s<(\[:;,\"'])[\w.+-]{1,64}@[\w.-]+"
_TOKEN = re.compile(rf"{_ADDRESS}|[^\W\d_]+|\d+|(?P<sign>[^\w\s*#|_=~`-])(?P=sign)*")
"""An address of the web or of mail is one token, and so is a row of one sign. Markdown's own signs are none."""
_PARAGRAPH = re.compile(r"\n[^\S\n]*\n")
_CUT, _ROW = 24, 3
"""Characters of a word, and of a row of one sign, that count; a longer one is no word."""
_MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)
_SECOND = np.uint64(0xD6E8FEB86659FD93)
_PAIR, _TRIPLE, _GAP = np.uint64(0x51ED270B), np.uint64(0xA3B19535), np.uint64(0x27D4EB2F)
_MOST_KNOWN = 100_000

_known: dict[str, tuple[int, ...]] = {}


@dataclass(frozen=True)
class Grams:
    """N tokens of a text: the words, their places in the original text, and (N, FEATURES) feature places."""

    words: tuple[str, ...]
    starts: NDArray[np.int64]
    ends: NDArray[np.int64]
    features: NDArray[np.int64]


def grams(text: str, view: View) -> Grams:
    """The tokens of `view`, the folded `text`. Pairs and triples never reach over a blank line of `text`.

    So what stands in one paragraph is scored alike whatever other paragraphs stand around it.
    """
    spans = np.array([match.span() for match in _TOKEN.finditer(view.text)], dtype=np.int64).reshape(-1, 2)
    words = tuple(view.text[start:end] for start, end in spans.tolist())
    starts, ends = _origins(view, spans[:, 0]), _origins(view, spans[:, 1] - 1) + 1
    number = {word: place for place, word in enumerate(dict.fromkeys(words))}
    distinct = np.array([_own(word) for word in number], dtype=np.uint64).reshape(-1, 5)
    own = distinct[[number[word] for word in words]]
    breaks = np.array([match.start() for match in _PARAGRAPH.finditer(text)], dtype=np.int64)
    paragraph = np.searchsorted(breaks, starts)
    features = np.zeros((len(words), FEATURES), dtype=np.int64)
    features[:, :5] = own >> np.uint64(32 - BITS)
    ids = own[:, 0]
    pairs = _mixed(ids, paragraph, 1, _PAIR)
    features[:, 5] = _place(pairs)
    features[:, 6] = _place(_mixed(pairs, paragraph, 1, _TRIPLE))
    features[:, 7] = _place(_mixed(ids, paragraph, 2, _GAP))
    return Grams(words, starts, ends, features)


def _origins(view: View, places: NDArray[np.int64]) -> NDArray[np.int64]:
    """Where the characters at `places` of the view stand in the original text."""
    starts, origins, lengths = (np.array(run, dtype=np.int64) for run in (view.starts, view.origins, view.lengths))
    run = np.searchsorted(starts, places, side="right") - 1
    return np.asarray(origins[run] + np.minimum(places - starts[run], lengths[run] - 1), dtype=np.int64)


def _own(word: str) -> tuple[int, ...]:
    """Hashes of the word itself, its first three and five and its last three and four characters."""
    if word.startswith(("http://", "https://", "www.")):
        word = "#web"
    elif "@" in word.strip("@"):
        word = "#mail"
    elif word[0].isdigit():
        word = f"#{min(len(word), 4)}"
    else:
        word = word[: _CUT if word[0].isalpha() else _ROW]
    found = _known.get(word)
    if found is None:
        parts = (word, f"{word[:3]}-", f"{word[:5]}-", f"-{word[-3:]}", f"-{word[-4:]}")
        found = tuple(zlib.crc32(part.encode("utf-8", "surrogatepass")) for part in parts)
        if len(_known) < _MOST_KNOWN:
            _known[word] = found
    return found


def _place(hashes: NDArray[np.uint64]) -> NDArray[np.int64]:
    return (hashes >> np.uint64(64 - BITS)).astype(np.int64)


def _mixed(ids: NDArray[np.uint64], paragraph: NDArray[np.int64], distance: int, salt: np.uint64) -> NDArray[np.uint64]:
    """Hashes of (what stands `distance` before, this); 0 stands for nothing before it in the paragraph."""
    before = np.zeros_like(ids)
    if distance < len(ids):
        same = paragraph[distance:] == paragraph[:-distance]
        before[distance:] = np.where(same, ids[:-distance], np.uint64(0))
    mixed = ((before + salt) * _MULTIPLIER) ^ (ids * _SECOND)
    return np.asarray((mixed ^ (mixed >> np.uint64(29))) * _MULTIPLIER, dtype=np.uint64)
