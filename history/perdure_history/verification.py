"""Finds what the runtime never writes: changed, dropped, inserted or reordered events, and broken rules.

The chain alone proves that rows are as they were written; the rules (one start, one end, one outcome for each
activity ...) prove that what was written was right. What no check over one history can find: a tail of an open
run that was cut off, or rewritten together with all its hashes. Keep heads elsewhere if that matters.
"""

from collections.abc import Iterable

from perdure_history.chain import GENESIS, Defect, event_hash
from perdure_history.codec import decode_event
from perdure_history.errors import CorruptHistoryError
from perdure_history.events import (
    ActivityTaskAttemptFailed,
    ActivityTaskCanceled,
    ActivityTaskCancelRequested,
    ActivityTaskCompleted,
    ActivityTaskFailed,
    ActivityTaskScheduled,
    ActivityTaskTimedOut,
    Event,
    Role,
    TimerCanceled,
    TimerFired,
    TimerStarted,
    WorkflowExecutionCanceled,
    WorkflowExecutionCancelRequested,
    WorkflowExecutionCompleted,
    WorkflowExecutionFailed,
    WorkflowExecutionSignaled,
    WorkflowExecutionStarted,
    WorkflowExecutionTerminated,
)
from perdure_history.records import EventRow, RunStatus

CLOSING_TYPE_OF = {
    RunStatus.COMPLETED: WorkflowExecutionCompleted.__name__,
    RunStatus.FAILED: WorkflowExecutionFailed.__name__,
    RunStatus.CANCELED: WorkflowExecutionCanceled.__name__,
    RunStatus.TERMINATED: WorkflowExecutionTerminated.__name__,
}
"""The event with which a run of this status ends."""


def verify_rows(
    run_id: str, rows: Iterable[EventRow], *, closed_status: RunStatus | None = None
) -> list[Defect]:
    """Everything that is wrong with a whole history, in the order of `rows`; empty when nothing is.

    `closed_status` is what the run's summary says when the run is closed: then the history must end with the
    event of that status, so that a cut tail is found. None: open, or not known.
    """
    check = HistoryCheck(run_id)
    for row in rows:
        check.feed(row)
    return check.finish(closed_status)


class HistoryCheck:
    """Verifies one run's history as its rows come by, first to last, keeping none of them."""

    def __init__(self, run_id: str) -> None:
        self.run_id = run_id
        self.events = 0
        """Rows seen so far."""
        self.closing_type: str | None = None
        """Type of the closing event, once one was seen."""
        self._defects: list[Defect] = []
        self._seq = 0
        self._hash = GENESIS
        self._turn = 0
        self._turn_has_output = False
        self._open_activities: set[int] = set()
        self._ended_activities: set[int] = set()
        self._open_timers: set[int] = set()
        self._ended_timers: set[int] = set()
        self._request_ids: set[str] = set()

    def feed(self, row: EventRow) -> None:
        """Take the next row into account."""
        self.events += 1
        self._check_chain(row)
        if self.closing_type is not None:
            self._found(row.seq, f"{row.type} stands after {self.closing_type}, which ended the run")
        try:
            event = decode_event(row.type, row.attributes, run_id=self.run_id, seq=row.seq)
        except CorruptHistoryError as error:
            self._found(row.seq, error.why)
            return
        self._check_start(row)
        self._check_turn(row, event)
        self._check_meaning(row.seq, event)
        if event.closes_run and self.closing_type is None:
            self.closing_type = row.type

    def finish(self, closed_status: RunStatus | None = None) -> list[Defect]:
        """All defects, the end of the history included; see `verify_rows`."""
        defects = list(self._defects)
        if not self.events:
            defects.append(Defect(self.run_id, 0, "the history is empty; a run has at least its first event"))
        if closed_status is None or closed_status is RunStatus.RUNNING:
            return defects
        expected = CLOSING_TYPE_OF.get(closed_status, self.closing_type)
        if self.closing_type is None:
            what = f"the run is {closed_status}, but its history ends without a closing event: its tail is missing"
            defects.append(Defect(self.run_id, self._seq, what))
        elif self.closing_type != expected:
            what = (
                f"the run is {closed_status}, but its history ends with {self.closing_type}, not {expected}"
            )
            defects.append(Defect(self.run_id, self._seq, what))
        return defects

    def _found(self, seq: int, what: str) -> None:
        self._defects.append(Defect(self.run_id, seq, what))

    def _check_chain(self, row: EventRow) -> None:
        expected = event_hash(
            self._hash,
            self.run_id,
            row.seq,
            row.turn,
            row.type,
            row.actor,
            row.recorded_at,
            row.attributes,
        )
        if row.seq != self._seq + 1:
            self._found(row.seq, f"event {self._seq + 1} was expected here: a gap, a copy or a changed order")
        elif row.hash != expected:
            self._found(row.seq, "its hash does not fit: it, its hash, or what was before it was changed")
        # Go on from what is stored, so that one change is reported once and not for every event after it.
        self._seq, self._hash = row.seq, row.hash

    def _check_start(self, row: EventRow) -> None:
        is_start = row.type == WorkflowExecutionStarted.__name__
        if self.events == 1 and not is_start:
            self._found(row.seq, f"the first event is {row.type}, not {WorkflowExecutionStarted.__name__}")
        elif self.events > 1 and is_start:
            self._found(row.seq, "the run starts a second time")

    def _check_turn(self, row: EventRow, event: Event) -> None:
        role = event.role
        if row.turn is None:
            if role is Role.OUTPUT:
                self._found(row.seq, f"{row.type} is a command, but belongs to no turn")
            return
        if role is Role.NOTE:
            self._found(row.seq, f"{row.type} is a note, but belongs to turn {row.turn}")
            return
        if row.turn == self._turn:
            if role is Role.INPUT and self._turn_has_output:
                self._found(row.seq, f"{row.type} is an input behind the commands of its turn {row.turn}")
        elif row.turn != self._turn + 1:
            self._found(row.seq, f"it belongs to turn {row.turn}; turn {self._turn} or the next was expected")
        elif role is Role.OUTPUT:
            self._found(row.seq, f"turn {row.turn} begins with {row.type}, which is no input")
        if row.turn != self._turn:
            self._turn, self._turn_has_output = row.turn, False
        self._turn_has_output = self._turn_has_output or role is Role.OUTPUT

    def _check_meaning(self, seq: int, event: Event) -> None:
        match event:
            case ActivityTaskScheduled():
                self._open_activities.add(seq)
            case (
                ActivityTaskCompleted()
                | ActivityTaskFailed()
                | ActivityTaskTimedOut()
                | ActivityTaskCanceled()
            ):
                self._check_outcome(seq, event.scheduled_seq)
            case ActivityTaskCancelRequested() | ActivityTaskAttemptFailed():
                if not (
                    event.scheduled_seq in self._open_activities
                    or event.scheduled_seq in self._ended_activities
                ):
                    self._found(seq, f"no activity was scheduled by event {event.scheduled_seq}")
            case TimerStarted():
                self._open_timers.add(seq)
            case TimerFired() | TimerCanceled():
                self._check_timer(seq, event)
            case WorkflowExecutionSignaled() | WorkflowExecutionCancelRequested():
                if event.request_id in self._request_ids:
                    self._found(seq, f"the message with request id {event.request_id!r} was taken before")
                self._request_ids.add(event.request_id)
            case _:
                pass

    def _check_outcome(self, seq: int, scheduled_seq: int) -> None:
        if scheduled_seq in self._ended_activities:
            self._found(seq, f"a second outcome of the activity that event {scheduled_seq} scheduled")
        elif scheduled_seq not in self._open_activities:
            self._found(seq, f"an outcome, but no activity was scheduled by event {scheduled_seq}")
        self._open_activities.discard(scheduled_seq)
        self._ended_activities.add(scheduled_seq)

    def _check_timer(self, seq: int, event: TimerFired | TimerCanceled) -> None:
        if event.timer_seq in self._ended_timers:
            self._found(seq, f"a second end of the timer that event {event.timer_seq} started")
        elif event.timer_seq not in self._open_timers:
            self._found(seq, f"no timer was started by event {event.timer_seq}")
        self._open_timers.discard(event.timer_seq)
        self._ended_timers.add(event.timer_seq)
