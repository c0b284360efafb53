"""run_turn: the one entry point of replay, and LiveRun, which keeps a run between its turns.

A live run is computed state: nothing in it is worth saving, and dropping it costs one replay.

    empty ──replay / advance──> at a turn's end ──advance──> at the next turn's end ...
      any exception ──> broken ──evict──> gone

A turn is *open* when its inputs are recorded but its code has not run, or failed: the first one while the
history is the start event alone, or one that a bug kept from being computed. `advance` computes it, together
with what is new.
"""

import logging
from collections.abc import Iterable, Sequence

from perdure_history.errors import CorruptHistoryError
from perdure_history.events import ActivityTaskScheduled, Event, Role, TimerCanceled, WorkflowTaskStarted
from perdure_history.payloads import Payload
from perdure_replayer.definition import Converter, WorkflowDefinition
from perdure_replayer.errors import BrokenRunError, NonDeterminismError, QueryFailedError, ReplayError
from perdure_replayer.execution import Execution
from perdure_replayer.history import HistoryEvent, PendingActivity, Projection, Turn
from perdure_replayer.journal import Issued
from perdure_replayer.machines import ActivityMachine, Machine
from perdure_replayer.matching import Divergence, find_divergence
from perdure_replayer.queries import answer_query

__all__ = ["HistoryEvent", "LiveRun", "PendingActivity", "Turn", "run_turn"]

# Looking a member up in its enum is slow, and this is asked for each event.
_INPUT, _OUTPUT = Role.INPUT, Role.OUTPUT
_logger = logging.getLogger(__name__)


class LiveRun:
    """A run in memory: its workflow object, its loop, and what it waits for. Not thread-safe.

    Made empty; `replay` brings it to the end of a history, `advance` makes the next turn. After any exception
    from either it is broken and may only be evicted.
    """

    def __init__(
        self,
        run_id: str,
        definition: WorkflowDefinition,
        converter: Converter,
        *,
        logger: logging.Logger = _logger,
    ) -> None:
        self.run_id = run_id
        self.head_seq = 0
        """Last event it knows of, notes included."""
        self.turn_number = 0
        """Last turn whose code ran."""
        self.turn_time = 0
        """Time of the last turn."""
        self.closed = False
        self._definition = definition
        self._converter = converter
        self._logger = logger
        self._execution = Execution(run_id, definition, converter=converter, logger=logger)
        self._projection = Projection()
        self._start: HistoryEvent | None = None
        """The start event, while it stands alone and its turn has not been made."""
        self._unusable = ""
        self._turn_end = 0
        """head_seq at the end of the last turn or replay."""
        self._noted: set[int] = set()
        """Seqs of the notes behind it."""

    @property
    def activities(self) -> dict[int, PendingActivity]:
        """Activities without an outcome, by scheduled seq."""
        return self._projection.activities

    @property
    def timers(self) -> dict[int, int]:
        """fire_at of timers that neither fired nor were canceled, by the seq of TimerStarted."""
        return self._projection.timers

    @property
    def request_ids(self) -> set[str]:
        """Of all messages in the history; a message with one of these is a duplicate."""
        return self._projection.request_ids

    def replay(self, history: Iterable[HistoryEvent]) -> None:
        """Run the code over recorded turns (may be called again with later events, from a turn's begin).

        Raises NonDeterminismError at the first difference, CorruptHistoryError when the events cannot be a
        history, TurnFailedError when the code raises where it did not when the history was written.
        """
        self._refuse_unusable("replay")
        rows = history if isinstance(history, (list, tuple)) else list(history)
        # The fast first pass does not note where commands come from; a second one does when it is needed.
        traced = self.head_seq > 0
        self._execution.journal.tracing = traced
        self._unusable = "an exception ended its last replay"
        divergence = self._replay(rows)
        self._execution.journal.tracing = False
        if divergence is not None:
            self._unusable = "its code and its history disagree"
            place = divergence.place if traced else self._trace(rows, divergence)
            raise NonDeterminismError(
                self.run_id,
                divergence.seq,
                divergence.recorded,
                divergence.issued,
                place or self._execution.waits_at() or "the workflow has returned",
            )
        self._end_turn(self.head_seq)
        if self._start is not None:
            self._turn_end = self._start.seq - 1

    def note(self, seq: int, event: Event) -> None:
        """Take in a note that was recorded with this seq (a failed attempt, a termination).

        Between the seqs of notes taken in since the last turn there may be inputs of an open turn; they are
        told to `advance`.
        """
        self._refuse_unusable("take a note into")
        if seq <= self.head_seq:
            raise CorruptHistoryError(self.run_id, seq, f"the run is already at event {self.head_seq}")
        self._projection.take(seq, event)
        self._noted.add(seq)
        self.closed = self.closed or event.closes_run
        self.head_seq = seq

    def take_open(self, rows: Sequence[HistoryEvent]) -> None:
        """Take in the rows of a turn left open, inputs and notes, without running code: `advance` will.

        What they say is already true: an activity with an outcome among them is not pending any more.
        """
        self._refuse_unusable("take an open turn into")
        for row in rows:
            self._expect_next(row.seq)
            self.head_seq = row.seq
            self._projection.take(row.seq, row.event)
            if row.turn is None:
                self._noted.add(row.seq)

    def advance(self, news: Sequence[Event], *, now: int, recorded: int = 0) -> Turn:
        """Feed `news` (input events, in the order in which they are to be recorded) and run until the code waits.

        The first `recorded` of them stand in the history already (inputs of an open turn: the first turn's
        WorkflowExecutionStarted, or those of a turn whose code failed); `head_seq` counts them and any notes
        behind them. The others get head_seq + 1 and on, outputs follow them. `news` may be empty where
        `replay` was given the start event alone. The turn's time is max(now, time of the last turn), which
        becomes the `recorded_at` of every row that it adds; on replay a turn's time is the `recorded_at` of
        its LAST row (the first turn's first row is older than the turn). An open turn that adds no other row
        adds WorkflowTaskStarted, which carries that time.

        The live run is then at the turn's end, so a turn that does not land makes it worthless. Raises
        TurnFailedError when the code raised what does not fail the run.
        """
        self._refuse_unusable("advance")
        start, self._start = self._start, None
        if start is not None and not recorded:
            news = (start.event, *news)
            recorded = 1
        if self.closed or not news:
            why = "it is closed" if self.closed else "a turn needs at least one event"
            raise BrokenRunError(self.run_id, "advance", why)
        self._unusable = "an exception ended its last turn"
        first_seq = self.head_seq + 1
        if recorded:
            behind = range(self._turn_end + 1, first_seq)
            seqs = [seq for seq in behind if seq not in self._noted][:recorded]
            seqs += range(first_seq, first_seq + len(news) - recorded)
        else:
            seqs = list(range(first_seq, first_seq + len(news)))
        time = max(now, self.turn_time)
        issued = self._run(list(zip(seqs, news, strict=True)), time=time, replaying=False)
        outputs = tuple([command.to_event(time) for command, _, _ in issued])
        seq = first_seq + len(news) - recorded
        for (_, machine, _), event in zip(issued, outputs, strict=True):
            self._record(seq, event, machine)
            seq += 1
        added = tuple(news[recorded:])
        if not added and not outputs:
            # Something must say that the open turn is computed, and what its time was.
            added = (WorkflowTaskStarted(),)
            seq += 1
        self._end_turn(seq - 1)
        return Turn(self.turn_number, time, first_seq, added, outputs, self.closed)

    def query(self, name: str, arguments: Sequence[Payload]) -> Payload:
        """Answer a query read-only from the state at the end of the last turn.

        Raises QueryFailedError (handler raised, unknown name) and leaves no trace in any case.
        """
        if self._unusable:
            raise QueryFailedError(self.run_id, name, self._unusable)
        return answer_query(self._execution, name, arguments, converter=self._converter)

    def evict(self) -> None:
        """Drop the run from memory; its coroutines are closed and cannot issue commands. Twice is harmless."""
        self._unusable = "it was evicted"
        self._start = None
        self._execution.evict()

    def _end_turn(self, head_seq: int) -> None:
        self.head_seq = self._turn_end = head_seq
        self._noted.clear()
        self._unusable = ""

    def _refuse_unusable(self, action: str) -> None:
        if self._unusable:
            raise BrokenRunError(self.run_id, action, self._unusable)

    def _expect_next(self, seq: int) -> None:
        if seq != self.head_seq + 1:
            raise CorruptHistoryError(
                self.run_id, seq, f"it follows event {self.head_seq}, so events are missing"
            )
        if self.closed:
            raise CorruptHistoryError(self.run_id, seq, "it follows the event that closed the run")

    def _replay(self, rows: Sequence[HistoryEvent]) -> Divergence | None:
        turn: list[HistoryEvent] = [] if self._start is None else [self._start]
        notes: list[HistoryEvent] = []
        self._start = None
        for row in rows:
            self._expect_next(row.seq)
            self.head_seq = row.seq
            self.closed = row.event.closes_run
            if row.turn is None:
                # A note in the middle of a turn waits for its end; code never sees it anyway.
                notes.append(row)
                continue
            if turn and turn[0].turn != row.turn:
                if (divergence := self._replay_turn(turn)) is not None:
                    return divergence
                self._take_notes(notes)
                turn = []
            turn.append(row)
        if len(turn) == 1 and self.turn_number == 0:
            self._start = turn[0]
            self._projection.take(turn[0].seq, turn[0].event)
        elif turn and (divergence := self._replay_turn(turn)) is not None:
            return divergence
        self._take_notes(notes)
        return None

    def _replay_turn(self, rows: Sequence[HistoryEvent]) -> Divergence | None:
        first = rows[0]
        if first.turn != self.turn_number + 1:
            raise CorruptHistoryError(
                self.run_id,
                first.seq,
                f"it belongs to turn {first.turn}, and turn {self.turn_number + 1} is next",
            )
        taken = 0
        while taken < len(rows) and rows[taken].event.role is _INPUT:
            taken += 1
        for row in rows[taken:]:
            if row.event.role is not _OUTPUT:
                raise CorruptHistoryError(
                    self.run_id, row.seq, "an input must stand before its turn's commands"
                )
        if not taken:
            raise CorruptHistoryError(self.run_id, first.seq, f"turn {first.turn} has no input")
        issued = self._run(
            [(row.seq, row.event) for row in rows[:taken]], time=rows[-1].recorded_at, replaying=True
        )
        outputs = rows[taken:]
        divergence = find_divergence(issued, outputs, next_seq=rows[-1].seq + 1)
        if divergence is not None:
            return divergence
        for (_, machine, _), row in zip(issued, outputs, strict=True):
            self._record(row.seq, row.event, machine)
        return None

    def _run(self, inputs: Sequence[tuple[int, Event]], *, time: int, replaying: bool) -> list[Issued]:
        self.turn_number += 1
        self.turn_time = time
        issued = self._execution.run_turn(inputs, turn=self.turn_number, time=time, replaying=replaying)
        take = self._projection.take
        for seq, event in inputs:
            take(seq, event)
        return issued

    def _record(self, seq: int, event: Event, machine: Machine | None) -> None:
        """A command is now event `seq`."""
        if machine is not None:
            machine.seq = seq
            self._execution.machines[seq] = machine
        if isinstance(event, ActivityTaskScheduled) and isinstance(machine, ActivityMachine):
            self._projection.take_scheduled(seq, event, at=self.turn_time, callee=machine.callee)
        else:
            self._projection.take(seq, event)
            if isinstance(event, TimerCanceled):
                self._execution.machines.pop(event.timer_seq, None)
            elif event.closes_run:
                self.closed = True

    def _take_notes(self, notes: list[HistoryEvent]) -> None:
        for row in notes:
            self._projection.take(row.seq, row.event)
        notes.clear()

    def _trace(self, rows: Sequence[HistoryEvent], divergence: Divergence) -> str:
        """Replay once more, noting where each command comes from."""
        again = LiveRun(self.run_id, self._definition, self._converter, logger=self._logger)
        again._execution.journal.tracing = True
        try:
            try:
                found = again._replay(rows)
            except (ReplayError, CorruptHistoryError):
                found = None
            if found is None or found.seq != divergence.seq:
                return (
                    "a line that was not found: the code behaved differently when it was replayed once more"
                )
            return found.place or again._execution.waits_at()
        finally:
            again.evict()


def run_turn(
    definition: WorkflowDefinition,
    history: Iterable[HistoryEvent],
    news: Sequence[Event],
    *,
    converter: Converter,
    run_id: str,
    now: int,
) -> Turn:
    """Replay `history`, then compute the turn that `news` causes. Needs no event loop, database or worker."""
    run = LiveRun(run_id, definition, converter)
    try:
        run.replay(history)
        return run.advance(news, now=now)
    finally:
        run.evict()
