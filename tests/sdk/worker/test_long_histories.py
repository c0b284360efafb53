"""Runs longer than one page of history, loaded by a second worker."""

import asyncio
import sqlite3
from pathlib import Path

from perdure import activity, workflow
from perdure.client import Client
from perdure.worker import Worker
from perdure.worker._loading import PAGE

STEPS = PAGE + 10
SOON = 60


@activity.defn
async def step(n: int) -> int:
    return n


@workflow.defn
class Long:
    def __init__(self) -> None:
        self.released = False

    @workflow.run
    async def run(self, steps: int) -> int:
        done = 0
        for n in range(steps):
            await step(n)
            done += 1
        await workflow.wait_condition(lambda: self.released)
        return done

    @workflow.signal
    def release(self) -> None:
        self.released = True

    @workflow.query
    def is_waiting(self) -> bool:
        return not self.released


async def test_a_run_of_several_pages_is_loaded_and_goes_on(tmp_path: Path):
    async with await Client.connect(f"sqlite:///{tmp_path}/runs.db", workflows=[Long]) as client:
        async with Worker(client, workflows=[Long]):
            handle = await client.start_workflow(Long.run, STEPS, id="long")
            async with asyncio.timeout(SOON):
                while len(await client.store.read_history(handle.result_run_id)) < 2 * STEPS + 1:
                    await asyncio.sleep(0.05)
        assert await handle.query(Long.is_waiting), "replayed here, without a worker"

        async with Worker(client, workflows=[Long]):
            await handle.signal(Long.release)
            assert await asyncio.wait_for(handle.result(), SOON) == STEPS


async def test_a_corrupt_early_page_sets_the_run_aside_once(tmp_path: Path):
    path = tmp_path / "runs.db"
    async with await Client.connect(str(path)) as client:
        async with Worker(client, workflows=[Long]):
            handle = await client.start_workflow(Long.run, STEPS, id="long")
            async with asyncio.timeout(SOON):
                while len(await client.store.read_history(handle.result_run_id)) < 2 * STEPS + 1:
                    await asyncio.sleep(0.05)
        before = len((await handle.fetch_history()).events)
        damage(path)

        async with Worker(client, workflows=[Long]):
            await handle.signal(Long.release)
            async with asyncio.timeout(SOON):
                while (problem := (await handle.describe()).problem) is None:
                    await asyncio.sleep(0.01)

        assert problem.kind == "CorruptHistoryError"
        assert "event 3" in problem.message
        assert problem.attempts == 1
        assert len((await handle.fetch_history()).events) == before


def damage(path: Path) -> None:
    """Change one event behind the back of the triggers, as an administrator could."""
    connection = sqlite3.connect(path)
    triggers = connection.execute("SELECT name, sql FROM sqlite_master WHERE type = 'trigger'").fetchall()
    for name, _ in triggers:
        connection.execute(f"DROP TRIGGER {name}")
    connection.execute("UPDATE perdure_history SET actor = 'someone else' WHERE seq = 3")
    for _, sql in triggers:
        connection.execute(sql)
    connection.commit()
    connection.close()
