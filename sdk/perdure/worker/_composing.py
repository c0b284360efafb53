"""From what waits for a run to one immutable commit: compute the turn, number it, chain it."""

import traceback
from collections.abc import Sequence

from perdure.worker._held_run import HeldRun, News, PreparedCommit
from perdure.worker._suspects import POISON
from perdure_history.chain import seal
from perdure_history.events import (
    ActivityTaskCanceled,
    ActivityTaskCompleted,
    ActivityTaskFailed,
    ActivityTaskTimedOut,
    Event,
    TimerFired,
    WorkflowExecutionCanceled,
    WorkflowExecutionCancelRequested,
    WorkflowExecutionCompleted,
    WorkflowExecutionSignaled,
    WorkflowTaskFailed,
)
from perdure_history.failures import Failure
from perdure_history.ids import RunId
from perdure_history.limits import check_size
from perdure_history.records import RunStatus, RunUpdate, TurnCommit, TurnProblem, encode_problem
from perdure_replayer.errors import TurnFailedError
from perdure_replayer.turn import LiveRun, Turn

_FIRST_BACKOFF_US = 1_000_000
_LONGEST_BACKOFF_US = 60_000_000
_LONGEST_MESSAGE = 4_000
_LONGEST_TRACEBACK = 20_000
RETRIED_CLOSE = 3
"""How often a closing turn is computed anew because messages came in before it is closed over them."""


def compose(run: HeldRun, live: LiveRun, *, now: int, actor: str) -> PreparedCommit | None:
    """Take everything that waits for `run` into one commit; None when there is nothing to record.

    Notes come first, then the turn that the news causes. A turn whose code fails is recorded as its inputs
    and the failure, with the run released until its next try, so that no result is lost.
    """
    notes = tuple(run.notes or ())
    news, taken = _wanted_news(run, live)
    run.notes = run.news = None
    try:
        prepared = _composed(run, live, news, notes, taken=taken, now=now, actor=actor)
        for row in prepared.commit.rows if prepared is not None else ():
            check_size(run.run_id, row.type, row.attributes)
    except Exception as error:  # noqa: BLE001  whatever workflow code and its values do costs this run only
        try:
            return failed_turn(run, error, now=now, actor=actor, news=news, notes=notes, taken=taken)
        except Exception:
            # What this worker found out stands nowhere else.
            run.news, run.notes = list(news), list(notes)
            raise
    run.open_inputs = ()
    return prepared


def _composed(
    run: HeldRun,
    live: LiveRun,
    news: tuple[News, ...],
    notes: tuple[Event, ...],
    *,
    taken: tuple[int, ...],
    now: int,
    actor: str,
) -> PreparedCommit | None:
    events: list[tuple[Event, int | None, str]] = []
    for seq, note in enumerate(notes, run.head_seq + 1):
        live.note(seq, note)
        events.append((note, None, actor))
    opened = [entry.event for entry in run.open_inputs]
    if not news and not opened:
        noted = _lost_attempts_are_noted(run)
        if not events and not taken and not noted:
            return None
        update = RunUpdate(clear_orphaned=True) if noted else None
        return _prepared(run, events, now, taken=taken, update=update, notes=notes)
    turn = live.advance([*opened, *(item.event for item in news)], now=now, recorded=len(opened))
    events += _turn_events(turn, news, actor)
    update = _turn_update(run, turn)
    return _prepared(run, events, turn.time, taken=taken, update=update, news=news, notes=notes, turn=turn)


def failed_turn(
    run: HeldRun,
    error: Exception,
    *,
    now: int,
    actor: str,
    news: Sequence[News] = (),
    notes: Sequence[Event] = (),
    taken: Sequence[int] = (),
) -> PreparedCommit:
    """The commit that sets `run` aside because `error` kept a turn from being computed (or replayed).

    `news` becomes the inputs of the turn, which stays open. The run comes back by itself after a backoff that
    doubles up to a minute, when a message arrives, or when a worker starts. It is released meanwhile, unless
    activities of it are running here.
    """
    cause = error.error if isinstance(error, TurnFailedError) else error
    problem = next_problem(run.problem, cause, now)
    number = run.next_turn_number
    events: list[tuple[Event, int | None, str]] = [(note, None, actor) for note in notes]
    events += [(item.event, number, item.actor) for item in news]
    if news or (run.open_inputs and (run.problem is None or run.problem.kind != problem.kind)):
        failure = Failure(message=problem.message, type=problem.kind, stack_trace=problem.traceback)
        events.append((WorkflowTaskFailed(failure=failure), None, actor))
    update = RunUpdate(
        release=run.may_leave,
        wake_at=problem.next_at,
        set_problem=True,
        problem=encode_problem(problem),
        clear_orphaned=_lost_attempts_are_noted(run),
    )
    prepared = _prepared(
        run, events, now, taken=taken, update=update, news=tuple(news), notes=tuple(notes), ignore_unread=True
    )
    prepared.problem = problem
    prepared.failed_turn = True
    return prepared


def mark(run: HeldRun, problem: TurnProblem | None, *, now: int, release: bool = False) -> PreparedCommit:
    """The commit that writes (or clears) a problem and records nothing; with `release` it gives the run up."""
    update = RunUpdate(
        set_problem=True,
        problem=None if problem is None else encode_problem(problem),
        release=release,
        wake_at=problem.next_at if release and problem is not None else None,
    )
    prepared = _prepared(run, [], now, update=update, ignore_unread=True)
    prepared.problem = problem
    return prepared


def release(run: HeldRun, *, wake_at: int | None, now: int) -> PreparedCommit:
    """The commit that gives `run` up without recording anything."""
    problem = None if run.problem is None else encode_problem(run.problem)
    return _prepared(run, [], now, update=RunUpdate(release=True, wake_at=wake_at, problem=problem))


def next_problem(former: TurnProblem | None, error: BaseException, now: int) -> TurnProblem:
    """The problem to show for `error`, counting up while there is one, whatever its text."""
    repeated = former is not None and former.kind != POISON
    attempts = former.attempts + 1 if former is not None and repeated else 1
    backoff = min(_FIRST_BACKOFF_US * 2 ** min(attempts - 1, 30), _LONGEST_BACKOFF_US)
    return TurnProblem(
        kind=type(error).__name__,
        message=_writable(_text_of(error), _LONGEST_MESSAGE),
        traceback=_writable("".join(traceback.format_exception(error)), _LONGEST_TRACEBACK),
        attempts=attempts,
        first_at=former.first_at if former is not None and repeated else now,
        next_at=now + backoff,
    )


def _text_of(error: BaseException) -> str:
    try:
        return str(error)
    except Exception:  # noqa: BLE001  a user's own __str__
        return "its text cannot be made"


def _writable(text: str, longest: int) -> str:
    """The text as every store can hold it; of a long one its begin and its end."""
    if len(text) > longest:
        text = f"{text[: longest // 2]}\n...\n{text[-longest // 2 :]}"
    return text.replace("\0", "\\0").encode(errors="backslashreplace").decode()


def _wanted_news(run: HeldRun, live: LiveRun) -> tuple[tuple[News, ...], tuple[int, ...]]:
    """What of the run's news is still news, and every inbox row that this commit consumes."""
    taken: list[int] = []
    wanted: dict[object, News] = {}
    for item in run.news or ():
        if item.inbox_id is not None:
            taken.append(item.inbox_id)
        key = _key_of_news(item.event, live)
        if key is not None:
            # The first counts: the same timer may have been found due twice, on its alarm and after a reload.
            wanted.setdefault(key, item)
    return tuple(wanted.values()), tuple(taken)


def _key_of_news(event: Event, live: LiveRun) -> object | None:
    """What the event can be input for only once; None when that has happened, or is not wanted any more."""
    match event:
        case ActivityTaskCompleted() | ActivityTaskFailed() | ActivityTaskTimedOut() | ActivityTaskCanceled():
            return event.scheduled_seq if event.scheduled_seq in live.activities else None
        case TimerFired():
            return event.timer_seq if event.timer_seq in live.timers else None
        case WorkflowExecutionSignaled() | WorkflowExecutionCancelRequested():
            return None if event.request_id in live.request_ids else event.request_id
        case _:
            return event


def _turn_events(turn: Turn, news: Sequence[News], actor: str) -> list[tuple[Event, int | None, str]]:
    rows: list[tuple[Event, int | None, str]] = [(item.event, turn.number, item.actor) for item in news]
    # What the turn itself adds to its inputs, so that an open turn without any other row counts as computed.
    rows += [(event, turn.number, actor) for event in turn.inputs[len(news) :]]
    rows += [(event, turn.number, actor) for event in turn.outputs]
    return rows


def _turn_update(run: HeldRun, turn: Turn) -> RunUpdate | None:
    status = _final_status(turn.outputs[-1]) if turn.closes_run else None
    mended = run.problem is not None
    noted = _lost_attempts_are_noted(run)
    if status is None and not mended and not noted:
        return None
    return RunUpdate(status=status, set_problem=mended, clear_orphaned=noted)


def _final_status(closing: Event) -> RunStatus:
    match closing:
        case WorkflowExecutionCompleted():
            return RunStatus.COMPLETED
        case WorkflowExecutionCanceled():
            return RunStatus.CANCELED
        case _:
            return RunStatus.FAILED


def _lost_attempts_are_noted(run: HeldRun) -> bool:
    return run.orphaned_by is not None and run.live is not None


def _prepared(
    run: HeldRun,
    events: Sequence[tuple[Event, int | None, str]],
    recorded_at: int,
    *,
    taken: tuple[int, ...] | Sequence[int] = (),
    update: RunUpdate | None = None,
    news: tuple[News, ...] = (),
    notes: tuple[Event, ...] = (),
    turn: Turn | None = None,
    ignore_unread: bool = False,
) -> PreparedCommit:
    rows = seal(run.run_id, events, prev_seq=run.head_seq, prev_hash=run.head_hash, recorded_at=recorded_at)
    closes = update is not None and update.status is not None
    commit = TurnCommit(
        run_id=RunId(run.run_id),
        prev_seq=run.head_seq,
        prev_hash=run.head_hash,
        rows=rows,
        taken=tuple(taken),
        update=update,
        ignore_unread=ignore_unread or (closes and run.unread_refusals >= RETRIED_CLOSE),
    )
    drops = closes or (update is not None and update.release)
    return PreparedCommit(run, commit, news, notes, turn, drops_run=drops)
