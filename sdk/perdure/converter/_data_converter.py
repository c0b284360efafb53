"""Everything between user values and the log, in one object."""

from collections.abc import Sequence
from typing import Any

from perdure.converter._failure_converter import FailureConverter
from perdure.converter._payload_converter import PayloadConverter
from perdure.exceptions import is_cancelled_exception
from perdure_history.failures import Failure
from perdure_history.payloads import Payload


class DataConverter:
    """How a client and its workers write values and exceptions down. Immutable; any thread may use it."""

    def __init__(
        self,
        payload_converter: PayloadConverter | None = None,
        failure_converter: FailureConverter | None = None,
    ) -> None:
        self.payload_converter = payload_converter or PayloadConverter()
        """Values <-> payloads."""
        self.failure_converter = failure_converter or FailureConverter()
        """Exceptions <-> failures."""
        self.to_payload = self.payload_converter.to_payload
        self.from_payload = self.payload_converter.from_payload

    default: "DataConverter"
    """The one that is used when none is given."""

    def to_payloads(self, values: Sequence[Any]) -> list[Payload]:
        """Each value's payload, in order."""
        return self.payload_converter.to_payloads(values)

    def to_failure(self, error: BaseException) -> Failure:
        """The durable form of an exception, with its cause chain and stack trace. Never raises."""
        return self.failure_converter.to_failure(error, self.payload_converter)

    def from_failure(self, failure: Failure) -> BaseException:
        """The exception that a failure stands for, with its cause chain."""
        return self.failure_converter.from_failure(failure, self.payload_converter)

    def is_cancelled(self, error: BaseException) -> bool:
        """Whether the exception is a cancellation, or an activity's or child's failure caused by one."""
        return is_cancelled_exception(error)


DataConverter.default = DataConverter()


def default() -> DataConverter:
    """The converter that clients and workers use when they are given none."""
    return DataConverter.default
