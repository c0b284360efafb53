"""Which values msgspec encodes such that they read back the same: asked before each encoding, so it is quick.

A value that is not plain is not yet refused: `_normal_form` turns it into a plain one, or says what is wrong.
"""

import datetime as dt
import decimal
import enum
import math
import operator
import uuid
from collections.abc import Callable, Sequence
from dataclasses import fields, is_dataclass
from typing import Any

import msgspec

Check = Callable[[Any], bool]

SAFE: frozenset[type] = frozenset(
    {
        str,
        int,
        bool,
        type(None),
        decimal.Decimal,
        uuid.UUID,
        dt.date,
        dt.timedelta,
        bytes,
        bytearray,
        memoryview,
    }
)
"""Always plain. What text may not hold is seen in the encoded bytes; what int may not, msgspec refuses."""

SAFE_KEYS: frozenset[type] = frozenset({int, uuid.UUID, dt.date, dt.timedelta, decimal.Decimal})
"""Plain as keys besides str, when a dict has keys of one type only."""


_MANY = 32
"""Parts from which on it pays to look at all their types at once."""


def is_plain(value: object) -> bool:
    """Whether `value` may go to msgspec as it is. RecursionError: nested too deep, or within itself."""
    kind = type(value)
    if kind in SAFE:
        return True
    check = _checks.get(kind)
    if check is None:
        check = _checks[kind] = _check_for(kind)
    return check(value)


def _parts_are_plain(parts: Sequence[object]) -> bool:
    if len(parts) > _MANY and SAFE.issuperset(map(type, parts)):
        return True
    for part in parts:
        kind = type(part)
        if kind not in SAFE:
            check = _checks.get(kind)
            if not (is_plain(part) if check is None else check(part)):
                return False
    return True


def _dict_is_plain(value: dict[object, object]) -> bool:
    for key, part in value.items():
        if type(key) is not str:
            return _has_safe_keys(value) and _parts_are_plain(list(value.values()))
        kind = type(part)
        if kind not in SAFE:
            check = _checks.get(kind)
            if not (is_plain(part) if check is None else check(part)):
                return False
    return True


def _has_safe_keys(value: dict[object, object]) -> bool:
    kinds: set[type] = set(map(type, value))
    return len(kinds) == 1 and kinds <= SAFE_KEYS


def offset_is_exact(value: dt.datetime | dt.time) -> bool:
    """Whether the UTC offset is whole minutes: the text form has no seconds there."""
    offset = value.utcoffset()
    return offset is None or not (offset.seconds % 60 or offset.microseconds)


def _never(_value: Any) -> bool:
    return False


def _always(_value: Any) -> bool:
    return True


_checks: dict[type, Check] = {
    dict: _dict_is_plain,
    list: _parts_are_plain,
    tuple: _parts_are_plain,
    float: math.isfinite,
    dt.datetime: offset_is_exact,
    dt.time: offset_is_exact,
}


def _check_for(kind: type[Any]) -> Check:
    """The check of a class, decided once: by its fields, as msgspec sees them."""
    if issubclass(kind, enum.Enum):
        return _always if enum_problem(kind) is None else _never
    names = plain_fields(kind)
    if names is None:
        return _never
    if not names:
        return _always
    if len(names) == 1:
        get_one = operator.attrgetter(names[0])
        return lambda value: is_plain(get_one(value))
    get_all = operator.attrgetter(*names)
    return lambda value: _parts_are_plain(get_all(value))


def plain_fields(kind: type[Any]) -> tuple[str, ...] | None:
    """Field names of a class whose objects msgspec writes and reads in full; None for any other class."""
    if hasattr(kind, "__pydantic_validator__"):
        return None
    if issubclass(kind, msgspec.Struct):
        return kind.__struct_fields__
    if is_dataclass(kind):
        return None if has_init_only_fields(kind) else tuple(one.name for one in fields(kind))
    attributes: Any = getattr(kind, "__attrs_attrs__", None)
    if attributes is not None:
        names = tuple(str(one.name) for one in attributes)
        # msgspec leaves out private attributes of attrs classes; the normal form has them.
        return None if any(name.startswith("_") for name in names) else names
    named: tuple[str, ...] | None = getattr(kind, "_fields", None)
    return named if named is not None and issubclass(kind, tuple) else None


def has_init_only_fields(kind: type[Any]) -> bool:
    """Whether a dataclass takes InitVars, which its objects do not keep."""
    declared: dict[str, Any] = getattr(kind, "__dataclass_fields__", {})
    return len(declared) != len(fields(kind)) and any(
        "INITVAR" in repr(getattr(one, "_field_type", "")) for one in declared.values()
    )


def enum_problem(kind: type[enum.Enum]) -> str | None:
    """Why members of an enum do not read back; None when they do."""
    values: set[type] = {type(member.value) for member in kind.__members__.values()}
    if values <= {str} or values <= {int} or issubclass(kind, (str, int)):
        return None
    return f"{kind.__name__} is an enum whose values are not all text or all whole numbers"
