"""The database file itself: who may change it, what it refuses to be, what can be read from it."""

import os
import sqlite3
import stat
from contextlib import closing

import pytest

from perdure_history.errors import (
    ForeignDatabaseError,
    NewerSchemaError,
    StoreClosedError,
    StoreUnavailableError,
)
from perdure_history.memory import MemoryStore
from perdure_history.records import RunStatus
from perdure_history.sql import open_sqlite
from perdure_history.sql.doctor import examine_sqlite
from perdure_history.verification import verify_rows
from tests.conformance.scene import Scene, completed, member_on, scheduled, start_request


def connect(path):
    return closing(sqlite3.connect(path, isolation_level=None))


def names_in(folder):
    return sorted(child.name for child in folder.iterdir()) if folder.is_dir() else []


WAYS_TO_CHANGE_HISTORY = {
    "update": "UPDATE perdure_history SET attributes = '{}'",
    "delete": "DELETE FROM perdure_history",
    "replace": "INSERT OR REPLACE INTO perdure_history SELECT * FROM perdure_history",
    "replace another column": "REPLACE INTO perdure_history (run_id, seq, turn, type, recorded_at, actor, attributes,"
    " hash) SELECT run_id, seq, turn, type, recorded_at, 'me', attributes, hash FROM perdure_history",
    "upsert": "INSERT INTO perdure_history SELECT * FROM perdure_history WHERE true"
    " ON CONFLICT (run_id, seq) DO UPDATE SET actor = 'me'",
    "update or replace": "UPDATE OR REPLACE perdure_history SET seq = 1",
}


@pytest.mark.parametrize("way", WAYS_TO_CHANGE_HISTORY)
async def test_no_way_of_sql_changes_a_recorded_event(scene, path, way):
    """F1: each way past plain triggers is closed too."""
    run_id = (await scene.start()).run_id
    before = await scene.store.read_history(run_id)

    with connect(path) as rival, pytest.raises(sqlite3.IntegrityError, match="INSERT-only"):
        rival.execute(WAYS_TO_CHANGE_HISTORY[way])

    assert await scene.store.read_history(run_id) == before


async def test_only_the_retention_door_lets_a_whole_run_go(scene, path):
    """F3: a row in the door's table names the run that may be deleted; the others stay."""
    gone, kept = (await scene.start("order-1")).run_id, (await scene.start("order-2")).run_id

    with connect(path) as retention:
        retention.execute("INSERT INTO perdure_retention_door VALUES (?, 'operator', 'old', 1)", (gone,))
        retention.execute("DELETE FROM perdure_history WHERE run_id = ?", (gone,))
        with pytest.raises(sqlite3.IntegrityError):
            retention.execute("DELETE FROM perdure_history WHERE run_id = ?", (kept,))

    assert await scene.store.read_history(gone) == []
    assert len(await scene.store.read_history(kept)) == 1


async def test_a_history_written_on_one_store_verifies_on_another(scene, clock):
    """F4: the hash covers what the worker chose and nothing that a store adds, so the rows are equal."""
    memory = Scene(MemoryStore(clock=clock), clock)
    start = start_request(owner="w1")
    histories = []
    for stage in (scene, memory):
        await stage.worker("w1")
        await stage.store.start_run(start)
        first = member_on(start.run_id, start.first_event, scheduled())
        await stage.commit("w1", first)
        await stage.commit("w1", member_on(start.run_id, first.rows[-1], completed(2), turn=2))
        await stage.close(start.run_id, turn=2)
        histories.append(await stage.store.read_history(start.run_id))

    assert histories[0] == histories[1]
    assert verify_rows(start.run_id, histories[0]) == []


async def test_keys_compare_byte_for_byte(scene):
    """C8: case, accents and normal forms make different ids; a prefix is no pattern."""
    ids = ["a", "A", "á", "a\u0301", "b%", "b_", "bc", "😀", "x" * 512]

    starts = [await scene.start(workflow_id) for workflow_id in ids]

    assert all(start.created for start in starts)
    for workflow_id, start in zip(ids, starts, strict=True):
        found = await scene.store.find_run("default", workflow_id)
        assert (found.run_id, found.workflow_id) == (start.run_id, workflow_id)


async def test_the_audit_view_reads_like_a_diary(scene, path):
    """The view's columns are a contract: they stay."""
    await scene.worker("w1")
    run_id = await scene.start_owned()
    await scene.commit("w1", await scene.member(run_id, scheduled("charge")))
    await scene.commit("w1", await scene.member(run_id, completed(2), turn=2))

    with connect(path) as reader:
        cursor = reader.execute("SELECT * FROM perdure_audit WHERE workflow_id = 'order-1' ORDER BY seq")
        names = [column[0] for column in cursor.description]
        rows = [dict(zip(names, row, strict=True)) for row in cursor]

    assert names == [
        "recorded_at", "namespace", "workflow_id", "workflow_type", "run_id", "seq", "turn", "type", "actor",
        "reason", "activity_type", "scheduled_seq", "attempt", "signal_name", "failure", "attributes", "hash",
    ]  # fmt: skip
    assert rows[0]["recorded_at"] == "2023-11-14T22:13:20.000000Z"
    assert [row["type"] for row in rows] == [
        "WorkflowExecutionStarted", "ActivityTaskScheduled", "ActivityTaskCompleted",
    ]  # fmt: skip
    assert (rows[2]["activity_type"], rows[2]["attempt"], rows[2]["actor"]) == ("charge", 1, "w1")


async def test_files_are_their_owner_s_alone(scene, path, tmp_path):
    await scene.start()

    modes = {name: stat.S_IMODE((tmp_path / name).stat().st_mode) for name in names_in(tmp_path)}

    assert modes == {
        "store.db": 0o600,
        "store.db-wal": 0o600,
        "store.db-shm": 0o600,
        "store.db-perdure": 0o700,
    }


async def test_stores_of_a_process_share_one_committer_by_whatever_path(path, tmp_path):
    (tmp_path / "link.db").symlink_to(path)

    first = await open_sqlite(path)
    second = await open_sqlite(tmp_path / "link.db")

    assert first.url == second.url
    heard = []
    second.subscribe(heard.extend)
    run_id = (await first.start_run(start_request())).run_id
    assert [change.run_id for change in heard] == [run_id]
    await first.close()
    assert (await second.find_run("default", "order-1")).run_id == run_id
    await second.close()


async def test_a_closed_store_says_so(path):
    store = await open_sqlite(path)
    await store.close()
    await store.close()

    with pytest.raises(StoreClosedError):
        await store.start_run(start_request())
    with pytest.raises(StoreClosedError):
        await store.list_workers()


async def test_a_closed_file_has_no_log_left(path, tmp_path):
    store = await open_sqlite(path)
    await store.start_run(start_request())
    await store.find_run("default", "order-1")

    await store.close()

    assert names_in(tmp_path) == ["store.db", "store.db-perdure"]


async def refused(path, error):
    before = path.read_bytes() if path.is_file() else None
    siblings = names_in(path.parent)
    with pytest.raises(error) as told:
        await open_sqlite(path)
    assert (path.read_bytes() if path.is_file() else None) == before
    assert (names_in(path.parent)) == siblings
    assert str(path) in str(told.value)
    return str(told.value)


async def test_a_file_that_is_no_database_is_left_untouched(path):
    path.write_text("Dear diary, " * 200)

    await refused(path, ForeignDatabaseError)


async def test_half_of_our_tables_are_foreign(path):
    with connect(path) as other:
        other.execute("CREATE TABLE perdure_history (x)")

    assert "perdure_schema" in await refused(path, ForeignDatabaseError)


async def test_a_newer_schema_is_left_untouched(path):
    await (await open_sqlite(path)).close()
    with connect(path) as newer:
        newer.execute("INSERT INTO perdure_schema VALUES (99, 'later', 'x', 1, 1)")

    assert "99" in await refused(path, NewerSchemaError)


async def test_a_changed_step_of_the_schema_is_foreign(path):
    await (await open_sqlite(path)).close()
    with connect(path) as other:
        other.execute("UPDATE perdure_schema SET checksum = 'x'")

    await refused(path, ForeignDatabaseError)


async def test_a_user_s_own_tables_may_be_in_the_same_database(path):
    with connect(path) as other:
        other.execute("CREATE TABLE orders (id)")
        other.execute("INSERT INTO orders VALUES (7)")

    store = await open_sqlite(path)
    assert (await store.start_run(start_request())).created
    await store.close()

    with connect(path) as other:
        assert other.execute("SELECT id FROM orders").fetchall() == [(7,)]


async def test_a_missing_directory_is_named(tmp_path):
    assert "does not exist" in await refused(tmp_path / "none" / "store.db", StoreUnavailableError)


async def test_a_directory_is_no_database(path):
    path.mkdir()

    await refused(path, StoreUnavailableError)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
async def test_a_file_without_permission_is_named(path):
    path.touch(0o400)

    await refused(path, StoreUnavailableError)


async def test_the_doctor_says_what_holds(scene, path):
    await scene.worker("w1")
    await scene.start_owned()
    await scene.close((await scene.store.find_run("default", "order-1")).run_id)
    await scene.start("order-2")

    facts = {fact.name: fact for fact in examine_sqlite(str(path))}

    assert facts["SQLite"].value == sqlite3.sqlite_version
    assert facts["journal mode"].value == "wal"
    assert facts["INSERT-only history"].ok
    assert facts["runs"].value == f"1 {RunStatus.COMPLETED}, 1 {RunStatus.RUNNING}"
    assert "w1" in facts["live workers"].value
    assert [name for name, fact in facts.items() if not fact.ok and name != "file system"] == []


async def test_the_doctor_misses_a_dropped_guard(path):
    await (await open_sqlite(path)).close()
    with connect(path) as administrator:
        administrator.execute("DROP TRIGGER perdure_history_no_update")

    facts = {fact.name: fact for fact in examine_sqlite(str(path))}

    assert not facts["INSERT-only history"].ok
    assert "perdure_history_no_update" in facts["INSERT-only history"].value
