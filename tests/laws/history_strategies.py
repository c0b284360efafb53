"""Any history that the runtime could have written: legal turns, notes among them, closed or open."""

from dataclasses import dataclass

from hypothesis import strategies as st

from perdure_history.chain import GENESIS, seal
from perdure_history.events import (
    ActivityTaskAttemptFailed,
    ActivityTaskCompleted,
    ActivityTaskScheduled,
    TimerCanceled,
    TimerFired,
    TimerStarted,
    WorkflowExecutionCompleted,
    WorkflowExecutionSignaled,
    WorkflowExecutionStarted,
    WorkflowExecutionTerminated,
    WorkflowTaskStarted,
)
from perdure_history.failures import Failure
from perdure_history.payloads import Payload
from perdure_history.records import EventRow, RunStatus

NULL = Payload(encoding="binary/null")
RUN_ID = "018bcfe5-6800-7000-8000-000000000001"


@dataclass(frozen=True)
class Story:
    """A whole history and what the summary says of it."""

    run_id: str
    rows: tuple[EventRow, ...]
    status: RunStatus

    @property
    def closed_status(self):
        return None if self.status is RunStatus.RUNNING else self.status


def sealed(run_id, events, head=None):
    """Rows for (event, turn) behind `head`."""
    triples = [(event, turn, "worker") for event, turn in events]
    if head is None:
        return seal(run_id, triples, prev_seq=0, prev_hash=GENESIS, recorded_at=1)
    return seal(run_id, triples, prev_seq=head.seq, prev_hash=head.hash, recorded_at=head.recorded_at + 1)


def started(run_id=RUN_ID):
    return WorkflowExecutionStarted(
        workflow_type="flow", workflow_id="order-1", namespace="default", task_queue="q", seed="5eed"
    )


class _Teller:
    """Draws one legal step after another."""

    def __init__(self, draw):
        self.draw = draw
        self.events = [(started(), 1)]
        self.turn = 1
        self.activities, self.timers = [], []
        self.signals = 0

    @property
    def next_seq(self):
        return len(self.events) + 1

    def pick(self, items):
        return items.pop(self.draw(st.integers(0, len(items) - 1)))

    def outputs(self):
        for kind in self.draw(st.lists(st.sampled_from(["activity", "timer", "cancel"]), max_size=3)):
            if kind == "activity":
                self.activities.append(self.next_seq)
                self.events.append((ActivityTaskScheduled(activity_type="a", activity_id="1"), self.turn))
            elif kind == "timer":
                self.timers.append(self.next_seq)
                self.events.append((TimerStarted(delay_us=1, fire_at=2), self.turn))
            elif self.timers:
                self.events.append((TimerCanceled(timer_seq=self.pick(self.timers)), self.turn))

    def inputs(self):
        self.turn += 1
        for kind in self.draw(st.lists(st.sampled_from(["signal", "done", "fired"]), min_size=1, max_size=3)):
            if kind == "done" and self.activities:
                done = ActivityTaskCompleted(scheduled_seq=self.pick(self.activities), result=NULL)
                self.events.append((done, self.turn))
            elif kind == "fired" and self.timers:
                self.events.append((TimerFired(timer_seq=self.pick(self.timers)), self.turn))
            else:
                self.signal(self.turn)

    def signal(self, turn, delivered=True):
        self.signals += 1
        event = WorkflowExecutionSignaled(
            signal_name="s", request_id=f"req-{self.signals}", delivered=delivered
        )
        self.events.append((event, turn))

    def note(self):
        if self.activities:
            failed = ActivityTaskAttemptFailed(
                scheduled_seq=self.activities[-1], attempt=1, failure=Failure(message="x"), next_attempt_at=1
            )
            self.events.append((failed, None))


@st.composite
def stories(draw, *, closed=None, run_id=RUN_ID, min_turns=1):
    """A legal history; closed, open, or either (None)."""
    teller = _Teller(draw)
    teller.outputs()
    if len(teller.events) == 1:
        teller.events.append((WorkflowTaskStarted(), 1))
    for _ in range(draw(st.integers(min_turns, 5))):
        if draw(st.booleans()):
            teller.note()
        teller.inputs()
        teller.outputs()
    endings = {None: ["open", "completed", "terminated"], True: ["completed", "terminated"], False: ["open"]}
    ending = draw(st.sampled_from(endings[closed]))
    status = RunStatus.RUNNING
    if ending == "completed":
        teller.events.append((WorkflowExecutionCompleted(result=NULL), teller.turn))
        status = RunStatus.COMPLETED
    elif ending == "terminated":
        if draw(st.booleans()):
            teller.signal(None, delivered=False)
        teller.events.append((WorkflowExecutionTerminated(reason="r"), None))
        status = RunStatus.TERMINATED
    return Story(run_id, sealed(run_id, teller.events), status)
