"""Ids and messages under concurrency, on one file."""

import asyncio
import sqlite3
from contextlib import closing

import pytest

from perdure_history.codec import decode_event
from perdure_history.errors import RunAlreadyExistsError, RunClosedError
from perdure_history.records import IdConflictPolicy, IdReusePolicy, RunStatus, RunUpdate, Verdict
from perdure_history.verification import verify_rows
from tests.conformance.scene import CLOSING, signal_event, signal_request, start_request
from tests.conformance.stores import START_OF_TIME


async def test_a_message_in_any_order_with_a_release_is_never_left_waiting(scene):
    """B1: sender and releaser race; the run is refused its release, or it is due with the message."""
    await scene.worker("w1")
    for number in range(40):
        workflow_id = f"order-{number}"
        run_id = await scene.start_owned(workflow_id)
        release = await scene.member(run_id, update=RunUpdate(release=True))
        sending = scene.store.send_message(signal_request(workflow_id, f"req-{number}"))
        releasing = scene.commit("w1", release)
        race = [sending, releasing] if number % 2 else [releasing, sending]

        answers = await asyncio.gather(*race)

        run = await scene.run(run_id, workflow_id)
        [verdict] = answers[1] if number % 2 else answers[0]
        if verdict is Verdict.UNREAD:
            assert run.owner == "w1"
            assert [message.run_id for message in await scene.store.read_inbox("w1")][-1] == run_id
        else:
            assert (run.owner, run.wake_at) == (None, 0)
            [claim] = await scene.claim("w1")
            assert [message.request_id for message in claim.messages] == [f"req-{number}"]


async def test_every_acknowledged_signal_of_a_closed_run_is_in_its_history(scene):
    """B2: signals race with completion; acknowledged means recorded, delivered or not."""
    await scene.worker("w1")
    for number in range(20):
        workflow_id = f"order-{number}"
        run_id = await scene.start_owned(workflow_id)
        ending = await scene.member(
            run_id,
            CLOSING[RunStatus.COMPLETED],
            update=RunUpdate(status=RunStatus.COMPLETED),
            ignore_unread=True,
        )
        sends = [scene.store.send_message(signal_request(workflow_id, f"r{n}")) for n in range(5)]

        answers = await asyncio.gather(
            *sends[:2], scene.commit("w1", ending), *sends[2:], return_exceptions=True
        )

        acknowledged = {f"r{n}" for n, answer in enumerate(answers[:2] + answers[3:]) if answer == run_id}
        refused = [answer for answer in answers if isinstance(answer, Exception)]
        assert all(isinstance(error, RunClosedError) for error in refused)
        assert len(acknowledged) + len(refused) == 5
        rows = await scene.store.read_history(run_id)
        events = [decode_event(row.type, row.attributes) for row in rows[1:-1]]
        assert {event.request_id for event in events} == acknowledged
        assert not any(event.delivered for event in events)
        assert verify_rows(run_id, rows) == []


async def test_acknowledged_order_is_taken_order(scene):
    """B3: if A was acknowledged before B was sent, A has the lower id; ids are never used again."""
    await scene.worker("w1")
    run_id = await scene.start_owned()
    for number in range(5):
        await scene.store.send_message(signal_request(request_id=f"first-{number}"))
    first = await scene.store.read_inbox("w1")
    taken = tuple(message.id for message in first)
    events = [signal_event(request_id=message.request_id) for message in first]
    await scene.commit("w1", await scene.member(run_id, *events, taken=taken))

    await scene.store.send_message(signal_request(request_id="second"))

    assert [message.request_id for message in first] == [f"first-{number}" for number in range(5)]
    [second] = await scene.store.read_inbox("w1")
    assert second.id > max(taken)


async def test_a_repeated_commit_takes_no_later_message(scene):
    """B3: the ids of a commit that is sent again name the old rows and no others."""
    await scene.worker("w1")
    run_id = await scene.start_owned()
    await scene.store.send_message(signal_request(request_id="first"))
    [first] = await scene.store.read_inbox("w1")
    member = await scene.member(run_id, signal_event(request_id="first"), taken=(first.id,))
    await scene.commit("w1", member)
    await scene.store.send_message(signal_request(request_id="second"))

    again = await scene.commit("w1", member)

    assert again == [Verdict.COMMITTED]
    assert [message.request_id for message in await scene.store.read_inbox("w1")] == ["second"]


async def test_a_waiting_message_is_not_put_in_twice(scene, path):
    """B4: the same request id from fifty senders at once makes one row."""
    await scene.worker("w1")
    await scene.start_owned()

    await asyncio.gather(*(scene.store.send_message(signal_request()) for _ in range(50)))

    with closing(sqlite3.connect(path)) as reader:
        assert reader.execute("SELECT count(*) FROM perdure_inbox").fetchone() == (1,)


@pytest.mark.parametrize("reuse", list(IdReusePolicy))
@pytest.mark.parametrize("conflict", list(IdConflictPolicy))
async def test_fifty_starters_of_one_id_make_one_open_run(scene, path, reuse, conflict):
    """C6: on a run that ends at the same moment, under each policy."""
    await scene.worker("w1")
    await scene.store.start_run(start_request(owner="w1", at=START_OF_TIME))
    first = await scene.store.find_run("default", "order-1")
    ending = await scene.member(
        first.run_id, CLOSING[RunStatus.COMPLETED], update=RunUpdate(status=RunStatus.COMPLETED)
    )

    async def starter():
        try:
            return (await scene.start(id_reuse_policy=reuse, id_conflict_policy=conflict)).created
        except RunAlreadyExistsError:
            return None

    answers = await asyncio.gather(
        *(starter() for _ in range(25)), scene.commit("w1", ending), *(starter() for _ in range(25))
    )

    with closing(sqlite3.connect(path)) as reader:
        nths = [row[0] for row in reader.execute("SELECT nth FROM perdure_runs ORDER BY nth")]
        opened = reader.execute("SELECT count(*) FROM perdure_runs WHERE open_id IS NOT NULL").fetchone()[0]
        running = reader.execute("SELECT count(*) FROM perdure_runs WHERE status = 'running'").fetchone()[0]
    assert nths == list(range(1, 1 + len(nths)))
    assert len(nths) == 1 + sum(answer is True for answer in answers)
    assert opened == running <= 1
