"""RunKeeper: takes runs in, loads them, follows what is recorded about them, lets them go.

Owns the held runs and the two parts that work on them: `TurnLoop` (turns and commits) and `ActivityRunner`
(attempts). What is recorded reaches it through `TurnLoop`, what comes from outside through `Intake`.
"""

import asyncio
import logging
from collections.abc import Callable, Coroutine, Mapping, Sequence
from concurrent.futures import Executor
from operator import itemgetter
from typing import TYPE_CHECKING, Any

from perdure._local import traffic_of
from perdure.activity import ActivityCancellationDetails
from perdure.definitions import ActivityDefinition
from perdure.worker._activities import ActivityRunner
from perdure.worker._composing import mark
from perdure.worker._due import DueQueue
from perdure.worker._execution import Execution
from perdure.worker._held_run import HeldRun, News
from perdure.worker._holdings import Holdings
from perdure.worker._identity import WorkerIdentity
from perdure.worker._loading import load
from perdure.worker._missed import MissedRuns
from perdure.worker._options import WorkerOptions
from perdure.worker._suspects import Judgement, convicted, judge, marked
from perdure.worker._turns import TurnLoop
from perdure_history.codec import decode_event
from perdure_history.errors import StoreError
from perdure_history.events import Dispatch, TimerFired
from perdure_history.ids import RunId
from perdure_history.payloads import Payload
from perdure_history.records import (
    Claim,
    EventRow,
    Message,
    RunStatus,
    TurnProblem,
    Verdict,
    decode_problem,
)
from perdure_replayer.definition import WorkflowDefinition
from perdure_replayer.turn import HistoryEvent, LiveRun

if TYPE_CHECKING:
    from perdure.client import Client

_logger = logging.getLogger("perdure.worker")
_GONE = ActivityCancellationDetails(not_found=True)
_SHUTDOWN = ActivityCancellationDetails(worker_shutdown=True)
LOADS_AT_ONCE = 8
_AGAIN_SECONDS = 1.0


class RunKeeper:
    """The runs of one worker. Belongs to its event loop."""

    def __init__(
        self,
        client: "Client",
        me: WorkerIdentity,
        due: DueQueue,
        *,
        task_queue: str,
        workflows: Mapping[str, WorkflowDefinition],
        activities: Mapping[str, ActivityDefinition],
        options: WorkerOptions,
        executor: Executor,
        may_start: Callable[[], bool],
        died: Callable[[], None],
        look_for_runs: Callable[[], None],
        look_for_messages: Callable[[], None],
    ) -> None:
        self._client = client
        self._store = store = client.store
        self._me = me
        self._due = due
        self._definitions = workflows
        self._options = options
        self._look_for_runs = look_for_runs
        self._look_for_messages = look_for_messages
        self._traffic = traffic_of(store)
        self._loop = asyncio.get_running_loop()
        self._tasks: set[asyncio.Task[None]] = set()
        self._loads = asyncio.Semaphore(LOADS_AT_ONCE)
        self._alone = asyncio.Lock()
        self._missed_message = False
        self.worker_died = died
        self.holdings = Holdings(
            max_cached=options.max_cached_workflows, max_held=options.max_concurrent_workflow_tasks
        )
        self._missed = MissedRuns(store, me, self.holdings, namespace=client.namespace, take=self.take_claim)
        self.turns = TurnLoop(store, self, me)
        self.runner = ActivityRunner(
            Execution(
                activities, client.data_converter, client=client, task_queue=task_queue, executor=executor
            ),
            due,
            me,
            now=store.now,
            wake=self.turns.wake,
            may_start=may_start,
            slots=options.max_concurrent_activities,
        )

    # The whole

    async def hand_over(self) -> None:
        """Release every run, each to be woken when it is due; at once where an activity was broken off."""
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.turns.until_quiet()
        now = self._store.now()
        for run in self.holdings:
            wake_at = now if run.has_activities else self._wake_at(run)
            self.runner.abandon(run, _SHUTDOWN)
            self.turns.release(run, wake_at=wake_at)
        await self.turns.until_quiet()

    def drop_everything(self) -> None:
        """Forget all runs: they are others' now."""
        for run in self.holdings.clear():
            self.runner.abandon(run, _GONE)
            self._forget(run)
        self.turns.forget_everything()

    async def query(self, run_id: str, name: str, arguments: Sequence[Payload]) -> Payload | None:
        run = self.holdings.get(run_id)
        if run is None:
            return None
        await self.turns.until_settled(run)
        if run.live is None or run.gone or run.open_inputs:
            return None
        return run.live.query(name, arguments)

    # What comes in

    def take_start(self, run_id: str) -> None:
        """Hold a run that a client of this process started into this worker's hands."""
        start = self._traffic.take_start(run_id)
        if run_id in self.holdings:
            return
        if start is None:
            self.look_for_missed_runs()
            return
        row = start.first_event
        started = decode_event(row.type, row.attributes)
        run = HeldRun(run_id, start.workflow_id, self._definitions[start.workflow_type])
        run.live = LiveRun(run_id, run.definition, self._client.data_converter)
        run.head_seq, run.head_hash = row.seq, row.hash
        run.open_inputs = (HistoryEvent(row.seq, row.turn, row.recorded_at, started),)
        run.live.take_open(run.open_inputs)
        self._hold(run)
        self.turns.wake(run)

    def look_for_missed_runs(self) -> None:
        """Hold the runs that the store gave to this worker while it did not hear of it."""
        self._spawn(self._take_missed())

    async def _take_missed(self) -> None:
        if await self._missed.look():
            self._look_for_messages()

    def take_claim(self, claim: Claim) -> None:
        """Hold a run that was just claimed, and load it."""
        record = claim.run
        if record.run_id in self.holdings:
            return
        run = HeldRun(record.run_id, record.workflow_id, self._definitions[record.workflow_type])
        run.orphaned_by = record.orphaned_by
        run.problem = None if record.problem is None else decode_problem(record.problem)
        run.loading = True
        self._hold(run)
        for message in claim.messages:
            self.take_message(message)
        match judge(record.claims, run.problem, self._store.now()):
            case Judgement.RUN:
                self._spawn(self._load(run))
            case Judgement.TRY_ALONE:
                self._spawn(self._try_alone(run, record.claims))
            case Judgement.SET_ASIDE:
                self._set_aside_suspect(run)

    def take_message(self, message: Message) -> None:
        """Queue a message for its run, unless it is on its way already."""
        run = self.holdings.get(message.run_id)
        if run is None:
            self._missed_message = True
        elif run.mark_seen(message.id):
            event = decode_event(message.type, message.attributes, run_id=message.run_id)
            run.add_news(News(event, message.actor, message.id))
            self.turns.wake(run)

    def closed_elsewhere(self, run_id: str) -> None:
        """A run was closed; if it is held and this worker did not do it, let it go."""
        run = self.holdings.get(run_id)
        if run is not None and run.in_flight is None and not run.loading:
            self.run_lost(run, Verdict.STALE)

    def _hold(self, run: HeldRun) -> None:
        self.holdings.add(run)
        if self._missed_message:
            self._missed_message = False
            self._look_for_messages()

    # Loading

    def needs_loading(self, run: HeldRun) -> None:
        """Replay the run's history, then compute what waits for it."""
        if not run.loading:
            run.loading = True
            self._spawn(self._load(run))

    async def _try_alone(self, run: HeldRun, claims: int) -> None:
        """Mark a suspect, run it until it waits, and take the mark off again: this process survived it."""
        async with self._alone:
            problem = marked(run.problem, claims, self._store.now())
            self.turns.submit(mark(run, problem, now=self._store.now()))
            await self.turns.until_settled(run)
            if run.gone:
                return
            await self._load(run)
            await self.turns.until_settled(run)
            if not run.gone and run.problem is problem:
                self.turns.submit(mark(run, None, now=self._store.now()))
                await self.turns.until_settled(run)

    def _set_aside_suspect(self, run: HeldRun) -> None:
        run.loading = False
        if run.problem is not None:
            problem = convicted(run.problem, self._store.now())
            _logger.error("run %s of workflow id %r: %s", run.run_id, run.workflow_id, problem.message)
            self.turns.submit(mark(run, problem, now=self._store.now(), release=True))

    async def _load(self, run: HeldRun) -> None:
        error: Exception | None = None
        async with self._loads:
            try:
                await load(run, self._store, self._client.data_converter)
            except StoreError as trouble:
                _logger.warning("loading run %s: %s", run.run_id, trouble)
                await asyncio.sleep(1)
                self._loop.call_soon(self.turns.wake, run)
            except Exception as failure:  # noqa: BLE001  whatever replay raises sets this run aside
                error = failure
        run.loading = False
        if run.gone:
            return
        if error is not None:
            self.turns.set_aside(run, error)
        elif run.live is not None:
            self._loaded(run, run.live)

    def _loaded(self, run: HeldRun, live: LiveRun) -> None:
        now = self._store.now()
        lost_worker = run.orphaned_by
        for pending in list(live.activities.values()):
            if pending.scheduled.dispatch is not Dispatch.HERE or pending.seq in run.attempts:
                continue
            rests = pending.next_attempt_at > now
            if lost_worker is None or rests or lost_worker in pending.lost_workers:
                self.runner.take(run, pending)
            else:
                self.runner.take_lost(run, pending, lost_worker)
        for seq in [seq for seq in run.alarms if seq not in live.timers]:
            self.timer_canceled(run, seq)
        for seq, fire_at in sorted(live.timers.items(), key=itemgetter(1)):
            if fire_at <= now and seq not in run.alarms:
                # At once, not through the queue: an idle run may be released before its alarm rings.
                run.add_news(News(TimerFired(timer_seq=seq), self._me.actor))
            elif seq not in run.alarms:
                self.timer_started(run, seq, fire_at)
        if run.has_work:
            self.turns.wake(run)
        else:
            self.run_settled(run)

    # What follows from what is recorded

    def activity_scheduled(self, run: HeldRun, seq: int) -> None:
        """Make its attempts here."""
        if run.live is not None and (pending := run.live.activities.get(seq)) is not None:
            self.runner.take(run, pending)

    def activity_cancel_requested(self, run: HeldRun, seq: int) -> None:
        """Ask its attempt to stop."""
        self.runner.cancel(run, seq)

    def attempt_noted(self, run: HeldRun, seq: int) -> None:
        """Go on to its next attempt."""
        self.runner.resume(run, seq)

    def timer_started(self, run: HeldRun, seq: int, fire_at: int) -> None:
        """Watch it."""

        def fire() -> None:
            run.alarms.pop(seq, None)
            if not run.gone:
                run.add_news(News(TimerFired(timer_seq=seq), self._me.actor))
                self.turns.wake(run)

        run.alarms[seq] = self._due.add(fire_at, fire)

    def timer_canceled(self, run: HeldRun, seq: int) -> None:
        """Watch it no longer."""
        alarm = run.alarms.pop(seq, None)
        if alarm is not None:
            self._due.cancel(alarm)

    def run_settled(self, run: HeldRun) -> None:
        """It waits; whichever run was not used for longest may have to leave memory."""
        self.holdings.touch(run)
        if self._options.max_cached_workflows == 0 and run.attempts and run.live is not None:
            run.live.evict()
            run.live = None
        surplus = self.holdings.surplus()
        if surplus is not None:
            self.turns.release(surplus, wake_at=self._wake_at(surplus))

    def run_gone(self, run: HeldRun, closing: EventRow | None) -> None:
        """It is closed or released."""
        self.holdings.discard(run)
        self._missed.departed(run.run_id)
        self.runner.abandon(run, _GONE)
        self._forget(run)
        if closing is not None:
            self._traffic.closed(run.run_id, closing)
        self._look_for_runs()

    def run_lost(self, run: HeldRun, verdict: Verdict) -> None:
        """What is in memory is worthless: load it again if it is still this worker's."""
        if run.live is not None:
            run.live.evict()
            run.live = None
        run.open_inputs = ()
        if not run.loading:
            run.loading = True
            self._spawn(self._recover(run, verdict))

    async def _recover(self, run: HeldRun, verdict: Verdict) -> None:
        _logger.info("run %s: its commit was %s; loading it again", run.run_id, verdict.value)
        try:
            record = await self._store.find_run(self._client.namespace, run.workflow_id, RunId(run.run_id))
        except StoreError as trouble:
            _logger.warning("looking after run %s: %s", run.run_id, trouble)
            self._loop.call_later(_AGAIN_SECONDS, lambda: self._spawn(self._recover(run, verdict)))
            return
        run.loading = False
        if run.gone:
            return
        if record.owner != self._me.incarnation or record.status is not RunStatus.RUNNING:
            run.gone = True
            self.run_gone(run, None)
            return
        self.needs_loading(run)
        self._look_for_messages()

    def turn_failed(self, run: HeldRun, problem: TurnProblem) -> None:
        """Try again later, with what memory lost replayed."""
        if run.live is not None:
            run.live.evict()
            run.live = None
        run.open_inputs = ()
        self._due.add(problem.next_at, lambda: None if run.gone else self.needs_loading(run))

    def _wake_at(self, run: HeldRun) -> int | None:
        if run.live is None:
            return self._store.now()
        return min(run.live.timers.values(), default=None)

    def _forget(self, run: HeldRun) -> None:
        run.gone = True
        for seq in list(run.alarms):
            self.timer_canceled(run, seq)
        if run.live is not None:
            run.live.evict()
            run.live = None

    def _spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            # Each such task leaves its run so that the next heartbeat finds it again.
            _logger.error("keeping runs: %s", error, exc_info=error)
