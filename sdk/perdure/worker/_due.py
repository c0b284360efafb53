"""DueQueue: calls things when store time has reached their moment, never before it."""

import asyncio
import heapq
from collections.abc import Callable
from itertools import count

LONGEST_NAP_SECONDS = 10.0
"""The loop's clock stands still while a machine sleeps, so store time is looked at at least this often."""
_FEW = 64
"""Canceled entries that are not worth a clean-up."""


class DueEntry:
    """Something planned; give it to `DueQueue.cancel` when it is no longer wanted."""

    __slots__ = ("at", "callback", "order")

    def __init__(self, at: int, order: int, callback: Callable[[], None]) -> None:
        self.at = at
        self.order = order
        self.callback: Callable[[], None] | None = callback

    def __lt__(self, other: "DueEntry") -> bool:
        return (self.at, self.order) < (other.at, other.order)


class DueQueue:
    """A heap of moments of one worker. Belongs to the worker's event loop; not thread-safe."""

    def __init__(self, now: Callable[[], int]) -> None:
        self._now = now
        self._heap: list[DueEntry] = []
        self._canceled = 0
        self._order = count()
        self._alarm: asyncio.TimerHandle | None = None
        self._alarm_for = 0

    def add(self, at: int, callback: Callable[[], None]) -> DueEntry:
        """Call `callback` once store time has reached `at` (microseconds), in a later pass of the loop."""
        entry = DueEntry(at, next(self._order), callback)
        heapq.heappush(self._heap, entry)
        if self._alarm is None or at < self._alarm_for:
            self._arm()
        return entry

    def cancel(self, entry: DueEntry) -> None:
        """Forget an entry; harmless when it has been called."""
        if entry.callback is None:
            return
        entry.callback = None
        self._canceled += 1
        if self._canceled > _FEW and self._canceled * 2 > len(self._heap):
            self._heap = [one for one in self._heap if one.callback is not None]
            heapq.heapify(self._heap)
            self._canceled = 0

    def clear(self) -> None:
        """Forget everything; whoever keeps an entry sees that it is no longer planned."""
        for entry in self._heap:
            entry.callback = None
        self._heap.clear()
        self._canceled = 0
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None

    def _arm(self) -> None:
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None
        if not self._heap:
            return
        self._alarm_for = self._heap[0].at
        delay = (self._alarm_for - self._now()) / 1_000_000
        nap = min(max(delay, 0.0), LONGEST_NAP_SECONDS)
        self._alarm = asyncio.get_running_loop().call_later(nap, self._ring)

    def _ring(self) -> None:
        self._alarm = None
        now = self._now()
        while self._heap and self._heap[0].at <= now:
            entry = heapq.heappop(self._heap)
            callback, entry.callback = entry.callback, None
            if callback is None:
                self._canceled -= 1
            else:
                callback()
        self._arm()
