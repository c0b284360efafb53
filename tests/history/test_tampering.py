"""Someone with a database shell: the file refuses what it can, and `verify` finds the rest."""

import sqlite3
from contextlib import closing

import pytest

from perdure_history.audit import verify_all
from perdure_history.records import RunFilter
from perdure_history.sql import open_sqlite
from tests.conformance.scene import NAMESPACE, Scene, completed, scheduled
from tests.conformance.stores import ManualClock

WRITES = [
    "UPDATE perdure_history SET attributes = '{}' WHERE run_id = :run AND seq = 2",
    "UPDATE perdure_history SET actor = 'somebody else' WHERE run_id = :run AND seq = 3",
    "UPDATE perdure_history SET recorded_at = recorded_at - 1 WHERE run_id = :run AND seq = 4",
    "UPDATE perdure_history SET turn = 2 WHERE run_id = :run AND seq = 2",
    "DELETE FROM perdure_history WHERE run_id = :run AND seq = 3",
    "DELETE FROM perdure_history WHERE run_id = :run AND seq = 4",
    "DELETE FROM perdure_history WHERE run_id = :run",
    (
        "INSERT OR REPLACE INTO perdure_history (run_id, seq, turn, type, recorded_at, actor, attributes, hash) "
        "SELECT run_id, seq, turn, type, recorded_at, 'x', attributes, hash FROM perdure_history "
        "WHERE run_id = :run AND seq = 2"
    ),
]


@pytest.fixture
async def written(tmp_path):
    """A file with three closed runs; its path and the run that is to be changed."""
    clock, path = ManualClock(), tmp_path / "store.db"
    scene = Scene(await open_sqlite(path, clock=clock), clock)
    await scene.worker("w1")
    runs = [await scene.start_owned(f"order-{number}") for number in range(3)]
    for run in runs:
        await scene.commit("w1", await scene.member(run, scheduled()))
        await scene.commit("w1", await scene.member(run, completed(2), turn=2))
        await scene.close(run, turn=2)
    await scene.store.close()
    return path, runs[1]


async def defects_of(path):
    store = await open_sqlite(path)
    try:
        where = RunFilter(namespace=NAMESPACE)
        return {one.run.run_id: one.defects async for one in verify_all(store, where) if one.defects}
    finally:
        await store.close()


async def test_an_untouched_file_verifies(written):
    path, _ = written

    assert await defects_of(path) == {}


@pytest.mark.parametrize("sql", WRITES)
async def test_a_history_is_append_only_in_any_shell(written, sql):
    """F1: also by REPLACE, which fires no DELETE trigger."""
    path, run = written

    with closing(sqlite3.connect(path)) as shell, pytest.raises(sqlite3.DatabaseError):
        shell.execute(sql, {"run": run})

    assert await defects_of(path) == {}


@pytest.mark.parametrize("sql", WRITES)
async def test_a_change_behind_the_triggers_is_found_in_its_run_alone(written, sql):
    path, run = written
    with closing(sqlite3.connect(path)) as shell, shell:
        shell.execute("PRAGMA recursive_triggers = ON")
        triggers = shell.execute("SELECT name, sql FROM sqlite_master WHERE type = 'trigger'").fetchall()
        for name, _ in triggers:
            shell.execute(f'DROP TRIGGER "{name}"')
        shell.execute(sql, {"run": run})
        for _, text in triggers:
            shell.execute(text)

    found = await defects_of(path)

    assert list(found) == [run]


async def test_a_summary_that_was_changed_is_found(written):
    path, run = written
    with closing(sqlite3.connect(path)) as shell, shell:
        shell.execute("UPDATE perdure_runs SET status = 'failed' WHERE run_id = ?", (run,))

    assert list(await defects_of(path)) == [run]
