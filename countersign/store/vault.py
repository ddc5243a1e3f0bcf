"""Envelope encryption: a master key wraps one data key per review, which seals what the review is about.

A sealed value is `version (1 byte) | nonce (12) | AES-256-GCM ciphertext and tag`. The version and a context (which
row of which table) are authenticated, so that a value moved to another row does not open there.
"""

import secrets

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from countersign.errors import CountersignError
from countersign.store.keys import KEY_BYTES

VERSION = 1
_NONCE_BYTES = 12  # NIST SP 800-38D, 8.2.2: random nonces are good for 2**32 messages under one key
_HEADER_BYTES = 1 + _NONCE_BYTES


class VaultError(CountersignError):
    """A sealed value does not open: another key, another place, or changed bytes."""

    type = "VaultError"


def context(*parts: str) -> bytes:
    """What a value is bound to. Each part is preceded by its length, so no two lists of parts give the same bytes."""
    return b"".join(len(data).to_bytes(4, "big") + data for data in (part.encode() for part in parts))


class Vault:
    """Seals and opens. Holds the master key; data keys are passed in and never kept."""

    def __init__(self, master_key: bytes) -> None:
        if len(master_key) != KEY_BYTES:
            raise ValueError(f"the master key has {KEY_BYTES} bytes, not {len(master_key)}")
        self._master_key = master_key
        self._wrapping_key = self.derive("data keys")

    def derive(self, purpose: str) -> bytes:
        """A 32-byte key of its own for `purpose` (HKDF-SHA256, RFC 5869); one key tells nothing of another."""
        info = b"countersign/v1/" + purpose.encode()
        return HKDF(algorithm=SHA256(), length=KEY_BYTES, salt=None, info=info).derive(self._master_key)

    @property
    def fingerprint(self) -> bytes:
        """Tells master keys apart and nothing of them: a derived key that seals nothing."""
        return self.derive("fingerprint")

    def new_data_key(self) -> tuple[bytes, bytes]:
        """A new data key: plain for use now, wrapped for storage."""
        plain = secrets.token_bytes(KEY_BYTES)
        return plain, self.seal(self._wrapping_key, plain, b"data key")

    def unwrap(self, wrapped: bytes) -> bytes:
        """The plain data key. Raises `VaultError` when another master key wrapped it."""
        return self.open(self._wrapping_key, wrapped, b"data key")

    def seal(self, data_key: bytes, plaintext: bytes, context: bytes) -> bytes:
        """Encrypt `plaintext` for one place, `context`; 29 bytes longer than what went in."""
        version, nonce = bytes([VERSION]), secrets.token_bytes(_NONCE_BYTES)
        return version + nonce + AESGCM(data_key).encrypt(nonce, plaintext, version + context)

    def open(self, data_key: bytes, sealed: bytes, context: bytes) -> bytes:
        """Decrypt what `seal` made with the same key and context; anything else raises `VaultError`."""
        version, nonce = sealed[:1], sealed[1:_HEADER_BYTES]
        if version != bytes([VERSION]) or len(nonce) != _NONCE_BYTES:
            raise VaultError(
                "sealed value: its format is unknown", remedy="It was written by a newer version, or damaged"
            )
        try:
            return AESGCM(data_key).decrypt(nonce, sealed[_HEADER_BYTES:], version + context)
        except InvalidTag:
            raise VaultError(
                "sealed value: does not open", remedy="Check that COUNTERSIGN_MASTER_KEY is the one it was sealed with"
            ) from None
