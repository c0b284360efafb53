"""Lease: this worker's heartbeat, and the watch over the others'.

A lease covers a worker, not a run: one row, one beat each third of the lease. An observer that sees the beat
of another unchanged for that worker's whole lease, on its own boot clock, buries it; on the same machine the lock of a dead
process proves the death at once. Clocks only decide when to try: the store's fence decides what counts.
"""

import asyncio
import logging
from collections.abc import Callable
from itertools import count
from typing import Protocol

from perdure_history.errors import StoreError, WorkerDeadError
from perdure_history.records import WorkerRecord
from perdure_history.store import Store

_logger = logging.getLogger("perdure.worker")
BEATS_A_SWEEP = 6
"""Every two leases, 30 seconds by default: an idle worker makes less than one statement a second."""
MICROSECONDS = 1_000_000


class LeaseHolder(Protocol):
    """Whose lease it is."""

    @property
    def incarnation(self) -> str: ...

    def worker_died(self) -> None:
        """The store says that this incarnation is dead."""

    def lease_renewed(self) -> None:
        """Activities may be started again."""

    def sweep(self) -> None:
        """Look for what hints have failed to tell."""

    def runs_freed(self) -> None:
        """A dead worker's runs can be claimed."""


class Lease:
    """Beats for one worker and buries dead ones. Belongs to the worker's event loop."""

    def __init__(
        self,
        store: Store,
        holder: LeaseHolder,
        *,
        lease_seconds: float,
        probe_seconds: float,
        boot_clock: Callable[[], float],
    ) -> None:
        self._store = store
        self._holder = holder
        self._lease_seconds = lease_seconds
        self._probe_seconds = probe_seconds
        self._boot_clock = boot_clock
        self._renewed_at = boot_clock()
        self._others: list[WorkerRecord] = []
        self._seen: dict[str, tuple[int, float]] = {}
        """Beat of each other worker, and when it was first seen."""
        self._tasks: list[asyncio.Task[None]] = []
        self._look_now = asyncio.Event()

    def holds(self) -> bool:
        """Whether the last answered beat is so fresh that nobody can have taken the runs.

        The margin of a sixth of the lease is for the time between this question and what follows it.
        """
        return self._boot_clock() - self._renewed_at < self._lease_seconds * 5 / 6

    def registered(self) -> None:
        """The worker's row was just inserted."""
        self._renewed_at = self._boot_clock()

    def start(self) -> None:
        """Begin to beat and to watch."""
        loop = asyncio.get_running_loop()
        self._tasks = [loop.create_task(self._beat()), loop.create_task(self._probe())]

    async def stop(self) -> None:
        """Stop both."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks = []

    def look(self) -> None:
        """Others committed something: there may be new workers."""
        self._look_now.set()

    async def bury_the_dead(self) -> None:
        """Look at all live workers now, and bury those whose death is proven or whose lease lapsed."""
        self._others = [
            one for one in await self._store.list_workers() if one.incarnation != self._holder.incarnation
        ]
        await self._bury(await self._proven_dead() | self._lapsed())

    async def _beat(self) -> None:
        beats = count(1)
        while True:
            planned = self._boot_clock() + self._lease_seconds / 3
            await asyncio.sleep(self._lease_seconds / 3)
            sent_at = self._boot_clock()
            if sent_at - planned > self._lease_seconds / 3:
                _logger.warning(
                    "the event loop of worker %s was blocked for %.1f s; blocked for a lease (%.1f s), its runs go "
                    "to others. Blocking activities belong in `def`, which runs on a thread, not `async def`",
                    self._holder.incarnation,
                    sent_at - planned,
                    self._lease_seconds,
                )
            try:
                await self._store.beat(self._holder.incarnation)
                self._renewed_at = sent_at
                self._holder.lease_renewed()
                sweeps = next(beats) % BEATS_A_SWEEP == 0
                if sweeps:
                    self._holder.sweep()
                if sweeps or self._others:
                    await self.bury_the_dead()
            except WorkerDeadError:
                self._holder.worker_died()
            except StoreError as error:
                _logger.warning("heartbeat of worker %s: %s", self._holder.incarnation, error)
            except Exception:  # a worker without a heartbeat loses its runs: whatever it was, beat again
                _logger.exception("heartbeat of worker %s", self._holder.incarnation)

    async def _probe(self) -> None:
        """Looks at the locks of the processes known, which costs no statement; reads the list when it may be old."""
        while True:
            try:
                await asyncio.sleep(self._probe_seconds)
                if self._look_now.is_set():
                    self._look_now.clear()
                    await self.bury_the_dead()
                elif dead := await self._proven_dead():
                    await self._bury(dead)
            except WorkerDeadError:
                self._holder.worker_died()
            except StoreError as error:
                _logger.warning("looking after other workers: %s", error)
            except Exception:  # nobody else may be there to look
                _logger.exception("looking after other workers")

    async def _proven_dead(self) -> set[str]:
        return set(await self._store.proven_dead(self._others)) if self._others else set()

    def _lapsed(self) -> set[str]:
        now = self._boot_clock()
        seen = {
            one.incarnation: former
            if (former := self._seen.get(one.incarnation)) is not None and former[0] == one.beat
            else (one.beat, now)
            for one in self._others
        }
        self._seen = seen
        return {
            one.incarnation
            for one in self._others
            if now - seen[one.incarnation][1] >= one.lease_us / MICROSECONDS
        }

    async def _bury(self, dead: set[str]) -> None:
        for worker in self._others:
            if worker.incarnation not in dead:
                continue
            freed = await self._store.bury_worker(worker.incarnation, beat=worker.beat)
            if freed is not None:
                _logger.info(
                    "worker %s (%s) is dead; %d runs freed", worker.incarnation, worker.identity, freed
                )
                self._holder.runs_freed()
        self._others = [one for one in self._others if one.incarnation not in dead]
