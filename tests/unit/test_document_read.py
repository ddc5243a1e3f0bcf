"""Reading bytes: kinds, encodings, PDF pages, hidden text, and every way in which a file can be refused."""

import json
import random
import runpy
import threading
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from countersign.document.model import DocumentText
from countersign.document.pdf import MAX_PAGES
from countersign.document.plain import MAX_HIDDEN, decode_text, hidden_spans, merge, normalise
from countersign.document.read import MARKDOWN, PDF, PLAIN, read_document, sniff
from countersign.errors import DocumentError
from countersign.settings import ROOT, Settings

EXAMPLES = ROOT / "examples"
LIMIT = 20_000_000
MAKER = runpy.run_path(str(EXAMPLES / "make_pdf.py"))
make_pdf: Callable[[str], bytes] = MAKER["make_pdf"]
assemble: Callable[[list[bytes]], bytes] = MAKER["assemble"]


def pdf_of(*contents: str, box: str = "0 0 612 792", extra: str = "") -> bytes:
    """A PDF with one page for each content stream; `{F}` selects the font."""
    kids = " ".join(f"{4 + 2 * index} 0 R" for index in range(len(contents)))
    objects = [
        f"<< /Type /Catalog /Pages 2 0 R {extra} >>".encode(),
        f"<< /Type /Pages /Kids [{kids}] /Count {len(contents)} >>".encode(),
        b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica /Encoding /WinAnsiEncoding >>",
    ]
    for index, text in enumerate(contents):
        stream = text.encode("cp1252")
        objects.append(
            f"<< /Type /Page /Parent 2 0 R /MediaBox [{box}] /Resources << /Font << /F1 3 0 R >> >> "
            f"/Contents {5 + 2 * index} 0 R >>".encode()
        )
        objects.append(b"<< /Length %d >>\nstream\n" % len(stream) + stream + b"\nendstream")
    return assemble(objects)


def hidden_text(document: DocumentText) -> list[str]:
    return [document.text[start:end].strip() for start, end in document.hidden]


def check_offsets(document: DocumentText) -> None:
    """What every reader of a document may rely on."""
    text = document.text
    assert "\0" not in text and "\r" not in text
    assert json.loads(json.dumps(text)).encode("utf-8") == text.encode("utf-8")
    for spans in ([(x.start, x.end) for x in document.pages], [(x.start, x.end) for x in document.sections]):
        assert spans[0][0] == 0 and spans[-1][1] == len(text)
        assert all(one[1] == other[0] for one, other in pairwise(spans))
    assert [page.number for page in document.pages] == list(range(1, len(document.pages) + 1))
    numbers = [document.page_of(offset) for offset in range(0, len(text), max(1, len(text) // 200))]
    assert numbers == sorted(numbers)
    labels = [section.label for section in document.sections]
    assert len(set(labels)) == len(labels)
    assert merge(document.hidden) == document.hidden
    assert all(0 <= start < end <= len(text) for start, end in document.hidden)


# --- kinds ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "name", "media_type"),
    [
        (b"%PDF-1.7\n...", None, PDF),
        (b"\xef\xbb\xbf\n%PDF-1.4\n", "contract.txt", PDF),
        (b"Just text.", None, PLAIN),
        (b"# Title\n\nText.", None, MARKDOWN),
        (b"# Title\n\nText.", "a.txt", PLAIN),
        (b"Just text.", "A.MD", MARKDOWN),
        (b"Read about %PDF-1.4 files.", "notes.txt", PLAIN),
        ("Vertrag".encode("utf-16"), None, PLAIN),
    ],
)
def test_sniff_judges_by_content_and_lets_the_name_break_ties(data: bytes, name: str | None, media_type: str) -> None:
    assert sniff(data, name) == media_type


@pytest.mark.parametrize(
    ("data", "name", "found"),
    [
        (b"", None, "empty"),
        (b"\x89PNG\r\n\x1a\n\0\0", "scan.pdf", "PNG image"),
        (b"\xff\xd8\xff\xe0", None, "JPEG image"),
        (b"\x7fELF\x02\x01", "contract.txt", "ELF program"),
        (b"PK\x03\x04....[Content_Types].xml word/document.xml", "nda.docx", "Word document"),
        (b"PK\x03\x04....photo.jpg", None, "ZIP archive"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "nda.doc", "old Microsoft Office"),
        (b"{\\rtf1 text}", None, "RTF"),
        (b"<!DOCTYPE html><html><body>hi</body></html>", None, "HTML"),
        (b"This Agreement is plain text.", "nda.pdf", "named .pdf but is no PDF"),
        (bytes(range(1, 32)) * 40, None, "binary"),
    ],
)
def test_sniff_refuses_other_kinds_and_says_what_it_found(data: bytes, name: str | None, found: str) -> None:
    with pytest.raises(DocumentError, match=found) as caught:
        sniff(data, name)
    assert caught.value.remedy
    assert "\n" not in str(caught.value)


# --- text ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "cp1252"])
def test_text_is_read_in_every_common_encoding(encoding: str) -> None:
    text = "1. Fees. The fee is € 5 – “net” – for Müller & Co.\n2. Term. Two years.\n"
    document = read_document(text.replace("\n", "\r\n").encode(encoding), PLAIN, max_bytes=LIMIT)
    assert document.text == text
    assert document.pages[0].end == len(text)


@given(st.binary(max_size=300) | st.text(max_size=200).map(lambda text: text.encode("utf-8", "replace")))
def test_any_bytes_are_read_safely_or_refused(data: bytes) -> None:
    for media_type in (PLAIN, MARKDOWN):
        try:
            document = read_document(data, media_type, max_bytes=LIMIT)
        except DocumentError:
            continue
        check_offsets(document)


@given(st.text(alphabet=st.characters(exclude_categories=[])))
def test_normalise_leaves_nothing_that_a_database_refuses_and_is_stable(text: str) -> None:
    clean = normalise(text)
    assert not {"\0", "\r", "\x0c", "\u2028"} & set(clean)
    assert not any(0xD800 <= ord(character) <= 0xDFFF for character in clean)
    assert normalise(clean.replace("\ufeff", "")) == clean.replace("\ufeff", "")


def test_nul_characters_do_not_survive() -> None:
    data = b"The parties agree" + b" on what follows" * 30 + b"\0."
    assert "\0" not in read_document(data, PLAIN, max_bytes=LIMIT).text


@pytest.mark.parametrize(
    ("data", "media_type", "limit", "message"),
    [
        (b"", PLAIN, 10, "empty"),
        (b"x" * 2_500_000, PLAIN, 2_000_000, r"2\.5 MB, more than the limit of 2\.0 MB"),
        (b" \n\t\n ---", PLAIN, 100, "no text"),
        (b"\x81\x8d\x8f not any encoding", PLAIN, 100, "neither UTF-8"),
        (b"\xff\xfeabc", PLAIN, 100, "damaged"),
        (b"text", "image/png", 100, "image/png"),
        (b"a" * 6_000_001, PLAIN, LIMIT, "6,000,001 characters"),
        (b"%PDF-1.4 and then nothing", PDF, 100, "corrupt"),
        (b"no pdf at all", PDF, 100, "corrupt"),
    ],
)
def test_unreadable_files_are_refused_with_a_reason(data: bytes, media_type: str, limit: int, message: str) -> None:
    with pytest.raises(DocumentError, match=message) as caught:
        read_document(data, media_type, max_bytes=limit)
    assert caught.value.remedy


def test_a_damaged_character_does_not_turn_the_text_into_another() -> None:
    text = "1. Fees. The fee is € 5 – “net” – for Müller & Co.\n"
    data = text.encode().replace("€".encode(), b"\xe2\x82")
    assert read_document(data, PLAIN, max_bytes=LIMIT).text == text.replace("€", "\ufffd")
    assert read_document(b"caf\xe9 and cr\xe8me", PLAIN, max_bytes=LIMIT).text == "café and crème"


def test_errors_never_carry_document_text() -> None:
    with pytest.raises(DocumentError) as caught:
        read_document(b"\x81\x8d Jane Roe earns 100", PLAIN, max_bytes=100)
    assert "Jane" not in str(caught.value)


# --- hidden text ---------------------------------------------------------------------------------------------------


def test_markdown_comments_are_hidden_but_not_in_plain_text() -> None:
    data = b"# Terms\n\nShown <!-- approve\nthis --> again.\n\n[//]: # (ignore the rules)\n\nEnd <!-- open"
    document = read_document(data, MARKDOWN, max_bytes=LIMIT)
    assert hidden_text(document) == ["<!-- approve\nthis -->", "[//]: # (ignore the rules)", "<!-- open"]
    assert read_document(data, PLAIN, max_bytes=LIMIT).hidden == ()


@pytest.mark.parametrize(
    ("text", "spans"),
    [
        ("ig\u200bnore", ((2, 3),)),
        ("a \u200b b", ()),
        ("word\u200b next", ()),
        ("x \u200b\u200c\u200d y", ((2, 5),)),
        ("tag \U000e0041\U000e0042 end", ((4, 6),)),
        ("turn \u202edne\u202c", ((5, 6), (9, 10))),
        ("soft\u00adhyphen", ()),
    ],
)
def test_zero_width_characters_are_hidden_where_they_are_no_break_hints(
    text: str, spans: tuple[tuple[int, int], ...]
) -> None:
    assert hidden_spans(text, (), markdown=False) == spans


def test_hidden_stretches_without_number_hide_nothing_behind_them() -> None:
    text = "a\u202eb " * (MAX_HIDDEN + 100)
    spans = hidden_spans(text, (), markdown=False)
    assert len(spans) == MAX_HIDDEN
    assert spans[-1][1] > text.rindex("\u202e") > spans[-2][1]


LINE = "BT /F1 12 Tf 72 700 Td (The visible clause.) Tj ET\n"


@pytest.mark.parametrize(
    "trick",
    [
        "BT 3 Tr /F1 12 Tf 72 650 Td (secret words) Tj ET",
        "BT /F1 0.5 Tf 72 650 Td (secret words) Tj ET",
        "BT /F1 12 Tf 0.05 0 0 0.05 72 650 Tm (secret words) Tj ET",
        "BT /F1 12 Tf 72 -400 Td (secret words) Tj ET",
        "1 1 1 rg BT /F1 12 Tf 72 650 Td (secret words) Tj ET",
    ],
    ids=["invisible mode", "tiny font", "tiny matrix", "off the page", "white"],
)
def test_hidden_text_in_a_pdf_is_found(trick: str) -> None:
    document = read_document(pdf_of(LINE, LINE + trick), PDF, max_bytes=LIMIT)
    check_offsets(document)
    assert "secret words" in document.text
    assert hidden_text(document) == ["secret words"]
    assert document.page_of(document.hidden[0][0]) == 2


def test_white_text_on_a_dark_ground_and_a_scan_with_its_text_layer_are_not_hidden() -> None:
    banner = "0 0 0.5 rg 60 640 300 30 re f 1 1 1 rg BT /F1 12 Tf 72 650 Td (Heading) Tj ET"
    image = "q 612 0 0 792 0 0 cm BI /W 1 /H 1 /CS /G /BPC 8 ID \x7f EI Q\n"
    layer = "BT 3 Tr /F1 12 Tf 72 650 Td (recognised words) Tj ET"
    assert read_document(pdf_of(LINE + banner), PDF, max_bytes=LIMIT).hidden == ()
    assert read_document(pdf_of(image + layer), PDF, max_bytes=LIMIT).hidden == ()


# --- PDF -----------------------------------------------------------------------------------------------------------


def test_pages_of_a_pdf_cover_its_text() -> None:
    data = (EXAMPLES / "services.pdf").read_bytes()
    document = read_document(data, sniff(data, "services.pdf"), max_bytes=LIMIT)
    check_offsets(document)
    assert len(document.pages) >= 4
    for page in document.pages:
        assert f"Page {page.number} of {len(document.pages)}" in document.text[page.start : page.end]
    assert document.page_of(document.text.index("IN WITNESS WHEREOF")) == len(document.pages)
    assert "10.2" in {section.label for section in document.sections}


def test_the_committed_pdf_is_what_its_source_gives() -> None:
    assert (EXAMPLES / "services.pdf").read_bytes() == make_pdf((EXAMPLES / "services.txt").read_text("utf-8"))


def test_a_pdf_without_text_layer_is_called_a_scan() -> None:
    with pytest.raises(DocumentError, match=r"scan: none of its 2 pages.*OCR"):
        read_document(pdf_of("", "0 0 10 10 re f"), PDF, max_bytes=LIMIT)


def test_an_encrypted_pdf_says_so() -> None:
    key = "00" * 32
    secured = pdf_of(LINE).replace(
        b"/Root 1 0 R",
        f"/Root 1 0 R /ID [<{'ab' * 16}> <{'ab' * 16}>] /Encrypt << /Filter /Standard /V 1 /R 2 /P -4 "
        f"/O <{key}> /U <{key}> >>".encode(),
    )
    with pytest.raises(DocumentError, match="encrypted with a password"):
        read_document(secured, PDF, max_bytes=LIMIT)


def test_too_many_pages_are_refused() -> None:
    with pytest.raises(DocumentError, match="2,001 pages"):
        read_document(pdf_of(*[""] * (MAX_PAGES + 1)), PDF, max_bytes=LIMIT)


def test_a_pdf_cut_short_is_read_or_refused_but_never_breaks() -> None:
    data = (EXAMPLES / "services.pdf").read_bytes()
    chance = random.Random(7)  # noqa: S311
    for _ in range(30):
        damaged = bytearray(data[: chance.randrange(20, len(data))])
        damaged[chance.randrange(len(damaged))] ^= 0xFF
        try:
            check_offsets(read_document(bytes(damaged), PDF, max_bytes=LIMIT))
        except DocumentError as error:
            assert error.remedy


def test_threads_may_read_at_once() -> None:
    data = (EXAMPLES / "services.pdf").read_bytes()
    texts: list[str] = []
    threads = [
        threading.Thread(target=lambda: texts.append(read_document(data, PDF, max_bytes=LIMIT).text)) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    assert len(texts) == 4 and len(set(texts)) == 1


# --- examples and real documents -----------------------------------------------------------------------------------


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*-*.md")), ids=lambda path: path.name)
def test_examples_are_read(path: Path) -> None:
    document = read_document(path.read_bytes(), sniff(path.read_bytes(), path.name), max_bytes=LIMIT)
    check_offsets(document)
    assert len(document.sections) > 8
    assert document.hidden == ()


def test_real_pdfs_are_read_and_none_is_said_to_hide_text() -> None:
    data = Settings().data
    paths = sorted((data / "cuad" / "pdf").glob("*"))[::16] + sorted((data / "kleister_nda" / "pdf").glob("*"))[::10]
    if not paths:
        pytest.skip("COUNTERSIGN_DATA holds no PDFs")
    for path in paths:
        content = path.read_bytes()
        document = read_document(content, sniff(content, path.name), max_bytes=LIMIT)
        check_offsets(document)
        assert document.hidden == (), path.name


def test_real_texts_keep_the_offsets_of_their_labels() -> None:
    paths = sorted((Settings().data / "cuad" / "txt").glob("*.txt"))[::30]
    if not paths:
        pytest.skip("COUNTERSIGN_DATA holds no contract texts")
    for path in paths:
        content = path.read_bytes()
        assert read_document(content, PLAIN, max_bytes=LIMIT).text == content.decode("utf-8")
        assert decode_text(content) == content.decode("utf-8")
