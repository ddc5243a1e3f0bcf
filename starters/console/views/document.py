"""A document laid out for reading beside its findings: pages, paragraphs, and which words which quotation covers.

The text is shown as it stands, every character of it; only blank lines between paragraphs become space. What a reader
of the original could not see is shown, and said to be hidden.
"""

import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

from countersign.document.model import DocumentText
from starters.console.views.words import visible

_BLANK = re.compile(r"(?:[ \t]*\n){2,}|\A\s+|\s+\Z")
MAX_HEADING = 160
FLOW_LINE = 60
"""Lines at least this long, but for the last, were wrapped by a machine: the paragraph may be wrapped anew."""

Kind = Literal["heading", "flow", "lines"]


@dataclass(frozen=True)
class Span:
    """A stretch of the document that a finding quotes. `id` is the fragment that links lead to."""

    id: str
    finding_id: str
    severity: str
    start: int
    end: int


@dataclass(frozen=True)
class Piece:
    """Text that the same quotations cover. `begins` are those whose first piece this is."""

    text: str
    spans: tuple[Span, ...] = ()
    begins: tuple[Span, ...] = ()
    hidden: bool = False

    @property
    def last(self) -> Span | None:
        """The quotation that began last: the innermost, where several overlap."""
        return max(self.spans, key=lambda span: span.start, default=None)


@dataclass(frozen=True)
class Block:
    """A heading or paragraph. `lines`: line ends count, as in an address."""

    kind: Kind
    pieces: tuple[Piece, ...]


@dataclass(frozen=True)
class Leaf:
    """One page."""

    number: int
    blocks: tuple[Block, ...]


def lay_out(document: DocumentText, spans: Sequence[Span]) -> tuple[Leaf, ...]:
    """The document's pages with `spans` marked. Spans may overlap and cross paragraphs and pages."""
    cutter = _Cutter(document, spans)
    starts = sorted(section.start for section in document.sections if section.heading)
    leaves = []
    for page in document.pages:
        blocks = [
            Block(_kind(document.text[start:end], heading=heading), tuple(cutter.pieces(start, end)))
            for start, end, heading in _blocks(document.text, page.start, page.end, starts)
        ]
        leaves.append(Leaf(page.number, tuple(blocks)))
    return tuple(leaves)


def _blocks(text: str, start: int, end: int, headings: Sequence[int]) -> Iterator[tuple[int, int, bool]]:
    """Start, end and whether it is a heading, of each paragraph in `text[start:end]`."""
    cuts = [(start, start), *((m.start(), m.end()) for m in _BLANK.finditer(text[:end], start)), (end, end)]
    for (_, begin), (finish, _) in pairwise(cuts):
        here = begin
        for heading in headings[bisect_left(headings, begin) : bisect_left(headings, finish)]:
            if heading < here:
                continue  # on the line of the one before
            line_end = text.find("\n", heading, finish)
            line_end = finish if line_end < 0 else line_end
            if heading > here:
                yield here, heading, False
            # A clause may begin on its heading's line and go on: that line is then no heading.
            line = text[heading:line_end].strip()
            is_heading = 0 < len(line) <= MAX_HEADING and not line.endswith((".", ";"))
            here = heading
            if is_heading:
                yield heading, line_end, True
                here = min(line_end + 1, finish)
        if text[here:finish].strip():
            yield here, finish, False


def _kind(text: str, *, heading: bool) -> Kind:
    if heading:
        return "heading"
    lines = text.strip().split("\n")
    return "flow" if all(len(line) >= FLOW_LINE for line in lines[:-1]) else "lines"


class _Cutter:
    """Cuts stretches of the text at the ends of everything that is marked."""

    def __init__(self, document: DocumentText, spans: Sequence[Span]) -> None:
        self._text = document.text
        self._hidden = sorted(document.hidden)
        self._spans = sorted(spans, key=lambda span: (span.start, span.end))
        self._cuts = sorted({edge for edge in _edges(self._spans, self._hidden) if 0 < edge < len(self._text)})
        self._begun: set[str] = set()

    def pieces(self, start: int, end: int) -> Iterator[Piece]:
        inner = self._cuts[bisect_right(self._cuts, start) : bisect_left(self._cuts, end)]
        spans = [span for span in self._spans if span.start < end and span.end > start]
        hidden = [(a, b) for a, b in self._hidden if a < end and b > start]
        for a, b in pairwise((start, *inner, end)):
            text = self._text[a:b]
            over = tuple(span for span in spans if span.start < b and span.end > a)
            begins = tuple(span for span in over if span.id not in self._begun) if text.strip() else ()
            self._begun.update(span.id for span in begins)
            yield Piece(visible(text), over, begins, any(x < b and y > a for x, y in hidden))


def _edges(spans: Iterable[Span], hidden: Iterable[tuple[int, int]]) -> Iterator[int]:
    for span in spans:
        yield from (span.start, span.end)
    for pair in hidden:
        yield from pair
