"""Hashed n-grams of passages, the same in training and at run time."""

import re
import zlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

_TOKEN = re.compile(r"[a-z]+|\d+|[$%]")
_MONTHS = frozenset(
    ["january", "february", "april", "june", "july", "august", "september", "october", "november", "december"]
)
"""Those that are no other word."""
_HEAD_PASSAGES = 12
"""Passages from the beginning that count as the head, where parties and dates stand."""

_MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)
_SALTS = {
    "bigram": np.uint64(0x51ED270B),
    "trigram": np.uint64(0xA3B19535),
    "head": np.uint64(0xC2B2AE35),
    "before": np.uint64(0x27D4EB2F),
}

_known: dict[str, int] = {}


def _normal(token: str) -> str:
    """The class of a number or month; every other word is itself."""
    if token[0].isdigit():
        return "#year" if len(token) == 4 and token[:2] in {"19", "20"} else f"#{min(len(token), 4)}"
    return "#month" if token in _MONTHS else token


def _ids(tokens: Sequence[str]) -> NDArray[np.uint64]:
    out = []
    for token in tokens:
        number = _known.get(token)
        if number is None:
            number = zlib.crc32(_normal(token).encode())
            if len(_known) < 200_000:
                _known[token] = number
        out.append(number)
    return np.array(out, dtype=np.uint64)


def _mixed(left: NDArray[np.uint64], right: NDArray[np.uint64], salt: np.uint64) -> NDArray[np.uint64]:
    return (((left + salt) * _MULTIPLIER) ^ (right * np.uint64(0xD6E8FEB86659FD93))) >> np.uint64(32)


def features(texts: Sequence[str]) -> tuple[NDArray[np.int64], NDArray[np.uint64]]:
    """(passage index, 32-bit feature hash) of every distinct feature of every passage, sorted by passage.

    `texts` are the passages of one document in order: words, pairs and triples of neighbours; words of the passage
    before it, and, near the head of the document, words marked as such.
    """
    tokens = [_TOKEN.findall(text.lower()) for text in texts]
    lengths = np.array([len(row) for row in tokens], dtype=np.int64)
    ids = _ids([token for row in tokens for token in row])
    rows = np.repeat(np.arange(len(texts)), lengths)
    hashes, owners = [ids], [rows]
    if len(ids) > 1:
        same = rows[1:] == rows[:-1]
        pairs = _mixed(ids[:-1], ids[1:], _SALTS["bigram"])
        hashes.append(pairs[same])
        owners.append(rows[1:][same])
        if len(ids) > 2:
            same3 = rows[2:] == rows[:-2]
            hashes.append(_mixed(pairs[:-1], ids[2:], _SALTS["trigram"])[same3])
            owners.append(rows[2:][same3])
    head = rows < _HEAD_PASSAGES
    zero = np.zeros(1, dtype=np.uint64)
    hashes.append(_mixed(ids[head], zero, _SALTS["head"]))
    owners.append(rows[head])
    before = rows < len(texts) - 1
    hashes.append(_mixed(ids[before], zero, _SALTS["before"]))
    owners.append(rows[before] + 1)
    keys = np.unique((np.concatenate(owners).astype(np.uint64) << np.uint64(32)) | np.concatenate(hashes))
    return (keys >> np.uint64(32)).astype(np.int64), keys & np.uint64(0xFFFFFFFF)
