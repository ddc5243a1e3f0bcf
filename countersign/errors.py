"""Errors a person can act on: what was wrong, where, and what to do. None carries document text or a person's name."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from countersign.admission.entry import Entry


class CountersignError(Exception):
    """Base of every expected error.

    Attributes:
        message: what is wrong, one line without a full stop.
        type: stable machine-readable name; becomes `ApplicationError.type` and the JSON error's `type`.
        remedy: one sentence that says what to do about it.
    """

    type = "CountersignError"

    def __init__(self, message: str, *, remedy: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy

    def __str__(self) -> str:
        return f"{self.message}. {self.remedy}" if self.remedy else self.message


class InvalidRequest(CountersignError):
    """The request cannot be served as written; the message names the field."""

    type = "InvalidRequest"


class KeyReused(InvalidRequest):
    """The key or id that makes a repeat safe was used for something else before."""

    type = "KeyReused"


class DocumentError(CountersignError):
    """The document cannot be read: encrypted, empty, corrupt, too large, wrongly typed or no contract."""

    type = "DocumentError"


class PlaybookError(CountersignError):
    """A playbook is missing or does not validate; the message names file and field."""

    type = "PlaybookError"


class NotFound(CountersignError):
    """There is no such review, document or tenant, or it belongs to another tenant."""

    type = "NotFound"


class DecisionRefused(CountersignError):
    """A person's decision does not count: wrong time, stale, second, or by the requester.

    Attributes:
        rule: the rule it broke, one word for the trail.
    """

    type = "DecisionRefused"

    def __init__(self, message: str, *, remedy: str = "", rule: str = "") -> None:
        super().__init__(message, remedy=remedy)
        self.rule = rule


class ServiceUnavailable(CountersignError):
    """A server the command needs (Temporal, Postgres, Redis) does not answer."""

    type = "ServiceUnavailable"


class ModelConfigurationError(CountersignError):
    """A model name cannot be resolved, or its provider's package or key is missing."""

    type = "ModelConfigurationError"


class RateLimited(CountersignError):
    """Too much was asked by this user or tenant for now.

    Attributes:
        retry_after_s: when it is worth asking again.
        reason: `user_rate`, `tenant_rate` or `cooldown`.
        entry: what the door answered, where it was the door.
    """

    type = "RateLimited"

    def __init__(
        self,
        message: str,
        *,
        remedy: str = "",
        retry_after_s: float = 0.0,
        reason: str = "",
        entry: "Entry | None" = None,
    ) -> None:
        super().__init__(message, remedy=remedy)
        self.retry_after_s = retry_after_s
        self.reason = reason
        self.entry = entry


class Overloaded(CountersignError):
    """The waiting room is full; `retry_after_s` says when a place may be free, `entry` what the door answered."""

    type = "Overloaded"

    def __init__(
        self, message: str, *, remedy: str = "", retry_after_s: float = 0.0, entry: "Entry | None" = None
    ) -> None:
        super().__init__(message, remedy=remedy)
        self.retry_after_s = retry_after_s
        self.entry = entry


class CircuitOpen(CountersignError):
    """The model or tool of the circuit that the message names fails; after `retry_after_s` a probe may be had."""

    type = "CircuitOpen"

    def __init__(self, message: str, *, remedy: str = "", retry_after_s: float = 0.0) -> None:
        super().__init__(message, remedy=remedy)
        self.retry_after_s = retry_after_s


class Throttled(CountersignError):
    """The circuit that the message names lets no more calls through at once; ask again after `retry_after_s`."""

    type = "Throttled"

    def __init__(self, message: str, *, remedy: str = "", retry_after_s: float = 0.0) -> None:
        super().__init__(message, remedy=remedy)
        self.retry_after_s = retry_after_s


class Unauthenticated(CountersignError):
    """No credentials, or none that are valid. Never says which part is wrong."""

    type = "Unauthenticated"


class Forbidden(CountersignError):
    """The person is known, and may not do this; the message names the role it takes."""

    type = "Forbidden"
