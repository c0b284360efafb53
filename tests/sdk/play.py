"""A worker without a store: plays one run of a decorated workflow on the real replayer, activities included."""

import asyncio
import inspect
from collections.abc import Callable
from typing import Any

from perdure.converter import DataConverter
from perdure.definitions import activity_definition, workflow_definition
from perdure_history.events import (
    ActivityTaskCompleted,
    ActivityTaskFailed,
    Event,
    TimerFired,
    WorkflowExecutionCancelRequested,
    WorkflowExecutionCompleted,
    WorkflowExecutionFailed,
    WorkflowExecutionSignaled,
    WorkflowExecutionStarted,
)
from perdure_history.failures import RetryState
from perdure_replayer.turn import HistoryEvent, LiveRun, PendingActivity

START = 1_700_000_000_000_000
SECOND = 1_000_000
CONVERTER = DataConverter.default


class Play:
    """One run; `history` is what would be stored."""

    def __init__(
        self, workflow: object, *arguments: object, registry: tuple[Callable[..., Any], ...] = ()
    ) -> None:
        self.definition = workflow_definition(workflow)
        self.registry = {activity_definition(one).name: one for one in registry}
        self.now = START
        started = WorkflowExecutionStarted(
            workflow_type=self.definition.name,
            workflow_id="order-1",
            namespace="default",
            task_queue="main",
            input=tuple(CONVERTER.to_payloads(arguments)),
            seed="5eed",
        )
        self.history = [HistoryEvent(1, 1, START, started)]
        self.run = self.load()
        self.step()

    def load(self) -> LiveRun:
        """A live run at the end of the history."""
        run = LiveRun("run-1", self.definition, CONVERTER)
        run.replay(list(self.history))
        return run

    def step(self, *news: Event) -> None:
        """Make and record the turn that `news` causes."""
        turn = self.run.advance(news, now=self.now)
        for place, event in enumerate((*turn.inputs, *turn.outputs)):
            self.history.append(HistoryEvent(turn.first_seq + place, turn.number, turn.time, event))
        self.now = turn.time + SECOND

    def signal(self, name: str, *arguments: object) -> None:
        payloads = tuple(CONVERTER.to_payloads(arguments))
        self.step(
            WorkflowExecutionSignaled(signal_name=name, input=payloads, request_id=f"r{len(self.history)}")
        )

    def query(self, name: str, *arguments: object) -> Any:
        return CONVERTER.from_payload(self.run.query(name, CONVERTER.to_payloads(arguments)))

    def cancel(self, reason: str = "") -> None:
        self.step(WorkflowExecutionCancelRequested(request_id="cancel", reason=reason))

    def fire(self) -> None:
        """The timer that is due first fires."""
        seq, fire_at = min(self.run.timers.items(), key=lambda item: (item[1], item[0]))
        self.now = max(self.now, fire_at)
        self.step(TimerFired(timer_seq=seq))

    def work(self) -> None:
        """Run the oldest pending activity once, and record what became of it."""
        seq, pending = next(iter(self.run.activities.items()))
        try:
            result = asyncio.run(self.attempt(pending))
        except Exception as error:
            failure = CONVERTER.to_failure(error)
            state = RetryState.MAXIMUM_ATTEMPTS_REACHED
            self.step(ActivityTaskFailed(scheduled_seq=seq, failure=failure, retry_state=state))
        else:
            self.step(ActivityTaskCompleted(scheduled_seq=seq, result=CONVERTER.to_payload(result)))

    async def attempt(self, pending: PendingActivity) -> Any:
        target = self.registry.get(pending.scheduled.activity_type, pending.callee)
        definition = activity_definition(target)
        arguments = CONVERTER.payload_converter.from_payloads(pending.scheduled.input, definition.arg_types)
        result = definition.function(*arguments)
        return await result if inspect.isawaitable(result) else result

    def finish(self) -> Any:
        """Serve whatever waits until the run ends; its result, or raise its failure. Replays it once more."""
        while not self.run.closed:
            if self.run.activities:
                self.work()
            else:
                self.fire()
        self.load().evict()
        last = self.history[-1].event
        if isinstance(last, WorkflowExecutionFailed):
            raise CONVERTER.from_failure(last.failure)
        assert isinstance(last, WorkflowExecutionCompleted), last
        return CONVERTER.from_payload(last.result, self.definition.return_type)

    def recorded(self, kind: type) -> list[Any]:
        """Events of one class, in order."""
        return [row.event for row in self.history if isinstance(row.event, kind)]
