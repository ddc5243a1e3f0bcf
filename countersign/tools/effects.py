"""Effects: their typed arguments, and the way from what agents ask for to the items a person is shown. Pure.

An effect names no address: a notice goes to a role ("the counterparty"), and who that is stands outside of any text
that a model read. Every effect quotes the clause it rests on; without that quotation in the document there is no item.
"""

from collections.abc import Sequence
from datetime import date
from typing import Annotated, Literal

from pydantic import Field, ValidationError

from countersign.document.model import DocumentText
from countersign.errors import InvalidRequest
from countersign.review.payloads import Effect, Evidence, ProposedEffect, SpecialistReport
from countersign.review.verify import QuoteIndex
from countersign.tools.digests import args_digest
from countersign.tools.model import Arguments
from countersign.tools.names import RECORD_OBLIGATION, SEND_NOTICE

QUOTE_CHARS = 1_500
MOST_EFFECTS = 20
"""No review proposes more; a person has to look at each."""

Clause = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{1,47}$", description="Key of the clause family")]
Quote = Annotated[
    str,
    Field(min_length=8, max_length=QUOTE_CHARS, description="The clause it rests on, copied character for character"),
]


class ObligationArguments(Arguments):
    """What somebody has to do, entered into the register of obligations."""

    kind: Literal["notice", "payment", "renewal", "return", "report", "other"]
    clause: Clause
    duty: str = Field(min_length=8, max_length=300, description="What is to be done, by which party, in plain words")
    quote: Quote
    period: str | None = Field(default=None, max_length=40, description='As "30 days"')
    due_on: date | None = Field(default=None, description="A date, if the contract fixes one")


class NoticeArguments(Arguments):
    """A notice, put into the outbox for the people or system that deliver it."""

    kind: Literal["non_renewal", "objection", "breach", "information"]
    clause: Clause
    to: Literal["counterparty", "business_owner", "legal"]
    subject: str = Field(min_length=3, max_length=120)
    body: str = Field(min_length=20, max_length=2_000)
    quote: Quote


EffectArguments = ObligationArguments | NoticeArguments
ARGUMENTS: dict[str, type[EffectArguments]] = {
    RECORD_OBLIGATION: ObligationArguments,
    SEND_NOTICE: NoticeArguments,
}


def typed(tool: str, args: object) -> EffectArguments:
    """The arguments of an effect, validated. Raises `InvalidRequest` that names the field, never its value."""
    model = ARGUMENTS.get(tool)
    if model is None:
        raise InvalidRequest("tool: is none that has an effect", remedy=f"Those are {', '.join(ARGUMENTS)}")
    try:
        return model.model_validate(args)
    except ValidationError as error:
        problem = error.errors(include_url=False, include_input=False, include_context=False)[0]
        field = ".".join(str(part) for part in problem["loc"])
        raise InvalidRequest(f"{field}: {problem['msg']}", remedy="Give arguments as the tool describes them") from None


def summary_of(tool: str, given: EffectArguments) -> str:
    """An effect in one line."""
    if isinstance(given, NoticeArguments):
        return f"{tool}: {given.kind.replace('_', ' ')} to the {given.to.replace('_', ' ')}: {given.subject}"
    when = f", {given.due_on:%Y-%m-%d}" if given.due_on else f", {given.period}" if given.period else ""
    return f"{tool}: {given.kind}{when}: {given.duty}"


def grounded(reports: Sequence[SpecialistReport], document: DocumentText) -> tuple[tuple[Effect, ...], int]:
    """The proposals of all specialists as items E1, E2, …, in their order, and how many were left out.

    Left out is what does not validate, what quotes words that do not stand in the document, and what exceeds
    `MOST_EFFECTS`; the same proposal twice is one item.
    """
    index = QuoteIndex(document.text)
    items: dict[str, Effect] = {}
    dropped = 0
    for report in reports:
        for proposal in report.proposals:
            effect = _item(proposal, report.specialist, index, document)
            if effect is None or (len(items) >= MOST_EFFECTS and effect.args_digest not in items):
                dropped += 1
            else:
                items.setdefault(effect.args_digest, effect)
    numbered = (item.model_copy(update={"id": f"E{n}"}) for n, item in enumerate(items.values(), start=1))
    return tuple(numbered), dropped


def _item(proposal: ProposedEffect, specialist: str, index: QuoteIndex, document: DocumentText) -> Effect | None:
    try:
        given = typed(proposal.tool, proposal.args)
    except InvalidRequest:
        return None
    place = index.find(given.quote)
    if place is None:
        return None
    start, end = place
    if end - start > QUOTE_CHARS:
        return None
    evidence = Evidence(quote=document.text[start:end], start=start, end=end, page=document.page_of(start))
    # The document's own words, whatever blanks or quotation marks the model wrote.
    args = given.model_copy(update={"quote": evidence.quote}).model_dump(mode="json", exclude_none=True)
    return Effect(
        id="E0",
        tool=proposal.tool,
        args=args,
        args_digest=args_digest(proposal.tool, args),
        summary=summary_of(proposal.tool, given),
        clause=given.clause,
        specialist=specialist,
        evidence=(evidence,),
    )
