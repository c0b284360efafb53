"""How many statements things cost, and that looking around costs none."""

import asyncio

import pytest

from perdure_history.records import Change, ChangeKind, Verdict
from perdure_history.sql import open_sqlite
from tests.conformance.scene import Scene, completed, scheduled


@pytest.mark.parametrize(("turns", "inserts"), [(1, 1), (64, 1), (100, 3), (200, 4)])
async def test_a_group_of_plain_steps_costs_one_transaction_of_few_statements(scene, faults, turns, inserts):
    """G1: BEGIN, fence, places, rows, COMMIT; many rows are cut into powers of two, 64 at most."""
    await scene.worker("w1")
    run_ids = [await scene.start_owned(f"order-{n}") for n in range(turns)]
    members = [await scene.member(run_id, scheduled()) for run_id in run_ids]
    faults.arm(None)

    verdicts = await scene.commit("w1", *members)

    points = faults.disarm()
    places = [point for point in points if point.startswith("places/")]
    assert verdicts == [Verdict.COMMITTED] * turns
    assert len(places) == 1
    assert points == ["begin", "fence", *places, *["insert history"] * inserts, "commit", "committed"]


async def test_turns_of_concurrent_calls_share_commits(scene, faults):
    """Group commit: what waits while a transaction is in flight goes together into the next one."""
    await scene.worker("w1")
    run_ids = [await scene.start_owned(f"order-{n}") for n in range(100)]
    members = [await scene.member(run_id, scheduled(), completed(2)) for run_id in run_ids]
    faults.arm(None)

    await asyncio.gather(*(scene.commit("w1", member) for member in members))

    assert faults.disarm().count("begin") <= 10


async def test_two_commits_for_one_run_in_one_group_keep_their_order(scene):
    await scene.worker("w1")
    run_id = await scene.start_owned()
    first = await scene.member(run_id, scheduled("a"))
    rival = await scene.member(run_id, scheduled("b"))

    answers = await asyncio.gather(scene.commit("w1", first), scene.commit("w1", rival))

    assert answers == [[Verdict.COMMITTED], [Verdict.STALE]]


async def test_an_idle_store_runs_no_statement(scene, faults):
    """G4: other processes' commits are noticed by a number that touches no table."""
    await scene.start()
    faults.arm(None)

    await asyncio.sleep(0.1)

    assert faults.disarm() == []


async def test_own_commits_are_not_foreign(scene):
    await scene.start()
    await scene.store.list_workers()

    await asyncio.sleep(0.06)

    assert [change.kind for change in scene.heard] == [ChangeKind.STARTED]


async def test_one_store_s_listener_ends_with_it(path, clock):
    first, second = await open_sqlite(path, clock=clock), await open_sqlite(path, clock=clock)
    heard: list[Change] = []
    first.subscribe(heard.extend)

    await first.close()

    await Scene(second, clock).start()
    assert heard == []
    await second.close()
