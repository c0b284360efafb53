"""WorkerCore: one worker at work: what each part finds out is handed to the part that acts on it.

Owns the parts and the incarnation. The parts own their state: `Holdings` the runs, `TurnLoop` turns and commits,
`ActivityRunner` attempts, `DueQueue` timers, `Intake` what comes in, `Lease` the heartbeat. When the store says
that this incarnation is dead, everything held is dropped (it belongs to others now) and a new one begins.
"""

import asyncio
import logging
from collections.abc import Callable, Coroutine, Mapping, Sequence
from concurrent.futures import Executor
from typing import TYPE_CHECKING, Any

from perdure._local import traffic_of
from perdure.activity import ActivityCancellationDetails
from perdure.definitions import ActivityDefinition
from perdure.worker._activities import ActivityRunner
from perdure.worker._due import DueQueue
from perdure.worker._execution import Execution
from perdure.worker._held_run import HeldRun, News
from perdure.worker._holdings import Holdings
from perdure.worker._intake import Intake
from perdure.worker._lease import Lease
from perdure.worker._loading import load
from perdure.worker._options import WorkerOptions
from perdure.worker._turns import TurnLoop
from perdure_history.codec import decode_event, encode_event
from perdure_history.errors import StoreError
from perdure_history.events import Dispatch, TimerFired, WorkflowExecutionStarted
from perdure_history.ids import RunId
from perdure_history.payloads import Payload
from perdure_history.records import (
    Claim,
    EventRow,
    Message,
    RunFilter,
    RunStatus,
    TurnProblem,
    Verdict,
    WorkerRecord,
    decode_problem,
)
from perdure_replayer.definition import WorkflowDefinition
from perdure_replayer.errors import ReplayError
from perdure_replayer.turn import HistoryEvent, LiveRun

if TYPE_CHECKING:
    from perdure.client import Client

_logger = logging.getLogger("perdure.worker")
_GONE = ActivityCancellationDetails(not_found=True)
_SHUTDOWN = ActivityCancellationDetails(worker_shutdown=True)
LOADS_AT_ONCE = 8


class WorkerCore:
    """Everything a running worker consists of. Belongs to one event loop; made within it."""

    def __init__(
        self,
        client: "Client",
        task_queue: str,
        workflows: Mapping[str, WorkflowDefinition],
        activities: Mapping[str, ActivityDefinition],
        *,
        options: WorkerOptions,
        executor: Executor,
        new_incarnation: Callable[[], str],
        boot_clock: Callable[[], float],
    ) -> None:
        self.namespace = client.namespace
        self.task_queue = task_queue
        self.incarnation = ""
        self._client = client
        self._store = store = client.store
        self._definitions = workflows
        self._options = options
        self._new_incarnation = new_incarnation
        self._traffic = traffic_of(store)
        self._loop = asyncio.get_running_loop()
        self._tasks: set[asyncio.Task[None]] = set()
        self._loads = asyncio.Semaphore(LOADS_AT_ONCE)
        self._reviving = self._draining = self._missed_message = False
        self._holdings = Holdings(
            max_cached=options.max_cached_workflows, max_held=options.max_concurrent_workflow_tasks
        )
        self._due = DueQueue(store.now)
        self._turns = TurnLoop(store, self, incarnation=lambda: self.incarnation, actor=lambda: self._actor)
        self._lease = Lease(
            store,
            self,
            lease_seconds=options.lease.total_seconds(),
            probe_seconds=options.probe_interval.total_seconds(),
            boot_clock=boot_clock,
        )
        self._runner = ActivityRunner(
            Execution(
                activities, client.data_converter, client=client, task_queue=task_queue, executor=executor
            ),
            self._due,
            now=store.now,
            actor=lambda: self._actor,
            wake=self._turns.wake,
            may_start=lambda: self._lease.holds() and not self._draining,
            slots=options.max_concurrent_activities,
        )
        self._intake = Intake(
            store,
            self,
            self._due,
            now=store.now,
            namespace=client.namespace,
            task_queue=task_queue,
            workflow_types=list(workflows),
        )

    # Life

    async def start(self) -> None:
        """Register, bury the dead, and begin to take runs."""
        await self._register()
        await self._lease.bury_the_dead()
        self._unsubscribe = self._store.subscribe(self._intake.hear)
        self._leave = self._traffic.join(self)
        self._lease.start()
        self._intake.look_for_runs()

    async def stop(self) -> None:
        """Let running work end, record what it came to, and hand every run over. Nothing is lost if it breaks off."""
        self._draining = True
        self._leave()
        self._intake.close_for_runs()
        self._runner.announce_shutdown()
        await self._runner.until_idle(self._options.graceful_shutdown_timeout.total_seconds())
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._turns.until_quiet()
        now = self._store.now()
        for run in self._holdings:
            wake_at = now if run.attempts else self._wake_at(run)
            self._runner.abandon(run, _SHUTDOWN)
            self._turns.release(run, wake_at=wake_at)
        await self._turns.until_quiet()
        self._unsubscribe()
        await self._intake.stop()
        await self._lease.stop()
        self._due.clear()
        await self._store.retire_worker(self.incarnation)
        for run in self._holdings.clear():
            self._forget(run)

    async def _register(self) -> None:
        self.incarnation = self._new_incarnation()
        self._actor = f"{self._client.identity}/{self.incarnation}"
        lock = await self._store.hold_lock(self.incarnation)
        await self._store.register_worker(
            WorkerRecord(
                incarnation=self.incarnation,
                identity=self._client.identity,
                task_queues=self.task_queue,
                started_at=self._store.now(),
                lock_file=lock.path,
                lock_inode=lock.inode,
                boot_id=lock.boot_id,
            )
        )
        self._lease.registered()

    def worker_died(self) -> None:
        """Others own what this worker held: drop everything and begin as a new incarnation."""
        if not self._reviving:
            self._reviving = True
            self._spawn(self._revive())

    async def _revive(self) -> None:
        _logger.warning(
            "worker %s was declared dead; its runs go on elsewhere, it begins anew", self.incarnation
        )
        for run in self._holdings.clear():
            self._runner.abandon(run, _GONE)
            self._forget(run)
        self._turns.forget_everything()
        self._due.clear()
        while True:
            try:
                await self._register()
                break
            except StoreError as error:
                _logger.warning("registering again: %s", error)
                await asyncio.sleep(1)
        self._reviving = False
        self._intake.look_for_runs()

    def _spawn(self, work: "Coroutine[Any, Any, None]") -> None:
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    # As seen by clients of the same process

    def would_take(self, workflow_type: str) -> bool:
        """Whether a run of this type may be started into this worker's hands."""
        return (
            not self._draining
            and not self._reviving
            and self._options.max_cached_workflows > 0
            and self._holdings.room > 0
            and workflow_type in self._definitions
        )

    def definition(self, workflow_type: str) -> WorkflowDefinition | None:
        """The workflow of this name, if it is registered here."""
        return self._definitions.get(workflow_type)

    def holds(self, run_id: str) -> bool:
        """Whether the run is in this worker's hands; any thread may ask."""
        return run_id in self._holdings

    async def query(self, run_id: str, name: str, arguments: Sequence[Payload]) -> Payload | None:
        """Answer from the run in memory, as it is recorded; None when it is not in memory here."""
        if asyncio.get_running_loop() is self._loop:
            return await self._query(run_id, name, arguments)
        answer = asyncio.run_coroutine_threadsafe(self._query(run_id, name, arguments), self._loop)
        return await asyncio.wrap_future(answer)

    async def _query(self, run_id: str, name: str, arguments: Sequence[Payload]) -> Payload | None:
        run = self._holdings.get(run_id)
        if run is None:
            return None
        await self._turns.until_settled(run)
        if run.live is None or run.gone or run.open_inputs:
            return None
        return run.live.query(name, arguments)

    # What comes in

    @property
    def room(self) -> int:
        """How many more runs it can hold."""
        return 0 if self._reviving else self._holdings.room

    def take_start(self, run_id: str) -> None:
        """Hold a run that a client of this process started into this worker's hands."""
        start = self._traffic.take_start(run_id)
        if run_id in self._holdings:
            return
        if start is None:
            self._spawn(self._fetch(RunId(run_id)))
            return
        row = start.first_event
        started = decode_event(row.type, row.attributes)
        run = HeldRun(run_id, start.workflow_id, self._definitions[start.workflow_type])
        run.live = LiveRun(run_id, run.definition, self._client.data_converter)
        run.live.head_seq = run.head_seq = row.seq
        run.head_hash = row.hash
        run.open_inputs = (HistoryEvent(row.seq, row.turn, row.recorded_at, started),)
        self._hold(run)
        self._turns.wake(run)

    async def _fetch(self, run_id: RunId) -> None:
        """Hold a run of ours whose start was not seen here."""
        page = await self._store.list_runs(RunFilter(namespace=self.namespace, run_id_prefix=run_id))
        for record in page.runs:
            if record.owner == self.incarnation and record.status is RunStatus.RUNNING:
                self.take_claim(Claim(run=record, messages=()))
                self._intake.look_for_messages()

    def take_claim(self, claim: Claim) -> None:
        """Hold a run that was just claimed, and load it."""
        record = claim.run
        if record.run_id in self._holdings:
            return
        run = HeldRun(record.run_id, record.workflow_id, self._definitions[record.workflow_type])
        run.orphaned_by = record.orphaned_by
        run.problem = None if record.problem is None else decode_problem(record.problem)
        self._hold(run)
        for message in claim.messages:
            self.take_message(message)
        self.needs_loading(run)

    def take_message(self, message: Message) -> None:
        """Queue a message for its run, unless it is on its way already."""
        run = self._holdings.get(message.run_id)
        if run is None:
            self._missed_message = True
        elif run.mark_seen(message.id):
            event = decode_event(message.type, message.attributes, run_id=message.run_id)
            run.add_news(News(event, message.actor, message.id))
            self._turns.wake(run)

    def closed_elsewhere(self, run_id: str) -> None:
        """A run was closed; if it is held and this worker did not do it, let it go."""
        run = self._holdings.get(run_id)
        if run is not None and run.in_flight is None and not run.loading:
            self.run_lost(run, Verdict.STALE)

    def others_committed(self) -> None:
        """Another process committed something: it may be a new worker."""
        self._lease.look()

    def lease_renewed(self) -> None:
        """Activities that waited for it may start; and whatever a hint failed to tell is looked for."""
        self._runner.nudge()
        self._intake.look_for_runs()
        self._intake.look_for_messages()

    def runs_freed(self) -> None:
        """A dead worker's runs can be claimed."""
        self._intake.look_for_runs()

    def _hold(self, run: HeldRun) -> None:
        self._holdings.add(run)
        if self._missed_message:
            self._missed_message = False
            self._intake.look_for_messages()

    # Loading

    def needs_loading(self, run: HeldRun) -> None:
        """Replay the run's history, then compute what waits for it."""
        if not run.loading:
            run.loading = True
            self._spawn(self._load(run))

    async def _load(self, run: HeldRun) -> None:
        error: Exception | None = None
        async with self._loads:
            try:
                await load(run, self._store, self._client.data_converter)
            except StoreError as trouble:
                _logger.warning("loading run %s: %s", run.run_id, trouble)
                await asyncio.sleep(1)
                self._loop.call_soon(self._turns.wake, run)
            except Exception as failure:
                error = failure
        run.loading = False
        if run.gone:
            return
        if error is not None:
            self._turns.set_aside(run, error)
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
                self._runner.take(run, pending)
            else:
                self._runner.take_lost(run, pending, lost_worker)
        for seq in [seq for seq in run.alarms if seq not in live.timers]:
            self.timer_canceled(run, seq)
        for seq, fire_at in live.timers.items():
            if seq not in run.alarms:
                self.timer_started(run, seq, fire_at)
        if run.has_work:
            self._turns.wake(run)
        else:
            self.run_settled(run)

    # What follows from what is recorded

    def activity_scheduled(self, run: HeldRun, seq: int) -> None:
        """Make its attempts here."""
        if run.live is not None and (pending := run.live.activities.get(seq)) is not None:
            self._runner.take(run, pending)

    def activity_cancel_requested(self, run: HeldRun, seq: int) -> None:
        """Ask its attempt to stop."""
        self._runner.cancel(run, seq)

    def attempt_noted(self, run: HeldRun, seq: int) -> None:
        """Go on to its next attempt."""
        self._runner.resume(run, seq)

    def timer_started(self, run: HeldRun, seq: int, fire_at: int) -> None:
        """Watch it."""

        def fire() -> None:
            run.alarms.pop(seq, None)
            if not run.gone:
                run.add_news(News(TimerFired(timer_seq=seq), self._actor))
                self._turns.wake(run)

        run.alarms[seq] = self._due.add(fire_at, fire)

    def timer_canceled(self, run: HeldRun, seq: int) -> None:
        """Watch it no longer."""
        alarm = run.alarms.pop(seq, None)
        if alarm is not None:
            self._due.cancel(alarm)

    def run_settled(self, run: HeldRun) -> None:
        """It waits; whichever run was not used for longest may have to leave memory."""
        self._holdings.touch(run)
        if self._options.max_cached_workflows == 0 and run.attempts and run.live is not None:
            run.live.evict()
            run.live = None
        surplus = self._holdings.surplus()
        if surplus is not None:
            self._turns.release(surplus, wake_at=self._wake_at(surplus))

    def run_gone(self, run: HeldRun, closing: EventRow | None) -> None:
        """It is closed or released."""
        self._holdings.discard(run)
        self._runner.abandon(run, _GONE)
        self._forget(run)
        if closing is not None:
            self._traffic.closed(run.run_id, closing)
        self._intake.look_for_runs()

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
        record = await self._store.find_run(self.namespace, run.workflow_id, RunId(run.run_id))
        run.loading = False
        if run.gone:
            return
        if record.owner != self.incarnation or record.status is not RunStatus.RUNNING:
            run.gone = True
            self.run_gone(run, None)
            return
        self.needs_loading(run)
        self._intake.look_for_messages()

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
