"""Who waits for a run hears of its end at once, whoever ends it, and asks the store only when it must."""

import asyncio

import pytest

from perdure import activity, workflow
from perdure.client import Client, WorkflowFailureError, _waiting
from perdure.exceptions import TerminatedError
from tests.sdk.worker.conftest import MakeWorker

AT_ONCE = 2.0
"""Seconds; well below the interval at which a client looks although it heard nothing."""


@activity.defn
async def double(number: int) -> int:
    return 2 * number


@workflow.defn
async def doubles(number: int) -> int:
    return await double(number)


@workflow.defn
async def sleeps_long() -> None:
    await workflow.sleep(1000)


async def test_who_waits_already_hears_of_a_termination_at_once(client: Client, worker: MakeWorker):
    async with worker(workflows=[sleeps_long]):
        handle = await client.start_workflow(sleeps_long, id="nap")
        waiter = asyncio.ensure_future(handle.result())
        await asyncio.sleep(0)

        await handle.terminate(reason="enough")
        with pytest.raises(WorkflowFailureError) as caught:
            await asyncio.wait_for(waiter, AT_ONCE)

    assert isinstance(caught.value.cause, TerminatedError)


async def test_who_asks_right_after_a_termination_hears_at_once(client: Client, worker: MakeWorker):
    async with worker(workflows=[sleeps_long]):
        handle = await client.start_workflow(sleeps_long, id="nap")

        await handle.terminate(reason="enough")
        with pytest.raises(WorkflowFailureError):
            await asyncio.wait_for(handle.result(), AT_ONCE)


async def test_results_of_runs_one_after_the_other_and_of_ended_ones(client: Client, worker: MakeWorker):
    async with worker(workflows=[doubles]):
        results = [await client.execute_workflow(doubles, number, id=f"run-{number}") for number in range(5)]
        again = await asyncio.wait_for(client.get_workflow_handle("run-3").result(), AT_ONCE)

    assert results == [0, 2, 4, 6, 8]
    assert again == 6


async def test_a_run_that_ends_here_soon_is_not_looked_up_in_the_store(
    client: Client, worker: MakeWorker, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(_waiting, "HANDOVER_SECONDS", 60)
    asked: list[str] = []
    last_event = client.store.last_event

    async def counted(run_id):
        asked.append(run_id)
        return await last_event(run_id)

    monkeypatch.setattr(client.store, "last_event", counted)
    async with worker(workflows=[doubles], max_cached_workflows=1000):
        result = await client.execute_workflow(doubles, 21, id="short")

    assert result == 42
    assert asked == []
