"""What reading a document gives: text with page and section offsets, in characters of `text`, end-exclusive."""

from bisect import bisect_right

from pydantic import BaseModel, ConfigDict


class Page(BaseModel):
    """One page. Pages are numbered from 1 and cover the text without gaps; a text file has one."""

    model_config = ConfigDict(frozen=True)

    number: int
    start: int
    end: int


class Section(BaseModel):
    """A heading and what follows it up to the next one.

    `label` is what a lawyer would call it ("4.2", "Article IX", "Preamble"), unique within the document.
    """

    model_config = ConfigDict(frozen=True)

    label: str
    heading: str
    start: int
    end: int


class DocumentText(BaseModel):
    """The text of a document as every later stage sees it: `text[start:end]` is what an evidence quotation means."""

    model_config = ConfigDict(frozen=True)

    text: str
    pages: tuple[Page, ...]
    sections: tuple[Section, ...] = ()
    hidden: tuple[tuple[int, int], ...] = ()
    """Stretches that a reader of the original could not see (see `sight`; zero-width characters, HTML comments)."""
    unread: tuple[str, ...] = ()
    """What a PDF carries beside its pages and was neither read nor run, as "embedded files: 2"."""

    def page_of(self, offset: int) -> int:
        """The number of the page that holds the character at `offset`."""
        index = bisect_right([page.start for page in self.pages], offset) - 1
        return self.pages[max(index, 0)].number

    def section_of(self, offset: int) -> str | None:
        """The label of the section that holds the character at `offset`, if any."""
        index = bisect_right([section.start for section in self.sections], offset) - 1
        return self.sections[index].label if index >= 0 else None
