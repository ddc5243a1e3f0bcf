"""Private keys that decisions are signed with: the gateway's, and a person's own in a PEM file."""

import os
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)

from countersign.errors import InvalidRequest
from countersign.review.proof import SigningKey
from countersign.settings import Settings
from countersign.store.keys import load_key


def gateway_key(settings: Settings) -> SigningKey:
    """The key of `COUNTERSIGN_GATEWAY_KEY`, else of `gateway.key` in the home, made when there is none.

    Whoever has it can decide in anybody's name: it belongs on the gateway and nowhere else.
    """
    return SigningKey(load_key(settings.gateway_key, settings.state / "gateway.key"))


def own_key(path: Path) -> SigningKey:
    """The Ed25519 key of a PEM file without password. Raises `InvalidRequest`, which never shows what is in it."""
    try:
        key = load_pem_private_key(path.read_bytes(), password=None)
    except (OSError, ValueError, TypeError):
        key = None
    if not isinstance(key, Ed25519PrivateKey):
        raise InvalidRequest(
            f"signing key {path}: is no Ed25519 key as PEM, or cannot be read",
            remedy="Make one with `countersign keys signing make FILE`",
        )
    return SigningKey(key.private_bytes(Encoding.Raw, PrivateFormat.Raw, NoEncryption()))


def make_own_key(path: Path, public_path: Path | None = None) -> bytes:
    """Write a new key to `path` (mode 0600, PKCS 8 as PEM), and its public half, which is returned, to `public_path`.

    Raises `InvalidRequest` when either file exists or cannot be written; then there is neither.
    """
    key = Ed25519PrivateKey.generate()
    public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    _write_new(path, private, 0o600, "signing key")
    if public_path is not None:
        try:
            _write_new(public_path, public, 0o644, "public key")
        except InvalidRequest:
            path.unlink()
            raise
    return public


def _write_new(path: Path, content: bytes, mode: int, what: str) -> None:
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    except FileExistsError:
        raise InvalidRequest(f"{what} {path}: the file exists", remedy="Name another") from None
    except OSError as error:
        raise InvalidRequest(f"{what} {path}: cannot be written ({type(error).__name__})") from None
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)


def public_half(path: Path) -> bytes:
    """The raw public key of a PEM file. Raises `InvalidRequest`."""
    try:
        key = load_pem_public_key(path.read_bytes())
    except (OSError, ValueError):
        key = None
    if not isinstance(key, Ed25519PublicKey):
        raise InvalidRequest(
            f"public key {path}: is no Ed25519 public key as PEM, or cannot be read",
            remedy="`countersign keys signing make` makes one",
        )
    return key.public_bytes(Encoding.Raw, PublicFormat.Raw)
