"""Addresses of stores, and opening what they name."""

import threading
from pathlib import Path
from urllib.parse import unquote
from weakref import WeakValueDictionary

from perdure.client._errors import AddressError
from perdure_history.memory import MemoryStore
from perdure_history.store import Store

_SQLITE = "sqlite:///"
_MEMORY = "memory://"
_named: WeakValueDictionary[str, MemoryStore] = WeakValueDictionary()
_lock = threading.Lock()


async def open_store(address: str) -> Store:
    """Open the store at `address`, making an SQLite file (not its folder) that does not exist.

    ``sqlite:///app.db`` and ``app.db`` are relative to the working directory, ``sqlite:////var/app.db`` is
    absolute; ``memory://`` is a new empty store, ``memory://name`` one that this process shares by name for as
    long as somebody holds it.

    Raises AddressError, StoreError.
    """
    if not address:
        raise AddressError(address, "it is empty")
    if address.startswith(_MEMORY):
        return _memory(address)
    # SQLAlchemy is by far the dearest import, so it waits until a database is really opened.
    from perdure_history.sql import open_sqlite  # noqa: PLC0415  see above

    return await open_sqlite(sqlite_path(address))


def sqlite_path(address: str) -> Path:
    """The file that an SQLite address names; raises AddressError for any other address."""
    if address.startswith(_SQLITE):
        path, question, _ = unquote(address[len(_SQLITE) :]).partition("?")
        if question:
            raise AddressError(address, "an SQLite address takes no options")
        if not path:
            raise AddressError(address, "it names no file")
        return Path(path)
    scheme, separator, _ = address.partition("://")
    if separator:
        raise AddressError(address, f"stores of kind {scheme!r} are not known to this version of perdure")
    if address.startswith("sqlite:") or address == ":memory:":
        raise AddressError(address, "it names no file")
    return Path(address)


def _memory(address: str) -> MemoryStore:
    if address == _MEMORY:
        return MemoryStore(address)
    with _lock:
        store = _named.get(address)
        if store is None:
            store = _named[address] = MemoryStore(address)
        return store
