"""Statements, and transactions as generators of them.

A transaction here does no I/O. It is a generator that yields what it asks of the database and is sent the
answer; an executor drives it on whatever connection it has. So each transaction is written once, whether a
thread with a `sqlite3` connection runs it or a coroutine with an asynchronous driver:

    def beat(incarnation: str) -> Transaction[int]:
        yield from execute(RAISE_BEAT, incarnation=incarnation)
        rows = yield from fetch(READ_BEAT, incarnation=incarnation)
        return rows[0][0]

It may be run again from its start after a rollback, so it must not keep anything outside itself.
"""

from collections.abc import Callable, Generator, Iterable, Sequence
from typing import Any, NamedTuple, TypeVar

from sqlalchemy import BindParameter, Table, bindparam, insert
from sqlalchemy.engine import Dialect as CompilerDialect
from sqlalchemy.sql import ClauseElement

T = TypeVar("T")

Row = Sequence[Any]
"""One row as the driver gives it. Any: each column has its own type, which `rows` knows."""


_TO_BE_GIVEN = object()


class Compiled(NamedTuple):
    """A statement as one driver takes it."""

    text: str
    names: tuple[str, ...]
    """Which parameter stands at which place."""
    constants: dict[str, Any]
    """Values that the statement itself brings. Any: values of any column."""

    def values(self, given: dict[str, Any]) -> list[Any]:
        """The values in the order of their places; KeyError when one is missing."""
        constants = self.constants
        if not constants:
            return [given[name] for name in self.names]
        return [given[name] if name in given else constants[name] for name in self.names]


class Statement:
    """One SQL statement, written once in SQLAlchemy Core and compiled once for each dialect."""

    def __init__(self, name: str, clause: ClauseElement, *, writes: bool) -> None:
        self.name = name
        self.writes = writes
        self._clause = clause
        self._compiled: dict[str, Compiled] = {}

    def compiled(self, dialect: CompilerDialect) -> Compiled:
        """Its text and the order of its parameters; two threads may both compile it, to the same end."""
        found = self._compiled.get(dialect.name)
        if found is None:
            result = self._clause.compile(dialect=dialect, compile_kwargs={"render_postcompile": True})
            names: Sequence[str] = getattr(result, "positiontup", None) or ()
            given: dict[str, Any] = getattr(result, "params", {})
            constants = {name: given[name] for name in names if given[name] is not _TO_BE_GIVEN}
            found = self._compiled[dialect.name] = Compiled(str(result), tuple(names), constants)
        return found


class ListStatement:
    """A statement over a list whose length varies: one Statement for each power of two.

    A shorter list is filled up by repeating its last element, so that few texts are ever prepared.
    """

    MAX = 256
    """Longest list of one statement: two parameters an element stay below every driver's limit."""

    def __init__(self, name: str, build: Callable[[int], ClauseElement]) -> None:
        self._name = name
        self._build = build
        self._sized: dict[int, Statement] = {}

    def sized(self, count: int) -> tuple[Statement, int]:
        """The statement for `count` elements (at most MAX), and how many it takes."""
        size = 1 << max(count - 1, 0).bit_length()
        found = self._sized.get(size)
        if found is None:
            found = self._sized[size] = Statement(f"{self._name}/{size}", self._build(size), writes=False)
        return found, size


class InsertStatement:
    """An INSERT of any number of rows, cut into statements of a power of two rows, so that few are prepared.

    Not one statement a row: a driver lets other threads run at each statement, and a busy one among them may
    keep the interpreter for milliseconds each time.
    """

    MAX = 64
    """Most rows of one statement: with eight columns far below every driver's limit of parameters."""

    def __init__(self, name: str, table: Table) -> None:
        self._name = name
        self._table = table
        self._sized: dict[int, Statement] = {}

    def parts(self, rows: Sequence[Sequence[Any]]) -> Iterable[tuple[Statement, list[Any]]]:
        """Statements that insert `rows` in order, each with its values."""
        start, left = 0, len(rows)
        while left:
            size = min(1 << left.bit_length() - 1, self.MAX)
            part = rows[start : start + size]
            yield self._of_size(size), [value for row in part for value in row]
            start += size
            left -= size

    def _of_size(self, size: int) -> Statement:
        found = self._sized.get(size)
        if found is None:
            names = [column.name for column in self._table.columns]
            values = [{name: parameter(f"{name}_{n}") for name in names} for n in range(size)]
            clause = insert(self._table).values(values)
            found = self._sized[size] = Statement(self._name, clause, writes=True)
        return found


class Ask(NamedTuple):
    """One request of a transaction."""

    statement: Statement
    parameters: Sequence[Any] | dict[str, Any]
    """By name; positional for `many` and for lists."""
    many: bool = False


class Answer(NamedTuple):
    """What came back: the rows of a query, the number of rows that a write touched."""

    rows: list[Any]
    touched: int


Transaction = Generator[Ask, Answer, T]
"""Asks for statements, is sent their answers, returns its result."""


def parameter(name: str) -> BindParameter[Any]:
    """A value to be given when the statement runs."""
    return bindparam(name, _TO_BE_GIVEN)


def parameters(name: str, size: int) -> BindParameter[Any]:
    """A list of `size` values; given one by one, as `<name>_1` and so on, or in order."""
    return bindparam(name, value=[_TO_BE_GIVEN] * size, expanding=True)


def fetch(statement: Statement, **values: Any) -> Transaction[list[Row]]:
    """All rows of a query. Any: values of any column."""
    answer = yield Ask(statement, values)
    return answer.rows


def fetch_list(statement: ListStatement, elements: Sequence[tuple[Any, ...]]) -> Transaction[list[Row]]:
    """All rows of a query over a list of tuples. The order of the rows is not that of the elements."""
    rows: list[Row] = []
    for start in range(0, len(elements), ListStatement.MAX):
        part = elements[start : start + ListStatement.MAX]
        sized, size = statement.sized(len(part))
        values = [value for element in part for value in element]
        values.extend(part[-1] * (size - len(part)))
        answer = yield Ask(sized, values)
        rows.extend(answer.rows)
    return rows


def execute(statement: Statement, **values: Any) -> Transaction[int]:
    """Run a write; gives the number of rows it touched. Any: values of any column."""
    answer = yield Ask(statement, values)
    return answer.touched


def execute_many(statement: Statement, rows: Sequence[Sequence[Any]]) -> Transaction[None]:
    """Run a write once for each of `rows`, whose values stand in the statement's own order."""
    if rows:
        yield Ask(statement, rows, many=True)


def insert_rows(statement: InsertStatement, rows: Sequence[Sequence[Any]]) -> Transaction[None]:
    """Insert `rows`, whose values stand in the order of the table's columns."""
    for sized, values in statement.parts(rows):
        yield Ask(sized, values)
