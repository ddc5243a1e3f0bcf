"""Files named on the command line, read with their limits. `-` is standard input."""

import stat
import sys
from pathlib import Path

from countersign.errors import CountersignError, DocumentError, InvalidRequest

STDIN = "-"


def read_bounded(name: str, max_bytes: int) -> bytes:
    """The bytes of a file that is there, is a file, is not empty and no larger than `max_bytes` (checked first).

    Raises:
        InvalidRequest: missing, a folder, unreadable or empty.
        DocumentError: too large.
    """
    data = sys.stdin.buffer.read(max_bytes + 1) if name == STDIN else _read_path(name, max_bytes)
    if not data:
        raise InvalidRequest(f"{name}: is empty", remedy="Give a file with something in it")
    if len(data) > max_bytes:
        raise _too_large(name, max_bytes)
    return data


def _read_path(name: str, max_bytes: int) -> bytes:
    path = Path(name)
    try:
        state = path.stat()
        if stat.S_ISDIR(state.st_mode):
            raise InvalidRequest(f"{name}: is a folder", remedy="Name the files in it, for example with a pattern")
        if state.st_size > max_bytes:
            raise _too_large(name, max_bytes)
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


def _too_large(name: str, max_bytes: int) -> CountersignError:
    return DocumentError(
        f"{name}: is larger than the limit of {max_bytes / 1e6:g} MB",
        remedy="Split it, or raise COUNTERSIGN_MAX_DOCUMENT_MB",
    )


def about(name: str, error: CountersignError) -> CountersignError:
    """The same error, with the file it is about in front."""
    message = Exception.__str__(error)
    return error if message.startswith(f"{name}: ") else type(error)(f"{name}: {message}", remedy=error.remedy)
