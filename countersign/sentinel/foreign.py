"""Sentences of another language inside an English document: the rules cannot read them, so a person should."""

import re

_FUNCTION_WORDS = frozenset(
    re.findall(
        r"\w+",
        """
        the of and to or by for with any are were shall will may not that this such from all its it has have if you your
        which who their each per other under our we does can my his her at until than more between within without
        including these those but been before after during there up out over where when only also one means date days
        party parties agreement section services product products company time year terms information rights use used
        made
        """,
    )
)
"""And words that contracts are full of, without those that other languages share: a, an, as, in, is, do, no."""
_WORD = re.compile(r"(?<!\S)'?[^\W\d_]+(?:['’-][^\W\d_]+)*[,']?(?!\S)")
_SENTENCE = re.compile(r"(?:[^.;:!?\n(){}\[\]|\"]|\n(?![^\S\n]*\n))+")
_MIN_WORDS = 11
_ENGLISH = 0.2
"""Share of function words from which a text counts as English; contracts have 0.3 to 0.45."""
_LOWER = 0.75
"""Share of words in small letters that makes a sentence, not a heading, a list of names or a table."""
_COMMAS = 0.15
"""Commas a word above which it is an enumeration."""


def is_english(text: str) -> bool:
    """Whether `text` as a whole reads as English, by its share of function words."""
    words = text.lower().split()
    return bool(words) and sum(word in _FUNCTION_WORDS for word in words) >= _ENGLISH * len(words)


def foreign_passages(text: str) -> list[tuple[int, int]]:
    """Stretches of `text`, which is English as a whole, that read as sentences of another language.

    A sentence of at least 11 words, mostly in small letters, without one English function word is no English sentence.
    """
    found = []
    for match in _SENTENCE.finditer(text):
        sentence = match.group()
        if len(sentence) < 4 * _MIN_WORDS or not _FUNCTION_WORDS.isdisjoint(sentence.lower().split()):
            continue
        tokens = _WORD.findall(sentence)
        small = sum(token.islower() and len(token) > 1 for token in tokens)
        enumerated = sentence.count(",") > _COMMAS * len(tokens)
        if len(tokens) >= _MIN_WORDS and small >= _LOWER * len(sentence.split()) and not enumerated:
            found.append(match.span())
    return found
