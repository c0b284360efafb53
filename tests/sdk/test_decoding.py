"""What does not fit the expected type is told with the type, the field, and whose value it was."""

from collections.abc import Callable
from dataclasses import InitVar, dataclass
from typing import Annotated, Any

import msgspec
import pytest

from perdure.converter import DataConverter
from perdure.exceptions import DecodingError
from perdure_history.payloads import Payload
from tests.sdk.shapes import Customer, Item, Order

converter = DataConverter.default


class Thing:
    pass


@dataclass
class Needy:
    name: str
    seed: InitVar[int] = 0


def json(text: str) -> Payload:
    return Payload(json=msgspec.Raw(text.encode()))


@pytest.mark.parametrize(
    ("payload", "hint", "path", "why"),
    [
        (json('"x"'), int, "value", "Expected `int`, got `str`"),
        (json('{"sku": "a"}'), Item, "value", "missing required field `price`"),
        (json('[{"sku": 1, "price": "1"}]'), list[Item], "value[0].sku", "Expected `str`, got `int`"),
        (json("{}"), Customer, "value", "validation error"),
        (json('{"name": 5}'), list[Customer], "value", "Expected `array`"),
        (json('"x"'), Thing, "value", "Expected `Thing`"),
        (json("1"), Needy, "value", "InitVar"),
        (json("1"), bytes | str, "value", "cannot be decoded"),
        (json("{"), Any, "value", "truncated"),
        (Payload(encoding="binary/plain", data=b"x"), str, "value", "1 raw bytes"),
        (Payload(encoding="binary/encrypted", data=b"x"), bytes, "value", "binary/encrypted"),
    ],
)
def test_a_mismatch_names_the_type_and_the_field(payload, hint, path, why):
    with pytest.raises(DecodingError) as caught:
        converter.from_payload(payload, hint)

    assert caught.value.path == path
    assert why in str(caught.value)
    assert caught.value.expected


def test_an_error_can_be_told_with_whose_value_it_was():
    with pytest.raises(DecodingError) as caught:
        converter.from_payload(json('{"id": 5}'), Order)

    owned = caught.value.owned_by("argument 'order' of workflow 'ship'")

    assert "(argument 'order' of workflow 'ship') does not decode as Order" in str(owned)


def test_a_hint_that_does_not_hash_works_as_well():
    hint = Annotated[int, ["not", "hashable"]]

    assert converter.from_payload(json("5"), hint) == 5
    assert converter.from_payload(json("6"), hint) == 6


@pytest.mark.parametrize("hint", [Any, object, Callable, dict])
def test_loose_hints_give_plain_values(hint):
    value = {} if hint is not Callable else None
    if hint is Callable:
        with pytest.raises(DecodingError):
            converter.from_payload(json("{}"), hint)
    else:
        assert converter.from_payload(json("{}"), hint) == value


def test_unknown_fields_of_newer_code_are_ignored():
    assert converter.from_payload(json('{"sku": "a", "price": "1", "new": 1}'), Item).sku == "a"


def test_payloads_without_hints_decode_as_plain_values():
    values = converter.payload_converter.from_payloads([json('"1"'), json("2")], [int | str])

    assert values == ["1", 2]
