"""claim, approve, reject, amend, ask, answer: what people do. The workflow judges; a refusal exits with 4."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click

from countersign.errors import DecisionRefused, InvalidRequest
from starters.cli.common import Command, emit, first_problem, json_option, tenant_option, with_client

if TYPE_CHECKING:
    from countersign.review.payloads import ClaimReceipt, Receipt, ReviewStatus
    from starters.client import ReviewClient

F = TypeVar("F", bound=Callable[..., Any])

_DONE = {
    "approve": "signed",
    "reject": "rejected",
    "amend": "amended and signed",
    "withdraw": "withdrawn; it waits for the reviewers again",
    "ask": "asked; it waits for the requester's answer (countersign answer)",
}
"""What to say of a decision that did not end the review."""


def decision_options(command: F) -> F:
    """What every decision of a reviewer takes."""
    command = json_option(tenant_option(command))
    command = click.option("--digest", help="Only if this is still what is under review.  [default: whatever is now]")(
        command
    )
    command = click.option(
        "--claim", type=click.IntRange(1), help="Only under this claim of yours, if it still holds."
    )(command)
    command = click.option(
        "--for", "on_behalf_of", metavar="NAME", help="Whom you sign for, as their delegate while they are away."
    )(command)
    command = click.option("--note", default="", help="Why, for the record.")(command)
    command = click.option("--reviewer", required=True, help="Who decides; never the requester.")(command)
    return click.argument("review_id", metavar="ID")(command)


@click.command("claim", cls=Command)
@click.argument("review_id", metavar="ID")
@click.option("--reviewer", required=True, help="Who takes it; never the requester.")
@click.option("--minutes", type=click.FloatRange(1, 1440), default=15, show_default=True, help="For how long.")
@click.option("--release", is_flag=True, help="Give it back instead; a lead gives back anybody's.")
@click.option("--assign-to", metavar="NAME", help="Give it to this person, whoever has it now; for leads.")
@tenant_option
@json_option
def claim_command(  # noqa: PLR0913 - one parameter an option
    *,
    review_id: str,
    reviewer: str,
    minutes: float,
    release: bool,
    assign_to: str | None,
    tenant: str | None,
    as_json: bool,
) -> None:
    """Take a review to yourself for a while: until then nobody else may decide on it.

    Claiming again prolongs it. The claim's number can be named with a decision (--claim), which then does not count
    when the claim has lapsed in between.
    """
    from countersign.review.payloads import Claim

    wanted = _valid(Claim, {"reviewer": reviewer, "lease_s": minutes * 60, "release": release, "assign_to": assign_to})

    async def take(client: "ReviewClient") -> "ClaimReceipt":
        return await client.claim(tenant or client.settings.tenant, review_id, wanted)

    receipt = with_client(take)
    if as_json:
        emit(receipt)
    elif receipt.until is None:
        click.echo(f"{receipt.review_id}: given back")
    else:
        whose = "assigned" if assign_to else "yours"
        click.echo(f"{receipt.review_id}: {whose} until {receipt.until:%Y-%m-%d %H:%M} UTC, claim {receipt.token}")


@click.command("view", cls=Command)
@click.argument("review_id", metavar="ID")
@click.option("--reviewer", required=True, help="Whose view it is; never the requester's.")
@click.option(
    "--would", required=True, type=click.Choice(["approve", "amend", "reject"]), help="What they would do by now."
)
@click.option("--digest", help="Only if this is still what is under review.  [default: whatever is now]")
@tenant_option
@json_option
def view_command(  # noqa: PLR0913 - one parameter an option
    *, review_id: str, reviewer: str, would: str, digest: str | None, tenant: str | None, as_json: bool
) -> None:
    """Say what you would do, before you are told how sure the machine is ([signing] blind_capture).

    It is kept beside your decision, which may differ from it.
    """
    from countersign.review.payloads import View

    given = _valid(View, {"verdict": would, "reviewer": reviewer, "digest": digest})

    async def state(client: "ReviewClient") -> "tuple[Receipt, ReviewStatus]":
        place = (tenant or client.settings.tenant, review_id)
        receipt = await client.view(*place, given)
        return receipt, (await client.status(*place)).status

    receipt, status = with_client(state)
    if as_json:
        emit(status)
        return
    click.echo(f"{receipt.review_id}: view kept")
    if status.analysis is not None:
        click.echo(f"The machine is {status.analysis.confidence:.0%} sure. {'; '.join(status.route_reasons)}")


@click.command("approve", cls=Command)
@decision_options
def approve_command(**options: Any) -> None:
    """Sign a review as it stands. Under four eyes two different people must."""
    _decide("approve", options)


@click.command("reject", cls=Command)
@decision_options
def reject_command(**options: Any) -> None:
    """Reject a review."""
    _decide("reject", options)


@click.command("amend", cls=Command)
@decision_options
@click.option("--edit", "edits", multiple=True, metavar="EDIT", help="A change; may be repeated. See above.")
@click.option("--edits", "edits_file", metavar="FILE", help="A JSON list of changes; - is standard input.")
def amend_command(edits: tuple[str, ...], edits_file: str | None, **options: Any) -> None:
    """Correct findings, then sign.

    \b
    EDIT is one of
      F3:severity=low
      F1:statement=TEXT
      F1:clause=NAME
      F2:remove
      add:CLAUSE:SEVERITY:TEXT
    """
    from starters.cli.edits import parse_edits

    _decide("amend", options, edits=parse_edits(edits, edits_file))


@click.command("ask", cls=Command)
@decision_options
@click.option("--question", required=True, help="What the requester is to answer.")
def ask_command(question: str, **options: Any) -> None:
    """Ask the requester a question back. Whoever needs no answer may still decide; that closes the question."""
    _decide("ask", options, question=question)


@click.command("withdraw", cls=Command)
@decision_options
def withdraw_command(**options: Any) -> None:
    """Take your decision back, while the playbook's time for second thoughts lasts ([signing] undo_minutes)."""
    _decide("withdraw", options)


@click.command("answer", cls=Command)
@click.argument("review_id", metavar="ID")
@click.option("--user", required=True, help="Who answers: the requester.")
@click.option("--text", required=True, help="The answer.")
@tenant_option
@json_option
def answer_command(review_id: str, user: str, text: str, tenant: str | None, as_json: bool) -> None:
    """Answer a reviewer's question; the review then waits for the reviewers again."""
    from countersign.review.payloads import Answer

    answer = _valid(Answer, {"user": user, "text": text})

    async def give(client: "ReviewClient") -> "Receipt":
        return await client.answer(tenant or client.settings.tenant, review_id, answer)

    _show(with_client(give), "answered; the reviewers have it again", as_json=as_json)


def _decide(verdict: str, options: dict[str, Any], **content: object) -> None:
    """Have a decision judged and show the receipt. `options` are those of `decision_options`."""
    from countersign.review.payloads import Decision

    fields = {name: options[name] for name in ("reviewer", "note", "digest", "claim", "on_behalf_of")}
    decision = _valid(Decision, {"verdict": verdict, **fields, **content})

    async def give(client: "ReviewClient") -> "Receipt":
        return await client.decide(options["tenant"] or client.settings.tenant, options["review_id"], decision)

    _show(with_client(give), _DONE[verdict], as_json=options["as_json"])


def _valid(model: Any, fields: dict[str, object]) -> Any:  # a payload class, and one of it
    """The payload made of `fields`. Raises InvalidRequest that names the field, never its value."""
    from pydantic import ValidationError

    try:
        return model.model_validate(fields)
    except ValidationError as error:
        raise InvalidRequest(f"--{first_problem(error)}", remedy="See --help") from None


def _show(receipt: "Receipt", done: str, *, as_json: bool) -> None:
    from starters.cli.render import receipt_line, show

    if not receipt.counted:
        raise DecisionRefused(receipt.notice, rule="probed", remedy="See its status")
    if as_json:
        emit(receipt)
    else:
        show(receipt_line(receipt, done))
        if receipt.notice:
            click.secho(f"{receipt.notice}.", fg="yellow", err=True)
