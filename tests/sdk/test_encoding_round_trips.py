"""decode(encode(value)) == value, for every kind of type, and equal values have equal bytes."""

import datetime as dt
import os
import subprocess
import sys
from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from perdure.common import RawValue
from perdure.converter import DataConverter, JSONTypeConverter, PayloadConverter
from perdure.definitions import did_you_mean
from perdure_history.codec import decode_event, encode_event
from perdure_history.events import WorkflowExecutionCompleted
from tests.sdk.shapes import (
    Address,
    Box,
    Color,
    Customer,
    Event,
    Everything,
    Item,
    Level,
    Order,
    Pair,
    Parcel,
    Point,
    Right,
)

converter = DataConverter.default

texts = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=20)
floats = st.floats(allow_nan=False, allow_infinity=False)
integers = st.one_of(st.integers(), st.integers(-(2**200), 2**200))
decimals = st.decimals(allow_nan=False)
offsets = st.integers(-1439, 1439).map(lambda minutes: dt.timezone(dt.timedelta(minutes=minutes)))
moments = st.datetimes(
    dt.datetime(2, 1, 1), dt.datetime(9998, 12, 31), timezones=st.none() | st.just(dt.UTC) | offsets
)
spans = st.timedeltas()
plain = st.recursive(
    st.none() | st.booleans() | integers | floats | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=12,
)
items = st.builds(Item, texts, decimals, st.integers(), st.sets(texts, max_size=4))
orders = st.builds(
    Order, st.uuids(), st.lists(items, max_size=3), st.none() | st.sampled_from(Color), st.none() | texts
)
events = st.builds(Event, moments, st.sampled_from(Level), st.sets(st.integers(0, 9)))
everything = st.builds(
    Everything,
    moments,
    st.dates(),
    st.times(),
    spans,
    decimals,
    st.uuids(),
    st.binary(max_size=20),
    st.sampled_from([Right.READ, Right.READ | Right.WRITE]),
    st.dictionaries(st.dates(), st.integers(), max_size=3),
    st.dictionaries(integers, texts, max_size=3),
)
customers = st.builds(
    lambda name, born, nick, groups: Customer(name=name, born=born, nickName=nick, groups=groups),
    texts,
    st.dates(),
    st.none() | texts,
    st.sets(texts, max_size=4),
)
typed = st.one_of(
    st.tuples(integers, st.just(int)),
    st.tuples(floats, st.just(float)),
    st.tuples(texts, st.just(str)),
    st.tuples(st.none(), st.just(type(None))),
    st.tuples(st.booleans(), st.just(bool)),
    st.tuples(st.binary(), st.just(bytes)),
    st.tuples(moments, st.just(dt.datetime)),
    st.tuples(spans, st.just(dt.timedelta)),
    st.tuples(orders, st.just(Order)),
    st.tuples(st.lists(orders, max_size=2), st.just(list[Order])),
    st.tuples(events, st.just(Event)),
    st.tuples(everything, st.just(Everything)),
    st.tuples(st.builds(Pair, texts, st.lists(st.integers(), max_size=3).map(tuple)), st.just(Pair)),
    st.tuples(st.builds(Parcel, floats, texts), st.just(Parcel)),
    st.tuples(st.builds(Point, st.integers(), floats), st.just(Point)),
    st.tuples(st.builds(Box, orders), st.just(Box[Order])),
    st.tuples(customers, st.just(Customer)),
    st.tuples(st.builds(Box, customers), st.just(Box[Customer])),
    st.tuples(st.lists(customers, max_size=2), st.just(list[Customer])),
    st.tuples(st.none() | customers, st.just(Customer | None)),
    st.tuples(st.frozensets(st.integers()), st.just(frozenset[int])),
    st.tuples(st.sets(texts), st.just(set[str])),
    st.tuples(st.tuples(st.integers(), texts), st.just(tuple[int, str])),
    st.tuples(st.fixed_dictionaries({"street": texts}, optional={"zip": st.integers()}), st.just(Address)),
    st.tuples(st.none() | st.integers() | texts, st.just(int | str | None)),
    st.tuples(st.dictionaries(st.uuids().map(str), orders, max_size=2), st.just(dict[str, Order])),
)


@given(typed)
def test_a_value_reads_back_as_its_type(case):
    value, hint = case

    payload = converter.to_payload(value)

    assert converter.from_payload(payload, hint) == value
    assert converter.to_payload(value) == payload


@given(plain)
def test_plain_json_reads_back_without_a_type(value):
    assert converter.from_payload(converter.to_payload(value), Any) == value


@given(plain)
def test_a_payload_survives_the_log(value):
    event = WorkflowExecutionCompleted(result=converter.to_payload(value))

    assert decode_event("WorkflowExecutionCompleted", encode_event(event)) == event


@given(st.dictionaries(texts, st.integers(), min_size=2))
def test_the_order_of_a_dict_is_kept(value):
    decoded = converter.from_payload(converter.to_payload(value), dict[str, int])

    assert list(decoded) == list(value)


def test_sets_have_the_same_bytes_in_every_process():
    expressions = (
        "{'a', 'b', 'c', 'd'}",
        "[{'k': frozenset('efgh')}]",
        "Item('x', 1, 1, {'a', 'b', 'c', 'd'})",
        "Event(None, seen_by={'a', 'b', 'c', 'd'})",
        "Customer(name='n', born='2020-01-01', groups={'a', 'b', 'c', 'd'})",
    )
    code = (
        "from perdure.converter import DataConverter; from tests.sdk.shapes import *;"
        f"print([bytes(DataConverter.default.to_payload(one).json) for one in ({', '.join(expressions)})])"
    )

    answers = {
        subprocess.run(
            [sys.executable, "-c", code],
            env=os.environ
            | {"PYTHONHASHSEED": str(seed), "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
        ).stdout
        for seed in (1, 2, 3)
    }

    assert len(answers) == 1


def test_bytes_stand_beside_json_and_not_in_it():
    payload = converter.to_payload(b"\0\xff")

    assert payload.encoding == "binary/plain"
    assert payload.data == b"\0\xff"
    assert converter.from_payload(payload, Any) == b"\0\xff"
    assert converter.from_payload(payload, bytes | None) == b"\0\xff"
    assert converter.from_payload(converter.to_payload(bytearray(b"x")), bytearray) == bytearray(b"x")


def test_a_raw_value_passes_untouched():
    payload = converter.to_payload({"a": 1})

    raw = converter.from_payload(payload, RawValue)

    assert raw == RawValue(payload)
    assert converter.to_payload(raw) is payload


def test_a_text_that_looks_like_an_escape_is_not_taken_for_one():
    assert converter.from_payload(converter.to_payload("\\u0000"), str) == "\\u0000"


def test_subclasses_of_builtins_are_recorded_as_what_they_are():
    class Celsius(float):
        pass

    class Name(str):
        __slots__ = ()

    payload = converter.to_payload({Name("k"): [Celsius(1.5), Name("n")]})

    assert converter.from_payload(payload, Any) == {"k": [1.5, "n"]}


def test_unset_fields_are_left_out():
    class Partial(msgspec.Struct):
        name: str | msgspec.UnsetType = msgspec.UNSET
        seen: set[int] | msgspec.UnsetType = msgspec.UNSET

    payload = converter.to_payload(Partial(seen={1}))

    assert bytes(payload.json) == b'{"seen":[1]}'
    assert converter.from_payload(payload, Partial) == Partial(seen={1})


class Version:
    def __init__(self, text: str) -> None:
        self.text = text

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Version) and other.text == self.text

    __hash__ = None  # type: ignore[assignment]  # only compared


class Versions(JSONTypeConverter):
    def to_jsonable(self, value: Any) -> Any:
        return {"version": value.text} if isinstance(value, Version) else self.Unhandled

    def to_typed_value(self, hint: type, value: Any) -> Any:
        return Version(value["version"]) if hint is Version else self.Unhandled


def test_a_type_converter_teaches_a_foreign_class():
    taught = PayloadConverter(Versions())

    payload = taught.to_payload({"of": Version("1.2")})

    assert taught.from_payload(payload, dict[str, Version]) == {"of": Version("1.2")}


def test_names_that_are_close_are_suggested():
    assert did_you_mean("chrage", ["charge", "ship"]) == "did you mean 'charge'?"
    assert did_you_mean("zzz", ["charge", "ship"]) == "known: 'charge', 'ship'"
    assert did_you_mean("zzz", []) == "none is known"
    assert did_you_mean("zzz", [f"a{n}" for n in range(12)]).endswith("and 2 more")
