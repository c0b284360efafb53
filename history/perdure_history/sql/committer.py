"""The committer: a thread that turns what everyone in a process wants to write into few durable commits.

It belongs to a database *file*: clients, workers, stores and event loops of the process share one. Callers put
operations into a queue; the thread takes all that wait and runs them in one transaction (a group), since a
durable commit costs the same for one step as for a thousand. It owns the only connection that writes.

    caller's loop ──submit──▶ queue ──all that wait──▶ BEGIN, operation, operation ..., COMMIT
         ▲                                                   │
         └────────── one wake-up per loop ◀── replies ───────┘──▶ listeners

On an error the group is rolled back and its members are run one by one, so that only the one at fault gets an
error. Every operation may be run again with the same bytes: that is how an unknown commit is cured. A crash
loses what was not yet answered, and nothing else.
"""

import asyncio
import functools
import logging
import random
import sqlite3
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from queue import Empty, SimpleQueue
from typing import Any

from perdure_history.changes import Listeners
from perdure_history.errors import (
    ForeignDatabaseError,
    HistoryError,
    StoreClosedError,
    StoreUnavailableError,
)
from perdure_history.records import Change, ChangeKind, TurnCommit, Verdict
from perdure_history.sql.dialect import Dialect, Trouble
from perdure_history.sql.grouping import Batch, Member, Operation, deliver, plan
from perdure_history.sql.sidecar import WriterBusyError
from perdure_history.sql.writer import (
    Faults,
    Reply,
    UnknownCommitError,
    Writer,
    no_faults,
    soon,
)

_logger = logging.getLogger(__name__)

_GROUP_OPERATIONS = 2048
_LOOK_AROUND_SECONDS = 0.015
"""How often an idle committer looks whether another process committed."""
_FIRST_PAUSE = 0.001
_LONGEST_PAUSE = 0.05
_DUPLICATE_RETRIES = 3


class Committer:
    """See the module's text. Any thread may call its public methods."""

    def __init__(
        self,
        path: str,
        url: str,
        dialect: Dialect,
        *,
        inspect: Callable[[], None],
        prepare: Callable[[sqlite3.Connection], None],
        clock: Callable[[], int],
        faults: Faults = no_faults,
        patience_seconds: float = 10.0,
        predecessor: "Committer | None" = None,
    ) -> None:
        self.path = path
        self.listeners = Listeners()
        self.opened: Future[None] = Future()
        # Running from the start, so that an opener who gives up cannot cancel it for the others.
        self.opened.set_running_or_notify_cancel()
        self.between_transactions = threading.Lock()
        """Held by the thread while it uses its connection; a fork waits for it."""
        self._url = url
        self._predecessor = predecessor
        self._dialect = dialect
        self._inspect = inspect
        self._prepare = prepare
        self._clock = clock
        self._faults = faults
        self._patience = patience_seconds
        self._queue: SimpleQueue[Operation | None] = SimpleQueue()
        self._submitting = threading.Lock()
        self._stopping = False
        self._listener_count = 0
        self._seen_version = 0
        self._looked_at = 0.0
        self._thread = threading.Thread(target=self._main, name=f"perdure-committer {path}", daemon=True)
        self._thread.start()

    async def run(self, make: Callable[[list[Change]], Any]) -> Any:
        """Run one transaction durably and give back its result. Any: `make`'s own.

        Cancelling the caller does not undo what it asked for.
        """
        operation = Operation(make)
        self._submit(operation)
        return await operation.future

    def commit_turns(self, incarnation: str, members: Sequence[TurnCommit]) -> asyncio.Future[list[Verdict]]:
        """Commit turns, together with those of other calls that wait. On its way when this returns."""
        batch = Batch(incarnation, members)
        operation = Operation(batch.make(self._clock), batch)
        self._submit(operation)
        return operation.future

    def subscribe(self, listener: Callable[[Sequence[Change]], None]) -> Callable[[], None]:
        """Tell `listener` of commits, on the committer's thread."""
        remove = self.listeners.add(listener)
        removed = False
        with self._submitting:
            self._listener_count += 1
            # An idle thread without listeners sleeps for good; this makes it look around.
            self._queue.put(None)

        def stop() -> None:
            nonlocal removed
            with self._submitting:
                self._listener_count -= 0 if removed else 1
                removed = True
            remove()

        return stop

    def stop(self) -> None:
        """Finish what is queued, close the file and end the thread; wait with `join`."""
        with self._submitting:
            self._stopping = True
            self._queue.put(None)

    def join(self, timeout: float | None = None) -> None:
        """Wait for the thread's end."""
        self._thread.join(timeout)

    # Callers' side

    def _submit(self, operation: Operation) -> None:
        with self._submitting:
            if self._stopping:
                raise StoreClosedError(self._url)
            self._queue.put(operation)

    # The thread's side

    def _main(self) -> None:
        writer: Writer | None = None
        if self._predecessor is not None:
            # Two committers of one process would not lock each other out, and the end of one would free the
            # lock of the other.
            self._predecessor.join()
            self._predecessor = None
        try:
            with self.between_transactions:
                until = soon(self._patience)
                self._patiently(self._inspect, until)
                writer = Writer(self.path, self._dialect, faults=self._faults)
                opening = functools.partial(writer.open, self._prepare, until=until)
                self._patiently(opening, until)
                self._seen_version = writer.data_version()
        except BaseException as error:  # noqa: BLE001  # whoever opens the store gets it
            if writer is not None:
                writer.close(until=soon(0))
            self.opened.set_exception(self._typed(error))
            self._refuse_all(StoreClosedError(self._url))
            return
        self.opened.set_result(None)
        try:
            self._serve(writer)
        finally:
            with self.between_transactions:
                writer.close(until=soon(self._patience))
            self._refuse_all(StoreClosedError(self._url))

    def _patiently(self, step: Callable[[], None], until: float) -> None:
        """Take a step again while others keep the file locked."""
        while True:
            try:
                step()
                return
            except (sqlite3.Error, WriterBusyError) as error:
                if self._trouble(error) is not Trouble.BUSY or time.monotonic() >= until:
                    raise
            self._pause(_LONGEST_PAUSE)

    def _serve(self, writer: Writer) -> None:
        # Once it is stopping nothing is queued any more, and what wakes the thread may be taken with the last group.
        while not (self._stopping and self._queue.empty()):
            group = self._take()
            if not group:
                self._look_around(writer)
                continue
            with self.between_transactions:
                answered = self._commit(writer, plan(group, self._clock))
            # Before the callers, so that a listener has heard of what its own thread's call returned from.
            self.listeners.tell([change for _, reply in answered for change in reply.changes])
            deliver(answered)
            if writer.checkpoint_is_due():
                self._checkpoint(writer)
            self._look_around(writer)

    def _take(self) -> list[Operation]:
        """All operations that wait; none after a while, so that the thread can look around."""
        group: list[Operation] = []
        queue = self._queue
        try:
            item = queue.get(timeout=_LOOK_AROUND_SECONDS) if self._listener_count else queue.get()
            while True:
                if item is not None:
                    group.append(item)
                    if len(group) >= _GROUP_OPERATIONS:
                        break
                item = queue.get_nowait()
        except Empty:
            pass
        return group

    def _look_around(self, writer: Writer) -> None:
        now = time.monotonic()
        if not self._listener_count or now - self._looked_at < _LOOK_AROUND_SECONDS * 0.9:
            return
        self._looked_at = now
        try:
            with self.between_transactions:
                version = writer.data_version()
        except sqlite3.Error:
            return
        if version != self._seen_version:
            self._seen_version = version
            self.listeners.tell((Change(ChangeKind.FOREIGN),))

    def _checkpoint(self, writer: Writer) -> None:
        try:
            with self.between_transactions:
                writer.checkpoint(until=soon(self._patience))
        except (sqlite3.Error, WriterBusyError) as error:
            # The log only grows until the next try; nothing that was committed depends on it.
            _logger.warning("the log of %s could not be checkpointed: %s", self.path, error)

    def _commit(self, writer: Writer, members: Sequence[Member]) -> list[tuple[Member, Reply]]:
        """Commit the members together, or one by one when one of them fails."""
        replies = self._settle(writer, members)
        if replies is None:
            members = [part for member in members for part in member.split()]
            replies = [reply for member in members for reply in self._settle(writer, [member]) or ()]
        return list(zip(members, replies, strict=True))

    def _settle(self, writer: Writer, members: Sequence[Member]) -> list[Reply] | None:
        """Replies of a group that is committed together; None when its members must go one by one."""
        until = soon(self._patience)
        pause = _FIRST_PAUSE
        duplicates = 0
        hints: list[Change] = []
        group = [member.make for member in members]
        alone = len(members) == 1 and members[0].is_single
        while True:
            try:
                replies = writer.commit(group, until=until)
                # A transaction that had landed finds its work done and says nothing of it: hints go out twice
                # rather than not at all.
                replies[0].changes = [*hints, *replies[0].changes]
                return replies
            except Exception as caught:  # noqa: BLE001  # each error is somebody's answer
                error: Exception = caught
            trouble = self._trouble(error)
            if isinstance(error, UnknownCommitError):
                hints.extend(error.changes)
            elif trouble is Trouble.DUPLICATE and duplicates < _DUPLICATE_RETRIES:
                duplicates += 1
            elif trouble is not Trouble.BUSY:
                return [Reply(error=self._typed(error))] if alone else None
            if time.monotonic() >= until:
                return [Reply(error=self._typed(error)) for _ in members]
            self._pause(pause)
            pause = min(pause * 2, _LONGEST_PAUSE)

    def _pause(self, seconds: float) -> None:
        # Jitter keeps processes that collided from colliding again.
        time.sleep(seconds * (0.5 + random.random()))  # noqa: S311  # no secret

    def _trouble(self, error: BaseException) -> Trouble:
        if isinstance(error, WriterBusyError):
            return Trouble.BUSY
        if isinstance(error, UnknownCommitError):
            return Trouble.UNAVAILABLE
        return self._dialect.classify(error)

    def _typed(self, error: BaseException) -> BaseException:
        """The error as callers know it; what a transaction raised by itself stays what it is."""
        if isinstance(error, HistoryError):
            return error
        if not isinstance(error, (sqlite3.Error, WriterBusyError, UnknownCommitError, OSError)):
            return error
        trouble = self._trouble(error)
        typed: HistoryError
        if trouble is Trouble.FOREIGN:
            typed = ForeignDatabaseError(self._url, str(error))
        elif trouble is Trouble.BUSY:
            typed = StoreUnavailableError(
                self._url,
                f"another process has been writing for {self._patience:g} s ({error}). Nothing was written; "
                "try again, and look for a stopped process (`perdure doctor`)",
            )
        else:
            typed = StoreUnavailableError(self._url, f"{error}. Try again with the same request")
        typed.__cause__ = error
        return typed

    def _refuse_all(self, error: HistoryError) -> None:
        with self._submitting:
            self._stopping = True
        refused: list[tuple[Member, Reply]] = []
        while True:
            try:
                operation = self._queue.get_nowait()
            except Empty:
                break
            if operation is not None:
                refused.append((Member(operation), Reply(error=error)))
        deliver(refused)
