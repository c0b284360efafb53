"""What a death costs: a run that kills is set aside, a lost attempt counts, a retry goes on where it was."""

import asyncio
import json
import os
import signal

import pytest

from perdure.client import WorkflowFailureError
from perdure_history.records import RunFilter, RunStatus
from tests.checker import check
from tests.end_to_end import flows
from tests.end_to_end.acks import AckLog, read_acks
from tests.end_to_end.connecting import connect
from tests.end_to_end.processes import LONG, Nursery
from tests.end_to_end.programs import Place, WorkerPlan, make_worker, start_once, work
from tests.end_to_end.tables import read_tables
from tests.end_to_end.waiting import until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]


def traces(place: Place, word: str) -> list[dict]:
    """Which attempts of the activity with this word ran, by their own testimony."""
    if not place.effects.exists():
        return []
    lines = [json.loads(line) for line in place.effects.read_text().splitlines()]
    return [line for line in lines if line["word"] == word]


async def test_a_run_that_kills_its_worker_is_set_aside_and_the_others_finish(
    children: Nursery, place, figure
):
    """A poison run among healthy ones (C7): a handful of deaths, then it rests and everything else goes on."""
    client = await connect(place.database)
    log = AckLog(place.folder / "test.acks")
    healthy = [await start_once(client, log, flows.chain, 3, workflow_id=f"healthy-{n}") for n in range(10)]
    await start_once(client, log, flows.poison, workflow_id="poison")
    healthy += [
        await start_once(client, log, flows.chain, 3, workflow_id=f"healthy-{n}") for n in range(10, 20)
    ]
    worker = Supervised(children, place)

    await until(worker.survives_with_poison_resting, client)
    results = [await asyncio.wait_for(handle.result(), LONG) for handle in healthy]

    figure(f"poison run: set aside after {worker.deaths} deaths, {len(results)} healthy runs finished")
    assert results == [3] * 20
    assert 5 <= worker.deaths <= 8
    later = await start_once(client, log, flows.chain, 3, workflow_id="later")
    assert await asyncio.wait_for(later.result(), LONG) == 3
    await client.close()
    worker.stop()
    assert check(read_tables(place.database), read_acks(place.folder)) == []


class Supervised:
    """A worker that is started again whenever it has died."""

    def __init__(self, children: Nursery, place: Place) -> None:
        self.deaths = 0
        self._children = children
        self._place = place
        self._worker = children.start(work, place)

    async def survives_with_poison_resting(self, client) -> bool:
        """Whether the poison run was given up for a while and the worker lives."""
        if not self._worker.alive:
            assert self._worker.join() == 66
            self.deaths += 1
            assert self.deaths < 12, "it is tried again and again"
            self._worker = self._children.start(work, self._place)
            return False
        run = await client.store.find_run(client.namespace, "poison")
        assert run.status is RunStatus.RUNNING
        return run.owner is None and run.wake_at is not None and run.wake_at > client.store.now()

    def stop(self) -> None:
        assert self._worker.hear() == "ready"
        self._worker.tell("stop")
        self._worker.join()


async def test_an_attempt_that_may_have_run_is_not_repeated_when_one_is_all_there_are(
    children: Nursery, place
):
    """SIGKILL in attempt 1 of 1 (E2): the activity fails as lost; it never runs a second time."""
    worker = children.start(work, place)
    client = await connect(place.database)
    log = AckLog(place.folder / "test.acks")
    handle = await start_once(client, log, flows.only_once, workflow_id="once")
    await until(traces, place, "only once")
    worker.kill()
    worker = children.start(work, place)

    with pytest.raises(WorkflowFailureError) as caught:
        await asyncio.wait_for(handle.result(), LONG)

    assert len(traces(place, "only once")) == 1
    assert "lost" in str(caught.value.cause.cause)
    await client.close()
    worker.hear()
    worker.tell("stop")
    worker.join()
    assert check(read_tables(place.database), read_acks(place.folder)) == []


async def test_attempt_count_and_backoff_survive_a_kill(children: Nursery, place):
    """Killed while it rests between two attempts (E3): the next has the next number, and comes no earlier."""
    worker = children.start(work, place)
    client = await connect(place.database)
    log = AckLog(place.folder / "test.acks")
    handle = await start_once(client, log, flows.stubborn_flow, workflow_id="stubborn")
    run = await client.store.find_run(client.namespace, "stubborn")
    third = await until(recorded_attempt, client, run.run_id, 3)
    worker.kill()
    worker = children.start(work, place)

    assert await asyncio.wait_for(handle.result(), LONG) == 4

    assert [line["attempt"] for line in traces(place, "stubborn")] == [1, 2, 3, 4]
    await client.close()
    worker.hear()
    worker.tell("stop")
    worker.join()
    dump = read_tables(place.database)
    assert check(dump, read_acks(place.folder)) == []
    completed = [row for row in dump.history[run.run_id] if row.type == "ActivityTaskCompleted"]
    assert completed[0].recorded_at >= json.loads(third.attributes)["next_attempt_at"]


async def recorded_attempt(client, run_id: str, number: int):
    for row in await client.store.read_history(run_id):
        if row.type == "ActivityTaskAttemptFailed" and json.loads(row.attributes)["attempt"] == number:
            return row
    return None


async def test_a_forked_child_that_lives_on_does_not_keep_its_dead_worker_alive(children: Nursery, place):
    """A process forked by an activity inherits every descriptor, and must not inherit the worker's life (C5)."""
    first = children.start(work, place, WorkerPlan(lease_seconds=60))
    client = await connect(place.database)
    log = AckLog(place.folder / "test.acks")
    handle = await start_once(client, log, flows.forking_flow, workflow_id="forking")
    forked = (await until(traces, place, "forked"))[0]["child"]
    try:
        first.kill()
        second = children.start(work, place, WorkerPlan(lease_seconds=60))

        assert await asyncio.wait_for(handle.result(), 30) == "second attempt"

        os.kill(forked, 0)  # it lived all the time
    finally:
        os.kill(forked, signal.SIGKILL)
    await client.close()
    second.hear()
    second.tell("stop")
    second.join()
    assert check(read_tables(place.database), read_acks(place.folder)) == []


async def test_two_workers_in_one_process_share_the_work_and_the_file(place):
    """Neither mistakes the other for dead, although a lock probe by its own process always succeeds (C5)."""
    client = await connect(place.database)
    log = AckLog(place.folder / "test.acks")
    async with make_worker(client), make_worker(client):
        handles = [
            await start_once(client, log, flows.slow_chain, 8, workflow_id=f"chain-{n}") for n in range(20)
        ]
        results = await asyncio.wait_for(asyncio.gather(*(handle.result() for handle in handles)), LONG)
        buried = await client.store.list_workers(state="dead")

    assert results == [8] * 20
    assert buried == []
    assert await client.store.count_runs(RunFilter(namespace=client.namespace)) == {"completed": 20}
    await client.close()
    assert check(read_tables(place.database), read_acks(place.folder)) == []
    assert len(traces(place, "0")) in (0, 20)
