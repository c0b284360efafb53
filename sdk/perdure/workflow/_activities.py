"""Activities from workflow code."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Concatenate, ParamSpec, TypeAlias, TypedDict, TypeVar, TypeVarTuple, Unpack, overload

from perdure._scheduling import cached_overrides, schedule
from perdure._signatures import one_or_many
from perdure.common import Priority, RetryPolicy
from perdure.durations import Duration
from perdure.workflow._access import current
from perdure_replayer.commands import CancellationType

ReturnType = TypeVar("ReturnType")
ParamType = TypeVar("ParamType")
SelfType = TypeVar("SelfType")
Params = TypeVarTuple("Params")
AnyParams = ParamSpec("AnyParams")

ActivityCancellationType = CancellationType
ActivityHandle: TypeAlias = asyncio.Future[ReturnType]
"""Await it for the result; `cancel()` follows the activity's cancellation_type."""

_UNSET = object()


class ActivityConfig(TypedDict, total=False):
    """Keywords of `execute_activity` and `start_activity`. What is left out is the decorator's, or none.

    A timeout is a timedelta, a text such as "30s", or seconds. `task_queue`: the run's own when left out.
    `activity_id` is unique within the run; a number by default. `summary` is shown beside the activity.
    """

    task_queue: str | None
    schedule_to_close_timeout: Duration | None
    """From the call to the outcome, retries and waits included."""
    schedule_to_start_timeout: Duration | None
    """From the call to the start of the first attempt."""
    start_to_close_timeout: Duration | None
    """Of each attempt."""
    heartbeat_timeout: Duration | None
    """Longest silence of an attempt."""
    retry_policy: RetryPolicy | None
    cancellation_type: CancellationType
    activity_id: str | None
    summary: str | None
    priority: Priority
    """Accepted; queues are first come, first served."""
    versioning_intent: Any
    """Accepted; only a Temporal cluster has it."""


@overload
def start_activity(
    activity: Callable[[], Awaitable[ReturnType]], **config: Unpack[ActivityConfig]
) -> ActivityHandle[ReturnType]: ...
@overload
def start_activity(
    activity: Callable[[], ReturnType], **config: Unpack[ActivityConfig]
) -> ActivityHandle[ReturnType]: ...
@overload
def start_activity(
    activity: Callable[[ParamType], Awaitable[ReturnType]], arg: ParamType, **config: Unpack[ActivityConfig]
) -> ActivityHandle[ReturnType]: ...
@overload
def start_activity(
    activity: Callable[[ParamType], ReturnType], arg: ParamType, **config: Unpack[ActivityConfig]
) -> ActivityHandle[ReturnType]: ...
@overload
def start_activity(
    activity: Callable[[*Params], Awaitable[ReturnType]], *several: *Params, **config: Unpack[ActivityConfig]
) -> ActivityHandle[ReturnType]: ...
@overload
def start_activity(
    activity: Callable[[*Params], ReturnType], *several: *Params, **config: Unpack[ActivityConfig]
) -> ActivityHandle[ReturnType]: ...
@overload
def start_activity(
    activity: Callable[..., Awaitable[ReturnType]], *, args: Sequence[Any], **config: Unpack[ActivityConfig]
) -> ActivityHandle[ReturnType]: ...
@overload
def start_activity(
    activity: Callable[..., ReturnType], *, args: Sequence[Any], **config: Unpack[ActivityConfig]
) -> ActivityHandle[ReturnType]: ...
@overload
def start_activity(
    activity: str,
    *several: Any,
    args: Sequence[Any] = ...,
    result_type: type[ReturnType],
    **config: Unpack[ActivityConfig],
) -> ActivityHandle[ReturnType]: ...
@overload
def start_activity(
    activity: str,
    *several: Any,
    args: Sequence[Any] = ...,
    result_type: None = None,
    **config: Unpack[ActivityConfig],
) -> ActivityHandle[Any]: ...


def start_activity(activity: Any, *several: Any, **config: Any) -> ActivityHandle[Any]:  # type: ignore[misc]  # mypy: *Params beside **config
    """Schedule an activity, by function or by name, and return at once; await the handle for the result.

    Arguments are positional or `args=[...]`. `result_type` says what a result by name decodes as. Raises
    ArgumentError, InvalidOptionError, EncodingError or NotDefinedError before anything is written. The handle
    raises ActivityError, whose `cause` is the last attempt's error, or asyncio.CancelledError.
    """
    return _start("start_activity()", activity, several, **config)


@overload
async def execute_activity(
    activity: Callable[[], Awaitable[ReturnType]], **config: Unpack[ActivityConfig]
) -> ReturnType: ...
@overload
async def execute_activity(
    activity: Callable[[], ReturnType], **config: Unpack[ActivityConfig]
) -> ReturnType: ...
@overload
async def execute_activity(
    activity: Callable[[ParamType], Awaitable[ReturnType]], arg: ParamType, **config: Unpack[ActivityConfig]
) -> ReturnType: ...
@overload
async def execute_activity(
    activity: Callable[[ParamType], ReturnType], arg: ParamType, **config: Unpack[ActivityConfig]
) -> ReturnType: ...
@overload
async def execute_activity(
    activity: Callable[[*Params], Awaitable[ReturnType]], *several: *Params, **config: Unpack[ActivityConfig]
) -> ReturnType: ...
@overload
async def execute_activity(
    activity: Callable[[*Params], ReturnType], *several: *Params, **config: Unpack[ActivityConfig]
) -> ReturnType: ...
@overload
async def execute_activity(
    activity: Callable[..., Awaitable[ReturnType]], *, args: Sequence[Any], **config: Unpack[ActivityConfig]
) -> ReturnType: ...
@overload
async def execute_activity(
    activity: Callable[..., ReturnType], *, args: Sequence[Any], **config: Unpack[ActivityConfig]
) -> ReturnType: ...
@overload
async def execute_activity(
    activity: str,
    *several: Any,
    args: Sequence[Any] = ...,
    result_type: type[ReturnType],
    **config: Unpack[ActivityConfig],
) -> ReturnType: ...
@overload
async def execute_activity(
    activity: str,
    *several: Any,
    args: Sequence[Any] = ...,
    result_type: None = None,
    **config: Unpack[ActivityConfig],
) -> Any: ...


async def execute_activity(activity: Any, *several: Any, **config: Any) -> Any:  # type: ignore[misc]  # mypy: *Params beside **config
    """Schedule an activity and wait for its result: `await start_activity(...)`."""
    return await _start("execute_activity()", activity, several, **config)


@overload
def start_activity_method(
    activity: Callable[Concatenate[SelfType, AnyParams], Awaitable[ReturnType]],
    *several: Any,
    args: Sequence[Any] = ...,
    **config: Unpack[ActivityConfig],
) -> ActivityHandle[ReturnType]: ...
@overload
def start_activity_method(
    activity: Callable[Concatenate[SelfType, AnyParams], ReturnType],
    *several: Any,
    args: Sequence[Any] = ...,
    **config: Unpack[ActivityConfig],
) -> ActivityHandle[ReturnType]: ...


def start_activity_method(activity: Any, *several: Any, **config: Any) -> ActivityHandle[Any]:
    """As `start_activity`, for a method named through its class, such as `Billing.charge`."""
    return _start("start_activity_method()", activity, several, **config)


@overload
async def execute_activity_method(
    activity: Callable[Concatenate[SelfType, AnyParams], Awaitable[ReturnType]],
    *several: Any,
    args: Sequence[Any] = ...,
    **config: Unpack[ActivityConfig],
) -> ReturnType: ...
@overload
async def execute_activity_method(
    activity: Callable[Concatenate[SelfType, AnyParams], ReturnType],
    *several: Any,
    args: Sequence[Any] = ...,
    **config: Unpack[ActivityConfig],
) -> ReturnType: ...


async def execute_activity_method(activity: Any, *several: Any, **config: Any) -> Any:
    """As `execute_activity`, for a method named through its class, such as `Billing.charge`."""
    return await _start("execute_activity_method()", activity, several, **config)


def _start(
    what: str,
    activity: Any,
    several: tuple[Any, ...],
    *,
    arg: Any = _UNSET,
    args: Sequence[Any] = (),
    result_type: Any = None,
    priority: Priority | None = None,
    versioning_intent: Any = None,
    **config: Any,
) -> ActivityHandle[Any]:
    runtime = current(what)
    if args or arg is not _UNSET:
        several = several + one_or_many(arg if not several else several[0], args, _UNSET, what)
    overrides = cached_overrides(config) if config else config
    return schedule(runtime, activity, several, overrides, result_type=result_type)
