"""What `submit` does with one file or many."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass

import click
from pydantic import ValidationError

from countersign.errors import CountersignError, InvalidRequest
from countersign.review.payloads import ReviewRequest
from starters.cli.common import emit, error_document, first_problem, plain
from starters.cli.files import DOCUMENT_LIMIT, STDIN, about, read_bounded
from starters.cli.following import bad_end, follow, say_if_stored
from starters.cli.render import commands, show, status_view, submitted_line
from starters.client import ReviewClient, Standing, Submission

AT_ONCE = 10
"""Files submitted or followed at the same time."""


@dataclass(frozen=True)
class Order:
    """What the command line asked for. `fields` are those of `ReviewRequest` that all files share."""

    files: tuple[str, ...]
    fields: Mapping[str, object]
    review_id: str | None = None
    wait: bool = False
    timeout_s: float | None = None
    as_json: bool = False

    def request(self, number: int) -> ReviewRequest:
        """The request for the file `number` (from 0). Raises InvalidRequest that names the field, never its value.

        One id for several files becomes id-1, id-2, … in the order of the command line.
        """
        numbered = f"{self.review_id}-{number + 1}" if len(self.files) > 1 else self.review_id
        try:
            return ReviewRequest.model_validate(
                {**self.fields, "review_id": numbered if self.review_id is not None else None}
            )
        except ValidationError as error:
            raise InvalidRequest(first_problem(error), remedy="See 'countersign submit --help'") from None


@dataclass
class Result:
    """What became of one file."""

    file: str
    taken: Submission | None = None
    standing: Standing | None = None
    error: CountersignError | None = None

    @property
    def problem(self) -> CountersignError | None:
        """Why it did not come through: an error on the way, or a review that failed or was blocked."""
        return self.error or (bad_end(self.standing.status) if self.standing else None)


async def submit_all(client: ReviewClient, order: Order) -> list[Result]:
    """Submit every file, at most `AT_ONCE` at a time, reporting each as it is done; never raises for a single file."""
    if order.files.count(STDIN) > 1:
        raise InvalidRequest("- (standard input) is named twice", remedy="It can be read once only")
    requests = [order.request(number) for number in range(len(order.files))]
    slots = asyncio.Semaphore(AT_ONCE)

    async def one(name: str, request: ReviewRequest) -> Result:
        result = Result(name)
        async with slots:
            try:
                result.taken = await _submit(client, name, request)
                _say(order, result)
                if order.wait:
                    result.standing = await follow(
                        client,
                        request.tenant,
                        result.taken.review_id,
                        timeout_s=order.timeout_s,
                        quiet=order.as_json or len(order.files) > 1,
                    )
            except CountersignError as error:
                result.error = about(name, error)
        return result

    return list(
        await asyncio.gather(*(one(name, request) for name, request in zip(order.files, requests, strict=True)))
    )


async def _submit(client: ReviewClient, name: str, request: ReviewRequest) -> Submission:
    max_bytes = int(client.settings.max_document_mb * 1_000_000)
    data = await asyncio.to_thread(read_bounded, name, max_bytes, setting=DOCUMENT_LIMIT)
    return await client.submit(data, name, request)


def _say(order: Order, result: Result) -> None:
    if result.taken is not None and not order.as_json:
        show(submitted_line(result.file, result.taken))


def report(order: Order, results: list[Result], default_tenant: str) -> None:
    """Print what became of every file, then raise the first failure."""
    if order.as_json:
        _report_json(results)
    else:
        _report_people(order, results, default_tenant)
    problems = [result.problem for result in results if result.problem is not None]
    if len(results) > 1 and problems:
        raise type(problems[0])(
            f"{len(problems)} of {len(results)} files did not come through", remedy="See above for each"
        )
    if problems:
        raise problems[0]


def _report_json(results: list[Result]) -> None:
    """One file: its submission or status. Several: {"reviews": […], "errors": […]}, each with its `file`."""
    found = [(result, result.standing.status if result.standing else result.taken) for result in results]
    if len(results) == 1:
        if found[0][1] is not None and results[0].error is None:
            emit(found[0][1])
        return
    emit(
        {
            "reviews": [{"file": result.file, **plain(what)} for result, what in found if what is not None],
            "errors": [{"file": one.file, **error_document(one.error)} for one in results if one.error],
        }
    )


def _report_people(order: Order, results: list[Result], default_tenant: str) -> None:
    for result in results:
        if result.standing is not None:
            say_if_stored(result.standing, as_json=False)
            show(status_view(result.standing.status, default_tenant))
        elif result.error is not None and len(results) > 1:
            click.echo(f"countersign: {result.error}", err=True)
    first = next((result.taken for result in results if result.taken), None)
    if first is not None and not order.wait:
        tail = "" if first.tenant == default_tenant else f" --tenant {first.tenant}"
        show(commands((f"countersign watch {first.review_id}{tail}", "countersign queue")))
