"""WorkflowHandle: one workflow id, or one run of it."""

from collections.abc import AsyncIterator, Callable, Sequence
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from perdure import _guarded
from perdure.client._arguments import either
from perdure.client._errors import WorkflowFailureError, WorkflowQueryFailedError, translated
from perdure.client._execution import (
    HistoryEntry,
    WorkflowExecutionDescription,
    WorkflowHistory,
    execution_fields,
    history_entry,
    moment,
    pending_activities,
)
from perdure.definitions import QUERY, handler_definition, query_name, signal_name
from perdure.exceptions import CancelledError, TerminatedError
from perdure_history.codec import decode_event, encode_event
from perdure_history.events import (
    Event,
    WorkflowExecutionCanceled,
    WorkflowExecutionCancelRequested,
    WorkflowExecutionCompleted,
    WorkflowExecutionFailed,
    WorkflowExecutionSignaled,
    WorkflowExecutionTerminated,
)
from perdure_history.ids import RunId
from perdure_history.payloads import Payload
from perdure_history.records import RunRecord, SendMessage, TerminateRun
from perdure_replayer.definition import WorkflowDefinition
from perdure_replayer.errors import QueryFailedError, ReplayError
from perdure_replayer.rebuild import Rebuild
from perdure_replayer.turn import LiveRun

if TYPE_CHECKING:
    from perdure.client._client import Client

ReturnType_co = TypeVar("ReturnType_co", covariant=True)
_PAGE = 2_000


class WorkflowHandle(Generic[ReturnType_co]):
    """Talks to a run. Made by the client; making one asks nothing of the store.

    Without a run id it means the newest run of the workflow id, each time anew.
    """

    def __init__(
        self,
        client: "Client",
        id: str,  # noqa: A002  Temporal's name
        *,
        run_id: str | None = None,
        result_run_id: str | None = None,
        first_execution_run_id: str | None = None,
        result_type: Any = None,
        definition: WorkflowDefinition | None = None,
    ) -> None:
        self._client = client
        self._id = id
        self._run_id = run_id
        self._result_run_id = result_run_id
        self._first_execution_run_id = first_execution_run_id
        self._result_type = result_type
        self._definition = definition

    @property
    def id(self) -> str:
        """The workflow id."""
        return self._id

    @property
    def run_id(self) -> str | None:
        """The run that messages and queries go to; None: the newest."""
        return self._run_id

    @property
    def result_run_id(self) -> str | None:
        """The run whose result is awaited; None: the newest."""
        return self._result_run_id

    @property
    def first_execution_run_id(self) -> str | None:
        """The run that this client started; None when the handle was made from an id."""
        return self._first_execution_run_id

    async def result(self) -> ReturnType_co:
        """What the run returns, once it has.

        Waits as long as it takes, across crashes of workers; use `asyncio.timeout` around it to wait less. A
        run whose code fails (and is tried again) is reported in the log of `perdure.client`.

        Raises WorkflowFailureError when it failed, was canceled or terminated, WorkflowNotFoundError.
        """
        run_id = self._result_run_id or (await self._record(self._run_id)).run_id
        row = await self._client.closing(RunId(run_id))
        return self._outcome(decode_event(row.type, row.attributes, run_id=run_id, seq=row.seq))  # type: ignore[no-any-return]  # the caller's type hint decides

    async def signal(
        self,
        signal: str | Callable[..., Any],
        *arguments: Any,
        args: Sequence[Any] = (),
        reason: str = "",
        request_id: str | None = None,
    ) -> None:
        """Send a signal; on return it is durable, and will be seen before any sent after this.

        `reason` is recorded for audits. Sending again with the same `request_id` counts once.

        Raises WorkflowNotFoundError, WorkflowClosedError, EncodingError.
        """
        request_id = request_id or self._client.new_id()
        name = signal_name(signal)
        event = WorkflowExecutionSignaled(
            signal_name=name,
            input=tuple(self._client.data_converter.to_payloads(either(arguments, args, f"signal {name!r}"))),
            request_id=request_id,
            reason=reason,
        )
        await self._send(event, request_id)

    async def cancel(self, *, reason: str = "", request_id: str | None = None) -> None:
        """Ask the run to cancel itself: its main coroutine gets a CancelledError. Durable on return.

        Raises WorkflowNotFoundError, WorkflowClosedError.
        """
        request_id = request_id or self._client.new_id()
        await self._send(WorkflowExecutionCancelRequested(request_id=request_id, reason=reason), request_id)

    async def terminate(self, *args: Any, reason: str = "") -> None:
        """End the run at once, without asking its code; `args` are details for whoever awaits it.

        Raises WorkflowNotFoundError, WorkflowClosedError.
        """
        client = self._client
        request_id = client.new_id()
        event = WorkflowExecutionTerminated(
            reason=reason, details=tuple(client.data_converter.to_payloads(args)), request_id=request_id
        )
        with translated():
            await client.store.terminate_run(
                TerminateRun(
                    namespace=client.namespace,
                    workflow_id=self._id,
                    run_id=None if self._run_id is None else RunId(self._run_id),
                    reason=reason,
                    attributes=encode_event(event),
                    request_id=request_id,
                    actor=client.identity,
                    at=client.store.now(),
                )
            )

    async def query(
        self,
        query: str | Callable[..., Any],
        *arguments: Any,
        args: Sequence[Any] = (),
        result_type: Any = None,
    ) -> Any:
        """Ask the run something; the run and its history are unchanged.

        Answered by the worker that holds the run, when it is in this process; otherwise here, by replaying
        the history, for which this handle or its client must know the workflow's definition.

        Raises WorkflowNotFoundError, WorkflowQueryFailedError.
        """
        name = query_name(query)
        handler = handler_definition(query, QUERY)
        record = await self._record(self._run_id)
        payloads = self._client.data_converter.to_payloads(either(arguments, args, f"query {name!r}"))
        try:
            answer = await self._answer(record, name, payloads)
        except ReplayError as error:
            raise WorkflowQueryFailedError(str(error)) from error
        hint = result_type or (handler.return_type if handler is not None else Any)
        return self._client.data_converter.from_payload(answer, hint)

    async def describe(self) -> WorkflowExecutionDescription:
        """Where the run stands: status, times, pending activities, and why it does not move if it does not.

        Raises WorkflowNotFoundError.
        """
        record = await self._record(self._run_id)
        rows = await self._client.store.read_history(record.run_id) if record.closed_at is None else []
        entries = [history_entry(record.run_id, row) for row in rows]
        return WorkflowExecutionDescription(
            **execution_fields(record),
            pending_activities=pending_activities(entries),
            worker=record.owner,
            next_attention_time=None if not record.wake_at else moment(record.wake_at),
        )

    async def fetch_history(self) -> WorkflowHistory:
        """All events of the run. Raises WorkflowNotFoundError, CorruptHistoryError."""
        record = await self._record(self._run_id)
        entries = [entry async for entry in self._entries(record.run_id)]
        return WorkflowHistory(record.workflow_id, record.run_id, entries)

    async def fetch_history_events(self) -> AsyncIterator[HistoryEntry]:
        """The events of the run, oldest first, read in pages."""
        async for entry in self._entries((await self._record(self._run_id)).run_id):
            yield entry

    async def _entries(self, run_id: RunId) -> AsyncIterator[HistoryEntry]:
        seq = 0
        while rows := await self._client.store.read_history(run_id, after_seq=seq, limit=_PAGE):
            for row in rows:
                yield history_entry(run_id, row)
            seq = rows[-1].seq

    async def _record(self, run_id: str | None) -> RunRecord:
        with translated():
            return await self._client.store.find_run(
                self._client.namespace, self._id, None if run_id is None else RunId(run_id)
            )

    async def _send(
        self, event: WorkflowExecutionSignaled | WorkflowExecutionCancelRequested, request_id: str
    ) -> None:
        client = self._client
        with translated():
            await client.store.send_message(
                SendMessage(
                    namespace=client.namespace,
                    workflow_id=self._id,
                    run_id=None if self._run_id is None else RunId(self._run_id),
                    type=type(event).__name__,
                    attributes=encode_event(event),
                    request_id=request_id,
                    actor=client.identity,
                    sent_at=client.store.now(),
                )
            )

    async def _answer(self, record: RunRecord, name: str, payloads: Sequence[Payload]) -> Payload:
        client = self._client
        definition = self._definition or client.definition(record.workflow_type)
        for worker in client.local_workers():
            answer = await worker.query(record.run_id, name, payloads)
            if answer is not None:
                return answer
            definition = definition or worker.definition(record.workflow_type)
        if definition is None:
            raise QueryFailedError(
                record.run_id,
                name,
                f"no worker of this process holds the run, and to replay it here the definition of workflow "
                f"{record.workflow_type!r} is needed: pass Client.connect(workflows=[...])",
            )
        return await self._answer_by_replay(record, definition, name, payloads)

    async def _answer_by_replay(
        self, record: RunRecord, definition: WorkflowDefinition, name: str, payloads: Sequence[Payload]
    ) -> Payload:
        live = LiveRun(record.run_id, definition, self._client.data_converter)
        rebuild = Rebuild(live)
        # As on a worker: what stands in for asyncio's own there has to stand in for it here.
        _guarded.install_guards()
        try:
            while rows := await self._client.store.read_history(
                record.run_id, after_seq=rebuild.head_seq, limit=_PAGE
            ):
                rebuild.feed(rows)
            opened = rebuild.finish()
            if opened:
                # The turn is not computed yet; what it would do is not recorded, and here it goes nowhere.
                live.advance(
                    [entry.event for entry in opened], now=opened[-1].recorded_at, recorded=len(opened)
                )
            return live.query(name, payloads)
        finally:
            live.evict()
            _guarded.uninstall_guards()

    def _outcome(self, event: Event) -> Any:
        converter = self._client.data_converter
        match event:
            case WorkflowExecutionCompleted():
                return converter.from_payload(
                    event.result, Any if self._result_type is None else self._result_type
                )
            case WorkflowExecutionFailed():
                raise WorkflowFailureError(cause=converter.from_failure(event.failure))
            case WorkflowExecutionCanceled():
                details = [converter.from_payload(one, Any) for one in event.details]
                raise WorkflowFailureError(cause=CancelledError("Workflow cancelled", *details))
            case WorkflowExecutionTerminated():
                details = [converter.from_payload(one, Any) for one in event.details]
                raise WorkflowFailureError(
                    cause=TerminatedError(event.reason or "Workflow terminated", *details)
                )
            case _:
                raise AssertionError(f"{type(event).__name__} does not close a run")
