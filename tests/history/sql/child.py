"""What other processes do in the tests: `python -m tests.history.sql.child <verb> <path> ...`.

A child says `ready` on its standard output when it has done its part, and then waits for a line on its
standard input where the verb needs that.
"""

import asyncio
import os
import signal
import sqlite3
import sys
from pathlib import Path

from perdure_history.records import RunStatus, RunUpdate, WorkerRecord
from perdure_history.sql import open_sqlite
from perdure_history.sql import writer as writer_module
from perdure_history.sql.sidecar import WriterLock
from perdure_history.sql.writer import soon
from tests.conformance.scene import CLOSING, Scene, scheduled, signal_request, start_request
from tests.conformance.stores import ManualClock


def say(*words):
    sys.stdout.write(" ".join(map(str, words)) + "\n")
    sys.stdout.flush()


async def wait_for_line():
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline)


async def open_at_once(path):
    """Open the file at the same moment as the others, and start one run."""
    say("ready")
    await wait_for_line()
    store = await open_sqlite(path)
    await store.start_run(start_request(f"order-{os.getpid()}", run_id=f"run-{os.getpid()}"))
    await store.close()
    say("done")


async def work(path, incarnation):
    """Register a worker with its lock, own a run, and live until killed."""
    store = await open_sqlite(path)
    held = await store.hold_lock(incarnation)
    await store.register_worker(
        WorkerRecord(
            incarnation=incarnation,
            identity="child",
            task_queues="orders",
            started_at=1,
            lock_file=held.path,
            lock_inode=held.inode,
            boot_id=held.boot_id,
        )
    )
    await store.start_run(start_request("order-1", owner=incarnation, run_id="run-of-child"))
    say("ready", os.getpid())
    await wait_for_line()


async def work_with_a_forked_child(path, incarnation):
    """As `work`, with a forked child that outlives this process."""
    reading, writing = os.pipe()
    store = await open_sqlite(path)
    held = await store.hold_lock(incarnation)
    pid = os.fork()
    if pid == 0:
        os.close(writing)
        os.read(reading, 1)
        signal.pause()
    await store.register_worker(
        WorkerRecord(
            incarnation=incarnation,
            identity="child",
            task_queues="orders",
            started_at=1,
            lock_file=held.path,
            lock_inode=held.inode,
            boot_id=held.boot_id,
        )
    )
    say("ready", os.getpid(), pid)
    await wait_for_line()


async def send(path, workflow_id):
    """Send a signal when told to."""
    store = await open_sqlite(path)
    say("ready")
    await wait_for_line()
    await store.send_message(signal_request(workflow_id))
    say("sent")
    await wait_for_line()
    await store.close()


async def stress(path, name, count):
    """Commit single steps as fast as possible, and checkpoint every few commits."""
    writer_module.PAGES_BEFORE_CHECKPOINT = 20
    store = await open_sqlite(path)
    scene = Scene(store, ManualClock())
    await scene.worker(name)
    run_ids = [await scene.start_owned(f"{name}-{n}", worker=name, run_id=f"{name}-{n}") for n in range(4)]
    say("ready")
    await wait_for_line()

    async def walk(run_id):
        member = await scene.member(run_id, scheduled())
        for n in range(int(count)):
            [verdict] = await scene.commit(name, member)
            say("acked", run_id, member.rows[-1].seq, verdict.value)
            member = await scene.member(run_id, scheduled(f"a{n}"))

    await asyncio.gather(*(walk(run_id) for run_id in run_ids))
    await store.close()
    say("done")


async def die_at(path, nth):
    """Kill this process at the nth commit point of one turn that closes a run."""
    points = []
    armed = []

    def faults(point):
        if armed:
            points.append(point)
            if len(points) == int(nth):
                say("dying", point)
                os.kill(os.getpid(), signal.SIGKILL)

    store = await open_sqlite(path, faults=faults)
    scene = Scene(store, ManualClock())
    await scene.worker("w1")
    run_id = await scene.start_owned("order-1", run_id="run-1")
    await scene.store.send_message(signal_request())
    [message] = await scene.store.read_inbox("w1")
    member = await scene.member(
        run_id,
        scheduled(),
        CLOSING[RunStatus.COMPLETED],
        taken=(message.id,),
        update=RunUpdate(status=RunStatus.COMPLETED),
    )
    armed.append(True)
    say("ready")
    await scene.commit("w1", member)
    say("acked")
    await store.close()


async def leave_open(path):
    """End without closing the store, after a write and a read."""
    store = await open_sqlite(path)
    store.subscribe(lambda changes: None)
    await store.start_run(start_request("order-1", run_id="run-1"))
    await store.find_run("default", "order-1")


async def fork_in_use(path):
    """Fork while commits are under way; the child tries every door, the parent goes on."""
    store = await open_sqlite(path)
    scene = Scene(store, ManualClock())
    await scene.worker("w1")
    run_id = await scene.start_owned("order-1", run_id="run-1")
    await store.list_workers()
    going_on = asyncio.ensure_future(walk_on(scene, run_id))
    await asyncio.sleep(0)
    reading, writing = os.pipe()
    for _ in range(5):
        pid = os.fork()
        if pid == 0:
            os.write(writing, try_doors(store, path).encode())
            os._exit(0)
        await asyncio.get_running_loop().run_in_executor(None, os.waitpid, pid, 0)
    await going_on
    os.close(writing)
    say(os.read(reading, 10_000).decode())
    say(len(await store.read_history(run_id)))
    await store.close()


async def walk_on(scene, run_id):
    for _ in range(100):
        await scene.commit("w1", await scene.member(run_id, scheduled()))


def try_doors(store, path):
    told = []
    for call in (
        lambda: store.start_run(start_request("order-2", run_id="run-2")),
        lambda: store.find_run("default", "order-1"),
        store.close,
        lambda: open_sqlite(path),
    ):
        try:
            call().send(None)
            told.append("nothing")
        except BaseException as error:
            told.append(type(error).__name__)
    return "".join(f"{name};" for name in told)


def in_one_transaction_forever(path):
    """Keep the file locked, as a stopped process would."""
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("BEGIN IMMEDIATE")
    say("ready")
    sys.stdin.readline()


def in_the_turn_forever(folder):
    """Keep the turn to write."""
    lock = WriterLock(Path(folder))
    lock.acquire(until=soon(5))
    say("ready")
    sys.stdin.readline()


if __name__ == "__main__":
    verb, *arguments = sys.argv[1:]
    found = globals()[verb]
    if asyncio.iscoroutinefunction(found):
        asyncio.run(found(*arguments))
    else:
        found(*arguments)
