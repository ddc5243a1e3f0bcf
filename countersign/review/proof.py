"""Decisions that prove who made them: a compact JWS (RFC 7515) by Ed25519 (RFC 8037). Pure: checked in the workflow.

A proof is bound to one review, one act and the whole of what was decided (`statement_of`), so it serves for nothing
else; and a decision counts once by its id, so it cannot be used again. It names no person: the name stands in the
decision, and is part of the statement.

Who signs: a reviewer with a key of their own, or the gateway for a person who has signed in there. The key's id is made
from its public half, so that nobody can register another key under the same id.
"""

import base64
import binascii
import hashlib
import json
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from countersign.errors import DecisionRefused
from countersign.review.payloads import Answer, Decision, EffectDecision, VerifyingKey, View
from countersign.review.same import same_person

TYPE = "countersign-decision"
VALID_S = 600
"""How long after it was made a proof may be handed in."""
SKEW_S = 120
"""How far the clocks of signer and judge may differ."""

Provable = Decision | EffectDecision | Answer | View


def act_of(given: Provable, *, approve: bool = True) -> str:
    """What is done: "approve", "reject", …; "approve_effect" or "decline_effect"; "answer"; "view"."""
    if isinstance(given, Decision):
        return given.verdict.value
    if isinstance(given, Answer):
        return "answer"
    if isinstance(given, View):
        return "view"
    return "approve_effect" if approve else "decline_effect"


def statement_of(given: Provable) -> str:
    """SHA-256 (hex) of everything that was decided, by whom, on what and under which id.

    Fields at their defaults are left out, so that one added later does not change it.
    """
    stated = given.model_dump(mode="json", exclude={"proof", "content"}, exclude_defaults=True)
    return hashlib.sha256(json.dumps(stated, sort_keys=True, ensure_ascii=False).encode()).hexdigest()


class SigningKey:
    """A private key. Its text goes nowhere from here."""

    def __init__(self, seed: bytes) -> None:
        self._key = Ed25519PrivateKey.from_private_bytes(seed)
        self.public = self._key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
        self.key_id = key_id_of(self.public)

    def prove(self, given: Provable, place: tuple[str, str], at: datetime, *, approve: bool = True) -> str:
        """The proof of a decision on the review at `place` (tenant, review id)."""
        claims = {
            "ten": place[0],
            "rev": place[1],
            "act": act_of(given, approve=approve),
            "sta": statement_of(given),
            "iat": int(at.timestamp()),
            "exp": int(at.timestamp()) + VALID_S,
        }
        head = {"alg": "EdDSA", "kid": self.key_id, "typ": TYPE}
        signed = f"{_coded(json.dumps(head).encode())}.{_coded(json.dumps(claims).encode())}"
        return f"{signed}.{_coded(self._key.sign(signed.encode()))}"


def key_id_of(public: bytes) -> str:
    """The id of the key with this public half."""
    return "s" + hashlib.sha256(public).hexdigest()[:24]


def check_proof(  # noqa: PLR0913 - a proof is bound to all of this
    proof: str,
    given: Provable,
    *,
    person: str,
    place: tuple[str, str],
    keys: Sequence[VerifyingKey],
    at: datetime,
    approve: bool = True,
) -> str:
    """The id of the key that proves it. Raises `DecisionRefused` unless `proof` is of exactly this, by `person`, now.

    The rule is `unknown_key` where only the key is not known (yet): it may have been registered since.
    """
    parts = proof.split(".")
    if len(parts) != 3:
        raise _refused("is no compact JWS")
    head, claims, signature = _object(parts[0]), _object(parts[1]), _bytes(parts[2])
    if head.get("alg") != "EdDSA" or head.get("typ") != TYPE:
        raise _refused("is of another kind")
    key = next((key for key in keys if key.key_id == head.get("kid")), None)
    if key is None:
        raise DecisionRefused(
            "the decision is signed with a key that is not known here",
            rule="unknown_key",
            remedy="Register it with `countersign keys signing add`, or repeat the decision if it is registered",
        )
    try:
        Ed25519PublicKey.from_public_bytes(base64.b64decode(key.public_key)).verify(
            signature, f"{parts[0]}.{parts[1]}".encode()
        )
    except (InvalidSignature, ValueError):
        raise _refused("does not verify") from None
    if (claims.get("ten"), claims.get("rev")) != place:
        raise _refused("is for another review")
    if claims.get("act") != act_of(given, approve=approve) or claims.get("sta") != statement_of(given):
        raise _refused("is for another decision")
    _check_time(claims, at)
    if not usable(key, at):
        raise DecisionRefused(
            "the key that signed it has been retired", rule="key_retired", remedy="Sign with the one that replaced it"
        )
    if key.person is not None and not same_person(key.person, person):
        raise _refused("was made with somebody else's key")
    return key.key_id


def usable(key: VerifyingKey, at: datetime) -> bool:
    """Whether what the key signed at this time counts."""
    return key.until is None or at < key.until


def _check_time(claims: dict[str, Any], at: datetime) -> None:
    made, ends = claims.get("iat"), claims.get("exp")
    if type(made) is not int or type(ends) is not int or ends - made > VALID_S:
        raise _refused("says nothing of its time")
    skew = timedelta(seconds=SKEW_S)
    if not made - skew.total_seconds() <= at.timestamp() < ends + skew.total_seconds():
        raise _refused("has expired, or is not valid yet")


def _coded(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


def _bytes(text: str) -> bytes:
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        raise _refused("is not base64url") from None


def _object(text: str) -> dict[str, Any]:
    try:
        found = json.loads(_bytes(text))
    except (ValueError, RecursionError):
        raise _refused("is no JSON") from None
    if not isinstance(found, dict):
        raise _refused("is no JSON object")
    return found


def _refused(what: str) -> DecisionRefused:
    return DecisionRefused(f"the decision's proof {what}", rule="proof", remedy="Decide through the gateway, or --key")
