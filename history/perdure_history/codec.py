"""Event <-> the text that is stored and hashed.

The text is JSON without a format of its own beyond the struct's fields. Fields at their default are left
out, so that a field added later changes no stored byte; a field is never renamed or given another meaning.
A change that cannot keep to that raises FORMAT and adds an upcast below: histories replay for ever.
"""

from collections.abc import Callable
from typing import cast

import msgspec

from perdure_history.errors import CorruptHistoryError
from perdure_history.events import EVENT_TYPES, Event

FORMAT = 1
"""Version of the stored text, kept in `perdure_schema`."""

_encode = msgspec.json.Encoder().encode
_decoders: dict[str, Callable[[str | bytes], object]] = {
    name: msgspec.json.Decoder(cls).decode for name, cls in EVENT_TYPES.items()
}


def encode_event(event: Event) -> str:
    """The text of the column `attributes`."""
    return _encode(event).decode()


def decode_event(type_name: str, attributes: str, *, run_id: str = "", seq: int = 0) -> Event:
    """The event whose text is `attributes`.

    `run_id` and `seq` only serve the message of CorruptHistoryError, which is raised when the type is
    unknown (a newer perdure wrote it, or the row was changed) or the text does not fit the type.
    """
    decoder = _decoders.get(type_name)
    if decoder is None:
        raise CorruptHistoryError(
            run_id, seq, f"its type {type_name!r} is unknown to this version of perdure"
        )
    try:
        return cast(Event, decoder(attributes))
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise CorruptHistoryError(
            run_id, seq, f"its attributes do not decode as {type_name}: {error}"
        ) from error
