"""What happens to a run from outside, scripted: the same for every mutant, and the oracle that judges one."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from perdure_history.events import (
    ActivityTaskCompleted,
    ActivityTaskFailed,
    ActivityTaskScheduled,
    Event,
    Role,
    TimerStarted,
    WorkflowExecutionCompleted,
    WorkflowExecutionFailed,
)
from perdure_history.failures import Failure, RetryState
from perdure_replayer.definition import WorkflowDefinition
from perdure_replayer.turn import HistoryEvent, LiveRun, PendingActivity
from tests.laws.mutants import flows
from tests.replayer.driver import CONVERTER, RUN_ID, Driver, cancel_request, payload, signal


@dataclass(frozen=True)
class Scenario:
    """One workflow, its argument, and what is sent to it before its n-th turn after the first."""

    target: Any
    argument: int = 3
    sent: Mapping[int, Event] = field(default_factory=dict)
    newest_first: bool = False
    """Answer the activity that was asked for last."""

    @property
    def name(self) -> str:
        return str(self.target.__name__)


SCENARIOS = [
    Scenario(flows.sequential),
    Scenario(flows.pure_work),
    Scenario(flows.gathered, newest_first=True),
    Scenario(flows.grouped),
    Scenario(flows.timers),
    Scenario(flows.looped),
    Scenario(flows.counted),
    Scenario(flows.branched),
    Scenario(flows.retried),
    Scenario(flows.compensated),
    Scenario(flows.timed_out),
    Scenario(flows.waited_for),
    Scenario(flows.raced),
    Scenario(flows.completed_in_order, newest_first=True),
    Scenario(flows.cancelled, sent={0: cancel_request()}),
    Scenario(flows.shielded, sent={0: cancel_request()}),
    Scenario(flows.piped),
    Scenario(flows.locked),
    Scenario(flows.random_choice),
    Scenario(flows.Approval, sent={1: signal("note", "hm"), 2: signal("approve", "ann")}),
    Scenario(flows.Impatient, sent={2: signal("start")}),
    Scenario(
        flows.Worklist,
        argument=2,
        sent={0: signal("add", "x", request_id="x"), 1: signal("add", "y", request_id="y")},
    ),
    Scenario(
        flows.Entity,
        sent={0: signal("change", 5), 1: signal("change", 7, request_id="7"), 3: signal("stop")},
    ),
]


def record(scenario: Scenario, definition: WorkflowDefinition) -> list[HistoryEvent]:
    """Let the run happen, to its end."""
    driver = Driver(definition, scenario.argument)
    for turn in range(100):
        if driver.run.closed:
            return driver.history
        if turn in scenario.sent:
            driver.step(scenario.sent[turn])
            continue
        answerable = [one for one in driver.run.activities.values() if not _is_silent(one)]
        if answerable:
            driver.step(answer(answerable[-1 if scenario.newest_first else 0]))
        else:
            driver.fire()
    raise AssertionError(f"{scenario.name} does not end")


def _is_silent(one: PendingActivity) -> bool:
    return one.scheduled.activity_type.startswith("never_") or one.cancel_requested


def answer(one: PendingActivity) -> Event:
    """What the activity comes to."""
    name = one.scheduled.activity_type
    if name.startswith("fails_"):
        return ActivityTaskFailed(
            scheduled_seq=one.seq,
            failure=Failure(message="no luck", type="Luck"),
            retry_state=RetryState.MAXIMUM_ATTEMPTS_REACHED,
        )
    if name.startswith(("is_", "no_")):
        return ActivityTaskCompleted(scheduled_seq=one.seq, result=payload(name.startswith("is_")))
    arguments = [bytes(argument.json).decode() for argument in one.scheduled.input]
    return ActivityTaskCompleted(scheduled_seq=one.seq, result=payload(f"{name}({', '.join(arguments)})"))


class Difference(NamedTuple):
    """Where code departs from a history."""

    turn: int
    seq: int


def first_difference(definition: WorkflowDefinition, history: Sequence[HistoryEvent]) -> Difference | None:
    """The first event that this code, run afresh on the recorded inputs, would not have written as it stands.

    The oracle: it makes each turn live and compares what comes out, without the replayer's own comparison.
    """
    turns: dict[int, list[HistoryEvent]] = {}
    for row in history:
        assert row.turn is not None
        turns.setdefault(row.turn, []).append(row)
    run = LiveRun(RUN_ID, definition, CONVERTER)
    try:
        run.replay(history[:1])
        for number, rows in turns.items():
            inputs = [row.event for row in rows if row.event.role is Role.INPUT]
            recorded = [row for row in rows if row.event.role is Role.OUTPUT]
            news = inputs[1:] if number == 1 else inputs
            issued = run.advance(news, now=rows[0].recorded_at).outputs
            for row, event in zip(recorded, issued, strict=False):
                if _essence(row.event) != _essence(event):
                    return Difference(number, row.seq)
            if len(issued) != len(recorded):
                shorter = min(len(issued), len(recorded))
                return Difference(number, rows[0].seq + len(inputs) + shorter)
        return None
    finally:
        run.evict()


def _essence(event: Event) -> tuple[Any, ...]:
    """What of a command may not change under a running workflow."""
    match event:
        case ActivityTaskScheduled():
            return ("activity", event.activity_type, event.input)
        case TimerStarted():
            return ("timer", event.delay_us)
        case WorkflowExecutionCompleted():
            return ("completed", event.result)
        case WorkflowExecutionFailed():
            causes, failure = [], event.failure
            while failure is not None:
                causes.append((failure.kind, failure.type, failure.message))
                failure = failure.cause
            return ("failed", *causes)
        case _:
            return (event,)
