"""Which items a person looks at although the machine may release them: a random sample that never reaches zero.

The draw is a keyed hash of the review's id, so that it is the same in every retry, can be checked by an auditor who
holds the key, and cannot be foreseen or steered by whoever chooses the id. Its propensity is recorded with the item.
"""

import hashlib
import hmac
from typing import Self

from pydantic import Field, model_validator

from countersign.evidence.observation import Frozen
from countersign.words import Autonomy


class AuditPolicy(Frozen):
    """How much is looked at: shares of all items, none below `floor`.

    `semi_autonomous` and `autonomous` are the shares while nothing is suspected. `urgency` times the watch's suspicion
    (its value as a share of what sets it off) is the share once something is: doubt is settled quickly by looking.
    A watch is never quite at rest, so in the long run more is looked at than the calm share: 22 to 35 % in simulation.
    """

    floor: float = Field(default=0.05, gt=0, le=1)
    semi_autonomous: float = Field(default=0.2, gt=0, le=1)
    autonomous: float = Field(default=0.1, gt=0, le=1)
    urgency: float = Field(default=10.0, ge=0)

    @model_validator(mode="after")
    def _floor_holds(self) -> Self:
        for name in ("semi_autonomous", "autonomous"):
            if getattr(self, name) < self.floor:
                raise ValueError(f"{name}: is below the floor of {self.floor}")
        return self


class AuditDraw(Frozen):
    """Whether one item is looked at, and what that rests on. `drawn` is the hash as a number in [0, 1)."""

    audited: bool
    propensity: float = Field(gt=0, le=1)
    least: float = Field(gt=0, le=1)
    drawn: float = Field(ge=0, lt=1)


def share_looked_at(level: Autonomy, suspicion: float = 0.0, policy: AuditPolicy | None = None) -> float:
    """The propensity of an item that nothing else sends to a person, in [floor, 1].

    It depends on what was known before the item alone, so sampling by it spoils no guarantee. 1 under supervision.

    Raises:
        ValueError: `suspicion` is negative or not a number.
    """
    policy = policy or AuditPolicy()
    if not suspicion >= 0:
        raise ValueError(f"suspicion: must be 0 or more, not {suspicion}")
    if level is Autonomy.SUPERVISED:
        return 1.0
    calm = policy.semi_autonomous if level is Autonomy.SEMI_AUTONOMOUS else policy.autonomous
    return min(1.0, max(calm, policy.floor, policy.urgency * suspicion))


def draw(tenant: str, review_id: str, secret: bytes, *, share: float, certain: bool = False) -> AuditDraw:
    """Decide one item. `share` is what `share_looked_at` gave; `certain` marks what a person sees in any case.

    A larger share only ever adds items to those audited.

    Raises:
        ValueError: the secret has fewer than 16 bytes, or the share is not in (0, 1].
    """
    if len(secret) < 16:
        raise ValueError(f"secret: has {len(secret)} bytes; an audit sample that cannot be foreseen needs at least 16")
    if not 0 < share <= 1:
        raise ValueError(f"share: must be above 0 and at most 1, not {share}")
    message = b"countersign/audit\0" + tenant.encode() + b"\0" + review_id.encode()
    # 53 bits are what a float holds exactly, so every value is equally likely and none is rounded up to 1.
    drawn = int.from_bytes(hmac.new(secret, message, hashlib.sha256).digest()[:8], "big") >> 11
    number = drawn / (1 << 53)
    propensity = 1.0 if certain else share
    return AuditDraw(audited=number < propensity, propensity=propensity, least=share, drawn=number)
