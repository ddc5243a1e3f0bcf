"""multipart/form-data (RFC 7578) as it arrives: the file goes on chunk by chunk, the text fields are kept.

There may be as many parts as there are names, since none may come twice.
"""

import logging
import re
from collections.abc import AsyncIterable, Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import PurePath

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from countersign.errors import InvalidRequest
from starters.gateway.bodies import MAX_FORM_TEXT, forbidden_field
from starters.gateway.problems import MalformedBody, TooLarge

# It tells what it met in a body, which is nobody's business.
logging.getLogger("python_multipart").setLevel(logging.CRITICAL)

TEXT_FIELDS = ("playbook", "ask", "session", "mode")
FILE_FIELD = "file"
_SUFFIX = re.compile(r"\.[a-z0-9]{1,8}")
_REMEDY = "Send one part 'file', and playbook, ask, session and mode as text parts if you want"


@dataclass
class Form:
    """A form that was taken in."""

    suffix: str = ""
    """End of the file's name (".pdf"), all that is kept of it."""
    fields: dict[str, str] = field(default_factory=dict)


def boundary_of(content_type: str) -> bytes | None:
    """The boundary of a multipart/form-data header, or None when it is another type. Raises `MalformedBody`."""
    kind, options = parse_options_header(content_type)
    if kind != b"multipart/form-data":
        return None
    boundary = options.get(b"boundary", b"")
    # RFC 2046, 5.1.1.
    if not 1 <= len(boundary) <= 70:
        raise MalformedBody("Content-Type: the form has no boundary of 1 to 70 characters", remedy=_REMEDY)
    return boundary


async def read_form(
    chunks: AsyncIterable[bytes],
    boundary: bytes,
    write: Callable[[bytes], Awaitable[None]],
    *,
    max_file: int,
    extra: Sequence[str] = (),
) -> Form:
    """Take the form in, giving the file's bytes to `write` as they come. `extra` names text fields besides the usual.

    Raises `MalformedBody`, `InvalidRequest` (a part that is not taken, or twice) and `TooLarge` (the file over
    `max_file` bytes, the text fields over `MAX_FORM_TEXT`).
    """
    parts = _Parts(boundary, max_file, (*TEXT_FIELDS, *extra))
    async for chunk in chunks:
        parts.feed(chunk)
        for piece in parts.take():
            await write(piece)
    return parts.form()


class _Parts:
    """What the push parser tells, kept until asked for."""

    def __init__(self, boundary: bytes, max_file: int, names: Sequence[str]) -> None:
        self._names = names
        self._max_file = max_file
        self._file_size = 0
        self._text_size = 0
        self._ended = False
        self._header = (bytearray(), bytearray())
        self._headers: dict[str, str] = {}
        self._name = ""
        self._suffix: str | None = None
        self._texts: dict[str, bytearray] = {}
        self._pieces: list[bytes] = []
        self._parser = MultipartParser(
            boundary,
            {
                "on_part_begin": self._begin,
                "on_header_field": lambda data, start, end: self._header[0].extend(data[start:end]),
                "on_header_value": lambda data, start, end: self._header[1].extend(data[start:end]),
                "on_header_end": self._header_end,
                "on_headers_finished": self._headers_finished,
                "on_part_data": self._data,
                "on_end": self._end,
            },
        )

    def feed(self, chunk: bytes) -> None:
        try:
            self._parser.write(chunk)
        except FormParserError:
            raise MalformedBody("the form cannot be parsed", remedy=_REMEDY) from None

    def take(self) -> list[bytes]:
        """Pieces of the file since the last time."""
        pieces, self._pieces = self._pieces, []
        return pieces

    def form(self) -> Form:
        if not self._ended:
            raise MalformedBody("the form ends before its last boundary", remedy=_REMEDY)
        if self._suffix is None:
            raise InvalidRequest("file: is missing", remedy=_REMEDY)
        fields = {}
        for name, text in self._texts.items():
            try:
                fields[name] = text.decode()
            except UnicodeDecodeError:
                raise InvalidRequest(f"{name}: is not UTF-8", remedy="Send text in UTF-8") from None
        return Form(self._suffix, fields)

    def _begin(self) -> None:
        self._headers = {}

    def _header_end(self) -> None:
        name, value = self._header
        self._headers[name.decode("latin-1").lower()] = value.decode("latin-1")
        name.clear()
        value.clear()

    def _headers_finished(self) -> None:
        _, options = parse_options_header(self._headers.get("content-disposition"))
        name = options.get(b"name", b"").decode("latin-1")
        encoding = self._headers.get("content-transfer-encoding", "binary").strip().lower()
        if encoding not in ("binary", "8bit", "7bit"):
            # RFC 7578, 4.7: deprecated. Unread, it would be reviewed as it stands.
            raise InvalidRequest("Content-Transfer-Encoding: is not taken", remedy="Send the bytes as they are")
        if name != FILE_FIELD and name not in self._names:
            raise forbidden_field(name)
        if name in self._texts or (name == FILE_FIELD and self._suffix is not None):
            raise InvalidRequest(f"{name}: is there twice", remedy="Send it once")
        self._name = name
        if name == FILE_FIELD:
            given = PurePath(options.get(b"filename", b"").decode("latin-1")).suffix.lower()
            self._suffix = given if _SUFFIX.fullmatch(given) else ""
        else:
            self._texts[name] = bytearray()

    def _data(self, data: bytes, start: int, end: int) -> None:
        if self._name == FILE_FIELD:
            self._file_size += end - start
            if self._file_size > self._max_file:
                raise TooLarge(f"file: may have {self._max_file:,} bytes, and this is more", remedy="Split it")
            self._pieces.append(data[start:end])
        else:
            self._text_size += end - start
            if self._text_size > MAX_FORM_TEXT:
                raise TooLarge(f"the text fields may have {MAX_FORM_TEXT:,} bytes together", remedy="Shorten them")
            self._texts[self._name] += data[start:end]

    def _end(self) -> None:
        self._ended = True
