"""Law 8 is worth what it sees: stores with one planted fault each must be told from the model."""

import msgspec
import pytest
from hypothesis import Phase

from perdure_history.memory import MemoryStore
from perdure_history.records import RunStatus
from tests.conformance.stores import STORES
from tests.laws.test_stores_agree import play

pytestmark = pytest.mark.slow


class ForgetsRequestIds(MemoryStore):
    """Puts a message that waits into the inbox again."""

    async def send_message(self, message):
        waiting = {run_id: self._inbox.pop(run_id) for run_id in list(self._inbox)}
        try:
            return await super().send_message(message)
        finally:
            for run_id, inbox in waiting.items():
                self._inbox[run_id] = inbox + self._inbox.get(run_id, [])


class LetsMessagesWait(MemoryStore):
    """Does not make an unowned run due when a message comes."""

    async def send_message(self, message):
        before = dict(self._runs)
        run_id = await super().send_message(message)
        if before[run_id].owner is None:
            self._put(before[run_id])
        return run_id


class NamesTheLastDead(MemoryStore):
    """Forgets whose attempts were lost when a second owner dies."""

    async def bury_worker(self, incarnation, *, beat):
        held = [run.run_id for run in self._runs.values() if run.owner == incarnation]
        freed = await super().bury_worker(incarnation, beat=beat)
        if freed is not None:
            for run_id in held:
                self._put(msgspec.structs.replace(self._runs[run_id], orphaned_by=incarnation))
        return freed


class CountsNoDeaths(MemoryStore):
    """Never counts further than one claim after a death."""

    async def claim_runs(self, *args, **kwargs):
        self._claim_heads.clear()
        return await super().claim_runs(*args, **kwargs)


class ClaimsBackwards(MemoryStore):
    """Hands out the least overdue first."""

    async def claim_runs(self, *args, **kwargs):
        return (await super().claim_runs(*args, **kwargs))[::-1]


class LeavesProblemsAsleep(MemoryStore):
    """A new worker changes nothing for runs that could not move."""

    async def register_worker(self, worker):
        before = dict(self._runs)
        await super().register_worker(worker)
        for run in before.values():
            self._put(run)


class LosesMessagesAtTheEnd(MemoryStore):
    """A close over unread messages drops them."""

    def _commit(self, incarnation, member, changes):
        closing = member.update is not None and member.update.status is RunStatus.COMPLETED
        if closing and member.ignore_unread and self._runs[member.run_id].owner == incarnation:
            self._inbox.pop(member.run_id, None)
        return super()._commit(incarnation, member, changes)


class AnyoneMayRelease(MemoryStore):
    """Does not look who owns the run."""

    def _commit(self, incarnation, member, changes):
        return super()._commit(self._runs[member.run_id].owner or incarnation, member, changes)


class NeverNotesOrphans(MemoryStore):
    """Keeps calling a run an orphan."""

    def _commit(self, incarnation, member, changes):
        if member.update is not None:
            update = msgspec.structs.replace(member.update, clear_orphaned=False)
            member = msgspec.structs.replace(member, update=update)
        return super()._commit(incarnation, member, changes)


FAULTY = [
    ForgetsRequestIds,
    LetsMessagesWait,
    NamesTheLastDead,
    CountsNoDeaths,
    ClaimsBackwards,
    LeavesProblemsAsleep,
    LosesMessagesAtTheEnd,
    AnyoneMayRelease,
    NeverNotesOrphans,
]


@pytest.mark.parametrize("faulty", FAULTY)
def test_a_store_with_a_planted_fault_is_told_from_the_model(faulty, monkeypatch):
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
