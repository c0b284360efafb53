"""One user value <-> one payload."""

import contextlib
from collections.abc import Callable, Sequence
from typing import Any, cast

import msgspec

from perdure.common import RawValue
from perdure.converter import _pydantic
from perdure.converter._json_types import JSONTypeConverter
from perdure.converter._normal_form import Normalizer, largest_part
from perdure.converter._plainness import is_plain
from perdure.exceptions import DecodingError, EncodingError, InvalidOptionError, PayloadTooLargeError
from perdure_history.payloads import Payload

SIZE_LIMIT = 2 * 1024 * 1024
"""Bytes that one payload may have, unless a converter says otherwise."""

_JSON = "json/plain"
_BINARY = "binary/plain"
_encode = msgspec.json.Encoder().encode
_Raw = msgspec.Raw


class PayloadConverter:
    """Values as JSON by their types, bytes as they are. Stateless but for its caches; any thread may use it.

    `type_converters` teach it foreign classes. `size_limit` is in bytes, for each payload. A subclass may
    override `to_payload` and `from_payload`, which must be pure: they run again on replay.
    """

    def __init__(self, *type_converters: JSONTypeConverter, size_limit: int = SIZE_LIMIT) -> None:
        if size_limit < 1:
            raise InvalidOptionError("size_limit", size_limit, "it must be at least 1 byte")
        self._hooks = type_converters
        self._size_limit = size_limit
        self._decoders: dict[Any, Callable[[Any], Any]] = {}

    def to_payload(self, value: Any) -> Payload:
        """The durable form of `value`. Raises EncodingError, naming the field, when it would not read back."""
        try:
            encoded = _encode(value) if type(value) not in _BYTES and is_plain(value) else b""
        except (ValueError, TypeError, RecursionError):
            encoded = b""
        if not encoded or b"\\u0000" in encoded:
            return self._to_payload_with_care(value)
        if len(encoded) > self._size_limit:
            raise _too_large(encoded, self._size_limit)
        return Payload(_Raw(encoded))

    def from_payload(self, payload: Payload, hint: Any = Any) -> Any:
        """The value that a payload stands for, as the type `hint`; Any gives plain JSON types.

        Raises DecodingError, naming the field, when the payload does not fit the type.
        """
        if payload.encoding != _JSON or hint is RawValue:
            return self._from_other_payload(payload, hint)
        try:
            decode = self._decoders[hint]
        except (KeyError, TypeError):
            decode = self._decoder(hint)
        try:
            return decode(payload.json)
        except (msgspec.MsgspecError, ValueError, TypeError, NotImplementedError, RecursionError) as error:
            raise _decoding_error(error, hint) from error

    def to_payloads(self, values: Sequence[Any]) -> list[Payload]:
        """Each value's payload, in order."""
        return [self.to_payload(value) for value in values]

    def from_payloads(
        self, payloads: Sequence[Payload], type_hints: Sequence[Any] | None = None
    ) -> list[Any]:
        """Each payload's value, in order; payloads beyond the hints decode as plain JSON types."""
        hints = list(type_hints or ())
        hints += [Any] * (len(payloads) - len(hints))
        return [self.from_payload(payload, hint) for payload, hint in zip(payloads, hints, strict=False)]

    def _to_payload_with_care(self, value: Any) -> Payload:
        if isinstance(value, RawValue):
            return value.payload
        if isinstance(value, _BYTES):
            data = bytes(cast("bytes", value))
            if len(data) > self._size_limit:
                raise PayloadTooLargeError("value", len(data), self._size_limit)
            return Payload(encoding=_BINARY, data=data)
        plain = Normalizer(self._hooks).plain(value, "value")
        try:
            encoded = _encode(plain)
        except (ValueError, TypeError, RecursionError) as error:
            raise EncodingError("value", str(error), "Pass a value that JSON can express.") from error
        if len(encoded) > self._size_limit:
            raise _too_large(encoded, self._size_limit)
        return Payload(_Raw(encoded))

    def _from_other_payload(self, payload: Payload, hint: Any) -> Any:
        if hint is RawValue:
            return RawValue(payload)
        if payload.encoding != _BINARY:
            raise DecodingError(
                _shown(hint), "value", f"its encoding {payload.encoding!r} is unknown to this converter"
            )
        if hint is bytearray:
            return bytearray(payload.data)
        if hint in (Any, object, bytes, memoryview) or bytes in getattr(hint, "__args__", ()):
            return payload.data
        raise DecodingError(
            _shown(hint), "value", f"it is {len(payload.data)} raw bytes, recorded from a bytes value"
        )

    def _decoder(self, hint: Any) -> Callable[[Any], Any]:
        """The decoder of a type, made once."""
        try:
            if _pydantic.is_model_class(hint):
                decode = _pydantic.decoder_of(hint)
            else:
                decode = msgspec.json.Decoder(hint, dec_hook=self._decode_foreign).decode
        except TypeError as error:
            if not _pydantic.mentions_model(hint):
                raise DecodingError(_shown(hint), "value", f"this type cannot be decoded: {error}") from error
            decode = _pydantic.decoder_of(hint)
        with contextlib.suppress(TypeError):  # a hint that does not hash, such as Annotated with a list
            self._decoders[hint] = decode
        return decode

    def _decode_foreign(self, kind: type, value: Any) -> Any:
        """Answer msgspec, which asks here for classes that it does not know."""
        if _pydantic.is_model_class(kind):
            return _pydantic.from_jsonable(kind, value)
        for hook in self._hooks:
            found = hook.to_typed_value(kind, value)
            if found is not JSONTypeConverter.Unhandled:
                return found
        return value


_BYTES = (bytes, bytearray, memoryview)


def _too_large(encoded: bytes, limit: int) -> PayloadTooLargeError:
    path, _ = largest_part(msgspec.json.decode(encoded), "value")
    return PayloadTooLargeError(path, len(encoded), limit)


def _decoding_error(error: Exception, hint: Any) -> DecodingError:
    why, _, at = str(error).partition(" - at `$")
    return DecodingError(_shown(hint), "value" + at.removesuffix("`"), why)


def _shown(hint: Any) -> str:
    return hint.__qualname__ if isinstance(hint, type) and not hasattr(hint, "__args__") else str(hint)
