"""Every timeout, retry policy, heartbeat and priority, one named profile a step. Nothing of the kind stands elsewhere.

Attempts are bounded and `schedule_to_close` is always set. Errors that a retry cannot mend are non-retryable by type.
"""

from datetime import timedelta

from temporalio import workflow
from temporalio.common import Priority, RetryPolicy, WorkflowIDReusePolicy
from temporalio.workflow import ActivityConfig, ChildWorkflowConfig, LocalActivityConfig

REVIEWS_QUEUE = "reviews"
"""Workflows and light activities."""
AGENTS_QUEUE = "agents"
"""Model calls."""
BATCH_QUEUE = "batch"
"""Bulk work: the workflows of batches and reruns, and the steps that begin and watch their items."""

INTERACTIVE_KEY, BATCH_KEY = 3, 4
"""Temporal's priority keys: work of the lower one is handed out first."""

PERMANENT = (
    "InvalidRequest",
    "DocumentError",
    "PlaybookError",
    "NotFound",
    "ModelConfigurationError",
    "ModelRejected",
    "TrailConflict",
    "RateLimited",
    "Overloaded",
)
"""Types of errors that a retry cannot mend."""

_STORE_RETRY = RetryPolicy(
    initial_interval=timedelta(milliseconds=200),
    backoff_coefficient=2,
    maximum_interval=timedelta(seconds=15),
    maximum_attempts=6000,  # a day at 15 s: a database may be away for a night
    non_retryable_error_types=PERMANENT,
)

STORE = LocalActivityConfig(
    # A statement or two on Postgres; a longer one hangs.
    start_to_close_timeout=timedelta(seconds=10),
    # As long as an outage of the database may take.
    schedule_to_close_timeout=timedelta(hours=24),
    retry_policy=_STORE_RETRY,
    # Longer waits become durable timers, so that an outage does not hold a workflow task open.
    local_retry_threshold=timedelta(seconds=2),
)
"""Learning, settlement: short, idempotent, and a review cannot go on without them."""

ADMIT = LocalActivityConfig(
    # The door, and a statement that stores an inline text.
    start_to_close_timeout=timedelta(seconds=20),
    # A review started by hand waits a day for its turn at most and then ends as `overloaded`, which the activity itself
    # says (`activities.admit.LONGEST_WAIT_S`); the rest is for a database or worker that is away meanwhile.
    schedule_to_close_timeout=timedelta(hours=48),
    retry_policy=RetryPolicy(
        initial_interval=timedelta(milliseconds=200),
        backoff_coefficient=2,
        maximum_interval=timedelta(seconds=15),
        # Two days of asking as often as it ever does: waiting for one's turn is no failure that uses up attempts.
        maximum_attempts=86_400,
        non_retryable_error_types=PERMANENT,
    ),
    # The wait for one's turn (two seconds and more) is a durable timer, so that it holds no workflow task open.
    local_retry_threshold=timedelta(seconds=1),
)
"""Admission: at once for a review that the dispatcher started; one that was started by hand may wait in it."""

AUDIT = ActivityConfig(
    task_queue=REVIEWS_QUEUE,
    start_to_close_timeout=timedelta(seconds=10),
    schedule_to_close_timeout=timedelta(hours=24),
    retry_policy=_STORE_RETRY,
)
"""The trail and the projection. Not a local activity: see `workflows.record.Record.write`."""

ACT = ActivityConfig(
    task_queue=REVIEWS_QUEUE,
    # A few statements an effect, at most twenty effects.
    start_to_close_timeout=timedelta(seconds=60),
    # As long as an outage of the database may take. It is idempotent: an effect has its key, an approval one use.
    schedule_to_close_timeout=timedelta(hours=24),
    retry_policy=_STORE_RETRY,
)
"""Doing what people approved. Regular: its orders are in history before it runs, so a retry has the same."""

RECALL = LocalActivityConfig(
    start_to_close_timeout=timedelta(seconds=10),
    # Memory is worth having, not worth waiting for: after this the review goes on without, one level of autonomy lower.
    schedule_to_close_timeout=timedelta(seconds=20),
    retry_policy=RetryPolicy(
        initial_interval=timedelta(milliseconds=200), maximum_attempts=2, non_retryable_error_types=PERMANENT
    ),
)

READ = ActivityConfig(
    task_queue=REVIEWS_QUEUE,
    # A 20 MB PDF reads in seconds. A document made to hang is ended after two minutes by `Sandbox`, and others may wait
    # for its place.
    start_to_close_timeout=timedelta(minutes=10),
    schedule_to_close_timeout=timedelta(hours=24),
    # It beats from beside the reading process: what it proves is that the worker lives.
    heartbeat_timeout=timedelta(seconds=30),
    retry_policy=RetryPolicy(
        initial_interval=timedelta(seconds=1),
        maximum_interval=timedelta(seconds=30),
        maximum_attempts=2900,  # a day at 30 s
        non_retryable_error_types=PERMANENT,
    ),
)

SCREEN = ActivityConfig(
    task_queue=REVIEWS_QUEUE,
    start_to_close_timeout=timedelta(minutes=1),
    # Then the review goes to a person without a verdict of the sentinel, never through.
    schedule_to_close_timeout=timedelta(minutes=30),
    retry_policy=RetryPolicy(
        initial_interval=timedelta(seconds=1),
        maximum_interval=timedelta(seconds=30),
        maximum_attempts=60,
        non_retryable_error_types=PERMANENT,
    ),
)

_AGENT_RETRY = RetryPolicy(
    initial_interval=timedelta(seconds=1),
    backoff_coefficient=2,
    maximum_interval=timedelta(minutes=1),
    # As many as fit the step's time at one a second: waiting for an open circuit is an attempt like any other, and must
    # not be the last one. What bounds a step is its time; what bounds its cost is `activities.agents.FAILURES`, counted
    # where the money is: in requests that were lost or answered with what is of no use.
    maximum_attempts=7200,
    non_retryable_error_types=PERMANENT,
)
_TOKENS = timedelta(seconds=60)
"""How long an agent's step may be silent. It beats on every streamed token and finished tool call and on nothing else,
so this bounds the wait for the first token, which is the longest: a long document is read before it. A step whose
worker was killed, and one whose provider hangs, goes on elsewhere after this. Above `agents.guarded.SILENCE_S`, in
which a chain gives a silent model up for the next one. A model that thinks for longer before its first token must
stream its thinking. Cancellation reaches a step with its next beat: in 5 s (`workers.run`) while anything comes."""

AGENT = ActivityConfig(
    task_queue=AGENTS_QUEUE,
    # One agent run: a few model requests. What it has got by then is kept, and the next attempt goes on after it.
    start_to_close_timeout=timedelta(minutes=10),
    # An outage of the only provider may last as long. Then the review goes on without this agent, and to a person.
    schedule_to_close_timeout=timedelta(hours=2),
    heartbeat_timeout=_TOKENS,
    retry_policy=_AGENT_RETRY,
)

HURRIED = ActivityConfig(
    task_queue=AGENTS_QUEUE,
    start_to_close_timeout=timedelta(minutes=10),
    # A review waits for models once, not once a step: when one step has waited in vain, those after it get this long.
    schedule_to_close_timeout=timedelta(minutes=10),
    heartbeat_timeout=_TOKENS,
    retry_policy=_AGENT_RETRY,
)
"""Agents of a review that has waited as long as a step may."""

BY_RULE = ActivityConfig(
    task_queue=AGENTS_QUEUE,
    # Pattern search over a long document.
    start_to_close_timeout=timedelta(minutes=2),
    # No model is asked, so nothing but our own servers can be away: as long as with the other steps that must be done.
    schedule_to_close_timeout=timedelta(hours=24),
    retry_policy=_STORE_RETRY,
)
"""Plan and conclusion without a model: what a review goes on with when there is none."""

JUDGE = ActivityConfig(
    task_queue=AGENTS_QUEUE,
    # One answer of a cheap model, corrected once or twice.
    start_to_close_timeout=timedelta(minutes=5),
    # Longer than outages mostly last. Then the verdict of patterns and scorer stands, and the review goes to a person,
    # as without a screening.
    schedule_to_close_timeout=timedelta(hours=1),
    heartbeat_timeout=_TOKENS,
    retry_policy=_AGENT_RETRY,
)
"""The sentinel agent: every other agent waits for it."""


BATCH_STORE = ActivityConfig(
    task_queue=BATCH_QUEUE,
    # A few statements on Postgres; one lost with its worker is repeated after this.
    start_to_close_timeout=timedelta(seconds=15),
    schedule_to_close_timeout=timedelta(hours=24),
    retry_policy=_STORE_RETRY,
)
"""What a batch reads and writes of itself."""

BEGIN = ActivityConfig(
    task_queue=BATCH_QUEUE,
    # A window of at most 200 items, each a few statements.
    start_to_close_timeout=timedelta(minutes=5),
    schedule_to_close_timeout=timedelta(hours=24),
    # It beats after each item.
    heartbeat_timeout=timedelta(seconds=20),
    retry_policy=_STORE_RETRY,
)
"""Items past the door. That the door wants patience is an answer, not a failure."""

WATCH_S = (2.0, 30.0, 240.0)
"""Seconds of one look at the items under way: while more could begin, while none can, and at most (nothing ends)."""


def rerun(workflow_id: str) -> ChildWorkflowConfig:
    """One stored review analysed again. It outlives the run of the batch that started it."""
    return ChildWorkflowConfig(
        id=workflow_id,
        task_queue=BATCH_QUEUE,
        id_reuse_policy=WorkflowIDReusePolicy.REJECT_DUPLICATE,
        parent_close_policy=workflow.ParentClosePolicy.ABANDON,
        # Its steps are bounded themselves; this ends what they forgot.
        execution_timeout=timedelta(hours=24),
    )


def watch(patience_s: float) -> ActivityConfig:
    """One look that lasts `patience_s` seconds at most."""
    return ActivityConfig(
        task_queue=BATCH_QUEUE,
        start_to_close_timeout=timedelta(seconds=patience_s + 60),
        schedule_to_close_timeout=timedelta(hours=24),
        # It beats with every look at the table, told every five seconds: a killed worker holds nothing for long.
        heartbeat_timeout=timedelta(seconds=12),
        retry_policy=_STORE_RETRY,
    )


def priority(tenant_hash: str, weight: float = 1.0, key: int = INTERACTIVE_KEY) -> Priority:
    """Interactive work at the middle priority, batches below; tenants in fair turns by weight.

    The fairness key is the tenant's pseudonym and fits 64 bytes; the server clamps weights to [0.001, 1000].
    """
    return Priority(priority_key=key, fairness_key=tenant_hash[:64], fairness_weight=weight)


def _own_key() -> int:
    """The priority key of the workflow that asks; none comes before interactive work, whoever started it how."""
    own = workflow.info().priority.priority_key if workflow.in_workflow() else None
    return max(INTERACTIVE_KEY, own or INTERACTIVE_KEY)


def told(profile: ActivityConfig, summary: str, tenant_hash: str, weight: float) -> ActivityConfig:
    """The profile with a line for the Temporal UI (no name, no word of the document) and the tenant's priority."""
    return {**profile, "summary": summary, "priority": priority(tenant_hash, weight, _own_key())}
