"""pydantic models as payloads; pydantic is imported only when a model turns up, which means it already was."""

import sys
from collections.abc import Callable
from typing import Any, cast, get_args

import msgspec

from perdure.exceptions import EncodingError

_encode = msgspec.json.Encoder().encode
_adapters: dict[Any, Any] = {}


def is_model_class(kind: object) -> bool:
    """Whether a class is a pydantic model or a pydantic dataclass."""
    return "pydantic" in sys.modules and hasattr(kind, "__pydantic_validator__") and isinstance(kind, type)


def mentions_model(hint: object) -> bool:
    """Whether a type hint is, or contains, a pydantic model."""
    return is_model_class(hint) or any(mentions_model(part) for part in get_args(hint))


def dump(value: Any, kind: type, path: str) -> Any:
    """The model as JSON values, by alias. Its sets are in the order of their encoded bytes."""
    adapter = _adapter(kind)
    try:
        jsonable = adapter.dump_python(value, mode="json", by_alias=True, round_trip=True)
    except Exception as error:  # pydantic's serializers, and users' own, raise what they like
        raise EncodingError(
            path,
            f"pydantic cannot serialize this {kind.__name__}: {error}",
            "Fix the model's serializer; for bytes set ser_json_bytes and val_json_bytes to 'base64'.",
        ) from error
    return _with_sorted_sets(
        jsonable, adapter.dump_python(value, mode="python", by_alias=True, round_trip=True)
    )


def decoder_of(hint: Any) -> Callable[[Any], Any]:
    """Bytes of JSON -> a value of the type; raises pydantic's ValidationError."""
    adapter = _adapter(hint)

    def decode(json: Any) -> Any:
        return adapter.validate_json(bytes(json))

    return decode


def from_jsonable(kind: type, value: Any) -> Any:
    """A model from JSON values that were decoded already, for models inside other types."""
    return _adapter(kind).validate_json(_encode(value))


def _adapter(hint: Any) -> Any:
    found = _adapters.get(hint)
    if found is None:
        # Typed as Any: pydantic is an extra, and need not be there when this is type checked.
        found = _adapters[hint] = cast(Any, sys.modules["pydantic"]).TypeAdapter(hint)
    return found


def _class_of(value: object) -> type[Any]:
    """`type`, which type checkers take for unknown when it is asked about Any."""
    return type(value)


def _with_sorted_sets(jsonable: Any, python: Any) -> Any:
    """`jsonable`, with each list sorted that was a set in `python`: the same dump, before it became JSON."""
    now, was = _class_of(jsonable), _class_of(python)
    if now is list and issubclass(was, (set, frozenset)):
        return sorted(jsonable, key=_encode)
    if now not in (dict, list) or was not in (dict, list, tuple) or len(jsonable) != len(python):
        return jsonable
    if now is dict:
        pairs = zip(jsonable.items(), python.values(), strict=True)
        return {key: _with_sorted_sets(part, before) for (key, part), before in pairs}
    return [_with_sorted_sets(part, before) for part, before in zip(jsonable, python, strict=True)]
