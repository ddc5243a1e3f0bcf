"""Pseudonyms: who someone is to the trail, without saying who. Only a holder of the key can link the two."""

import hashlib
import hmac

_HEX = 32


class Pseudonyms:
    """Keyed pseudonyms (HMAC-SHA256, RFC 2104), cut to 128 bits.

    `version` says which key made one, so that after a change of keys old pseudonyms are still known as such.
    """

    def __init__(self, key: bytes, version: int = 1) -> None:
        if len(key) < _HEX:
            raise ValueError(f"a pseudonym key has at least {_HEX} bytes, not {len(key)}")
        self._key = key
        self._prefix = f"p{version}:"

    def of(self, kind: str, value: str) -> str:
        """`"p1:"` and 32 hex digits. Kinds are "user", "tenant" and "reviewer".

        The same value under two kinds gives two unrelated pseudonyms. Case and surrounding space do
        not matter, as they do not when the desk compares two people.
        """
        message = kind.encode() + b"\0" + value.strip().casefold().encode()
        return self._prefix + hmac.new(self._key, message, hashlib.sha256).hexdigest()[:_HEX]
