"""A short fuzz of the readers on small documents with much in them; the long one is `benchmarks/fuzz_documents.py`."""

import random

import pytest
from helpers.pdfs import FIRST, FONT, form, pdf_of, picture, stream, text

from benchmarks.fuzz_documents import MEMORY_MB, damage, fuzz
from countersign.document.read import MARKDOWN, PDF, PLAIN, read_document
from countersign.document.sandbox import Sandbox
from countersign.settings import ROOT

CLAUSES = (
    "This Services Agreement is made between the parties.",
    "The Supplier shall indemnify and hold harmless the Customer.",
    "This Agreement is governed by the laws of Ireland.",
)
RICH = pdf_of(
    "".join(text(clause, y=700 - 20 * line) for line, clause in enumerate(CLAUSES))
    + f"/Span << /ActualText (other words) >> BDC {text('drawn words', y=500)} EMC "
    + f"/OC /L BDC {text('layer', y=480)} EMC "
    + "q 100 0 0 100 72 300 cm /I Do Q /G gs /F Do /Pattern cs /P scn 72 200 100 50 re f 0 g 0 G 2 Tr "
    + "BT /T 12 Tf 72 150 Td (aa) Tj ET BT /U 12 Tf 72 100 Td <00410042> Tj ET",
    resources=f"/Font << {FONT} /T {FIRST + 3} 0 R /U {FIRST + 5} 0 R >> "
    f"/XObject << /I {FIRST} 0 R /F {FIRST + 1} 0 R >> /Pattern << /P {FIRST + 2} 0 R >> "
    "/ExtGState << /G << /ca 0.5 /BM /Multiply >> >> "
    f"/Properties << /L {FIRST + 8} 0 R >>",
    page=f"/Annots [{FIRST + 9} 0 R]",
    catalog=f"/OCProperties << /OCGs [{FIRST + 8} 0 R] /D << /OFF [{FIRST + 8} 0 R] >> >> "
    f"/AcroForm << /Fields [{FIRST + 9} 0 R] /NeedAppearances true /DR << /Font << {FONT} >> >> >>",
    extra=[
        picture(4, 4, bytes(range(0, 160, 10))),
        form(text("in a form", y=450), "/Group << /S /Transparency >>"),
        stream(
            b"0 0 5 5 re f",
            "/Type /Pattern /PatternType 1 /PaintType 1 /TilingType 1 /BBox [0 0 9 9] /XStep 9 /YStep 9 "
            "/Resources << >>",
        ),
        "<< /Type /Font /Subtype /Type3 /FontBBox [0 0 10 10] /FontMatrix [.1 0 0 .1 0 0] /FirstChar 97 /LastChar 97 "
        f"/Widths [10] /Encoding << /Differences [97 /a] >> /CharProcs << /a {FIRST + 4} 0 R >> >>",
        stream(b"10 0 d0 0 0 8 8 re f"),
        f"<< /Type /Font /Subtype /Type0 /BaseFont /X /Encoding /Identity-H /ToUnicode {FIRST + 6} 0 R "
        f"/DescendantFonts [{FIRST + 7} 0 R] >>",
        stream(b"1 begincodespacerange <0000> <ffff> endcodespacerange 1 beginbfrange <0041> <0042> <0041> endbfrange"),
        "<< /Type /Font /Subtype /CIDFontType2 /BaseFont /X "
        "/CIDSystemInfo << /Registry (Adobe) /Ordering (Identity) /Supplement 0 >> >>",
        "<< /Type /OCG /Name (Layer) >>",
        "<< /Type /Annot /Subtype /Widget /FT /Tx /T (a) /V (Value) /DA (/F1 9 Tf 0 g) /Rect [72 50 272 70] /F 4 >>",
    ],
)
SAMPLES = {
    PDF: [RICH] * 4,
    MARKDOWN: [(ROOT / "examples" / "nda-clean.md").read_bytes()],
    PLAIN: [
        "1. Fees. The fee is € 5 – “net” – for Müller & Co.\n".encode(encoding) for encoding in ("utf-8", "utf-16")
    ],
}


def test_the_sample_is_sound() -> None:
    document = read_document(RICH, PDF, max_bytes=len(RICH))
    assert all(words in document.text for words in (*CLAUSES, "drawn words", "in a form", "aa", "AB", "Value"))
    assert "other words" not in document.text
    assert "layer" in document.text[document.hidden[0][0] : document.hidden[0][1]]


async def test_damaged_documents_are_read_or_refused_and_nothing_else() -> None:
    result = await fuzz(SAMPLES, count=200)
    assert result.n == 200 == result.read + result.refused.total()
    assert (result.crashes, result.faults, result.broken) == ([], [], [])
    assert result.read and result.refused
    assert 0 < result.peak_mb <= MEMORY_MB


async def test_what_reaches_the_worker_is_a_crash(monkeypatch: pytest.MonkeyPatch) -> None:
    async def read(*given: object, **more: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(Sandbox, "read", read)
    result = await fuzz(SAMPLES, count=3)
    assert result.crashes == [f"7:{number} ZeroDivisionError: " for number in range(3)]


def test_a_case_can_be_had_again() -> None:
    def cases() -> list[bytes]:
        return [damage(SAMPLES[PDF], random.Random(f"7:{number}")) for number in range(30)]  # noqa: S311

    assert cases() == cases()
    assert len(set(cases())) > 20
