"""The run as its own code sees it: the implementation of `runtime.Runtime`."""

import asyncio
from collections.abc import Callable, Sequence
from contextvars import copy_context
from random import Random
from typing import Any
from uuid import UUID

from perdure_history.events import WorkflowExecutionSignaled, WorkflowExecutionStarted
from perdure_replayer.commands import ActivityOptions, ScheduleActivity
from perdure_replayer.conditions import Condition, Conditions
from perdure_replayer.definition import Converter, HandlerDefinition, WorkflowDefinition
from perdure_replayer.errors import ReadOnlyContextError
from perdure_replayer.inbox import Inbox
from perdure_replayer.journal import Journal
from perdure_replayer.loop import READ_ONLY, RUNNING, WorkflowLoop
from perdure_replayer.machines import ActivityMachine, TimerFuture
from perdure_replayer.randomness import Randomness

Deliver = Callable[[WorkflowExecutionSignaled, HandlerDefinition], None]


class RunContext:
    """What `runtime.find` gives to the code of one run."""

    def __init__(
        self,
        run_id: str,
        started: WorkflowExecutionStarted,
        *,
        definition: WorkflowDefinition,
        journal: Journal,
        inbox: Inbox,
        conditions: Conditions,
        deliver: Deliver,
    ) -> None:
        self.run_id = run_id
        self.started = started
        self.definition = definition
        self.converter: Converter = journal.converter
        self.is_replaying = False
        self.instance: Any = None
        self.cancellation_reason: str | None = None
        self.randomness = Randomness(started.seed)
        self.last_input_seq = 0
        self.first_turn_time = journal.loop.turn_time
        self._loop: WorkflowLoop = journal.loop
        self._journal = journal
        self._inbox = inbox
        self._conditions = conditions
        self._deliver = deliver

    @property
    def random(self) -> Random:
        """Seeded from the run; what a query draws from it is put back."""
        return self.randomness.stream("random")

    @property
    def is_read_only(self) -> bool:
        """Whether a query is being answered."""
        return self._loop.phase is READ_ONLY

    def time_us(self) -> int:
        """The turn's time."""
        return self._loop.turn_time

    def history_length(self) -> int:
        """Seq of the last input event of this turn: the same live and on replay."""
        return self.last_input_seq

    def started_at_us(self) -> int:
        """Time of the first turn."""
        return self.first_turn_time

    def uuid4(self) -> UUID:
        """A random UUID from a stream of its own."""
        return self.randomness.uuid4()

    def uuid7(self) -> UUID:
        """A UUID of the turn's time, from a stream of its own."""
        return self.randomness.uuid7(self._loop.turn_time)

    def new_random(self) -> Random:
        """A generator of its own, seeded from `random`."""
        return self.randomness.new_stream()

    def schedule_activity(
        self,
        name: str,
        arguments: Sequence[Any],
        *,
        result_type: Any,
        options: ActivityOptions,
        callee: object | None = None,
    ) -> asyncio.Future[Any]:
        """Issue the command; the future has the result, or raises what became of the activity."""
        loop = self._loop
        if loop.phase is not RUNNING:
            loop.refuse_unless_running("schedule an activity")
        payloads = tuple(map(self.converter.to_payload, arguments))
        journal = self._journal
        journal.numbered += 1
        loop.number += 1
        command = ScheduleActivity(name, payloads, options, journal.numbered, self.started.task_queue)
        machine = ActivityMachine(loop.number, journal, command, result_type=result_type, callee=callee)
        journal.issue(command, machine)
        return machine

    def start_timer(self, delay_us: int, *, summary: str = "") -> asyncio.Future[None]:
        """Issue the command; the future is done when the timer fired. A delay of 0 or less is over in this turn."""
        loop = self._loop
        loop.refuse_unless_running("start a timer")
        loop.number += 1
        future = TimerFuture(loop.number, loop)
        if delay_us <= 0:
            loop.call_soon(future.finish)
            return future
        future.timer = self._journal.start_timer(
            future.finish, (), context=copy_context(), delay_us=delay_us, summary=summary
        )
        return future

    def wait_condition(self, predicate: Callable[[], bool]) -> asyncio.Future[None]:
        """Done when `predicate` is true; asked in order of creation each time the ready queue has drained."""
        self._loop.refuse_unless_running("wait for a condition")
        future = self._loop.create_future()
        self._conditions.add(Condition(predicate, future, copy_context()))
        return future

    def signal_handlers(self) -> dict[str | None, HandlerDefinition]:
        """By name; None is the dynamic one. A copy: change it through `set_signal_handler`."""
        return dict(self._inbox.signals)

    def set_signal_handler(self, name: str | None, handler: HandlerDefinition | None) -> None:
        """Set or remove a handler; signals that waited for it are delivered at once, in order."""
        self._loop.refuse_unless_running("set a signal handler")
        for signal in self._inbox.set_signal_handler(name, handler):
            if handler is not None:
                self._deliver(signal, handler)

    def query_handlers(self) -> dict[str | None, HandlerDefinition]:
        """By name; None is the dynamic one. A copy."""
        return dict(self._inbox.queries)

    def set_query_handler(self, name: str | None, handler: HandlerDefinition | None) -> None:
        """Set or remove a handler."""
        self._loop.refuse_unless_running("set a query handler")
        self._inbox.set_query_handler(name, handler)

    def all_handlers_finished(self) -> bool:
        """Whether no signal handler is between its begin and its end."""
        return self._inbox.unfinished == 0

    def refuse_if_read_only(self, action: str) -> None:
        """Raises ReadOnlyContextError inside a query; `action` completes 'cannot ...'."""
        if self._loop.phase is READ_ONLY:
            raise ReadOnlyContextError(action)
