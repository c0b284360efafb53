"""Stores that lack one guard of a commit each are told from the model: the laws would see it gone."""

import msgspec
import pytest
from hypothesis import Phase

from perdure_history.memory import MemoryStore
from tests.conformance.stores import STORES
from tests.laws.test_stores_agree import play

pytestmark = pytest.mark.slow


class LetsTheDeadCommit(MemoryStore):
    """Has no worker fence in its commits: whoever comes first at a free place wins."""

    async def commit_turns(self, incarnation, batch):
        worker = self._workers.get(incarnation)
        if worker is not None:
            self._workers[incarnation] = msgspec.structs.replace(worker, state="live")
        try:
            return await super().commit_turns(incarnation, batch)
        finally:
            if worker is not None:
                self._workers[incarnation] = worker


class BuildsOnAnyHead(MemoryStore):
    """Does not look at what it builds on: a turn lands behind whatever the head is."""

    def _commit(self, incarnation, member, changes):
        head = self._head(member.run_id)
        moved = msgspec.structs.replace(member, prev_seq=head.seq, prev_hash=head.hash)
        return super()._commit(incarnation, moved, changes)


class ClosesOverMessages(MemoryStore):
    """Closes and releases without a look into the inbox."""

    def _commit(self, incarnation, member, changes):
        blind = msgspec.structs.replace(member, ignore_unread=True)
        return super()._commit(incarnation, blind, changes)


@pytest.mark.parametrize("faulty", [LetsTheDeadCommit, BuildsOnAnyHead, ClosesOverMessages])
def test_a_store_without_a_guard_is_told_from_the_model(faulty, monkeypatch):
    async def open_faulty(folder, clock):
        return faulty(clock=clock)

    monkeypatch.setitem(STORES, "faulty", open_faulty)

    with pytest.raises(AssertionError):
        play(
            "faulty",
            max_examples=300,
            derandomize=True,
            database=None,
            report_multiple_bugs=False,
            phases=[Phase.generate],
        )
