"""Several processes on one file: starting, dying, noticing each other, and the checkpoints between them."""

import asyncio
import os
import re
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from perdure_history.errors import StoreUnavailableError
from perdure_history.records import ChangeKind, WorkerRecord
from perdure_history.sql import open_sqlite
from perdure_history.sql.sidecar import WriterBusyError
from perdure_history.sql.sqlite import SqliteDialect
from perdure_history.sql.writer import Writer, soon
from perdure_history.verification import verify_rows
from tests.conformance.scene import Scene, start_request

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[3]
SECONDS = 60


@contextmanager
def child(verb, *arguments):
    """A child process that has said that it is ready; killed at the end."""
    environment = dict(os.environ) | {"PYTHONPATH": ":".join(str(ROOT / part) for part in ("history", "."))}
    process = subprocess.Popen(
        [sys.executable, "-W", "error", "-m", "tests.history.sql.child", verb, *map(str, arguments)],
        cwd=ROOT,
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate(timeout=SECONDS)


def hear(process, word):
    line = process.stdout.readline()
    assert line.startswith(word), line + process.stderr.read()
    return line.split()


def tell(process):
    process.stdin.write("go\n")
    process.stdin.flush()


def check_file(path):
    with closing(sqlite3.connect(path)) as reader:
        assert reader.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


def test_eight_processes_that_start_at_once_make_one_schema(path):
    """Migrations take turns; every process finds the whole schema."""
    with contextlib_stack(child("open_at_once", path) for _ in range(8)) as starters:
        for process in starters:
            hear(process, "ready")
        for process in starters:
            tell(process)
        for process in starters:
            hear(process, "done")
            assert process.wait(SECONDS) == 0

    with closing(sqlite3.connect(path)) as reader:
        assert reader.execute("SELECT version FROM perdure_schema").fetchall() == [(1,)]
        assert reader.execute("SELECT count(*) FROM perdure_runs").fetchone() == (8,)
    check_file(path)


@contextmanager
def contextlib_stack(managers):
    from contextlib import ExitStack

    with ExitStack() as stack:
        yield [stack.enter_context(manager) for manager in managers]


async def test_a_kill_at_any_commit_point_keeps_all_of_a_turn_or_nothing(tmp_path):
    """Law 2 on the smallest scale: SIGKILL at each point of the commit of one turn."""
    seen = []
    for nth in range(1, 30):
        path = tmp_path / f"{nth}.db"
        with child("die_at", path, nth) as process:
            hear(process, "ready")
            line = process.stdout.readline()
            process.wait(SECONDS)
        store = await open_sqlite(path)
        try:
            run = await store.find_run("default", "order-1")
            rows = await store.read_history(run.run_id)
            with closing(sqlite3.connect(path)) as reader:
                waiting = reader.execute("SELECT count(*) FROM perdure_inbox").fetchone()[0]
            state = (run.status.value, len(rows), waiting)
            assert state in {("running", 1, 1), ("completed", 3, 0)}
        finally:
            await store.close()
        check_file(path)
        if line.startswith("acked"):
            assert state == ("completed", 3, 0)
            break
        point = line.split(maxsplit=1)[1].strip()
        seen.append(point)
        if point == "committed":
            assert state == ("completed", 3, 0)
        else:
            assert state == ("running", 1, 1)
    assert seen[0] == "begin"
    assert seen[-1] == "committed"
    assert len(seen) >= 9


async def test_a_signal_from_another_process_is_noticed_within_fifty_milliseconds(path, clock, figure):
    """G4: without a statement on any table."""
    store = await open_sqlite(path, clock=clock)
    scene = Scene(store, clock)
    await scene.worker("w1")
    await scene.start_owned()
    heard = asyncio.Event()
    loop = asyncio.get_running_loop()

    def listen(changes):
        if any(change.kind is ChangeKind.FOREIGN for change in changes):
            loop.call_soon_threadsafe(heard.set)

    with child("send", path, "order-1") as sender:
        hear(sender, "ready")
        store.subscribe(listen)
        await asyncio.sleep(0.1)
        heard.clear()
        tell(sender)
        await asyncio.to_thread(hear, sender, "sent")
        began = time.perf_counter()
        await asyncio.wait_for(heard.wait(), 5)
        late = time.perf_counter() - began
        figure(f"a foreign commit was heard {late * 1000:.1f} ms after its sender's return")

    assert len(await store.read_inbox("w1")) == 1
    await store.close()


async def workers_of(store):
    return {worker.incarnation: worker for worker in await store.list_workers()}


async def test_a_killed_worker_is_proven_dead_at_once_and_a_living_one_never(path):
    """C5: the kernel frees the lock with the process; then its run is free without a lease's wait."""
    store = await open_sqlite(path)
    with child("work", path, "doomed") as doomed, child("work_with_a_forked_child", path, "living") as living:
        hear(doomed, "ready")
        _, _, forked = hear(living, "ready")
        records = list((await workers_of(store)).values())
        assert await store.proven_dead(records) == []

        doomed.kill()
        doomed.wait(SECONDS)

        assert await store.proven_dead(records) == ["doomed"]
        assert await store.bury_worker("doomed", beat=0) == 1
        living.kill()
        living.wait(SECONDS)
        assert "living" in await store.proven_dead(records), "its forked child is alive, and no worker"
        os.kill(int(forked), signal.SIGKILL)
    await store.close()


async def test_workers_of_one_process_never_prove_each_other_dead(path):
    """C5: a process's own locks never refuse it, so it does not try them; and a try would drop them."""
    store, other = await open_sqlite(path), await open_sqlite(path)
    records = []
    for number, keeper in enumerate((store, other)):
        held = await keeper.hold_lock(f"w{number}")
        records.append(
            WorkerRecord(
                incarnation=f"w{number}",
                identity="me",
                task_queues="q",
                started_at=1,
                lock_file=held.path,
                lock_inode=held.inode,
                boot_id=held.boot_id,
            )
        )

    assert await store.proven_dead(records) == await other.proven_dead(records) == []

    script = (
        "import fcntl, sys; f = open(sys.argv[1], 'r+')\n"
        "try: fcntl.lockf(f, fcntl.LOCK_EX | fcntl.LOCK_NB); print('free')\n"
        "except OSError: print('locked')"
    )
    for record in records:
        asked = await asyncio.to_thread(
            subprocess.run,
            [sys.executable, "-c", script, record.lock_file],
            capture_output=True,
            text=True,
            check=True,
        )
        assert asked.stdout.strip() == "locked"
    await store.close()
    await other.close()


async def test_what_proves_nothing(path):
    """C5: a missing file, another file at its place, a row without a lock; another boot proves death."""
    store = await open_sqlite(path)
    held = await store.hold_lock("mine")
    stranger = Path(held.path).with_name("stranger.lock")
    stranger.touch()
    base = {"identity": "x", "task_queues": "q", "started_at": 1, "boot_id": held.boot_id}
    missing = WorkerRecord(incarnation="missing", lock_file="/none/missing.lock", lock_inode=1, **base)
    replaced = WorkerRecord(incarnation="replaced", lock_file=str(stranger), lock_inode=1, **base)
    lockless = WorkerRecord(incarnation="lockless", **base)
    rebooted = WorkerRecord(
        incarnation="rebooted", lock_file=str(stranger), lock_inode=1, **(base | {"boot_id": "earlier"})
    )

    dead = await store.proven_dead([missing, replaced, lockless, rebooted])

    assert dead == ["rebooted"]
    await store.close()


@pytest.mark.parametrize("count", [60])
def test_checkpoints_of_several_processes_harm_nothing(path, count, figure):
    """Commits of four processes with a checkpoint every few commits: sound file, nothing acknowledged lost."""
    acked = {}
    began = time.perf_counter()
    with contextlib_stack(child("stress", path, f"p{n}", count) for n in range(4)) as processes:
        for process in processes:
            hear(process, "ready")
        for process in processes:
            tell(process)
        outputs = [process.communicate(timeout=SECONDS) for process in processes]
    seconds = time.perf_counter() - began
    for out, err in outputs:
        assert out.splitlines()[-1] == "done", err
        for run_id, seq, verdict in re.findall(r"acked (\S+) (\d+) (\w+)", out):
            assert verdict == "committed"
            acked[run_id] = max(int(seq), acked.get(run_id, 0))
    figure(f"4 processes, checkpoints every few commits: {16 * count} turns in {seconds:.1f} s")

    assert len(acked) == 16
    check_file(path)
    with closing(sqlite3.connect(path)) as reader:
        lengths = dict(reader.execute("SELECT run_id, max(seq) FROM perdure_history GROUP BY run_id"))
    assert lengths == acked
    asyncio.run(verify_all(path, list(acked)))


async def verify_all(path, run_ids):
    store = await open_sqlite(path)
    for run_id in run_ids:
        assert verify_rows(run_id, await store.read_history(run_id)) == []
    await store.close()


async def test_no_process_commits_or_checkpoints_while_another_has_the_turn(path):
    """The lock that keeps checkpoints and commits apart is respected by both, and freed by a kill."""
    store = await open_sqlite(path, patience_seconds=0.3)
    with child("in_the_turn_forever", f"{path}-perdure") as busy:
        await asyncio.to_thread(hear, busy, "ready")
        other = Writer(str(path), SqliteDialect())

        with pytest.raises(StoreUnavailableError, match="another process"):
            await store.start_run(start_request("order-1", request_id="same", run_id="r1"))
        with pytest.raises(WriterBusyError):
            other.checkpoint(until=soon(0.05))

        busy.kill()
        busy.wait(SECONDS)
        assert (await store.start_run(start_request("order-1", request_id="same", run_id="r1"))).created
    await store.close()


async def test_a_process_that_keeps_the_file_locked_is_reported(path):
    """A4: the deadline names the file; afterwards the same request is granted."""
    store = await open_sqlite(path, patience_seconds=0.3)
    with child("in_one_transaction_forever", path) as stopped:
        await asyncio.to_thread(hear, stopped, "ready")

        with pytest.raises(StoreUnavailableError, match="another process"):
            await store.start_run(start_request("order-1", request_id="same", run_id="r1"))

    assert (await store.start_run(start_request("order-1", request_id="same", run_id="r1"))).created
    await store.close()


def test_a_store_that_nobody_closed_does_not_hang_the_exit(path):
    with child("leave_open", path) as process:
        _, errors = process.communicate(timeout=SECONDS)

    assert process.returncode == 0
    assert errors == ""
    check_file(path)


def test_a_forked_child_is_refused_and_harms_nothing(path):
    """Every method in the child gives the typed error, and the parent's commits go on."""
    with child("fork_in_use", path) as process:
        out, errors = process.communicate(timeout=SECONDS)

    assert process.returncode == 0, errors
    told, length = out.split()
    assert told == "ForkedStoreError;" * 20
    assert length == "101"
    check_file(path)
