"""Every tool there is: what it is called, what it takes, and what it does."""

from collections.abc import Mapping
from datetime import date
from typing import Any

from pydantic import Field

from countersign.tools.checks import check_dates, check_numbers
from countersign.tools.effects import NoticeArguments, ObligationArguments
from countersign.tools.model import Arguments, Surroundings, Tool
from countersign.tools.names import (
    CHECK_DATE,
    CHECK_NUMBER,
    LOOK_UP_COUNTERPARTY,
    RECORD_OBLIGATION,
    RESOLVE_REFERENCE,
    RESOLVE_TERM,
    SEARCH_PRECEDENTS,
    SEND_NOTICE,
)
from countersign.tools.reading import resolve_reference, resolve_term


class PrecedentArguments(Arguments):
    """What to look for."""

    query: str = Field(min_length=3, max_length=500, description="In your words: the clause and what is unusual in it")
    limit: int = Field(default=3, ge=1, le=5)


class CounterpartyArguments(Arguments):
    """Whom to look up."""

    name: str = Field(min_length=2, max_length=200, description="As the contract names it")


class ReferenceArguments(Arguments):
    """Which reference to follow."""

    reference: str = Field(min_length=1, max_length=60, description='As "Section 4.2" or "Schedule A"')


class TermArguments(Arguments):
    """Which term to look up."""

    term: str = Field(min_length=1, max_length=80)


class DateArguments(Arguments):
    """What to reckon."""

    text: str = Field(min_length=3, max_length=2_000, description="The passage with its dates and period")
    start: date | None = Field(default=None, description="What the period counts from; default: the first date")
    before: bool = Field(default=False, description="Count backwards, as for notice before the end of a term")


class NumberArguments(Arguments):
    """What to compare."""

    text: str = Field(min_length=3, max_length=2_000, description="The passage with numbers in words and figures")


async def _precedents(around: Surroundings, given: PrecedentArguments) -> Mapping[str, Any]:
    hits = await around.precedents.search(around.tenant, given.query, given.limit)
    return {"passages": [{"source": hit.source, "passage": hit.passage, "score": round(hit.score, 4)} for hit in hits]}


async def _counterparty(around: Surroundings, given: CounterpartyArguments) -> Mapping[str, Any]:
    known = await around.counterparties.find(around.tenant, given.name)
    return {"known": False} if known is None else {"known": True, **known.model_dump()}


async def _reference(around: Surroundings, given: ReferenceArguments) -> Mapping[str, Any]:
    return resolve_reference(around.document, given.reference)


async def _term(around: Surroundings, given: TermArguments) -> Mapping[str, Any]:
    return resolve_term(around.document, given.term)


async def _date(around: Surroundings, given: DateArguments) -> Mapping[str, Any]:
    return check_dates(given.text, around.today, start=given.start, before=given.before)


async def _number(around: Surroundings, given: NumberArguments) -> Mapping[str, Any]:
    return check_numbers(given.text)


CATALOGUE: tuple[Tool, ...] = (
    Tool(
        SEARCH_PRECEDENTS,
        "Passages of the company's own reference texts and earlier clauses that are near to what you look for.",
        PrecedentArguments,
        _precedents,
    ),
    Tool(
        LOOK_UP_COUNTERPARTY,
        "What the company knows of a counterparty: its standing, a note, contracts in force.",
        CounterpartyArguments,
        _counterparty,
    ),
    Tool(
        RESOLVE_REFERENCE,
        "The text that a cross-reference in this document means, with its place.",
        ReferenceArguments,
        _reference,
    ),
    Tool(
        RESOLVE_TERM,
        "Where this document defines a term, and where it uses it.",
        TermArguments,
        _term,
    ),
    Tool(
        CHECK_DATE,
        "Dates and a period reckoned: impossible dates, their order, and the day a period leads to.",
        DateArguments,
        _date,
    ),
    Tool(
        CHECK_NUMBER,
        "Whether numbers given in words and in figures agree.",
        NumberArguments,
        _number,
    ),
    Tool(
        SEND_NOTICE,
        "Propose a notice. It is not sent: a person decides after the review.",
        NoticeArguments,
    ),
    Tool(
        RECORD_OBLIGATION,
        "Propose an entry in the register of obligations. Nothing is recorded: a person decides after the review.",
        ObligationArguments,
    ),
)
