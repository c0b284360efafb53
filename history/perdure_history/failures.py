"""Failure: an exception as it stands in the log."""

import enum

import msgspec

from perdure_history.payloads import Payload


class FailureKind(enum.StrEnum):
    """Which exception class a failure becomes again."""

    APPLICATION = "application"
    CANCELED = "canceled"
    TERMINATED = "terminated"
    TIMEOUT = "timeout"
    ACTIVITY = "activity"
    CHILD_WORKFLOW = "child_workflow"
    SERVER = "server"


class TimeoutType(enum.StrEnum):
    """Which of an activity's clocks ran out."""

    START_TO_CLOSE = "start_to_close"
    SCHEDULE_TO_START = "schedule_to_start"
    SCHEDULE_TO_CLOSE = "schedule_to_close"
    HEARTBEAT = "heartbeat"


class RetryState(enum.StrEnum):
    """Why no further attempt is made."""

    IN_PROGRESS = "in_progress"
    NON_RETRYABLE_FAILURE = "non_retryable_failure"
    TIMEOUT = "timeout"
    MAXIMUM_ATTEMPTS_REACHED = "maximum_attempts_reached"
    RETRY_POLICY_NOT_SET = "retry_policy_not_set"
    INTERNAL_SERVER_ERROR = "internal_server_error"
    CANCEL_REQUESTED = "cancel_requested"


class Failure(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """The durable form of an exception; `kind` says which of the later fields mean something."""

    message: str
    kind: FailureKind = FailureKind.APPLICATION
    stack_trace: str = ""
    cause: "Failure | None" = None

    type: str = ""
    """APPLICATION: the error's type name, which retry policies compare."""
    non_retryable: bool = False
    """APPLICATION: never try again, whatever the policy says."""
    details: tuple[Payload, ...] = ()
    """APPLICATION, CANCELED: values for the handler. TIMEOUT: the last heartbeat's details."""
    next_retry_delay_us: int | None = None
    """APPLICATION: overrides the policy's delay before the next attempt."""
    category: str = ""
    """APPLICATION: 'benign' or empty."""

    timeout_type: TimeoutType | None = None
    """TIMEOUT: the clock that ran out."""

    activity_type: str = ""
    """ACTIVITY: name of the activity."""
    activity_id: str = ""
    """ACTIVITY: id of the activity within its run."""
    scheduled_seq: int = 0
    """ACTIVITY: seq of its ActivityTaskScheduled."""
    started_seq: int = 0
    """ACTIVITY: seq of the event that recorded the last attempt's start or end."""
    identity: str = ""
    """ACTIVITY: who ran the last attempt."""
    retry_state: RetryState | None = None
    """ACTIVITY, CHILD_WORKFLOW: why no further attempt was made."""

    namespace: str = ""
    workflow_id: str = ""
    run_id: str = ""
    workflow_type: str = ""
    """CHILD_WORKFLOW: which run failed."""
