"""recall: three tiers of memory, asked together. Each fails softly and says so; failing can only lower autonomy."""

import asyncio
import logging
from datetime import UTC, datetime

from temporalio import activity

from countersign.agents.arm import arm_of
from countersign.evidence.arms import CellKey
from countersign.learning.book import Recalled
from countersign.playbook.load import load_playbook
from countersign.review.payloads import CellStanding, KnowledgeHit, Recall
from countersign.review.steps import RecallInput
from countersign.services import Services
from countersign.words import Autonomy, Tier

KNOWLEDGE_PASSAGES = 5
_log = logging.getLogger(__name__)


class RecallMemory:
    """Session (Redis), profile and corrections (Postgres), knowledge (pgvector)."""

    def __init__(self, services: Services) -> None:
        self._services = services

    @activity.defn
    async def recall(self, given: RecallInput) -> Recall:
        """What the memory tiers have for this review; a tier that fails is named in `degraded`."""
        session, profile, knowledge, standing = await asyncio.gather(
            self._session(given),
            self._profile(given),
            self._knowledge(given),
            self._standing(given),
            return_exceptions=True,
        )
        degraded: list[Tier] = []
        # The cell's evidence is part of the warm tier.
        warm = standing if isinstance(standing, BaseException) else profile
        for tier, result in ((Tier.SESSION, session), (Tier.PROFILE, warm), (Tier.KNOWLEDGE, knowledge)):
            if isinstance(result, BaseException):
                if not isinstance(result, Exception):
                    raise result
                # The type alone: a driver's message can carry values.
                _log.warning("memory tier %s failed: %s", tier, type(result).__name__)
                degraded.append(tier)
        facts, recalled = ({}, Recalled()) if isinstance(profile, BaseException) else profile
        known = None if isinstance(standing, BaseException) else standing
        return Recall(
            session=() if isinstance(session, BaseException) else session,
            profile=facts,
            corrections=recalled.corrections,
            disputed=recalled.disputed,
            autonomy=known.level if known and not isinstance(profile, BaseException) else Autonomy.SUPERVISED,
            standing=known,
            knowledge=() if isinstance(knowledge, BaseException) else knowledge,
            degraded=tuple(degraded),
        )

    async def _session(self, given: RecallInput) -> tuple[str, ...]:
        if given.session is None:
            return ()
        admission = given.admission
        return await self._services.session.recall(admission.key.tenant, admission.user_hash, given.session)

    async def _profile(self, given: RecallInput) -> tuple[dict[str, str], Recalled]:
        admission, memory = given.admission, self._services.profile
        tenant = admission.key.tenant
        facts = await memory.profile(tenant, admission.user_hash)
        recalled = await self._services.corrections.recall(
            tenant,
            admission.playbook,
            policy=load_playbook(self._services.settings.playbooks, admission.playbook).learning,
            now=datetime.now(UTC),
            clauses=given.intent.focus or None,
        )
        return facts, recalled

    async def _standing(self, given: RecallInput) -> CellStanding:
        """What the evidence says of this review's cell with the arm that analyses it."""
        admission, settings = given.admission, self._services.settings
        playbook = load_playbook(settings.playbooks, admission.playbook)
        arm = arm_of(playbook, admission.playbook_digest, settings.model, admission.sentinel_model)
        cell = CellKey(admission.key.tenant, admission.playbook, given.intent.contract_type)
        return await self._services.evidence.standing(cell, arm, admission.key.review_id)

    async def _knowledge(self, given: RecallInput) -> tuple[KnowledgeHit, ...]:
        words = (given.ask, given.intent.contract_type, *(focus.replace("_", " ") for focus in given.intent.focus))
        query = " ".join(word for word in words if word)
        return await self._services.knowledge.search(given.admission.key.tenant, query, KNOWLEDGE_PASSAGES)
