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

from perdure_history.failures import Failure


class PerdureError(Exception):
    """Base of everything that perdure raises on purpose."""

    @property
    def cause(self) -> BaseException | None:
        """What led to this error: its `__cause__`."""
        return self.__cause__


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


class DefinitionError(PerdureError, ValueError):
    """A decorator cannot make a workflow or an activity of what it was put on."""

    def __init__(self, target: str, problems: Sequence[str]) -> None:
        self.target = target
        self.problems = tuple(problems)
        super().__init__(f"{target} cannot be defined: {'; '.join(self.problems)}")


class NotDefinedError(PerdureError, TypeError, ValueError):
    """Something was used as a workflow, activity, signal or query that is none."""

    def __init__(self, kind: str, shown: str, cure: str) -> None:
        self.kind = kind
        self.shown = shown
        self.cure = cure
        super().__init__(f"{shown} is no {kind}: {cure}")


class ArgumentError(PerdureError, TypeError):
    """The arguments of a call do not fit the signature of what it calls; nothing was written."""

    def __init__(self, what: str, signature: str, why: str) -> None:
        self.what = what
        self.signature = signature
        self.why = why
        super().__init__(f"{what}{signature} cannot be called like this: {why}. Nothing was written.")


class InvalidOptionError(PerdureError, ValueError):
    """An option has a value that makes no sense; nothing was done."""

    def __init__(self, option: str, value: object, why: str) -> None:
        self.option = option
        self.value = value
        self.why = why
        super().__init__(f"{option}={value!r} cannot be used: {why}")


class DurationError(InvalidOptionError):
    """A duration that cannot be read, or is out of range."""

    def __init__(self, option: str, value: object, why: str) -> None:
        super().__init__(
            option, value, f"{why}. Pass a timedelta, a text such as '30s' or '1h30m', or a number of seconds"
        )


class ConversionError(PerdureError):
    """Base of errors between user values and payloads."""


class EncodingError(ConversionError, TypeError, ValueError):
    """A value cannot be recorded such that it reads back the same; nothing was written."""

    def __init__(self, path: str, why: str, cure: str, *, owner: str = "") -> None:
        self.path = path
        """Where in the value, such as ``order.items[3].price``."""
        self.why = why
        self.cure = cure
        self.owner = owner
        """Whose value it is, such as ``activity 'charge'``; empty when unknown."""
        whose = f" of {owner}" if owner else ""
        super().__init__(f"{path}{whose} cannot be encoded: {why}. Nothing was written. {cure}")

    def named(self, name: str, owner: str) -> "EncodingError":
        """The same error, told with the name of the argument and of whom it was for."""
        rest = self.path[len("value") :] if self.path.startswith("value") else f".{self.path}"
        return EncodingError(name + rest, self.why, self.cure, owner=owner)


class PayloadTooLargeError(EncodingError):
    """A value has more bytes than one payload may have; nothing was written."""

    def __init__(self, path: str, size: int, limit: int, *, owner: str = "") -> None:
        self.size = size
        self.limit = limit
        super().__init__(
            path,
            f"it has {size} bytes, and a payload may have {limit}",
            "Pass a reference to the data (a path, a key) instead of the data, or raise size_limit.",
            owner=owner,
        )

    def named(self, name: str, owner: str) -> EncodingError:
        """The same error, told with the name of the argument and of whom it was for."""
        return PayloadTooLargeError(
            name + self.path.removeprefix("value"), self.size, self.limit, owner=owner
        )


class DecodingError(ConversionError, TypeError, ValueError):
    """What was recorded does not fit the type that code expects; the record is unchanged."""

    def __init__(self, expected: str, path: str, why: str, *, owner: str = "") -> None:
        self.expected = expected
        """The type that was asked for."""
        self.path = path
        """Where in the recorded value, such as ``value.items[3].price``."""
        self.why = why
        self.owner = owner
        """Whose value it is, such as ``argument 'order' of workflow 'ship'``; empty when unknown."""
        whose = f" ({owner})" if owner else ""
        super().__init__(
            f"{path}{whose} does not decode as {expected}: {why}. The record is unchanged; make the annotation fit "
            "what is recorded, or pass what the annotation says."
        )

    def owned_by(self, owner: str) -> "DecodingError":
        """The same error, told with whose value it was."""
        return DecodingError(self.expected, self.path, self.why, owner=owner)


class NotInWorkflowError(PerdureError, RuntimeError):
    """Something that only a running workflow has was used outside of one."""

    def __init__(self, what: str) -> None:
        self.what = what
        super().__init__(
            f"{what} works only in workflow code: in an @workflow.defn function, or in the run method and handlers "
            "of an @workflow.defn class, on the event loop of the run. Activities and threads are outside."
        )


class NotInActivityError(PerdureError, RuntimeError):
    """Something that only a running activity has was used outside of one."""

    def __init__(self, what: str) -> None:
        self.what = what
        super().__init__(
            f"{what} works only in activity code that a worker runs: in an @activity.defn function, and in tasks "
            "and threads that carry its context (contextvars.copy_context)."
        )
