"""WorkerCore: one worker at work, made of its parts.

Owns the lease and the identity, and what becomes of them: when the store says that this incarnation is dead,
everything held is dropped (it belongs to others now) and a new one begins. `RunKeeper` keeps the runs, `Intake`
hears the store, `DueQueue` rings.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor
from typing import TYPE_CHECKING

from perdure._local import traffic_of
from perdure.definitions import ActivityDefinition
from perdure.worker._due import DueQueue
from perdure.worker._identity import WorkerIdentity
from perdure.worker._intake import Intake
from perdure.worker._keeper import RunKeeper
from perdure.worker._lease import MICROSECONDS, Lease
from perdure.worker._options import WorkerOptions
from perdure.worker._watchdog import TurnWatchdog
from perdure_history.errors import StoreError, WorkerDeadError
from perdure_history.payloads import Payload
from perdure_history.records import WorkerRecord
from perdure_replayer.definition import WorkflowDefinition

if TYPE_CHECKING:
    from perdure.client import Client

_logger = logging.getLogger("perdure.worker")
_REGISTER_AGAIN_SECONDS = 1.0
_COMPARE_SECONDS = 1.0
"""Between two looks, however often others commit."""


class WorkerCore:
    """Everything a running worker consists of. Belongs to one event loop; made within it."""

    _comparison: asyncio.TimerHandle | None = None
    """The next look at which runs the store says are held here, because others committed."""
    _compare_again_at = 0.0
    """In the loop's time."""

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
        self._store = store = client.store
        self._definitions = workflows
        self._options = options
        self._new_incarnation = new_incarnation
        self._loop = asyncio.get_running_loop()
        self._me = WorkerIdentity(client.identity)
        self._revival: asyncio.Task[None] | None = None
        self._draining = False
        self._due = DueQueue(store.now)
        self._lease = Lease(
            store,
            self,
            lease_seconds=options.lease.total_seconds(),
            probe_seconds=options.probe_interval.total_seconds(),
            boot_clock=boot_clock,
        )
        self._watchdog = TurnWatchdog(
            None if options.turn_timeout is None else options.turn_timeout.total_seconds()
        )
        self._intake: Intake
        self._keeper = RunKeeper(
            client,
            self._me,
            self._due,
            task_queue=task_queue,
            workflows=workflows,
            activities=activities,
            options=options,
            watchdog=self._watchdog,
            executor=executor,
            may_start=lambda: self._lease.holds() and not self._draining,
            died=self.worker_died,
            # Lambdas, because the intake is made from the keeper.
            look_for_runs=lambda: self._intake.look_for_runs(),  # noqa: PLW0108
            look_for_messages=lambda: self._intake.look_for_messages(),  # noqa: PLW0108
        )
        self._intake = Intake(
            store,
            self._keeper.arrivals,
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
        self._leave = traffic_of(self._store).join(self)
        self._lease.start()
        self._watchdog.start()
        self._intake.look_for_runs()

    async def stop(self) -> None:
        """Let running work end, record what it came to, and hand every run over. Nothing is lost if it breaks off."""
        self._draining = True
        if self._comparison is not None:
            self._comparison.cancel()
        self._leave()
        self._intake.close_for_runs()
        runner = self._keeper.runner
        runner.announce_shutdown()
        await runner.until_idle(self._options.graceful_shutdown_timeout.total_seconds())
        await self._keeper.hand_over()
        self._unsubscribe()
        await self._intake.stop()
        await self._lease.stop()
        if self._revival is not None:
            self._revival.cancel()
            await asyncio.gather(self._revival, return_exceptions=True)
        self._due.clear()
        try:
            await self._store.retire_worker(self._me.incarnation)
        except WorkerDeadError:
            _logger.warning("worker %s was declared dead before it had stopped", self._me.incarnation)
        self._keeper.drop_everything()
        self._watchdog.stop()

    async def _register(self) -> None:
        me = self._me
        if me.incarnation:
            await self._store.drop_lock(me.incarnation)
        me.renew(self._new_incarnation())
        lock = await self._store.hold_lock(me.incarnation)
        await self._store.register_worker(
            WorkerRecord(
                incarnation=me.incarnation,
                identity=me.identity,
                task_queues=self.task_queue,
                started_at=self._store.now(),
                lease_us=round(self._options.lease.total_seconds() * MICROSECONDS),
                lock_file=lock.path,
                lock_inode=lock.inode,
                boot_id=lock.boot_id,
            )
        )
        self._lease.registered()

    def worker_died(self) -> None:
        """Others own what this worker held: drop everything and begin as a new incarnation."""
        if self._draining:
            self._keeper.drop_everything()
        elif self._revival is None:
            self._revival = self._loop.create_task(self._revive())

    async def _revive(self) -> None:
        _logger.warning(
            "worker %s was declared dead; its runs go on elsewhere and it begins anew", self._me.incarnation
        )
        self._keeper.drop_everything()
        self._due.clear()
        while True:
            try:
                await self._register()
                break
            except StoreError as error:
                _logger.warning("registering again: %s", error)
            except Exception:  # whatever it was, a worker that takes no runs must not pass for a running one
                _logger.exception("registering again")
            await asyncio.sleep(_REGISTER_AGAIN_SECONDS)
        self._revival = None
        self._intake.look_for_runs()

    # As seen by clients of the same process

    @property
    def incarnation(self) -> str:
        """The present one."""
        return self._me.incarnation

    def would_take(self, workflow_type: str) -> bool:
        """Whether a run of this type may be started into this worker's hands."""
        return (
            self._options.max_cached_workflows > 0
            and self.room > 0
            and not self._draining
            and workflow_type in self._definitions
        )

    def definition(self, workflow_type: str) -> WorkflowDefinition | None:
        """The workflow of this name, if it is registered here."""
        return self._definitions.get(workflow_type)

    def holds(self, run_id: str) -> bool:
        """Whether the run is in this worker's hands; any thread may ask."""
        return run_id in self._keeper.holdings

    async def query(self, run_id: str, name: str, arguments: Sequence[Payload]) -> Payload | None:
        """Answer from the run in memory, as it is recorded; None when it is not in memory here."""
        answer = self._keeper.query(run_id, name, arguments)
        if asyncio.get_running_loop() is self._loop:
            return await answer
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(answer, self._loop))

    # What parts report

    @property
    def room(self) -> int:
        """How many more runs it can hold."""
        return self._keeper.holdings.room if self._revival is None else 0

    def make_room(self) -> None:
        """Let runs go that only wait: others are due."""
        if self._revival is None:
            self._keeper.make_room()

    def others_committed(self) -> None:
        """Another process committed something: a new worker's row, or the end of a run that is held here."""
        self._lease.look()
        if self._comparison is None and not self._draining:
            now = self._loop.time()
            self._compare_again_at = max(now, self._compare_again_at)
            self._comparison = self._loop.call_at(self._compare_again_at, self._compare)

    def _compare(self) -> None:
        self._comparison = None
        self._compare_again_at = self._loop.time() + _COMPARE_SECONDS
        self._keeper.run_missed()

    def lease_renewed(self) -> None:
        """Activities that waited for it may start."""
        self._keeper.runner.nudge()

    def sweep(self) -> None:
        """Look for whatever a hint failed to tell."""
        self._intake.look_for_runs()
        self._intake.look_for_messages()
        self._keeper.run_missed()

    def runs_freed(self) -> None:
        """A dead worker's runs can be claimed."""
        self._intake.look_for_runs()
