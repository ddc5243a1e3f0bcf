"""learn: what a person decided becomes warm memory (corrections) and evidence (the pair of agent and human)."""

import logging

from redis.exceptions import RedisError
from temporalio import activity

from activities.failures import typed_errors
from countersign.memory.profile import NewCorrection, Pair
from countersign.review.editing import changes_in_words
from countersign.review.payloads import AnalysisResult
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
        before = AnalysisResult(
            summary="", key_findings=given.before, confidence=given.confidence, requires_human_review=True
        )
        corrections = [
            NewCorrection(
                clause=(finding.clause if finding else edit.clause) or "",
                finding_id=edit.finding_id or "",
                change=change,
                note=given.note,
            )
            for edit, finding, change in changes_in_words(before, given.edits)
        ]
        with typed_errors():
            stored = await self._services.profile.learn(
                admission.key,
                playbook=admission.playbook,
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
