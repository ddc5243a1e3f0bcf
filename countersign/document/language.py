"""Which language a document is written in, by its script and its commonest small words."""

import re
from collections import Counter
from typing import Final

DEFAULT: Final = "en"
_SAMPLE: Final = 20_000
_MIN_LETTERS: Final = 20
_MIN_SHARE: Final = 0.08
"""Least share of small words for a Latin-script language to be told; running text has three to five times that."""

_SCRIPTS: Final[tuple[tuple[str, str], ...]] = (
    ("ja", "\u3040-\u30ff"),
    ("ko", "\uac00-\ud7af"),
    ("zh", "\u4e00-\u9fff"),
    ("uk", "іїєґІЇЄҐ"),
    ("ru", "\u0400-\u04ff"),
    ("el", "\u0370-\u03ff"),
    ("ar", "\u0600-\u06ff"),
    ("he", "\u0590-\u05ff"),
    ("hi", "\u0900-\u097f"),
    ("th", "\u0e00-\u0e7f"),
)
_WORDS: Final[dict[str, frozenset[str]]] = {
    code: frozenset(words.split())
    for code, words in (
        (
            "en",
            "the of and to in any or shall by for be with that this is as such not on from which under it has you i",
        ),
        (
            "fr",
            "le la les des et du une dans par pour que qui est aux sur ou au ne pas ce cette il se sont avec ses leur",
        ),
        (
            "de",
            "der die das und den des dem von zu mit ist im für auf nicht ein eine einer oder als auch sich werden wird",
        ),
        ("es", "el los las y del por con para una que en se su al lo como no es sus o este esta será entre cualquier"),
        (
            "it",
            "il gli di che per non della del dei delle alla con una è sono nel nella dal ai ed essere presente o si",
        ),
        ("pt", "os as da do das dos em por para com não uma que ao pela pelo ou será seu sua este esta e no na à"),
        ("nl", "het een van de en in op te voor met dat zijn niet aan door is of worden wordt deze bij als uit tot"),
        ("pl", "w z na do nie się oraz lub jest przez od dla po przy za jej jego są niniejszej niniejszego umowy i o"),
        ("sv", "och att det som en på är av för med till den inte har ett skall eller vid om detta från"),
    )
}
_MIN_WORDS: Final = 20
"""Small words say nothing about a text shorter than this."""
_WORD: Final = re.compile(r"[^\W\d_]+")


def detect_language(text: str) -> str:
    """The ISO 639-1 code of the language most of `text` is in; "en" where there is too little to tell.

    Looks at the first characters only. Knows English, French, German, Spanish, Italian, Portuguese, Dutch, Polish and
    Swedish by their small words, and nine further languages by their script.
    """
    sample = text[:_SAMPLE]
    letters = sum(character.isalpha() for character in sample)
    if letters < _MIN_LETTERS:
        return DEFAULT
    for code, characters in _SCRIPTS:
        share = len(re.findall(f"[{characters}]", sample)) / letters
        if share > (0.03 if code in {"ja", "uk"} else 0.3):
            return code
    words = Counter(_WORD.findall(sample.lower()))
    total = words.total()
    if total < _MIN_WORDS:
        return DEFAULT
    shares = {code: sum(words[word] for word in known) / max(total, 1) for code, known in _WORDS.items()}
    best = max(shares, key=lambda code: (shares[code], code == DEFAULT))
    return best if shares[best] >= _MIN_SHARE and shares[best] > 1.2 * shares[DEFAULT] else DEFAULT
