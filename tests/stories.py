"""Made-up tables that an engine without a fault could have written, told step by step."""

from collections.abc import Callable

import msgspec
from hypothesis import strategies as st

from perdure_history.chain import GENESIS, seal
from perdure_history.codec import encode_event
from perdure_history.events import (
    ActivityTaskAttemptFailed,
    ActivityTaskCanceled,
    ActivityTaskCancelRequested,
    ActivityTaskCompleted,
    ActivityTaskFailed,
    ActivityTaskScheduled,
    Event,
    TimerCanceled,
    TimerFired,
    TimerStarted,
    WorkflowExecutionCancelRequested,
    WorkflowExecutionCompleted,
    WorkflowExecutionSignaled,
    WorkflowExecutionStarted,
    WorkflowExecutionTerminated,
    WorkflowTaskFailed,
    WorkflowTaskStarted,
)
from perdure_history.failures import Failure, RetryState
from perdure_history.ids import RunId
from perdure_history.payloads import Payload
from perdure_history.records import EventRow, Message, RunRecord, RunStatus, WorkerRecord
from tests.checker import STATUS_AFTER, Ack, Dump

OWNER = "someone-alive"
DEAD = "someone-dead"
SECOND = 1_000_000

ACTIONS = (
    "schedule", "complete", "fail", "fail_attempt", "cancel_activity", "start_timer", "fire", "cancel_timer",
    "signal", "cancel", "send", "fail_turn", "wait",
)  # fmt: skip
ENDS = ("close", "terminate", "terminate_unread")


def json_payload(value: object) -> Payload:
    return Payload(json=msgspec.Raw(msgspec.json.encode(value)))


def signal(key: str, *, delivered: bool = True) -> WorkflowExecutionSignaled:
    return WorkflowExecutionSignaled(
        signal_name="note", input=(json_payload(key),), request_id=f"r-{key}", delivered=delivered
    )


class Story:
    """One run and how it came about: each act is a turn, or a note."""

    def __init__(self, run_id: str, workflow_id: str = "", *, nth: int = 1) -> None:
        self.run_id = run_id
        self.workflow_id = workflow_id or f"wf-{run_id}"
        self.nth = nth
        self.events: list[tuple[Event, int | None]] = []
        self.times: list[int] = []
        self.inbox: list[Message] = []
        self.sent: list[str] = []
        self.turn = 1
        self.clock = SECOND
        self.open_activities: dict[int, int] = {}
        self.open_timers: list[int] = []
        started = WorkflowExecutionStarted(
            workflow_type="flow", workflow_id=self.workflow_id, namespace="default", task_queue="q", seed="00"
        )
        self._add(started, 1)
        self._add(WorkflowTaskStarted(), 1)

    def act(self, *actions: str) -> None:
        """Let these things happen, one after the other; what cannot happen now does not."""
        for action in actions:
            self.clock += SECOND
            getattr(self, f"_{action}")()

    def message(self, key: str) -> Message:
        return Message(
            id=len(self.sent) + 1, run_id=RunId(self.run_id), type="WorkflowExecutionSignaled",
            attributes=encode_event(signal(key)), request_id=f"r-{key}", actor="client", sent_at=self.clock,
        )  # fmt: skip

    def renumber(self, after: int) -> None:
        """Mend the references of all events, now that the event with seq `after` is gone."""

        def moved(seq: int) -> int:
            return seq - 1 if seq > after else seq

        del self.times[after - 1]
        for index, (event, turn) in enumerate(self.events):
            for name in ("scheduled_seq", "timer_seq"):
                if hasattr(event, name):
                    event = msgspec.structs.replace(event, **{name: moved(getattr(event, name))})
            self.events[index] = (event, turn)

    @property
    def closed(self) -> bool:
        return type(self.events[-1][0]).__name__ in STATUS_AFTER

    def _add(self, event: Event, turn: int | None) -> int:
        self.events.append((event, turn))
        self.times.append(self.clock)
        return len(self.events)

    def _input(self, event: Event) -> None:
        self.turn += 1
        self._add(event, self.turn)

    def _wait(self) -> None:
        self.clock += 100 * SECOND

    def _schedule(self) -> None:
        self.open_activities[
            self._add(ActivityTaskScheduled(activity_type="work", activity_id="1"), self.turn)
        ] = 0

    def _complete(self) -> None:
        if self.open_activities:
            seq, attempts = self.open_activities.popitem()
            self._input(
                ActivityTaskCompleted(scheduled_seq=seq, result=json_payload(seq), attempt=attempts + 1)
            )

    def _fail(self) -> None:
        if self.open_activities:
            seq, attempts = self.open_activities.popitem()
            self._input(
                ActivityTaskFailed(
                    scheduled_seq=seq,
                    attempt=attempts + 1,
                    failure=Failure(message="no"),
                    retry_state=RetryState.MAXIMUM_ATTEMPTS_REACHED,
                )  # fmt: skip
            )

    def _fail_attempt(self) -> None:
        for seq in self.open_activities:
            self.open_activities[seq] += 1
            self._add(
                ActivityTaskAttemptFailed(
                    scheduled_seq=seq, attempt=self.open_activities[seq], failure=Failure(message="no"),
                    next_attempt_at=self.clock + SECOND,
                ),
                None,
            )  # fmt: skip
            return

    def _cancel_activity(self) -> None:
        if self.open_activities:
            seq, attempts = self.open_activities.popitem()
            self._add(ActivityTaskCancelRequested(scheduled_seq=seq), self.turn)
            self._input(ActivityTaskCanceled(scheduled_seq=seq, attempt=attempts + 1))

    def _start_timer(self) -> None:
        event = TimerStarted(delay_us=SECOND, fire_at=self.clock + SECOND)
        self.open_timers.append(self._add(event, self.turn))

    def _fire(self) -> None:
        if self.open_timers:
            self._input(TimerFired(timer_seq=self.open_timers.pop()))

    def _cancel_timer(self) -> None:
        if self.open_timers:
            self._add(TimerCanceled(timer_seq=self.open_timers.pop()), self.turn)

    def _key(self) -> str:
        key = f"{self.run_id}-{len(self.sent)}"
        self.sent.append(key)
        return key

    def _signal(self) -> None:
        if not self.inbox:
            self._input(signal(self._key()))

    def _cancel(self) -> None:
        self._input(WorkflowExecutionCancelRequested(request_id=f"c-{self.run_id}-{len(self.events)}"))

    def _send(self) -> None:
        key = self._key()
        self.inbox.append(self.message(key))

    def _fail_turn(self) -> None:
        self._add(WorkflowTaskFailed(failure=Failure(message="bug")), None)

    def _take_all(self) -> None:
        for message in self.inbox:
            event = msgspec.json.decode(message.attributes, type=WorkflowExecutionSignaled)
            self._input(event)
        self.inbox.clear()

    def _close(self) -> None:
        self._take_all()
        self._add(WorkflowExecutionCompleted(result=json_payload("done")), self.turn)

    def _terminate_unread(self) -> None:
        for message in self.inbox:
            event = msgspec.json.decode(message.attributes, type=WorkflowExecutionSignaled)
            self._add(msgspec.structs.replace(event, delivered=False), None)
        self.inbox.clear()
        self._add(WorkflowExecutionTerminated(reason="enough"), None)

    _terminate = _terminate_unread


def rechained(story: Story) -> list[EventRow]:
    """The story's rows, numbered and chained."""
    rows: list[EventRow] = []
    previous = GENESIS
    for index, (event, turn) in enumerate(story.events):
        at = story.times[min(index, len(story.times) - 1)]
        rows += seal(
            story.run_id, [(event, turn, "actor")], prev_seq=index, prev_hash=previous, recorded_at=at
        )
        previous = rows[-1].hash
    return rows


class World:
    """Some stories as tables, with what the clients were told, and ways to damage them."""

    def __init__(self, stories: list[Story]) -> None:
        self.stories = stories
        self._rows: dict[str, Callable[[list[EventRow]], list[EventRow]]] = {}
        self._edits: dict[str, dict[str, object]] = {}
        self.acks: list[Ack] = []
        for story in stories:
            self.acks.append(Ack(call="start", workflow_id=story.workflow_id, run_id=story.run_id))
            for number, key in enumerate(story.sent):
                self.acks.append(
                    Ack(
                        call="signal", workflow_id=story.workflow_id, run_id=story.run_id, key=key,
                        sent=10 * number, acked=10 * number + 5,
                    )
                )  # fmt: skip
            if isinstance(story.events[-1][0], WorkflowExecutionCompleted):
                self.acks.append(
                    Ack(call="result", workflow_id=story.workflow_id, run_id=story.run_id, key='"done"')
                )

    def tamper(self, story: Story, how: Callable[[list[EventRow]], list[EventRow]]) -> None:
        """Change the rows themselves, without mending the chain."""
        self._rows[story.run_id] = how

    def edit(self, story: Story, **columns: object) -> None:
        """Change the run's row."""
        self._edits[story.run_id] = columns

    def earlier(self) -> Dump:
        """The tables when each story had come half way: open then, whatever it is now."""
        now = self.dump()
        half = {run_id: rows[: 1 + len(rows) // 2] for run_id, rows in now.history.items()}
        runs = tuple(
            run if len(half[run.run_id]) == len(now.history[run.run_id])
            else msgspec.structs.replace(run, status=RunStatus.RUNNING, closed_at=None, history_length=None, owner=OWNER)
            for run in now.runs
        )  # fmt: skip
        return Dump(runs=runs, history=half)

    def dump(self) -> Dump:
        """The tables."""
        history = {story.run_id: rechained(story) for story in self.stories}
        runs = tuple(
            msgspec.structs.replace(
                self._record(story, history[story.run_id]), **self._edits.get(story.run_id, {})
            )
            for story in self.stories
        )
        for run_id, how in self._rows.items():
            history[run_id] = how(history[run_id])
        return Dump(
            runs=runs,
            history=history,
            inbox=tuple(message for story in self.stories for message in story.inbox),
            workers=(
                WorkerRecord(incarnation=OWNER, identity="", task_queues="", started_at=0),
                WorkerRecord(incarnation=DEAD, identity="", task_queues="", started_at=0, state="dead"),
            ),
        )

    def _record(self, story: Story, rows: list[EventRow]) -> RunRecord:
        last = rows[-1]
        closed = last.type in STATUS_AFTER
        return RunRecord(
            run_id=RunId(story.run_id), namespace="default", workflow_id=story.workflow_id, nth=story.nth,
            workflow_type="flow", task_queue="q", status=STATUS_AFTER.get(last.type, RunStatus.RUNNING),
            started_at=rows[0].recorded_at, closed_at=last.recorded_at if closed else None,
            request_id=f"start-{story.run_id}", owner=None if closed else OWNER,
            history_length=last.seq if closed else None,
        )  # fmt: skip


@st.composite
def healthy_worlds(draw: st.DrawFn) -> World:
    """Up to four runs, some open, some closed in each way, with anything that a run can do in between."""
    stories = []
    for number in range(draw(st.integers(1, 4))):
        story = Story(f"run-{number}")
        story.act(*draw(st.lists(st.sampled_from(ACTIONS), max_size=15)))
        story.act(*draw(st.lists(st.sampled_from(ENDS), max_size=1)))
        stories.append(story)
    return World(stories)
