"""Hostile characters as people may see them."""

import unicodedata

_JOINERS = "\u200c\u200d"


def visible(text: str) -> str:
    """`text` with every character that could deceive a reader shown as U+FFFD, one for one; tab and newline stay.

    That is: control characters, format characters such as bidirectional overrides and zero-width spaces, and lone
    surrogates, which no page can be encoded with. The two joiners that some scripts need stay.
    """
    return "".join(
        character
        if character in "\n\t" or character in _JOINERS or unicodedata.category(character) not in {"Cc", "Cf", "Cs"}
        else "\ufffd"
        for character in text
    )
