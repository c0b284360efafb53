"""A run with a running activity stays with its worker, however full that is: its attempt must not be doubled."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from perdure import activity, workflow
from perdure.client import Client
from perdure.worker import Worker

LIMIT = 20.0
OTHERS = 8
attempts: list[int] = []
may_end = asyncio.Event()


@activity.defn
async def takes_long() -> int:
    attempts.append(activity.info().attempt)
    await may_end.wait()
    return len(attempts)


@activity.defn
async def is_quick() -> None:
    pass


@workflow.defn
async def holds_on() -> int:
    return await takes_long()


@workflow.defn
async def quick() -> None:
    await is_quick()
    await workflow.sleep(0.01)
    await is_quick()


@pytest.fixture(autouse=True)
async def nothing_made() -> AsyncIterator[None]:
    global may_end
    attempts.clear()
    may_end = asyncio.Event()
    yield
    may_end.set()


@pytest.mark.parametrize("cached", [0, 1, 1000])
async def test_a_run_with_a_running_activity_is_not_let_go(client: Client, cached: int):
    """Others come and go through a full worker; the attempt is made once, under one owner."""
    async with Worker(
        client,
        workflows=[holds_on, quick],
        max_cached_workflows=cached,
        max_concurrent_workflow_tasks=2,
    ):
        handle = await client.start_workflow(holds_on, id="long")
        async with asyncio.timeout(LIMIT):
            while not attempts:
                await asyncio.sleep(0.005)
        before = await client.store.find_run(client.namespace, "long")
        others = [await client.start_workflow(quick, id=f"q{number}") for number in range(OTHERS)]
        await asyncio.wait_for(asyncio.gather(*(one.result() for one in others)), LIMIT)
        after = await client.store.find_run(client.namespace, "long")
        may_end.set()
        result = await asyncio.wait_for(handle.result(), LIMIT)

    assert before.owner is not None
    assert (after.owner, after.epoch) == (before.owner, before.epoch)
    assert (attempts, result) == ([1], 1)
