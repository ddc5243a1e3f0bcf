"""Cross-references and defined terms, resolved in the text of the document itself. Pure.

What is given back is always a slice of the text with its offsets, so a finding may quote it.
"""

import re
from collections.abc import Mapping
from typing import Any

from countersign.document.model import DocumentText

SHOWN_CHARS = 1_500
"""A section or definition is shown up to this length; `cut` says when there is more."""
MOST_MENTIONS = 5
_WORD = re.compile(r"(?:section|clause|article|schedule|exhibit|annex|appendix|paragraph|sec\.|§)\s*", re.IGNORECASE)
_KINDS = ("Article", "Schedule", "Exhibit", "Annex", "Appendix", "Attachment", "Addendum")
_BRACKETS = re.compile(r"\((?:[a-z]|[ivx]+)\)\s*$")


def resolve_reference(document: DocumentText, reference: str) -> Mapping[str, Any]:
    """The section that a reference ("Section 4.2(b)", "Schedule A", "clause 7") means; `found` is False when none is.

    A reference to a part without a heading of its own ("4.2" where only "4" is one) gives the paragraph that begins
    with that number.
    """
    wanted = " ".join(reference.split())
    plain = _WORD.sub("", wanted)
    while _BRACKETS.search(plain):
        plain = _BRACKETS.sub("", plain).rstrip()
    plain = plain.strip(" .:")
    labels = {
        plain.casefold(),
        *(f"{kind} {plain}".casefold() for kind in _KINDS if kind.casefold() in wanted.casefold()),
    }
    sections = document.sections
    at = next((place for place, one in enumerate(sections) if one.label.casefold() in labels), None)
    if at is not None:
        section, last = sections[at], at
        while last + 1 < len(sections) and sections[last + 1].label.startswith(
            (f"{section.label}.", f"{section.label}, ")
        ):
            last += 1
        return _shown(document, section.start, sections[last].end, label=section.label, heading=section.heading)
    paragraph = _paragraph(document, plain)
    if paragraph is not None:
        start, end, label = paragraph
        return _shown(document, start, end, label=label, heading="")
    return {"found": False, "sections": [one.label for one in document.sections][:60]}


def resolve_term(document: DocumentText, term: str) -> Mapping[str, Any]:
    """Where the document defines a term, and where else it uses it; `found` is False when it defines no such term.

    Definitions are `"Term" means …`, `"Term" has the meaning …` and the bracketed `(the "Term")`.
    """
    name = re.escape(" ".join(term.split())).replace(r"\ ", r"\s+")
    quoted = rf"[\"“”']\s*{name}\s*[\"“”']"
    says = re.compile(rf"{quoted}\s*(?:,?\s*(?:shall\s+)?means?\b|\s+(?:has|have)\s+the\s+meaning|\s*:)", re.IGNORECASE)
    bracketed = re.compile(rf"\([^()]{{0,60}}{quoted}[^()]{{0,60}}\)", re.IGNORECASE)
    text = document.text
    match = says.search(text) or bracketed.search(text)
    uses = [found.start() for found in re.finditer(rf"\b{name}\b", text)]
    if match is None:
        return {"found": False, "uses": len(uses)}
    start, end = _sentence(text, match.start(), match.end())
    sections = dict.fromkeys(label for use in uses if (label := document.section_of(use)) is not None)
    shown = _shown(document, start, end, label=document.section_of(start) or "", heading="")
    return {**shown, "uses": len(uses), "used_in": list(sections)[:MOST_MENTIONS]}


def references_in(text: str) -> tuple[str, ...]:
    """The references that a passage makes, each once, in their order: "Section 4.2", "Schedule A"."""
    found = re.findall(
        r"\b(?:Sections?|Clauses?|Articles?|Schedule|Exhibit|Annex|Appendix)\s+"
        # All of the number, and nothing that a law or another contract has.
        r"(?:\d{1,3}(?:\.\d{1,3})*|[IVXL]{1,5}|[A-Z])\b(?![\d.(-]*\d)"
        r"(?!(?:\s*\([^)]*\))*,?\s+(?:of|to|in|under)\s+(?!(?:this|the)\s+(?:Agreement|Contract|Schedule)\b))",
        text,
    )
    return tuple(dict.fromkeys(re.sub(r"^(Section|Clause|Article)s\b", r"\1", " ".join(one.split())) for one in found))


def terms_in(text: str) -> tuple[str, ...]:
    """Terms of two and more capitalised words that a passage uses, each once, in their order."""
    found = re.findall(r"(?<![.!?:]\s)(?<!^)\b[A-Z][a-z]+(?:\s+[A-Z][a-z]+)+\b", text)
    return tuple(dict.fromkeys(" ".join(one.split()) for one in found))


def _paragraph(document: DocumentText, number: str) -> tuple[int, int, str] | None:
    if not re.fullmatch(r"\d{1,3}(?:\.\d{1,3})*", number):
        return None
    match = re.search(rf"(?m)^[ \t>*#]*{re.escape(number)}(?![\d.]*\d)[.)]?[ \t]+\S", document.text)
    if match is None:
        return None
    end = document.text.find("\n\n", match.end())
    return match.start(), len(document.text) if end < 0 else end, number


def _sentence(text: str, start: int, end: int) -> tuple[int, int]:
    """The sentence or paragraph around a stretch."""
    before = max(text.rfind("\n\n", 0, start), text.rfind(". ", 0, start) + 1)
    ends = [at for at in (text.find("\n\n", end), text.find(". ", end) + 1) if at > 0]
    return max(before, 0), min(ends, default=len(text))


def _shown(document: DocumentText, start: int, end: int, *, label: str, heading: str) -> Mapping[str, Any]:
    raw = document.text[start:end]
    start += len(raw) - len(raw.lstrip())
    text = document.text[start : min(end, start + SHOWN_CHARS)].rstrip()
    return {
        "found": True,
        "label": label,
        "heading": heading,
        "text": text,
        "start": start,
        "end": start + len(text),
        "page": document.page_of(start),
        "cut": len(raw.strip()) > len(text),
    }
