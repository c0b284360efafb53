"""One run's code in execution: feed it a turn's inputs, let it run until it waits, take the commands it issued.

Owns the loop, the machines and the outcome of the run. Called by `turn.LiveRun` only, which keeps the books.
After an exception from `run_turn` the execution is good for nothing but `evict`.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence
from contextvars import Context
from functools import lru_cache
from inspect import Signature, isawaitable, signature
from typing import Any, cast

from perdure_history.errors import CorruptHistoryError
from perdure_history.events import (
    REPLAY_FORMAT,
    ActivityTaskCanceled,
    ActivityTaskCompleted,
    ActivityTaskFailed,
    ActivityTaskTimedOut,
    Event,
    TimerFired,
    WorkflowExecutionCancelRequested,
    WorkflowExecutionSignaled,
    WorkflowExecutionStarted,
    WorkflowTaskStarted,
)
from perdure_history.failures import Failure, FailureKind, RetryState
from perdure_replayer.commands import CancelRun, CompleteRun, FailRun
from perdure_replayer.conditions import Conditions
from perdure_replayer.context import RunContext
from perdure_replayer.definition import Converter, HandlerDefinition, WorkflowDefinition, decode_arguments
from perdure_replayer.errors import TurnFailedError, UnknownReplayFormatError
from perdure_replayer.explain import find_definition, find_raised, find_waiting
from perdure_replayer.inbox import Inbox, collect_handlers
from perdure_replayer.journal import Issued, Journal
from perdure_replayer.loop import RUNNING, WorkflowLoop
from perdure_replayer.machines import ActivityMachine, Machine, TimerMachine
from perdure_replayer.randomness import derive_number

Outcome = CompleteRun | FailRun | CancelRun
Input = tuple[int, Event]


class Execution:
    """The code of one run between two turns: its tasks, what they wait for, and how the run ended."""

    def __init__(
        self, run_id: str, definition: WorkflowDefinition, *, converter: Converter, logger: logging.Logger
    ) -> None:
        self.run_id = run_id
        self.context: RunContext | None = None
        """None before the start event."""
        self.machines: dict[int, Machine] = {}
        """What has no outcome yet, by seq."""
        self.outcome: Outcome | None = None
        self.loop = WorkflowLoop(self)  # type: ignore[abstract]  # refusals.py makes the other methods in a loop
        self.inbox = Inbox()
        self.journal = Journal(self.loop, converter)
        self._definition = definition
        self._converter = converter
        self._logger = logger
        self._conditions = Conditions()
        self._variables = Context()
        self._main: asyncio.Task[Any] | None = None
        self._error: BaseException | None = None
        """What fails the turn."""
        self._let_through: BaseException | None = None
        """What ended the run."""

    def run_turn(self, inputs: Sequence[Input], *, turn: int, time: int, replaying: bool) -> list[Issued]:
        """Apply `inputs` in order, run until the code waits, and give the commands in the order of issue.

        The closing command, if the run ended, is the last. Raises TurnFailedError, CorruptHistoryError,
        UnknownReplayFormatError.
        """
        loop = self.loop
        loop.turn_time = time
        before = loop.enter(RUNNING)
        try:
            self._variables.run(self._pass, inputs, replaying)
        except KeyboardInterrupt:
            raise
        except (CorruptHistoryError, UnknownReplayFormatError):
            raise
        except BaseException as error:
            raise TurnFailedError(self.run_id, turn, error) from error
        finally:
            loop.leave(before)
        if self._error is not None:
            raise TurnFailedError(self.run_id, turn, self._error) from self._error
        if self.outcome is not None:
            self.journal.issue(self.outcome, None, place=self._ends_at() if self.journal.tracing else "")
        return self.journal.take()

    def waits_at(self) -> str:
        """file:line where the main coroutine waits; empty when it has ended."""
        return find_waiting(self._main)

    def _ends_at(self) -> str:
        raised = "" if self._let_through is None else find_raised(self._let_through)
        return raised or find_definition(self._definition.run)

    # For the loop

    def start_loop_timer(
        self, callback: Callable[..., object], args: tuple[Any, ...], context: Context, *, delay_us: int
    ) -> asyncio.TimerHandle:
        """Issue a timer for `call_later`."""
        return self.journal.start_timer(callback, args, context=context, delay_us=delay_us)

    def report_loop_error(self, context: dict[str, Any]) -> None:
        """Log what asyncio reports, unless the run is replaying."""
        if self.context is not None and not self.context.is_replaying:
            error = context.get("exception")
            self._logger.error("run %s: %s", self.run_id, context.get("message"), exc_info=error)

    # A turn

    def _pass(self, inputs: Sequence[Input], replaying: bool) -> None:
        if self.context is not None:
            context = self.context
            context.is_replaying = replaying
            context.last_input_seq = _last_news(inputs)
            for seq, event in inputs:
                self._apply(seq, event)
        else:
            self._begin(inputs, replaying)
        self.loop.run_until_blocked(self._conditions.release)

    def _begin(self, inputs: Sequence[Input], replaying: bool) -> None:
        """The first turn: make the object, take the signals that came with the start, then call `run`."""
        first_seq, started = inputs[0]
        if not isinstance(started, WorkflowExecutionStarted):
            raise CorruptHistoryError(
                self.run_id, first_seq, "the first event is not WorkflowExecutionStarted"
            )
        if started.replay_format != REPLAY_FORMAT:
            raise UnknownReplayFormatError(self.run_id, started.replay_format, REPLAY_FORMAT)
        definition = self._definition
        self.loop.number = derive_number(started.seed, "hash") & (1 << 60) - 1
        self.inbox.signals = collect_handlers(definition.signals, definition.dynamic_signal)
        self.inbox.queries = collect_handlers(definition.queries, definition.dynamic_query)
        context = self.context = RunContext(
            self.run_id,
            started,
            definition=definition,
            journal=self.journal,
            inbox=self.inbox,
            conditions=self._conditions,
            deliver=self._deliver,
        )
        context.is_replaying = replaying
        context.last_input_seq = _last_news(inputs)
        self.loop.perdure_runtime = context
        try:
            arguments = decode_arguments(self._converter, started.input, definition.arg_types)
            if definition.workflow_class is not None:
                context.instance = definition.workflow_class(
                    *(arguments if definition.init_takes_args else ())
                )
                arguments.insert(0, context.instance)
            for seq, event in inputs[1:]:
                self._apply(seq, event)
            main = self.loop.create_task(definition.run(*arguments), name=definition.name)
        except Exception as error:  # noqa: BLE001  # the user's constructor, or arguments that do not fit
            self._end_with(error)
            return
        self._main = main
        main.add_done_callback(self._main_done)
        if context.cancellation_reason is not None:
            self.loop.call_soon(main.cancel)

    def _apply(self, seq: int, event: Event) -> None:
        match event:
            case ActivityTaskCompleted():
                self._resolved_activity(seq, event.scheduled_seq).complete(event.result)
            case TimerFired():
                self._fired_timer(seq, event.timer_seq).fire()
            case ActivityTaskFailed():
                self._resolved_activity(seq, event.scheduled_seq).fail(
                    "Activity task failed",
                    cause=event.failure,
                    retry_state=event.retry_state,
                    outcome_seq=seq,
                )
            case ActivityTaskTimedOut():
                self._resolved_activity(seq, event.scheduled_seq).fail(
                    "Activity task timed out",
                    cause=event.failure,
                    retry_state=event.retry_state,
                    outcome_seq=seq,
                )
            case ActivityTaskCanceled():
                cause = Failure(message="Cancelled", kind=FailureKind.CANCELED, details=event.details)
                self._resolved_activity(seq, event.scheduled_seq).fail(
                    "Activity cancelled",
                    cause=cause,
                    retry_state=RetryState.CANCEL_REQUESTED,
                    outcome_seq=seq,
                )
            case WorkflowExecutionSignaled():
                handler = self.inbox.signal_handler(event.signal_name)
                if handler is None:
                    self.inbox.waiting.append(event)
                else:
                    self._deliver(event, handler)
            case WorkflowExecutionCancelRequested():
                self._request_cancel(event.reason)
            case WorkflowTaskStarted():
                pass  # carries the turn's time, and nothing for the code
            case _:
                raise CorruptHistoryError(
                    self.run_id, seq, f"{type(event).__name__} cannot be input to a turn"
                )

    def _resolved_activity(self, seq: int, scheduled_seq: int) -> ActivityMachine:
        machine = self.machines.pop(scheduled_seq, None)
        if not isinstance(machine, ActivityMachine):
            raise CorruptHistoryError(
                self.run_id,
                seq,
                f"it is the outcome of event {scheduled_seq}, which is no activity that is pending",
            )
        return machine

    def _fired_timer(self, seq: int, timer_seq: int) -> TimerMachine:
        machine = self.machines.pop(timer_seq, None)
        if not isinstance(machine, TimerMachine):
            raise CorruptHistoryError(
                self.run_id, seq, f"it fires event {timer_seq}, which is no timer that is pending"
            )
        return machine

    def _request_cancel(self, reason: str) -> None:
        context = self.context
        # Cancellation is a state: asking again adds nothing.
        if context is None or context.cancellation_reason is not None:
            return
        context.cancellation_reason = reason
        if self._main is not None:
            self.loop.call_soon(self._main.cancel)

    # Signals

    def _deliver(self, signal: WorkflowExecutionSignaled, handler: HandlerDefinition) -> None:
        arguments: Sequence[Any]
        try:
            if handler.takes_raw:
                arguments = [signal.signal_name, signal.input]
            else:
                arguments = decode_arguments(self._converter, signal.input, handler.arg_types)
                _signature(handler.function).bind(self.context, *arguments)
        except Exception as error:  # noqa: BLE001  # whatever a converter raises, the sender's mistake ends here
            if self.context is not None and not self.context.is_replaying:
                self._logger.warning(
                    "run %s: signal %r is dropped, its arguments do not fit: %s",
                    self.run_id,
                    signal.signal_name,
                    error,
                )
            return
        self.inbox.unfinished += 1
        task = self.loop.create_task(
            _call_handler(handler.function, self.context.instance if self.context else None, arguments),
            name=f"signal: {signal.signal_name}",
        )
        task.add_done_callback(self._handler_done)

    def _handler_done(self, task: asyncio.Task[Any]) -> None:
        self.inbox.unfinished -= 1
        if task.cancelled():
            self._end_with(_cancelled_error(task))
        elif (error := task.exception()) is not None:
            self._end_with(error)

    # The end

    def _main_done(self, task: asyncio.Task[Any]) -> None:
        if task.cancelled():
            self._end_with(_cancelled_error(task))
        elif (error := task.exception()) is not None:
            self._end_with(error)
        elif self.outcome is None:
            try:
                self.outcome = CompleteRun(self._converter.to_payload(task.result()))
            except Exception as unencodable:  # noqa: BLE001  # counts as if the code had raised it
                self._end_with(unencodable)

    def _end_with(self, error: BaseException) -> None:
        """Code let `error` through: the run is canceled or failed, or else the turn fails."""
        if self.outcome is not None or self._error is not None or self.context is None:
            return
        try:
            if self.context.cancellation_reason is not None and self._is_cancelled(error):
                self.outcome = CancelRun()
                self._let_through = error
            elif isinstance(error, asyncio.CancelledError) or self._definition.fails_run(error):
                self.outcome = FailRun(self._converter.to_failure(error))
                self._let_through = error
            else:
                self._error = error
                self.loop.stopped = True
        except Exception as unconvertible:  # noqa: BLE001  # a converter's bug is no reason to lose the turn's error
            self._error = unconvertible
            self.loop.stopped = True

    def _is_cancelled(self, error: BaseException) -> bool:
        # A task group of cancelled activities raises their errors as a group.
        if isinstance(error, BaseExceptionGroup):
            group = cast("BaseExceptionGroup[BaseException]", error)
            return all(map(self._is_cancelled, group.exceptions))
        return self._converter.is_cancelled(error)

    # Leaving memory

    def evict(self) -> None:
        """Close all coroutines, so that their finally blocks run and can ask for nothing."""
        loop = self.loop
        loop.evict()
        self.machines.clear()
        self._conditions.clear()
        self.journal.take()
        self._main = self._error = self._let_through = None
        if self.context is not None:
            self.context.instance = None


def _last_news(inputs: Sequence[Input]) -> int:
    """Seq of the last event that was input when the turn was computed."""
    seq, event = inputs[-1]
    return seq if event.__class__ is not WorkflowTaskStarted else inputs[-2][0] if len(inputs) > 1 else 0


async def _call_handler(function: Callable[..., Any], instance: Any, arguments: Sequence[Any]) -> None:
    answer = function(instance, *arguments)
    if isawaitable(answer):
        await answer


def _cancelled_error(task: asyncio.Task[Any]) -> BaseException:
    """The CancelledError that ended the task, with its message and traceback."""
    try:
        task.result()
    except asyncio.CancelledError as error:
        return error
    return asyncio.CancelledError()


@lru_cache(maxsize=4096)
def _signature(function: Callable[..., Any]) -> Signature:
    return signature(function)
