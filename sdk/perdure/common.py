"""Options and values that clients, workers, workflows and activities share."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from enum import IntEnum
from typing import ClassVar

from perdure.durations import Duration, from_optional_microseconds, to_microseconds
from perdure.exceptions import InvalidOptionError
from perdure_history.events import RetryPolicyRecord
from perdure_history.payloads import Payload


@dataclass(frozen=True, init=False)
class RetryPolicy:
    """How failed attempts are repeated. Checked when made; InvalidOptionError names the field.

    The delay before attempt n + 1 is `initial_interval * backoff_coefficient ** (n - 1)`, at most
    `maximum_interval` (None: one hundred times the initial interval). `maximum_attempts` 0 means no limit,
    1 means no retries. `non_retryable_error_types` are compared with ApplicationError.type and, for other
    exceptions, with the name of their class.
    """

    initial_interval: timedelta
    backoff_coefficient: float
    maximum_interval: timedelta | None
    maximum_attempts: int
    non_retryable_error_types: Sequence[str] | None
    _record: RetryPolicyRecord = field(repr=False, compare=False, init=False)

    def __init__(
        self,
        initial_interval: Duration = timedelta(seconds=1),
        backoff_coefficient: float = 2.0,
        maximum_interval: Duration | None = None,
        maximum_attempts: int = 0,
        non_retryable_error_types: Sequence[str] | None = None,
    ) -> None:
        initial_us = to_microseconds(initial_interval, "initial_interval")
        maximum_us = None
        if maximum_interval is not None:
            maximum_us = to_microseconds(maximum_interval, "maximum_interval")
            if maximum_us < initial_us and maximum_attempts != 1:
                raise InvalidOptionError(
                    "maximum_interval", maximum_interval, "it is shorter than initial_interval"
                )
        if not 1 <= backoff_coefficient < float("inf"):
            raise InvalidOptionError(
                "backoff_coefficient", backoff_coefficient, "it must be 1 or more, and finite"
            )
        if type(maximum_attempts) is not int or maximum_attempts < 0:
            raise InvalidOptionError(
                "maximum_attempts", maximum_attempts, "it must be a whole number, 0 (no limit) or more"
            )
        types = _error_types(non_retryable_error_types)
        put = object.__setattr__
        put(self, "initial_interval", timedelta(microseconds=initial_us))
        put(self, "backoff_coefficient", float(backoff_coefficient))
        put(self, "maximum_interval", from_optional_microseconds(maximum_us))
        put(self, "maximum_attempts", maximum_attempts)
        put(self, "non_retryable_error_types", types or None)
        record = RetryPolicyRecord(
            initial_interval_us=initial_us,
            backoff_coefficient=float(backoff_coefficient),
            maximum_interval_us=maximum_us,
            maximum_attempts=maximum_attempts,
            non_retryable_error_types=types,
        )
        put(self, "_record", record)

    def to_record(self) -> RetryPolicyRecord:
        """The form that is recorded with what it applies to."""
        return self._record

    @staticmethod
    def from_record(record: RetryPolicyRecord) -> "RetryPolicy":
        """The policy that a record stands for."""
        return RetryPolicy(
            initial_interval=timedelta(microseconds=record.initial_interval_us),
            backoff_coefficient=record.backoff_coefficient,
            maximum_interval=from_optional_microseconds(record.maximum_interval_us),
            maximum_attempts=record.maximum_attempts,
            non_retryable_error_types=record.non_retryable_error_types,
        )


def _error_types(given: Sequence[str] | None) -> tuple[str, ...]:
    if isinstance(given, str) or not all(isinstance(name, str) for name in given or ()):  # pyright: ignore[reportUnnecessaryIsInstance]  users without a type checker
        raise InvalidOptionError(
            "non_retryable_error_types", given, "it must be a list of type names, such as ['ValueError']"
        )
    return tuple(given or ())


@dataclass(frozen=True)
class RawValue:
    """A payload that passes the converter untouched, in either direction."""

    payload: Payload


class WorkflowIDReusePolicy(IntEnum):
    """Whether a workflow id may be used again when its last run has ended."""

    ALLOW_DUPLICATE = 1
    ALLOW_DUPLICATE_FAILED_ONLY = 2
    """Only when the last run did not complete."""
    REJECT_DUPLICATE = 3
    TERMINATE_IF_RUNNING = 4
    """As ALLOW_DUPLICATE, and an open run is terminated."""


class WorkflowIDConflictPolicy(IntEnum):
    """What a start does when the workflow id has an open run."""

    UNSPECIFIED = 0
    """FAIL, unless the reuse policy says otherwise."""
    FAIL = 1
    USE_EXISTING = 2
    """The start returns a handle to the open run."""
    TERMINATE_EXISTING = 3


@dataclass(frozen=True)
class Priority:
    """Which work goes first. Accepted for compatibility; queues are first come, first served."""

    priority_key: int | None = None
    fairness_key: str | None = None
    fairness_weight: float | None = None

    default: ClassVar["Priority"]


Priority.default = Priority()
