"""Everything the activities and the ways in stand on, opened once a process: stores, memory, trail, ledger."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Protocol

from countersign.access.authenticator import Authenticator
from countersign.access.keys import KeyBook
from countersign.access.sessions import Sessions
from countersign.admission.door import Door
from countersign.admission.intake import Intake
from countersign.admission.limits import LimitBook
from countersign.breaker.circuits import Circuits
from countersign.document.sandbox import Sandbox
from countersign.evidence.audit_sample import AuditPolicy
from countersign.evidence.level import EvidencePolicy
from countersign.learning.book import CorrectionBook
from countersign.ledger.ledger import Ledger
from countersign.memory.embedding import default_embedder
from countersign.memory.knowledge import KnowledgeMemory
from countersign.memory.profile import ProfileMemory
from countersign.memory.session import SessionMemory
from countersign.review.proof import SigningKey
from countersign.settings import Settings
from countersign.store.acceptances import Acceptances
from countersign.store.batch_results import BatchResults
from countersign.store.batches import BatchStore
from countersign.store.counterparties import CounterpartyBook
from countersign.store.database import Database
from countersign.store.documents import DocumentStore
from countersign.store.effects import EffectStore
from countersign.store.evidence import EvidenceBook
from countersign.store.fingerprint import check_master_key
from countersign.store.keys import load_key
from countersign.store.marks import ReadMarks
from countersign.store.people import PeopleBook
from countersign.store.reviews import ReviewStore
from countersign.store.runs import AgentRuns
from countersign.store.script import connect
from countersign.store.shadow import ShadowStore
from countersign.store.signing_keys import gateway_key
from countersign.store.subscriptions import Subscriptions
from countersign.store.tool_rules import ToolRules
from countersign.store.vault import Vault
from countersign.store.waiting import WaitingStore
from countersign.trail.pseudonym import Pseudonyms
from countersign.trail.trail import AuditTrail

if TYPE_CHECKING:
    from redis.asyncio import Redis

    from countersign.access.redirect import CodeFlow


class Servers(Protocol):
    """Where the two databases are."""

    @property
    def database_url(self) -> str: ...
    @property
    def redis_url(self) -> str: ...


@dataclass(frozen=True)
class Services:
    """One process's handles. Every member is safe to use from concurrent tasks."""

    settings: Settings
    db: Database
    vault: Vault
    redis: "Redis"
    pseudonyms: Pseudonyms
    documents: DocumentStore
    reviews: ReviewStore
    acceptances: Acceptances
    runs: AgentRuns
    trail: AuditTrail
    ledger: Ledger
    session: SessionMemory
    profile: ProfileMemory
    corrections: CorrectionBook
    knowledge: KnowledgeMemory
    keys: KeyBook
    sessions: Sessions
    marks: ReadMarks
    limits: LimitBook
    door: Door
    circuits: Circuits
    waiting: WaitingStore
    sandbox: Sandbox
    tool_rules: ToolRules
    counterparties: CounterpartyBook
    effects: EffectStore
    batches: BatchStore
    batch_results: BatchResults
    evidence: EvidenceBook
    shadow: ShadowStore
    people: PeopleBook
    subscriptions: Subscriptions

    @cached_property
    def intake(self) -> Intake:
        """The one way in for reviews."""
        return Intake(
            self.settings,
            pseudonyms=self.pseudonyms,
            door=self.door,
            limits=self.limits,
            documents=self.documents,
            reviews=self.reviews,
            acceptances=self.acceptances,
            waiting=self.waiting,
        )

    @cached_property
    def authenticator(self) -> Authenticator:
        """Who is asking, by API key or token. Raises `InvalidRequest` when the OIDC settings are half set."""
        return Authenticator.of(self.settings, self.keys, self.pseudonyms)

    @cached_property
    def code_flow(self) -> "CodeFlow | None":
        """Signing in at the OIDC issuer by redirect, if the settings name a client there. Raises `InvalidRequest`."""
        oidc = self.authenticator.oidc
        if oidc is None or self.settings.oidc_client_id is None:
            return None
        from countersign.access.redirect import CodeFlow, FlowPolicy

        return CodeFlow(FlowPolicy.of(self.settings), oidc, self.vault)

    async def gateway_key(self) -> SigningKey:
        """The key that the gateway signs decisions with, its public half registered. Raises `InvalidRequest`."""
        key = gateway_key(self.settings)
        await self.people.add_gateway_key(key.public)
        return key

    async def bring_up_to_date(self) -> None:
        """Apply the migrations that the database lacks: a process may be the first to meet a new one.

        Raises as `Database.migrate` does, and `InvalidRequest` as `open` does.
        """
        if await self.db.pending():
            await self.db.migrate()
            await check_master_key(self.db, self.vault)

    @classmethod
    @asynccontextmanager
    async def open(
        cls, settings: Settings, servers: Servers, *, patience_s: float | None = None
    ) -> AsyncIterator["Services"]:
        """Open everything and close it again. `patience_s` as `Database.open` has it.

        Raises `ServiceUnavailable` when Postgres does not answer, `InvalidRequest` for a key that is none, or a master
        key that is not this database's.

        Redis is not asked here: it is a cache, and its absence must not stop a process from starting.
        """
        from redis.asyncio import Redis
        from redis.asyncio.retry import Retry
        from redis.backoff import NoBackoff

        vault = Vault(load_key(settings.master_key, settings.state / "master.key"))
        pseudonyms = Pseudonyms(load_key(settings.pseudonym_key, settings.state / "pseudonym.key"))
        db = await Database.open(servers.database_url, patience_s=patience_s)
        # One quick retry: memory is worth having, not worth waiting for.
        redis = Redis.from_url(
            servers.redis_url, socket_timeout=2, socket_connect_timeout=2, retry=Retry(NoBackoff(), 1)
        )
        keys = KeyBook(db, vault, pseudonyms)
        limits = LimitBook(db)
        people = PeopleBook(db, vault, pseudonyms)
        tool_rules = ToolRules(db)
        door = Door(connect(servers.redis_url), limits)
        circuits = Circuits(connect(servers.redis_url), settings.circuits)
        embedder = default_embedder()
        sandbox = Sandbox(settings.read_memory_mb, settings.read_seconds)
        policy = EvidencePolicy(semi_bar=settings.semi_bar, autonomous_bar=settings.autonomous_bar)
        audit = AuditPolicy(
            floor=min(AuditPolicy().floor, settings.audit_semi, settings.audit_autonomous),
            semi_autonomous=settings.audit_semi,
            autonomous=settings.audit_autonomous,
            urgency=settings.audit_urgency,
        )
        try:
            await check_master_key(db, vault)
            yield cls(
                settings=settings,
                db=db,
                vault=vault,
                redis=redis,
                pseudonyms=pseudonyms,
                documents=DocumentStore(db, vault),
                reviews=ReviewStore(db, vault),
                acceptances=Acceptances(db, vault),
                runs=AgentRuns(db, vault),
                trail=AuditTrail(db, pseudonyms, settings.retention_days),
                ledger=Ledger(db),
                session=SessionMemory(redis, vault, settings.session_ttl_s),
                profile=ProfileMemory(db, vault),
                corrections=CorrectionBook(db, vault, embedder, pseudonyms),
                knowledge=KnowledgeMemory(db, embedder),
                keys=keys,
                sessions=Sessions(vault, redis),
                marks=ReadMarks(redis, vault),
                limits=limits,
                door=door,
                circuits=circuits,
                waiting=WaitingStore(db, vault),
                sandbox=sandbox,
                tool_rules=tool_rules,
                counterparties=CounterpartyBook(db, vault, pseudonyms),
                effects=EffectStore(db, vault, tool_rules),
                batches=BatchStore(db, vault),
                batch_results=BatchResults(db, vault),
                people=people,
                subscriptions=Subscriptions(db, vault, pseudonyms, people),
                evidence=EvidenceBook(db, vault, policy, audit, settings.target_error),
                shadow=ShadowStore(db, vault),
            )
        finally:
            sandbox.close()
            await redis.aclose()
            await door.close()
            await circuits.close()
            await keys.close()
            await limits.close()
            await db.close()
