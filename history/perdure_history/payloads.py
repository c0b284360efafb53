"""Payload: a user's value as it stands in the log."""

import msgspec

NO_JSON = msgspec.Raw()


class Payload(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """An encoded user value.

    A JSON value stands inline, so that SQL reads it with its own JSON functions:
    ``{"json": {"amount": 12}}``. Anything else is bytes with the name of its encoding:
    ``{"encoding": "binary/plain", "data": "<base64>"}``. Two payloads are the same value if and only
    if they are equal.
    """

    json: msgspec.Raw = NO_JSON
    """The JSON text, when the encoding is JSON; empty otherwise."""
    encoding: str = "json/plain"
    data: bytes = b""
    """The bytes, when the encoding is not JSON."""
    ref: str = ""
    """SHA-256 (hex) of a value that was too large to stand inline and is kept in `perdure_payloads`."""
    metadata: dict[str, str] = {}
    """What a codec needs to know to turn the bytes back, such as a key id."""

    @property
    def size(self) -> int:
        """Bytes of the value itself, without its envelope."""
        return len(bytes(self.json)) + len(self.data)
