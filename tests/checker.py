"""One pure judge of what a store holds: dumped tables and what clients were told in, violations out.

It shares no code with the engine but the event structs and the hash of one event, so that a mistake of the
engine is not repeated here. `tests/laws/test_checker.py` shows that it finds each kind of planted damage and raises
no false alarm.

What clients were told stands in an acknowledgement log outside the database (`Ack`): one line for each call,
written before its answer is used. Times in it are CLOCK_MONOTONIC, which all processes of a machine share.
"""

import enum
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence

import msgspec

from perdure_history.chain import GENESIS, event_hash
from perdure_history.codec import decode_event
from perdure_history.errors import CorruptHistoryError
from perdure_history.events import (
    CLOSING_TYPES,
    EVENT_TYPES,
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
    WorkflowExecutionCancelRequested,
    WorkflowExecutionCompleted,
    WorkflowExecutionSignaled,
    WorkflowExecutionStarted,
    WorkflowTaskFailed,
)
from perdure_history.records import EventRow, Message, RunRecord, RunStatus, WorkerRecord

Outcome = ActivityTaskCompleted | ActivityTaskFailed | ActivityTaskTimedOut | ActivityTaskCanceled
MessageEvent = WorkflowExecutionSignaled | WorkflowExecutionCancelRequested

STATUS_AFTER = {
    "WorkflowExecutionCompleted": RunStatus.COMPLETED,
    "WorkflowExecutionFailed": RunStatus.FAILED,
    "WorkflowExecutionCanceled": RunStatus.CANCELED,
    "WorkflowExecutionTerminated": RunStatus.TERMINATED,
}


class Kind(enum.StrEnum):
    """What is wrong."""

    LOST = "lost"
    """Acknowledged to a client, and absent."""
    TWICE = "twice"
    """Two outcomes of one activity, two fires of one timer, two ends of an attempt, one message taken twice."""
    GAP = "gap"
    """The seqs of a run are not 1..n, or its turns are not."""
    AFTER_END = "after the end"
    """Something follows a closing event, or an inbox still holds messages of a closed run."""
    CHAIN = "chain"
    """A hash does not follow from the event and the one before it, or the bytes do not decode."""
    ORDER = "order"
    """A message whose sender waited for another's acknowledgement stands before that one; or time runs backwards."""
    CHANGED = "changed"
    """What was committed once is different or gone in a later dump."""
    SUMMARY = "summary"
    """The run's row does not follow from its history."""
    STUCK = "stuck"
    """Open, with work to do, and nobody who would ever do it."""
    UNFOUNDED = "unfounded"
    """An event answers to a command that is not there, or a timer fired before its time."""
    CLAIMED = "claimed"
    """A refused message stands in the history, or a client was given a result that the history does not have."""


class Violation(msgspec.Struct, frozen=True):
    """One thing that must not be."""

    kind: Kind
    run_id: str
    seq: int
    what: str


class Dump(msgspec.Struct, frozen=True, kw_only=True):
    """All tables at one moment."""

    runs: tuple[RunRecord, ...]
    history: Mapping[str, Sequence[EventRow]]
    inbox: tuple[Message, ...] = ()
    workers: tuple[WorkerRecord, ...] = ()
    now: int = 0
    """Store time at which it was taken."""


class Ack(msgspec.Struct, frozen=True, kw_only=True):
    """What one client call came to. `answer`: "ok", "refused" (the run was closed), or "unknown" (no answer)."""

    call: str
    """"start", "signal", "cancel", "terminate" or "result"."""
    workflow_id: str
    run_id: str = ""
    key: str = ""
    """Names the message: its request id, or the text of its only argument. For a result: its JSON."""
    sent: int = 0
    acked: int = 0
    answer: str = "ok"


def check(dump: Dump, acks: Iterable[Ack] = (), *, earlier: Dump | None = None) -> list[Violation]:
    """Everything that is wrong with `dump`, given what clients were told and an earlier dump."""
    runs = {run.run_id: run for run in dump.runs}
    inboxes: dict[str, list[Message]] = defaultdict(list)
    for message in dump.inbox:
        inboxes[message.run_id].append(message)
    live = {worker.incarnation for worker in dump.workers if worker.state == "live"}
    found: list[Violation] = []
    decoded: dict[str, list[tuple[EventRow, Event]]] = {}
    for run_id, rows in dump.history.items():
        events, defects = _decode(run_id, rows)
        decoded[run_id] = events
        found += defects
        found += _check_places(run_id, rows)
        found += _check_turns(run_id, events)
        found += _check_outcomes(run_id, events)
        found += _check_messages(run_id, events)
        if run_id not in runs:
            found.append(Violation(Kind.SUMMARY, run_id, 0, "has a history and no row in runs"))
    for run in dump.runs:
        events = decoded.get(run.run_id, [])
        found += _check_summary(run, events)
        found += _check_liveness(run, events, inboxes[run.run_id], live=live, now=dump.now)
    found += _check_ids(dump.runs)
    found += _check_acks(acks, runs, decoded, inboxes)
    if earlier is not None:
        found += _check_unchanged(earlier, dump, runs)
    return found


def _decode(run_id: str, rows: Sequence[EventRow]) -> tuple[list[tuple[EventRow, Event]], list[Violation]]:
    events: list[tuple[EventRow, Event]] = []
    defects: list[Violation] = []
    previous = GENESIS
    for row in rows:
        expected = event_hash(
            previous, run_id, row.seq, row.turn, row.type, row.actor, row.recorded_at, row.attributes
        )
        if row.hash != expected:
            defects.append(
                Violation(Kind.CHAIN, run_id, row.seq, f"{row.type} does not have the hash it should")
            )
        previous = row.hash
        try:
            events.append((row, decode_event(row.type, row.attributes, run_id=run_id, seq=row.seq)))
        except CorruptHistoryError as error:
            defects.append(Violation(Kind.CHAIN, run_id, row.seq, str(error)))
    return events, defects


def _check_places(run_id: str, rows: Sequence[EventRow]) -> Iterator[Violation]:
    expected = 1
    for row in rows:
        if row.seq < expected:
            yield Violation(Kind.TWICE, run_id, row.seq, "this seq stands in the history twice")
        elif row.seq > expected:
            yield Violation(Kind.GAP, run_id, row.seq, f"event {expected} is missing before it")
        expected = max(expected, row.seq + 1)
    for row in rows[:-1]:
        if row.type in CLOSING_TYPES:
            yield Violation(Kind.AFTER_END, run_id, row.seq, f"something follows {row.type}")
    for row in rows[1:]:
        if row.type == "WorkflowExecutionStarted":
            yield Violation(Kind.TWICE, run_id, row.seq, "started a second time")
    if not rows or rows[0].type != "WorkflowExecutionStarted":
        yield Violation(Kind.GAP, run_id, 1, "does not begin with WorkflowExecutionStarted")


def _check_turns(run_id: str, events: Sequence[tuple[EventRow, Event]]) -> Iterator[Violation]:
    turn, time, outputs_seen = 0, 0, False
    for row, event in events:
        if row.turn is None:
            continue
        role = EVENT_TYPES[row.type].role
        if row.turn not in (turn, turn + 1):
            yield Violation(Kind.GAP, run_id, row.seq, f"turn {row.turn} follows turn {turn}")
        if row.turn != turn:
            outputs_seen = False
            if role is not Role.INPUT:
                yield Violation(Kind.UNFOUNDED, run_id, row.seq, f"turn {row.turn} begins with {row.type}")
        elif role is Role.INPUT and outputs_seen:
            yield Violation(
                Kind.UNFOUNDED, run_id, row.seq, f"turn {row.turn} has {row.type} after its commands"
            )
        outputs_seen = outputs_seen or role is Role.OUTPUT
        if row.recorded_at < time:
            yield Violation(Kind.ORDER, run_id, row.seq, "its time is before that of the event before it")
        turn, time = row.turn, row.recorded_at
        if isinstance(event, WorkflowTaskFailed):
            yield Violation(Kind.UNFOUNDED, run_id, row.seq, "a note has a turn")


def _check_outcomes(run_id: str, events: Sequence[tuple[EventRow, Event]]) -> Iterator[Violation]:
    scheduled: set[int] = set()
    ended: set[int] = set()
    attempts: dict[int, int] = {}
    timers: dict[int, TimerStarted] = {}
    asked_to_cancel: set[int] = set()
    for row, event in events:
        match event:
            case ActivityTaskScheduled():
                scheduled.add(row.seq)
            case TimerStarted():
                timers[row.seq] = event
            case (
                ActivityTaskCompleted(scheduled_seq=seq, attempt=attempt)
                | ActivityTaskFailed(scheduled_seq=seq, attempt=attempt)
                | ActivityTaskTimedOut(scheduled_seq=seq, attempt=attempt)
                | ActivityTaskCanceled(scheduled_seq=seq, attempt=attempt)
                | ActivityTaskAttemptFailed(scheduled_seq=seq, attempt=attempt)
            ):
                if seq not in scheduled:
                    yield Violation(Kind.UNFOUNDED, run_id, row.seq, f"no activity was scheduled at {seq}")
                if seq in ended:
                    yield Violation(Kind.TWICE, run_id, row.seq, f"activity {seq} had an outcome before")
                # An activity canceled while it waits for its next attempt ends with the last one's number.
                elif attempt <= attempts.get(seq, 0) and not isinstance(
                    event, ActivityTaskCanceled | ActivityTaskTimedOut
                ):
                    yield Violation(
                        Kind.TWICE, run_id, row.seq, f"attempt {attempt} of activity {seq} ended before"
                    )
                attempts[seq] = max(attempt, attempts.get(seq, 0))
                if not isinstance(event, ActivityTaskAttemptFailed):
                    ended.add(seq)
            case ActivityTaskCancelRequested(scheduled_seq=seq):
                if seq not in scheduled:
                    yield Violation(Kind.UNFOUNDED, run_id, row.seq, f"no activity was scheduled at {seq}")
                if seq in asked_to_cancel:
                    yield Violation(Kind.TWICE, run_id, row.seq, f"activity {seq} was asked to cancel before")
                asked_to_cancel.add(seq)
            case TimerFired(timer_seq=seq) | TimerCanceled(timer_seq=seq):
                if seq not in timers:
                    yield Violation(Kind.UNFOUNDED, run_id, row.seq, f"no timer was started at {seq}")
                elif isinstance(event, TimerFired) and row.recorded_at < timers[seq].fire_at:
                    yield Violation(Kind.UNFOUNDED, run_id, row.seq, f"timer {seq} fired before its time")
                if seq in ended:
                    yield Violation(Kind.TWICE, run_id, row.seq, f"timer {seq} fired or was canceled before")
                ended.add(seq)
            case _:
                pass


def _check_messages(run_id: str, events: Sequence[tuple[EventRow, Event]]) -> Iterator[Violation]:
    seen: set[str] = set()
    for row, event in events:
        if not isinstance(event, MessageEvent):
            continue
        if event.request_id in seen:
            yield Violation(Kind.TWICE, run_id, row.seq, f"message {event.request_id} was taken before")
        seen.add(event.request_id)
        if event.delivered != (row.turn is not None):
            yield Violation(
                Kind.UNFOUNDED, run_id, row.seq, "a message is delivered if and only if it is in a turn"
            )


def _check_summary(run: RunRecord, events: Sequence[tuple[EventRow, Event]]) -> Iterator[Violation]:
    def wrong(what: str) -> Violation:
        return Violation(Kind.SUMMARY, run.run_id, 0, what)

    if not events:
        yield Violation(Kind.LOST, run.run_id, 1, "has a row in runs and no history")
        return
    first, (last_row, _) = events[0][1], events[-1]
    if isinstance(first, WorkflowExecutionStarted):
        facts = (first.workflow_id, first.namespace, first.workflow_type, first.task_queue)
        if (run.workflow_id, run.namespace, run.workflow_type, run.task_queue) != facts:
            yield wrong(f"names differ from those in its first event: {facts}")
    status = STATUS_AFTER.get(last_row.type, RunStatus.RUNNING)
    if run.status is not status:
        yield wrong(f"is {run.status}, but its history says {status}")
    closed = status is not RunStatus.RUNNING
    if run.closed_at != (last_row.recorded_at if closed else None):
        yield wrong(f"closed_at is {run.closed_at}")
    if closed and run.history_length != last_row.seq:
        yield wrong(f"history_length is {run.history_length}, but the last event is {last_row.seq}")
    if closed and (run.owner is not None or run.wake_at is not None):
        yield wrong("is closed and still has an owner or a wake-up")
    if run.owner is not None and run.wake_at is not None:
        yield wrong("has an owner and a wake-up")


def _check_liveness(
    run: RunRecord,
    events: Sequence[tuple[EventRow, Event]],
    inbox: Sequence[Message],
    *,
    live: set[str],
    now: int,
) -> Iterator[Violation]:
    if events and events[-1][0].type in CLOSING_TYPES:
        if inbox:
            yield Violation(
                Kind.AFTER_END, run.run_id, 0, f"is closed and has {len(inbox)} messages in its inbox"
            )
        return
    if run.owner is not None:
        if run.owner not in live:
            yield Violation(Kind.STUCK, run.run_id, 0, f"is owned by {run.owner}, which is not a live worker")
        return
    if run.problem is not None:
        return  # set aside for everyone to see; a new worker brings it back
    due = _earliest_work(events)
    if inbox or len(events) == 1:
        due = 0
    if due is not None and run.wake_at is None:
        yield Violation(Kind.STUCK, run.run_id, 0, "has work to do, no owner and no wake-up")
    elif due is not None and run.wake_at is not None and run.wake_at > max(due, now):
        yield Violation(
            Kind.STUCK, run.run_id, 0, f"wakes at {run.wake_at}, after {due} when it has work to do"
        )


def _earliest_work(events: Sequence[tuple[EventRow, Event]]) -> int | None:
    """When the run next has something to do by itself; 0 for now, None when only a message can move it."""
    due: dict[int, int] = {}
    for row, event in events:
        match event:
            case ActivityTaskScheduled():
                due[row.seq] = 0
            case TimerStarted():
                due[row.seq] = event.fire_at
            case ActivityTaskAttemptFailed():
                due[event.scheduled_seq] = event.next_attempt_at
            case TimerFired(timer_seq=seq) | TimerCanceled(timer_seq=seq):
                due.pop(seq, None)
            case (
                ActivityTaskCompleted()
                | ActivityTaskFailed()
                | ActivityTaskTimedOut()
                | ActivityTaskCanceled()
            ):
                due.pop(event.scheduled_seq, None)
            case _:
                pass
    return min(due.values(), default=None)


def _check_ids(runs: Sequence[RunRecord]) -> Iterator[Violation]:
    by_id: dict[tuple[str, str], list[RunRecord]] = defaultdict(list)
    for run in runs:
        by_id[run.namespace, run.workflow_id].append(run)
    for (_, workflow_id), group in by_id.items():
        if sum(run.status is RunStatus.RUNNING for run in group) > 1:
            yield Violation(Kind.TWICE, group[0].run_id, 0, f"{workflow_id!r} has two open runs")
        if sorted(run.nth for run in group) != list(range(1, len(group) + 1)):
            yield Violation(
                Kind.GAP, group[0].run_id, 0, f"the runs of {workflow_id!r} are not numbered 1..n"
            )
    for request_id, count in Counter(run.request_id for run in runs if run.request_id).items():
        if count > 1:
            yield Violation(Kind.TWICE, "", 0, f"start request {request_id} made {count} runs")


def _check_acks(
    acks: Iterable[Ack],
    runs: Mapping[str, RunRecord],
    decoded: Mapping[str, Sequence[tuple[EventRow, Event]]],
    inboxes: Mapping[str, Sequence[Message]],
) -> Iterator[Violation]:
    newest: dict[str, RunRecord] = {}
    for run in sorted(runs.values(), key=lambda run: run.nth):
        newest[run.workflow_id] = run
    sent_to: dict[str, list[Ack]] = defaultdict(list)
    for ack in acks:
        run = runs.get(ack.run_id) if ack.run_id else newest.get(ack.workflow_id)
        if run is None:
            if ack.answer == "ok":
                yield Violation(
                    Kind.LOST, ack.run_id, 0, f"acknowledged {ack.call} of {ack.workflow_id!r}: no run"
                )
        elif ack.call == "result":
            yield from _check_result(ack, run.run_id, decoded.get(run.run_id, ()))
        elif ack.call == "terminate":
            if ack.answer == "ok" and run.status is not RunStatus.TERMINATED:
                yield Violation(Kind.LOST, run.run_id, 0, f"acknowledged terminate; the run is {run.status}")
        elif ack.call in ("signal", "cancel"):
            sent_to[run.run_id].append(ack)
    for run_id, sent in sent_to.items():
        yield from _check_sent(run_id, sent, decoded.get(run_id, ()), inboxes.get(run_id, ()))


def _check_result(ack: Ack, run_id: str, events: Sequence[tuple[EventRow, Event]]) -> Iterator[Violation]:
    last = events[-1][1] if events else None
    if not isinstance(last, WorkflowExecutionCompleted):
        yield Violation(
            Kind.CLAIMED, run_id, 0, f"a client was told result {ack.key}; the run ends with {last}"
        )
    elif msgspec.json.decode(last.result.json) != msgspec.json.decode(ack.key):
        yield Violation(
            Kind.CLAIMED, run_id, 0, f"a client was told result {ack.key}, not {last.result.json!r}"
        )


def _check_sent(
    run_id: str, sent: Sequence[Ack], events: Sequence[tuple[EventRow, Event]], inbox: Sequence[Message]
) -> Iterator[Violation]:
    places: dict[tuple[str, str], list[int]] = defaultdict(list)
    for row, event in events:
        for name in _names(event):
            places[name].append(row.seq)
    waiting: set[tuple[str, str]] = set()
    for message in inbox:
        waiting.update(_names(decode_event(message.type, message.attributes)))
    found: list[tuple[int, Ack]] = []
    for ack in sent:
        name = (ack.call, ack.key)
        where = places.get(name, [])
        if len(where) > 1 and ack.key:
            yield Violation(
                Kind.TWICE, run_id, where[1], f"{ack.call} {ack.key!r} stands in the history twice"
            )
        if ack.answer == "ok" and not where and name not in waiting:
            yield Violation(Kind.LOST, run_id, 0, f"acknowledged {ack.call} {ack.key!r} is nowhere")
        if ack.answer == "refused" and ack.key and (where or name in waiting):
            yield Violation(Kind.CLAIMED, run_id, 0, f"refused {ack.call} {ack.key!r} is there")
        if ack.answer == "ok" and ack.key and ack.acked and where:
            found.append((where[0], ack))
    latest: Ack | None = None
    for seq, ack in sorted(found, key=lambda pair: pair[0]):
        if latest is not None and ack.acked < latest.sent:
            yield Violation(
                Kind.ORDER,
                run_id,
                seq,
                f"{ack.key!r} was acknowledged before {latest.key!r} was sent, and stands after it",
            )
        if latest is None or ack.sent > latest.sent:
            latest = ack


def _names(event: Event) -> Iterator[tuple[str, str]]:
    """By which (call, key) an acknowledgement may mean this event."""
    match event:
        case WorkflowExecutionSignaled():
            names = {event.request_id}
            if len(event.input) == 1 and bytes(event.input[0].json).startswith(b'"'):
                names.add(msgspec.json.decode(event.input[0].json))
            for name in names:
                yield "signal", name
        case WorkflowExecutionCancelRequested():
            yield "cancel", event.request_id
            yield "cancel", ""  # the public cancel() names no message: any one will do
        case _:
            pass


def _check_unchanged(earlier: Dump, later: Dump, runs: Mapping[str, RunRecord]) -> Iterator[Violation]:
    for run in earlier.runs:
        now = runs.get(run.run_id)
        if now is None:
            yield Violation(Kind.CHANGED, run.run_id, 0, "is gone")
        elif run.status is not RunStatus.RUNNING and now != run:
            yield Violation(Kind.CHANGED, run.run_id, 0, "was closed, and its row changed after that")
    for run_id, rows in earlier.history.items():
        after = later.history.get(run_id, ())
        for row, again in zip(rows, after, strict=False):
            if row != again:
                yield Violation(Kind.CHANGED, run_id, row.seq, f"{row.type} changed after it was committed")
        if len(after) < len(rows):
            yield Violation(Kind.CHANGED, run_id, len(after) + 1, "was committed and is gone")
        elif len(after) > len(rows) and rows and rows[-1].type in CLOSING_TYPES:
            yield Violation(Kind.CHANGED, run_id, len(rows) + 1, "was appended to a closed run")
