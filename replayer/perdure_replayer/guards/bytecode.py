"""Names that a code object uses, with what follows each: `Use`. Knows the opcodes of CPython 3.11 to 3.13.

Which call a name belongs to is read from source positions, not from a simulated stack: the call of `a.b(...)`
begins where `a` or `.b` begins and ends after it, and no other instruction does.
"""

import dis
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from types import CodeType
from typing import Any

UNRESTRICTED = "sandbox_unrestricted"
"""The context manager whose body the scan passes over."""

_ATTRIBUTE_LOADS = frozenset({"LOAD_ATTR", "LOAD_METHOD"})
_CALLS = frozenset({"CALL", "CALL_KW", "CALL_FUNCTION_EX"})
_NAME_LOADS = frozenset({"LOAD_GLOBAL", "LOAD_NAME", "LOAD_FROM_DICT_OR_GLOBALS"})
_SINGLE_LOADS = frozenset({"LOAD_FAST", "LOAD_FAST_CHECK", "LOAD_FAST_AND_CLEAR"})
_CELL_LOADS = frozenset({"LOAD_DEREF", "LOAD_CLASSDEREF", "LOAD_FROM_DICT_OR_DEREF"})


@dataclass(frozen=True, slots=True)
class Use:
    """One chain `name.attribute.attribute` in the code, and the call of it, if it is called."""

    name: str
    is_local: bool
    """A local or a cell, rather than a global or builtin."""
    attributes: tuple[str, ...]
    line: int
    is_called: bool
    arguments: int | None
    """How many the call passes; None when it is not called or the number is open (`*args`)."""
    result_attribute: str
    """Attribute taken from the call's result at once: `read_text` in `Path(p).read_text`; else empty."""
    result_local: str
    """Local that the call's result is stored in at once; else empty."""
    is_unrestricted: bool
    """Inside `with ...sandbox_unrestricted():`."""


@dataclass(frozen=True, slots=True)
class LocalImport:
    """An import inside a function."""

    local: str
    dotted: str
    """What the local is bound to: a module, or an attribute of one."""


class CodeReading:
    """One code object, disassembled once."""

    def __init__(self, code: CodeType) -> None:
        self._code = code
        self._instructions = [item for item in dis.get_instructions(code) if item.opname != "PRECALL"]
        # Typeshed does not know exception_entries.
        entries: list[Any] = getattr(dis.Bytecode(code), "exception_entries", [])
        self._handlers: list[tuple[int, int, int]] = [(e.start, e.end, e.target) for e in entries]
        self._unrestricted = self._unrestricted_handlers()

    def stored_once(self) -> frozenset[str]:
        """Locals and cells that are bound in exactly one place; parameters count as bound once."""
        stores = Counter(name for item in self._instructions for name in _stored(item))
        parameters = self._code.co_argcount + self._code.co_kwonlyargcount
        stores.update(self._code.co_varnames[:parameters])
        return frozenset(name for name, count in stores.items() if count == 1)

    def bound_names(self) -> frozenset[str]:
        """Names that the code binds itself, other than globals."""
        return frozenset(name for item in self._instructions for name in _stored(item))

    def local_imports(self) -> Iterator[LocalImport]:
        """Absolute imports made inside the function, in order."""
        module = pending = ""
        is_from = False
        for index, item in enumerate(self._instructions):
            if item.opname == "IMPORT_NAME":
                level, names = (self._instructions[index - back].argval for back in (2, 1))
                module, is_from = ("" if level else item.argval), names is not None
                # `import a.b` binds a; `import a.b as c` goes on to a.b by IMPORT_FROM.
                pending = "" if is_from else module.partition(".")[0]
            elif item.opname == "IMPORT_FROM" and module:
                pending = f"{module}.{item.argval}" if is_from else module
            elif pending and (stored := _stored(item)):
                yield LocalImport(stored[0], pending)
                pending = ""

    def nested(self) -> Iterator[CodeType]:
        """Code of the functions, comprehensions and classes made here, outside unrestricted blocks."""
        for item in self._instructions:
            if isinstance(item.argval, CodeType) and not self._is_unrestricted(item.offset):
                yield item.argval

    def uses(self) -> Iterator[Use]:
        """Every chain of names, in the order of the code."""
        for index, item in enumerate(self._instructions):
            loaded = _loaded(item)
            if loaded is None:
                continue
            end = index + 1
            while self._instructions[end].opname in _ATTRIBUTE_LOADS:
                end += 1
            attributes = tuple(step.argval for step in self._instructions[index + 1 : end])
            yield self._use(loaded, attributes, index, end - 1)

    def _use(self, loaded: tuple[str, bool], attributes: tuple[str, ...], first: int, last: int) -> Use:
        call = self._call_of(first, last)
        result_attribute = result_local = ""
        arguments: int | None = None
        if call is not None:
            follower = self._instructions[call + 1]
            if follower.opname in _ATTRIBUTE_LOADS:
                result_attribute = follower.argval
            elif stored := _stored(follower):
                result_local = stored[0]
            if self._instructions[call].opname != "CALL_FUNCTION_EX":
                arguments = self._instructions[call].arg
        positions = self._instructions[last].positions
        return Use(
            name=loaded[0],
            is_local=loaded[1],
            attributes=attributes,
            line=(positions.lineno if positions else None) or self._code.co_firstlineno,
            is_called=call is not None,
            arguments=arguments,
            result_attribute=result_attribute,
            result_local=result_local,
            is_unrestricted=self._is_unrestricted(self._instructions[first].offset),
        )

    def _call_of(self, first: int, last: int) -> int | None:
        """Index of the instruction that calls the chain; None when it is not called or positions are unknown."""
        starts = {_start(self._instructions[first]), _start(self._instructions[last])}
        end = _end(self._instructions[last])
        if end is None or None in starts:
            return None
        for index in range(last + 1, len(self._instructions) - 1):
            item = self._instructions[index]
            if item.opname not in _CALLS or _start(item) not in starts:
                continue
            call_end = _end(item)
            if call_end is not None and call_end > end:
                return index
        return None

    def _unrestricted_handlers(self) -> frozenset[int]:
        """Handlers of the `with` statements over `sandbox_unrestricted()`: they cover the statements' bodies."""
        by_offset = {item.offset: index for index, item in enumerate(self._instructions)}
        found: set[int] = set()
        for index, item in enumerate(self._instructions):
            if item.argval != UNRESTRICTED or item.opname not in _ATTRIBUTE_LOADS | _NAME_LOADS | _CELL_LOADS:
                continue
            outside = self._handler(item.offset)
            for later in self._instructions[index:]:
                target = self._handler(later.offset)
                if target is None or target == outside:
                    continue
                start = by_offset[target]
                if self._instructions[start + 1].opname == "WITH_EXCEPT_START":
                    found.add(target)
                break
        return frozenset(found)

    def _is_unrestricted(self, offset: int) -> bool:
        # Handlers nest: the handler of a try inside the body is itself covered, at its end, by the body's.
        target = self._handler(offset)
        seen: set[int] = set()
        while target is not None and target not in seen:
            if target in self._unrestricted:
                return True
            seen.add(target)
            target = self._handler(target)
        return False

    def _handler(self, offset: int) -> int | None:
        for start, end, target in self._handlers:
            if start <= offset < end:
                return target
        return None


def _loaded(item: dis.Instruction) -> tuple[str, bool] | None:
    """The name that an instruction pushes last, and whether it is a local; None for other instructions."""
    opname, value = item.opname, item.argval
    if opname in _NAME_LOADS:
        return value, False
    if opname in _CELL_LOADS or opname in _SINGLE_LOADS:
        return value, True
    # 3.13 loads two at once, or stores one and loads another; the last is on top.
    if opname in {"LOAD_FAST_LOAD_FAST", "STORE_FAST_LOAD_FAST"}:
        return value[-1], True
    return None


def _stored(item: dis.Instruction) -> tuple[str, ...]:
    """Names that an instruction binds; 3.13 binds two at once, or binds one and loads another."""
    opname, value = item.opname, item.argval
    if opname in {"STORE_FAST", "STORE_DEREF", "STORE_NAME"}:
        return (value,)
    if opname == "STORE_FAST_LOAD_FAST":
        return (value[0],)
    if opname == "STORE_FAST_STORE_FAST":
        return tuple(value)
    return ()


def _start(item: dis.Instruction) -> tuple[int, int] | None:
    positions = item.positions
    if positions is None or positions.lineno is None or positions.col_offset is None:
        return None
    return positions.lineno, positions.col_offset


def _end(item: dis.Instruction) -> tuple[int, int] | None:
    positions = item.positions
    if positions is None or positions.end_lineno is None or positions.end_col_offset is None:
        return None
    return positions.end_lineno, positions.end_col_offset
