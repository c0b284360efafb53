"""Verifying what a store holds: the summary and the history of each run must say the same."""

import msgspec
import pytest

from perdure_history.audit import verify_all, verify_run
from perdure_history.records import RunFilter, RunStatus
from tests.conformance.scene import NAMESPACE, scheduled, signal_request, terminate_request

WHERE = RunFilter(namespace=NAMESPACE)


@pytest.mark.parametrize("page", [1, 2, 1000])
async def test_everything_that_was_written_verifies(scene, page):
    await scene.worker("w1")
    runs = [await scene.start_owned(f"order-{number}") for number in range(5)]
    for run in runs:
        await scene.commit("w1", await scene.member(run, scheduled(), scheduled()))
    await scene.close(runs[0])
    await scene.store.send_message(signal_request("order-1"))
    await scene.store.terminate_run(terminate_request("order-1"))

    found = [verified async for verified in verify_all(scene.store, WHERE, page=page)]

    assert [verified.run.run_id for verified in found] == sorted(runs, reverse=True)
    assert [verified.events for verified in found] == [3, 3, 3, 5, 4]
    assert [verified.defects for verified in found] == [()] * 5


async def test_a_summary_that_says_another_thing_than_the_history_is_found(scene):
    await scene.worker("w1")
    run_id = await scene.start_owned()
    open_run = await scene.run(run_id)
    await scene.commit("w1", await scene.member(run_id, scheduled()))

    cut = msgspec.structs.replace(open_run, status=RunStatus.COMPLETED, history_length=7)
    verified = await verify_run(scene.store, cut)

    assert len(verified.defects) == 2
    assert "tail is missing" in verified.defects[0].what
    assert "7 events" in verified.defects[1].what


async def test_a_run_that_closes_while_it_is_verified_is_fine(scene):
    await scene.worker("w1")
    run_id = await scene.start_owned()
    listed = await scene.run(run_id)
    await scene.close(run_id)

    verified = await verify_run(scene.store, listed)

    assert verified.defects == ()
    assert verified.run.status is RunStatus.COMPLETED
