"""Every event, one frozen struct each: the vocabulary of the log.

A struct holds what stands in the column `attributes`; where it stands (run, seq, turn, time, actor, hash)
is the row's (`records.EventRow`). The class name is the column `type`. Times are integers: microseconds
since 1970 UTC; durations are microseconds too (`_us`).

Each class says its `role`:

    INPUT    something that happened to the run; it wakes workflow code. First in its turn.
    OUTPUT   a command that workflow code issued in that turn; replay must issue it again.
    NOTE     a fact for people and workers that workflow code never sees; it belongs to no turn.

A row whose turn is NULL is a note whatever its class, as a signal that came too late to be delivered.
"""

import enum
from typing import ClassVar

import msgspec

from perdure_history.failures import Failure, RetryState, TimeoutType
from perdure_history.payloads import Payload

REPLAY_FORMAT = 1
"""Version of the rules by which turns are computed; each run keeps the one it started with."""


class Role(enum.Enum):
    """What an event is to workflow code."""

    INPUT = "input"
    OUTPUT = "output"
    NOTE = "note"


class Dispatch(enum.StrEnum):
    """Where an activity runs: with its workflow, or through a task queue."""

    HERE = "here"
    QUEUE = "queue"


class RetryPolicyRecord(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """How an activity is retried, as decided when it was scheduled."""

    initial_interval_us: int = 1_000_000
    backoff_coefficient: float = 2.0
    maximum_interval_us: int | None = None
    """None: one hundred times the initial interval."""
    maximum_attempts: int = 0
    """0: no limit."""
    non_retryable_error_types: tuple[str, ...] = ()


class EventBase(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True, gc=False):
    """What all events share: nothing but their role.

    Values only, which form no cycles: the garbage collector need not look at them, and there are many.
    """

    role: ClassVar[Role]
    closes_run: ClassVar[bool] = False


# The run itself


class WorkflowExecutionStarted(EventBase, frozen=True, kw_only=True):
    """First event of a run; written by whoever starts it, before any worker knows of the run."""

    role: ClassVar[Role] = Role.INPUT

    workflow_type: str
    workflow_id: str
    namespace: str
    task_queue: str
    input: tuple[Payload, ...] = ()
    replay_format: int = REPLAY_FORMAT
    seed: str
    """Hex; all randomness of the run derives from it."""
    sdk_version: str = ""
    request_id: str = ""
    reason: str = ""
    attempt: int = 1
    first_run_id: str = ""
    """First run of this chain of continue-as-new and retries; empty when this is it."""
    continued_from_run_id: str = ""
    parent_run_id: str = ""
    parent_workflow_id: str = ""
    parent_seq: int = 0
    execution_timeout_us: int | None = None
    run_timeout_us: int | None = None
    task_timeout_us: int | None = None
    retry_policy: RetryPolicyRecord | None = None
    cron_schedule: str = ""
    memo: dict[str, Payload] = {}
    search_attributes: dict[str, Payload] = {}
    headers: dict[str, Payload] = {}
    static_summary: str = ""
    static_details: str = ""


class WorkflowExecutionSignaled(EventBase, frozen=True, kw_only=True):
    """A message from outside; the owner takes it from the inbox in the order of acceptance."""

    role: ClassVar[Role] = Role.INPUT

    signal_name: str
    input: tuple[Payload, ...] = ()
    request_id: str
    reason: str = ""
    headers: dict[str, Payload] = {}
    delivered: bool = True
    """False in a note: accepted, but the run closed before its code could see it."""


class WorkflowExecutionCancelRequested(EventBase, frozen=True, kw_only=True):
    """Someone asked the run to cancel itself; the main coroutine gets a CancelledError."""

    role: ClassVar[Role] = Role.INPUT

    request_id: str
    reason: str = ""
    delivered: bool = True
    """False in a note, as for signals."""


class WorkflowExecutionCompleted(EventBase, frozen=True, kw_only=True):
    """The workflow returned. Last event of the run."""

    role: ClassVar[Role] = Role.OUTPUT
    closes_run: ClassVar[bool] = True

    result: Payload


class WorkflowExecutionFailed(EventBase, frozen=True, kw_only=True):
    """The workflow raised. Last event of the run."""

    role: ClassVar[Role] = Role.OUTPUT
    closes_run: ClassVar[bool] = True

    failure: Failure
    retry_state: RetryState = RetryState.RETRY_POLICY_NOT_SET


class WorkflowExecutionCanceled(EventBase, frozen=True, kw_only=True):
    """The workflow let its cancellation through. Last event of the run."""

    role: ClassVar[Role] = Role.OUTPUT
    closes_run: ClassVar[bool] = True

    details: tuple[Payload, ...] = ()


class WorkflowExecutionTerminated(EventBase, frozen=True, kw_only=True):
    """Someone ended the run without asking its code. Last event of the run."""

    role: ClassVar[Role] = Role.NOTE
    closes_run: ClassVar[bool] = True

    reason: str = ""
    details: tuple[Payload, ...] = ()
    request_id: str = ""


class WorkflowTaskStarted(EventBase, frozen=True, kw_only=True):
    """The first turn issued no command: this row carries its time.

    A turn's time is the `recorded_at` of its last row. The first turn's first row was written by whoever
    started the run, perhaps long before a worker came, so a first turn without other rows adds this one.
    """

    role: ClassVar[Role] = Role.INPUT


class WorkflowTaskFailed(EventBase, frozen=True, kw_only=True):
    """A turn could not be computed: a bug in a class workflow. The turn is tried again.

    Written by the owner behind the turn's inputs, which are recorded so that no result is lost; the turn
    stays open, with no output, until a later try computes it (then perhaps with further inputs). Later
    failures of the same turn only count up in the run's summary.
    """

    role: ClassVar[Role] = Role.NOTE

    failure: Failure


# Activities


class ActivityTaskScheduled(EventBase, frozen=True, kw_only=True):
    """Workflow code asked for an activity. Followed by exactly one outcome with this event's seq."""

    role: ClassVar[Role] = Role.OUTPUT

    activity_type: str
    activity_id: str
    input: tuple[Payload, ...] = ()
    dispatch: Dispatch = Dispatch.HERE
    task_queue: str = ""
    """Empty: the run's own."""
    schedule_to_close_timeout_us: int | None = None
    schedule_to_start_timeout_us: int | None = None
    start_to_close_timeout_us: int | None = None
    heartbeat_timeout_us: int | None = None
    retry_policy: RetryPolicyRecord = RetryPolicyRecord()
    headers: dict[str, Payload] = {}
    summary: str = ""


class ActivityTaskCompleted(EventBase, frozen=True, kw_only=True):
    """Outcome: the activity returned. Written by the run's owner."""

    role: ClassVar[Role] = Role.INPUT

    scheduled_seq: int
    result: Payload
    attempt: int = 1
    started_at: int = 0


class ActivityTaskFailed(EventBase, frozen=True, kw_only=True):
    """Outcome: the activity raised, and no attempt is left. `failure` is the last attempt's own."""

    role: ClassVar[Role] = Role.INPUT

    scheduled_seq: int
    failure: Failure
    retry_state: RetryState
    attempt: int = 1
    started_at: int = 0


class ActivityTaskTimedOut(EventBase, frozen=True, kw_only=True):
    """Outcome: a clock of the activity ran out, and no attempt is left.

    `failure` has kind TIMEOUT; its cause is the last attempt's failure, if there was one.
    """

    role: ClassVar[Role] = Role.INPUT

    scheduled_seq: int
    timeout_type: TimeoutType
    failure: Failure
    retry_state: RetryState
    attempt: int = 1
    started_at: int = 0


class ActivityTaskCanceled(EventBase, frozen=True, kw_only=True):
    """Outcome: the activity let its cancellation through, or was canceled before it started."""

    role: ClassVar[Role] = Role.INPUT

    scheduled_seq: int
    details: tuple[Payload, ...] = ()
    attempt: int = 1
    started_at: int = 0


class ActivityTaskCancelRequested(EventBase, frozen=True, kw_only=True):
    """Workflow code asked the activity to cancel itself."""

    role: ClassVar[Role] = Role.OUTPUT

    scheduled_seq: int


class ActivityTaskAttemptFailed(EventBase, frozen=True, kw_only=True):
    """One attempt failed, timed out or was lost with its worker, and another will be made."""

    role: ClassVar[Role] = Role.NOTE

    scheduled_seq: int
    attempt: int
    failure: Failure
    next_attempt_at: int
    """Earliest start of the next attempt, by store time."""
    started_at: int = 0
    """0 when unknown: the worker was lost with it."""
    lost_worker: str = ""
    """Incarnation of the worker that died while the attempt may have been running; else empty."""


# Timers


class TimerStarted(EventBase, frozen=True, kw_only=True):
    """Workflow code asked to be woken. Followed by TimerFired or TimerCanceled, or by the run's end."""

    role: ClassVar[Role] = Role.OUTPUT

    delay_us: int
    fire_at: int
    """Store time at which it is due: the turn's time plus the delay."""
    summary: str = ""


class TimerFired(EventBase, frozen=True, kw_only=True):
    """A timer was due. Written by the run's owner, never before `fire_at` by store time."""

    role: ClassVar[Role] = Role.INPUT

    timer_seq: int


class TimerCanceled(EventBase, frozen=True, kw_only=True):
    """Workflow code no longer waits for a timer."""

    role: ClassVar[Role] = Role.OUTPUT

    timer_seq: int


Event = (
    WorkflowExecutionStarted
    | WorkflowExecutionSignaled
    | WorkflowExecutionCancelRequested
    | WorkflowExecutionCompleted
    | WorkflowExecutionFailed
    | WorkflowExecutionCanceled
    | WorkflowExecutionTerminated
    | WorkflowTaskStarted
    | WorkflowTaskFailed
    | ActivityTaskScheduled
    | ActivityTaskCompleted
    | ActivityTaskFailed
    | ActivityTaskTimedOut
    | ActivityTaskCanceled
    | ActivityTaskCancelRequested
    | ActivityTaskAttemptFailed
    | TimerStarted
    | TimerFired
    | TimerCanceled
)

EVENT_TYPES: dict[str, type[EventBase]] = {cls.__name__: cls for cls in Event.__args__}
"""Every event class by the name that stands in the column `type`."""

CLOSING_TYPES = frozenset(name for name, cls in EVENT_TYPES.items() if cls.closes_run)
"""Types that end a run: nothing may follow them."""
