"""Whether a text is a contract at all: a small explained score that turns away recipes and code, not odd contracts."""

import math
import re
from typing import Final, NamedTuple

from countersign.document.language import detect_language
from countersign.errors import DocumentError

THRESHOLD: Final = 0.15
"""Below this an English text is refused. Real contracts score far above it; see the tests for both margins."""
UNJUDGED: Final = 0.5
"""Likeness of a text that is not in English: its words are not known here, so nothing is claimed."""

_BIAS: Final = -4.0
_SAMPLE: Final = 60_000
_MIN_WORDS: Final = 250
"""Densities of shorter texts are taken as if they had this many words, so that one word proves little."""


class _Sign(NamedTuple):
    """Words that speak for a contract (weight above 0) or against it; `full` per 1,000 words count fully."""

    weight: float
    full: float
    pattern: re.Pattern[str]


def _sign(weight: float, full: float, pattern: str, flags: int = re.IGNORECASE) -> _Sign:
    return _Sign(weight, full, re.compile(pattern, flags))


_SIGNS: Final = (
    # for: "this Agreement", duties, parties, the old adverbs, defined terms, the word itself
    _sign(
        2.0,
        4.0,
        r"\bth(?:is|ese) (?:[\w-]+ ){0,3}?"
        r"(?:agreements?|contract|amendment|lease|addendum|licen[cs]e|terms|deed)\b",
    ),
    _sign(
        1.5, 10.0, r"\b(?:shall|must|may not|agrees? (?:to|that)|agreed|undertakes?|is (?:not )?(?:entitled|obliged))\b"
    ),
    _sign(
        1.5,
        6.0,
        r"\b(?:part(?:y|ies)|licensors?|licensees?|suppliers?|customers?|distributors?|contractors?|company)\b",
    ),
    _sign(
        1.2,
        3.0,
        r"\b(?:here(?:by|in|of|to|under|after|with|inafter)|there(?:of|in|to|under)|whereas)\b",
    ),
    _sign(0.8, 3.0, r"[“\"][A-Z][^”\"\n]{1,40}[”\"]", re.NOFLAG),
    _sign(1.0, 4.0, r"\b(?:agreement|contract|addendum|amendment|order form)s?\b"),
    # against: links and footnotes, questions, source code, narrative, guides, e-mail, invoices, CVs and recipes
    _sign(-6.0, 15.0, r"https?://|\]\(|\[\^"),
    _sign(-1.5, 3.0, r"\?(?=\s|$)"),
    _sign(
        -3.0,
        6.0,
        r"^[ \t]*(?:def|class|import|from|return|if|for|while|public|private|const|let|var|function|#include)\b"
        r"[^\n]*[:;({]?[ \t]*$|(?:[{}]|\);)[ \t]*$|[=!]==?|=>|->|\(\)",
        re.MULTILINE,
    ),
    _sign(
        -2.0,
        5.0,
        r"\b(?:he|she) (?:said|was|had|asked|looked|thought|knew)\b|\bsaid\b|^[“\"‘'][^\n]{3,}",
        re.IGNORECASE | re.MULTILINE,
    ),
    _sign(-4.0, 1.5, r"\b(?:checklists?|practice guide|short answer|reviewers?)\b"),
    _sign(-1.5, 4.0, r"\b(?:should|consider|usually|typically|for example|courts?|statut\w+)\b"),
    _sign(-2.0, 2.0, r"^(?:from|to|cc|subject|sent|reply-to):[ \t]", re.IGNORECASE | re.MULTILINE),
    _sign(
        -2.0,
        4.0,
        r"\b(?:invoice (?:no|number|date)|subtotal|amount due|qty|vat|curriculum vitae|résumé|work experience|skills"
        r"|references available|preheat|tablespoons?|teaspoons?|tbsp|tsp|simmer|stir)\b",
    ),
)

_SUBJECTS: Final = tuple(
    re.compile(pattern, re.IGNORECASE)
    for pattern in (
        r"\bgovern(?:ed|ing) (?:by|law)|\blaws? of the (?:state|commonwealth|republic)|\blaw applies",
        r"\bterminat(?:e|es|ed|ion)\b",
        r"\bindemnif|\bhold harmless",
        r"\bliab(?:le|ility|ilities)\b",
        r"\bconfidential",
        r"\beffective date|\beffective as of|\bdated as of|\bas of (?:the|this) \w+ day|\bcommencement date",
        r"\bwarrant(?:y|ies|s)\b",
        r"\bnotwithstanding|\bpursuant to|\bsubject to|\bprovided,? (?:that|however)",
        r"\bin writing\b|\bwritten (?:notice|consent|agreement)",
        r"\bassign(?:s|ed|ment|able)?\b",
        r"\bbreach",
        r"\bentire agreement|\bcounterparts|\bseverab|\bsupersede",
        r"\bin witness whereof|\bsigned\b|\bsignature|\bundersigned|\bduly authori[sz]ed|^\s*by:",
        r"\b(?:by and )?between\b|\bthe parties\b|\bwe agree|\byou agree|\bboth (?:of us|sides)",
        r"\bpay(?:s|ment|ments|able)?\b|\bfees?\b",
        r"\bexclusive|\blicen[cs]e|\bconsent|\bobligation|\brights?\b",
    )
)
_SUBJECTS_WEIGHT: Final = 4.0
_SUBJECTS_FULL: Final = 10

_OPENING: Final = re.compile(
    r"(?:[A-Z][\w\"“”'’&/-]*|of)[ \xa0\n]+(?:(?:to|No\.?|and|#) *)?"
    r"(?:Agreement|AGREEMENT|Contract|CONTRACT|Amendment|AMENDMENT|Addendum|ADDENDUM|APPENDIX"
    r"|Lease|LEASE|Deed|DEED"
    r"|Order Form|ORDER FORM|Term Sheet|TERM SHEET|Terms (?:and|of)|TERMS (?:AND|OF)|Statement of Work"
    r"|Letter of Intent|Power of Attorney|POWER OF ATTORNEY|NDA|Non-Disclosure)\b"
    r"|\b(?:AGREEMENT|CONTRACT|AMENDMENT|ADDENDUM)\b"
)
_OPENING_CHARS: Final = 1_000
_OPENING_WEIGHT: Final = 4.0


def contract_likeness(text: str) -> float:
    """How much a text looks like a contract, in [0, 1].

    A logistic score of how densely contract words stand in it (per 1,000 words, each sign saturating), how many of the
    subjects of contracts it touches, whether it opens under a contract's title, and signs of other kinds of text. The
    weights were set by hand on the public contracts named in the tests. Text that is not English scores `UNJUDGED`.
    """
    if detect_language(text) != "en":
        return UNJUDGED
    sample = text[:_SAMPLE]
    words = max(len(sample.split()), _MIN_WORDS)
    score = _BIAS
    for weight, full, pattern in _SIGNS:
        density = 1000 * sum(1 for _ in pattern.finditer(sample)) / words
        score += weight * min(density / full, 1.0)
    touched = sum(1 for subject in _SUBJECTS if subject.search(sample))
    if _OPENING.search(sample, 0, _OPENING_CHARS):
        score += _OPENING_WEIGHT
    score += _SUBJECTS_WEIGHT * min(touched / _SUBJECTS_FULL, 1.0)
    return 1 / (1 + math.exp(-score))


def assert_contract(text: str) -> None:
    """Nothing, if the text may be a contract; when in doubt it may.

    Raises:
        DocumentError: the text is clearly something else.
    """
    likeness = contract_likeness(text)
    if likeness < THRESHOLD:
        raise DocumentError(
            f"the document is no contract (likeness {likeness:.2f}, at least {THRESHOLD} is needed)",
            remedy="Submit an agreement, amendment, order or terms; other kinds of document are not reviewed",
        )
