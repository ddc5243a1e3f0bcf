"""What the lab remembers: every request in order, and what it billed."""

from collections import deque
from datetime import UTC, datetime
from typing import Literal

from pydantic import BaseModel

from provider_lab.script import Tokens

Outcome = Literal["open", "answered", "broken", "refused", "cut", "abandoned"]
"""`answered` whole; `broken` ended with something that is no answer; `refused` with an error status; `cut` by the lab
(also when it stops); `abandoned` by the client, who went before the end."""
KEPT = 20_000
"""Requests that are remembered; the oldest go first."""
TEXT_KEPT = 4_000


class Seen(BaseModel):
    """One request. Changes while it is `open`."""

    number: int
    """1 for the first since the reset."""
    request_id: str
    provider: str
    model: str
    agent: str
    """`intent`, `plan`, `specialist`, `reconcile`, or empty for any other request."""
    tools: tuple[str, ...]
    prompt_sha256: str
    """Of everything sent: instructions, messages, tools."""
    last_user_text: str
    """Its last 4,000 characters."""
    responses_before: int
    """Model responses in the history that came along."""
    stream: bool
    rule: int | None
    """Place of the rule that decided, None for an ordinary answer."""
    did: str
    at: datetime
    ended_at: datetime | None = None
    status: int | None = None
    """HTTP status that was sent; None when nothing was."""
    outcome: Outcome = "open"
    tokens_sent: int = 0
    """Output tokens that went over the wire so far."""


class Bill(BaseModel):
    """What one request costs."""

    request_id: str
    """As in the `request-id` or `x-request-id` header."""
    response_id: str
    """As in the answer's body; `ModelResponse.provider_response_id` of pydantic-ai."""
    provider: str
    model: str
    tokens: Tokens
    told: Tokens
    """What the answer said it cost; differs from `tokens` only when the script lies."""


class Memory:
    """Requests and bills since the last reset."""

    def __init__(self) -> None:
        self.requests: deque[Seen] = deque(maxlen=KEPT)
        self.billed: deque[Bill] = deque(maxlen=KEPT)
        """Answers that were sent whole."""
        self.unbilled_partial: deque[Bill] = deque(maxlen=KEPT)
        """Answers of which only a part was sent: `tokens.output` is that part. Not billed."""
        self._count = 0

    def next_number(self) -> int:
        """The number of the request that comes in now."""
        self._count += 1
        return self._count

    def end(self, seen: Seen, outcome: Outcome, bill: Bill | None = None) -> None:
        """Close a request; `bill` is what its whole answer would have cost, None when none was begun."""
        if seen.outcome != "open":
            return
        seen.outcome = outcome
        seen.ended_at = datetime.now(UTC)
        if bill is None:
            return
        if outcome == "answered":
            self.billed.append(bill)
        elif seen.tokens_sent:
            sent = bill.tokens.model_copy(update={"output": seen.tokens_sent})
            self.unbilled_partial.append(bill.model_copy(update={"tokens": sent}))
