"""Fenced blocks: how untrusted text stands in a prompt without being able to end its own block.

A block is `[[name MARK]]`, a line end, the body exactly as it is, a line end, `[[/name MARK]]`. The mark is derived
from the document's digest and stands in no body, so no text can contain its own fence: a contract would have to hold a
part of its own SHA-256.
"""

import hashlib
import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

_FIRST_FENCE = re.compile(r'\A\[\[[a-z_]+ ([0-9a-f]{32})(?: "[^\n]*")?\]\]\n')


@dataclass(frozen=True)
class Block:
    """One named stretch of a prompt. `label` says which one of several ("4.2")."""

    name: str
    body: str
    label: str = ""


def mark_for(source: Iterable[str], bodies: Sequence[str]) -> str:
    """A mark of 32 hexadecimal digits from the SHA-256 of `source`; neither `source` nor `bodies` contain it.

    Only `source` (the document) decides, so prompts about the same document begin with the same characters and
    providers can serve that beginning from their prompt cache.
    """
    texts = tuple(source)
    digest = hashlib.sha256("\0".join(texts).encode("utf-8", "surrogatepass")).hexdigest()
    while any(digest[:32] in text for text in (*texts, *bodies)):
        digest = hashlib.sha256(digest.encode()).hexdigest()
    return digest[:32]


def render(blocks: Sequence[Block], mark: str) -> str:
    """The blocks one after another, fenced with `mark`."""
    return "\n\n".join(
        f"[[{block.name} {mark}{f' {json.dumps(block.label)}' if block.label else ''}]]\n{block.body}\n"
        f"[[/{block.name} {mark}]]"
        for block in blocks
    )


def parse(prompt: str) -> tuple[Block, ...]:
    """The blocks of a rendered prompt, bodies character for character. `ValueError` when the prompt has no fence."""
    first = _FIRST_FENCE.match(prompt)
    if first is None:
        raise ValueError("the prompt does not begin with a fenced block")
    mark = first.group(1)
    fenced = re.compile(
        rf'^\[\[([a-z_]+) {mark}(?: ("[^\n]*"))?\]\]\n(.*?)\n\[\[/\1 {mark}\]\]$', re.DOTALL | re.MULTILINE
    )
    return tuple(
        Block(name=match[1], body=match[3], label=json.loads(match[2]) if match[2] else "")
        for match in fenced.finditer(prompt)
    )
