"""Turns that fail, and what must not happen meanwhile: nothing is done twice, lost, or shown wrongly."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from perdure import activity, workflow
from perdure.client import Client
from perdure.worker import Worker
from perdure_history.audit import verify_run

SOON = 20
broken: dict[str, Exception | None] = {"with": None}
made: list[str] = []


@activity.defn
async def note(name: str) -> str:
    made.append(name)
    return name


@workflow.defn
class Fragile:
    def __init__(self) -> None:
        self.names: list[str] = []

    @workflow.run
    async def run(self) -> list[str]:
        first = await note("first")
        if broken["with"] is not None:
            raise broken["with"]
        await workflow.wait_condition(lambda: len(self.names) == 3)
        return [first, *self.names]

    @workflow.signal
    async def add(self, name: str) -> None:
        self.names.append(await note(name))


@workflow.defn
async def plain() -> str:
    return await note("plain")


@pytest.fixture
async def client() -> AsyncIterator[Client]:
    made.clear()
    async with await Client.connect("memory://") as client:
        yield client


@pytest.mark.parametrize(
    "error",
    [RuntimeError("x" * 5_000_000), ValueError("caf\udce9.txt"), ValueError("nul\0"), RuntimeError("plain")],
    ids=["huge", "surrogate", "nul", "plain"],
)
async def test_whatever_code_raises_keeps_results_and_costs_other_runs_nothing(
    client: Client, error: Exception
):
    broken["with"] = error
    async with Worker(client, workflows=[Fragile, plain]):
        handle = await client.start_workflow(Fragile.run, id="fragile")
        async with asyncio.timeout(SOON):
            while (problem := (await handle.describe()).problem) is None:
                await asyncio.sleep(0.01)
        assert await asyncio.wait_for(client.execute_workflow(plain, id="plain"), SOON) == "plain"
        broken["with"] = None
        for name in ("a", "b", "c"):
            await handle.signal(Fragile.add, name)

        assert await asyncio.wait_for(handle.result(), SOON) == ["first", "a", "b", "c"]
    assert made == ["first", "plain", "a", "b", "c"]
    assert problem.kind == type(error).__name__


async def test_a_retry_that_comes_late_leaves_a_run_alone_that_goes_on(client: Client):
    broken["with"] = RuntimeError("for a moment")
    async with Worker(client, workflows=[Fragile]):
        handle = await client.start_workflow(Fragile.run, id="fragile")
        async with asyncio.timeout(SOON):
            while (await handle.describe()).problem is None:
                await asyncio.sleep(0.01)
        broken["with"] = None
        await handle.signal(Fragile.add, "a")
        # The retry was planned a second after the failure, and finds a run that goes on.
        await asyncio.sleep(1.2)
        for name in ("b", "c"):
            await handle.signal(Fragile.add, name)

        assert await asyncio.wait_for(handle.result(), SOON) == ["first", "a", "b", "c"]
    run = await client.store.find_run(client.namespace, "fragile")
    assert (await verify_run(client.store, run)).defects == ()
