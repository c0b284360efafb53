"""TurnLoop: ready runs -> turns -> one shared commit -> what the commit set free.

Owns the queue of ready runs and the one commit that is on its way. While a commit is in flight, turns that
become ready are computed and gather for the next one (group commit). Nothing that a turn asked for happens
before its commit returned. After a crash nothing of this is needed: the log says it all.

    news/note --> ready --compose--> gathering --commit_turns--> COMMITTED --> activities, timers, waiters
                    ^                                            STALE, UNREAD --> load the run again
                    |___________________ more news ____________________|
"""

import asyncio
import logging
from collections import deque
from collections.abc import Sequence
from typing import Protocol

from perdure.worker._composing import compose, failed_turn, mark, next_problem, release
from perdure.worker._held_run import HeldRun, News, PreparedCommit
from perdure.worker._identity import WorkerIdentity
from perdure.worker._watchdog import TurnWatchdog
from perdure_history.errors import StoreUnavailableError, WorkerDeadError
from perdure_history.events import Event
from perdure_history.records import EventRow, TurnProblem, Verdict
from perdure_history.store import Store
from perdure_replayer.turn import LiveRun

_logger = logging.getLogger("perdure.worker")

TURNS_A_PASS = 200
"""Turns computed before the event loop gets to do something else."""
MEMBERS_A_COMMIT = 2_000
_RETRY_SECONDS = (0.01, 0.05, 0.2, 1.0)


class Consequences(Protocol):
    """What a worker does once something is recorded. All are called on the worker's event loop."""

    def recorded(self, run: HeldRun, seq: int, command: Event) -> None:
        """What workflow code asked for is event `seq` now, and is to be done."""

    def attempt_noted(self, run: HeldRun, seq: int) -> None:
        """A failed attempt of this activity is recorded; the next one may be planned."""

    def run_gone(self, run: HeldRun, closing: EventRow | None) -> None:
        """The run is no longer held: it closed with `closing`, or was released (None)."""

    def run_settled(self, run: HeldRun) -> None:
        """The run's commit landed and nothing more waits for it now."""

    def messages_wait(self, run: HeldRun) -> None:
        """The run was not released, because messages came in for it; it is as it was."""

    def run_lost(self, run: HeldRun, verdict: Verdict) -> None:
        """The run's commit did not land: what it holds in memory is worthless and its news was given back."""

    def turn_failed(self, run: HeldRun, problem: TurnProblem) -> None:
        """The run's code failed and that is recorded; the run is still held, for its running activities."""

    def needs_loading(self, run: HeldRun) -> None:
        """The run has work and is not in memory."""

    def worker_died(self) -> None:
        """The store says that this incarnation is dead."""


class TurnLoop:
    """Computes and commits the turns of one worker."""

    def __init__(
        self,
        store: Store,
        consequences: Consequences,
        me: WorkerIdentity,
        watchdog: TurnWatchdog,
    ) -> None:
        self._store = store
        self._consequences = consequences
        self._me = me
        self._watchdog = watchdog
        self._ready: deque[HeldRun] = deque()
        self._gathering: list[PreparedCommit] = []
        self._committing = False
        self._persisting: asyncio.Task[None] | None = None
        """Holds the task while a commit that was not answered is asked for again."""
        self._pump_is_due = False
        self._quiet = asyncio.Event()
        self._quiet.set()
        self._settled: asyncio.Event | None = None
        """Made by those who wait for a run to settle."""

    def wake(self, run: HeldRun) -> None:
        """Have `run` computed soon; it has news or notes. Harmless when it is queued already."""
        if run.queued or run.in_flight is not None or run.loading or run.gone:
            return
        run.queued = True
        self._ready.append(run)
        self._plan_pump()

    def release(self, run: HeldRun, *, wake_at: int | None) -> None:
        """Give an idle run up."""
        self.submit(release(run, wake_at=wake_at, now=self._store.now()))

    def set_aside(self, run: HeldRun, error: Exception) -> None:
        """Release a run that could not be loaded, with the reason, until its next try."""
        self.submit(failed_turn(run, error, now=self._store.now(), actor=self._me.actor))

    async def until_settled(self, run: HeldRun) -> None:
        """Return when nothing of `run` is ready or on its way: what it holds in memory is what is recorded."""
        while run.in_flight is not None or run.queued:
            if self._settled is None:
                self._settled = asyncio.Event()
            await self._settled.wait()

    async def until_quiet(self) -> None:
        """Return when no run is ready and no commit is gathering or on its way."""
        await self._quiet.wait()

    def forget_everything(self) -> None:
        """Drop what is ready and gathering: the worker is dead or stopped."""
        for run in self._ready:
            run.queued = False
        self._ready.clear()
        self._gathering.clear()
        self._note_quiet()

    # Computing

    def _plan_pump(self) -> None:
        self._quiet.clear()
        if not self._pump_is_due:
            self._pump_is_due = True
            asyncio.get_running_loop().call_soon(self._pump)

    def _pump(self) -> None:
        self._pump_is_due = False
        now, actor = self._store.now(), self._me.actor
        for _ in range(min(len(self._ready), TURNS_A_PASS)):
            run = self._ready.popleft()
            run.queued = False
            if run.gone or run.in_flight is not None:
                continue
            if run.live is None:
                self._consequences.needs_loading(run)
                continue
            if run.live.head_seq != run.head_seq:
                _logger.error("run %s: memory and log disagree; loading it again", run.run_id)
                self._consequences.run_lost(run, Verdict.STALE)
                continue
            try:
                prepared = self._composed(run, run.live, now, actor)
            except Exception:
                _logger.exception("run %s: its turn could not be prepared; loading it again", run.run_id)
                self._consequences.run_lost(run, Verdict.STALE)
                continue
            if prepared is None:
                run.turn_number = run.live.turn_number
                self._consequences.run_settled(run)
            else:
                run.in_flight = prepared
                self._gathering.append(prepared)
        self._flush()
        if self._ready:
            self._plan_pump()
        self._note_quiet()

    def _composed(self, run: HeldRun, live: LiveRun, now: int, actor: str) -> PreparedCommit | None:
        self._watchdog.begin()
        try:
            return compose(run, live, now=now, actor=actor)
        finally:
            self._watchdog.end()

    def submit(self, prepared: PreparedCommit) -> None:
        """Commit what was prepared for a run that has nothing on its way."""
        prepared.run.in_flight = prepared
        self._gathering.append(prepared)
        self._plan_pump()

    # Committing

    def _flush(self) -> None:
        if self._committing or not self._gathering:
            return
        batch = self._gathering[:MEMBERS_A_COMMIT]
        del self._gathering[:MEMBERS_A_COMMIT]
        self._committing = True
        # Until the end of this batch: what a dead incarnation computed must never land under the next one's name.
        incarnation = self._me.incarnation
        try:
            # No task for the common case: a pass of the event loop less for each commit.
            request = asyncio.ensure_future(
                self._store.commit_turns(incarnation, [prepared.commit for prepared in batch])
            )
        except Exception:  # noqa: BLE001  asked again below, where each error is somebody's
            self._persist(incarnation, batch)
        else:
            request.add_done_callback(lambda request: self._answered(incarnation, batch, request))

    def _answered(
        self, incarnation: str, batch: Sequence[PreparedCommit], request: asyncio.Future[list[Verdict]]
    ) -> None:
        if request.cancelled() or request.exception() is not None:
            self._persist(incarnation, batch)
        else:
            self._settle_all(batch, request.result())

    def _persist(self, incarnation: str, batch: Sequence[PreparedCommit]) -> None:
        """Commit again, with the same bytes, until each member has its answer."""
        self._persisting = asyncio.get_running_loop().create_task(self._commit(incarnation, batch))

    async def _commit(self, incarnation: str, batch: Sequence[PreparedCommit]) -> None:
        try:
            outcomes = await self._outcomes(incarnation, batch)
        except asyncio.CancelledError:
            self._committing = False
            self._note_quiet()
            raise
        except WorkerDeadError:
            self._committing = False
            if incarnation == self._me.incarnation:
                self._consequences.worker_died()
            self._note_quiet()
        else:
            self._settle_all(batch, outcomes)

    def _settle_all(self, batch: Sequence[PreparedCommit], outcomes: Sequence[Verdict | Exception]) -> None:
        self._committing = False
        for prepared, outcome in zip(batch, outcomes, strict=True):
            try:
                if isinstance(outcome, Verdict):
                    self._settle(prepared, outcome)
                else:
                    self._refused(prepared, outcome)
            except Exception:
                _logger.exception("run %s: what follows from its commit failed", prepared.commit.run_id)
                prepared.run.in_flight = None
                self._consequences.run_lost(prepared.run, Verdict.STALE)
        if self._pump_is_due:
            self._note_quiet()
        else:
            self._pump()

    async def _outcomes(
        self, incarnation: str, batch: Sequence[PreparedCommit]
    ) -> Sequence[Verdict | Exception]:
        """A verdict each; what the store refuses to take at all costs only the member that holds it."""
        try:
            return await self._verdicts(incarnation, batch)
        except WorkerDeadError:
            raise
        except Exception as error:  # noqa: BLE001  it becomes the run's problem
            if len(batch) == 1:
                return [error]
        return [(await self._outcomes(incarnation, [prepared]))[0] for prepared in batch]

    async def _verdicts(self, incarnation: str, batch: Sequence[PreparedCommit]) -> list[Verdict]:
        """The store's verdicts, asked for with the same bytes until it answers."""
        commits = [prepared.commit for prepared in batch]
        tries = 0
        while True:
            try:
                return await self._store.commit_turns(incarnation, commits)
            except StoreUnavailableError as error:
                pause = _RETRY_SECONDS[min(tries, len(_RETRY_SECONDS) - 1)]
                if tries in (0, 10) or tries % 60 == 0:
                    _logger.warning("a commit of %d runs waits: %s", len(commits), error)
                tries += 1
                await asyncio.sleep(pause)

    def _settle(self, prepared: PreparedCommit, verdict: Verdict) -> None:
        run = prepared.run
        run.in_flight = None
        if run.gone:
            return
        if verdict is not Verdict.COMMITTED:
            self._give_back(prepared, verdict)
            return
        commit = prepared.commit
        for item in prepared.news:
            run.attempts.pop(getattr(item.event, "scheduled_seq", 0), None)
        if commit.taken and run.seen is not None:
            run.seen.difference_update(commit.taken)
        if prepared.failed_turn and prepared.problem is not None:
            self._report(run, prepared.problem)
        if prepared.drops_run:
            closed = commit.update is not None and commit.update.status is not None
            run.gone = True
            self._consequences.run_gone(run, commit.rows[-1] if closed else None)
            return
        if commit.rows:
            run.head_seq, run.head_hash = commit.rows[-1].seq, commit.rows[-1].hash
        if commit.update is not None:
            run.problem = prepared.problem
            run.orphaned_by = None if commit.update.clear_orphaned else run.orphaned_by
        self._follow(run, prepared)
        if run.doubted:
            run.doubted = False
            self._consequences.run_lost(run, Verdict.STALE)
            return
        if prepared.failed_turn and prepared.problem is not None:
            self._consequences.turn_failed(run, prepared.problem)
            return
        if run.has_work:
            self.wake(run)
        else:
            self._consequences.run_settled(run)

    def _refused(self, prepared: PreparedCommit, error: Exception) -> None:
        """Set a run aside whose commit no store would take: what its turn came to is dropped."""
        run = prepared.run
        run.in_flight = None
        if run.gone:
            return
        _logger.error("run %s: its commit was refused and is dropped", run.run_id, exc_info=error)
        if prepared.commit.rows:
            run.news = [*_found_out(prepared.news), *(run.news or ())] or None
            problem = next_problem(run.problem, error, self._store.now())
            marked = mark(run, problem, now=self._store.now(), release=run.may_leave)
            marked.failed_turn = True
            self.submit(marked)
        else:
            # Not even its release was taken: it is let go, and found again as a run that nobody attends to.
            run.gone = True
            self._consequences.run_gone(run, None)

    def _report(self, run: HeldRun, problem: TurnProblem) -> None:
        if problem.attempts == 1:
            _logger.error(
                "run %s of workflow id %r does not move, and is tried again: %s: %s\n%s",
                run.run_id,
                run.workflow_id,
                problem.kind,
                problem.message,
                problem.traceback,
            )

    def _follow(self, run: HeldRun, prepared: PreparedCommit) -> None:
        for note in prepared.notes:
            seq = getattr(note, "scheduled_seq", None)
            if seq is not None:
                self._consequences.attempt_noted(run, seq)
        turn = prepared.turn
        if turn is None:
            return
        run.turn_number = turn.number
        run.unread_refusals = 0
        seq = run.head_seq - len(turn.outputs)
        for output in turn.outputs:
            seq += 1
            self._consequences.recorded(run, seq, output)

    def _give_back(self, prepared: PreparedCommit, verdict: Verdict) -> None:
        run = prepared.run
        if verdict is Verdict.UNREAD and not prepared.commit.rows:
            self._consequences.messages_wait(run)
            if run.has_work:
                self.wake(run)
            return
        # Messages are in the inbox still and are read again; what this worker found out is nowhere else.
        found_out = [*_found_out(prepared.news), *_found_out(run.news or ())]
        run.news, run.seen = found_out or None, None
        run.notes = [*prepared.notes, *(run.notes or ())] or None
        if verdict is Verdict.UNREAD:
            run.unread_refusals += 1
        self._consequences.run_lost(run, verdict)

    def _note_quiet(self) -> None:
        if self._settled is not None:
            self._settled.set()
            self._settled = None
        if not self._ready and not self._gathering and not self._committing and not self._pump_is_due:
            self._quiet.set()


def _found_out(news: Sequence[News]) -> list[News]:
    """What stands nowhere but in this worker's memory; messages are in the inbox still."""
    return [item for item in news if item.inbox_id is None]
