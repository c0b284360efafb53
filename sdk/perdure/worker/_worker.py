"""Worker: what users make, run and stop."""

import asyncio
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar

from perdure import _guarded
from perdure.definitions import ActivityDefinition, activity_definition, workflow_definition
from perdure.exceptions import InvalidOptionError
from perdure.worker._core import WorkerCore
from perdure.worker._options import WorkerOptions
from perdure_replayer.definition import WorkflowDefinition

if TYPE_CHECKING:
    from perdure.client import Client

DefinitionType = TypeVar("DefinitionType", WorkflowDefinition, ActivityDefinition)


class Worker:
    """Runs workflows and their activities for one task queue, until it is told to stop.

    Runs left open by a worker that died go on by themselves: at once when it was on this machine, else when
    its lease lapses. Several workers may share a store and a queue, in one process or in many.

    Use it as ``async with Worker(...):``, or ``await worker.run()`` with `shutdown` called from elsewhere.
    """

    def __init__(
        self,
        client: "Client",
        *,
        task_queue: str = "default",
        workflows: Sequence[Any] = (),
        activities: Sequence[Callable[..., Any]] = (),
        activity_executor: Executor | None = None,
        max_cached_workflows: int = 1000,
        max_concurrent_workflow_tasks: int | None = None,
        max_concurrent_activities: int | None = None,
        graceful_shutdown_timeout: timedelta = timedelta(),
        workflow_failure_exception_types: Sequence[type[BaseException]] = (),
        turn_timeout: timedelta | None = timedelta(seconds=5),
        lease: timedelta = timedelta(seconds=15),
        probe_interval: timedelta = timedelta(milliseconds=200),
        new_incarnation: Callable[[], str] = lambda: uuid.uuid4().hex,
        boot_clock: Callable[[], float] | None = None,
    ) -> None:
        """Check the definitions and options; nothing runs yet.

        `workflows` are classes or functions with @workflow.defn. `activities` need only list what workflows
        name by text, or what must be another object than the function they call (a bound method).
        `activity_executor` runs sync activities (default: a thread pool of max_concurrent_activities threads).
        `max_cached_workflows` runs stay in memory between turns (0: each turn replays its run).
        `graceful_shutdown_timeout`: how long running activities may take to end on shutdown before they are
        broken off, which counts as a failed attempt. `turn_timeout`: how long workflow code may compute between
        two waits before its turn fails (None, for a debugger: as long as it likes). `lease`: without a heartbeat
        for this long a worker loses its runs. `workflow_failure_exception_types` fail a class workflow's run
        instead of its turn. The last two parameters are for tests.

        Raises InvalidOptionError, NotDefinedError.
        """
        self._client = client
        self._task_queue = task_queue
        self._workflows = _by_name(
            "workflow",
            [_with_failures(workflow_definition(one), workflow_failure_exception_types) for one in workflows],
        )
        self._activities = _by_name("activity", [_bound(activity_definition(one)) for one in activities])
        if not self._workflows:
            raise InvalidOptionError("workflows", workflows, "a worker needs at least one workflow")
        defaults = WorkerOptions()
        self._options = WorkerOptions(
            max_cached_workflows=max_cached_workflows,
            max_concurrent_workflow_tasks=max_concurrent_workflow_tasks
            or defaults.max_concurrent_workflow_tasks,
            max_concurrent_activities=max_concurrent_activities or defaults.max_concurrent_activities,
            graceful_shutdown_timeout=graceful_shutdown_timeout,
            turn_timeout=turn_timeout,
            lease=lease,
            probe_interval=probe_interval,
        )
        self._executor = activity_executor
        self._new_incarnation = new_incarnation
        self._boot_clock = boot_clock or _boot_clock
        self._running: asyncio.Task[None] | None = None
        self._started: asyncio.Event | None = None
        self._stop: asyncio.Event | None = None
        self._is_shutdown = False

    @property
    def client(self) -> "Client":
        """The client it was made with."""
        return self._client

    @property
    def task_queue(self) -> str:
        """The queue it serves."""
        return self._task_queue

    @property
    def is_running(self) -> bool:
        """Between the begin of `run` and its end."""
        return self._stop is not None and not self._is_shutdown

    @property
    def is_shutdown(self) -> bool:
        """After `run` has ended."""
        return self._is_shutdown

    async def run(self) -> None:
        """Work until `shutdown` is called or this coroutine is cancelled; either way shut down in order first.

        May be called once. Raises RuntimeError on a second call, StoreError when registering fails.
        """
        self._refuse_second_run()
        self._stop = stop = asyncio.Event()
        started = self._started = self._started or asyncio.Event()
        executor = self._executor or ThreadPoolExecutor(
            self._options.max_concurrent_activities, thread_name_prefix="perdure-activity"
        )
        _guarded.install_guards()
        try:
            core = WorkerCore(
                self._client,
                self._task_queue,
                self._workflows,
                self._activities,
                options=self._options,
                executor=executor,
                new_incarnation=self._new_incarnation,
                boot_clock=self._boot_clock,
            )
            await core.start()
            started.set()
            try:
                await stop.wait()
            finally:
                await asyncio.shield(asyncio.ensure_future(core.stop()))
        finally:
            _guarded.uninstall_guards()
            self._is_shutdown = True
            started.set()
            if self._executor is None:
                executor.shutdown(wait=False)

    def _refuse_second_run(self) -> None:
        if self._stop is not None:
            raise RuntimeError("this worker has been run before, and a worker runs once; make another Worker")

    async def shutdown(self) -> None:
        """Stop taking work, let running activities end as `graceful_shutdown_timeout` allows, hand runs over.

        Returns when that is done. Idempotent; before `run` it does nothing.
        """
        if self._stop is not None:
            self._stop.set()
        if self._running is not None:
            await asyncio.shield(self._running)

    async def __aenter__(self) -> Self:
        """Begin to work; returns once runs are being taken. Raises RuntimeError when it has been run before."""
        self._refuse_second_run()
        self._started = asyncio.Event()
        self._running = asyncio.get_running_loop().create_task(self.run())
        await self._started.wait()
        if self._running.done():
            await self._running
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Shut down; what the worker itself failed with is raised here."""
        await self.shutdown()


def _boot_clock() -> float:
    """Seconds that go on while the machine sleeps, where there is such a clock."""
    clock = getattr(time, "CLOCK_BOOTTIME", None)
    return time.monotonic() if clock is None else time.clock_gettime(clock)


def _bound(definition: ActivityDefinition) -> ActivityDefinition:
    if definition.needs_self:
        raise InvalidOptionError(
            "activities", definition.name, "it is a method without its object; pass the bound method"
        )
    return definition


def _with_failures(
    definition: WorkflowDefinition, types: Sequence[type[BaseException]]
) -> WorkflowDefinition:
    if not types:
        return definition
    return replace(definition, failure_exception_types=(*definition.failure_exception_types, *types))


def _by_name(kind: str, definitions: Sequence[DefinitionType]) -> Mapping[str, DefinitionType]:
    found: dict[str, DefinitionType] = {}
    for one in definitions:
        if one.name in found:
            raise InvalidOptionError(f"{kind}s", one.name, f"two {kind} definitions have this name")
        found[one.name] = one
    return found
