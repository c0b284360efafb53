"""A workflow that waits in every common way, beside a task whose commands show in which pass each wait ended.

`python -m tests.recorded_histories.waiting_flow` writes its history: the one in the tree was written on Python
3.11, and is written again only when the workflow itself changes.
"""

import asyncio
from pathlib import Path
from typing import Any

import msgspec

from perdure import _guarded
from perdure_history.codec import decode_event, encode_event
from perdure_replayer.turn import HistoryEvent
from tests.replayer.driver import Driver, activity, function_workflow

RECORDED = Path(__file__).with_name("waiting_3_11.json")


async def step(name: str) -> Any:
    """An activity that gives its name back."""
    return await activity(name, name)


async def with_wait_for(gate: "asyncio.Future[Any]") -> None:
    """An awaitable, a coroutine and a timeout."""
    await asyncio.wait_for(asyncio.shield(gate), 60)
    await asyncio.wait_for(step("wait_for"), 60)
    try:
        await asyncio.wait_for(asyncio.sleep(100), 3)
    except TimeoutError:
        activity("wait_for expired")


async def with_timeout(gate: "asyncio.Future[Any]") -> None:
    """One that holds, and one that expires with the sleep inside it."""
    async with asyncio.timeout(60):
        await asyncio.shield(gate)
        await step("timeout")
    try:
        async with asyncio.timeout(3):
            await asyncio.sleep(100)
    except TimeoutError:
        activity("timeout expired")


async def with_gather(gate: "asyncio.Future[Any]") -> None:
    """Coroutines, and then tasks that are done already."""
    await asyncio.shield(gate)
    tasks = [asyncio.create_task(step(name)) for name in ("gather 1", "gather 2")]
    await asyncio.gather(*tasks, asyncio.sleep(1))
    others = asyncio.create_task(ticks(gate))
    await asyncio.gather(*tasks)
    activity("gathered")
    await others


async def with_task_group(gate: "asyncio.Future[Any]") -> None:
    """A producer and a consumer that wait for each other."""
    queue: asyncio.Queue[int] = asyncio.Queue(1)

    async def produce() -> None:
        await asyncio.shield(gate)
        for number in range(3):
            await asyncio.wait_for(queue.put(number), 5)
        activity("produced")

    async def consume() -> None:
        for _ in range(3):
            activity(f"consumed {await asyncio.wait_for(queue.get(), 60)}")

    async with asyncio.TaskGroup() as group:
        group.create_task(produce())
        group.create_task(consume())
    activity("group")


async def with_as_completed(gate: "asyncio.Future[Any]") -> None:
    """A timer that starts before the first activity."""
    await asyncio.shield(gate)
    found = asyncio.as_completed([step("completed 1"), step("completed 2")], timeout=60)
    activity("as_completed")
    for one in found:
        activity(f"got {await one}")


async def ticks(gate: "asyncio.Future[Any]") -> None:
    """One command in each pass of the loop."""
    await asyncio.shield(gate)
    for number in range(12):
        activity(f"tick {number}")
        await asyncio.sleep(0)


async def waiting() -> None:
    """All of them at once."""
    gate = activity("gate")
    flows = (ticks, with_wait_for, with_timeout, with_gather, with_task_group, with_as_completed)
    await asyncio.gather(*(flow(gate) for flow in flows))


DEFINITION = function_workflow(waiting)


def written() -> list[HistoryEvent]:
    """The history that this Python writes."""
    _guarded.install_guards()
    try:
        driver = Driver(DEFINITION)
        driver.drive()
    finally:
        _guarded.uninstall_guards()
    return driver.history


def recorded() -> list[HistoryEvent]:
    """The history in the tree."""
    rows = msgspec.json.decode(RECORDED.read_bytes())
    return [
        HistoryEvent(
            row["seq"], row["turn"], row["at"], decode_event(row["type"], msgspec.json.encode(row["event"]))
        )
        for row in rows
    ]


def _record() -> None:
    lines = [
        msgspec.json.encode(
            {
                "seq": row.seq,
                "turn": row.turn,
                "at": row.recorded_at,
                "type": type(row.event).__name__,
                "event": msgspec.Raw(encode_event(row.event)),
            }
        ).decode()
        for row in written()
    ]
    RECORDED.write_text("[\n" + ",\n".join(lines) + "\n]\n")


if __name__ == "__main__":
    _record()
