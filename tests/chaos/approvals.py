"""Adversarial schedules against the approval of effects: what a crash, a retry, a liar or bad timing may do.

A schedule is made from a seed alone. It drives the real desk, policy and `objection`; where effects happen is given
(`Place`): a table in memory for the many, PostgreSQL's for fewer. An oracle that shares no code with them keeps its own
book of what people said and what changed since, and judges each effect that happened, and each that did not:

    doubled      an item, or an approval, was good for more than one effect
    substituted  something happened that nobody approved in this form, or that the policy in force forbade
    lost         something was approved, nothing had changed, and it did not happen

Run as a program: `python tests/chaos/approvals.py --schedules 20000` prints one JSON object.
"""

import argparse
import asyncio
import contextlib
import json
import random
import time
from collections import Counter
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol

from countersign.errors import DecisionRefused
from countersign.review.capability import Capability
from countersign.review.payloads import (
    AnalysisResult,
    Effect,
    EffectApproval,
    EffectDecision,
    Finding,
)
from countersign.review.steps import EffectOrder, EffectResult
from countersign.tools.approval import EffectDesk, InForce, objection
from countersign.tools.digests import args_digest
from countersign.tools.names import RECORD_OBLIGATION, SEND_NOTICE
from countersign.tools.policy import Rule, ToolPolicy
from countersign.words import EffectState, Outcome, Severity, ToolVerdict

REQUESTER = "ana"
PEOPLE = ("ana", "bob", "eve", "Bob", "mallory")
ALLOWED = ("bob", "eve")
CLAUSES = ("payment_terms", "renewal_term")
START = datetime(2026, 3, 1, 9, tzinfo=UTC)
DOCUMENT = "ab" * 32
HOUR = timedelta(hours=1)


class Crash(Exception):
    """The worker died here; Temporal will retry."""


class Place(Protocol):
    """Where effects happen."""

    async def execute(self, order: EffectOrder, now: InForce, policy: ToolPolicy, *, crash: str) -> EffectResult:
        """Do it under this policy. `crash` is "", "before" (nothing is kept) or "after" (all is, nobody hears)."""

    async def done(self) -> dict[str, tuple[str, str | None]]:
        """Item to (digest of the arguments, approval)."""


@dataclass
class Memory:
    """The tables and constraints of `countersign.store.effects`, in memory."""

    rows: dict[str, tuple[str, str | None]] = field(default_factory=dict)
    happened: list[tuple[str, str]] = field(default_factory=list)

    async def execute(self, order: EffectOrder, now: InForce, policy: ToolPolicy, *, crash: str) -> EffectResult:
        effect, approval_id = order.effect, order.approval.approval_id if order.approval else None
        if effect.id in self.rows:
            same = self.rows[effect.id] == (effect.args_digest, approval_id)
            return EffectResult(item=effect.id, state=EffectState.DONE if same else EffectState.REFUSED)
        against = objection(order, now)
        if against is not None:
            return EffectResult(item=effect.id, state=EffectState.REFUSED, rule=against[0], reason=against[1])
        if approval_id is not None and any(used == approval_id for _, used in self.rows.values()):
            return EffectResult(item=effect.id, state=EffectState.REFUSED, rule="used")
        if crash == "before":
            raise Crash
        self.rows[effect.id] = (effect.args_digest, approval_id)
        self.happened.append((effect.id, effect.args_digest))
        if crash == "after":
            raise Crash
        return EffectResult(item=effect.id, state=EffectState.DONE)

    async def done(self) -> dict[str, tuple[str, str | None]]:
        assert len(self.happened) == len(self.rows)
        return dict(self.rows)


@dataclass
class Said:
    """The oracle's book on one item: the last approval that counted, and what has changed since."""

    args: dict[str, Any]
    tool: str
    clause: str
    approved_at: datetime | None = None
    approver: str = ""
    rule_then: ToolVerdict | None = None
    changed: bool = False
    declined: bool = False


@dataclass
class Verdicts:
    """What came of one schedule."""

    doubled: int = 0
    substituted: int = 0
    lost: int = 0
    done: int = 0
    refused: int = 0
    notes: list[str] = field(default_factory=list)


def obligation(number: int, clause: str) -> dict[str, Any]:
    return {"kind": "payment", "clause": clause, "duty": f"Duty number {number}", "quote": f"shall pay {number} EUR"}


def notice(number: int, clause: str) -> dict[str, Any]:
    body = f"This is notice number {number} under the contract."
    return {
        "kind": "information",
        "clause": clause,
        "to": "legal",
        "subject": f"Notice {number}",
        "body": body,
        "quote": f"notice of {number} days",
    }


def proposed() -> tuple[Effect, ...]:
    """Four items, two of each kind, two on each clause."""
    effects = []
    for number in range(1, 5):
        tool = RECORD_OBLIGATION if number % 2 else SEND_NOTICE
        clause = CLAUSES[number > 2]
        args = (obligation if number % 2 else notice)(number, clause)
        effects.append(
            Effect(id=f"E{number}", tool=tool, args=args, args_digest=args_digest(tool, args), clause=clause)
        )
    return tuple(effects)


class Schedule:
    """One schedule, from its seed to the oracle's verdicts."""

    def __init__(self, seed: int, place: Place) -> None:
        self.random = random.Random(seed)  # noqa: S311 - schedules, not secrets
        self.place = place
        self.clock = START
        self.effects = proposed()
        self.findings = {
            clause: Finding(id=f"F{n}", clause=clause, severity=Severity.LOW, statement="As it was.")
            for n, clause in enumerate(CLAUSES, start=1)
        }
        self.rules: dict[str, ToolVerdict] = {}
        self.told: dict[str, ToolVerdict] = {}
        self.reviewers: tuple[str, ...] = self.random.choice(((), ALLOWED))
        self.book = {e.id: Said(e.args, e.tool, e.clause) for e in self.effects}
        self.old_digests: list[str] = []
        self.old_approvals: list[EffectApproval] = []
        self.decision_ids: list[str] = []
        self.outcome = Outcome.REJECTED
        self.has_ended = False
        self.desk = EffectDesk(requester=REQUESTER, reviewers=self.reviewers, review_id="r-1", document_sha256=DOCUMENT)
        self.desk.open(self.analysis, self.terms())

    # --- the world ---

    @property
    def analysis(self) -> AnalysisResult:
        return AnalysisResult(
            summary="",
            key_findings=tuple(self.findings.values()),
            confidence=0.9,
            requires_human_review=True,
            effects=self.effects,
        )

    @property
    def policy(self) -> ToolPolicy:
        return ToolPolicy(
            tenant="acme",
            rules=tuple(Rule(tool=tool, verdict=verdict, tenant="acme") for tool, verdict in self.rules.items()),
        )

    def terms(self) -> tuple[Any, ...]:
        return tuple(self.policy.terms(effect, Capability()) for effect in self.effects)

    def in_force(self, item: str) -> InForce:
        effect = next((effect for effect in self.effects if effect.id == item), self.effects[0])
        return InForce(
            review_id="r-1",
            requester=REQUESTER,
            reviewers=self.reviewers,
            document_sha256=DOCUMENT,
            findings=tuple(self.findings.values()),
            terms=self.policy.terms(effect, Capability()),
            at=self.clock,
        )

    # --- what people and adversaries do before the review ends ---

    def step(self) -> None:
        self.clock += timedelta(minutes=self.random.randint(0, 90))
        self.random.choices(
            (self.approve, self.decline, self.amend, self.change_policy, self.jump, self.revoke),
            weights=(12, 1, 2, 3, 2, 1),
        )[0]()

    def decision(self, item: str) -> EffectDecision:
        """An honest decision, or one that is stale, swapped, replayed or in another's name."""
        digest, version = None, None
        standing = self.desk.standing(item, self.clock)
        self.old_digests.append(standing.digest)
        match self.random.randint(0, 5):
            case 0:
                digest = self.random.choice(self.old_digests)
            case 1:
                digest = self.desk.standing(self.random.choice(self.effects).id, self.clock).digest
            case 2:
                version = self.random.randint(1, 4)
            case _:
                digest, version = standing.digest, standing.version
        decision_id = f"d{len(self.decision_ids)}"
        if self.decision_ids and self.random.random() < 0.2:
            decision_id = self.random.choice(self.decision_ids)
        self.decision_ids.append(decision_id)
        return EffectDecision(
            item=item,
            reviewer=self.random.choice(PEOPLE),
            digest=digest,
            version=version,
            decision_id=decision_id,
        )

    def approve(self) -> None:
        item = self.random.choice(self.effects).id
        decision = self.decision(item)
        # As the workflow does: the policy in force is heard before a decision is taken.
        self.hear()
        before = self.desk.standing(item, self.clock)
        try:
            is_retry = self.desk.already_counted(decision, approve=True)
            for _ in range(self.random.choice((1, 1, 2))):  # a duplicated signal
                self.desk.approve(decision, self.clock)
        except DecisionRefused:
            return
        if is_retry:
            return
        said = self.book[item]
        shown = decision.digest in {None, before.digest} and decision.version in {None, before.version}
        if not shown:
            raise AssertionError("an approval of something else counted")
        self.book[item] = replace(
            said, approved_at=self.clock, approver=decision.reviewer, rule_then=self.rules.get(said.tool), changed=False
        )

    def decline(self) -> None:
        item = self.random.choice(self.effects).id
        decision = self.decision(item)
        try:
            is_retry = self.desk.already_counted(decision, approve=False)
            self.desk.decline(decision, self.clock)
        except DecisionRefused:
            return
        if not is_retry:
            self.book[item].declined = True

    def amend(self) -> None:
        clause = self.random.choice(CLAUSES)
        was = self.findings[clause]
        self.findings[clause] = was.model_copy(update={"severity": self.random.choice(list(Severity))})
        self.desk.corrected(tuple(self.findings.values()))
        if self.findings[clause] != was:
            for said in self.book.values():
                said.changed |= said.clause == clause

    def change_policy(self) -> None:
        tool = self.random.choice((RECORD_OBLIGATION, SEND_NOTICE))
        verdict = self.random.choice((None, *ToolVerdict))
        if verdict is None:
            self.rules.pop(tool, None)
        else:
            self.rules[tool] = verdict
        if self.random.random() < 0.5 and not self.has_ended:
            self.hear()

    def hear(self) -> None:
        """The workflow hears of the policy in force: whatever differs from what it heard last takes approvals along."""
        self.desk.reconsider(self.terms())
        for said in self.book.values():
            said.changed |= self.rules.get(said.tool) != self.told.get(said.tool)
        self.told = dict(self.rules)

    def jump(self) -> None:
        self.clock += self.random.choice((HOUR, 30 * HOUR, 80 * HOUR))

    def revoke(self) -> None:
        if self.reviewers and self.random.random() < 0.3:
            self.reviewers = self.random.choice((ALLOWED, ("eve",)))

    # --- after the review has ended ---

    def orders(self) -> tuple[EffectOrder, ...]:
        self.outcome = self.random.choice((Outcome.APPROVED, Outcome.APPROVED, Outcome.AMENDED, Outcome.REJECTED))
        self.clock += timedelta(minutes=self.random.randint(0, 300))
        orders = self.desk.close(self.outcome, self.clock)
        self.has_ended = True
        self.old_approvals += [order.approval for order in orders if order.approval]
        return orders

    def tampered(self, order: EffectOrder) -> EffectOrder:
        """An order that is not what was ordered."""
        other = self.random.choice(self.effects)
        args = {**order.effect.args, "quote": "something else entirely"}
        effect = order.effect.model_copy(update={"args": args})
        match self.random.randint(0, 4):
            case 0:
                return order.model_copy(update={"effect": effect})
            case 1 if order.approval:
                again = effect.model_copy(update={"args_digest": args_digest(effect.tool, args)})
                return order.model_copy(update={"effect": again})
            case 2 if self.old_approvals:
                return order.model_copy(update={"effect": other, "approval": self.random.choice(self.old_approvals)})
            case 3:
                return order.model_copy(update={"version": order.version + 1})
            case _ if order.approval:
                forged = order.approval.model_copy(update={"item": other.id})
                return order.model_copy(update={"effect": other, "approval": forged})
        return order

    async def attack(self, orders: tuple[EffectOrder, ...]) -> dict[str, datetime]:
        """Retries, crashes, replays and substitutions, the policy and the clock moving; when each item happened."""
        times: dict[str, datetime] = {}
        for _ in range(self.random.randint(0, 10) if orders else 0):
            order = self.random.choice(orders)
            if self.random.random() < 0.5:
                order = self.tampered(order)
            if self.random.random() < 0.2:
                self.change_policy()
            if self.random.random() < 0.1:
                self.jump()
            if self.random.random() < 0.1:
                self.revoke()
            await self.execute(order, times, crash=self.random.choice(("", "", "before", "after")))
        for order in orders:  # what Temporal does in the end: the orders as they are in history
            await self.execute(order, times, crash="")
        return times

    async def execute(self, order: EffectOrder, times: dict[str, datetime], *, crash: str) -> None:
        before = await self.place.done()
        item = order.effect.id
        allowed_now = self.judged(item)
        with contextlib.suppress(Crash):
            await self.place.execute(order, self.in_force(item), self.policy, crash=crash)
        after = await self.place.done()
        for new in after.keys() - before.keys():
            times[new] = self.clock
            if not allowed_now or new != item:
                self.verdicts.substituted += 1
                self.verdicts.notes.append(f"{new}: happened against the book")

    def judged(self, item: str) -> bool:
        """The oracle: whether this item may happen at this moment."""
        said = self.book[item]
        rule = self.rules.get(said.tool)
        if self.outcome not in {Outcome.APPROVED, Outcome.AMENDED} or said.declined or rule is ToolVerdict.DENY:
            return False
        if rule is ToolVerdict.ALLOW:
            # Then the review's signature is enough, where the desk knew so, or an approval that still stands.
            if self.told.get(said.tool) is ToolVerdict.ALLOW:
                return True
            return self.stands(said)
        return self.stands(said) and rule == said.rule_then

    def stands(self, said: Said) -> bool:
        who = said.approver.casefold()
        return (
            said.approved_at is not None
            and not said.changed
            and self.clock < said.approved_at + timedelta(hours=72)
            and who != REQUESTER
            and (not self.reviewers or who in self.reviewers)
        )

    async def run(self) -> Verdicts:
        """The whole schedule."""
        self.verdicts = Verdicts()
        for _ in range(self.random.randint(2, 14)):
            self.step()
        orders = self.orders()
        ordered = {order.effect.id for order in orders}
        await self.attack(orders)
        done = await self.place.done()
        for item, (digest, _) in done.items():
            said = self.book[item]
            if digest != args_digest(said.tool, said.args):
                self.verdicts.substituted += 1
                self.verdicts.notes.append(f"{item}: other arguments")
        approvals = Counter(approval for _, approval in done.values() if approval)
        self.verdicts.doubled += sum(count > 1 for count in approvals.values())
        # At the last, honest try the world stood as it stands now.
        for item in ordered - done.keys():
            if self.judged(item):
                self.verdicts.lost += 1
                self.verdicts.notes.append(f"{item}: approved, unchanged, not done")
        self.verdicts.done = len(done)
        self.verdicts.refused = len(ordered) - len(done)
        return self.verdicts


async def run_all(seeds: range) -> dict[str, Any]:
    """All schedules of these seeds in memory, and what came of them."""
    started, total, notes = time.monotonic(), Counter[str](), []
    for seed in seeds:
        memory = Memory()
        verdicts = await Schedule(seed, memory).run()
        total["doubled"] += verdicts.doubled + (len(memory.happened) != len({item for item, _ in memory.happened}))
        for name in ("substituted", "lost", "done", "refused"):
            total[name] += getattr(verdicts, name)
        notes += [f"seed {seed}: {note}" for note in verdicts.notes]
    bad = total["doubled"] + total["substituted"] + total["lost"]
    return {
        "schedules": len(seeds),
        "same_outcome": len(seeds) - len({note.split(":")[0] for note in notes}),
        "lost": total["lost"],
        "doubled": total["doubled"],
        "substituted": total["substituted"],
        "done": total["done"],
        "refused": total["refused"],
        "seconds": round(time.monotonic() - started, 2),
        "notes": notes[:20] if bad else [],
    }


def main() -> None:
    """Print what came of many schedules; exit code 1 when one of them went wrong."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--schedules", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    result = asyncio.run(run_all(range(given.seed, given.seed + given.schedules)))
    print(json.dumps(result))  # noqa: T201 - its output
    raise SystemExit(bool(result["doubled"] or result["lost"] or result["substituted"]))


if __name__ == "__main__":
    main()
