"""What child processes run: a worker, a client under load, and a whole scenario. Each says "ready" when it is."""

import asyncio
import json
import os
import random
import signal
import sqlite3
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from perdure.client import Client, WorkflowFailureError, WorkflowHandle
from perdure.common import WorkflowIDConflictPolicy, WorkflowIDReusePolicy
from perdure.exceptions import WorkflowAlreadyStartedError
from perdure.service import RPCError
from perdure.worker import Worker
from perdure_history.errors import RunClosedError
from perdure_history.sql import writer
from tests.checker import Ack
from tests.end_to_end import flows
from tests.end_to_end.acks import AckLog, read_acks
from tests.end_to_end.connecting import Faults, connect


@dataclass(frozen=True)
class Place:
    """Where a test keeps its things: the database, the acknowledgement logs, the trace of activities."""

    folder: Path
    disk: Path | None = None
    """Where the database is, when it is not in `folder`."""

    @property
    def database(self) -> Path:
        return (self.disk or self.folder) / "test.db"

    @property
    def effects(self) -> Path:
        return self.folder / "effects.log"


@dataclass(frozen=True)
class WorkerPlan:
    """How a worker process is to behave."""

    lease_seconds: float = 15.0
    max_activities: int = 100
    max_cached: int = 1000
    bad_mood: bool = False
    """Whether the code of `flows.Moody` has its bug."""


class KillAt:
    """A fault hook that ends its process, as SIGKILL does, when a named point is reached for the n-th time."""

    def __init__(self, point: str, occurrence: int) -> None:
        self.point = point
        self.left = occurrence

    def __call__(self, point: str) -> None:
        if point == self.point:
            self.left -= 1
            if self.left == 0:
                os.kill(os.getpid(), signal.SIGKILL)


class Count:
    """A fault hook that only counts."""

    def __init__(self) -> None:
        self.seen: dict[str, int] = {}

    def __call__(self, point: str) -> None:
        self.seen[point] = self.seen.get(point, 0) + 1


def make_worker(client: Client, plan: WorkerPlan = WorkerPlan()) -> Worker:
    return Worker(
        client,
        task_queue=flows.QUEUE,
        workflows=flows.WORKFLOWS,
        activities=flows.ACTIVITIES,
        max_concurrent_activities=plan.max_activities,
        max_cached_workflows=plan.max_cached,
        lease=timedelta(seconds=plan.lease_seconds),
        graceful_shutdown_timeout=timedelta(seconds=5),
    )


def work(pipe: Connection, place: Place, plan: WorkerPlan = WorkerPlan()) -> None:
    """Be a worker until told to stop or killed."""
    os.environ[flows.EFFECTS] = str(place.effects)
    asyncio.run(_work(pipe, place, plan))


async def _work(pipe: Connection, place: Place, plan: WorkerPlan) -> None:
    flows.mood["bad"] = plan.bad_mood
    client = await connect(place.database)
    async with make_worker(client, plan):
        pipe.send("ready")
        await word_from(pipe)
    await client.close()
    pipe.send("stopped")


async def word_from(pipe: Connection) -> object:
    """The next word of the parent, without blocking the loop."""
    loop = asyncio.get_running_loop()
    heard = asyncio.Event()
    loop.add_reader(pipe.fileno(), heard.set)
    try:
        await heard.wait()
    finally:
        loop.remove_reader(pipe.fileno())
    return pipe.recv()


# A scenario: everything once, by a script that may be run again after a crash and goes on where it was


@dataclass(frozen=True)
class Outcome:
    """What the scenario came to; the same with and without crashes."""

    kitchen: tuple[str, ...]
    cancelable: str


def play(pipe: Connection, place: Place, kill: tuple[str, int] | None) -> None:
    """Run the scenario in this process, client and worker; say how often each point was reached, and the outcome."""
    os.environ[flows.EFFECTS] = str(place.effects)
    count = Count()
    hook = count if kill is None else KillAt(*kill)
    outcome = asyncio.run(scenario(place, faults=hook))
    pipe.send((count.seen, outcome))


async def scenario(place: Place, *, faults: Faults | None = None) -> Outcome:
    """Start two runs, talk to them, wait for their ends. Safe to repeat, as a careful client's script is."""
    client = await connect(place.database, faults=faults)
    try:
        async with make_worker(client):
            return await asyncio.wait_for(_script(client, place), 50)
    finally:
        await client.close()


async def _script(client: Client, place: Place) -> Outcome:
    known = read_acks(place.folder)
    tries = len(list(place.folder.glob("*.acks")))
    log = AckLog(place.folder / f"{tries}.acks")
    try:
        kitchen = await start_once(client, log, flows.Kitchen.run, flows.Order(), workflow_id="kitchen")
        waiting = await start_once(client, log, flows.Cancelable.run, workflow_id="cancelable")
        said = {ack.key.split("@")[0] for ack in known if ack.call == "signal" and ack.answer == "ok"}
        for word in ("first", "second"):
            if word not in said:
                await tell(kitchen, log, f"{word}@{tries}")
        if not any(ack.call == "cancel" and ack.answer == "ok" for ack in known):
            await cancel(waiting, log)
        words = await kitchen.result()
        log.write(Ack(call="result", workflow_id="kitchen", key=json.dumps(words)))
        try:
            await waiting.result()
            ended = "completed"
        except WorkflowFailureError as error:
            ended = type(error.cause).__name__
        return Outcome(tuple(words), ended)
    finally:
        log.close()


def run_was_closed(error: BaseException) -> bool:
    """Whether a client's call was refused because the run had ended."""
    return isinstance(error, RPCError) and isinstance(error.__cause__, RunClosedError)


async def start_once(
    client: Client, log: AckLog, flow: Callable[..., Any], *args: object, workflow_id: str
) -> WorkflowHandle[Any]:
    """Start a run unless it is there already, open or closed, and log that it was acknowledged."""
    try:
        with log.call("start", workflow_id):
            return await client.start_workflow(
                flow,
                *args,
                id=workflow_id,
                task_queue=flows.QUEUE,
                id_reuse_policy=WorkflowIDReusePolicy.REJECT_DUPLICATE,
                id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
            )
    except WorkflowAlreadyStartedError:
        return client.get_workflow_handle(workflow_id)


async def tell(handle: WorkflowHandle[Any], log: AckLog, token: str) -> bool:
    """Send a note; False when the run was closed already."""
    return await _unless_closed(handle, log, "signal", token)


async def cancel(handle: WorkflowHandle[Any], log: AckLog) -> bool:
    """Ask for cancellation; False when the run was closed already."""
    return await _unless_closed(handle, log, "cancel", "")


async def terminate(handle: WorkflowHandle[Any], log: AckLog) -> bool:
    """End the run; False when it was closed already."""
    return await _unless_closed(handle, log, "terminate", "")


async def _unless_closed(handle: WorkflowHandle[Any], log: AckLog, call: str, key: str) -> bool:
    try:
        with log.call(call, handle.id, key=key, refused=run_was_closed):
            match call:
                case "signal":
                    await handle.signal("note", key)
                case "cancel":
                    await handle.cancel()
                case _:
                    await handle.terminate()
    except RPCError as error:
        if not run_was_closed(error):
            raise
        return False
    return True


# A client under load


@dataclass(frozen=True)
class LoadPlan:
    """What a load client does."""

    name: str
    seed: int
    runs: int
    parallel: int = 20
    rest_seconds: float = 0.0
    """Mean rest of each of the parallel scripts between two runs, so that the load lasts."""


def load(pipe: Connection, place: Place, plan: LoadPlan) -> None:
    """Start runs of all kinds, signal and cancel some, read results; go on where a killed one of this name was."""
    asyncio.run(_load(pipe, place, plan))


async def _load(pipe: Connection, place: Place, plan: LoadPlan) -> None:
    former = sorted(place.folder.glob(f"{plan.name}-*.acks"))
    done = {ack.workflow_id for ack in read_acks(place.folder) if ack.call == "finished"}
    log = AckLog(place.folder / f"{plan.name}-{len(former):03}.acks")
    client = await connect(place.database)
    todo = iter([number for number in range(plan.runs) if f"{plan.name}-{number}" not in done])
    pipe.send("ready")

    async def one_after_the_other() -> None:
        for number in todo:
            await asyncio.sleep(random.uniform(0, 2 * plan.rest_seconds))
            await _one_run(client, log, plan, number, tries=len(former))

    await asyncio.gather(*(one_after_the_other() for _ in range(plan.parallel)))
    await client.close()
    log.close()
    pipe.send("done")


def load_and_work(pipe: Connection, place: Place, plan: LoadPlan, synchronous: str) -> None:
    """A client under load and a worker in one process, durable as SQLite's `synchronous` says."""
    os.environ[flows.EFFECTS] = str(place.effects)
    weaken(synchronous)
    asyncio.run(_load_and_work(pipe, place, plan))


async def _load_and_work(pipe: Connection, place: Place, plan: LoadPlan) -> None:
    client = await connect(place.database)
    async with make_worker(client):
        await _load(pipe, place, plan)
    await client.close()


def weaken(synchronous: str) -> None:
    """Give this process's connections another durability: the negative control of the power cuts."""
    durable = writer.connect_writer

    def weakened(path: str) -> sqlite3.Connection:
        connection = durable(path)
        connection.execute(f"PRAGMA synchronous={synchronous}")
        return connection

    writer.connect_writer = weakened


async def _one_run(client: Client, log: AckLog, plan: LoadPlan, number: int, *, tries: int) -> None:
    dice = random.Random(f"{plan.seed} {plan.name} {number}")
    workflow_id = f"{plan.name}-{number}"
    match dice.randrange(12):
        case 0:
            await start_once(client, log, flows.naps, 3, 30, workflow_id=workflow_id)
        case 1:
            handle = await start_once(client, log, flows.chain, dice.randint(1, 6), workflow_id=workflow_id)
            result = await handle.result()
            log.write(Ack(call="result", workflow_id=workflow_id, key=json.dumps(result)))
        case 2 | 3:
            handle = await start_once(client, log, flows.Cancelable.run, workflow_id=workflow_id)
            await cancel(handle, log)
        case 4 | 5 | 6:
            handle = await start_once(client, log, flows.Listener.run, 2, workflow_id=workflow_id)
            for word in range(4):
                await tell(handle, log, f"{workflow_id}.{word}@{tries}")
        case 7:
            await start_once(client, log, flows.Moody.run, 4, workflow_id=workflow_id)
        case 8:
            handle = await start_once(client, log, flows.slow_chain, 20, workflow_id=workflow_id)
            await asyncio.sleep(dice.uniform(0, 0.3))
            await terminate(handle, log)
        case _:
            handle = await start_once(
                client, log, flows.Kitchen.run, flows.Order(notes=2), workflow_id=workflow_id
            )
            for word in range(2):
                await tell(handle, log, f"{workflow_id}.{word}@{tries}")
    log.write(Ack(call="finished", workflow_id=workflow_id))
