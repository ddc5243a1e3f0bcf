"""Files named on the command line, read with their limits. `-` is standard input."""

import stat
import sys
from pathlib import Path

from countersign.errors import CountersignError, DocumentError, InvalidRequest

STDIN = "-"
DOCUMENT_LIMIT = "COUNTERSIGN_MAX_DOCUMENT_MB"


def read_bounded(name: str, max_bytes: int, *, setting: str | None = None) -> bytes:
    """The bytes of a file that is there, is a file, is not empty and no larger than `max_bytes` (checked first).

    `setting` names what the limit is set by, if it is.

    Raises:
        InvalidRequest: missing, a folder, unreadable or empty.
        DocumentError: too large.
    """
    remedy = f"Split it, or raise {setting}" if setting else "Give a smaller file"
    too_large = DocumentError(f"{name}: is larger than the limit of {max_bytes / 1e6:g} MB", remedy=remedy)
    if name == STDIN:
        data: bytes | None = sys.stdin.buffer.read(max_bytes + 1)
    else:
        data = _read_path(name, max_bytes)
    if data is None or len(data) > max_bytes:
        raise too_large
    if not data:
        raise InvalidRequest(
            f"{'standard input' if name == STDIN else name}: is empty", remedy="Give a file with something in it"
        )
    return data


def _read_path(name: str, max_bytes: int) -> bytes | None:
    """At most `max_bytes` + 1 bytes; None when the file says beforehand that it is larger."""
    path = Path(name)
    try:
        state = path.stat()
        if stat.S_ISDIR(state.st_mode):
            raise InvalidRequest(f"{name}: is a folder", remedy="Name the files in it, for example with a pattern")
        if state.st_size > max_bytes:
            return None
        with path.open("rb") as file:
            # One byte more than allowed: a pipe or a growing file has no size to check beforehand.
            return file.read(max_bytes + 1)
    except FileNotFoundError:
        raise InvalidRequest(f"{name}: there is no such file", remedy="Check the path") from None
    except PermissionError:
        raise InvalidRequest(f"{name}: may not be read", remedy="Give yourself permission to read it") from None
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "is no file name"
        raise InvalidRequest(f"{name}: cannot be read ({reason})", remedy="Check the path") from None


def about(name: str, error: CountersignError) -> CountersignError:
    """The same error, with the file it is about in front."""
    message = Exception.__str__(error)
    return error if message.startswith(f"{name}: ") else type(error)(f"{name}: {message}", remedy=error.remedy)
