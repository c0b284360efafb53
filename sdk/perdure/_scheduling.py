"""From a call in workflow code to the command that schedules an activity."""

import asyncio
import functools
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

import msgspec

from perdure._texts import checked_text
from perdure.common import RetryPolicy
from perdure.definitions import ActivityDefinition, activity_definition, did_you_mean
from perdure.durations import Duration, to_optional_microseconds
from perdure.exceptions import ArgumentError, EncodingError, InvalidOptionError
from perdure_replayer.commands import ActivityOptions, CancellationType
from perdure_replayer.runtime import Runtime

NO_OPTIONS = ActivityOptions()

_OPTIONS = (
    "task_queue",
    "schedule_to_close_timeout",
    "schedule_to_start_timeout",
    "start_to_close_timeout",
    "heartbeat_timeout",
    "retry_policy",
    "cancellation_type",
    "activity_id",
    "summary",
)


def schedule(
    runtime: Runtime,
    activity: str | Callable[..., Any],
    arguments: tuple[Any, ...],
    overrides: dict[str, Any],
    *,
    result_type: Any = None,
) -> "asyncio.Future[Any]":
    """Issue the command for an activity, by function or by name. `overrides` as made by `overrides_from`.

    Raises ArgumentError or EncodingError before anything is issued.
    """
    if isinstance(activity, str):
        options = msgspec.structs.replace(NO_OPTIONS, **overrides) if overrides else NO_OPTIONS
        return _issue(
            runtime, activity, arguments, Any if result_type is None else result_type, options, None, None
        )
    definition = activity_definition(activity)
    arguments = definition.shape.arguments(definition.name, arguments)
    options = msgspec.structs.replace(definition.options, **overrides) if overrides else definition.options
    # A method that is not bound cannot be called: the worker finds it by its name.
    callee = None if definition.needs_self else activity
    hint = definition.return_type if result_type is None else result_type
    return _issue(runtime, definition.name, arguments, hint, options, callee, definition)


def _issue(
    runtime: Runtime,
    name: str,
    arguments: Sequence[Any],
    result_type: Any,
    options: ActivityOptions,
    callee: object | None,
    definition: ActivityDefinition | None,
) -> "asyncio.Future[Any]":
    if options.task_queue not in ("", runtime.started.task_queue):
        raise InvalidOptionError(
            "task_queue",
            options.task_queue,
            f"activities of this version run with their workflow, on {runtime.started.task_queue!r}; leave it out",
        )
    try:
        return runtime.schedule_activity(
            name, arguments, result_type=result_type, options=options, callee=callee
        )
    except EncodingError as error:
        _raise_named(runtime, name, arguments, definition, error)


def _raise_named(
    runtime: Runtime,
    name: str,
    arguments: Sequence[Any],
    definition: ActivityDefinition | None,
    error: EncodingError,
) -> NoReturn:
    """The error again, with the name of the argument that has the fault."""
    for at, argument in enumerate(arguments):
        try:
            runtime.converter.to_payload(argument)
        except EncodingError as fault:
            parameter = definition.shape.parameter(at) if definition else f"argument {at + 1}"
            raise fault.named(parameter, f"activity {name!r}") from None
    raise error


def cached_overrides(config: dict[str, Any]) -> dict[str, Any]:
    """As `overrides_from`; calls of one place in the code mostly have the same options. Not to be changed."""
    try:
        return _overrides_of(tuple(config.items()))
    except TypeError:  # something that does not hash, or an option that does not exist
        for name in config:
            if name not in _OPTIONS:
                why = f"there is no option {name!r}; {did_you_mean(name, _OPTIONS)}"
                raise ArgumentError("an activity", "", why) from None
        return overrides_from(**config)


@functools.lru_cache(maxsize=256)
def _overrides_of(config: tuple[tuple[str, Any], ...]) -> dict[str, Any]:
    return overrides_from(**dict(config))


def overrides_from(
    *,
    task_queue: str | None = None,
    schedule_to_close_timeout: Duration | None = None,
    schedule_to_start_timeout: Duration | None = None,
    start_to_close_timeout: Duration | None = None,
    heartbeat_timeout: Duration | None = None,
    retry_policy: RetryPolicy | None = None,
    cancellation_type: CancellationType | None = None,
    activity_id: str | None = None,
    summary: str | None = None,
) -> dict[str, Any]:
    """What was given, as fields of ActivityOptions. Raises InvalidOptionError."""
    given: dict[str, Any] = {}
    timeouts = (
        ("schedule_to_close_timeout", schedule_to_close_timeout),
        ("schedule_to_start_timeout", schedule_to_start_timeout),
        ("start_to_close_timeout", start_to_close_timeout),
        ("heartbeat_timeout", heartbeat_timeout),
    )
    for name, timeout in timeouts:
        if timeout is not None:
            us = to_optional_microseconds(timeout, name)
            if us == 0:
                raise InvalidOptionError(
                    name, timeout, "nothing ends in no time; leave it out for no timeout"
                )
            given[f"{name}_us"] = us
    if retry_policy is not None:
        if not isinstance(retry_policy, RetryPolicy):  # pyright: ignore[reportUnnecessaryIsInstance]  users without a type checker
            raise InvalidOptionError("retry_policy", retry_policy, "it must be a perdure.common.RetryPolicy")
        given["retry_policy"] = retry_policy.to_record()
    if cancellation_type is not None:
        given["cancellation_type"] = cancellation_type
    texts = {"task_queue": task_queue, "activity_id": activity_id, "summary": summary}
    given.update((name, checked_text(name, text)) for name, text in texts.items() if text not in (None, ""))
    return given
