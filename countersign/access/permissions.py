"""Who may do what: one table of roles and actions, all within the person's own tenant.

What the table cannot say stands elsewhere: that nobody signs their own request, that two signatures are two people's,
and that a playbook names its reviewers are the desk's rules, and hold whatever the role.
"""

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType

from countersign.access.principal import Principal
from countersign.errors import Forbidden
from countersign.words import Role


class Action(StrEnum):
    """One thing a way in offers."""

    SUBMIT = "submit"
    LIST_REVIEWS = "list_reviews"
    """Rows: ids, stages, outcomes and counts, without a word of a document."""
    READ_REVIEW = "read_review"
    """Where a review stands, with its findings and their quotations."""
    READ_DOCUMENT = "read_document"
    READ_TRAIL = "read_trail"
    FOLLOW = "follow"
    """`READ_REVIEW`, again whenever something changes."""
    READ_QUEUE = "read_queue"
    """Rows of what waits for a reviewer."""
    CLAIM = "claim"
    DECIDE = "decide"
    ANSWER = "answer"
    """Answer a reviewer's question about one's own request."""
    MANAGE_KEYS = "manage_keys"
    MANAGE_LIMITS = "manage_limits"
    READ_METRICS = "read_metrics"
    READ_COSTS = "read_costs"
    """Tokens and money by agent and model."""
    READ_LIMITS = "read_limits"
    READ_CIRCUITS = "read_circuits"
    """Which models and tools may be called now."""
    READ_AUTONOMY = "read_autonomy"
    """What each cell may do without a person, and who granted it (as a pseudonym)."""
    MANAGE_AUTONOMY = "manage_autonomy"
    """Sign for a level that a cell's evidence proposes, and take levels back."""
    READ_SHADOW = "read_shadow"
    """Shadow runs with their reports: words of documents and of reviewers, and the labels that came with cases."""
    READ_MEMORY = "read_memory"
    """Corrections and knowledge: words of documents and of reviewers."""
    MANAGE_MEMORY = "manage_memory"
    """Withdraw, restore and confirm corrections."""
    READ_BATCHES = "read_batches"
    """How far batches are, in numbers. Names of files, reasons and reports take `READ_REVIEW` as well."""
    MANAGE_BATCHES = "manage_batches"
    """Pause, resume and cancel them."""
    READ_PEOPLE = "read_people"
    """Groups, leads and absences, with names."""
    MANAGE_PEOPLE = "manage_people"
    """Say who is in which group, and who is away."""
    OWN_ABSENCE = "own_absence"
    """Say that one is away oneself, and who signs meanwhile."""
    READ_VIGILANCE = "read_vigilance"
    """Everybody's catch rate (as pseudonyms); one's own takes `DECIDE`."""
    READ_SUBSCRIPTIONS = "read_subscriptions"
    """Who is notified of what, with addresses masked, and how that goes."""
    MANAGE_SUBSCRIPTIONS = "manage_subscriptions"


MAY: Mapping[Role, frozenset[Action]] = MappingProxyType(
    {
        # Asks for reviews. Sees and answers for their own requests only (`sees_only_own`). Not the trail: it tells
        # which signals of the sentinel fired, which is what someone who tries it out wants to know.
        Role.REQUESTER: frozenset(
            {
                Action.SUBMIT,
                Action.LIST_REVIEWS,
                Action.READ_REVIEW,
                Action.READ_DOCUMENT,
                Action.FOLLOW,
                Action.ANSWER,
            }
        ),
        # Signs. Reads all that a signature stands on, how it came about included.
        Role.REVIEWER: frozenset(
            {
                Action.LIST_REVIEWS,
                Action.READ_REVIEW,
                Action.READ_DOCUMENT,
                Action.READ_TRAIL,
                Action.FOLLOW,
                Action.READ_QUEUE,
                Action.CLAIM,
                Action.DECIDE,
                Action.READ_AUTONOMY,
                Action.READ_CIRCUITS,
                Action.READ_SHADOW,
                Action.READ_MEMORY,
                Action.MANAGE_MEMORY,
                Action.READ_BATCHES,
                Action.READ_PEOPLE,
                Action.OWN_ABSENCE,
            }
        ),
        # Reads everything, changes nothing.
        Role.AUDITOR: frozenset(
            {
                Action.LIST_REVIEWS,
                Action.READ_REVIEW,
                Action.READ_DOCUMENT,
                Action.READ_TRAIL,
                Action.FOLLOW,
                Action.READ_QUEUE,
                Action.READ_METRICS,
                Action.READ_COSTS,
                Action.READ_LIMITS,
                Action.READ_AUTONOMY,
                Action.READ_CIRCUITS,
                Action.READ_SHADOW,
                Action.READ_MEMORY,
                Action.READ_BATCHES,
                Action.READ_PEOPLE,
                Action.READ_VIGILANCE,
                Action.READ_SUBSCRIPTIONS,
            }
        ),
        # Keeps it running: sees how much there is and how long it waits, not what it says.
        Role.OPERATOR: frozenset(
            {
                Action.LIST_REVIEWS,
                Action.READ_QUEUE,
                Action.MANAGE_LIMITS,
                Action.READ_METRICS,
                Action.READ_COSTS,
                Action.READ_LIMITS,
                Action.READ_AUTONOMY,
                Action.READ_CIRCUITS,
                Action.READ_BATCHES,
                Action.MANAGE_BATCHES,
                Action.READ_SUBSCRIPTIONS,
                Action.MANAGE_SUBSCRIPTIONS,
            }
        ),
        # Everything within the tenant.
        Role.ADMIN: frozenset(Action),
    }
)
"""What each role may do. A person with several roles may do what any of them may."""


def roles_for(action: Action) -> tuple[Role, ...]:
    """The roles that may do this, in the order of `Role`."""
    return tuple(role for role in Role if action in MAY[role])


def allowed(principal: Principal, action: Action) -> bool:
    """Whether any of the person's roles may do this."""
    return any(action in MAY[role] for role in principal.roles)


def require(principal: Principal, action: Action) -> None:
    """Raises `Forbidden`, which names the roles that may, unless the person may do this."""
    if not allowed(principal, action):
        roles = " or ".join(roles_for(action))
        raise Forbidden(f"{action}: takes the role {roles}", remedy="Ask whoever gave you the key for that role")


def sees_only_own(principal: Principal, action: Action = Action.READ_REVIEW) -> bool:
    """Whether the person may do this to nothing but the reviews they submitted: only as a requester may they do it.

    It depends on the action. A requester who is an operator too lists all reviews of the tenant and reads their own;
    one who is a reviewer too reads all, and still answers questions about their own requests alone. True also for who
    may not do it at all.
    """
    return not any(action in MAY[role] for role in principal.roles if role is not Role.REQUESTER)
