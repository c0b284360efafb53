"""What workflow code can ask of its run: identity, time, randomness, waiting."""

import asyncio
import random as random_module
import uuid
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from perdure.common import Priority, RetryPolicy
from perdure.converter import DataConverter, PayloadConverter
from perdure.durations import Duration, from_optional_microseconds, to_microseconds
from perdure.workflow._access import current
from perdure_history.payloads import Payload
from perdure_replayer import guards
from perdure_replayer.runtime import Runtime, find

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_TASK_TIMEOUT = timedelta(seconds=10)


@dataclass(frozen=True)
class ParentInfo:
    """The workflow that started this one."""

    namespace: str
    run_id: str
    workflow_id: str


@dataclass(frozen=True)
class Info:
    """What is known about the running workflow. Do not construct it; fields may be added."""

    attempt: int
    continued_run_id: str | None
    """The run that went on as this one."""
    cron_schedule: str | None
    execution_timeout: timedelta | None
    first_execution_run_id: str
    """First run of the chain of continue-as-new and retries; this one, when there is no other."""
    headers: Mapping[str, Payload]
    namespace: str
    original_execution_run_id: str
    parent: ParentInfo | None
    priority: Priority
    raw_memo: Mapping[str, Payload]
    retry_policy: RetryPolicy | None
    run_id: str
    run_timeout: timedelta | None
    start_time: datetime
    """Time of the first turn."""
    task_queue: str
    task_timeout: timedelta
    workflow_id: str
    workflow_start_time: datetime
    """Time of the first turn."""
    workflow_type: str

    def logger_details(self) -> Mapping[str, Any]:
        """What `logger` adds to each record."""
        return {
            "attempt": self.attempt,
            "namespace": self.namespace,
            "run_id": self.run_id,
            "task_queue": self.task_queue,
            "workflow_id": self.workflow_id,
            "workflow_type": self.workflow_type,
        }

    def get_current_history_length(self) -> int:
        """Number of events up to the inputs of this turn: the same live and on replay."""
        return current("info().get_current_history_length()").history_length()


def info() -> Info:
    """What is known about the running workflow. NotInWorkflowError outside of one, as for all below."""
    return info_of(current("info()"))


def info_of(runtime: Runtime) -> Info:
    """What is known about a run."""
    started, run_id = runtime.started, runtime.run_id
    began = _moment(runtime.started_at_us())
    parent = None
    if started.parent_run_id:
        parent = ParentInfo(started.namespace, started.parent_run_id, started.parent_workflow_id)
    return Info(
        attempt=started.attempt,
        continued_run_id=started.continued_from_run_id or None,
        cron_schedule=started.cron_schedule or None,
        execution_timeout=from_optional_microseconds(started.execution_timeout_us),
        first_execution_run_id=started.first_run_id or run_id,
        headers=started.headers,
        namespace=started.namespace,
        original_execution_run_id=run_id,
        parent=parent,
        priority=Priority.default,
        raw_memo=started.memo,
        retry_policy=RetryPolicy.from_record(started.retry_policy) if started.retry_policy else None,
        run_id=run_id,
        run_timeout=from_optional_microseconds(started.run_timeout_us),
        start_time=began,
        task_queue=started.task_queue,
        task_timeout=from_optional_microseconds(started.task_timeout_us) or _TASK_TIMEOUT,
        workflow_id=started.workflow_id,
        workflow_start_time=began,
        workflow_type=started.workflow_type,
    )


def in_workflow() -> bool:
    """Whether this code runs in a workflow."""
    return find() is not None


def instance() -> Any:
    """The workflow object; None in a function workflow."""
    return current("instance()").instance


def now() -> datetime:
    """The turn's time, aware and in UTC. It stands still within a turn and never goes back."""
    return _moment(current("now()").time_us())


def time() -> float:
    """The turn's time in seconds since 1970."""
    return current("time()").time_us() / 1_000_000


def time_ns() -> int:
    """The turn's time in nanoseconds since 1970."""
    return current("time_ns()").time_us() * 1_000


def random() -> random_module.Random:
    """The run's generator: seeded by the run, so that replay draws the same numbers."""
    return current("random()").random


def new_random() -> random_module.Random:
    """A generator of its own, seeded from the run's: what it draws does not disturb the others."""
    return current("new_random()").new_random()


def uuid4() -> uuid.UUID:
    """A random UUID, the same on replay."""
    return current("uuid4()").uuid4()


def uuid7() -> uuid.UUID:
    """A UUID that sorts by the turn's time, the same on replay."""
    return current("uuid7()").uuid7()


def cancellation_reason() -> str | None:
    """The reason given with the first request to cancel this run; None before it."""
    return current("cancellation_reason()").cancellation_reason


def payload_converter() -> PayloadConverter:
    """The converter of this run's values."""
    converter = current("payload_converter()").converter
    return (
        converter.payload_converter
        if isinstance(converter, DataConverter)
        else DataConverter.default.payload_converter
    )


async def sleep(duration: Duration, *, summary: str | None = None) -> None:
    """Sleep durably: no process needs to be alive meanwhile. As asyncio.sleep, with a summary to show.

    0 only lets other tasks of the run go first and leaves no trace.
    """
    runtime = current("sleep()")
    delay_us = to_microseconds(duration)
    if delay_us == 0:
        await asyncio.sleep(0)
        return
    await runtime.start_timer(delay_us, summary=summary or "")


async def wait_condition(
    fn: Callable[[], bool], *, timeout: Duration | None = None, timeout_summary: str | None = None
) -> None:
    """Wait until `fn` gives true; it is asked each time the run's code has come to rest, and must only read.

    asyncio.TimeoutError after `timeout`, which is a durable timer, so that giving one to running workflows
    changes their history.
    """
    runtime = current("wait_condition()")
    timeout_us = None if timeout is None else to_microseconds(timeout, "timeout")
    condition = runtime.wait_condition(fn)
    if timeout_us is None:
        await condition
        return
    timer = runtime.start_timer(timeout_us, summary=timeout_summary or "")
    try:
        await _first(condition, timer)
        if not condition.done():
            raise TimeoutError(f"the condition was not true within {timedelta(microseconds=timeout_us)}")
        condition.result()
    finally:
        condition.cancel()
        timer.cancel()


async def _first(*futures: "asyncio.Future[Any]") -> None:
    """Wait until one is done. asyncio.wait would do, at three times the steps."""
    waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def wake(_done: "asyncio.Future[Any]") -> None:
        if not waiter.done():
            waiter.set_result(None)

    for future in futures:
        future.add_done_callback(wake)
    try:
        await waiter
    finally:
        for future in futures:
            future.remove_done_callback(wake)


class unsafe:  # noqa: N801  Temporal's name
    """What ordinary workflow code does not need."""

    def __init__(self) -> None:
        raise NotImplementedError("workflow.unsafe is a namespace; use its functions")

    @staticmethod
    def is_replaying() -> bool:
        """Whether the run is being rebuilt from its history. Code must not branch on it."""
        return current("unsafe.is_replaying()").is_replaying

    @staticmethod
    def is_read_only() -> bool:
        """Whether this code runs in a query."""
        return current("unsafe.is_read_only()").is_read_only

    @staticmethod
    @contextmanager
    def imports_passed_through() -> Generator[None]:
        """Do nothing: modules are never imported again for a run."""
        yield

    @staticmethod
    @contextmanager
    def sandbox_unrestricted() -> Generator[None]:
        """Allow clocks, randomness and files within the block; what they answer must not steer the workflow."""
        with guards.unrestricted():
            yield


def _moment(us: int) -> datetime:
    return _EPOCH + timedelta(microseconds=us)
