"""HeldRun: one run that a worker holds, with what waits to be recorded for it."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import msgspec

from perdure.worker._attempt import Attempt
from perdure.worker._due import DueEntry
from perdure_history.chain import GENESIS
from perdure_history.events import Event
from perdure_history.records import TurnCommit, TurnProblem
from perdure_replayer.definition import WorkflowDefinition
from perdure_replayer.turn import HistoryEvent, LiveRun, Turn


class News(msgspec.Struct, frozen=True, gc=False):
    """An input that is to be recorded with the run's next turn."""

    event: Event
    actor: str
    inbox_id: int | None = None
    """The inbox row it came in; None for what the worker itself found out."""


class PreparedCommit(msgspec.Struct, eq=False):
    """A computed turn on its way into the log: immutable, retried byte for byte."""

    run: "HeldRun"
    commit: TurnCommit
    news: tuple[News, ...] = ()
    """What it takes in, to be given back when it does not land."""
    notes: tuple[Event, ...] = ()
    turn: Turn | None = None
    problem: TurnProblem | None = None
    """What the run's summary shows from this commit on, where the commit writes that."""
    failed_turn: bool = False
    """The turn could not be computed; `problem` says why."""
    drops_run: bool = False
    """It closes or releases the run."""


@dataclass(slots=True, eq=False)
class HeldRun:
    """A run owned by this worker. Changed only on the worker's event loop.

    `live` may be None while activities of the run are running here (then the history is replayed when the
    next news arrives). A run has at most one commit on its way (`in_flight`).
    """

    run_id: str
    workflow_id: str
    definition: WorkflowDefinition
    live: LiveRun | None = None
    head_seq: int = 0
    head_hash: bytes = GENESIS
    turn_number: int = 0
    """Last turn that was computed."""
    open_inputs: Sequence[HistoryEvent] = ()
    """Recorded inputs of a turn that is not computed yet."""
    news: list[News] | None = None
    notes: list[Event] | None = None
    seen: set[int] | None = None
    """Inbox rows that are in `news` or on their way."""
    in_flight: PreparedCommit | None = None
    doubted: bool = False
    """Someone closed it, perhaps, while a commit was on its way: look when that is settled."""
    queued: bool = False
    loading: bool = False
    gone: bool = False
    """No longer held; whatever still refers to it must leave it alone."""
    orphaned_by: str | None = None
    problem: TurnProblem | None = None
    unread_refusals: int = 0
    alarms: dict[int, DueEntry] = field(default_factory=dict)
    """Open timers that are watched here, by seq of TimerStarted."""
    attempts: dict[int, Attempt] = field(default_factory=dict)
    """Activities that are running, waiting or resting here, or whose outcome is on its way, by seq."""

    def add_news(self, news: News) -> None:
        """Queue an input; the caller then tells the turn loop."""
        if self.news is None:
            self.news = [news]
        else:
            self.news.append(news)

    def add_note(self, note: Event) -> None:
        """Queue a note; the caller then tells the turn loop."""
        if self.notes is None:
            self.notes = [note]
        else:
            self.notes.append(note)

    def drop_live(self) -> None:
        """Take it out of memory; what is recorded is replayed when it is wanted again."""
        if self.live is not None:
            self.live.evict()
            self.live = None

    def mark_seen(self, inbox_id: int) -> bool:
        """True the first time: the row is not on its way yet."""
        if self.seen is None:
            self.seen = {inbox_id}
            return True
        if inbox_id in self.seen:
            return False
        self.seen.add(inbox_id)
        return True

    @property
    def next_turn_number(self) -> int:
        """The turn that waits to be computed: the open one, or the one after the last."""
        if self.open_inputs and self.open_inputs[0].turn is not None:
            return self.open_inputs[0].turn
        return self.turn_number + 1

    @property
    def has_activities(self) -> bool:
        """Activities are still to come to their outcome here, so the run must not be given up."""
        return any(attempt.is_open for attempt in self.attempts.values())

    @property
    def may_leave(self) -> bool:
        """Nothing would be lost with it: no activity is under way, and what came of one is recorded."""
        return not self.has_activities and not any(item.inbox_id is None for item in self.news or ())

    @property
    def has_work(self) -> bool:
        """Something waits to be recorded."""
        return bool(self.news or self.notes or self.open_inputs or self.orphaned_by)

    @property
    def is_idle(self) -> bool:
        """Nothing is on its way or running: it may leave memory."""
        return not (self.in_flight or self.queued or self.loading or self.attempts or self.has_work)
