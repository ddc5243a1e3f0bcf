"""Keys of 32 bytes: from a setting, or made once and kept in the stack's home."""

import base64
import binascii
import os
import secrets
from pathlib import Path

from pydantic import SecretStr

from countersign.errors import InvalidRequest

KEY_BYTES = 32


def decode_key(text: str, where: str) -> bytes:
    """32 bytes from base64 (standard or URL alphabet). Raises `InvalidRequest` naming `where`, never the value."""
    try:
        key = base64.b64decode(text.strip().replace("-", "+").replace("_", "/"), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if len(key) != KEY_BYTES:
        raise InvalidRequest(
            f"{where}: is not base64 of {KEY_BYTES} bytes", remedy="Make one with `openssl rand -base64 32`"
        )
    return key


def load_key(setting: SecretStr | None, path: Path) -> bytes:
    """The key of `setting`, else of the file `path`, which is made (mode 0600) when it does not exist.

    The file is named after its setting: `master.key` holds what `COUNTERSIGN_MASTER_KEY` would say. Several processes
    may start at once: all return the same key. Raises `InvalidRequest` for a malformed key.
    """
    if setting is not None:
        return decode_key(setting.get_secret_value(), "COUNTERSIGN_" + path.name.replace(".", "_").upper())
    if not path.exists():
        _make(path)
    return decode_key(path.read_text(encoding="ascii", errors="replace"), f"key file {path}")


def _make(path: Path) -> None:
    """Write a whole new key beside `path`, then link it into place: the first one wins, nobody reads half a key."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(base64.b64encode(secrets.token_bytes(KEY_BYTES)) + b"\n")
            file.flush()
            os.fsync(file.fileno())
        try:
            path.hardlink_to(draft)
        except FileExistsError:
            return  # another process was first; its key is the key
    finally:
        draft.unlink()
