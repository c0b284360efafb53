"""RunKeeper: keeps the runs, follows what is recorded about them, lets them go.

Owns the held runs and the parts that work on them: `TurnLoop` (turns and commits), `ActivityRunner` (attempts),
`Arrivals` (what comes in, and loading). What is recorded reaches it through `TurnLoop`.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor
from typing import TYPE_CHECKING

from perdure._local import traffic_of
from perdure.activity import ActivityCancellationDetails
from perdure.definitions import ActivityDefinition
from perdure.worker._activities import ActivityRunner
from perdure.worker._arrivals import Arrivals
from perdure.worker._due import DueQueue
from perdure.worker._execution import Execution
from perdure.worker._held_run import HeldRun
from perdure.worker._holdings import Holdings
from perdure.worker._identity import WorkerIdentity
from perdure.worker._missed import MissedRuns
from perdure.worker._options import WorkerOptions
from perdure.worker._tasks import Tasks
from perdure.worker._timers import TimerWatch
from perdure.worker._turns import TurnLoop
from perdure.worker._watchdog import TurnWatchdog
from perdure_history.errors import StoreError
from perdure_history.events import (
    ActivityTaskCancelRequested,
    ActivityTaskScheduled,
    Event,
    TimerCanceled,
    TimerStarted,
)
from perdure_history.ids import RunId
from perdure_history.payloads import Payload
from perdure_history.records import (
    EventRow,
    RunStatus,
    TurnProblem,
    Verdict,
)
from perdure_replayer.definition import WorkflowDefinition

if TYPE_CHECKING:
    from perdure.client import Client

_logger = logging.getLogger("perdure.worker")
_GONE = ActivityCancellationDetails(not_found=True)
_AGAIN_SECONDS = 1.0
HAND_OVER_SECONDS = 10
LET_GO = 8
"""Runs released at most when one settles and the cache holds too many: starts may have come faster."""
MADE_ROOM = 100
"""Runs released at once when others are due and the worker is full."""


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
        watchdog: TurnWatchdog,
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
        self._options = options
        self._look_for_runs = look_for_runs
        self._look_for_messages = look_for_messages
        self._traffic = traffic_of(store)
        self._loop = asyncio.get_running_loop()
        self._tasks = Tasks()
        self._missed_message = False
        self._others_are_due = False
        self._handing_over = False
        self.worker_died = died
        self.holdings = Holdings(
            max_cached=options.max_cached_workflows, max_held=options.max_concurrent_workflow_tasks
        )
        self.arrivals = Arrivals(
            client, me, self, self._traffic, self._tasks, workflows=workflows, watchdog=watchdog
        )
        self._missed = MissedRuns(
            store,
            me,
            self.holdings,
            namespace=client.namespace,
            take=self.arrivals.take_claim,
            lost=lambda run: self.run_lost(run, Verdict.STALE),
        )
        self.turns = TurnLoop(store, self, me, watchdog)
        self.timers = TimerWatch(due, me, wake=self.turns.wake)
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
        """Break off what still runs, recorded as failed attempts, and release every run until it is due.

        Gives up after a while, when the store does not answer or messages keep coming: nothing is lost, the
        runs are only due at once for whoever comes.
        """
        # Timers and rests go on with the next worker.
        self._handing_over = True
        self._due.clear()
        try:
            async with asyncio.timeout(HAND_OVER_SECONDS):
                await self._until_quiet()
                for run in self.holdings:
                    self.runner.break_off(run)
                await self._until_quiet()
                now = self._store.now()
                for run in self.holdings:
                    wake_at = now if run.has_activities else self._wake_at(run)
                    self.runner.abandon(run, _GONE)
                    self.turns.release(run, wake_at=wake_at)
                await self._until_quiet()
        except TimeoutError:
            _logger.warning("handing runs over was not done in %d s and is broken off", HAND_OVER_SECONDS)

    async def _until_quiet(self) -> None:
        """Return when nothing is ready, on its way or being loaded: each may cause the other."""
        await self.turns.until_quiet()
        while self._tasks.busy:
            await self._tasks.until_done()
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

    def make_room(self) -> None:
        """Release the idle runs that were not used for longest; if there is none, the next that becomes idle."""
        idle = self.holdings.idle(MADE_ROOM)
        self._others_are_due = not idle
        for run in idle:
            self.turns.release(run, wake_at=self._wake_at(run))

    # What arrives

    def hold(self, run: HeldRun) -> None:
        """Keep a run from now on."""
        self.holdings.add(run)
        if self._missed_message:
            self._missed_message = False
            self._look_for_messages()

    def message_missed(self) -> None:
        """A message came for a run that is not held: look again when the next one is."""
        self._missed_message = True

    def run_missed(self) -> None:
        """Hold the runs that the store gave to this worker while it did not hear of it."""
        self._tasks.spawn(self._take_missed())

    async def _take_missed(self) -> None:
        if await self._missed.look():
            self._look_for_messages()

    def needs_loading(self, run: HeldRun) -> None:
        """Bring it into memory, then compute what waits for it."""
        self.arrivals.load(run)

    # What follows from what is recorded

    def recorded(self, run: HeldRun, seq: int, command: Event) -> None:
        """Do what workflow code asked for with the command that is now event `seq`."""
        match command:
            case ActivityTaskScheduled() if run.live is not None and seq in run.live.activities:
                self.runner.take(run, run.live.activities[seq])
            case TimerStarted() if not self._handing_over:
                self.timers.start(run, seq, command.fire_at)
            case TimerCanceled():
                self.timers.cancel(run, command.timer_seq)
            case ActivityTaskCancelRequested():
                self.runner.cancel(run, command.scheduled_seq)
            case _:
                pass

    def attempt_noted(self, run: HeldRun, seq: int) -> None:
        """Go on to the next attempt of this activity."""
        self.runner.resume(run, seq)

    def run_settled(self, run: HeldRun) -> None:
        """It waits; whichever run was not used for longest may have to leave memory."""
        self.holdings.touch(run)
        if self._options.max_cached_workflows == 0 and run.attempts:
            run.drop_live()
        if self._others_are_due:
            self._others_are_due = False
            self._look_for_runs()
        for _ in range(LET_GO):
            surplus = self.holdings.surplus()
            if surplus is None:
                break
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

    def messages_wait(self, run: HeldRun) -> None:
        """Read them."""
        self._look_for_messages()

    def run_lost(self, run: HeldRun, verdict: Verdict) -> None:
        """What is in memory is worthless: load it again if it is still this worker's."""
        run.drop_live()
        run.open_inputs = ()
        if not run.loading:
            run.loading = True
            self._tasks.spawn(self._recover(run, verdict))

    async def _recover(self, run: HeldRun, verdict: Verdict) -> None:
        _logger.info("run %s: its commit was %s; loading it again", run.run_id, verdict.value)
        try:
            record = await self._store.find_run(self._client.namespace, run.workflow_id, RunId(run.run_id))
            is_open = record.status is RunStatus.RUNNING
            closing = None if is_open else await self._store.last_event(RunId(run.run_id))
        except StoreError as trouble:
            _logger.warning("looking after run %s: %s", run.run_id, trouble)
            self._loop.call_later(_AGAIN_SECONDS, lambda: self._tasks.spawn(self._recover(run, verdict)))
            return
        run.loading = False
        if run.gone:
            return
        if record.owner != self._me.incarnation or not is_open:
            run.gone = True
            # Clients beside us leave it to who holds a run to tell them of its end, whoever ended it.
            self.run_gone(run, closing)
            return
        self.needs_loading(run)
        self._look_for_messages()

    def turn_failed(self, run: HeldRun, problem: TurnProblem) -> None:
        """Try again later, with what memory lost replayed."""
        run.drop_live()
        run.open_inputs = ()
        self._due.add(problem.next_at, lambda: self._try_again(run))

    def _try_again(self, run: HeldRun) -> None:
        # Something else may have brought it into memory meanwhile, and its turn may have succeeded.
        if not run.gone and run.live is None:
            self.turns.wake(run)

    def _wake_at(self, run: HeldRun) -> int | None:
        if run.live is None:
            return self._store.now()
        return min(run.live.timers.values(), default=None)

    def _forget(self, run: HeldRun) -> None:
        run.gone = True
        self.timers.forget(run)
        run.drop_live()
