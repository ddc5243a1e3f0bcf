"""Signing many reviews at once, for command line and console: what would be signed and what not, then exactly that.

Which reviews may be is `countersign.review.bulk`'s to say. Each signature is a decision of its own.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from countersign.errors import CountersignError
from countersign.playbook.load import load_playbook
from countersign.review.bulk import Item, against, digest_of_all, item_of
from countersign.review.payloads import Decision
from countersign.words import Severity, Verdict
from starters.client import ReviewClient


@dataclass(frozen=True)
class Wanted:
    """What is to be signed, and by whom: reviews under `playbook` with no finding above `most`, all about `clause`."""

    tenant: str
    reviewer: str
    playbook: str
    most: Severity
    clause: str | None = None
    limit: int = 50


@dataclass(frozen=True)
class Preview:
    """What would be signed together, and by review id why another one would not."""

    items: tuple[Item, ...]
    left_out: tuple[tuple[str, str], ...]

    @property
    def digest(self) -> str:
        """Of exactly these items, each as it is now."""
        return digest_of_all(self.items)

    @property
    def reasons(self) -> dict[str, int]:
        """How many are left out for each reason."""
        return dict(Counter(why for _, why in self.left_out))


@dataclass(frozen=True)
class Signed:
    """What became of one. `outcome` is "refused" with `why`, "signed" where others must sign too, or the outcome."""

    review_id: str
    outcome: str
    why: str = ""


async def preview(client: ReviewClient, wanted: Wanted) -> Preview:
    """Look at what waits, most urgent first. Raises PlaybookError and ServiceUnavailable."""
    kinds = load_playbook(client.settings.playbooks, wanted.playbook).contract_types
    user_hash = (await client.services()).pseudonyms.of("user", wanted.reviewer)
    items: list[Item] = []
    left_out: list[tuple[str, str]] = []
    for row in await client.queue(tenant=wanted.tenant, limit=wanted.limit):
        why = "asked for by who signs" if row.user_hash == user_hash else ""
        if not why:
            standing = await client.status(wanted.tenant, row.review_id)
            why = "no worker answers"
            if standing.live:
                why = against(
                    standing.status,
                    playbook=wanted.playbook,
                    kinds=kinds,
                    most=wanted.most,
                    clause=wanted.clause,
                    at=datetime.now(UTC),
                )
                if not why:
                    items.append(item_of(standing.status))
                    continue
        left_out.append((row.review_id, why))
    return Preview(tuple(sorted(items, key=lambda item: (item.clauses, item.review_id))), tuple(left_out))


async def sign(
    client: ReviewClient, wanted: Wanted, shown: Preview, note: str, id_of: Callable[[str], str | None] = lambda _: None
) -> tuple[Signed, ...]:
    """One decision of its own for each. What goes wrong with one keeps the others from nothing.

    `id_of` gives a decision's id by its review's, for who may send the same twice.
    """
    return tuple([await _sign(client, wanted, item, note, id_of(item.review_id)) for item in shown.items])


async def _sign(client: ReviewClient, wanted: Wanted, item: Item, note: str, decision_id: str | None) -> Signed:
    decision = Decision(
        verdict=Verdict.APPROVE, reviewer=wanted.reviewer, note=note, digest=item.digest, decision_id=decision_id
    )
    try:
        receipt = await client.decide(wanted.tenant, item.review_id, decision)
    except CountersignError as error:
        return Signed(item.review_id, "refused", error.message)
    return Signed(item.review_id, str(receipt.outcome or receipt.pending or "signed"))
