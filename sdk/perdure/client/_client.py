"""Client: starts runs, finds them, talks to them."""

import os
import socket
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from importlib.metadata import PackageNotFoundError, version
from types import TracebackType
from typing import Any, Self, TypeVar, overload

from perdure._local import LocalWorker, traffic_of
from perdure.client._addresses import open_store
from perdure.client._arguments import check_arguments, either
from perdure.client._errors import translated
from perdure.client._execution import WorkflowExecution, WorkflowExecutionStatus, execution_fields
from perdure.client._handle import WorkflowHandle
from perdure.client._waiting import ClosingWatch
from perdure.common import WorkflowIDConflictPolicy, WorkflowIDReusePolicy
from perdure.converter import DataConverter
from perdure.definitions import workflow_definition
from perdure_history.chain import GENESIS, seal
from perdure_history.events import WorkflowExecutionStarted
from perdure_history.ids import MAX_NAME, MAX_NAMESPACE, RunId, check_id, check_text
from perdure_history.records import (
    EventRow,
    IdConflictPolicy,
    IdReusePolicy,
    RunFilter,
    RunStatus,
    StartRun,
)
from perdure_history.store import Store
from perdure_replayer.definition import WorkflowDefinition

ReturnType = TypeVar("ReturnType")
_CONFLICT = {
    WorkflowIDConflictPolicy.UNSPECIFIED: IdConflictPolicy.FAIL,
    WorkflowIDConflictPolicy.FAIL: IdConflictPolicy.FAIL,
    WorkflowIDConflictPolicy.USE_EXISTING: IdConflictPolicy.USE_EXISTING,
    WorkflowIDConflictPolicy.TERMINATE_EXISTING: IdConflictPolicy.TERMINATE_EXISTING,
}


class Client:
    """A store as the users of workflows see it. Cheap; use one for a program. Belongs to one event loop."""

    def __init__(
        self,
        store: Store,
        *,
        namespace: str = "default",
        data_converter: DataConverter | None = None,
        identity: str | None = None,
        workflows: Sequence[Any] = (),
        new_id: Callable[[], str] = lambda: uuid.uuid4().hex,
        new_run_id: Callable[[int], RunId] | None = None,
    ) -> None:
        """Use an open store; see `connect` for the common way. The last two parameters are for tests."""
        self.store = store
        """The store; what it offers beyond this class is for tools."""
        self.namespace = check_id("namespace", namespace, limit=MAX_NAMESPACE)
        self.data_converter = data_converter or DataConverter.default
        self.identity = check_text("identity", identity or f"{os.getpid()}@{socket.gethostname()}")
        """Who: recorded with all that this client starts and sends."""
        self.new_id = new_id
        self._new_run_id = new_run_id or _uuid7
        self._definitions = {one.name: one for one in map(workflow_definition, workflows)}
        self._traffic = traffic_of(store)
        self._watch: ClosingWatch | None = None

    @classmethod
    async def connect(
        cls,
        address: str,
        *,
        namespace: str = "default",
        data_converter: DataConverter | None = None,
        identity: str | None = None,
        workflows: Sequence[Any] = (),
    ) -> "Client":
        """Open the store at `address` and give back a client of it.

        ``sqlite:///app.db`` (relative), ``sqlite:////var/app.db`` (absolute) or a bare path; ``memory://`` for
        a store that ends with the process, ``memory://name`` for one that others in the process can open too.
        Tables are made, or brought up to date, on the way. `identity` names you in audits (default: pid@host).
        `workflows`: definitions by which queries are answered here when no worker of this process holds the run.

        Raises AddressError, InvalidIdError, StoreError.
        """
        check_id("namespace", namespace, limit=MAX_NAMESPACE)
        store = await open_store(address)
        return cls(
            store, namespace=namespace, data_converter=data_converter, identity=identity, workflows=workflows
        )

    async def close(self) -> None:
        """Close the store. Stop workers first: they share it. Who still awaits a result gets StoreClosedError."""
        if self._watch is not None:
            await self._watch.close()
        await self.store.close()

    async def __aenter__(self) -> Self:
        """Itself."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the store."""
        await self.close()

    @overload
    async def start_workflow(
        self,
        workflow: Callable[..., Awaitable[ReturnType]],
        *arguments: Any,
        args: Sequence[Any] = ...,
        id: str,
        task_queue: str = ...,
        id_reuse_policy: WorkflowIDReusePolicy = ...,
        id_conflict_policy: WorkflowIDConflictPolicy = ...,
        result_type: Any = ...,
        reason: str = ...,
        request_id: str | None = ...,
    ) -> WorkflowHandle[ReturnType]: ...

    @overload
    async def start_workflow(
        self,
        workflow: str | type,
        *arguments: Any,
        args: Sequence[Any] = ...,
        id: str,
        task_queue: str = ...,
        id_reuse_policy: WorkflowIDReusePolicy = ...,
        id_conflict_policy: WorkflowIDConflictPolicy = ...,
        result_type: Any = ...,
        reason: str = ...,
        request_id: str | None = ...,
    ) -> WorkflowHandle[Any]: ...

    async def start_workflow(
        self,
        workflow: str | type | Callable[..., Awaitable[Any]],
        *arguments: Any,
        args: Sequence[Any] = (),
        id: str,  # noqa: A002  Temporal's name
        task_queue: str = "default",
        id_reuse_policy: WorkflowIDReusePolicy = WorkflowIDReusePolicy.ALLOW_DUPLICATE,
        id_conflict_policy: WorkflowIDConflictPolicy = WorkflowIDConflictPolicy.UNSPECIFIED,
        result_type: Any = None,
        reason: str = "",
        request_id: str | None = None,
    ) -> WorkflowHandle[Any]:
        """Start a run; on return it is durable, and some worker will run it to its end.

        `workflow` is a workflow function, class, its run method, or a name. Its arguments follow it, or stand
        in `args`. `id` is your name for the process:
        at most one run of it is open at a time, and the policies say what a second start does. `reason` is
        recorded for audits. Starting again with the same `request_id` gives the same run.

        Raises WorkflowAlreadyStartedError, ArgumentError, EncodingError, InvalidIdError: nothing was written.
        """
        definition = None if isinstance(workflow, str) else workflow_definition(workflow)
        name = workflow if isinstance(workflow, str) else workflow_definition(workflow).name
        values = either(arguments, args, f"workflow {name!r}")
        if definition is not None:
            check_arguments(definition, values)
        check_id("workflow id", id)
        check_id("workflow type", name, limit=MAX_NAME)
        check_id("task queue", task_queue, limit=MAX_NAME)
        request_id = request_id or self.new_id()
        now = self.store.now()
        run_id = self._new_run_id(now)
        started = WorkflowExecutionStarted(
            workflow_type=name,
            workflow_id=id,
            namespace=self.namespace,
            task_queue=task_queue,
            input=tuple(self.data_converter.to_payloads(values)),
            seed=self.new_id(),
            sdk_version=_sdk_version,
            request_id=request_id,
            reason=reason,
        )
        (row,) = seal(run_id, [(started, 1, self.identity)], prev_seq=0, prev_hash=GENESIS, recorded_at=now)
        worker = self._traffic.worker_for(self.namespace, task_queue, name)
        start = StartRun(
            run_id=run_id,
            namespace=self.namespace,
            workflow_id=id,
            workflow_type=name,
            task_queue=task_queue,
            request_id=request_id,
            first_event=row,
            id_reuse_policy=IdReusePolicy[id_reuse_policy.name],
            id_conflict_policy=_CONFLICT[id_conflict_policy],
            owner=None if worker is None else worker.incarnation,
        )
        if worker is not None:
            self._traffic.expect_start(start)
        try:
            with translated():
                outcome = await self.store.start_run(start)
        except BaseException:
            self._traffic.take_start(run_id)
            raise
        if outcome.run_id != run_id or outcome.owner is None:
            self._traffic.take_start(run_id)
        return WorkflowHandle(
            self,
            id,
            result_run_id=outcome.run_id,
            first_execution_run_id=outcome.run_id,
            result_type=result_type if result_type is not None else _return_type(definition),
            definition=definition,
        )

    @overload
    async def execute_workflow(
        self, workflow: Callable[..., Awaitable[ReturnType]], *arguments: Any, id: str, **options: Any
    ) -> ReturnType: ...

    @overload
    async def execute_workflow(
        self, workflow: str | type, *arguments: Any, id: str, **options: Any
    ) -> Any: ...

    async def execute_workflow(
        self,
        workflow: str | type | Callable[..., Awaitable[Any]],
        *arguments: Any,
        id: str,  # noqa: A002  Temporal's name
        **options: Any,
    ) -> Any:
        """Start a run and wait for its result: `start_workflow`, whose options it takes, then `result`."""
        handle = await self.start_workflow(workflow, *arguments, id=id, **options)
        return await handle.result()

    def get_workflow_handle(
        self,
        workflow_id: str,
        *,
        run_id: str | None = None,
        first_execution_run_id: str | None = None,
        result_type: Any = None,
    ) -> WorkflowHandle[Any]:
        """A handle by workflow id, and by run id if one run is meant. Nothing is asked of the store yet."""
        return WorkflowHandle(
            self,
            workflow_id,
            run_id=run_id,
            result_run_id=run_id,
            first_execution_run_id=first_execution_run_id,
            result_type=result_type,
        )

    def get_workflow_handle_for(
        self,
        workflow: type | Callable[..., Awaitable[ReturnType]],
        workflow_id: str,
        *,
        run_id: str | None = None,
        first_execution_run_id: str | None = None,
    ) -> WorkflowHandle[ReturnType]:
        """As `get_workflow_handle`, with the workflow's types, and its code for queries."""
        definition = workflow_definition(workflow)
        return WorkflowHandle(
            self,
            workflow_id,
            run_id=run_id,
            result_run_id=run_id,
            first_execution_run_id=first_execution_run_id,
            result_type=_return_type(definition),
            definition=definition,
        )

    async def list_workflows(
        self,
        *,
        status: WorkflowExecutionStatus | None = None,
        workflow_type: str | None = None,
        workflow_id: str | None = None,
        workflow_id_prefix: str | None = None,
        task_queue: str | None = None,
        with_problem: bool | None = None,
        limit: int | None = None,
        page_size: int = 100,
    ) -> AsyncIterator[WorkflowExecution]:
        """Runs that meet all conditions given, newest start first, read in pages.

        `with_problem` True: only runs whose code fails. `limit` None: all.
        """
        where = self._filter(status, workflow_type, workflow_id, workflow_id_prefix, task_queue, with_problem)
        cursor: str | None = None
        given = 0
        while True:
            page = await self.store.list_runs(where, limit=page_size, cursor=cursor)
            for record in page.runs:
                if limit is not None and given >= limit:
                    return
                given += 1
                yield WorkflowExecution(**execution_fields(record))
            cursor = page.cursor
            if cursor is None:
                return

    async def count_workflows(
        self,
        *,
        status: WorkflowExecutionStatus | None = None,
        workflow_type: str | None = None,
        workflow_id: str | None = None,
        workflow_id_prefix: str | None = None,
        task_queue: str | None = None,
        with_problem: bool | None = None,
    ) -> int:
        """Number of runs that meet all conditions given."""
        where = self._filter(status, workflow_type, workflow_id, workflow_id_prefix, task_queue, with_problem)
        return sum((await self.store.count_runs(where)).values())

    def definition(self, workflow_type: str) -> WorkflowDefinition | None:
        """The definition that this client was given for queries, by name."""
        return self._definitions.get(workflow_type)

    def local_workers(self) -> Sequence[LocalWorker]:
        """Workers of this process that use the same store."""
        return self._traffic.workers

    async def closing(self, run_id: RunId) -> EventRow:
        """The event that closes the run, once it is recorded."""
        if self._watch is None:
            self._watch = ClosingWatch(self.store, self.namespace)
        return await self._watch.closing(run_id)

    def _filter(
        self,
        status: WorkflowExecutionStatus | None,
        workflow_type: str | None,
        workflow_id: str | None,
        workflow_id_prefix: str | None,
        task_queue: str | None,
        with_problem: bool | None,
    ) -> RunFilter:
        return RunFilter(
            namespace=self.namespace,
            statuses=() if status is None else (RunStatus[status.name],),
            workflow_types=() if workflow_type is None else (workflow_type,),
            workflow_id=workflow_id,
            workflow_id_prefix=workflow_id_prefix,
            task_queue=task_queue,
            with_problem=with_problem,
        )


def _return_type(definition: WorkflowDefinition | None) -> Any:
    return None if definition is None else definition.return_type


def _uuid7(now: int) -> RunId:
    """A UUIDv7 (RFC 9562) of the store's time, so that run ids sort by start."""
    milliseconds = now // 1000
    random_bits = int.from_bytes(os.urandom(10), "big") & ((1 << 74) - 1)
    high, low = random_bits >> 62, random_bits & ((1 << 62) - 1)
    value = (milliseconds & ((1 << 48) - 1)) << 80 | 7 << 76 | high << 64 | 2 << 62 | low
    return RunId(str(uuid.UUID(int=value)))


def _installed_version() -> str:
    try:
        return version("perdure")
    except PackageNotFoundError:
        return "unknown"


_sdk_version = _installed_version()
