"""A worker that is full, and one that is stopped."""

import asyncio
import threading

import pytest

from perdure import activity, workflow
from perdure.client import Client, WorkflowFailureError
from perdure.common import RetryPolicy
from perdure.exceptions import ActivityError, ApplicationError, InvalidOptionError
from perdure.worker import Worker
from tests.sdk.worker.conftest import MakeWorker

SOON = 20


@workflow.defn
async def sleeper() -> None:
    await workflow.sleep(3600)


@workflow.defn
async def quick() -> str:
    return "done"


running = threading.Event()
made: list[int] = []


@activity.defn
async def never_ends() -> None:
    made.append(activity.info().attempt)
    running.set()
    await asyncio.Event().wait()


@activity.defn
async def ends_at_second() -> int:
    made.append(activity.info().attempt)
    if len(made) == 1:
        running.set()
        await asyncio.Event().wait()
    return activity.info().attempt


@workflow.defn
async def only_once() -> str:
    try:
        await workflow.execute_activity(never_ends, retry_policy=RetryPolicy(maximum_attempts=1))
    except ActivityError as error:
        assert isinstance(error.cause, Exception)
        return str(error.cause)
    return "?"


@workflow.defn
async def again() -> int:
    return await ends_at_second()


@workflow.defn
async def elsewhere() -> None:
    await workflow.execute_activity(never_ends, task_queue="another")


@pytest.fixture(autouse=True)
def nothing_made() -> None:
    made.clear()
    running.clear()


async def test_runs_that_only_wait_make_room_for_those_that_are_due(client: Client):
    for n in range(10):
        await client.start_workflow(sleeper, id=f"sleeper-{n}")

    async with Worker(
        client, workflows=[sleeper, quick], max_cached_workflows=3, max_concurrent_workflow_tasks=3
    ):
        async with asyncio.timeout(SOON):
            while await unseen(client, 10):
                await asyncio.sleep(0.01)
        result = await asyncio.wait_for(client.execute_workflow(quick, id="quick"), SOON)

    assert result == "done"


async def unseen(client: Client, count: int) -> int:
    """Number of sleepers that have not had a turn yet."""
    histories = [await client.get_workflow_handle(f"sleeper-{n}").fetch_history() for n in range(count)]
    return sum(len(history.events) < 2 for history in histories)


async def test_an_attempt_that_a_stop_breaks_off_counts(client: Client, worker: MakeWorker):
    async with worker(workflows=[only_once]):
        handle = await client.start_workflow(only_once, id="once")
        assert await asyncio.to_thread(running.wait, SOON)

    async with worker(workflows=[only_once]):
        result = await asyncio.wait_for(handle.result(), SOON)

    assert "was stopped while attempt 1 was running" in result
    assert made == [1]


async def test_an_attempt_that_a_stop_breaks_off_is_made_again_at_once(client: Client, worker: MakeWorker):
    async with worker(workflows=[again]):
        handle = await client.start_workflow(again, id="again")
        assert await asyncio.to_thread(running.wait, SOON)

    async with worker(workflows=[again]):
        assert await asyncio.wait_for(handle.result(), SOON) == 2

    assert made == [1, 2]


async def test_an_activity_for_another_queue_is_refused_before_it_is_recorded(
    client: Client, worker: MakeWorker
):
    async with worker(workflows=[elsewhere]):
        handle = await client.start_workflow(elsewhere, id="elsewhere")
        with pytest.raises(WorkflowFailureError) as caught:
            await asyncio.wait_for(handle.result(), SOON)

    assert isinstance(caught.value.cause, ApplicationError)
    assert caught.value.cause.type == InvalidOptionError.__name__
    assert [entry.event_type for entry in (await handle.fetch_history()).events] == [
        "WorkflowExecutionStarted",
        "WorkflowExecutionFailed",
    ]
