"""Operations that wait for a commit, how they are grouped, and how their callers get their answers."""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from typing import Any, cast

from perdure_history.records import TurnCommit
from perdure_history.sql.turns import commit_turns
from perdure_history.sql.writer import Make, Reply


class Batch:
    """Turns of one worker, from one or several calls."""

    __slots__ = ("incarnation", "members", "run_ids")

    def __init__(self, incarnation: str, members: Sequence[TurnCommit]) -> None:
        self.incarnation = incarnation
        self.members = list(members)
        self.run_ids = {member.run_id for member in members}

    def make(self, clock: Callable[[], int]) -> Make:
        """The transaction that commits them."""
        return lambda changes: commit_turns(self.incarnation, self.members, changes, clock)


class Operation:
    """One transaction that someone waits for."""

    __slots__ = ("batch", "future", "loop", "make")

    def __init__(self, make: Make, batch: Batch | None = None) -> None:
        self.make = make
        self.batch = batch
        self.loop = asyncio.get_running_loop()
        # Any: each operation has a result of its own type.
        self.future: asyncio.Future[Any] = self.loop.create_future()


class Member:
    """One transaction of a group, and the operations that it answers: several when their turns were merged."""

    __slots__ = ("batch", "make", "operations")

    def __init__(self, operation: Operation) -> None:
        self.make = operation.make
        self.operations = [operation]
        self.batch: Batch | None = None

    @property
    def is_single(self) -> bool:
        """Whether it cannot be split any further."""
        return len(self.operations) == 1

    def split(self) -> list["Member"]:
        """Each operation by itself."""
        return [Member(operation) for operation in self.operations]


def plan(group: Sequence[Operation], clock: Callable[[], int]) -> list[Member]:
    """Members of a transaction: the turns that one worker committed in several calls become one member.

    Operations that wait at the same time are concurrent, so any order is right; only two commits for one run
    keep theirs, by never being merged.
    """
    members: list[Member] = []
    open_batches: dict[str, Member] = {}
    for operation in group:
        batch = operation.batch
        if batch is None:
            members.append(Member(operation))
            continue
        into = open_batches.get(batch.incarnation)
        if into is None or into.batch is None or not into.batch.run_ids.isdisjoint(batch.run_ids):
            member = open_batches[batch.incarnation] = Member(operation)
            member.batch = Batch(batch.incarnation, batch.members)
            members.append(member)
            continue
        into.operations.append(operation)
        into.batch.members.extend(batch.members)
        into.batch.run_ids |= batch.run_ids
    for member in members:
        if member.batch is not None and not member.is_single:
            member.make = member.batch.make(clock)
    return members


_Settled = list[tuple[asyncio.Future[Any], Any, BaseException | None]]


def deliver(answered: Iterable[tuple[Member, Reply]]) -> None:
    """Give every caller its answer, with one wake-up for each event loop."""
    by_loop: dict[asyncio.AbstractEventLoop, _Settled] = {}
    for member, reply in answered:
        for operation, value in zip(member.operations, _shares(member, reply), strict=True):
            by_loop.setdefault(operation.loop, []).append((operation.future, value, reply.error))
    for loop, settled in by_loop.items():
        try:
            loop.call_soon_threadsafe(_settle, settled)
        except RuntimeError:
            # The loop was closed while its operation was under way: nobody waits any more.
            continue


def _shares(member: Member, reply: Reply) -> list[Any]:
    """What of the reply belongs to each operation: merged turns were answered in one list."""
    if member.is_single or reply.error is not None:
        return [reply.value] * len(member.operations)
    verdicts = cast(list[Any], reply.value)
    shares: list[Any] = []
    start = 0
    for operation in member.operations:
        end = start + (len(operation.batch.members) if operation.batch is not None else 0)
        shares.append(verdicts[start:end])
        start = end
    return shares


def _settle(settled: _Settled) -> None:
    for future, value, error in settled:
        if future.done():
            continue
        if error is None:
            future.set_result(value)
        else:
            future.set_exception(error)
