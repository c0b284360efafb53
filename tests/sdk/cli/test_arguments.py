"""Arguments typed in a shell become values, or a message with exit code 2."""

import io
import sys

import pytest

from perdure.cli._arguments import parse_arguments
from perdure.cli._exits import CommandError


def test_pairs_make_one_object_and_keep_their_types():
    assert parse_arguments(("id=1001", "amount:=12.5", "paid:=true", "note=a=b")) == [
        {"id": "1001", "amount": 12.5, "paid": True, "note": "a=b"}
    ]


def test_text_and_json_stand_where_they_were_typed():
    assert parse_arguments(("hello", ":=[1,2]", "key=1", "world", "other=2")) == [
        "hello",
        [1, 2],
        {"key": "1", "other": "2"},
        "world",
    ]


@pytest.mark.parametrize("word", ["https://x.org/?a=b", "first-name=Ada", "=x", "1=2", "https://x/?a:=b"])
def test_what_has_no_identifier_before_its_equals_sign_is_text(word):
    assert parse_arguments((word,)) == [word]


def test_text_that_looks_like_a_pair_is_written_as_json():
    assert parse_arguments((':="a=b"', ':="@me"')) == ["a=b", "@me"]


def test_a_file_and_standard_input_are_json(tmp_path, monkeypatch):
    (tmp_path / "order.json").write_text('{"id": 7}')
    monkeypatch.setattr(sys, "stdin", io.StringIO("[1]"))

    assert parse_arguments((f"@{tmp_path}/order.json", "-")) == [{"id": 7}, [1]]


@pytest.mark.parametrize("words", [(":={",), ("a:=nope",), ("@no-such-file.json",), ("a=1", "a=2")])
def test_what_cannot_be_read_is_a_usage_error_that_names_it(words):
    with pytest.raises(CommandError) as caught:
        parse_arguments(words)

    assert caught.value.exit_code == 2
    assert words[-1].lstrip("@").split("=")[0].rstrip(":") in caught.value.message
