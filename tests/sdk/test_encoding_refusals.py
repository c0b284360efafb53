"""What would not read back is refused before anything is written, with the field and the cure."""

import datetime as dt
import enum
from dataclasses import InitVar, dataclass
from typing import Any

import msgspec
import pydantic
import pytest

from perdure.converter import DataConverter, PayloadConverter
from perdure.exceptions import (
    ConversionError,
    EncodingError,
    InvalidOptionError,
    PayloadTooLargeError,
    PerdureError,
)
from tests.sdk.shapes import Box, Item, Mixed, Order

converter = DataConverter.default
nan = float("nan")


class Thing:
    pass


@dataclass
class Needy:
    name: str
    seed: InitVar[int] = 0


class Unprintable(pydantic.BaseModel):
    data: bytes


def cyclic() -> list[Any]:
    value: list[Any] = []
    value.append({"again": value})
    return value


def deep() -> Any:
    value: Any = 1
    for _ in range(3000):
        value = [value]
    return value


SEVEN_SECONDS = dt.timezone(dt.timedelta(seconds=7))


@pytest.mark.parametrize(
    ("value", "path", "why"),
    [
        (nan, "value", "JSON has no nan"),
        ([1.0, float("-inf")], "value[1]", "JSON has no -inf"),
        ({"a": {"b": [0, nan]}}, "value.a.b[1]", "JSON has no nan"),
        ({"not a name": nan}, "value['not a name']", "JSON has no nan"),
        (Order("id", [Item("a", 1), Item("b", nan)]), "value.items[1].price", "JSON has no nan"),
        (Box((1, Box(nan))), "value.content[1].content", "JSON has no nan"),
        ({1: nan}, "value[1]", "JSON has no nan"),
        ("a\0b", "value", "U+0000"),
        ({"k": ["a\0b"]}, "value.k[0]", "U+0000"),
        ({"a\0b": 1}, "value['a\\x00b']", "U+0000"),
        ("\ud800", "value", "U+D800"),
        ([{"k": "x\udfff"}], "value[0].k", "U+DFFF"),
        ([10**5000], "value[0]", "4096 bits"),
        (Thing(), "value", "class tests.sdk.test_encoding_refusals.Thing"),
        ({"a": [object()]}, "value.a[0]", "class object"),
        ((x for x in [1]), "value", "class generator"),
        (1j, "value", "class complex"),
        ({"f": len}, "value.f", "class builtin_function_or_method"),
        ({(1, 2): 3}, "value[(1, 2)]", "key of type tuple"),
        ({None: 3}, "value[None]", "key of type NoneType"),
        ({"a": {True: 3}}, "value.a[True]", "key of type bool"),
        ({nan: 3}, "value[nan]", "not a finite number"),
        ({1: "a", "1": "b"}, "value['1']", "another key reads '1'"),
        (Mixed.NUMBER, "value", "values are not all text or all whole numbers"),
        ([Needy("x")], "value[0]", "InitVar"),
        (dt.datetime(2020, 1, 1, tzinfo=SEVEN_SECONDS), "value", "offset has seconds"),
        ({"t": dt.time(1, tzinfo=SEVEN_SECONDS)}, "value.t", "offset has seconds"),
        ([msgspec.Raw(b"{")], "value[0]", "not JSON"),
        (cyclic(), "value[0].again", "contains itself"),
        (deep(), "value" + "[0]" * 100, "more than 100 levels"),
        ({"m": Unprintable(data=b"\xff")}, "value.m", "pydantic cannot serialize"),
        ({1, nan}, "value{}", "JSON has no nan"),
    ],
)
def test_the_field_is_named(value, path, why):
    with pytest.raises(EncodingError) as caught:
        converter.to_payload(value)

    error = caught.value
    assert error.path == path
    assert why in error.why
    assert error.cure
    assert str(error).startswith(path)
    assert "Nothing was written" in str(error)
    assert isinstance(error, ConversionError)
    assert isinstance(error, PerdureError)


def test_none_beside_numbers_is_not_taken_for_nan():
    assert bytes(converter.to_payload({"a": None, "b": 1.5}).json) == b'{"a":null,"b":1.5}'


def test_a_value_over_the_limit_names_what_is_large():
    small = PayloadConverter(size_limit=100)

    with pytest.raises(PayloadTooLargeError) as caught:
        small.to_payload({"order": {"items": ["x", "y" * 200]}})

    assert caught.value.path == "value.order.items[1]"
    assert caught.value.limit == 100
    assert caught.value.size > 200


@pytest.mark.parametrize("value", ["x" * 97, [["x" * 93]], b"x" * 99])
def test_the_limit_itself_is_allowed(value):
    assert PayloadConverter(size_limit=99).to_payload(value).size == 99


@pytest.mark.parametrize("value", ["x" * 98, {"x" * 60, "y" * 60}, b"x" * 100])
def test_one_byte_more_than_the_limit_is_not(value):
    with pytest.raises(PayloadTooLargeError):
        PayloadConverter(size_limit=99).to_payload(value)


def test_the_default_limit_is_two_mebibytes():
    with pytest.raises(PayloadTooLargeError, match="2097152"):
        converter.to_payload(b"x" * (2 * 1024 * 1024 + 1))


def test_a_limit_of_nothing_is_refused():
    with pytest.raises(InvalidOptionError):
        PayloadConverter(size_limit=0)


def test_an_error_can_be_told_with_the_name_of_the_argument():
    with pytest.raises(EncodingError) as caught:
        converter.to_payload({"items": [nan]})

    named = caught.value.named("order", "activity 'charge'")

    assert str(named).startswith("order.items[0] of activity 'charge' cannot be encoded")


def test_too_large_stays_too_large_when_named():
    with pytest.raises(PayloadTooLargeError) as caught:
        PayloadConverter(size_limit=1).to_payload("xxx")

    named = caught.value.named("order", "activity 'charge'")

    assert isinstance(named, PayloadTooLargeError)
    assert named.path == "order"


def test_a_payload_converter_never_imports_by_name():
    class Sneaky(enum.Enum):
        A = "os.system"

    payload = converter.to_payload(Sneaky.A)

    assert converter.from_payload(payload, Any) == "os.system"
