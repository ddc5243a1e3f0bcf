"""The intent, offline: the kind of contract from its title and opening, our side and focus from the ask."""

import re
from collections import Counter
from typing import Literal

from countersign.agents.offline.request import Prompt
from countersign.document.language import detect_language
from countersign.playbook.model import Family
from countersign.review.payloads import Intent


def _set(words: str) -> frozenset[str]:
    return frozenset(words.split())


_TYPES: tuple[tuple[str, re.Pattern[str]], ...] = tuple(
    (name, re.compile(pattern, re.IGNORECASE))
    for name, pattern in (
        ("nda", r"non[- ]?disclosure|confidentiality (?:agreement|undertaking)|secrecy agreement|\bNDA\b"),
        ("msa", r"master (?:\w+ ){0,3}agreement|framework agreement|\bMSA\b"),
        ("joint_venture", r"joint venture"),
        ("employment", r"employment agreement|contract of employment|terms of employment|executive agreement"),
        ("lease", r"\blease\b|tenancy agreement"),
        ("franchise", r"franchis(?:e|ing)"),
        ("distribution", r"distribut(?:or|ion) agreement|distributorship|reseller agreement"),
        ("supply", r"supply agreement|purchase (?:and sale )?agreement|sale of goods"),
        ("manufacturing", r"manufactur(?:e|ing) agreement"),
        ("license", r"licen[cs](?:e|ing)(?: \w+){0,2} agreement|licen[cs]e"),
        ("consulting", r"consult(?:ing|ancy) agreement|consultant agreement"),
        ("agency", r"agency agreement|sales representative agreement"),
        ("marketing", r"(?:marketing|promotion|advertising|endorsement|sponsorship) agreement"),
        ("maintenance", r"maintenance (?:and support )?agreement|support agreement"),
        ("hosting", r"hosting agreement"),
        ("outsourcing", r"outsourcing agreement"),
        ("collaboration", r"(?:collaboration|co-?operation|strategic alliance|development) agreement"),
        ("co_branding", r"co-?branding"),
        ("affiliate", r"affiliate agreement"),
        ("transportation", r"(?:transportation|carriage|freight|gathering) (?:services? )?agreement"),
        ("non_compete", r"non-?compet\w+(?: and non-?solicit\w+)? agreement"),
        ("loan", r"loan agreement|credit agreement|promissory note"),
        ("services", r"services? agreement|statement of work|terms of service"),
    )
)
_TITLE_LINE = re.compile(r"\b(?:agreement|contract|deed|lease|terms|undertaking|addendum)\b", re.IGNORECASE)
_PREAMBLE = re.compile(
    r"\bth(?:is|e following)\s+([^.()\n]{0,90}?(?:agreement|contract|deed|lease|undertaking))\b", re.IGNORECASE
)
_TITLE_CHARS = 3000
_TITLE_WEIGHT = 6
_ENOUGH = 2

_SIDE = re.compile(
    r"\b(?:(?:we|i|our company|our client|my client)\s+(?:are|am|is|act as|acts? for|represents?)"
    r"|(?:on behalf|from the (?:side|view|viewpoint|perspective)) of|our (?:side|role) is|acting (?:as|for)|as)"
    r"\s+(?:the\s+|an?\s+)?"
    r"[\"“]?([A-Za-z]+(?:\s+(?:Party|party))?)",
    re.IGNORECASE,
)
_ROLES = _set(
    "disclosing receiving discloser recipient supplier vendor provider contractor consultant customer client buyer "
    "purchaser seller licensor licensee landlord tenant lessor lessee employer employee distributor manufacturer "
    "franchisor franchisee agent principal lender borrower company subcontractor reseller publisher owner user"
)
_QUESTION = re.compile(
    r"^\s*(?:what|which|who|whose|when|where|how|is|are|does|do|can|may|must|will|would|should)\b", re.IGNORECASE
)
_SUMMARY = re.compile(r"\bsummar(?:y|i[sz]e)|\boverview\b|\bin short\b", re.IGNORECASE)
_LIMITS = re.compile(r"\b(?:only|just|focus(?:s?ing)?|concentrat\w+|limited? to|nothing but)\b", re.IGNORECASE)
_COMMON = _set(
    "a about agreement an and any are as at be by can clause clauses contract do does for from how i in is it its "
    "me my of on only or other our party parties review say that the their this to us we what when where which who with"
)
_STEM = 6


def intent_answer(prompt: Prompt) -> Intent:
    """The intent as far as opening, outline, ask and profile show it; nothing is guessed beyond them."""
    opening, ask = "\n".join(prompt.texts), prompt.body("ask")
    return Intent(
        task=task_of(ask),
        contract_type=contract_type(opening),
        our_side=our_side(ask, opening) or prompt.profile.get("our_side", "unknown"),
        focus=focus(ask, prompt.families),
        language=detect_language(opening),
    )


def task_of(ask: str) -> Literal["review", "summarise", "question"]:
    """What kind of work the ask wants."""
    if _SUMMARY.search(ask):
        return "summarise"
    return "question" if _QUESTION.match(ask) or ask.rstrip().endswith("?") else "review"


def contract_type(opening: str) -> str:
    """The kind of contract: title and "this … agreement" weigh most, mentions in the opening a little; else "other"."""
    head = opening[:_TITLE_CHARS]
    lines = (" ".join(line.split()) for line in head.splitlines())
    titles = [line for line in lines if len(line) < 120 and _TITLE_LINE.search(line)][:2]
    titles += [match.group(1) for match in _PREAMBLE.finditer(head)][:2]
    scores: Counter[str] = Counter()
    for name, pattern in _TYPES:
        scores[name] += _TITLE_WEIGHT * sum(bool(pattern.search(title)) for title in titles)
        scores[name] += min(len(pattern.findall(head)), 3)
    best, score = max(scores.items(), key=lambda item: item[1])
    return best if score >= _ENOUGH else "other"


def our_side(ask: str, opening: str) -> str:
    """Our role in the ask, written as the contract writes it when it does; empty when the ask names none."""
    for match in _SIDE.finditer(ask):
        words = match.group(1).split()
        role = " ".join(words) if words[0].lower() in {"disclosing", "receiving"} else words[0]
        if words[0].lower() in _ROLES or (role[0].isupper() and re.search(rf"[\"“(]{re.escape(role)}[\"”)]", opening)):
            written = re.search(rf"\b{re.escape(role)}\b", opening, re.IGNORECASE)
            return written.group() if written and written.group()[0].isupper() else role.title()
    return ""


def focus(ask: str, families: tuple[Family, ...]) -> tuple[str, ...]:
    """Keys of the families the ask limits the review to; empty unless it says so ("only", "focus on", …).

    A question limits nothing: a focus that is too wide costs time, one that is too narrow hides clauses. For the same
    reason one shared word is enough.
    """
    if not _LIMITS.search(ask):
        return ()
    asked = _stems(ask)
    return tuple(
        family.key
        for family in families
        if asked & _stems(f"{family.title} {family.key.replace('_', ' ')}")
        or any(re.search(cue, ask, re.IGNORECASE) for cue in family.cues)
    )


def _stems(text: str) -> frozenset[str]:
    """The beginnings of the words that carry meaning, so that "terminate" meets "termination"."""
    words = (word.removesuffix("s") for word in re.findall(r"[a-z]+", text.lower()) if word not in _COMMON)
    return frozenset(word[:_STEM] for word in words if len(word) > 1)
