"""Law 7: decode(encode(event)) == event, for every type and any value."""

import contextlib
import json
import sqlite3

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perdure_history.chain import GENESIS, event_hash
from perdure_history.codec import decode_event, encode_event
from perdure_history.errors import CorruptHistoryError
from perdure_history.events import EVENT_TYPES
from tests.laws.event_strategies import events, texts


@pytest.mark.parametrize("cls", EVENT_TYPES.values(), ids=list(EVENT_TYPES))
@settings(max_examples=30, deadline=None)
@given(data=st.data())
def test_every_event_is_what_its_text_decodes_to(cls, data):
    event = data.draw(events(cls))

    text = encode_event(event)

    decoded = decode_event(cls.__name__, text)
    assert decoded == event
    assert encode_event(decoded) == text
    assert json.loads(text) is not None


@settings(max_examples=50, deadline=None)
@given(event=events())
def test_the_text_is_kept_byte_for_byte_by_a_database(event):
    text = encode_event(event)

    with contextlib.closing(sqlite3.connect(":memory:")) as connection:
        [(stored, valid)] = connection.execute("SELECT ?, json_valid(?)", (text, text))

    assert (stored, valid) == (text, 1)


@settings(max_examples=50, deadline=None)
@given(event=events())
def test_a_field_that_a_newer_version_adds_does_not_hide_the_event(event):
    fields = msgspec.json.decode(encode_event(event), type=dict[str, msgspec.Raw])
    newer = msgspec.json.encode({**fields, "added_later": [1]}).decode()

    decoded = decode_event(type(event).__name__, newer)

    assert decoded == event


@given(text=texts, type_name=texts)
def test_any_other_text_is_a_typed_error(text, type_name):
    with pytest.raises(CorruptHistoryError) as caught:
        decode_event(type_name, text, run_id="run-1", seq=7)

    assert (caught.value.run_id, caught.value.seq) == ("run-1", 7)


ROWS = st.tuples(
    st.integers(1, 99), st.none() | st.integers(0, 99), st.sampled_from(list(EVENT_TYPES)), texts,
    st.integers(0, 2**62), texts,
)  # fmt: skip


@given(one=ROWS, other=ROWS)
def test_two_rows_that_differ_have_different_hashes(one, other):
    def digest(row):
        seq, turn, type_name, actor, at, attributes = row
        return event_hash(GENESIS, "run", seq, turn, type_name, actor, at, attributes)

    assert (digest(one) == digest(other)) == (one == other)
