"""recall: three tiers of memory, asked together. Each fails softly and says so; failing can only lower autonomy."""

import asyncio
import logging
from datetime import UTC, datetime

from temporalio import activity

from countersign.learning.book import Recalled
from countersign.playbook.load import load_playbook
from countersign.review.payloads import KnowledgeHit, Recall
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
        session, profile, knowledge = await asyncio.gather(
            self._session(given), self._profile(given), self._knowledge(given), return_exceptions=True
        )
        degraded: list[Tier] = []
        for tier, result in ((Tier.SESSION, session), (Tier.PROFILE, profile), (Tier.KNOWLEDGE, knowledge)):
            if isinstance(result, BaseException):
                if not isinstance(result, Exception):
                    raise result
                # The type alone: a driver's message can carry values.
                _log.warning("memory tier %s failed: %s", tier, type(result).__name__)
                degraded.append(tier)
        facts, recalled, autonomy = (
            ({}, Recalled(), Autonomy.SUPERVISED) if isinstance(profile, BaseException) else profile
        )
        return Recall(
            session=() if isinstance(session, BaseException) else session,
            profile=facts,
            corrections=recalled.corrections,
            disputed=recalled.disputed,
            autonomy=autonomy,
            knowledge=() if isinstance(knowledge, BaseException) else knowledge,
            degraded=tuple(degraded),
        )

    async def _session(self, given: RecallInput) -> tuple[str, ...]:
        if given.session is None:
            return ()
        admission = given.admission
        return await self._services.session.recall(admission.key.tenant, admission.user_hash, given.session)

    async def _profile(self, given: RecallInput) -> tuple[dict[str, str], Recalled, Autonomy]:
        admission, memory = given.admission, self._services.profile
        tenant, contract_type = admission.key.tenant, given.intent.contract_type
        facts = await memory.profile(tenant, admission.user_hash)
        recalled = await self._services.corrections.recall(
            tenant,
            admission.playbook,
            policy=load_playbook(self._services.settings.playbooks, admission.playbook).learning,
            now=datetime.now(UTC),
            clauses=given.intent.focus or None,
        )
        autonomy = await memory.autonomy(tenant, admission.playbook, contract_type)
        return facts, recalled, autonomy

    async def _knowledge(self, given: RecallInput) -> tuple[KnowledgeHit, ...]:
        words = (given.ask, given.intent.contract_type, *(focus.replace("_", " ") for focus in given.intent.focus))
        query = " ".join(word for word in words if word)
        return await self._services.knowledge.search(given.admission.key.tenant, query, KNOWLEDGE_PASSAGES)
