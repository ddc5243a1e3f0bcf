"""learn: what a person decided becomes warm memory (corrections) and evidence (the pair of agent and human)."""

import logging
from datetime import UTC, datetime

from redis.exceptions import RedisError
from temporalio import activity

from activities.failures import typed_errors
from countersign.learning.derive import drafts
from countersign.memory.profile import Pair
from countersign.review.payloads import DecisionRecord
from countersign.review.steps import LearnInput, LearnResult
from countersign.services import Services
from countersign.words import Tier, Verdict

_log = logging.getLogger(__name__)


class Learn:
    """The only writer of corrections, pairs and session lines."""

    def __init__(self, services: Services) -> None:
        self._services = services

    @activity.defn
    async def learn(self, given: LearnInput) -> LearnResult:
        """Store corrections and the pair in one transaction, once per workflow; then a line for the session."""
        admission = given.admission
        decisions = given.decisions or (
            DecisionRecord(
                verdict=given.verdict, reviewer=given.reviewer, note=given.note, edits=given.edits, at=datetime.now(UTC)
            ),
        )
        with typed_errors():
            taught = drafts(given.before, decisions)
            corrections = await self._services.corrections.prepare(admission.key, taught)
            stored = await self._services.profile.learn(
                admission.key,
                playbook=admission.playbook,
                playbook_version=admission.playbook_version,
                contract_type=given.contract_type,
                corrections=corrections,
                pair=Pair(
                    agent_route=given.route,
                    agent_confidence=given.confidence,
                    verdict=given.verdict,
                    agreed=given.verdict is Verdict.APPROVE,
                    edits=len(given.edits),
                ),
                reviewer_hash=self._services.pseudonyms.of("user", given.reviewer),
            )
        return LearnResult(corrections=stored, degraded=await self._session_line(given))

    async def _session_line(self, given: LearnInput) -> tuple[str, ...]:
        """Remember the review in the requester's session; a cache, so its loss is said and nothing more."""
        if given.session is None:
            return ()
        line = f"{given.contract_type} reviewed with {given.admission.playbook}: {given.verdict}"
        admission = given.admission
        try:
            await self._services.session.remember(admission.key.tenant, admission.user_hash, given.session, line)
        except (RedisError, OSError) as error:
            _log.warning("session not remembered: %s", type(error).__name__)
            return (f"memory: {Tier.SESSION}",)
        return ()
