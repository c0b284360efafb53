"""Intake: what comes to a worker from the store: runs to claim, runs started into its hands, messages.

Owns no run. Hears the store's changes on any thread and acts on the worker's event loop; a change is a hint,
so many of them cause one look. Nothing is lost when it misses one: due runs are looked for again at the next
`wake_at`, and with each heartbeat.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol

from perdure.worker._due import DueEntry, DueQueue
from perdure_history.errors import StoreUnavailableError, WorkerDeadError
from perdure_history.records import Change, ChangeKind, Claim, Message
from perdure_history.store import WorkStore

_logger = logging.getLogger("perdure.worker")
CLAIMS_A_PASS = 100
_RETRY_SECONDS = 0.5


class Taker(Protocol):
    """Who takes runs and messages."""

    def take_claim(self, claim: Claim) -> None:
        """Hold a run that was just claimed."""

    def take_start(self, run_id: str) -> None:
        """A client of this process started a run into this worker's hands."""

    def take_message(self, message: Message) -> None:
        """Queue a message for a run that is held."""

    def closed_elsewhere(self, run_id: str) -> None:
        """Someone closed a run that may be held here."""


class Host(Protocol):
    """The worker it looks for."""

    @property
    def incarnation(self) -> str:
        """The present one."""
        ...

    @property
    def room(self) -> int:
        """How many more runs can be held."""
        ...

    def make_room(self) -> None:
        """Let runs go that only wait, and look again when they are gone."""

    def others_committed(self) -> None:
        """Another process committed something."""

    def worker_died(self) -> None:
        """The store says that the incarnation is dead."""


class Intake:
    """Looks into the store for one worker when there may be something for it."""

    def __init__(
        self,
        store: WorkStore,
        taker: Taker,
        host: Host,
        due: DueQueue,
        *,
        now: Callable[[], int],
        namespace: str,
        task_queue: str,
        workflow_types: Sequence[str] | None,
    ) -> None:
        self._store = store
        self._taker = taker
        self._host = host
        self._due = due
        self._now = now
        self._namespace = namespace
        self._task_queue = task_queue
        self._workflow_types = workflow_types
        self._loop = asyncio.get_running_loop()
        self._heard: deque[Change] = deque()
        self._open = True
        self._claims = Look(self._claim_due, host.worker_died)
        self._messages = Look(self._read_inbox, host.worker_died)
        self._next_wake: DueEntry | None = None

    def hear(self, changes: Sequence[Change]) -> None:
        """Listen to the store; any thread."""
        self._heard.extend(changes)
        if self._open:
            try:
                self._loop.call_soon_threadsafe(self._attend)
            except RuntimeError:  # the loop was closed: nobody attends any more
                self._open = False

    def look_for_runs(self) -> None:
        """There may be runs that are due, or there is room again."""
        if self._open:
            self._claims.soon()

    def look_for_messages(self) -> None:
        """There may be messages for runs that are held."""
        if self._open:
            self._messages.soon()

    def close_for_runs(self) -> None:
        """Take no more runs; messages still come."""
        self._workflow_types = ()

    async def stop(self) -> None:
        """Look no more."""
        self._open = False
        await self._claims.stop()
        await self._messages.stop()

    def _attend(self) -> None:
        heard = self._heard
        while heard:
            change = heard.popleft()
            match change.kind:
                case ChangeKind.ASSIGNED:
                    if change.key == self._host.incarnation:
                        self._taker.take_start(change.run_id)
                case ChangeKind.MESSAGE:
                    if change.key == self._host.incarnation:
                        self.look_for_messages()
                case ChangeKind.STARTED:
                    if change.key == self._task_queue:
                        self.look_for_runs()
                case ChangeKind.CLOSED:
                    self._taker.closed_elsewhere(change.key)
                case ChangeKind.FOREIGN:
                    self.look_for_runs()
                    self.look_for_messages()
                    self._host.others_committed()

    async def _claim_due(self) -> None:
        """Claim what is due while there is room, and plan the next look."""
        types = self._workflow_types
        if types is not None and not types:
            return
        queues = (self._task_queue,)
        while True:
            wake_at = await self._store.next_wake(
                task_queues=queues, workflow_types=types, namespace=self._namespace
            )
            if wake_at is None:
                return
            if wake_at > self._now():
                self._plan(wake_at)
                return
            room = self._host.room
            if not room:
                # What is due goes before what only waits; when it has left, this looks again.
                self._host.make_room()
                return
            claims = await self._store.claim_runs(
                self._host.incarnation,
                task_queues=queues,
                workflow_types=types,
                namespace=self._namespace,
                limit=min(room, CLAIMS_A_PASS),
            )
            for claim in claims:
                self._taker.take_claim(claim)
            if not claims:
                return

    def _plan(self, wake_at: int) -> None:
        if self._next_wake is not None:
            if self._next_wake.callback is not None and self._next_wake.at <= wake_at:
                return
            self._due.cancel(self._next_wake)
        self._next_wake = self._due.add(wake_at, self.look_for_runs)

    async def _read_inbox(self) -> None:
        for message in await self._store.read_inbox(self._host.incarnation):
            self._taker.take_message(message)


class Look:
    """One kind of look into the store: never two at once, and one more when asked for during one."""

    def __init__(self, look: Callable[[], Awaitable[None]], died: Callable[[], None]) -> None:
        self._look = look
        self._died = died
        self._again = False
        self._task: asyncio.Task[None] | None = None

    def soon(self) -> None:
        """Look, starting after this call."""
        self._again = True
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._run())

    async def stop(self) -> None:
        """Break off."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _run(self) -> None:
        try:
            while self._again:
                self._again = False
                try:
                    await self._look()
                except StoreUnavailableError as error:
                    _logger.warning("looking into the store: %s", error)
                    self._again = True
                    await asyncio.sleep(_RETRY_SECONDS)
        except WorkerDeadError:
            self._died()
        finally:
            self._task = None
