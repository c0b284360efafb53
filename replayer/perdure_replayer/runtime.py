"""What workflow code can ask of its run. The sdk's `perdure.workflow` is a typed front of this.

The running event loop of workflow code is the run's own, so the run is found through it: no context variable,
no global, and other threads are told apart by themselves. `context.RunContext` implements this.
"""

import asyncio
from collections.abc import Callable, Sequence
from random import Random
from typing import Any, Protocol
from uuid import UUID

from perdure_history.events import WorkflowExecutionStarted
from perdure_replayer.commands import ActivityOptions
from perdure_replayer.definition import Converter, HandlerDefinition, WorkflowDefinition


class Runtime(Protocol):
    """The run as its own code sees it."""

    run_id: str
    started: WorkflowExecutionStarted
    definition: WorkflowDefinition
    converter: Converter
    is_replaying: bool
    instance: Any
    """The workflow object; None for a function workflow."""
    cancellation_reason: str | None
    """Reason of the first cancel request; None before it."""

    @property
    def random(self) -> Random:
        """Seeded from the run; replay draws the same numbers."""
        ...

    @property
    def is_read_only(self) -> bool:
        """Whether a query is being answered."""
        ...

    def time_us(self) -> int:
        """The turn's time."""
        ...

    def history_length(self) -> int:
        """Seq of the last input event of this turn: the same live and on replay."""
        ...

    def started_at_us(self) -> int:
        """Time of the first turn."""
        ...

    def uuid4(self) -> UUID:
        """A random UUID from a stream of its own."""
        ...

    def uuid7(self) -> UUID:
        """A UUID of the turn's time, from a stream of its own."""
        ...

    def new_random(self) -> Random:
        """A generator of its own, seeded from `random`."""
        ...

    def schedule_activity(
        self,
        name: str,
        arguments: Sequence[Any],
        *,
        result_type: Any,
        options: ActivityOptions,
        callee: object | None = None,
    ) -> asyncio.Future[Any]:
        """Issue the command; the future has the result, or raises as Temporal's ActivityHandle does.

        `cancel()` on it follows `options.cancellation_type`, also when the awaiting task is cancelled.
        """
        ...

    def start_timer(self, delay_us: int, *, summary: str = "") -> asyncio.Future[None]:
        """Issue the command; the future is done when the timer fired. Cancelling it cancels the timer."""
        ...

    def wait_condition(self, predicate: Callable[[], bool]) -> asyncio.Future[None]:
        """Done when `predicate` is true; asked in order of creation each time the ready queue has drained."""
        ...

    def signal_handlers(self) -> dict[str | None, HandlerDefinition]:
        """By name; None is the dynamic one. Changed through `set_signal_handler`."""
        ...

    def set_signal_handler(self, name: str | None, handler: HandlerDefinition | None) -> None:
        """Set or remove a handler; signals that waited for it are delivered at once, in order."""
        ...

    def query_handlers(self) -> dict[str | None, HandlerDefinition]:
        """By name; None is the dynamic one. Changed through `set_query_handler`."""
        ...

    def set_query_handler(self, name: str | None, handler: HandlerDefinition | None) -> None:
        """Set or remove a handler."""
        ...

    def all_handlers_finished(self) -> bool:
        """Whether no signal handler is between its begin and its end."""
        ...

    def refuse_if_read_only(self, action: str) -> None:
        """Raises ReadOnlyContextError inside a query; `action` completes 'cannot ...'."""
        ...


def find() -> Runtime | None:
    """The run whose code is running on this thread; None outside workflow code."""
    return getattr(asyncio._get_running_loop(), "perdure_runtime", None)  # noqa: SLF001
