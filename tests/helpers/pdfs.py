"""PDFs made by hand, to the byte: one page for each drawing, with whatever else a test hangs on them."""

from collections.abc import Mapping, Sequence
from typing import Final

FONT: Final = "/F1 3 0 R"
FIRST: Final = 10
"""Number of the first of the `extra` objects that a test adds."""
LETTER: Final = "0 0 612 792"


def pdf_of(
    *drawings: str,
    box: str = LETTER,
    page: str = "",
    resources: str = "",
    catalog: str = "",
    extra: Sequence[str | bytes] = (),
) -> bytes:
    """A PDF with one page for each drawing; `/F1` is Helvetica.

    Args:
        drawings: content streams.
        box: every page's MediaBox.
        page: further entries of every page.
        resources: further entries of every page's resources.
        catalog: further entries of the catalog.
        extra: further objects; the first has number `FIRST`, the next `FIRST + 1`.
    """
    numbers = range(FIRST + len(extra), FIRST + len(extra) + 2 * len(drawings), 2)
    objects: dict[int, bytes] = {
        1: f"<< /Type /Catalog /Pages 2 0 R {catalog} >>".encode(),
        2: f"<< /Type /Pages /Kids [{' '.join(f'{n} 0 R' for n in numbers)}] /Count {len(drawings)} >>".encode(),
        3: b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica /Encoding /WinAnsiEncoding >>",
    }
    for number, body in enumerate(extra, start=FIRST):
        objects[number] = body.encode("latin-1") if isinstance(body, str) else body
    for number, drawing in zip(numbers, drawings, strict=True):
        objects[number] = (
            f"<< /Type /Page /Parent 2 0 R /MediaBox [{box}] /Resources << /Font << {FONT} >> {resources} >> "
            f"/Contents {number + 1} 0 R {page} >>".encode()
        )
        objects[number + 1] = stream(drawing.encode("cp1252"))
    return assemble(objects)


def stream(content: bytes, entries: str = "") -> bytes:
    """A stream object."""
    return f"<< {entries} /Length {len(content)} >>\nstream\n".encode() + content + b"\nendstream"


def form(drawing: str, entries: str = "") -> bytes:
    """A form: a drawing that pages draw as one."""
    return stream(
        drawing.encode("cp1252"),
        f"/Type /XObject /Subtype /Form /BBox [{LETTER}] /Resources << /Font << {FONT} >> >> {entries}",
    )


def picture(width: int, height: int, grey: bytes, entries: str = "") -> bytes:
    """A picture of grey pixels, row by row from the top."""
    return stream(
        grey,
        f"/Type /XObject /Subtype /Image /Width {width} /Height {height} /ColorSpace /DeviceGray /BitsPerComponent 8 "
        f"{entries}",
    )


def text(words: str, x: float = 72, y: float = 650, size: float = 12, before: str = "") -> str:
    """Words at a place."""
    return f"{before} BT /F1 {size} Tf {x} {y} Td ({words}) Tj ET\n"


def assemble(objects: Mapping[int, bytes], trailer: str = "", head: bytes = b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n") -> bytes:
    """The file around numbered objects; object 1 is the catalog."""
    out = bytearray(head)
    offsets = {}
    for number, body in sorted(objects.items()):
        offsets[number] = len(out)
        out += f"{number} 0 obj\n".encode() + body + b"\nendobj\n"
    table = len(out)
    size = max(objects) + 1
    out += f"xref\n0 {size}\n0000000000 65535 f \n".encode()
    for number in range(1, size):
        out += f"{offsets[number]:010d} 00000 n \n".encode() if number in offsets else b"0000000000 00000 f \n"
    out += f"trailer\n<< /Size {size} /Root 1 0 R {trailer} >>\nstartxref\n{table}\n%%EOF\n".encode()
    return bytes(out)
