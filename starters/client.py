"""What one can do with reviews, for every way in: command line now, HTTP gateway later. No terminal in here.

The workflow is the authority on where a review stands; where no worker answers, Postgres does (`live` is then False).
Servers are connected to on first use, so a command needs only those it asks. Every expected failure is one of
`countersign.errors`; an RPC error of Temporal never leaves this module.
"""

import asyncio
import secrets
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, TypeVar

from countersign.errors import DecisionRefused, InvalidRequest, KeyReused, NotFound, ServiceUnavailable
from countersign.playbook.load import governed
from countersign.review.desk import content_of
from countersign.review.ids import workflow_id_of
from countersign.review.payloads import (
    Answer,
    Claim,
    ClaimReceipt,
    Decision,
    DocumentRef,
    EffectDecision,
    EffectReceipt,
    KnowledgeHit,
    Receipt,
    ReviewRequest,
    ReviewStatus,
    View,
)
from countersign.settings import Settings
from countersign.words import Autonomy, Outcome, Stage
from starters.connections import Connections
from starters.refusals import already_ended, nobody_answers, not_begun, temporal_errors, unknown_review

if TYPE_CHECKING:
    from temporalio.client import WorkflowHandle, WorkflowHistory

    from countersign.document.model import DocumentText
    from countersign.ledger.ledger import CostRow
    from countersign.review.proof import SigningKey
    from countersign.store.evidence_rows import CellRow
    from countersign.store.reviews import ReviewRow, WaitingFor
    from countersign.trail.trail import TrailCheck, TrailRow

R = TypeVar("R", Receipt, ClaimReceipt, EffectReceipt)

TOLD_AT_ONCE = 16
"""Running reviews that are told of a change at once."""
QUERY_TIMEOUT = timedelta(seconds=3)
"""A worker that is there answers in milliseconds; after this the projection answers instead."""
DECISION_TIMEOUT = timedelta(seconds=30)
LEARN_TRIES, LEARN_S = 10, 0.3
"""How often, and after which pause, a decision is repeated whose key a review does not know yet."""
POLL_S = (0.2, 2.0)
"""A follower asks this often at first and, while nothing changes, at last."""


@dataclass(frozen=True)
class Standing:
    """Where a review stands. `live` is False when the answer is the stored projection, which may be a moment old."""

    status: ReviewStatus
    live: bool = True

    @property
    def settled(self) -> bool:
        """Whether it has ended or waits for a person: nothing more happens by itself."""
        return self.status.outcome is not None or self.status.waiting_for is not None


@dataclass(frozen=True)
class Submission:
    """A review that was taken. `existing` is True when this very review had been taken before.

    `ahead` reviews get their turn before it, which comes in about `estimate_s` seconds.
    """

    review_id: str
    workflow_id: str
    tenant: str
    playbook: str
    document: DocumentRef
    existing: bool = False
    ahead: int = 0
    estimate_s: float = 0.0


def _open_status(standing: Standing) -> ReviewStatus:
    """The status of a review a person can still act on."""
    status = standing.status
    if status.outcome is not None:
        raise already_ended(status.outcome)
    if status.ahead is not None:
        raise not_begun()
    if not standing.live:
        raise nobody_answers(status.review_id, "nothing can be decided now")
    return status


def _answered_before(receipt: Receipt, content: str) -> Receipt:
    """The receipt, if it is of a decision with this content (a version before this one did not note it)."""
    if receipt.content not in {"", content}:
        raise KeyReused(
            "the Idempotency-Key was used for another decision on this review", remedy="Use a new key for a new one"
        )
    return receipt


class ReviewClient(Connections):
    """All a starter does with reviews. Made by `open`; safe to use from concurrent tasks of one event loop."""

    def __init__(self, settings: Settings, stack: AsyncExitStack, patience_s: float | None = None) -> None:
        super().__init__(settings, stack, patience_s)
        self.signing_key: SigningKey | None = None
        """With it every decision and answer is signed: the gateway's, or a person's own."""

    @classmethod
    @asynccontextmanager
    async def open(cls, settings: Settings, *, patience_s: float | None = None) -> AsyncIterator["ReviewClient"]:
        """A client for as long as the block lasts. Connects to nothing yet.

        `patience_s` is the time that Postgres has for each answer (None: that of a worker, which is long).
        """
        async with AsyncExitStack() as stack:
            client = cls(settings, stack, patience_s)
            if settings.signing_key is not None:
                from countersign.store.signing_keys import own_key

                client.signing_key = own_key(settings.signing_key)
            yield client

    async def _row(self, tenant: str, review_id: str) -> "ReviewRow | None":
        """The review's row, by its own id or its workflow's; None where there is none, or Postgres does not answer."""
        try:
            return await (await self.services()).reviews.row(review_id, tenant=tenant)
        except (NotFound, ServiceUnavailable):
            return None

    async def _handle(
        self, tenant: str, review_id: str, row: "ReviewRow | None"
    ) -> "WorkflowHandle[object, ReviewStatus]":
        """The review's workflow: as its row has it, since one started by the `temporal` CLI may be called anything.

        Of one that has ended, the run that was admitted: under its id, anybody may have started another since. While it
        is open nobody can, and whoever resets it gives it a new run.
        """
        workflow_id = row.workflow_id if row else workflow_id_of(tenant, review_id)
        run_id = row.run_id if row and row.outcome else None
        return (await self.temporal()).get_workflow_handle(workflow_id, run_id=run_id, result_type=ReviewStatus)

    # --- submitting ---

    async def submit(self, data: bytes, name: str, request: ReviewRequest) -> Submission:
        """Take a review in, durably. A dispatcher starts it when its turn comes; nothing but Postgres need be there.

        A repeated `request.review_id` is the same review: taken once, answered with `existing`. `name` tells a type
        where the bytes alone do not (a suffix). Raises RateLimited and Overloaded (not now), DocumentError (no type we
        read, too large), PlaybookError (unknown playbook), InvalidRequest (the id stands for another document) and
        ServiceUnavailable; nothing is taken then.
        """
        taken = await (await self.services()).intake.submit(request, data, name)
        return Submission(
            review_id=taken.review_id,
            workflow_id=taken.workflow_id,
            tenant=taken.tenant,
            playbook=taken.playbook,
            document=taken.document,
            existing=taken.existing,
            ahead=taken.ahead,
            estimate_s=taken.estimate_s,
        )

    # --- looking ---

    async def status(self, tenant: str, review_id: str, *, as_reviewer: bool = True) -> Standing:
        """Where a review stands: asked of its workflow, else read from the projection. Raises NotFound.

        Before its turn there is no workflow to ask, and after its end what Postgres has is the truth.
        Only `as_reviewer` is shown what reviewers are, a vigilance probe included (`countersign.vigilance`).
        """
        from temporalio.client import WorkflowQueryFailedError
        from temporalio.service import RPCError, RPCStatusCode

        row = await self._row(tenant, review_id)
        if row is not None and (stored := await self._at_rest(row)) is not None:
            return Standing(stored)
        handle = await self._handle(tenant, review_id, row)
        try:
            query = "status" if as_reviewer else "status_without_probe"
            status = await handle.query(query, result_type=ReviewStatus, rpc_timeout=QUERY_TIMEOUT)
        except (RPCError, WorkflowQueryFailedError) as error:
            # Also when Temporal no longer knows it: a history is kept for a shorter time than its review.
            try:
                services = await self.services()
                return Standing(await services.reviews.status(review_id, tenant=tenant), live=False)
            except NotFound:
                if isinstance(error, RPCError) and error.status is RPCStatusCode.NOT_FOUND:
                    raise unknown_review(tenant, review_id) from None
                raise nobody_answers(review_id, "it is accepted, and waits") from None
        return Standing(status)

    async def _at_rest(self, row: "ReviewRow") -> ReviewStatus | None:
        """The status of a review that has ended, or waits for its turn (with how long it will); None of any other."""
        turn = None
        try:
            services = await self.services()
            if row.outcome is None:
                turn = await services.intake.turn(row.tenant, row.review_id) if row.waits_for_its_turn else None
                if turn is None:
                    return None
            status = await services.reviews.status(row.review_id, tenant=row.tenant)
        except (NotFound, ServiceUnavailable):
            return None  # its workflow is asked
        return status.model_copy(update={"ahead": turn.ahead, "estimate_s": turn.estimate_s}) if turn else status

    async def follow(self, tenant: str, review_id: str, *, timeout_s: float | None = None) -> AsyncIterator[Standing]:
        """Yield the standing whenever it has changed, the settled one last.

        Raises `ServiceUnavailable` when it has not settled after `timeout_s` seconds (None: no limit).
        """
        deadline = None if timeout_s is None else time.monotonic() + timeout_s
        pause, last = POLL_S[0], None
        while True:
            standing: Standing | None
            try:
                standing = await self.status(tenant, review_id)
            except ServiceUnavailable:
                if deadline is None:
                    raise
                standing = None
            if standing is not None and standing != last:
                last, pause = standing, POLL_S[0]
                yield standing
                if standing.settled:
                    return
            if deadline is not None and time.monotonic() >= deadline:
                raise ServiceUnavailable(
                    f"review {review_id!r} did not settle within {timeout_s:g} s; it goes on by itself",
                    remedy="Look again with 'countersign watch', and see that a worker runs",
                )
            await asyncio.sleep(pause)
            pause = min(pause * 1.5, POLL_S[1])

    async def rows(
        self,
        *,
        tenant: str | None = None,
        stage: Stage | None = None,
        outcome: Outcome | None = None,
        limit: int = 50,
    ) -> "tuple[ReviewRow, ...]":
        """Rows of the projection, newest first."""
        return await (await self.services()).reviews.list(tenant=tenant, stage=stage, outcome=outcome, limit=limit)

    async def queue(
        self, *, tenant: str | None = None, waiting_for: "WaitingFor" = "reviewer", limit: int = 50
    ) -> "tuple[ReviewRow, ...]":
        """What waits for a reviewer, or for its requester's answer, most urgent first."""
        return await (await self.services()).reviews.queue(tenant=tenant, waiting_for=waiting_for, limit=limit)

    async def knows_tenant(self, tenant: str) -> bool:
        """Whether there is any review of this tenant: a new one is as good as a mistyped one."""
        return await (await self.services()).reviews.knows(tenant)

    async def document(self, tenant: str, review_id: str) -> tuple[DocumentRef, "DocumentText"]:
        """A review's document as text with its offsets. Raises NotFound while it has not been read."""
        status = (await self.status(tenant, review_id)).status
        if status.document is None or status.read is None:
            raise NotFound(
                f"review {review_id!r} has no text (yet)", remedy="See its stage and failure with 'countersign status'"
            )
        services = await self.services()
        return status.document, await services.documents.get_text(tenant, status.document.document_id)

    # --- deciding ---

    async def decide(self, tenant: str, review_id: str, decision: Decision) -> Receipt:
        """Have a person's decision judged by the workflow. Raises DecisionRefused, InvalidRequest or NotFound.

        A decision without a digest is bound to what is under review now; one with the beginning of that digest (8
        characters or more) to that digest. One without an id gets one, so that a retried call counts once. One that
        has counted before is answered as it was then, even when the review has ended; `KeyReused` is raised when its
        id was another decision's.
        """
        content, standing = content_of(decision), await self.status(tenant, review_id)
        if (known := standing.status.receipts.get(decision.decision_id or "")) is not None:
            return _answered_before(known, content)
        status = _open_status(standing)
        digest = decision.digest
        if digest is None or (len(digest) >= 8 and status.digest is not None and status.digest.startswith(digest)):
            digest = status.digest
        decision_id = decision.decision_id or f"d-{secrets.token_hex(12)}"
        bound = decision.model_copy(update={"digest": digest, "decision_id": decision_id, "content": content})
        try:
            receipt = await self._update("decide", tenant, review_id, bound, update_id=decision_id, reply=Receipt)
        except DecisionRefused:
            # It may be itself, given a moment ago, that ended the review.
            first = (await self.status(tenant, review_id)).status.receipts.get(decision_id)
            if first is None:
                raise
            receipt = first
        # Temporal answers an update id that it knows by itself, whatever comes with it.
        return _answered_before(receipt, content)

    async def answer(self, tenant: str, review_id: str, answer: Answer) -> Receipt:
        """Give the requester's answer to an open question. Raises as `decide` does."""
        status = _open_status(await self.status(tenant, review_id))
        answer_id = f"a-{secrets.token_hex(12)}"
        bound = answer.model_copy(update={"digest": answer.digest or status.digest, "answer_id": answer_id})
        return await self._update("answer", tenant, review_id, bound, update_id=answer_id, reply=Receipt)

    async def view(self, tenant: str, review_id: str, view: View) -> Receipt:
        """Keep what a reviewer would do, before they are told how sure the machine is. Raises as `decide` does."""
        status = _open_status(await self.status(tenant, review_id))
        view_id = view.view_id or f"v-{secrets.token_hex(12)}"
        bound = view.model_copy(update={"digest": view.digest or status.digest, "view_id": view_id})
        return await self._update("view", tenant, review_id, bound, update_id=view_id, reply=Receipt)

    async def claim(self, tenant: str, review_id: str, claim: Claim) -> ClaimReceipt:
        """Let a reviewer take a review to themselves for a while, or give it back. Raises as `decide` does."""
        _open_status(await self.status(tenant, review_id))
        return await self._update(
            "claim", tenant, review_id, claim, update_id=f"c-{secrets.token_hex(12)}", reply=ClaimReceipt
        )

    async def decide_effect(
        self, tenant: str, review_id: str, decision: EffectDecision, *, approve: bool
    ) -> EffectReceipt:
        """Approve or decline one proposed effect. Raises as `decide` does.

        Bound, as there, to the digest the decision names (its beginning is enough), or to what the item is now.
        """
        status = _open_status(await self.status(tenant, review_id))
        now = next((effect.digest for effect in status.effects if effect.item == decision.item), None)
        digest = decision.digest
        if digest is None or (len(digest) >= 8 and now is not None and now.startswith(digest)):
            digest = now
        decision_id = decision.decision_id or f"e-{secrets.token_hex(12)}"
        return await self._update(
            "approve_effect" if approve else "decline_effect",
            tenant,
            review_id,
            decision.model_copy(update={"digest": digest, "decision_id": decision_id}),
            # Temporal answers a repeated id without asking: the other verdict under it must reach the desk.
            update_id=f"{decision_id}/{'approve' if approve else 'decline'}",
            reply=EffectReceipt,
        )

    async def reconsider_effects(self, tenant: str | None) -> tuple[int, int]:
        """Let reviews with open effects hear of a changed policy: (how many were told, how many could not be).

        One that is not told finds out when somebody decides on an effect, and before any effect happens.
        """
        rows = await (await self.services()).reviews.with_effects(tenant)
        return await self._tell([row.workflow_id for row in rows], "reconsider_effects")

    async def _update(  # noqa: PLR0913 - an update is all of this
        self,
        name: str,
        tenant: str,
        review_id: str,
        given: Decision | Answer | Claim | EffectDecision | View,
        *,
        update_id: str | None,
        reply: type[R],
    ) -> R:
        # The review was there a moment ago, so "not found" now means that it ended in between.
        row = await self._row(tenant, review_id)
        handle = await self._handle(tenant, review_id, row)
        key = None if isinstance(given, Claim) else self.signing_key
        if key is not None and not isinstance(given, Claim):
            place = (tenant, row.review_id if row is not None else review_id)
            proof = key.prove(given, place, datetime.now(UTC), approve=name != "decline_effect")
            given = given.model_copy(update={"proof": proof})

        async def once() -> R:
            with temporal_errors(already_ended(None)):
                receipt: R = await handle.execute_update(
                    name, given, id=update_id, result_type=reply, rpc_timeout=DECISION_TIMEOUT
                )
            return receipt

        for _ in range(LEARN_TRIES):
            try:
                return await once()
            except DecisionRefused as error:
                if key is None or error.rule != "unknown_key":
                    raise
            # The key is newer than what the review knows of keys: it is told to look, which takes a moment.
            with temporal_errors(already_ended(None)):
                await handle.signal("reconsider_signing", rpc_timeout=QUERY_TIMEOUT)
            await asyncio.sleep(LEARN_S)
        return await once()

    async def reconsider_signing(self, tenant: str, *, all_concerned: bool) -> tuple[int, int]:
        """Let the tenant's open reviews hear of changed groups, absences or keys: (told, could not be told).

        An absence, or that decisions must be signed, is about every review (`all_concerned`); a group or a key only
        about those that are governed: by their playbook, or since data of the tenant bear on all.

        One that is not told finds out before a decision takes effect, if anything about its signing is data.
        """
        services = await self.services()
        under_way = await services.reviews.under_way(tenant)
        every = all_concerned or (bool(under_way) and await services.people.governs(tenant))
        concerned = [one for one, playbook in under_way if every or governed(self.settings.playbooks, playbook)]
        return await self._tell(concerned, "reconsider_signing")

    async def _tell(self, workflow_ids: Sequence[str], signal: str) -> tuple[int, int]:
        """Send a signal without input to workflows, some at once: (how many got it, how many could not be told)."""
        from temporalio.service import RPCError

        if not workflow_ids:
            return 0, 0
        try:
            temporal = await self.temporal()
        except ServiceUnavailable:
            return 0, len(workflow_ids)
        slots = asyncio.Semaphore(TOLD_AT_ONCE)

        async def tell(workflow_id: str) -> bool:
            async with slots:
                try:
                    await temporal.get_workflow_handle(workflow_id).signal(signal, rpc_timeout=QUERY_TIMEOUT)
                except RPCError:
                    return False
                return True

        heard = sum(await asyncio.gather(*(tell(one) for one in workflow_ids)))
        return heard, len(workflow_ids) - heard

    # --- records ---

    async def trail(self, tenant: str, review_id: str) -> "tuple[tuple[TrailRow, ...], TrailCheck]":
        """A review's rows of the trail and whether they hold together. Raises NotFound when there are none."""
        services, row = await self.services(), await self._row(tenant, review_id)
        workflow_id = row.workflow_id if row else workflow_id_of(tenant, review_id)
        rows = await services.trail.rows(workflow_id)
        if not rows:
            # Asked only now: rows that are there need no projection to be shown.
            await self.status(tenant, review_id)
            raise NotFound(f"review {review_id!r} has no trail yet", remedy="It begins when a worker takes the review")
        return rows, await services.trail.verify(workflow_id)

    async def costs(self, *, tenant: str | None = None, since: datetime | None = None) -> "tuple[CostRow, ...]":
        """Tokens and money by tenant, agent and model."""
        return await (await self.services()).ledger.costs(tenant=tenant, since=since)

    async def history(self, tenant: str, review_id: str) -> "WorkflowHistory":
        """The review's Temporal history. Raises NotFound when Temporal keeps none (yet, or any more)."""
        row = await self._row(tenant, review_id)
        if row is not None and row.waits_for_its_turn:
            raise NotFound(f"review {review_id!r} has no history yet", remedy="It begins when the review's turn comes")
        handle = await self._handle(tenant, review_id, row)
        with temporal_errors(unknown_review(tenant, review_id)):
            return await handle.fetch_history()

    # --- memory and autonomy ---

    async def add_knowledge(self, tenant: str | None, source: str, text: str) -> int:
        """Add a text to the knowledge base, of one tenant or (None) shared. Returns how many passages it became."""
        return await (await self.services()).knowledge.add(tenant, source, text)

    async def search_knowledge(self, tenant: str, query: str, limit: int) -> tuple[KnowledgeHit, ...]:
        """The passages nearest to `query`, best first, of the tenant and of the shared ones."""
        return await (await self.services()).knowledge.search(tenant, query, limit)

    async def profile(self, tenant: str, user: str) -> dict[str, str]:
        """What is known of a requester's preferences."""
        services = await self.services()
        return await services.profile.profile(tenant, services.pseudonyms.of("user", user))

    async def change_profile(self, tenant: str, user: str, changes: dict[str, str], *, limit: int) -> dict[str, str]:
        """Set facts of a requester's profile; an empty value removes one. Raises InvalidRequest over `limit` facts."""
        services = await self.services()
        user_hash = services.pseudonyms.of("user", user)
        facts = {**await services.profile.profile(tenant, user_hash), **changes}
        kept = {key: value for key, value in facts.items() if value}
        if len(kept) > limit:
            raise InvalidRequest(f"facts: {len(kept)} are more than {limit}", remedy="Remove some with KEY=")
        await services.profile.set_profile(tenant, user_hash, kept)
        return kept

    async def cells(self, tenant: str | None = None) -> "tuple[CellRow, ...]":
        """Every cell with its autonomy and the evidence for the next level."""
        return await (await self.services()).evidence.cells(tenant)

    async def grant(  # noqa: PLR0913 - a grant states all of this
        self, tenant: str, playbook: str, contract_type: str, level: Autonomy, *, by: str, reason: str
    ) -> None:
        """Override a cell's level, in a named person's name (stored as a pseudonym): no evidence is asked for.

        Raises PlaybookError for no such playbook, InvalidRequest for a type of contract that it is not for.
        """
        from countersign.playbook.load import load_playbook

        kinds = load_playbook(self.settings.playbooks, playbook).contract_types
        if kinds and contract_type not in kinds:
            raise InvalidRequest(
                f"type: playbook {playbook} is for no contract of this type",
                remedy=f"Its types are {', '.join(kinds)}",
            )
        services = await self.services()
        await services.profile.grant(
            tenant, playbook, contract_type, level, by_hash=services.pseudonyms.of("user", by), reason=reason
        )
