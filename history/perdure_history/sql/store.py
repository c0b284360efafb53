"""SqlStore: the store contract on an SQLite file.

Writes go to the file's committer, which groups them; reads go to connections of their own. A crash loses
nothing that a method has returned.
"""

from perdure_history.sql.clients import SqlRunStore
from perdure_history.sql.work import SqlWorkStore


class SqlStore(SqlRunStore, SqlWorkStore):
    """An open store; make one with `open_sqlite`. See `store.Store` for what its methods promise."""
