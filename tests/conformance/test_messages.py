"""What messages and endings promise, on every store: nothing acknowledged is lost, nothing comes after the end."""

import asyncio

import pytest

from perdure_history.codec import decode_event
from perdure_history.errors import RunClosedError, RunNotFoundError
from perdure_history.records import Change, ChangeKind, RunStatus, RunUpdate, Verdict
from perdure_history.verification import verify_rows
from tests.conformance.scene import (
    CLOSING,
    QUEUE,
    new_run_id,
    scheduled,
    signal_event,
    signal_request,
    terminate_request,
    timer,
)


@pytest.fixture
async def run(scene):
    """A run that worker w1 holds."""
    await scene.worker("w1")
    run_id = await scene.start_owned()
    scene.heard.clear()
    return run_id


async def closing_member(scene, run, **options):
    return await scene.member(
        run, CLOSING[RunStatus.COMPLETED], update=RunUpdate(status=RunStatus.COMPLETED), **options
    )


async def test_messages_are_read_in_the_order_in_which_they_were_acknowledged(scene, run):
    """B3: if one was acknowledged before another was sent, it is taken first."""
    second = await scene.start_owned("order-2")
    for number in range(10):
        target = ("order-1", "order-2")[number % 2]
        await scene.store.send_message(signal_request(target, request_id=f"req-{number}"))

    inbox = await scene.store.read_inbox("w1")

    assert [message.request_id for message in inbox] == [f"req-{number}" for number in range(10)]
    assert [message.run_id for message in inbox] == [run, second] * 5
    assert len({message.id for message in inbox}) == 10


async def test_a_message_keeps_every_byte_it_was_sent_with(scene, run):
    request = signal_request(actor="Ünal \U0001f680", sent_at=77)

    await scene.store.send_message(request)

    [message] = await scene.store.read_inbox("w1")
    assert (message.type, message.attributes) == (request.type, request.attributes)
    assert (message.actor, message.sent_at, message.request_id) == ("Ünal \U0001f680", 77, "req-1")


async def test_a_message_sent_again_while_it_waits_is_there_once(scene, run):
    answers = [await scene.store.send_message(signal_request()) for _ in range(3)]

    assert answers == [run] * 3
    assert len(await scene.store.read_inbox("w1")) == 1


async def test_senders_that_race_with_one_request_id_leave_one_message(scene, run):
    await asyncio.gather(*(scene.store.send_message(signal_request()) for _ in range(20)))

    assert len(await scene.store.read_inbox("w1")) == 1


async def test_one_request_id_may_go_to_two_runs(scene, run):
    await scene.start_owned("order-2")

    await scene.store.send_message(signal_request("order-1"))
    await scene.store.send_message(signal_request("order-2"))

    assert len(await scene.store.read_inbox("w1")) == 2


async def test_a_message_after_its_twin_was_taken_waits_for_the_owner_to_drop_it(scene, run):
    """B4: the store cannot know cheaply; the owner can, and takes it without an event."""
    await scene.store.send_message(signal_request())
    [first] = await scene.store.read_inbox("w1")
    await scene.commit("w1", await scene.member(run, signal_event(), taken=(first.id,), turn=2))

    await scene.store.send_message(signal_request())

    [again] = await scene.store.read_inbox("w1")
    assert again.id != first.id
    assert await scene.commit("w1", await scene.member(run, taken=(again.id,))) == [Verdict.COMMITTED]
    assert await scene.store.read_inbox("w1") == []


async def test_the_owner_is_told_of_a_message(scene, run):
    await scene.store.send_message(signal_request())

    assert scene.heard == [Change(ChangeKind.MESSAGE, "w1", run)]


async def test_a_message_makes_an_unowned_run_due_at_once(scene, run):
    await scene.release(run, wake_at=scene.clock() + 1_000_000)
    assert await scene.claim() == []
    scene.heard.clear()

    await scene.store.send_message(signal_request())

    assert scene.heard == [Change(ChangeKind.STARTED, QUEUE, run)]
    [claim] = await scene.claim()
    assert claim.run.run_id == run
    assert [message.request_id for message in claim.messages] == ["req-1"]


async def test_only_the_owner_reads_a_run_s_messages(scene, run):
    await scene.worker("w2")

    await scene.store.send_message(signal_request())

    assert await scene.store.read_inbox("w2") == []


async def test_a_message_names_a_run_or_gets_the_newest(scene, run):
    await scene.close(run)
    newest = await scene.start_owned()

    answer = await scene.store.send_message(signal_request())

    assert answer == newest
    with pytest.raises(RunClosedError) as caught:
        await scene.store.send_message(signal_request(request_id="req-2", run_id=run))
    assert (caught.value.run_id, caught.value.status) == (run, "completed")


async def test_a_message_to_no_run_is_told_so(scene, run):
    with pytest.raises(RunNotFoundError):
        await scene.store.send_message(signal_request("order-2"))
    with pytest.raises(RunNotFoundError):
        await scene.store.send_message(signal_request(run_id=new_run_id()))
    with pytest.raises(RunNotFoundError):
        await scene.store.send_message(signal_request(namespace="other"))

    assert await scene.store.read_inbox("w1") == []


@pytest.mark.parametrize("what", ["close", "release"])
async def test_a_run_is_not_left_over_unread_messages(scene, run, what):
    """B1, B2: the commit is refused, and nothing of it is recorded."""
    await scene.store.send_message(signal_request())
    member = (
        await closing_member(scene, run)
        if what == "close"
        else await scene.member(run, timer(), update=RunUpdate(release=True))
    )

    verdicts = await scene.commit("w1", member)

    assert verdicts == [Verdict.UNREAD]
    assert len(await scene.store.read_history(run)) == 1
    assert (await scene.run(run)).owner == "w1"


async def test_a_closing_turn_that_takes_the_last_message_closes(scene, run):
    await scene.store.send_message(signal_request())
    [message] = await scene.store.read_inbox("w1")

    verdicts = await scene.commit("w1", await closing_member(scene, run, taken=(message.id,)))

    assert verdicts == [Verdict.COMMITTED]
    assert await scene.store.read_inbox("w1") == []


async def test_an_unread_message_costs_only_its_own_run(scene, run):
    other = await scene.start_owned("order-2")
    await scene.store.send_message(signal_request())

    verdicts = await scene.commit("w1", await closing_member(scene, run), await closing_member(scene, other))

    assert verdicts == [Verdict.UNREAD, Verdict.COMMITTED]


async def test_a_release_that_ignores_messages_leaves_them_waiting(scene, run):
    await scene.store.send_message(signal_request())
    member = await scene.member(
        run, update=RunUpdate(release=True, wake_at=scene.clock(), problem="{}"), ignore_unread=True
    )

    verdicts = await scene.commit("w1", member)

    assert verdicts == [Verdict.COMMITTED]
    [claim] = await scene.claim()
    assert len(claim.messages) == 1


async def test_a_close_that_ignores_messages_records_them_as_undelivered(scene, run):
    for number in (1, 2):
        await scene.store.send_message(signal_request(request_id=f"req-{number}", actor=f"c{number}"))
    member = await scene.member(
        run,
        scheduled(),
        CLOSING[RunStatus.COMPLETED],
        update=RunUpdate(status=RunStatus.COMPLETED),
        ignore_unread=True,
    )

    verdicts = await scene.commit("w1", member) + await scene.commit("w1", member)

    assert verdicts == [Verdict.COMMITTED, Verdict.COMMITTED]
    rows = await scene.store.read_history(run)
    assert [(row.turn, row.actor) for row in rows[1:]] == [(1, "w1"), (None, "c1"), (None, "c2"), (1, "w1")]
    assert [decode_event(row.type, row.attributes).delivered for row in rows[2:4]] == [False, False]
    assert rows[-1].attributes == member.rows[-1].attributes
    assert (await scene.run(run)).history_length == 5
    assert verify_rows(run, rows, closed_status=RunStatus.COMPLETED) == []


async def test_terminating_records_unread_messages_before_the_end(scene, run):
    await scene.store.send_message(signal_request())
    scene.heard.clear()

    answer = await scene.store.terminate_run(terminate_request())

    rows = await scene.store.read_history(run)
    assert answer == run
    assert [row.type for row in rows[1:]] == ["WorkflowExecutionSignaled", "WorkflowExecutionTerminated"]
    assert [(row.turn, row.actor) for row in rows[1:]] == [(None, "client"), (None, "operator")]
    assert decode_event(rows[1].type, rows[1].attributes).delivered is False
    assert rows[-1].attributes == terminate_request().attributes
    assert verify_rows(run, rows, closed_status=RunStatus.TERMINATED) == []
    assert scene.heard == [Change(ChangeKind.CLOSED, run, run)]


async def test_a_message_taken_and_sent_again_is_not_called_undelivered(scene, run):
    await scene.store.send_message(signal_request())
    [message] = await scene.store.read_inbox("w1")
    await scene.commit("w1", await scene.member(run, signal_event(), taken=(message.id,), turn=2))
    await scene.store.send_message(signal_request())

    await scene.store.terminate_run(terminate_request())

    rows = await scene.store.read_history(run)
    assert [row.type for row in rows].count("WorkflowExecutionSignaled") == 1
    assert verify_rows(run, rows, closed_status=RunStatus.TERMINATED) == []


async def test_terminating_makes_the_owner_s_next_turn_stale(scene, run):
    """C3: the owner finds out by its guard."""
    turn = await scene.member(run, scheduled())

    await scene.store.terminate_run(terminate_request())

    assert await scene.commit("w1", turn) == [Verdict.STALE]
    after = await scene.run(run)
    assert (after.status, after.owner, after.history_length) == (RunStatus.TERMINATED, None, 2)


async def test_the_end_of_a_run_is_never_earlier_than_what_came_before(scene, run):
    head = await scene.store.last_event(run)

    await scene.store.terminate_run(terminate_request(at=head.recorded_at - 10_000))

    assert (await scene.store.last_event(run)).recorded_at == head.recorded_at


async def test_terminating_twice_is_the_same_request_or_an_error(scene, run):
    first = await scene.store.terminate_run(terminate_request(request_id="kill-1"))

    again = await scene.store.terminate_run(terminate_request(request_id="kill-1"))

    assert first == again == run
    with pytest.raises(RunClosedError):
        await scene.store.terminate_run(terminate_request(request_id="kill-2"))
    assert len(await scene.store.read_history(run)) == 2


async def test_terminating_no_run_is_told_so(scene, run):
    with pytest.raises(RunNotFoundError):
        await scene.store.terminate_run(terminate_request("order-2"))


async def test_every_acknowledged_signal_of_a_run_that_ends_is_in_its_history(scene, run):
    """B2: senders race with a close that gives way to unread messages, then closes over the rest."""
    acknowledged = []

    async def send(number):
        try:
            await scene.store.send_message(signal_request(request_id=f"req-{number}"))
            acknowledged.append(f"req-{number}")
        except RunClosedError:
            pass

    async def end():
        for attempt in range(4):
            member = await closing_member(scene, run, ignore_unread=attempt == 3)
            if await scene.commit("w1", member) == [Verdict.COMMITTED]:
                return
            await asyncio.sleep(0)

    await asyncio.gather(*(send(number) for number in range(30)), end(), *(send(n) for n in range(30, 60)))

    rows = await scene.store.read_history(run)
    events = [decode_event(row.type, row.attributes) for row in rows if row.turn is None]
    assert sorted(event.request_id for event in events) == sorted(acknowledged)
    assert verify_rows(run, rows, closed_status=RunStatus.COMPLETED) == []
