"""What a group commit does when its database fails it."""

import asyncio
import random
import re
import sqlite3

import pytest

from perdure_history.errors import StoreUnavailableError, WorkerDeadError
from perdure_history.records import EventRow, RunStatus, RunUpdate, TurnCommit, Verdict
from perdure_history.sql import open_sqlite, writer
from perdure_history.verification import verify_rows
from tests.conformance.scene import (
    CLOSING,
    Scene,
    completed,
    member_on,
    scheduled,
    signal_request,
    start_request,
    terminate_request,
)
from tests.history.sql.faults import database_error

BUSY = database_error(sqlite3.SQLITE_BUSY, "database is locked")
IO_ERROR = database_error(sqlite3.SQLITE_IOERR, "disk I/O error")


def steps(count):
    return [scheduled(f"a{n}") for n in range(count)]


@pytest.mark.parametrize("mine", range(1, 6))
@pytest.mark.parametrize("rival", range(1, 6))
async def test_no_tail_of_a_losing_turn_lands(scene, mine, rival):
    """A1: of a group of three turns the one whose place was taken leaves nothing, the others land."""
    await scene.worker("w1")
    run_ids = [await scene.start_owned(f"order-{n}") for n in range(3)]
    group = [await scene.member(run_id, *steps(mine)) for run_id in run_ids]
    await scene.commit("w1", await scene.member(run_ids[1], *steps(rival), actor="rival"))

    verdicts = await scene.commit("w1", *group)

    assert verdicts == [Verdict.COMMITTED, Verdict.STALE, Verdict.COMMITTED]
    lengths = [len(await scene.store.read_history(run_id)) for run_id in run_ids]
    assert lengths == [1 + mine, 1 + rival, 1 + mine]
    for run_id in run_ids:
        assert verify_rows(run_id, await scene.store.read_history(run_id)) == []


async def test_a_turn_over_a_gap_is_refused(scene):
    """A2: a commit was lost, its owner believes that it landed and goes on."""
    await scene.worker("w1")
    run_id = await scene.start_owned()
    lost = await scene.member(run_id, scheduled(), completed(2))

    verdicts = await scene.commit("w1", member_on(run_id, lost.rows[-1], scheduled()))

    assert verdicts == [Verdict.STALE]
    assert len(await scene.store.read_history(run_id)) == 1


async def test_a_forked_chain_is_refused(scene):
    """A2: the right number after the wrong event."""
    await scene.worker("w1")
    run_id = await scene.start_owned()
    other = await scene.member(run_id, scheduled("other"), actor="rival")
    await scene.commit("w1", await scene.member(run_id, scheduled("mine")))

    verdicts = await scene.commit("w1", member_on(run_id, other.rows[-1], completed(2)))

    assert verdicts == [Verdict.STALE]


async def test_a_busy_database_at_any_statement_repeats_the_whole_group(scene, faults):
    """A4: BUSY at every statement of the group and at COMMIT; everything lands once, nothing half."""
    await scene.worker("w1")
    for at in range(1, 40):
        run_id = await scene.start_owned(f"order-{at}")
        await scene.store.send_message(signal_request(f"order-{at}", f"req-{at}"))
        [message] = await scene.store.read_inbox("w1")
        member = await scene.member(
            run_id,
            CLOSING[RunStatus.COMPLETED],
            taken=(message.id,),
            update=RunUpdate(status=RunStatus.COMPLETED),
        )
        faults.arm(BUSY, at=at)

        verdicts = await scene.commit("w1", member)

        points = faults.disarm()
        assert verdicts == [Verdict.COMMITTED]
        assert len(await scene.store.read_history(run_id)) == 2
        assert await scene.store.read_inbox("w1") == []
        if len(points) < at:
            break
    else:
        pytest.fail("the fault was always reached; the group has more points than were tried")
    assert at > 8


async def test_a_database_that_stays_busy_is_told_in_time(path, clock, faults, tmp_path):
    """A4: bounded: the deadline passes, the caller is told, and nothing was written."""
    store = await open_sqlite(path, clock=clock, faults=faults, patience_seconds=0.2)
    try:
        faults.arm(BUSY, named="begin", times=10**6)

        with pytest.raises(StoreUnavailableError) as told:
            await store.start_run(start_request())

        faults.disarm()
        assert str(path) in told.value.url
        assert (await store.start_run(start_request())).created
    finally:
        await store.close()


async def test_failures_of_others_cost_no_turn_its_bytes(scene, faults):
    """A7: a fifth of all commits fail for foreign reasons; the same bytes land, and no run is dropped."""
    await scene.worker("w1")
    run_ids = [await scene.start_owned(f"order-{n}") for n in range(10)]
    faults.arm(BUSY)
    faults.random, faults.share = random.Random(7), 0.2

    async def walk(run_id):
        verdicts = []
        for n in range(20):
            verdicts += await scene.commit("w1", await scene.member(run_id, scheduled(f"a{n}")))
        return verdicts

    walks = await asyncio.gather(*(walk(run_id) for run_id in run_ids))

    faults.disarm()
    assert {verdict for verdicts in walks for verdict in verdicts} == {Verdict.COMMITTED}
    assert [len(await scene.store.read_history(run_id)) for run_id in run_ids] == [21] * 10


async def test_poison_harms_only_its_own_run(scene):
    """A8: one of a hundred operations holds a value that no database takes."""
    await scene.worker("w1")
    run_ids = [await scene.start_owned(f"order-{n}") for n in range(100)]
    members = [await scene.member(run_id, scheduled()) for run_id in run_ids]
    good = members[50].rows[0]
    poison = EventRow(good.seq, good.turn, good.type, "\ud800", good.recorded_at, good.actor, good.hash)
    members[50] = TurnCommit(
        run_id=run_ids[50], prev_seq=members[50].prev_seq, prev_hash=members[50].prev_hash, rows=(poison,)
    )

    answers = await asyncio.gather(
        *(scene.commit("w1", member) for member in members), return_exceptions=True
    )

    assert isinstance(answers[50], UnicodeEncodeError)
    del answers[50]
    assert answers == [[Verdict.COMMITTED]] * 99


async def play(scene, faults, verb, *, fault):
    """Run one verb with the answer of its COMMIT lost (or its COMMIT failed) and give what it returned."""
    await scene.worker("w1")
    await scene.worker("w2")
    run_id = await scene.start_owned("order-1", worker="w2")
    await scene.start("order-2")
    calls = {
        "start": lambda: scene.store.start_run(start_request("order-3", run_id="r3", request_id="q3")),
        "send": lambda: scene.store.send_message(signal_request("order-1", run_id=run_id)),
        "terminate": lambda: scene.store.terminate_run(terminate_request("order-1", run_id=run_id)),
        "claim": lambda: scene.claim("w1"),
        "beat": lambda: scene.store.beat("w1"),
        "bury": lambda: scene.store.bury_worker("w2", beat=0),
        "retire": lambda: scene.store.retire_worker("w2"),
    }
    member = await scene.member(run_id, scheduled())
    calls["commit"] = lambda: scene.commit("w2", member)
    if fault is not None:
        faults.arm(IO_ERROR, named=fault)
    answer = await calls[verb]()
    faults.disarm()
    return answer


VERBS = ["start", "send", "terminate", "claim", "beat", "bury", "retire", "commit"]


@pytest.mark.parametrize("fault", ["commit", "committed"])
@pytest.mark.parametrize("verb", VERBS)
async def test_an_unknown_commit_is_read_back(path, clock, faults, tmp_path, verb, fault):
    """A9: an error from COMMIT, which landed or not: the caller gets the answer of a commit without error."""
    answers, dumps = [], []
    for name, planted in (("plain.db", None), ("faulty.db", fault)):
        store = await open_sqlite(tmp_path / name, clock=clock, faults=faults, patience_seconds=5)
        scene = Scene(store, clock)
        try:
            answer = await play(scene, faults, verb, fault=planted)
            answers.append(comparable(answer))
            dumps.append(await counts(tmp_path / name))
        finally:
            await store.close()

    assert answers[0] == answers[1]
    assert dumps[0] == dumps[1]


def comparable(answer):
    """The answer without the run ids, which differ between two databases."""
    return re.sub(r"018bcfe5-[0-9a-f-]+", "run", repr(answer))


async def counts(path):
    connection = sqlite3.connect(path)
    try:
        return [
            connection.execute(f"SELECT count(*) FROM perdure_{table}").fetchone()[0]
            for table in ("history", "runs", "inbox", "workers")
        ] + connection.execute("SELECT incarnation, state, beat FROM perdure_workers ORDER BY 1").fetchall()
    finally:
        connection.close()


async def test_a_dead_worker_writes_nothing(scene):
    """C1: the fence is the first statement of every transaction of a worker."""
    await scene.worker("w1")
    run_id = await scene.start_owned()
    member = await scene.member(run_id, scheduled())
    await scene.store.bury_worker("w1", beat=0)

    with pytest.raises(WorkerDeadError):
        await scene.commit("w1", member)

    assert len(await scene.store.read_history(run_id)) == 1


@pytest.mark.parametrize("point", ["begin", "insert history"])
async def test_a_full_disk_is_told_at_once_and_harms_nothing(scene, faults, point):
    """The world's trouble is a typed error; when it is over, the same request is granted."""
    request = start_request("order-1", request_id="same", run_id="r1")
    faults.arm(database_error(sqlite3.SQLITE_FULL, "database or disk is full"), named=point, times=10**6)

    with pytest.raises(StoreUnavailableError, match="disk is full"):
        await scene.store.start_run(request)

    faults.disarm()
    assert (await scene.store.start_run(request)).created


async def test_a_connection_that_cannot_be_made_again_at_once_is_made_later(scene, faults, path, monkeypatch):
    """A9: after an unknown commit the file cannot be opened for a while; then it is read back."""
    failures = [database_error(sqlite3.SQLITE_CANTOPEN, "unable to open database file")] * 2
    connect = writer.connect_writer

    def connect_later(where):
        if failures:
            raise failures.pop()
        return connect(where)

    monkeypatch.setattr(writer, "connect_writer", connect_later)
    request = start_request("order-1", request_id="same", run_id="r1")
    faults.arm(IO_ERROR, named="committed")
    for _ in range(2):
        with pytest.raises(StoreUnavailableError, match="unable to open"):
            await scene.store.start_run(request)

    outcome = await scene.store.start_run(request)

    assert (outcome.run_id, outcome.created) == ("r1", False)
    assert len(await scene.store.read_history("r1")) == 1
