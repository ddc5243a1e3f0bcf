"""Text that a reader of a PDF page cannot see is found, however it was hidden; text that can be seen is left alone."""

import pytest
from helpers.pdfs import FIRST, LETTER, form, pdf_of, picture, stream, text
from hypothesis import given, settings
from hypothesis import strategies as st

from countersign.document.model import DocumentText
from countersign.document.read import PDF, read_document
from countersign.document.sight import CONTRAST

LIMIT = 20_000_000
SEEN = text("The visible clause.", y=700)
SECRET = text("secret words")
WHITE, BLACK, GREY = "1 g", "0 g", "0.5 g"
OVER = "60 640 200 30 re f"
"""A rectangle where the secret stands."""
LAYER_OFF = f"/OCProperties << /OCGs [{FIRST} 0 R] /D << /OFF [{FIRST} 0 R] >> >>"
LAYER = "<< /Type /OCG /Name (Layer) >>"
BLOCKS = (
    "<< /Type /Font /Subtype /Type3 /FontBBox [0 0 10 10] /FontMatrix [.1 0 0 .1 0 0] /FirstChar 97 /LastChar 97 "
    f"/Widths [10] /Encoding << /Differences [97 /a] >> /CharProcs << /a {FIRST + 1} 0 R >> >>",
    stream(b"10 0 d0 0 0 10 10 re f"),
)
"""A font whose only glyph is a block."""
TILES = "/Type /Pattern /PatternType 1 /TilingType 1 /BBox [0 0 10 10] /XStep 10 /YStep 10 /Resources << >>"
WHITE_GROUND = picture(1, 1, b"\xff")
COVER_PAGE = f"q 612 0 0 792 0 0 cm /I{FIRST} Do Q\n"
MASK = (
    f"<< /G << /SMask << /S /Luminosity /G {FIRST} 0 R >> >> >>",
    form("0 g 0 0 612 792 re f", "/Group << /S /Transparency /CS /DeviceGray >>"),
)


def read(*drawings: str, resources: str = "", **more: object) -> DocumentText:
    shared = f"/XObject << /I{FIRST} {FIRST} 0 R >> {resources}"
    return read_document(pdf_of(*drawings, resources=shared, **more), PDF, max_bytes=LIMIT)  # type: ignore[arg-type]


def hidden(document: DocumentText) -> list[str]:
    return [document.text[start:end].strip() for start, end in document.hidden]


@pytest.mark.parametrize(
    "drawing",
    [
        SECRET + f"{WHITE} {OVER}",
        SECRET + f"{BLACK} {OVER}",
        SECRET + "0 655 m 0 690 300 690 300 655 c 300 620 0 620 0 655 c f",
        SECRET + WHITE + " ".join(f"{x} 640 4 30 re f" for x in range(60, 260, 4)),
        SECRET + "30 w 1 G 60 655 m 260 655 l S",
        SECRET + "[(q 1 0 0 1 0 0 cm)] pop Q 1 g " + OVER,
        SECRET.replace("ET", "ET 1 g") + "BT /F1 12 Tf ET " + OVER,
        f"{BLACK} {OVER} " + SECRET,
        f"{GREY} {OVER} 0.53 g " + SECRET,
        "1 0 0 rg 60 640 200 30 re f 0.97 0.02 0.02 rg " + SECRET,
        text("secret words", before="0.96 g"),
        "0 G 1 w 60 654 m 260 654 l S " + text("secret words", before=WHITE),
        "q 0 0 10 10 re W n " + SECRET + " Q",
        "q 60 600 m 260 600 l 160 620 l h W n " + SECRET + " Q",
        "7 Tr " + SECRET + " 0 Tr",
        "3 Tr " + SECRET + " 0 Tr",
        SECRET.replace("Td", "Td 1 Tz"),
        SECRET.replace("72 650 Td", "0.05 0 0 0.05 72 650 Tm"),
        SECRET.replace("72 650 Td", "1 0 0 0.05 72 650 Tm"),
        text("secret words", size=0.5),
        text("secret words", y=-400),
        text("secret words", before=WHITE) + text("Signed words", before=BLACK),
        text("Signed words", before=BLACK) + text("secret words", before=WHITE),
    ],
    ids=[
        "under a white shape",
        "under a black shape",
        "under a round shape",
        "under many strips",
        "under a thick line",
        "under a shape after a broken operator",
        "under a shape after an empty text",
        "black on black",
        "grey on grey",
        "red on red",
        "nearly white",
        "white over a line",
        "clipped away",
        "clipped by a triangle elsewhere",
        "as a clip",
        "in no mode",
        "squeezed",
        "tiny by matrix",
        "flat by matrix",
        "tiny",
        "off the page",
        "white under other words",
        "white over other words",
    ],
)
def test_hidden_words_are_found(drawing: str) -> None:
    document = read(SEEN, SEEN + drawing, extra=[WHITE_GROUND])
    assert "secret words" in document.text
    assert hidden(document) == ["secret words"]
    assert document.page_of(document.hidden[0][0]) == 2


@pytest.mark.parametrize(
    ("drawing", "more"),
    [
        (SECRET + f"q 200 0 0 30 60 640 cm /I{FIRST} Do Q", {"extra": [WHITE_GROUND]}),
        (f"q 200 0 0 30 60 640 cm /I{FIRST} Do Q 1 g " + SECRET, {"extra": [WHITE_GROUND]}),
        (f"q 200 0 0 30 60 640 cm /I{FIRST} Do Q 0.42 g " + SECRET, {"extra": [picture(1, 1, b"\x70")]}),
        (
            f"/OC /L BDC {SECRET} EMC",
            {"extra": [LAYER], "catalog": LAYER_OFF, "resources": f"/Properties << /L {FIRST} 0 R >>"},
        ),
        (
            f"/Late Do q 1 g {OVER} Q /I{FIRST} Do",
            {
                "extra": [form(SECRET, f"/OC {FIRST + 1} 0 R"), LAYER],
                "catalog": LAYER_OFF.replace(str(FIRST), str(FIRST + 1)),
            },
        ),
        (f"/G gs {SECRET}", {"extra": [LAYER], "resources": "/ExtGState << /G << /ca 0.02 /CA 0 >> >>"}),
        (f"/G gs {SECRET}", {"extra": [MASK[1]], "resources": f"/ExtGState {MASK[0]}"}),
        (f"/G gs {SECRET}", {"extra": [LAYER], "resources": "/ExtGState << /G << /BM /Screen >> >>"}),
        (
            f"/G gs /I{FIRST} Do",
            {"extra": [form(SECRET, "/Group << /S /Transparency >>")], "resources": "/ExtGState << /G << /ca 0 >> >>"},
        ),
        (
            f"/C cs 0 0 0 /P scn {SECRET}",
            {
                "extra": [stream(b"", f"{TILES} /PaintType 2")],
                "resources": f"/ColorSpace << /C [/Pattern /DeviceRGB] >> /Pattern << /P {FIRST} 0 R >>",
            },
        ),
        (SECRET, {"extra": [LAYER], "page": "/CropBox [0 660 612 792]"}),
        (
            SECRET + "0 g BT /B 40 Tf 60 640 Td (aaaaaaaaaa) Tj ET",
            {"extra": BLOCKS, "resources": f"/Font << /F1 3 0 R /B {FIRST} 0 R >>"},
        ),
    ],
    ids=[
        "under a picture",
        "white on a white picture",
        "grey on a grey picture",
        "on a layer that is off",
        "in a form on a layer that is off",
        "nearly transparent",
        "masked",
        "blended away",
        "in a transparent group",
        "in a pattern of nothing",
        "cropped away",
        "under a block of another font",
    ],
)
def test_words_hidden_by_other_means_are_found(drawing: str, more: dict[str, object]) -> None:
    document = read(SEEN + drawing, **more)
    assert "secret words" in document.text
    assert "secret words" in hidden(document)[0]
    assert "visible" not in "".join(hidden(document))


@pytest.mark.parametrize(
    "drawing",
    [
        f"0 0 0.5 rg {OVER} " + text("seen words", before=WHITE),
        f"q 200 0 0 30 60 640 cm /I{FIRST} Do Q " + text("seen words", before=WHITE),
        f"0.95 g {OVER} " + text("seen words", before=BLACK),
        text("seen words", before="0.87 g"),
        text("seen words") + "1 w 0 G 60 654 m 260 654 l S",
        text("seen words") + text("seen words"),
        text("seen words") + text("seen words", x=72.3),
        "1 Tr 0 G " + text("seen words") + " 0 Tr",
        "2 Tr 0 G 1 g " + text("seen words") + " 0 Tr",
        text("seen words", size=4),
        text("i l . t"),
        "BT /F1 12 Tf 0 1 -1 0 300 300 Tm (seen words) Tj ET",
        "BT /F1 12 Tf 0.7 0.7 -0.7 0.7 300 300 Tm (seen words) Tj ET",
        "BT /F1 12 Tf 300 300 Td [(s) -200 (e) -200 (e) -200 (n)] TJ ET",
        "/G gs " + text("seen words") + " 1 1 0 rg /M gs " + OVER,
        f"/G gs q 0.5 g /I{FIRST + 1} Do Q",
        "q 0 600 612 100 re W n " + text("seen words") + " Q",
        "/S cs /S1 scn " + text("seen words"),
        text("seen words", before="1 g") + f" 0 g {OVER} " + text("seen words", before=WHITE),
    ],
)
def test_words_that_can_be_seen_are_left_alone(drawing: str) -> None:
    shading = (
        "<< /PatternType 2 /Shading << /ShadingType 2 /ColorSpace /DeviceRGB /Coords [0 0 612 0] /Extend [true true] "
        "/Function << /FunctionType 2 /Domain [0 1] /C0 [1 0 0] /C1 [0 0 1] /N 1 >> >> >>"
    )
    document = read(
        SEEN + drawing,
        extra=[picture(1, 1, b"\x30"), form(text("grouped words"), "/Group << /S /Transparency >>")],
        resources=f"/ExtGState << /G << /ca 0.5 >> /M << /BM /Multiply /ca 1 >> >> /Pattern << /S1 {shading} >> "
        f"/ColorSpace << /S /Pattern >> /XObject << /I{FIRST} {FIRST} 0 R /I{FIRST + 1} {FIRST + 1} 0 R >>",
    )
    assert hidden(document) == []


@pytest.mark.parametrize("rotate", [0, 90, 180, 270])
@pytest.mark.parametrize("box", [LETTER, "-100 -100 512 792", "0 0 2384 3370"])
def test_a_covered_word_changes_a_clause_and_is_found(rotate: int, box: str) -> None:
    clause = text("The Supplier shall not be liable.") + "1 g 170 645 19 16 re f"
    document = read(SEEN + clause, page=f"/Rotate {rotate}", box=box, extra=[WHITE_GROUND])
    assert "shall not be liable" in document.text
    assert hidden(document) == ["not"]


@settings(max_examples=25, deadline=None)
@given(ground=st.integers(0, 255), ink=st.integers(0, 255))
def test_contrast_decides(ground: int, ink: int) -> None:
    drawing = f"{ground / 255:.4f} g {OVER} " + text("secret words", before=f"{ink / 255:.4f} g")
    found = hidden(read(SEEN + drawing, extra=[WHITE_GROUND]))
    if abs(ground - ink) >= CONTRAST + 2:
        assert found == []
    elif abs(ground - ink) <= CONTRAST - 2:
        assert found == ["secret words"]


def test_the_text_layer_of_a_scan_is_not_hidden_where_the_paper_has_ink() -> None:
    paper = bytearray(b"\xf5" * 612 * 792)
    for row in range(70, 140, 2):  # lines of a text that a scanner saw, from the top
        paper[612 * row + 60 : 612 * row + 400] = b"\x10" * 340
    scan = picture(612, 792, bytes(paper))
    layer = text("recognised words of a scanned page", y=700, before="3 Tr")
    under = text("recognised words under a scanned page", y=680)
    blank = text("secret words that nobody ever scanned", y=300)
    for drawing in (COVER_PAGE + layer, under + COVER_PAGE):
        assert hidden(read(drawing, extra=[scan])) == []
    assert hidden(read(COVER_PAGE + layer + blank, extra=[scan])) == ["secret words that nobody ever scanned"]
    assert hidden(read(under + blank + COVER_PAGE, extra=[scan])) == ["secret words that nobody ever scanned"]


def test_text_in_another_font_program_is_judged_by_what_it_paints() -> None:
    fonts = f"/Font << /F1 3 0 R /B {FIRST} 0 R >>"
    drawn = "BT /B 20 Tf 72 650 Td (aaaa) Tj ET "
    assert hidden(read(SEEN + drawn, extra=BLOCKS, resources=fonts)) == []
    covered = drawn + "1 g 60 640 200 40 re f"
    assert hidden(read(SEEN + covered, extra=BLOCKS, resources=fonts)) == ["aaaa"]
