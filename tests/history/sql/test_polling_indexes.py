"""What workers poll for stands in partial indexes; what can never be due must not."""

import sqlite3
from contextlib import closing

import pytest

from perdure_history.records import IdConflictPolicy, RunStatus
from tests.conformance.scene import terminate_request

SECOND = 1_000_000
POLLED = {"perdure_runs_due": "wake_at", "perdure_runs_owner": "owner", "perdure_runs_problem": "problem"}


def rows_of(path, query):
    with closing(sqlite3.connect(path)) as reader:
        return reader.execute(query).fetchall()


def indexed(path):
    """The runs in each index that is polled."""
    return {
        index: {
            run_id
            for (run_id,) in rows_of(
                path, f"SELECT run_id FROM perdure_runs INDEXED BY {index} WHERE {column} IS NOT NULL"
            )
        }
        for index, column in POLLED.items()
    }


@pytest.mark.parametrize("problem", [None, '{"kind":"X"}'])
async def test_closed_runs_are_in_no_polling_index(scene, path, problem):
    """However they ended, and whatever was the matter with them before."""
    await scene.worker("w1")
    if problem is not None:
        stuck = [await scene.start_owned(f"stuck-{n}") for n in range(2)]
        for run in stuck:
            await scene.release(run, wake_at=scene.clock() + 100 * SECOND, problem=problem)
        await scene.store.terminate_run(terminate_request("stuck-0"))
        await scene.start("stuck-1", id_conflict_policy=IdConflictPolicy.TERMINATE_EXISTING)
        await scene.store.terminate_run(terminate_request("stuck-1", request_id="kill-2"))
    await scene.close(await scene.start_owned("completed"))
    await scene.close(await scene.start_owned("failed"), status=RunStatus.FAILED)
    await scene.start("never-begun")
    await scene.store.terminate_run(terminate_request("never-begun", request_id="kill-3"))
    await scene.start_owned("held")
    await scene.store.terminate_run(terminate_request("held", request_id="kill-4"))

    closed = {
        run_id for (run_id,) in rows_of(path, "SELECT run_id FROM perdure_runs WHERE status <> 'running'")
    }

    assert len(closed) == (4 if problem is None else 7)
    assert rows_of(path, "SELECT count(*) FROM perdure_runs WHERE open_id IS NOT NULL") == [(0,)]
    assert {name: runs & closed for name, runs in indexed(path).items()} == {name: set() for name in POLLED}


async def test_a_run_that_is_set_aside_is_not_polled_for_before_its_next_try(scene, path):
    """It has no owner, and one place among what is due: at the end of its rest."""
    await scene.worker("w1")
    run = await scene.start_owned()
    rest = scene.clock() + 60 * SECOND
    await scene.release(run, wake_at=rest, problem='{"kind":"X"}')

    assert await scene.claim("w1") == []
    assert await scene.next_wake() == rest
    assert indexed(path)["perdure_runs_owner"] == set()


async def test_a_run_that_waits_for_a_message_only_is_in_no_polling_index(scene, path):
    await scene.worker("w1")
    await scene.release(await scene.start_owned(), wake_at=None)

    assert indexed(path) == {name: set() for name in POLLED}
