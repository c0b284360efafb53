"""The crash tests see a bug when there is one: engines with a planted fault must be found out by the checker."""

import asyncio
import os
import signal
from uuid import uuid4

import pytest

from perdure_history.sql.store import SqlStore
from perdure_replayer.turn import LiveRun
from tests.checker import Kind, check
from tests.end_to_end import flows
from tests.end_to_end.acks import AckLog, read_acks
from tests.end_to_end.connecting import connect
from tests.end_to_end.processes import LONG, Nursery
from tests.end_to_end.programs import Place, make_worker, start_once, tell
from tests.end_to_end.tables import read_tables
from tests.end_to_end.test_message_races import is_recorded, note
from tests.end_to_end.waiting import until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]


def acknowledge_too_early(pipe, place: Place) -> None:
    """A store that answers a send before it has committed it, in a process that dies just then."""
    honest = SqlStore.send_message
    under_way = []

    async def hasty(self, message):
        under_way.append(asyncio.ensure_future(honest(self, message)))
        return message.run_id

    async def main() -> None:
        client = await connect(place.database)
        log = AckLog(place.folder / "test.acks")
        handle = await start_once(client, log, flows.Listener.run, 2, workflow_id="listener")
        SqlStore.send_message = hasty
        await tell(handle, log, "first@0")
        os.kill(os.getpid(), signal.SIGKILL)

    asyncio.run(main())


def test_an_acknowledgement_before_the_commit_is_found_as_a_loss(children: Nursery, place):
    assert children.start(acknowledge_too_early, place).join() == -signal.SIGKILL

    found = check(read_tables(place.database), read_acks(place.folder))

    assert [violation.kind for violation in found] == [Kind.LOST]


async def test_a_message_that_is_taken_twice_is_found(place, monkeypatch):
    """A worker that no longer remembers what it has taken (B4)."""
    monkeypatch.setattr(LiveRun, "request_ids", property(lambda _: set()))
    client = await connect(place.database)
    log = AckLog(place.folder / "test.acks")
    async with make_worker(client):
        handle = await start_once(client, log, flows.Listener.run, 2, workflow_id="listener")
        message = note(client, "listener", "first@0", str(uuid4()))
        await client.store.send_message(message)
        await until(is_recorded, client, "listener", "first@0")
        await client.store.send_message(message)
        await asyncio.wait_for(handle.result(), LONG)
    await client.close()

    found = check(read_tables(place.database), read_acks(place.folder))

    assert {violation.kind for violation in found} == {Kind.TWICE}
