"""Builders of requests, and a store with a clock and some workers to play them on."""

import itertools

from perdure_history.chain import GENESIS, seal
from perdure_history.codec import encode_event
from perdure_history.events import (
    ActivityTaskCompleted,
    ActivityTaskScheduled,
    Event,
    TimerFired,
    TimerStarted,
    WorkflowExecutionCompleted,
    WorkflowExecutionFailed,
    WorkflowExecutionSignaled,
    WorkflowExecutionStarted,
    WorkflowExecutionTerminated,
)
from perdure_history.failures import Failure
from perdure_history.ids import RunId
from perdure_history.payloads import Payload
from perdure_history.records import (
    Change,
    Claim,
    EventRow,
    RunRecord,
    RunStatus,
    RunUpdate,
    SendMessage,
    StartOutcome,
    StartRun,
    TerminateRun,
    TurnCommit,
    Verdict,
    WorkerRecord,
)
from perdure_history.store import Store
from tests.conformance.stores import START_OF_TIME, ManualClock

NAMESPACE = "default"
QUEUE = "orders"
FOREVER = 10**18

_counter = itertools.count(1)


def new_run_id() -> RunId:
    """Run ids that grow, as UUIDv7 do."""
    return RunId(f"018bcfe5-6800-7000-8000-{next(_counter):012x}")


def start_request(workflow_id: str = "order-1", **options) -> StartRun:
    run_id = options.pop("run_id", None) or new_run_id()
    at = options.pop("at", START_OF_TIME)
    fields = {
        "run_id": run_id,
        "namespace": NAMESPACE,
        "workflow_id": workflow_id,
        "workflow_type": "order_flow",
        "task_queue": QUEUE,
        "request_id": f"start-{run_id}",
    } | options
    event = WorkflowExecutionStarted(
        workflow_type=fields["workflow_type"],
        workflow_id=workflow_id,
        namespace=fields["namespace"],
        task_queue=fields["task_queue"],
        seed="5eed",
        request_id=fields["request_id"],
    )
    # A run id that cannot be encoded cannot be sealed either; the store must refuse it before it looks.
    sealable = run_id if run_id.isprintable() else "x"
    [row] = seal(sealable, [(event, 1, "client")], prev_seq=0, prev_hash=GENESIS, recorded_at=at)
    return StartRun(first_event=row, **fields)


def signal_event(name: str = "approve", request_id: str = "req-1", **options) -> WorkflowExecutionSignaled:
    return WorkflowExecutionSignaled(signal_name=name, request_id=request_id, **options)


def signal_request(workflow_id: str = "order-1", request_id: str = "req-1", **options) -> SendMessage:
    event = signal_event(options.pop("name", "approve"), request_id)
    fields = {
        "namespace": NAMESPACE,
        "workflow_id": workflow_id,
        "run_id": None,
        "type": type(event).__name__,
        "attributes": encode_event(event),
        "request_id": request_id,
        "actor": "client",
        "sent_at": START_OF_TIME,
    } | options
    return SendMessage(**fields)


def terminate_request(workflow_id: str = "order-1", request_id: str = "kill-1", **options) -> TerminateRun:
    event = WorkflowExecutionTerminated(reason="enough", request_id=request_id)
    fields = {
        "namespace": NAMESPACE,
        "workflow_id": workflow_id,
        "run_id": None,
        "reason": "enough",
        "attributes": encode_event(event),
        "request_id": request_id,
        "actor": "operator",
        "at": START_OF_TIME + 5,
    } | options
    return TerminateRun(**fields)


def scheduled(name: str = "charge") -> ActivityTaskScheduled:
    return ActivityTaskScheduled(activity_type=name, activity_id=name)


def completed(scheduled_seq: int) -> ActivityTaskCompleted:
    return ActivityTaskCompleted(scheduled_seq=scheduled_seq, result=Payload(encoding="binary/null"))


def timer(delay_us: int = 1) -> TimerStarted:
    return TimerStarted(delay_us=delay_us, fire_at=START_OF_TIME + delay_us)


def fired(timer_seq: int) -> TimerFired:
    return TimerFired(timer_seq=timer_seq)


CLOSING = {
    RunStatus.COMPLETED: WorkflowExecutionCompleted(result=Payload(encoding="binary/null")),
    RunStatus.FAILED: WorkflowExecutionFailed(failure=Failure(message="no")),
}


class Scene:
    """A store under test, its clock, and short words for what tests do to it."""

    def __init__(self, store: Store, clock: ManualClock) -> None:
        self.store = store
        self.clock = clock
        self.heard: list[Change] = []
        store.subscribe(self.heard.extend)

    async def worker(self, name: str = "w1") -> str:
        record = WorkerRecord(incarnation=name, identity=f"{name}@host", task_queues=QUEUE, started_at=1)
        await self.store.register_worker(record)
        return name

    async def start(self, workflow_id: str = "order-1", **options) -> StartOutcome:
        return await self.store.start_run(start_request(workflow_id, **options))

    async def start_owned(self, workflow_id: str = "order-1", worker: str = "w1", **options) -> RunId:
        outcome = await self.start(workflow_id, owner=worker, **options)
        assert outcome.owner == worker
        return outcome.run_id

    async def claim(self, worker: str = "w1", **options) -> list[Claim]:
        fields = {"task_queues": [QUEUE], "workflow_types": None, "namespace": NAMESPACE, "limit": 100}
        return await self.store.claim_runs(worker, **(fields | options))

    async def next_wake(self, **options) -> int | None:
        fields = {"task_queues": [QUEUE], "workflow_types": None, "namespace": NAMESPACE}
        return await self.store.next_wake(**(fields | options))

    async def run(self, run_id: RunId, workflow_id: str = "order-1") -> RunRecord:
        return await self.store.find_run(NAMESPACE, workflow_id, run_id)

    async def member(self, run_id: RunId, *events: Event, turn: int | None = 1, **options) -> TurnCommit:
        """A commit of `events` on the head of the run as it is now."""
        head = await self.store.last_event(run_id)
        assert head is not None
        return member_on(run_id, head, *events, turn=turn, **options)

    async def commit(self, worker: str, *members: TurnCommit) -> list[Verdict]:
        return await self.store.commit_turns(worker, members)

    async def close(
        self, run_id: RunId, worker: str = "w1", *, status: RunStatus = RunStatus.COMPLETED, turn: int = 1
    ) -> None:
        """Let the worker, which owns the run, end it."""
        member = await self.member(run_id, CLOSING[status], turn=turn, update=RunUpdate(status=status))
        assert await self.commit(worker, member) == [Verdict.COMMITTED]

    async def release(self, run_id: RunId, worker: str = "w1", **options) -> None:
        member = await self.member(run_id, update=RunUpdate(release=True, **options))
        assert await self.commit(worker, member) == [Verdict.COMMITTED]

    async def types(self, run_id: RunId) -> list[str]:
        return [row.type for row in await self.store.read_history(run_id)]


def member_on(run_id: RunId, head: EventRow, *events: Event, turn: int | None = 1, **options) -> TurnCommit:
    """A commit of `events` on this head."""
    actor, at = options.pop("actor", "w1"), options.pop("at", START_OF_TIME + 10)
    rows = seal(
        run_id,
        [(event, turn, actor) for event in events],
        prev_seq=head.seq,
        prev_hash=head.hash,
        recorded_at=at,
    )
    return TurnCommit(run_id=run_id, prev_seq=head.seq, prev_hash=head.hash, rows=rows, **options)
