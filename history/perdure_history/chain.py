"""The hash chain: each event's hash covers the event, its place, and the event before it."""

from collections.abc import Iterable
from hashlib import sha256

import msgspec

from perdure_history.codec import encode_event
from perdure_history.events import Event
from perdure_history.records import EventRow

GENESIS = bytes(32)
"""Stands for the hash before a run's first event."""


def event_hash(
    previous: bytes,
    run_id: str,
    seq: int,
    turn: int | None,
    type_name: str,
    actor: str,
    recorded_at: int,
    attributes: str,
) -> bytes:
    """SHA-256 over the previous hash, everything in the row, and the SHA-256 of its attributes text.

    `actor` is the only free text and is preceded by its length, so that no two rows share an encoding.
    """
    place = (
        f"{run_id}\n{seq}\n{'' if turn is None else turn}\n{type_name}\n{recorded_at}\n{len(actor)}:{actor}\n"
    )
    return sha256(previous + place.encode() + sha256(attributes.encode()).digest()).digest()


def seal(
    run_id: str,
    events: Iterable[tuple[Event, int | None, str]],
    *,
    prev_seq: int,
    prev_hash: bytes,
    recorded_at: int,
) -> tuple[EventRow, ...]:
    """Rows for `events` (event, turn, actor), numbered from prev_seq + 1 and chained to prev_hash."""
    rows: list[EventRow] = []
    seq = prev_seq
    for event, turn, actor in events:
        seq += 1
        type_name = type(event).__name__
        attributes = encode_event(event)
        prev_hash = event_hash(prev_hash, run_id, seq, turn, type_name, actor, recorded_at, attributes)
        rows.append(EventRow(seq, turn, type_name, attributes, recorded_at, actor, prev_hash))
    return tuple(rows)


class Defect(msgspec.Struct, frozen=True):
    """Something in a stored history that the runtime never writes."""

    run_id: str
    seq: int
    what: str
