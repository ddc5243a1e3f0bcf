"""What Temporal answers, as this project's errors, and the refusals that several calls share."""

from collections.abc import Iterator
from contextlib import contextmanager

from countersign.errors import CountersignError, DecisionRefused, InvalidRequest, NotFound, ServiceUnavailable
from countersign.words import Outcome

MAX_MESSAGE = 500
"""Characters of a worker's words that are passed on."""
STARTING = "One that is just starting needs a few seconds"


def unknown_review(tenant: str, review_id: str) -> NotFound:
    """The same words whether there is none or it is another tenant's: an id is no oracle."""
    return NotFound(
        f"there is no review {review_id!r} of tenant {tenant!r}",
        remedy="Check the id with 'countersign list', or name the tenant it belongs to with --tenant",
    )


def already_ended(outcome: Outcome | None) -> DecisionRefused:
    """What a decision on an ended review is answered; None when it ended this very moment."""
    return DecisionRefused(
        f"the review has already ended: {outcome}" if outcome else "the review has just ended",
        remedy="Its trail says what was decided",
        rule="decided",
    )


def not_begun() -> DecisionRefused:
    """What a decision on a review is answered that waits for its turn."""
    return DecisionRefused(
        "the review waits for its turn, and nothing is there to decide yet",
        remedy="Its status says how long that will be",
        rule="not_waiting",
    )


def nobody_answers(review_id: str, what: str) -> ServiceUnavailable:
    """There is a review, but no worker that speaks for it; `what` says what follows from that."""
    return ServiceUnavailable(
        f"no worker answers for review {review_id!r}: {what}",
        remedy=f"{STARTING}: try again; else start one with 'countersign worker' (or 'countersign dev')",
    )


@contextmanager
def temporal_errors(not_found: CountersignError) -> Iterator[None]:
    """Raise what Temporal answers as this project's errors; `not_found` when there is no such open workflow.

    Refusals of an update keep their type and words (they are meant for people). A timed-out decision is reported as
    undecided, since Temporal may still hand it to a worker that comes back (measured: it does).
    """
    from temporalio.client import RPCTimeoutOrCancelledError, WorkflowUpdateFailedError
    from temporalio.service import RPCError, RPCStatusCode

    try:
        yield
    except WorkflowUpdateFailedError as error:
        raise refusal(error.cause) from None
    except RPCTimeoutOrCancelledError:
        raise ServiceUnavailable(
            "no worker took it in time; it may still count when one comes back",
            remedy=f"{STARTING}, else start one with 'countersign worker'; look at the status before you repeat it",
        ) from None
    except RPCError as error:
        if error.status is RPCStatusCode.NOT_FOUND:
            raise not_found from None
        raise ServiceUnavailable(
            f"Temporal did not answer ({error.status.name.lower()})", remedy="Check with 'countersign doctor'"
        ) from None


def refusal(cause: BaseException) -> CountersignError:
    """A rejected or failed update as the error a person sees, with the remedy and rule of the `ApplicationError`."""
    from temporalio.exceptions import ApplicationError

    kinds: dict[str, type[CountersignError]] = {kind.type: kind for kind in (DecisionRefused, InvalidRequest, NotFound)}
    if not isinstance(cause, ApplicationError) or cause.type not in kinds:
        return ServiceUnavailable(
            "the worker could not take it", remedy="Check with 'countersign doctor', then repeat the command"
        )
    remedy, rule = (word if isinstance(word, str) else "" for word in (*cause.details, "", "")[:2])
    message = cause.message[:MAX_MESSAGE].removesuffix(remedy).rstrip(". ") or "refused"
    if cause.type == DecisionRefused.type:
        return DecisionRefused(message, remedy=remedy, rule=rule)
    return kinds[cause.type](message, remedy=remedy)
