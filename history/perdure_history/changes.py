"""Who hears of a store's commits."""

import logging
import threading
from collections.abc import Callable, Sequence

from perdure_history.records import Change
from perdure_history.store import Listener

_logger = logging.getLogger(__name__)


class Listeners:
    """The listeners of one store; any thread may add, remove and tell at any time.

    Nothing here survives the process, and nothing has to: a change is a hint, and what is true stands in
    the store.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        # Replaced, never changed, so that `tell` needs no lock and a listener may remove itself.
        self._entries: tuple[tuple[object, Listener], ...] = ()

    def add(self, listener: Listener) -> Callable[[], None]:
        """Tell `listener` from now on; calling what is given back stops that (again: harmless).

        A `tell` that is under way may still reach a listener that was just removed.
        """
        token = object()
        with self._lock:
            self._entries = (*self._entries, (token, listener))

        def remove() -> None:
            with self._lock:
                self._entries = tuple(entry for entry in self._entries if entry[0] is not token)

        return remove

    def tell(self, changes: Sequence[Change]) -> None:
        """Call every listener with `changes`, on this thread; nothing happens when there are none.

        Call it after the commit and without holding a lock that a listener could want. What a listener
        raises (its event loop is closed, say) is logged: it must not fail a commit that has happened.
        """
        if not changes:
            return
        for _, listener in self._entries:
            try:
                listener(changes)
            except Exception:
                _logger.exception("a listener of the store failed; the commit it was told of has happened")
