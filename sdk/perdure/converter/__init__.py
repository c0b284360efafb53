"""User values <-> payloads, exceptions <-> failures."""

from perdure.converter._data_converter import DataConverter, default
from perdure.converter._failure_converter import FailureConverter
from perdure.converter._json_types import JSONTypeConverter
from perdure.converter._payload_converter import PayloadConverter

DefaultPayloadConverter = PayloadConverter
"""The name that code written for temporalio uses."""

DefaultFailureConverter = FailureConverter
"""The name that code written for temporalio uses."""

__all__ = [
    "DataConverter",
    "DefaultFailureConverter",
    "DefaultPayloadConverter",
    "FailureConverter",
    "JSONTypeConverter",
    "PayloadConverter",
    "default",
]
