"""run_turn: the one entry point of replay.

CONTRACT (signatures agreed; implementation to follow).
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from perdure_history.events import ActivityTaskScheduled, Event
from perdure_history.failures import Failure
from perdure_history.payloads import Payload
from perdure_replayer.definition import Converter, WorkflowDefinition


@dataclass(frozen=True, slots=True)
class HistoryEvent:
    """A recorded event with its place: what replay reads."""

    seq: int
    turn: int | None
    recorded_at: int
    event: Event


@dataclass(frozen=True, slots=True)
class Turn:
    """What one pass of workflow code came to: inputs first, then the commands it issued, in order."""

    number: int
    time: int
    """Store time in microseconds; the recorded_at of all its rows."""
    first_seq: int
    """Of the first row that the turn adds."""
    inputs: tuple[Event, ...]
    outputs: tuple[Event, ...]
    closes_run: bool


@dataclass(slots=True)
class PendingActivity:
    """An activity that has no outcome yet: projected from the log, notes included."""

    seq: int
    scheduled: ActivityTaskScheduled
    scheduled_at: int
    attempt: int = 1
    """The attempt that is to be made, or is being made."""
    next_attempt_at: int = 0
    """Store time before which it must not start; 0: at once."""
    last_failure: Failure | None = None
    cancel_requested: bool = False
    lost_workers: frozenset[str] = frozenset()
    """Incarnations whose loss is already noted for it."""
    callee: object | None = None
    """What the code passed as the activity (a function), when it passed more than a name. Only in memory."""


class LiveRun:
    """A run in memory: its workflow object, its loop, and what it waits for. Not thread-safe.

    Made empty; `replay` brings it to the end of a history, `advance` makes the next turn. After any exception
    from either it is broken and may only be evicted.
    """

    def __init__(self, run_id: str, definition: WorkflowDefinition, converter: Converter) -> None: ...

    head_seq: int
    """Last event it knows of, notes included."""
    turn_number: int
    """Last turn."""
    turn_time: int
    """Time of the last turn."""
    closed: bool
    request_ids: set[str]
    """Of all messages in the history; a message with one of these is a duplicate."""
    activities: dict[int, PendingActivity]
    """By scheduled seq."""
    timers: dict[int, int]
    """fire_at by the seq of TimerStarted."""

    def replay(self, history: Iterable[HistoryEvent]) -> None:
        """Run the code over recorded turns (may be called again with later events).

        Raises NonDeterminismError at the first difference.
        """

    def note(self, seq: int, event: Event) -> None:
        """Take in a note that was just recorded with this seq (a failed attempt)."""

    def advance(self, news: Sequence[Event], *, now: int, recorded: int = 0) -> Turn:
        """Feed `news` (input events, in the order in which they are to be recorded) and run until the code waits.

        The first `recorded` of them stand in the history already (inputs of a turn left open: the first turn's
        WorkflowExecutionStarted, or those of a turn whose code failed); `head_seq` counts them and any notes
        behind them. The others get head_seq + 1 and on, outputs follow them. The turn's time is
        max(now, time of the last turn), which becomes the `recorded_at` of every row that it adds; on replay a
        turn's time is the `recorded_at` of its LAST row (the first turn's first row is older than the turn).

        The live run is then at the turn's end, so a turn that does not land makes it worthless. Raises
        TurnFailedError when the code raised what does not fail the run.
        """
        raise NotImplementedError

    def query(self, name: str, arguments: Sequence[Payload]) -> Payload:
        """Answer a query read-only from the state at the end of the last turn.

        Raises QueryFailedError (handler raised, unknown name) and leaves no trace in any case.
        """
        raise NotImplementedError

    def evict(self) -> None:
        """Drop the run from memory; its coroutines are closed and cannot issue commands."""


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
