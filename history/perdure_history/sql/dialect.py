"""What differs between databases, and nothing else.

Locks, upserts and row values are written in SQLAlchemy Core, whose compilers render them for each database
(share and skip-locked clauses disappear on SQLite, whose writers are serial anyway). What is left is here.
"""

import enum
from collections.abc import Sequence
from typing import Protocol

from sqlalchemy.engine import Dialect as CompilerDialect


class Trouble(enum.Enum):
    """What an error of the driver means for the transaction it came from."""

    BUSY = "busy"
    """Another has the lock: roll back, wait a little, run the same again."""
    DUPLICATE = "duplicate"
    """A unique key: someone else was first; roll back and decide again."""
    BAD_VALUE = "bad value"
    """This transaction can never succeed; others are not concerned."""
    UNAVAILABLE = "unavailable"
    """Disk full, no permission, input/output error: the database's trouble, not the transaction's."""
    FOREIGN = "foreign"
    """The file is not a database, or it is damaged."""


class Dialect(Protocol):
    """One database's ways."""

    @property
    def compiler(self) -> CompilerDialect:
        """SQLAlchemy's dialect, with the driver's parameter style."""
        ...

    def classify(self, error: BaseException) -> Trouble:
        """What to do about an error of the driver."""
        ...

    def guards(self) -> Sequence[str]:
        """Statements that make the history INSERT-only, as far as the database allows."""
        ...

    def views(self) -> Sequence[str]:
        """Statements that create the views that people read."""
        ...
