"""Activities: the decorator, and what their code can ask while it runs."""

import functools
import inspect
import logging
from collections.abc import Callable, Generator, Mapping, MutableMapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, TypeVar, overload

import msgspec

from perdure import _scheduling
from perdure._activity_context import ActivityContext
from perdure._activity_context import current as _current
from perdure._signatures import call_shape, is_written_as_method, parameter_problems, signature_of, types_of
from perdure._texts import checked_text
from perdure.common import Priority, RetryPolicy
from perdure.converter import PayloadConverter
from perdure.definitions import ACTIVITY, ActivityDefinition
from perdure.durations import Duration
from perdure.exceptions import DefinitionError, NotInActivityError
from perdure_replayer.runtime import Runtime, find

if TYPE_CHECKING:
    from perdure.client import Client

CallableType = TypeVar("CallableType", bound=Callable[..., Any])


@overload
def defn(fn: CallableType) -> CallableType: ...


@overload
def defn(
    *,
    name: str | None = None,
    retry_policy: RetryPolicy | None = None,
    start_to_close_timeout: Duration | None = None,
    schedule_to_close_timeout: Duration | None = None,
    schedule_to_start_timeout: Duration | None = None,
    heartbeat_timeout: Duration | None = None,
    task_queue: str | None = None,
    no_thread_cancel_exception: bool = False,
) -> Callable[[CallableType], CallableType]: ...


def defn(
    fn: Callable[..., Any] | None = None,
    *,
    name: str | None = None,
    retry_policy: RetryPolicy | None = None,
    start_to_close_timeout: Duration | None = None,
    schedule_to_close_timeout: Duration | None = None,
    schedule_to_start_timeout: Duration | None = None,
    heartbeat_timeout: Duration | None = None,
    task_queue: str | None = None,
    no_thread_cancel_exception: bool = False,
) -> Any:
    """Make an activity of an async or sync function or method.

    In workflow code a call of it schedules the activity and is awaited, whether the function is async or not;
    anywhere else the call is the plain function. The options are defaults, which the keywords of
    `workflow.execute_activity` override; without a timeout an attempt may take any time.
    `no_thread_cancel_exception`: do not throw a cancellation into the thread of a sync activity.

    Raises DefinitionError when a call of it could not be recorded.
    """
    options = _scheduling.overrides_from(
        retry_policy=retry_policy,
        start_to_close_timeout=start_to_close_timeout,
        schedule_to_close_timeout=schedule_to_close_timeout,
        schedule_to_start_timeout=schedule_to_start_timeout,
        heartbeat_timeout=heartbeat_timeout,
        task_queue=task_queue,
    )

    if name is not None:
        checked_text("name", name)

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        definition = _define(function, name, options, no_thread_cancel_exception=no_thread_cancel_exception)
        return _wrap(definition)

    return decorate if fn is None else decorate(fn)


def _define(
    function: Callable[..., Any],
    name: str | None,
    options: Mapping[str, Any],
    *,
    no_thread_cancel_exception: bool,
) -> ActivityDefinition:
    target = f"activity {name or getattr(function, '__qualname__', repr(function))}"
    if not inspect.isfunction(function):
        kind = "a class" if inspect.isclass(function) else f"a {type(function).__name__}"
        raise DefinitionError(
            target,
            [f"it is {kind}; put @activity.defn directly on a function or method, below @staticmethod"],
        )
    problems: list[str] = []
    if hasattr(function, ACTIVITY):
        problems.append("it is an activity already")
    if function.__name__ == "<lambda>" and not name:
        problems.append("a lambda has no name to be found under; use def, or pass name=")
    if inspect.isasyncgenfunction(function) or inspect.isgeneratorfunction(function):
        problems.append("it is a generator; return a list, or send parts by heartbeat")
    is_method = is_written_as_method(function, inspect.signature(function))
    signature = signature_of(function, is_method=is_method)
    problems += parameter_problems(signature)
    if problems:
        raise DefinitionError(target, problems)
    arg_types, return_type = types_of(function, signature)
    return ActivityDefinition(
        name=name or function.__name__,
        function=function,
        is_async=inspect.iscoroutinefunction(function),
        arg_types=arg_types,
        return_type=return_type,
        options=msgspec.structs.replace(_scheduling.NO_OPTIONS, **options),
        no_thread_cancel_exception=no_thread_cancel_exception,
        shape=call_shape(signature),
        needs_self=is_method,
    )


def _wrap(definition: ActivityDefinition) -> Callable[..., Any]:
    function = definition.function

    if definition.is_async:

        @functools.wraps(function)
        async def call_async(*args: Any, **kwargs: Any) -> Any:
            runtime = find()
            if runtime is None:
                return await function(*args, **kwargs)
            return await _schedule_call(runtime, definition, call_async, args, kwargs)

        wrapper: Callable[..., Any] = call_async
    else:

        @functools.wraps(function)
        def call_sync(*args: Any, **kwargs: Any) -> Any:
            runtime = find()
            if runtime is None:
                return function(*args, **kwargs)
            return _scheduled(runtime, definition, call_sync, args, kwargs)

        wrapper = call_sync
    setattr(wrapper, ACTIVITY, definition)
    return wrapper


async def _scheduled(
    runtime: Runtime,
    definition: ActivityDefinition,
    wrapper: Callable[..., Any],
    args: tuple[Any, ...],
    kwargs: Mapping[str, Any],
) -> Any:
    return await _schedule_call(runtime, definition, wrapper, args, kwargs)


def _schedule_call(
    runtime: Runtime,
    definition: ActivityDefinition,
    wrapper: Callable[..., Any],
    args: tuple[Any, ...],
    kwargs: Mapping[str, Any],
) -> Any:
    target = wrapper
    if definition.needs_self and args:
        # A call through an object: self is the worker's business and is not recorded.
        target = wrapper.__get__(args[0])
        args = args[1:]
    if kwargs:
        args = definition.shape.arguments(definition.name, args, kwargs)
    return _scheduling.schedule(runtime, target, args, {})


@dataclass(frozen=True)
class Info:
    """What is known about the running attempt. Do not construct it; fields may be added."""

    activity_id: str
    activity_type: str
    attempt: int
    """1, 2, 3 ...; a crash of the worker counts as an attempt."""
    current_attempt_scheduled_time: datetime
    heartbeat_details: Sequence[Any]
    """What the last heartbeat of an earlier attempt said."""
    heartbeat_timeout: timedelta | None
    is_local: bool
    """It runs in the process of its workflow, without a task queue between."""
    namespace: str
    schedule_to_close_timeout: timedelta | None
    scheduled_time: datetime
    start_to_close_timeout: timedelta | None
    started_time: datetime
    task_queue: str
    task_token: bytes
    workflow_id: str | None
    workflow_namespace: str | None
    workflow_run_id: str | None
    workflow_type: str | None
    priority: Priority
    retry_policy: RetryPolicy | None
    scheduled_seq: int
    """Seq of the event ActivityTaskScheduled in the run's history."""
    activity_run_id: str | None = None

    @property
    def idempotency_key(self) -> str:
        """The same text in each attempt of this activity and in no other activity: a key for the outside world."""
        return f"{self.workflow_run_id}:{self.scheduled_seq}"

    @property
    def in_workflow(self) -> bool:
        """Whether a workflow scheduled it."""
        return self.workflow_id is not None

    def logger_details(self) -> Mapping[str, Any]:
        """What `logger` adds to each record."""
        return {
            "activity_id": self.activity_id,
            "activity_type": self.activity_type,
            "attempt": self.attempt,
            "namespace": self.namespace,
            "task_queue": self.task_queue,
            "workflow_id": self.workflow_id,
            "workflow_run_id": self.workflow_run_id,
            "workflow_type": self.workflow_type,
        }


@dataclass(frozen=True)
class ActivityCancellationDetails:
    """Why the attempt was asked to end."""

    not_found: bool = False
    cancel_requested: bool = False
    paused: bool = False
    reset: bool = False
    timed_out: bool = False
    worker_shutdown: bool = False


def in_activity() -> bool:
    """Whether this code runs in an activity."""
    return _current.get() is not None


def info() -> Info:
    """What is known about the running attempt. NotInActivityError outside of one, as for all below."""
    return _context("activity.info()").info


def client() -> "Client":
    """The worker's client, for use within the activity."""
    found: Client | None = _context("activity.client()").client
    if found is None:
        raise NotInActivityError("activity.client()")
    return found


def heartbeat(*details: Any) -> None:
    """Say that the attempt is alive. Never blocks; any thread with the activity's context may call it.

    `details` reach the next attempt as `info().heartbeat_details`. They are kept in
    this process: after a crash the next attempt finds none.
    """
    _context("activity.heartbeat()").heartbeat(*details)


def is_cancelled() -> bool:
    """Whether the attempt was asked to end."""
    return _context("activity.is_cancelled()").is_cancelled()


def cancellation_details() -> ActivityCancellationDetails | None:
    """Why the attempt was asked to end; None when it was not. Does not change once set."""
    return _context("activity.cancellation_details()").cancellation_details


async def wait_for_cancelled() -> None:
    """Wait until the attempt is asked to end."""
    await _context("activity.wait_for_cancelled()").cancelled.wait()


def wait_for_cancelled_sync(timeout: timedelta | float | None = None) -> None:
    """Block this thread until the attempt is asked to end, or for `timeout` (seconds when a number)."""
    _context("activity.wait_for_cancelled_sync()").cancelled.wait_in_thread(_seconds(timeout))


def is_worker_shutdown() -> bool:
    """Whether the worker is shutting down."""
    return _context("activity.is_worker_shutdown()").shutdown.is_set()


async def wait_for_worker_shutdown() -> None:
    """Wait until the worker shuts down."""
    await _context("activity.wait_for_worker_shutdown()").shutdown.wait()


def wait_for_worker_shutdown_sync(timeout: timedelta | float | None = None) -> None:
    """Block this thread until the worker shuts down, or for `timeout` (seconds when a number)."""
    _context("activity.wait_for_worker_shutdown_sync()").shutdown.wait_in_thread(_seconds(timeout))


@contextmanager
def shield_thread_cancel_exception() -> Generator[None]:
    """Within the block no cancellation is thrown into the thread of a sync activity; a pending one follows it.

    Blocks may nest. In an async activity it does nothing.
    """
    shield = _context("activity.shield_thread_cancel_exception()").shield
    if shield is None:
        yield
        return
    with shield():
        yield


def payload_converter() -> PayloadConverter:
    """The worker's payload converter."""
    return _context("activity.payload_converter()").payload_converter


class LoggerAdapter(logging.LoggerAdapter[logging.Logger]):
    """Adds what is known about the running activity to each record.

    `activity_info_on_message` appends it to the text, `activity_info_on_extra` puts a dict under
    `perdure_activity` into `extra`, `full_activity_info_on_extra` puts Info under `activity_info` there.
    """

    def __init__(self, logger: logging.Logger, extra: Mapping[str, Any] | None) -> None:
        super().__init__(logger, extra or {})
        self.activity_info_on_message = True
        self.activity_info_on_extra = True
        self.full_activity_info_on_extra = False

    def process(self, msg: Any, kwargs: MutableMapping[str, Any]) -> tuple[Any, MutableMapping[str, Any]]:
        """Add the details; outside of activities nothing is added."""
        context = _current.get()
        if context is None:
            return msg, kwargs
        details = context.info.logger_details()
        extra = dict(kwargs.get("extra") or {})
        if self.activity_info_on_extra:
            extra["perdure_activity"] = details
        if self.full_activity_info_on_extra:
            extra["activity_info"] = context.info
        kwargs["extra"] = extra
        return (f"{msg} ({details})" if self.activity_info_on_message else msg), kwargs

    @property
    def base_logger(self) -> logging.Logger:
        """The logger beneath, for handlers and levels."""
        return self.logger


logger = LoggerAdapter(logging.getLogger(__name__), None)
"""Logger that knows which activity is running."""


def _context(what: str) -> ActivityContext:
    context = _current.get()
    if context is None:
        raise NotInActivityError(what)
    return context


def _seconds(timeout: timedelta | float | None) -> float | None:
    return timeout.total_seconds() if isinstance(timeout, timedelta) else timeout
