"""MemoryStore: the reference implementation of the store contract. Read this one first.

`tables` holds the state, `runs` is what clients ask of it, `work` what workers ask of it. Where the contract's
text is silent, what this store does is what every store does.
"""

from collections.abc import Callable

from perdure_history.memory.runs import MemoryRunStore
from perdure_history.memory.work import MemoryWorkStore
from perdure_history.store import Listener


class MemoryStore(MemoryRunStore, MemoryWorkStore):
    """A store that lives and dies with its process; see `store.Store` for what its methods promise.

    `clock` gives store time in microseconds.
    """

    @property
    def url(self) -> str:
        """The address it was made with."""
        return self._url

    def now(self) -> int:
        """Store time: what the clock says."""
        return self._clock()

    def subscribe(self, listener: Listener) -> Callable[[], None]:
        """Tell `listener` of each commit that concerns others, on the committing thread."""
        return self._listeners.add(listener)

    async def close(self) -> None:
        """Refuse everything from now on; what it held is gone with the object."""
        with self._lock:
            self._closed = True
