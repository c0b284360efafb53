"""Any event of any type, with text that JSON and databases find hard."""

import types
import typing

import msgspec
from hypothesis import strategies as st

from perdure_history.events import EVENT_TYPES, EventBase, RetryPolicyRecord
from perdure_history.failures import Failure
from perdure_history.payloads import NO_JSON, Payload

WEIRD = [
    "",
    "\0",
    "a\0b",
    "\ufeff",
    "\u2028\u2029",
    "\U0010ffff",
    "\uffff",
    "é",
    "e\u0301",
    "\x7f\x85",
    '"\\/',
    "\r\n\t",
    "𝕏",
    "\u202e",
    " a ",
    "NaN",
    "-0",
    "1e999",
    "</script>",
]

texts = st.one_of(st.text(st.characters(exclude_categories=["Cs"])), st.sampled_from(WEIRD))
integers = st.integers(min_value=-(2**63), max_value=2**63 - 1)
floats = st.floats(allow_nan=False, allow_infinity=False)
json_values = st.recursive(
    st.one_of(st.none(), st.booleans(), integers, floats, texts),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=8,
)
raw_json = json_values.map(lambda value: msgspec.Raw(msgspec.json.encode(value)))

payloads = st.one_of(
    st.builds(Payload, json=raw_json, metadata=st.dictionaries(texts, texts, max_size=2)),
    st.builds(Payload, json=st.just(NO_JSON), encoding=texts, data=st.binary(), ref=texts),
)


def values_of(annotation):
    """A strategy for a field's type."""
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if annotation is Payload:
        return payloads
    if annotation is Failure:
        return failures
    if annotation is RetryPolicyRecord:
        return structs_of(RetryPolicyRecord)
    if origin in (typing.Union, types.UnionType):
        return st.one_of([st.none() if part is type(None) else values_of(part) for part in arguments])
    if origin is tuple:
        return st.lists(values_of(arguments[0]), max_size=3).map(tuple)
    if origin is dict:
        return st.dictionaries(texts, values_of(arguments[1]), max_size=3)
    simple = {str: texts, int: integers, float: floats, bool: st.booleans()}
    return simple[annotation] if annotation in simple else st.from_type(annotation)


def structs_of(cls):
    """A strategy for a struct: each field absent, or any value of its type."""
    fields = msgspec.structs.fields(cls)
    hints = typing.get_type_hints(cls)
    required = {field.name: values_of(hints[field.name]) for field in fields if field.required}
    optional = {field.name: values_of(hints[field.name]) for field in fields if not field.required}
    return st.fixed_dictionaries(required, optional=optional).map(lambda kwargs: cls(**kwargs))


failures = st.deferred(lambda: structs_of(Failure))


def events(cls: type[EventBase] | None = None):
    """Any event; of the given class, when one is given."""
    return (
        structs_of(cls) if cls is not None else st.one_of([structs_of(one) for one in EVENT_TYPES.values()])
    )
