"""ActivityRunner: makes the attempts of the activities that run with their workflows, in this process.

Owns the slots and the attempts' tasks. An attempt begins only after the event that asks for it is recorded;
its outcome becomes news of its run, and a failure that is retried becomes a note, behind which the next
attempt waits. After a crash the log says which attempts were made and when the next is due.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from functools import partial

from perdure.activity import ActivityCancellationDetails
from perdure.worker._attempt import Attempt, AttemptState, Trial
from perdure.worker._due import DueQueue
from perdure.worker._execution import Execution
from perdure.worker._held_run import HeldRun, News
from perdure.worker._identity import WorkerIdentity
from perdure.worker._retries import next_attempt_at
from perdure_history.events import (
    ActivityTaskAttemptFailed,
    ActivityTaskCanceled,
    ActivityTaskCompleted,
    ActivityTaskFailed,
    ActivityTaskTimedOut,
    Event,
)
from perdure_history.failures import Failure, FailureKind, RetryState, TimeoutType
from perdure_history.payloads import Payload
from perdure_replayer.turn import PendingActivity

_logger = logging.getLogger("perdure.worker")
_TIMEOUT_NAMES = {
    TimeoutType.START_TO_CLOSE: "StartToClose",
    TimeoutType.SCHEDULE_TO_START: "ScheduleToStart",
    TimeoutType.SCHEDULE_TO_CLOSE: "ScheduleToClose",
    TimeoutType.HEARTBEAT: "Heartbeat",
}


class ActivityRunner:
    """Runs the activities of one worker. Belongs to the worker's event loop."""

    def __init__(
        self,
        execution: Execution,
        due: DueQueue,
        me: WorkerIdentity,
        *,
        now: Callable[[], int],
        wake: Callable[[HeldRun], None],
        may_start: Callable[[], bool],
        slots: int,
    ) -> None:
        self._execution = execution
        self._due = due
        self._now = now
        self._me = me
        self._wake = wake
        self._may_start = may_start
        self._free_slots = slots
        self._waiting: deque[tuple[HeldRun, Attempt]] = deque()
        self._tasks: set[asyncio.Task[Payload | Failure | None]] = set()

    def take(self, run: HeldRun, pending: PendingActivity) -> None:
        """Make attempts for a recorded activity from now on, unless that is being done already."""
        if pending.seq in run.attempts:
            return
        attempt = _attempt_of(run, pending)
        run.attempts[pending.seq] = attempt
        self._watch_schedule_clocks(run, attempt)
        if attempt.cancel_requested:
            self._settle(
                run, attempt, ActivityTaskCanceled(scheduled_seq=attempt.seq, attempt=attempt.number)
            )
        elif (clock := _expired(attempt, self._now())) is not None:
            failure = self._timeout_failure(attempt, clock)
            self._settle(run, attempt, _final_event(attempt, failure, RetryState.TIMEOUT))
        elif attempt.next_at > self._now():
            self._rest(run, attempt)
        else:
            self._queue(run, attempt)

    def take_lost(self, run: HeldRun, pending: PendingActivity, lost_worker: str) -> None:
        """Record that an attempt may have been lost with a worker, and go on behind that."""
        now = self._now()
        failure = Failure(
            kind=FailureKind.SERVER,
            message=f"worker {lost_worker} was lost while attempt {pending.attempt} may have been running",
            type="WorkerLost",
        )
        attempt = _attempt_of(run, pending)
        run.attempts[pending.seq] = attempt
        self._watch_schedule_clocks(run, attempt)
        decision = next_attempt_at(
            attempt.scheduled.retry_policy,
            failure,
            attempt=attempt.number,
            now=now,
            deadline=attempt.deadline,
        )
        if isinstance(decision, RetryState):
            self._settle(run, attempt, _final_event(attempt, failure, decision))
            return
        # One loss says nothing about the activity; when it goes on, the activity may be what kills workers.
        attempt.state, attempt.next_at = AttemptState.NOTING, now if attempt.number == 1 else decision
        run.add_note(
            ActivityTaskAttemptFailed(
                scheduled_seq=attempt.seq,
                attempt=attempt.number,
                failure=failure,
                next_attempt_at=attempt.next_at,
                lost_worker=lost_worker,
            )
        )

    def cancel(self, run: HeldRun, seq: int) -> None:
        """Ask an activity to stop; one that is not running is over at once."""
        attempt = run.attempts.get(seq)
        if attempt is None or not attempt.is_open or attempt.cancel_requested:
            return
        attempt.cancel_requested = True
        if attempt.trial is not None:
            self._execution.interrupt(attempt.trial, ActivityCancellationDetails(cancel_requested=True))
        elif attempt.state is not AttemptState.NOTING:
            self._settle(run, attempt, ActivityTaskCanceled(scheduled_seq=seq, attempt=attempt.number))

    def resume(self, run: HeldRun, seq: int) -> None:
        """The failed attempt of this activity is recorded: plan the next one."""
        attempt = run.attempts.get(seq)
        if attempt is None or attempt.state is not AttemptState.NOTING:
            return
        attempt.number += 1
        if attempt.cancel_requested:
            self._settle(run, attempt, ActivityTaskCanceled(scheduled_seq=seq, attempt=attempt.number))
        elif attempt.deadline is not None and attempt.deadline <= self._now():
            # The clock rang while the failure was on its way, and rings only once.
            failure = self._timeout_failure(attempt, TimeoutType.SCHEDULE_TO_CLOSE)
            self._settle(run, attempt, _final_event(attempt, failure, RetryState.TIMEOUT))
        else:
            self._rest(run, attempt)

    def abandon(self, run: HeldRun, why: ActivityCancellationDetails) -> None:
        """Stop all activities of a run that is no longer held; what they come to is dropped."""
        for attempt in run.attempts.values():
            if attempt.trial is not None:
                self._execution.interrupt(attempt.trial, why)
            self._end(attempt)
        run.attempts.clear()

    def break_off(self, run: HeldRun) -> None:
        """End the running attempts of a run as failed, because this worker stops; others follow at once."""
        for attempt in list(run.attempts.values()):
            if attempt.trial is not None:
                self._execution.interrupt(attempt.trial, ActivityCancellationDetails(worker_shutdown=True))
                self._failed(run, attempt, self._stopped(attempt), at_once=True)

    def announce_shutdown(self) -> None:
        """Tell running activities that the worker is going down."""
        self._execution.announce_shutdown()

    async def until_idle(self, timeout: float | None) -> bool:
        """Wait for the running attempts to end; False when some are still running after `timeout` seconds."""
        if not self._tasks:
            return True
        _, unfinished = await asyncio.wait(self._tasks, timeout=timeout)
        return not unfinished

    def nudge(self) -> None:
        """Begin waiting attempts if there are slots: the lease may have been renewed."""
        while self._waiting and self._free_slots > 0 and self._may_start():
            run, attempt = self._waiting.popleft()
            if attempt.state is AttemptState.WAITING:
                self._begin(run, attempt)

    # One attempt

    def _queue(self, run: HeldRun, attempt: Attempt) -> None:
        attempt.state = AttemptState.WAITING
        if self._free_slots > 0 and not self._waiting and self._may_start():
            self._begin(run, attempt)
        else:
            self._waiting.append((run, attempt))

    def _begin(self, run: HeldRun, attempt: Attempt) -> None:
        self._free_slots -= 1
        attempt.state = AttemptState.RUNNING
        attempt.trial = trial = Trial(attempt.number, self._now(), attempt.next_at, attempt.heartbeat_details)
        making = self._execution.run(attempt, trial, run, self._time_out)
        trial.task = task = asyncio.get_running_loop().create_task(making)
        self._tasks.add(task)
        # Behind the task, not within it: a task that is cancelled before its first step never runs.
        task.add_done_callback(partial(self._made, run, attempt, trial))

    def _made(
        self, run: HeldRun, attempt: Attempt, trial: Trial, task: asyncio.Task[Payload | Failure | None]
    ) -> None:
        self._tasks.discard(task)
        self._free_slots += 1
        result = None if task.cancelled() or task.exception() is not None else task.result()
        # The trial may have been given up meanwhile, and another be running: then its result is nobody's.
        if attempt.trial is trial:
            if isinstance(result, Payload):
                self._completed(run, attempt, result)
            else:
                self._failed(run, attempt, result or self._stopped(attempt))
        if self._waiting:
            self.nudge()

    def _stopped(self, attempt: Attempt) -> Failure:
        return Failure(
            kind=FailureKind.SERVER,
            message=f"worker {self._me.incarnation} was stopped while attempt {attempt.number} was running",
            type="WorkerStopped",
        )

    def _completed(self, run: HeldRun, attempt: Attempt, result: Payload) -> None:
        outcome = ActivityTaskCompleted(
            scheduled_seq=attempt.seq, result=result, attempt=attempt.number, started_at=attempt.started_at
        )
        self._settle(run, attempt, outcome)

    def _failed(self, run: HeldRun, attempt: Attempt, failure: Failure, *, at_once: bool = False) -> None:
        number, started_at = attempt.number, attempt.started_at
        if attempt.cancel_requested and failure.kind is FailureKind.CANCELED:
            outcome = ActivityTaskCanceled(
                scheduled_seq=attempt.seq, details=failure.details, attempt=number, started_at=started_at
            )
            self._settle(run, attempt, outcome)
            return
        if failure.timeout_type is TimeoutType.SCHEDULE_TO_CLOSE:
            decision: int | RetryState = RetryState.TIMEOUT
        elif attempt.cancel_requested:
            decision = RetryState.CANCEL_REQUESTED
        else:
            decision = next_attempt_at(
                attempt.scheduled.retry_policy,
                failure,
                attempt=number,
                now=self._now(),
                deadline=attempt.deadline,
            )
        _log_failure(run, attempt, failure, decision, self._now())
        if isinstance(decision, RetryState):
            self._settle(run, attempt, _final_event(attempt, failure, decision))
            return
        _drop_trial(attempt)
        attempt.state = AttemptState.NOTING
        attempt.next_at = self._now() if at_once else decision
        attempt.last_failure = failure
        run.add_note(
            ActivityTaskAttemptFailed(
                scheduled_seq=attempt.seq,
                attempt=number,
                failure=failure,
                next_attempt_at=attempt.next_at,
                started_at=started_at,
            )
        )
        self._wake(run)

    def _rest(self, run: HeldRun, attempt: Attempt) -> None:
        attempt.state = AttemptState.RESTING

        def rested() -> None:
            attempt.rest = None
            if attempt.state is AttemptState.RESTING:
                self._queue(run, attempt)

        attempt.rest = self._due.add(attempt.next_at, rested)

    def _settle(self, run: HeldRun, attempt: Attempt, outcome: Event) -> None:
        # It stays among the run's attempts until its outcome is recorded, so that a reload does not make it anew.
        self._end(attempt)
        run.add_news(News(outcome, self._me.actor))
        self._wake(run)

    def _end(self, attempt: Attempt) -> None:
        _drop_trial(attempt)
        attempt.state = AttemptState.OVER
        for clock in attempt.schedule_clocks:
            self._due.cancel(clock)
        attempt.schedule_clocks = ()
        if attempt.rest is not None:
            self._due.cancel(attempt.rest)
            attempt.rest = None

    # Clocks that run from the scheduling

    def _watch_schedule_clocks(self, run: HeldRun, attempt: Attempt) -> None:
        def watch(clock: TimeoutType, at: int) -> None:
            entry = self._due.add(at, partial(self._time_out, run, attempt, clock))
            attempt.schedule_clocks = (*attempt.schedule_clocks, entry)

        if attempt.deadline is not None:
            watch(TimeoutType.SCHEDULE_TO_CLOSE, attempt.deadline)
        to_start = attempt.scheduled.schedule_to_start_timeout_us
        if to_start is not None and attempt.number == 1:
            watch(TimeoutType.SCHEDULE_TO_START, attempt.scheduled_at + to_start)

    def _time_out(self, run: HeldRun, attempt: Attempt, clock: TimeoutType) -> None:
        if clock is TimeoutType.SCHEDULE_TO_START and (
            attempt.number > 1 or attempt.state is not AttemptState.WAITING
        ):
            return
        if attempt.trial is not None:
            self._execution.interrupt(attempt.trial, ActivityCancellationDetails(timed_out=True))
            self._failed(run, attempt, self._timeout_failure(attempt, clock))
        elif attempt.state in (AttemptState.WAITING, AttemptState.RESTING):
            failure = self._timeout_failure(attempt, clock)
            self._settle(run, attempt, _final_event(attempt, failure, RetryState.TIMEOUT))

    def _timeout_failure(self, attempt: Attempt, clock: TimeoutType) -> Failure:
        return Failure(
            kind=FailureKind.TIMEOUT,
            message=f"activity {_TIMEOUT_NAMES[clock]} timeout",
            timeout_type=clock,
            cause=attempt.last_failure,
            details=attempt.heartbeat_details,
        )


def _expired(attempt: Attempt, now: int) -> TimeoutType | None:
    """The clock that ran out while nobody held the activity's run; it must not begin then."""
    if attempt.deadline is not None and now >= attempt.deadline:
        return TimeoutType.SCHEDULE_TO_CLOSE
    to_start = attempt.scheduled.schedule_to_start_timeout_us
    if to_start is not None and attempt.number == 1 and now >= attempt.scheduled_at + to_start:
        return TimeoutType.SCHEDULE_TO_START
    return None


def _drop_trial(attempt: Attempt) -> None:
    """Whatever it still does is nobody's."""
    if attempt.trial is not None:
        attempt.trial.stop_clocks()
        attempt.trial = None


def _log_failure(
    run: HeldRun, attempt: Attempt, failure: Failure, decision: int | RetryState, now: int
) -> None:
    if isinstance(decision, RetryState):
        then = f"no further attempt ({decision.value})"
    else:
        then = f"next attempt in {max(0, decision - now) / 1_000_000:.1f} s"
    _logger.warning(
        "activity %s of run %s (workflow id %r): attempt %d failed, %s: %s%s",
        attempt.scheduled.activity_type,
        attempt.run_id,
        run.workflow_id,
        attempt.number,
        then,
        f"{failure.type}: {failure.message}" if failure.type else failure.message,
        f"\n{failure.stack_trace}" if failure.stack_trace else "",
    )


def _final_event(attempt: Attempt, failure: Failure, why: RetryState) -> Event:
    if failure.kind is FailureKind.TIMEOUT and failure.timeout_type is not None:
        return ActivityTaskTimedOut(
            scheduled_seq=attempt.seq,
            timeout_type=failure.timeout_type,
            failure=failure,
            retry_state=why,
            attempt=attempt.number,
            started_at=attempt.started_at,
        )
    return ActivityTaskFailed(
        scheduled_seq=attempt.seq,
        failure=failure,
        retry_state=why,
        attempt=attempt.number,
        started_at=attempt.started_at,
    )


def _attempt_of(run: HeldRun, pending: PendingActivity) -> Attempt:
    return Attempt(
        run_id=run.run_id,
        seq=pending.seq,
        scheduled=pending.scheduled,
        scheduled_at=pending.scheduled_at,
        number=pending.attempt,
        callee=pending.callee,
        next_at=pending.next_attempt_at,
        last_failure=pending.last_failure,
        cancel_requested=pending.cancel_requested,
    )
