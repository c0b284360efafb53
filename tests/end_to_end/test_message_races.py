"""Signals against runs that end, from other processes, and sent again: each acknowledged one is there, once."""

import asyncio
import random
import statistics
import time
from uuid import uuid4

import msgspec
import pytest

from perdure_history.codec import encode_event
from perdure_history.events import WorkflowExecutionSignaled
from perdure_history.payloads import Payload
from perdure_history.records import SendMessage
from tests.checker import check
from tests.end_to_end import flows
from tests.end_to_end.acks import AckLog, read_acks
from tests.end_to_end.connecting import connect
from tests.end_to_end.processes import LONG, Nursery
from tests.end_to_end.programs import make_worker, start_once, tell, work
from tests.end_to_end.tables import read_tables
from tests.end_to_end.waiting import until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(200)]


async def signal_until_refused(handle, log: AckLog, name: str) -> int:
    """Send one signal after the other until the run has closed; how many were acknowledged."""
    sent = 0
    while await tell(handle, log, f"{handle.id}.{name}.{sent}@0"):
        sent += 1
    return sent


async def race(place, client, *, runs: int, senders: int) -> int:
    """Signals against runs that end with their third; how many were acknowledged."""
    log = AckLog(place.folder / "race.acks")
    handles = [
        await start_once(client, log, flows.Listener.run, 3, workflow_id=f"run-{n}") for n in range(runs)
    ]
    acked = 0
    for start in range(0, runs, 10):
        acked += sum(
            await asyncio.gather(
                *(
                    signal_until_refused(handle, log, f"sender-{number}")
                    for handle in handles[start : start + 10]
                    for number in range(senders)
                )
            )
        )
    log.close()
    return acked


async def test_each_acknowledged_signal_to_an_ending_run_is_in_its_history(place, figure):
    """Signals race completion (B2), worker and clients in one process."""
    client = await connect(place.database)
    async with make_worker(client):
        acked = await race(place, client, runs=100, senders=5)
    await client.close()

    dump = read_tables(place.database)
    figure(f"signals racing completion, one process: 100 runs, {acked} acked, all recorded")
    assert acked >= 300
    assert check(dump, read_acks(place.folder)) == []


async def test_each_acknowledged_signal_from_another_process_is_in_the_history(
    children: Nursery, place, figure
):
    """Signals race completion (B2), worker and clients in two processes."""
    worker = children.start(work, place)
    worker.hear()
    client = await connect(place.database)
    acked = await race(place, client, runs=60, senders=4)
    await client.close()
    worker.tell("stop")
    worker.join()

    dump = read_tables(place.database)
    figure(f"signals racing completion, two processes: 60 runs, {acked} acked, all recorded")
    assert acked >= 180
    assert check(dump, read_acks(place.folder)) == []


async def test_a_signal_from_another_process_arrives_soon(children: Nursery, place, figure):
    """Two processes on one file, no polling of tables: the median is far below what polling would give."""
    worker = children.start(work, place)
    worker.hear()
    client = await connect(place.database)
    log = AckLog(place.folder / "test.acks")
    handle = await start_once(client, log, flows.Listener.run, 200, workflow_id="listener")
    dice = random.Random(7)
    seconds = []
    for number in range(100):
        await asyncio.sleep(dice.uniform(0, 0.03))  # so that the sends do not fall into step with anything
        sent_at = time.monotonic()
        await tell(handle, log, f"{number}@0")
        await until(is_recorded, client, handle.id, f"{number}@0")
        seconds.append(time.monotonic() - sent_at)
    await handle.terminate()
    await client.close()
    worker.tell("stop")
    worker.join()

    assert check(read_tables(place.database), read_acks(place.folder)) == []
    ms = [1000 * one for one in sorted(seconds)]
    figure(
        f"signal from another process until it is recorded: p50 {statistics.median(ms):.1f} ms, "
        f"p90 {ms[89]:.1f} ms, p99 {ms[98]:.1f} ms, max {ms[99]:.1f} ms"
    )
    assert statistics.median(ms) < 500


async def is_recorded(client, workflow_id: str, token: str) -> bool:
    run = await client.store.find_run(client.namespace, workflow_id)
    rows = await client.store.read_history(run.run_id)
    return any(token in row.attributes for row in rows if row.type == "WorkflowExecutionSignaled")


def note(client, workflow_id: str, token: str, request_id: str) -> SendMessage:
    """A signal as a client sends it, with a request id that a test may use again."""
    event = WorkflowExecutionSignaled(
        signal_name="note",
        input=(Payload(json=msgspec.Raw(msgspec.json.encode(token))),),
        request_id=request_id,
    )
    return SendMessage(
        namespace=client.namespace,
        workflow_id=workflow_id,
        run_id=None,
        type="WorkflowExecutionSignaled",
        attributes=encode_event(event),
        request_id=request_id,
        actor="test",
        sent_at=time.time_ns() // 1000,
    )


async def test_a_message_sent_again_after_it_was_taken_is_taken_once(children: Nursery, place):
    """Duplicates while it waits, after it was consumed, and after a restart of the worker (B4)."""
    client = await connect(place.database)
    log = AckLog(place.folder / "test.acks")
    handle = await start_once(client, log, flows.Listener.run, 3, workflow_id="listener")
    first, second, third = (note(client, "listener", f"{n}@0", str(uuid4())) for n in range(3))
    await client.store.send_message(first)
    await client.store.send_message(first)
    worker = children.start(work, place)
    await until(is_recorded, client, handle.id, "0@0")
    await client.store.send_message(first)
    await client.store.send_message(second)
    await until(is_recorded, client, handle.id, "1@0")
    worker.kill()
    await client.store.send_message(first)
    await client.store.send_message(second)
    worker = children.start(work, place)
    await client.store.send_message(third)

    heard = await asyncio.wait_for(handle.result(), LONG)

    assert heard == 3
    await client.close()
    worker.hear()
    worker.tell("stop")
    worker.join()
    dump = read_tables(place.database)
    assert check(dump, read_acks(place.folder)) == []
    assert dump.inbox == ()
