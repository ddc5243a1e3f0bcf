"""Where a contract's sections begin, judged line by line. One pass, linear in the length of the text."""

import re
from collections import Counter
from typing import Final, NamedTuple

from countersign.document.model import Section

PREAMBLE: Final = "Preamble"
HEADING_CHARS: Final = 120
"""Longest heading kept; what a line says beyond that is text."""
_CONTENTS_CHARS: Final = 250
"""A heading that comes again later and has no more text than this stands in a table of contents."""
_LOOK: Final = 200
"""How much of a line is looked at: headings stand at its beginning."""

_LINE: Final = re.compile(r"[^\n]+")
_MARKDOWN: Final = re.compile(r"#{1,6}[ \t]+(?P<title>\S.*)")
_NAMED: Final = re.compile(
    r"(?P<word>article|section|clause|schedule|exhibit|annex|appendix|attachment|addendum)[ \t\xa0]+"
    r"(?P<number>\d{1,3}(?:\.\d{1,3})*(?:\([a-z]\))?|[IVXLC]{1,7}|[A-Z](?:-?\d{1,2})?)"
    r"(?P<stop>[.:)]|(?=[ \t\xa0\-–—]|$))[ \t\xa0.:\-–—]*(?P<rest>.*)",
    re.IGNORECASE,
)
_NUMBERED: Final = re.compile(
    r"(?P<number>\d{1,2}(?:\.\d{1,2}){0,3}|[IVXL]{1,6}(?=[.)])|[A-Z]\.\d{1,2})"
    r"(?P<stop>[.):]?)(?P<gap>[ \t\xa0]*)(?P<rest>\S.*|$)"
)
_INLINE: Final = re.compile(
    r"(?<=[.;:)\]\"”] )(?P<wide> {0,6})"
    r"(?:(?:ARTICLE|Article|SECTION|Section) {1,3}(?:[IVXLC]{1,7}|\d{1,2})\.? {1,6}"
    r"|\d{1,2}\.(?:\d{1,2}\.?)? {1,6})(?=[A-Z])"
)
_LONG_LINE: Final = 300
"""Lines longer than this may hold whole sections run together, as files made from web pages do."""
_LEADERS: Final = re.compile(r"(?:\.[ \t]?){4,}|…|\t[ \t]*\d{1,3}$|[ ]{3,}\d{1,3}$")
_RUN_IN: Final = re.compile(r"(?P<title>[A-Z\"“][^.:;]{1,79}?)(?:[.:]|[ \t]+[-–—]|[ ]{2,}|$)")
_CAPITALS: Final = re.compile(r"[A-Z][A-Z0-9 ,&/'’()\-–—]{3,59}")
_NOT_CAPITALS: Final = re.compile(
    r"(?:BY|NAME|TITLE|DATE|ITS|AND|BETWEEN|WITH|OF|FOR|THE|OR|IN WITNESS|ATTEST|WITNESS|SIGNED|CONFIDENTIAL$|PAGE)\b"
    r"|.*\b(?:INC|LLC|L\.?L\.?C|LTD|CORP|GMBH|AG|PLC|LLP)\b"
    r"|.*\b(?:CORPORATION|LIMITED|COMPANY|LP|S\.?A|N\.?A)\W*$"
)
_TOP_NUMBER: Final = re.compile(r"(\d{1,3})(?:\.|$)")
_SCHEDULES: Final = frozenset({"schedule", "exhibit", "annex", "appendix", "attachment", "addendum"})
_SMALL_WORDS: Final = frozenset(
    ("a", "an", "and", "as", "at", "by", "for", "from", "in", "into", "of", "on", "or", "per", "the", "to", "with")
)


class _Heading(NamedTuple):
    start: int
    label: str
    title: str
    container: bool
    """Whether numbering may begin again under it: a schedule or an article, but no filing stamp ("Exhibit 10.1")."""


def find_sections(text: str) -> tuple[Section, ...]:
    """The sections of a contract, in order, without gap or overlap, from the first character to the last.

    A heading is a line that begins with "1.", "4.2", "A.3", "ARTICLE IX", "Section 4.2", "Schedule A", or a Markdown
    `#`, or that is all capitals; in long lines also a numbered title after a sentence. "(a)" is part of its section.
    What comes before the first heading is the "Preamble". A label that comes twice is told apart by its schedule or
    article ("Schedule A, 1") or by counting ("1 (2)"). Lines of a table of contents are no headings. An empty text has
    no sections.
    """
    if not text:
        return ()
    headings = _without_contents(_headings(text))
    if not headings or text[: headings[0].start].strip():
        headings.insert(0, _Heading(0, PREAMBLE, "", False))
    else:
        headings[0] = headings[0]._replace(start=0)
    ends = [heading.start for heading in headings[1:]] + [len(text)]
    sections: list[Section] = []
    taken: Counter[str] = Counter()
    container = ""
    for heading, end in zip(headings, ends, strict=True):
        label = heading.label
        restarts = container and not (container.startswith("Article") and "." in label)
        if label in taken and restarts and not heading.container:
            label = f"{container}, {label}"
        label = _unique(label, taken)
        if heading.container:
            container = label
        sections.append(Section(label=label, heading=heading.title, start=heading.start, end=end))
    return tuple(sections)


def _unique(label: str, taken: Counter[str]) -> str:
    """`label`, or `label (n)` when it is taken; marks what it returns as taken."""
    unique = label
    while unique in taken:
        taken[label] += 1
        unique = f"{label} ({taken[label]})"
    taken[unique] += 1
    return unique


def _headings(text: str) -> list[_Heading]:
    """Every line that looks like a heading. Lines that come often are headers or footers of pages."""
    lines = [(match.start(), match.group()[:_LOOK].strip()) for match in _LINE.finditer(text)]
    often = {line for line, count in Counter(line for _, line in lines).items() if count > 3}
    found: list[_Heading] = []
    top = 0
    for index, (start, line) in enumerate(lines):
        if not line or line in often or _LEADERS.search(line):
            continue
        heading = _heading(start, line, top)
        if heading is None:
            alone = index == 0 or text.startswith("\n\n", start - 2)
            previous = "" if alone else lines[index - 1][1]
            heading = _capitals(start, line, previous, lines[index + 1][1] if index + 1 < len(lines) else "")
        if heading is not None:
            found.append(heading)
            top = _top(heading, top)
        line_end = lines[index + 1][0] if index + 1 < len(lines) else len(text)
        if line_end - start > _LONG_LINE:
            inline = _run_together(text, start, line_end, top)
            found += inline
            top = _top(inline[-1], top) if inline else top
    return found


def _run_together(text: str, start: int, end: int, top: int) -> list[_Heading]:
    """Numbered titles inside a long line; only those that continue the numbering, or begin it anew with a title."""
    found: list[_Heading] = []
    for match in _INLINE.finditer(text, start, end):
        begin = match.end("wide")
        heading = _heading(begin, text[begin : min(begin + _LOOK, end)].strip(), top)
        if heading is None:
            continue
        new = _top(heading, top)
        if heading.title or match["wide"]:
            fits = top <= new <= top + 1 or (new == 1 and heading.title != "")
        else:
            fits = 0 < top == new - 1
        if fits:
            found.append(heading)
            top = new
    return found


def _top(heading: _Heading, top: int) -> int:
    """The number of the top-level section after this heading."""
    if match := _TOP_NUMBER.match(heading.label):
        return int(match[1])
    return 0 if heading.container else top


def _heading(start: int, line: str, top: int) -> _Heading | None:
    """A heading by its Markdown mark, name or number. `top` is the number of the last top-level section."""
    if match := _MARKDOWN.fullmatch(line):
        title = match["title"].strip("#*_ \t").replace("**", "")
        if not title:
            return None
        return _named(start, title) or _numbered(start, title, top, marked=True) or _titled(start, title)
    line = line.lstrip("*_ ")
    return _named(start, line) or _numbered(start, line, top, marked=False)


def _named(start: int, line: str) -> _Heading | None:
    match = _NAMED.match(line)
    if match is None or not match["word"][0].isupper():
        return None
    number, rest = match["number"], match["rest"].strip("*_ \t")
    if number[0].islower() or (rest and not rest[0].isupper() and rest[0] not in '"“(['):
        return None  # the middle of a sentence: "Section 4.2 of this Agreement"
    if rest.startswith("(") and not match["stop"]:
        return None  # "Section 4.2 (b) applies"
    word = match["word"].lower()
    plain = word in {"section", "clause"} and number[0].isdigit()
    label = number if plain else f"{word.capitalize()} {number}"
    if not match["stop"] and rest and word != "article" and not _is_title(_title(rest)):
        return None
    container = word == "article" or (word in _SCHEDULES and "." not in number)
    return _Heading(start, label, _title(rest), container)


def _numbered(start: int, line: str, top: int, *, marked: bool) -> _Heading | None:
    match = _NUMBERED.match(line)
    if match is None:
        return None
    number, stop, gap, rest = match["number"], match["stop"], match["gap"], match["rest"].strip("*_ \t")
    if (
        not rest
        or not (gap or rest[0].isalpha())
        or not (rest[0].isupper() or rest[0] in ('"“[_(' if stop else '"“[_'))
    ):
        return None
    if number[0].isdigit() and not marked and not _follows(int(number.partition(".")[0]), top):
        return None  # an address, a date, a quantity
    if not stop and not gap:
        return None
    title = _title(rest)
    if not (stop or marked or "." in number) and not (_is_title(rest) and len(rest) < 60):
        return None  # "30 Days after …": a bare number needs a title
    label = f"Article {number}" if number.isalpha() else number
    return _Heading(start, label, title, False)


def _follows(number: int, top: int) -> bool:
    """Whether a top-level number may come after `top`: a little further, or from 1 again."""
    return number == 1 or (number > 0 and top - 1 <= number <= top + 3)


def _titled(start: int, title: str) -> _Heading:
    return _Heading(start, title[:HEADING_CHARS], title[:HEADING_CHARS], False)


def _capitals(start: int, line: str, previous: str, after: str) -> _Heading | None:
    """A short line in capitals that stands alone, such as "CONFIDENTIAL INFORMATION"."""
    if not _CAPITALS.fullmatch(line) or _NOT_CAPITALS.match(line) or line.endswith((",", "AND", " OF", "-")):
        return None
    words = line.split()
    letters = sum(character.isalpha() for character in line)
    if letters < max(4, 0.75 * len(line.replace(" ", ""))) or len(words) > 8:
        return None
    if previous.isupper() or (after.isupper() and len(after) > 60) or (previous and previous[-1] in ",;"):
        return None  # part of a longer passage in capitals
    label = " ".join(word.lower() if word.lower() in _SMALL_WORDS else word.capitalize() for word in words)
    return _Heading(start, label[:1].upper() + label[1:], line, False)


def _title(rest: str) -> str:
    """The title at the beginning of a section's first line, or "" where the text begins at once."""
    match = _RUN_IN.match(rest)
    if match is None:
        return ""
    title = match["title"].strip('*_ \t"“”')
    return title if _is_title(title) else ""


def _is_title(title: str) -> bool:
    """Whether most of the weighty words begin with a capital, as in a title, and there are few of them."""
    words = [word for word in re.findall(r"[^\W\d_][\w'’-]*", title) if word.lower() not in _SMALL_WORDS]
    return 0 < len(words) <= 9 and sum(word[0].isupper() for word in words) >= 0.6 * len(words)


def _without_contents(headings: list[_Heading]) -> list[_Heading]:
    """Without the lines of a table of contents: little text behind them, and the same heading again later."""
    kept: list[_Heading] = []
    later: set[tuple[str, str]] = set()
    following = None
    for heading in reversed(headings):
        key = (heading.label, re.sub(r"[\W\d_]+", "", heading.title).lower())
        near = following is not None and following - heading.start < _CONTENTS_CHARS
        following = heading.start
        if near and key[1] and key in later:
            continue
        later.add(key)
        kept.append(heading)
    return kept[::-1]
