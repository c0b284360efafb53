"""Plays the worker for replay tests: makes turns, records them, completes activities and fires timers."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from perdure_history.events import (
    ActivityTaskCompleted,
    Event,
    TimerFired,
    WorkflowExecutionCancelRequested,
    WorkflowExecutionSignaled,
    WorkflowExecutionStarted,
    WorkflowTaskStarted,
)
from perdure_history.failures import Failure, FailureKind
from perdure_history.payloads import Payload
from perdure_replayer.commands import ActivityOptions
from perdure_replayer.definition import HandlerDefinition, WorkflowDefinition
from perdure_replayer.runtime import Runtime, find
from perdure_replayer.turn import HistoryEvent, LiveRun, Turn, run_turn

START = 1_700_000_000_000_000
RUN_ID = "0190-run"
SEED = "5eed"


class AppError(Exception):
    """What test workflows raise, and what failures of activities become."""

    def __init__(self, message: str, failure: Failure | None = None) -> None:
        super().__init__(message)
        self.failure = failure


class JsonConverter:
    """msgspec JSON, and the least that failures need."""

    def to_payload(self, value: object) -> Payload:
        return Payload(json=msgspec.Raw(msgspec.json.encode(value)))

    def from_payload(self, payload: Payload, hint: Any) -> Any:
        return msgspec.json.decode(payload.json, type=hint)

    def to_failure(self, error: BaseException) -> Failure:
        return Failure(message=str(error), type=type(error).__name__)

    def from_failure(self, failure: Failure) -> BaseException:
        error = AppError(failure.message, failure)
        if failure.cause is not None:
            error.__cause__ = self.from_failure(failure.cause)
        return error

    def is_cancelled(self, error: BaseException) -> bool:
        if isinstance(error, asyncio.CancelledError):
            return True
        failure = error.failure if isinstance(error, AppError) else None
        return bool(failure and failure.cause and failure.cause.kind is FailureKind.CANCELED)


CONVERTER = JsonConverter()


def payload(value: object) -> Payload:
    """`value` as it stands in the log."""
    return CONVERTER.to_payload(value)


def here() -> Runtime:
    """The run whose code is running."""
    runtime = find()
    assert runtime is not None
    return runtime


def activity(name: str, *arguments: object, result_type: Any = Any, **options: Any) -> "asyncio.Future[Any]":
    """Schedule an activity from workflow code."""
    return here().schedule_activity(
        name, arguments, result_type=result_type, options=ActivityOptions(**options)
    )


def function_workflow(run: Callable[..., Any], **fields: Any) -> WorkflowDefinition:
    """A workflow that any exception fails."""
    fields.setdefault("failure_exception_types", (Exception,))
    return WorkflowDefinition(name=run.__name__, run=run, workflow_class=None, arg_types=None, **fields)


def class_workflow(
    cls: type,
    *,
    signals: Sequence[str] = (),
    queries: Sequence[str] = (),
    dynamic_signal: str | None = None,
    **fields: Any,
) -> WorkflowDefinition:
    """A class with a `run` method, and the named methods as handlers."""
    handler = {name: HandlerDefinition(name, getattr(cls, name), None) for name in (*signals, *queries)}
    fields.setdefault("failure_exception_types", (AppError,))
    return WorkflowDefinition(
        name=cls.__name__,
        run=cls.run,  # type: ignore[attr-defined]  # every test workflow has one
        workflow_class=cls,
        arg_types=None,
        signals={name: handler[name] for name in signals},
        queries={name: handler[name] for name in queries},
        dynamic_signal=None
        if dynamic_signal is None
        else HandlerDefinition("", getattr(cls, dynamic_signal), None, takes_raw=True),
        **fields,
    )


def signal(name: str, *arguments: object, request_id: str = "") -> WorkflowExecutionSignaled:
    """A signal as it stands in the log."""
    return WorkflowExecutionSignaled(
        signal_name=name, input=tuple(map(payload, arguments)), request_id=request_id or f"signal-{name}"
    )


def cancel_request(reason: str = "because") -> WorkflowExecutionCancelRequested:
    """A cancel request as it stands in the log."""
    return WorkflowExecutionCancelRequested(request_id="cancel", reason=reason)


def start_event(definition: WorkflowDefinition, *arguments: object) -> WorkflowExecutionStarted:
    """The first event of a run."""
    return WorkflowExecutionStarted(
        workflow_type=definition.name,
        workflow_id="order-1",
        namespace="default",
        task_queue="main",
        input=tuple(map(payload, arguments)),
        seed=SEED,
    )


class Driver:
    """One run on a worker that has no database: `history` is what would be stored."""

    def __init__(
        self, definition: WorkflowDefinition, *arguments: object, begin: Sequence[Event] = ()
    ) -> None:
        self.definition = definition
        self.now = START
        # Whoever starts a run records that before a worker comes to its first turn.
        self.history = [HistoryEvent(1, 1, START - 5_000_000, start_event(definition, *arguments))]
        self.run = self.load()
        self.step(*begin)

    def load(self) -> LiveRun:
        """A live run at the end of the history."""
        run = LiveRun(RUN_ID, self.definition, CONVERTER)
        run.replay(list(self.history))
        return run

    def step(self, *news: Event) -> Turn:
        """Make and record the turn that `news` causes, one second after the last."""
        turn = self.run.advance(news, now=self.now)
        for place, event in enumerate((*turn.inputs, *turn.outputs)):
            self.history.append(HistoryEvent(turn.first_seq + place, turn.number, turn.time, event))
        self.now = turn.time + 1_000_000
        return turn

    def complete(self, name: str, result: object = None) -> Turn:
        """The oldest pending activity of this type returns."""
        return self.step(self.completed(name, result))

    def completed(self, name: str, result: object = None) -> ActivityTaskCompleted:
        """The event for it."""
        return ActivityTaskCompleted(scheduled_seq=self.pending(name), result=payload(result))

    def pending(self, name: str) -> int:
        """Seq of the oldest pending activity of this type."""
        return next(seq for seq, one in self.run.activities.items() if one.scheduled.activity_type == name)

    def fire(self) -> Turn:
        """The timer that is due first fires."""
        seq, fire_at = min(self.run.timers.items(), key=lambda item: (item[1], item[0]))
        self.now = max(self.now, fire_at)
        return self.step(TimerFired(timer_seq=seq))

    def drive(self, limit: int = 1000) -> Any:
        """Answer whatever waits, activities with their arguments, until the run ends; give the closing event."""
        for _ in range(limit):
            if self.run.closed:
                return self.history[-1].event
            if self.run.activities:
                seq, pending = next(iter(self.run.activities.items()))
                arguments = [CONVERTER.from_payload(one, Any) for one in pending.scheduled.input]
                result = arguments[0] if len(arguments) == 1 else arguments
                self.step(ActivityTaskCompleted(scheduled_seq=seq, result=payload(result)))
            else:
                self.fire()
        raise AssertionError(f"the run did not end in {limit} turns")

    def result(self) -> Any:
        """What the workflow returned."""
        return CONVERTER.from_payload(self.history[-1].event.result, Any)  # type: ignore[union-attr]

    def outputs(self) -> list[str]:
        """Types of all recorded events, in order."""
        return [type(row.event).__name__ for row in self.history]


def turn_ends(history: Sequence[HistoryEvent]) -> list[int]:
    """Lengths of the prefixes that end a turn."""
    return [
        place
        for place in range(1, len(history) + 1)
        if place == len(history) or history[place].turn != history[place - 1].turn
    ]


def assert_replays(definition: WorkflowDefinition, history: Sequence[HistoryEvent]) -> None:
    """Every prefix that ends a turn gives, with the next turn's inputs, exactly the recorded turn."""
    by_turn: dict[int, list[HistoryEvent]] = {}
    for row in history:
        if row.turn is not None:
            by_turn.setdefault(row.turn, []).append(row)
    for number, rows in by_turn.items():
        before = [row for row in history if row.seq < rows[0].seq]
        inputs = [row.event for row in rows if row.event.role.value == "input"]
        if number == 1:
            before, inputs = [history[0]], inputs[1:]
        inputs = [event for event in inputs if not isinstance(event, WorkflowTaskStarted)]
        turn = run_turn(
            definition, before, inputs, converter=CONVERTER, run_id=RUN_ID, now=rows[-1].recorded_at
        )
        assert turn.number == number
        assert turn.outputs == tuple(row.event for row in rows if row.event.role.value == "output")
    whole = LiveRun(RUN_ID, definition, CONVERTER)
    whole.replay(history)
    whole.evict()
