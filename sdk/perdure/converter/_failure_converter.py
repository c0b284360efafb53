"""Exceptions <-> failures: what is kept of an error for good."""

import asyncio
import os
import traceback
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from types import TracebackType
from typing import Any, assert_never, cast

import perdure_history
import perdure_replayer
from perdure import exceptions
from perdure.converter._payload_converter import PayloadConverter
from perdure.exceptions import ConversionError
from perdure_history import failures
from perdure_history.failures import Failure, FailureKind
from perdure_history.payloads import Payload

DEEPEST = 20
"""Causes that are kept of one exception."""
LONGEST_MESSAGE = 16_384
"""Characters that are kept of a message."""
LONGEST_TRACE = 16_384
"""Characters that are kept of a stack trace: its end, where the error is."""

_OWN_DIRECTORIES = tuple(
    f"{Path(path).parent}{os.sep}"
    for path in (exceptions.__file__, perdure_replayer.__file__, perdure_history.__file__)
    if path
)


class FailureConverter:
    """Keeps message, type, details, stack trace and causes.

    An exception that is no FailureError becomes an ApplicationError with the name of its class as the type.
    Causes are `__cause__`, else `__context__` unless suppressed, at most twenty; texts are cut to 16 KiB;
    frames of perdure itself are left out of stack traces. Details that cannot be encoded are kept as text:
    a failure is always recorded.
    """

    def to_failure(self, error: BaseException, payload_converter: PayloadConverter) -> Failure:
        """The durable form of an exception. Never raises."""
        chain: list[BaseException] = []
        at: BaseException | None = error
        while at is not None and at not in chain and len(chain) < DEEPEST:
            chain.append(at)
            at = None if _recorded(at) is not None else _cause(at)
        failure: Failure | None = None
        for one in reversed(chain):
            failure = _recorded(one) or _to_failure(one, failure, payload_converter)
        assert failure is not None  # the chain has `error` at least
        return failure

    def from_failure(self, failure: Failure, payload_converter: PayloadConverter) -> exceptions.FailureError:
        """The exception that a failure stands for; `__cause__` is that of its cause."""
        error = _from_failure(failure, payload_converter)
        error._failure = failure  # pyright: ignore[reportPrivateUsage]  # noqa: SLF001  set here and nowhere else
        if failure.stack_trace:
            error.add_note(f"Recorded where it was raised:\n{failure.stack_trace.rstrip()}")
        if failure.cause is not None:
            error.__cause__ = self.from_failure(failure.cause, payload_converter)
        return error


def _recorded(error: BaseException) -> Failure | None:
    return error.failure if isinstance(error, exceptions.FailureError) else None


def _cause(error: BaseException) -> BaseException | None:
    if error.__cause__ is not None:
        return error.__cause__
    if error.__context__ is not None and not error.__suppress_context__:
        return error.__context__
    return (
        cast("BaseExceptionGroup[BaseException]", error).exceptions[0]
        if isinstance(error, BaseExceptionGroup)
        else None
    )


def _to_failure(error: BaseException, cause: Failure | None, converter: PayloadConverter) -> Failure:
    return Failure(
        message=_message(error),
        stack_trace=_stack_trace(error.__traceback__),
        cause=cause,
        **_specifics(error, converter),
    )


def _specifics(error: BaseException, converter: PayloadConverter) -> dict[str, Any]:
    """The fields of a failure that only some kinds have."""
    match error:
        case exceptions.ApplicationError():
            delay = error.next_retry_delay
            benign = error.category is exceptions.ApplicationErrorCategory.BENIGN
            return {
                "type": _clean(error.type or ""),
                "non_retryable": error.non_retryable,
                "details": _details(error.details, converter),
                "next_retry_delay_us": None if delay is None else max(0, delay // timedelta(microseconds=1)),
                "category": "benign" if benign else "",
            }
        case exceptions.CancelledError():
            return {"kind": FailureKind.CANCELED, "details": _details(error.details, converter)}
        case asyncio.CancelledError():
            return {"kind": FailureKind.CANCELED}
        case exceptions.TerminatedError():
            return {"kind": FailureKind.TERMINATED, "details": _details(error.details, converter)}
        case exceptions.TimeoutError():
            return {
                "kind": FailureKind.TIMEOUT,
                "timeout_type": None if error.type is None else failures.TimeoutType[error.type.name],
                "details": _details(error.last_heartbeat_details, converter),
            }
        case exceptions.ServerError():
            return {"kind": FailureKind.SERVER, "non_retryable": error.non_retryable}
        case exceptions.ActivityError():
            return {
                "kind": FailureKind.ACTIVITY,
                "activity_type": error.activity_type,
                "activity_id": error.activity_id,
                "scheduled_seq": error.scheduled_event_id,
                "started_seq": error.started_event_id,
                "identity": error.identity,
                "retry_state": _retry_state_record(error.retry_state),
            }
        case exceptions.ChildWorkflowError():
            return {
                "kind": FailureKind.CHILD_WORKFLOW,
                "namespace": error.namespace,
                "workflow_id": error.workflow_id,
                "run_id": error.run_id,
                "workflow_type": error.workflow_type,
                "scheduled_seq": error.initiated_event_id,
                "started_seq": error.started_event_id,
                "retry_state": _retry_state_record(error.retry_state),
            }
        case _:
            return {"type": type(error).__name__}


def _from_failure(failure: Failure, converter: PayloadConverter) -> exceptions.FailureError:
    match failure.kind:
        case FailureKind.APPLICATION:
            delay = failure.next_retry_delay_us
            return exceptions.ApplicationError(
                failure.message,
                *converter.from_payloads(failure.details),
                type=failure.type or None,
                non_retryable=failure.non_retryable,
                next_retry_delay=None if delay is None else timedelta(microseconds=delay),
                category=exceptions.ApplicationErrorCategory.BENIGN
                if failure.category == "benign"
                else exceptions.ApplicationErrorCategory.UNSPECIFIED,
            )
        case FailureKind.CANCELED:
            return exceptions.CancelledError(failure.message, *converter.from_payloads(failure.details))
        case FailureKind.TERMINATED:
            return exceptions.TerminatedError(failure.message, *converter.from_payloads(failure.details))
        case FailureKind.TIMEOUT:
            clock = failure.timeout_type
            return exceptions.TimeoutError(
                failure.message,
                type=None if clock is None else exceptions.TimeoutType[clock.name],
                last_heartbeat_details=converter.from_payloads(failure.details),
            )
        case FailureKind.SERVER:
            return exceptions.ServerError(failure.message, non_retryable=failure.non_retryable)
        case FailureKind.ACTIVITY:
            return exceptions.ActivityError(
                failure.message,
                scheduled_event_id=failure.scheduled_seq,
                started_event_id=failure.started_seq,
                identity=failure.identity,
                activity_type=failure.activity_type,
                activity_id=failure.activity_id,
                retry_state=_retry_state(failure.retry_state),
            )
        case FailureKind.CHILD_WORKFLOW:
            return exceptions.ChildWorkflowError(
                failure.message,
                namespace=failure.namespace,
                workflow_id=failure.workflow_id,
                run_id=failure.run_id,
                workflow_type=failure.workflow_type,
                initiated_event_id=failure.scheduled_seq,
                started_event_id=failure.started_seq,
                retry_state=_retry_state(failure.retry_state),
            )
        case _:
            assert_never(failure.kind)


def _retry_state_record(state: exceptions.RetryState | None) -> failures.RetryState | None:
    return None if state is None else failures.RetryState[state.name]


def _retry_state(state: failures.RetryState | None) -> exceptions.RetryState | None:
    return None if state is None else exceptions.RetryState[state.name]


def _message(error: BaseException) -> str:
    try:
        text = error.message if isinstance(error, exceptions.FailureError) else str(error)
        if not text and isinstance(error, asyncio.CancelledError):
            text = "Cancelled"
    except Exception as broken:  # noqa: BLE001  a user's __str__ raises what it likes
        text = f"<{type(error).__name__} whose text cannot be had: {type(broken).__name__}>"
    return _clean(_shortened(text))


def _shortened(text: str) -> str:
    if len(text) <= LONGEST_MESSAGE:
        return text
    return f"{text[:LONGEST_MESSAGE]}... ({len(text) - LONGEST_MESSAGE} more characters)"


def _clean(text: str) -> str:
    """Without what databases refuse."""
    return text.replace("\0", "\\x00").encode(errors="backslashreplace").decode()


def _details(values: Sequence[Any], converter: PayloadConverter) -> tuple[Payload, ...]:
    return tuple(_detail(value, converter) for value in values)


def _detail(value: Any, converter: PayloadConverter) -> Payload:
    try:
        return converter.to_payload(value)
    except ConversionError as error:
        return converter.to_payload(f"<{type(value).__name__} that was not recorded: {_clean(str(error))}>")


def _stack_trace(tb: TracebackType | None) -> str:
    if tb is None:
        return ""
    frames = [frame for frame in traceback.extract_tb(tb) if not frame.filename.startswith(_OWN_DIRECTORIES)]
    text = "".join(traceback.format_list(frames))
    return _clean(text if len(text) <= LONGEST_TRACE else f"...\n{text[-LONGEST_TRACE:]}")
