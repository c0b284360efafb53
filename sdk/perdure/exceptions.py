"""What perdure raises, one tree; the names are those of Temporal's Python SDK wherever it has one.

PerdureError  (also called TemporalError)
├── FailureError                     recorded with a run: `raise` one and it fails the run
│   ├── ApplicationError             user code failed; the form that every other exception takes
│   ├── CancelledError               a cancellation was let through
│   ├── TerminatedError              ended from outside, without asking
│   ├── TimeoutError                 one of the clocks of TimeoutType ran out
│   ├── ServerError                  perdure itself failed
│   ├── ActivityError                an activity failed for good; `.cause` says why
│   ├── ChildWorkflowError           a child failed; `.cause` says why
│   └── WorkflowAlreadyStartedError  the workflow id has a run that the policy does not pass over
├── DefinitionError                  a decorator refuses what it decorates
├── NotDefinedError                  something that is not decorated was used as if it were
├── ArgumentError                    a call does not fit the signature of what it calls
├── InvalidOptionError               an option has a value that makes no sense
│   └── DurationError                a duration that cannot be read, or is out of range
├── ConversionError                  user values <-> payloads
│   ├── EncodingError                a value cannot be recorded; nothing was written
│   │   └── PayloadTooLargeError     a value has more bytes than a payload may have
│   └── DecodingError                what was recorded does not fit the type that code expects
├── NotInWorkflowError               used outside of workflow code
└── NotInActivityError               used outside of activity code
"""

import asyncio
from collections.abc import Sequence
from datetime import timedelta
from enum import IntEnum
from typing import Any

from perdure._misuse import (
    ArgumentError,
    ConversionError,
    DecodingError,
    DefinitionError,
    DurationError,
    EncodingError,
    InvalidOptionError,
    NotDefinedError,
    NotInActivityError,
    NotInWorkflowError,
    PayloadTooLargeError,
    PerdureError,
)
from perdure_history.failures import Failure

__all__ = [
    "ActivityError",
    "ApplicationError",
    "ApplicationErrorCategory",
    "ArgumentError",
    "CancelledError",
    "ChildWorkflowError",
    "ConversionError",
    "DecodingError",
    "DefinitionError",
    "DurationError",
    "EncodingError",
    "FailureError",
    "InvalidOptionError",
    "NotDefinedError",
    "NotInActivityError",
    "NotInWorkflowError",
    "PayloadTooLargeError",
    "PerdureError",
    "RetryState",
    "ServerError",
    "TemporalError",
    "TerminatedError",
    "TimeoutError",
    "TimeoutType",
    "WorkflowAlreadyStartedError",
    "is_cancelled_exception",
]


TemporalError = PerdureError
"""The name that code written for temporalio uses."""


class FailureError(PerdureError):
    """Base of failures that are recorded. Raised in workflow code it fails the run, not the turn."""

    def __init__(
        self, message: str, *, failure: Failure | None = None, exc_args: tuple[Any, ...] | None = None
    ) -> None:
        super().__init__(*((message,) if exc_args is None else exc_args))
        self._message = message
        self._failure = failure

    @property
    def message(self) -> str:
        """What went wrong, without the type in front."""
        return self._message

    @property
    def failure(self) -> Failure | None:
        """The recorded form, when the error was read from a history."""
        return self._failure


class WorkflowAlreadyStartedError(FailureError):
    """The workflow id has a run that forbids another one; nothing was written."""

    def __init__(
        self,
        workflow_id: str,
        workflow_type: str,
        *,
        run_id: str | None = None,
        first_run_id: str | None = None,
    ) -> None:
        known = f" as run {run_id}" if run_id else ""
        super().__init__(
            f"workflow id {workflow_id!r} ({workflow_type}) was already started{known}. Nothing was written. Get a "
            "handle to that run, or choose another id, id_reuse_policy or id_conflict_policy."
        )
        self.workflow_id = workflow_id
        self.workflow_type = workflow_type
        self.run_id = run_id
        self.first_run_id = first_run_id


class ApplicationErrorCategory(IntEnum):
    """How seriously a failure is to be taken."""

    UNSPECIFIED = 0
    BENIGN = 1
    """Expected: logged at DEBUG and not counted as a failure in metrics."""


class ApplicationError(FailureError):
    """User code failed.

    `type` is what RetryPolicy.non_retryable_error_types compares. `details` are encoded like any argument and
    are there again for whoever catches the error. `next_retry_delay` overrides the policy's next delay.
    """

    def __init__(
        self,
        message: str,
        *details: Any,
        type: str | None = None,
        non_retryable: bool = False,
        next_retry_delay: timedelta | None = None,
        category: ApplicationErrorCategory = ApplicationErrorCategory.UNSPECIFIED,
    ) -> None:
        super().__init__(message, exc_args=(f"{type}: {message}" if type else message,))
        self._details = details
        self._type = type
        self._non_retryable = non_retryable
        self._next_retry_delay = next_retry_delay
        self._category = category

    @property
    def details(self) -> Sequence[Any]:
        """Values that whoever raised it passed along."""
        return self._details

    @property
    def type(self) -> str | None:
        """The error's type name; for any other exception the name of its class."""
        return self._type

    @property
    def non_retryable(self) -> bool:
        """Whether it was raised as not to be retried; the policy may forbid retries besides."""
        return self._non_retryable

    @property
    def next_retry_delay(self) -> timedelta | None:
        """Delay before the next attempt, when it overrides the policy's."""
        return self._next_retry_delay

    @property
    def category(self) -> ApplicationErrorCategory:
        """How seriously to take it."""
        return self._category


class CancelledError(FailureError):
    """A workflow or activity let its cancellation through."""

    def __init__(self, message: str = "Cancelled", *details: Any) -> None:
        super().__init__(message)
        self._details = details

    @property
    def details(self) -> Sequence[Any]:
        """Values that whoever raised it passed along."""
        return self._details


class TerminatedError(FailureError):
    """Someone ended the run without asking its code."""

    def __init__(self, message: str, *details: Any) -> None:
        super().__init__(message)
        self._details = details

    @property
    def details(self) -> Sequence[Any]:
        """Values that whoever terminated it passed along."""
        return self._details


class TimeoutType(IntEnum):
    """Which clock ran out."""

    START_TO_CLOSE = 1
    SCHEDULE_TO_START = 2
    SCHEDULE_TO_CLOSE = 3
    HEARTBEAT = 4


class TimeoutError(FailureError):
    """A timeout of a workflow or an activity. Not the builtin of that name, which `asyncio.timeout` raises."""

    def __init__(
        self, message: str, *, type: TimeoutType | None, last_heartbeat_details: Sequence[Any]
    ) -> None:
        super().__init__(message)
        self._type = type
        self._last_heartbeat_details = last_heartbeat_details

    @property
    def type(self) -> TimeoutType | None:
        """Which clock ran out; None for a run's own."""
        return self._type

    @property
    def last_heartbeat_details(self) -> Sequence[Any]:
        """What the activity's last heartbeat said."""
        return self._last_heartbeat_details


class ServerError(FailureError):
    """perdure, not user code, could not do it."""

    def __init__(self, message: str, *, non_retryable: bool = False) -> None:
        super().__init__(message)
        self._non_retryable = non_retryable

    @property
    def non_retryable(self) -> bool:
        """Whether trying again is pointless."""
        return self._non_retryable


class RetryState(IntEnum):
    """Why no further attempt is made."""

    IN_PROGRESS = 1
    NON_RETRYABLE_FAILURE = 2
    TIMEOUT = 3
    MAXIMUM_ATTEMPTS_REACHED = 4
    RETRY_POLICY_NOT_SET = 5
    INTERNAL_SERVER_ERROR = 6
    CANCEL_REQUESTED = 7


class ActivityError(FailureError):
    """An activity failed for good; `cause` is the last attempt's error."""

    def __init__(
        self,
        message: str,
        *,
        scheduled_event_id: int,
        started_event_id: int,
        identity: str,
        activity_type: str,
        activity_id: str,
        retry_state: RetryState | None,
    ) -> None:
        super().__init__(message)
        self.scheduled_event_id = scheduled_event_id
        """Seq of its ActivityTaskScheduled."""
        self.started_event_id = started_event_id
        """Seq of the event that recorded the last attempt."""
        self.identity = identity
        """Who ran the last attempt."""
        self.activity_type = activity_type
        """Name of the activity."""
        self.activity_id = activity_id
        """Its id within the run."""
        self.retry_state = retry_state
        """Why no further attempt was made."""


class ChildWorkflowError(FailureError):
    """A child workflow failed; `cause` is its failure."""

    def __init__(
        self,
        message: str,
        *,
        namespace: str,
        workflow_id: str,
        run_id: str,
        workflow_type: str,
        initiated_event_id: int,
        started_event_id: int,
        retry_state: RetryState | None,
    ) -> None:
        super().__init__(message)
        self.namespace = namespace
        self.workflow_id = workflow_id
        self.run_id = run_id
        self.workflow_type = workflow_type
        self.initiated_event_id = initiated_event_id
        """Seq of the parent's event that asked for the child."""
        self.started_event_id = started_event_id
        """Seq of the parent's event that recorded its start."""
        self.retry_state = retry_state
        """Why no further run was made."""


def is_cancelled_exception(exception: BaseException) -> bool:
    """Whether the exception is a cancellation: asyncio's, ours, or an activity's or child's failure by one."""
    if isinstance(exception, (asyncio.CancelledError, CancelledError)):
        return True
    return isinstance(exception, (ActivityError, ChildWorkflowError)) and isinstance(
        exception.cause, CancelledError
    )
