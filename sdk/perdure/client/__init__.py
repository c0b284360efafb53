"""Clients: start runs, find them, talk to them."""

from perdure.client._addresses import open_store, sqlite_path
from perdure.client._client import Client
from perdure.client._errors import (
    AddressError,
    WorkflowClosedError,
    WorkflowFailureError,
    WorkflowNotFoundError,
    WorkflowQueryFailedError,
)
from perdure.client._execution import (
    HistoryEntry,
    PendingActivityInfo,
    WorkflowExecution,
    WorkflowExecutionDescription,
    WorkflowExecutionStatus,
    WorkflowHistory,
)
from perdure.client._handle import WorkflowHandle
from perdure.service import RPCError, RPCStatusCode

__all__ = [
    "AddressError",
    "Client",
    "HistoryEntry",
    "PendingActivityInfo",
    "RPCError",
    "RPCStatusCode",
    "WorkflowClosedError",
    "WorkflowExecution",
    "WorkflowExecutionDescription",
    "WorkflowExecutionStatus",
    "WorkflowFailureError",
    "WorkflowHandle",
    "WorkflowHistory",
    "WorkflowNotFoundError",
    "WorkflowQueryFailedError",
    "open_store",
    "sqlite_path",
]
