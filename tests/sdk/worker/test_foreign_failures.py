"""What others cause costs a run nothing: no replay for a failed commit, no time for a busy owner's end."""

import asyncio
import random
from datetime import timedelta

import pytest

from perdure import activity, workflow
from perdure.client import Client, WorkflowFailureError
from perdure.worker import Worker
from perdure_history.audit import verify_run
from perdure_history.errors import StoreUnavailableError
from perdure_history.records import RunStatus
from perdure_replayer.turn import LiveRun
from tests.sdk.worker.conftest import MakeWorker

LIMIT = 30.0
RUNS, STEPS = 5, 50


@activity.defn
async def step(number: int) -> int:
    return number


@workflow.defn
async def some_steps() -> int:
    return sum([await step(number) for number in range(STEPS)])


@workflow.defn
async def endless_steps() -> None:
    number = 0
    while True:
        await step(number)
        number += 1


@pytest.mark.parametrize("landed", [False, True], ids=["refused", "answer lost"])
async def test_commits_that_fail_for_foreign_reasons_cost_no_replay(
    client: Client, monkeypatch, landed: bool
):
    """A fifth of the groups fail, before they land or after: the same bytes are sent again until answered."""
    dice, failures, replays = random.Random(5), [], []
    commit_turns, replay = client.store.commit_turns, LiveRun.replay

    async def failing(incarnation, batch):
        fails = dice.random() < 0.2
        verdicts = None if fails and not landed else await commit_turns(incarnation, batch)
        if fails:
            failures.append(len(batch))
            raise StoreUnavailableError("test://", "planted")
        return verdicts

    def counted(run, *args, **kwargs):
        replays.append(run)
        return replay(run, *args, **kwargs)

    monkeypatch.setattr(client.store, "commit_turns", failing)
    monkeypatch.setattr(LiveRun, "replay", counted)
    async with Worker(client, workflows=[some_steps], lease=timedelta(minutes=1)):
        results = await asyncio.wait_for(
            asyncio.gather(*(client.execute_workflow(some_steps, id=f"r{n}") for n in range(RUNS))), LIMIT
        )

    assert results == [sum(range(STEPS))] * RUNS
    assert len(failures) >= 5
    assert replays == []
    for n in range(RUNS):
        run = await client.store.find_run(client.namespace, f"r{n}")
        assert (await verify_run(client.store, run)).defects == ()


async def test_a_run_that_steps_as_fast_as_it_can_is_terminated(client: Client, worker: MakeWorker):
    """Whoever commits, the end is the last event, and the owner lets go of the run."""
    async with worker(workflows=[endless_steps]):
        for number in range(5):
            handle = await client.start_workflow(endless_steps, id=f"e{number}")
            async with asyncio.timeout(LIMIT):
                while len(await _rows(client, handle.id)) < 5 + 20 * number:
                    await asyncio.sleep(0)
            await asyncio.wait_for(handle.terminate("enough"), LIMIT)
            with pytest.raises(WorkflowFailureError):
                await asyncio.wait_for(handle.result(), LIMIT)
            at_the_end = await _rows(client, handle.id)
            assert at_the_end[-1].type == "WorkflowExecutionTerminated"

        after = [await _rows(client, f"e{number}") for number in range(5)]

    for number, rows in enumerate(after):
        run = await client.store.find_run(client.namespace, f"e{number}")
        assert (run.status, run.owner, run.wake_at) == (RunStatus.TERMINATED, None, None)
        assert await _rows(client, f"e{number}") == rows
        assert (await verify_run(client.store, run)).defects == ()


async def _rows(client: Client, workflow_id: str):
    run = await client.store.find_run(client.namespace, workflow_id)
    return await client.store.read_history(run.run_id)
