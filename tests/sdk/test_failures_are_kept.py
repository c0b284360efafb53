"""An exception becomes a failure and an exception again: message, type, details, causes, bounded."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from perdure import exceptions
from perdure.converter import DataConverter
from perdure.exceptions import (
    ActivityError,
    ApplicationError,
    ApplicationErrorCategory,
    CancelledError,
    ChildWorkflowError,
    FailureError,
    RetryState,
    ServerError,
    TerminatedError,
    TimeoutError,  # noqa: A004  Temporal's name
    TimeoutType,
    is_cancelled_exception,
)
from perdure_history import failures
from perdure_history.failures import Failure, FailureKind

converter = DataConverter.default


def raised(error: BaseException) -> BaseException:
    try:
        raise error
    except BaseException as caught:
        return caught


def activity_error(cause: BaseException | None = None) -> ActivityError:
    error = ActivityError(
        "Activity task failed",
        scheduled_event_id=5,
        started_event_id=7,
        identity="me",
        activity_type="charge",
        activity_id="1",
        retry_state=RetryState.MAXIMUM_ATTEMPTS_REACHED,
    )
    error.__cause__ = cause
    return error


def child_error() -> ChildWorkflowError:
    return ChildWorkflowError(
        "Child failed",
        namespace="default",
        workflow_id="w",
        run_id="r",
        workflow_type="t",
        initiated_event_id=5,
        started_event_id=7,
        retry_state=None,
    )


def facts(error: BaseException) -> dict[str, Any]:
    """All but the recorded form, and the note that says where it was raised."""
    own = {name: value for name, value in vars(error).items() if name not in ("_failure", "__notes__")}
    return own | {"args": error.args}


@pytest.mark.parametrize(
    "error",
    [
        ApplicationError("declined", {"code": 5}, "x", type="Declined", non_retryable=True),
        ApplicationError(
            "busy", next_retry_delay=timedelta(seconds=3), category=ApplicationErrorCategory.BENIGN
        ),
        CancelledError("stop", 1),
        TerminatedError("by hand", "why"),
        ServerError("lost", non_retryable=True),
        activity_error(),
        child_error(),
    ],
    ids=lambda error: type(error).__name__,
)
def test_every_failure_reads_back_with_all_its_facts(error):
    decoded = converter.from_failure(converter.to_failure(raised(error)))

    assert type(decoded) is type(error)
    assert facts(decoded) == facts(error)
    assert "in raised" in decoded.__notes__[0]


@pytest.mark.parametrize("clock", [*TimeoutType, None])
def test_a_timeout_reads_back_with_its_clock(clock):
    error = TimeoutError("late", type=clock, last_heartbeat_details=["page 7"])

    decoded = converter.from_failure(converter.to_failure(error))

    assert isinstance(decoded, TimeoutError)
    assert decoded.type is clock
    assert decoded.last_heartbeat_details == ["page 7"]


def test_every_recorded_retry_state_and_clock_has_its_public_name():
    assert {one.name for one in failures.RetryState} == {one.name for one in RetryState}
    assert {one.name for one in failures.TimeoutType} == {one.name for one in TimeoutType}


def test_any_other_exception_is_an_application_error_of_its_class():
    decoded = converter.from_failure(converter.to_failure(raised(KeyError("k"))))

    assert isinstance(decoded, ApplicationError)
    assert decoded.type == "KeyError"
    assert decoded.message == "'k'"
    assert str(decoded) == "KeyError: 'k'"


def test_the_whole_chain_of_causes_is_kept():
    try:
        try:
            try:
                raise OSError("disk")
            except OSError as error:
                raise ValueError("bad") from error
        except ValueError:
            raise RuntimeError("outer")  # noqa: B904  the implicit context is the point
    except RuntimeError as error:
        failure = converter.to_failure(error)

    decoded = converter.from_failure(failure)

    assert decoded.__cause__ is not None
    assert [str(decoded), str(decoded.__cause__), str(decoded.__cause__.__cause__)] == [
        "RuntimeError: outer",
        "ValueError: bad",
        "OSError: disk",
    ]
    assert isinstance(decoded, FailureError)
    assert decoded.cause is decoded.__cause__


def test_a_suppressed_context_is_no_cause():
    try:
        try:
            raise OSError("disk")
        except OSError:
            raise ValueError("bad") from None
    except ValueError as error:
        failure = converter.to_failure(error)

    assert failure.cause is None


def test_the_cause_of_a_group_is_its_first_part():
    failure = converter.to_failure(ExceptionGroup("two", [ValueError("a"), KeyError("b")]))

    assert failure.type == "ExceptionGroup"
    assert failure.cause is not None
    assert failure.cause.type == "ValueError"


def test_a_failure_that_was_read_is_written_as_it_was():
    failure = Failure(message="m", stack_trace="far away", cause=Failure(message="c", type="T"))
    error = raised(converter.from_failure(failure))

    wrapped = converter.to_failure(activity_error(error))

    assert converter.to_failure(error) == failure
    assert wrapped.cause == failure


def test_a_cycle_and_a_long_chain_end():
    first, second = ValueError("1"), ValueError("2")
    first.__cause__, second.__cause__ = second, first
    long: BaseException = ValueError("end")
    for number in range(100):
        outer = ValueError(str(number))
        outer.__cause__ = long
        long = outer

    depths = []
    for error in (first, long):
        depth, failure = 0, converter.to_failure(error)
        while failure.cause is not None:
            depth, failure = depth + 1, failure.cause
        depths.append(depth)

    assert depths == [1, 19]


def test_texts_are_bounded_and_hold_nothing_that_databases_refuse():
    failure = converter.to_failure(ValueError("a\0\ud800" + "x" * 100_000))

    assert failure.message.startswith("a\\x00\\ud800xxx")
    assert len(failure.message) < 20_000
    assert failure.message.endswith("more characters)")
    assert failure.message.encode()


def test_an_exception_without_a_text_is_recorded_nevertheless():
    class Silent(Exception):
        def __str__(self) -> str:
            raise RuntimeError

    failure = converter.to_failure(Silent())

    assert failure.message == "<Silent whose text cannot be had: RuntimeError>"


def test_a_detail_that_cannot_be_encoded_is_kept_as_text():
    failure = converter.to_failure(ApplicationError("m", object(), 2))

    decoded = converter.from_failure(failure)

    assert isinstance(decoded, ApplicationError)
    assert decoded.details[0].startswith("<object that was not recorded")
    assert decoded.details[1] == 2


def test_the_stack_trace_shows_user_code_and_not_perdure():
    def user_code() -> None:
        converter.to_payload(float("nan"))

    try:
        user_code()
    except ValueError as error:
        failure = converter.to_failure(error)

    assert "user_code" in failure.stack_trace
    assert "_payload_converter" not in failure.stack_trace


def test_a_deep_stack_trace_is_cut_at_its_start():
    def recurse(depth: int) -> None:
        if not depth:
            raise ValueError("the end")
        (recurse if depth % 2 else lambda n: recurse(n))(depth - 1)

    try:
        recurse(400)
    except ValueError as error:
        failure = converter.to_failure(error)

    assert len(failure.stack_trace) < 20_000
    assert failure.stack_trace.startswith("...")
    assert 'raise ValueError("the end")' in failure.stack_trace


@pytest.mark.parametrize(
    ("error", "cancelled"),
    [
        (asyncio.CancelledError(), True),
        (CancelledError(), True),
        (activity_error(CancelledError()), True),
        (activity_error(ValueError()), False),
        (activity_error(), False),
        (ValueError(), False),
    ],
)
def test_a_cancellation_is_told_from_other_failures(error, cancelled):
    assert is_cancelled_exception(error) is cancelled
    assert converter.is_cancelled(error) is cancelled


def test_a_cancellation_of_asyncio_is_recorded_as_one():
    failure = converter.to_failure(asyncio.CancelledError())

    assert failure.kind is FailureKind.CANCELED
    assert failure.message == "Cancelled"


def test_code_written_for_temporalio_finds_its_base_class():
    assert exceptions.TemporalError is exceptions.PerdureError
