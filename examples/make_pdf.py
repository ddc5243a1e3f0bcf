"""Writes `services.pdf` from `services.txt`: a small PDF by hand, with a text layer in the standard font Helvetica.

Usage: python examples/make_pdf.py [SOURCE [TARGET]]

The same source always gives the same bytes.
"""

import sys
from pathlib import Path
from typing import Final

HERE: Final = Path(__file__).resolve().parent
WIDTH, HEIGHT, MARGIN = 612, 792, 72
"""US Letter with margins of an inch, in points."""
SIZE, LEADING = 11, 15
FOOTER: Final = 40

_WIDTHS: Final = (
    "278 278 355 556 556 889 667 191 333 333 389 584 278 333 278 278 556 556 556 556 556 556 556 556 556 556 278 "
    "278 584 584 584 556 1015 667 667 722 722 667 611 778 722 278 500 667 556 833 722 778 667 778 722 667 611 722 "
    "667 944 667 667 611 278 278 278 469 556 333 556 556 500 556 556 278 556 556 222 222 500 222 833 556 556 556 "
    "556 333 500 278 556 500 722 500 500 500 334 260 334 584"
)
"""Advance widths of Helvetica for the characters 32 to 126, in thousandths of the font size."""
WIDTHS: Final = {chr(32 + index): int(width) for index, width in enumerate(_WIDTHS.split())}


def text_width(text: str) -> float:
    """Width of `text` in points; characters outside ASCII count as an average letter."""
    return sum(WIDTHS.get(character, 556) for character in text) * SIZE / 1000


def wrap(paragraph: str, width: float) -> list[str]:
    """The lines of a paragraph, broken at blanks so that each fits `width` points. Runs of blanks are kept."""
    lines = [""]
    for index, word in enumerate(paragraph.split(" ")):
        longer = word if index == 0 else f"{lines[-1]} {word}"
        if lines[-1].strip() and text_width(longer) > width:
            lines.append(word)
        else:
            lines[-1] = longer
    return lines


def paginate(text: str) -> list[list[str]]:
    """Pages of lines; paragraphs are separated by an empty line, and one of up to three lines is not split."""
    room = (HEIGHT - 2 * MARGIN) // LEADING
    pages: list[list[str]] = [[]]
    for paragraph in text.strip().split("\n"):
        lines = wrap(paragraph, WIDTH - 2 * MARGIN) if paragraph else [""]
        if len(lines) <= 3 and len(pages[-1]) + len(lines) > room:
            pages.append([])
        for line in lines:
            if len(pages[-1]) == room:
                pages.append([])
            if line or pages[-1]:
                pages[-1].append(line)
    return pages


def escaped(text: str) -> bytes:
    """A PDF string literal in WinAnsi encoding."""
    safe = text.replace("\\", r"\\").replace("(", r"\(").replace(")", r"\)")
    return b"(" + safe.encode("cp1252") + b")"


def content(lines: list[str], number: int, count: int) -> bytes:
    """The drawing instructions of one page, with its number at the foot."""
    start = f"BT /F1 {SIZE} Tf {LEADING} TL {MARGIN} {HEIGHT - MARGIN} Td\n".encode()
    body = b"".join(escaped(line) + b" Tj T*\n" if line else b"T*\n" for line in lines)
    footer = f"Page {number} of {count}"
    left = (WIDTH - text_width(footer)) / 2
    return start + body + f"ET\nBT /F1 {SIZE} Tf {left:.1f} {FOOTER} Td ".encode() + escaped(footer) + b" Tj ET"


def make_pdf(text: str) -> bytes:
    """A PDF of `text`, one paragraph a line. Raises `UnicodeEncodeError` for characters Windows-1252 does not have."""
    pages = paginate(text)
    kids = " ".join(f"{4 + 2 * index} 0 R" for index in range(len(pages)))
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        f"<< /Type /Pages /Kids [{kids}] /Count {len(pages)} >>".encode(),
        b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica /Encoding /WinAnsiEncoding >>",
    ]
    for index, lines in enumerate(pages):
        stream = content(lines, index + 1, len(pages))
        objects.append(
            f"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 {WIDTH} {HEIGHT}] "
            f"/Resources << /Font << /F1 3 0 R >> >> /Contents {5 + 2 * index} 0 R >>".encode()
        )
        objects.append(f"<< /Length {len(stream)} >>\nstream\n".encode() + stream + b"\nendstream")
    return assemble(objects)


def assemble(objects: list[bytes]) -> bytes:
    """The file around numbered objects: header, cross-reference table and trailer. Object 1 is the catalog."""
    out = bytearray(b"%PDF-1.4\n%\xe2\xe3\xcf\xd3\n")
    offsets = []
    for number, body in enumerate(objects, start=1):
        offsets.append(len(out))
        out += f"{number} 0 obj\n".encode() + body + b"\nendobj\n"
    table = len(out)
    out += f"xref\n0 {len(objects) + 1}\n0000000000 65535 f \n".encode()
    out += b"".join(f"{offset:010d} 00000 n \n".encode() for offset in offsets)
    out += f"trailer\n<< /Size {len(objects) + 1} /Root 1 0 R >>\nstartxref\n{table}\n%%EOF\n".encode()
    return bytes(out)


def main(arguments: list[str]) -> None:
    """Reads the source, writes the target."""
    source = Path(arguments[0]) if arguments else HERE / "services.txt"
    target = Path(arguments[1]) if len(arguments) > 1 else HERE / "services.pdf"
    target.write_bytes(make_pdf(source.read_text(encoding="utf-8")))


if __name__ == "__main__":
    main(sys.argv[1:])
