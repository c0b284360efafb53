"""The slow road of encoding: a plain copy of a value, or the error that names the field.

Taken only for what `_plainness.is_plain` does not vouch for: sets, pydantic models, subclasses of builtins,
mixed keys, and everything that is going to be refused.
"""

import datetime as dt
import enum
import math
from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass
from typing import Any, cast

import msgspec

from perdure.converter import _pydantic
from perdure.converter._json_types import JSONTypeConverter
from perdure.converter._plainness import SAFE, enum_problem, has_init_only_fields, offset_is_exact
from perdure.exceptions import EncodingError

DEEPEST = 100
"""Levels of nesting that a value may have; readers of the log have limits too."""

_encode = msgspec.json.Encoder().encode
_RAW_CURE = "Make it from msgspec.json.encode, or pass the value itself."
_CLASS_CURE = (
    "Use a dataclass, msgspec.Struct, attrs class, TypedDict or pydantic model, or give the PayloadConverter a "
    "JSONTypeConverter that knows this class."
)


class Normalizer:
    """Makes plain copies. One object a value: it remembers what it is inside of."""

    def __init__(self, hooks: tuple[JSONTypeConverter, ...]) -> None:
        self._hooks = hooks
        self._inside: set[int] = set()

    def plain(self, value: Any, path: str) -> Any:
        """A copy of `value` that msgspec encodes faithfully; raises EncodingError with the path of the culprit."""
        kind = _class_of(value)
        leaf = _LEAVES.get(kind)
        if leaf is not None:
            return leaf(value, path)
        if kind in SAFE:
            return value
        if id(value) in self._inside:
            raise EncodingError(path, "it contains itself", "Pass a value without cycles.")
        if len(self._inside) >= DEEPEST:
            raise EncodingError(path, f"it is nested more than {DEEPEST} levels deep", "Flatten it.")
        self._inside.add(id(value))
        try:
            return self._composite(value, kind, path)
        finally:
            self._inside.discard(id(value))

    def _composite(self, value: Any, kind: type[Any], path: str) -> Any:
        if _pydantic.is_model_class(kind):
            return self.plain(_pydantic.dump(value, kind, path), path)
        if isinstance(value, enum.Enum):
            return _enum(value, path)
        if isinstance(value, msgspec.Struct):
            return self._struct(value, path)
        if is_dataclass(kind):
            if has_init_only_fields(kind):
                raise EncodingError(
                    path, f"{kind.__name__} has InitVar fields, which its objects do not keep", _CLASS_CURE
                )
            return self._fields(value, [one.name for one in fields(kind)], path)
        attributes: Any = getattr(kind, "__attrs_attrs__", None)
        if attributes is not None:
            return self._fields(value, [one.name for one in attributes], path)
        if issubclass(kind, dict):
            return self._dict(value, path)
        if issubclass(kind, (list, tuple)):
            return [self.plain(part, f"{path}[{at}]") for at, part in enumerate(value)]
        if issubclass(kind, (set, frozenset)):
            return self._set(value, path)
        return self._scalar(value, kind, path)

    def _fields(self, value: Any, names: list[str], path: str) -> dict[str, Any]:
        parts: dict[str, Any] = {}
        for name in names:
            part = getattr(value, name, msgspec.UNSET)
            if part is not msgspec.UNSET:
                parts[name] = self.plain(part, f"{path}.{name}")
        return parts

    def _struct(self, value: msgspec.Struct, path: str) -> Any:
        config = value.__struct_config__
        parts = self._fields(value, list(value.__struct_fields__), path)
        renamed = dict(zip(value.__struct_fields__, value.__struct_encode_fields__, strict=True))
        named = {renamed[name]: part for name, part in parts.items()}
        if config.array_like:
            return [*([] if config.tag is None else [config.tag]), *named.values()]
        return named if config.tag is None else {cast(str, config.tag_field): config.tag, **named}

    def _dict(self, value: dict[Any, Any], path: str) -> dict[str, Any]:
        plain: dict[str, Any] = {}
        for key, part in value.items():
            text = _key(key, path)
            if text in plain:
                raise EncodingError(
                    f"{path}[{key!r}]", f"another key reads {text!r} as well", "Use keys of one type."
                )
            plain[text] = self.plain(part, _step(path, key))
        return plain

    def _set(self, value: set[Any], path: str) -> list[Any]:
        """In the order of the encoded bytes: a set's own order differs from process to process."""
        return sorted((self.plain(part, f"{path}{{}}") for part in value), key=_encode)

    def _scalar(self, value: Any, kind: type[Any], path: str) -> Any:
        for hook in self._hooks:
            found = hook.to_jsonable(value)
            if found is not JSONTypeConverter.Unhandled:
                return self.plain(found, path)
        for base in (str, int, float):
            if isinstance(value, base):
                return self.plain(_UNWRAP[base](value), path)
        if kind is msgspec.Raw:
            return _raw(value, path)
        what = (
            f"{kind.__module__}.{kind.__qualname__}" if kind.__module__ != "builtins" else kind.__qualname__
        )
        raise EncodingError(path, f"nothing is known about the class {what}", _CLASS_CURE)


def _step(path: str, key: Any) -> str:
    return f"{path}.{key}" if isinstance(key, str) and key.isidentifier() else f"{path}[{key!r}]"


def _key(key: Any, path: str) -> str:
    """The text that a key becomes, as msgspec writes it."""
    where = f"{path}[{key!r}]"
    if isinstance(key, str) and not isinstance(key, enum.Enum):
        return _text(str.__str__(key), where)
    if isinstance(key, float) and not math.isfinite(key):
        raise EncodingError(where, f"the key {key!r} is not a finite number", "Use a text as the key.")
    if isinstance(key, enum.Enum):
        return str(_enum(key, where).value)
    try:
        [text] = msgspec.json.decode(_encode({key: None}))
    except TypeError:
        raise EncodingError(
            where,
            f"a key of type {type(key).__name__} does not read back",
            "Use keys that are text or whole numbers, or a list of pairs.",
        ) from None
    return cast(str, text)


def _text(value: str, path: str) -> str:
    if "\0" in value:
        raise EncodingError(
            path, "its text holds U+0000, which databases cut or refuse", "Remove it, or pass bytes."
        )
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise EncodingError(
            path,
            f"its text holds the lone surrogate U+{ord(value[error.start]):04X}, which is no character",
            "Decode the bytes with errors='replace', or pass bytes.",
        ) from None
    return value


def _int(value: int, path: str) -> int:
    if abs(value) >= 1 << 4096:
        raise EncodingError(path, "the number has more than 4096 bits", "Pass it as bytes or as text.")
    return value


def _float(value: float, path: str) -> float:
    if not math.isfinite(value):
        raise EncodingError(path, f"JSON has no {value!r}", "Use None, a text or a Decimal for it.")
    return value


def _moment(value: Any, path: str) -> Any:
    if not offset_is_exact(value):
        raise EncodingError(
            path, "its UTC offset has seconds, which would be lost", "Convert it to UTC first."
        )
    return value


def _enum(value: enum.Enum, path: str) -> enum.Enum:
    problem = enum_problem(type(value))
    if problem is not None:
        raise EncodingError(path, problem, "Give the enum such values, or pass `.name`.")
    return value


def _raw(value: msgspec.Raw, path: str) -> msgspec.Raw:
    try:
        msgspec.json.decode(value)
    except msgspec.DecodeError as error:
        raise EncodingError(path, f"this Raw is not JSON: {error}", _RAW_CURE) from None
    return value


_LEAVES: dict[type, Callable[[Any, str], Any]] = {
    str: _text,
    int: _int,
    float: _float,
    dt.datetime: _moment,
    dt.time: _moment,
}

_UNWRAP: Mapping[type, Callable[[Any], Any]] = {str: str.__str__, int: int.__int__, float: float.__float__}


def _class_of(value: object) -> type[Any]:
    """`type`, which type checkers take for unknown when it is asked about Any."""
    return type(value)


def largest_part(value: Any, path: str) -> tuple[str, int]:
    """Path and bytes of what makes a plain value large: the smallest part that holds most of it."""
    size = len(_encode(value))
    while True:
        kind = _class_of(value)
        parts: list[tuple[str, Any]] = []
        if kind is dict:
            parts = [(_step(path, key), part) for key, part in value.items()]
        elif kind is list:
            parts = [(f"{path}[{at}]", part) for at, part in enumerate(value)]
        sizes = [(len(_encode(part)), where, part) for where, part in parts]
        most = max(sizes, key=lambda one: one[0], default=None)
        if most is None or most[0] * 2 < size:
            return path, size
        size, path, value = most
