"""Answers queries from a run's state, and sees to it that none leaves a trace."""

from collections.abc import Coroutine, Sequence
from contextvars import Context
from inspect import iscoroutine
from typing import Any

from perdure_history.payloads import Payload
from perdure_replayer.definition import Converter, HandlerDefinition, decode_arguments
from perdure_replayer.errors import QueryFailedError
from perdure_replayer.execution import Execution
from perdure_replayer.loop import READ_ONLY


def answer_query(
    execution: Execution, name: str, arguments: Sequence[Payload], *, converter: Converter
) -> Payload:
    """What the handler returns, encoded. The loop does not run, and random draws are taken back.

    Raises QueryFailedError, with the handler's exception as its cause.
    """
    run_id = execution.run_id
    context = execution.context
    if context is None:
        raise QueryFailedError(run_id, name, "the run has not begun; ask again when a worker has taken it")
    handler = execution.inbox.query_handler(name)
    if handler is None:
        known = sorted(repr(one) for one in execution.inbox.queries if one is not None)
        raise QueryFailedError(
            run_id, name, f"there is no such query; known are {', '.join(known) or 'none'}"
        )
    randomness = context.randomness.snapshot()
    outside = execution.loop.enter(READ_ONLY)
    try:
        return Context().run(_call, handler, name, arguments, context.instance, converter)
    except Exception as error:
        raise QueryFailedError(run_id, name, f"{type(error).__name__}: {error}") from error
    finally:
        execution.loop.leave(outside)
        context.randomness.restore(randomness)


def _call(
    handler: HandlerDefinition, name: str, payloads: Sequence[Payload], instance: Any, converter: Converter
) -> Payload:
    arguments: Sequence[Any]
    if handler.takes_raw:
        arguments = [name, tuple(payloads)]
    else:
        arguments = decode_arguments(converter, payloads, handler.arg_types)
    answer = handler.function(instance, *arguments)
    return converter.to_payload(_finish(answer) if iscoroutine(answer) else answer)


def _finish(coro: Coroutine[Any, Any, Any]) -> Any:
    """The result of an `async def` handler, which must not wait for anything."""
    try:
        coro.send(None)
    except StopIteration as end:
        return end.value
    finally:
        coro.close()
    raise RuntimeError("its handler waits for something; a query must answer at once")
