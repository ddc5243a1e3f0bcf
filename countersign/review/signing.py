"""Who may sign a review: the playbook's rules, and what the tenant's data make of them at one moment. Pure.

Two people are two people: a delegate signs in the name of somebody who is away, and from then on stands for both.
"""

from dataclasses import dataclass
from datetime import datetime
from shlex import quote

from countersign.errors import DecisionRefused
from countersign.review.payloads import Answer, Decision, DecisionRecord, SigningPolicy, SigningTerms, View
from countersign.review.proof import Provable, act_of, check_proof, usable
from countersign.review.same import is_among, same_person
from countersign.words import Severity


def people_needed(policy: SigningPolicy, worst: Severity) -> int:
    """How many people the quorum asks for when `worst` is the gravest finding; 0 when it says nothing of it."""
    return max((people for severity, people in policy.quorum.items() if worst.rank >= severity.rank), default=0)


@dataclass(frozen=True)
class Authority:
    """Judges people, not decisions. Replaced as a whole when the terms change.

    Attributes:
        place: (tenant, review id), to which proofs are bound.
        fixed: the playbook's rules as admission fixed them.
        terms: the tenant's data, once they were asked for.
    """

    requester: str
    fixed: SigningPolicy
    terms: SigningTerms | None = None
    place: tuple[str, str] = ("", "")

    @property
    def policy(self) -> SigningPolicy:
        """The playbook's rules in force."""
        return self.terms.policy if self.terms is not None and self.terms.policy is not None else self.fixed

    @property
    def is_governed(self) -> bool:
        """Whether decisions are judged again when they take effect."""
        return self.fixed.governed or self.terms is not None

    @property
    def signed_only(self) -> bool:
        """Whether a decision counts only with a proof."""
        return self.policy.require_signed or (self.terms is not None and self.terms.require_signed)

    def people_needed(self, worst: Severity) -> int:
        """What the quorum asks for, by the rules fixed and those in force: a relaxed rule lowers nothing."""
        return max(people_needed(self.fixed, worst), people_needed(self.policy, worst))

    def is_lead(self, person: str) -> bool:
        """Whether the person may take claims back and assign them."""
        return is_among(person, self._members(self.policy.leads))

    def names(self, *, escalated: bool) -> tuple[str, ...] | None:
        """Everybody who may sign by their own right; None: whoever did not ask for the review."""
        policy = self.policy
        if not policy.reviewers and not policy.groups:
            return None
        named = (*policy.reviewers, *self._members(policy.groups))
        return (*named, *self._members(policy.leads)) if escalated else named

    def check_person(
        self, person: str, on_behalf_of: str | None, at: datetime, *, escalated: bool, claims: bool = False
    ) -> None:
        """Raise `DecisionRefused` unless the person may sign, by their own right or as the delegate of another.

        Whoever `claims` a review need not say for whom yet.
        """
        self.check_requester(person)
        if on_behalf_of is not None:
            self.check_requester(on_behalf_of)
        if self.terms is None and (self.fixed.groups or on_behalf_of is not None):
            raise DecisionRefused(
                "who may sign is not known at this moment", rule="policy_unknown", remedy="Repeat it in a moment"
            )
        if on_behalf_of is None:
            if self.has_right(person, escalated=escalated):
                return
            represented = self.signs_for(person, at, escalated=escalated)
            if claims and represented:
                return
            raise DecisionRefused(
                "this reviewer may not sign under the playbook",
                rule="not_allowed",
                # Whom somebody is the delegate of is said to nobody but that delegate.
                remedy=f"You may sign for {' or '.join(represented)}: add --for {quote(represented[0])}"
                if represented
                else "See [signing] reviewers and groups in the playbook, and `countersign groups show`",
            )
        if not is_among(on_behalf_of, self._absent_for(person, at)):
            raise DecisionRefused(
                "the person signed for is not absent, or has another delegate",
                rule="no_delegate",
                remedy="See `countersign absence list`",
            )
        if not self.has_right(on_behalf_of, escalated=escalated):
            raise DecisionRefused(
                "the person signed for may not sign under the playbook",
                rule="not_allowed",
                remedy="See [signing] reviewers and groups in the playbook, and `countersign groups show`",
            )

    def check_requester(self, person: str) -> None:
        """Raise `DecisionRefused` for the person who asked for the review."""
        if same_person(person, self.requester):
            raise DecisionRefused(
                "the requester may not decide on their own review", rule="requester", remedy="Ask another person"
            )

    def check_proof(self, given: Provable, person: str, at: datetime, *, approve: bool = True) -> str:
        """The id of the key that proves who decided, "" where nobody asks. Raises `DecisionRefused`."""
        if given.proof is None or self.terms is None:
            if self.signed_only:
                raise DecisionRefused(
                    f"{act_of(given, approve=approve)} counts only with a signature that proves who made it",
                    rule="unsigned",
                    remedy="Do it through the gateway, or with a key of your own (`countersign keys signing --help`)",
                )
            return ""
        if self.signed_only and (given.digest is None or _id_of(given) is None):
            raise DecisionRefused(
                "a signed decision names the digest of what was seen, and an id of its own",
                rule="unbound",
                remedy="Give digest and decision_id",
            )
        return check_proof(
            given.proof, given, person=person, place=self.place, keys=self.terms.keys, at=at, approve=approve
        )

    def objection(self, record: DecisionRecord, *, escalated: bool) -> str:
        """The rule that a decision taken earlier breaks under the terms of now; "" when it still counts.

        A delegation is judged as of then: that it has ended since, as it was meant to, is no objection.
        """
        try:
            self.check_person(record.reviewer, record.on_behalf_of, record.at, escalated=escalated)
        except DecisionRefused as error:
            return error.rule
        if not record.signed_with:
            return "unsigned" if self.signed_only else ""
        keys = self.terms.keys if self.terms is not None else ()
        known = any(key.key_id == record.signed_with and usable(key, record.at) for key in keys)
        return "" if known else "key_revoked"

    def has_right(self, person: str, *, escalated: bool) -> bool:
        """Whether the person may sign by their own right, the requester not excepted."""
        names = self.names(escalated=escalated)
        return names is None or is_among(person, names)

    def signs_for(self, person: str, at: datetime, *, escalated: bool) -> tuple[str, ...]:
        """The absent people with a right to sign, whose delegate this person is at that time."""
        return tuple(name for name in self._absent_for(person, at) if self.has_right(name, escalated=escalated))

    def _members(self, groups: tuple[str, ...]) -> tuple[str, ...]:
        if self.terms is None:
            return ()
        return tuple(name for group in groups for name in self.terms.members.get(group, ()))

    def _absent_for(self, delegate: str, at: datetime) -> tuple[str, ...]:
        """Those whose delegate this person is at that time, the requester left out."""
        absences = self.terms.absences if self.terms is not None else ()
        return tuple(
            absence.person
            for absence in absences
            if absence.delegate is not None
            and at < absence.until
            and same_person(absence.delegate, delegate)
            and not same_person(absence.person, self.requester)
        )


def stand_for(decision: Decision | DecisionRecord) -> tuple[str, ...]:
    """The people a decision stands for: who made it, and for whom."""
    return (decision.reviewer,) if decision.on_behalf_of is None else (decision.reviewer, decision.on_behalf_of)


def _id_of(given: Provable) -> str | None:
    if isinstance(given, View):
        return given.view_id
    return given.answer_id if isinstance(given, Answer) else given.decision_id
