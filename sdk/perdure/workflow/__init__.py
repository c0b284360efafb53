"""Workflows: the decorators, and what their code can ask of its run.

Everything but the decorators works only in workflow code and raises NotInWorkflowError elsewhere.
"""

from perdure.workflow._activities import (
    ActivityCancellationType,
    ActivityConfig,
    ActivityHandle,
    execute_activity,
    execute_activity_method,
    start_activity,
    start_activity_method,
)
from perdure.workflow._context import (
    Info,
    ParentInfo,
    cancellation_reason,
    in_workflow,
    info,
    instance,
    new_random,
    now,
    payload_converter,
    random,
    sleep,
    time,
    time_ns,
    unsafe,
    uuid4,
    uuid7,
    wait_condition,
)
from perdure.workflow._definition import defn, init, run
from perdure.workflow._handlers import (
    all_handlers_finished,
    get_dynamic_query_handler,
    get_dynamic_signal_handler,
    get_query_handler,
    get_signal_handler,
    query,
    set_dynamic_query_handler,
    set_dynamic_signal_handler,
    set_query_handler,
    set_signal_handler,
    signal,
)
from perdure.workflow._logging import LoggerAdapter, logger
from perdure.workflow._waiting import as_completed, wait
from perdure_replayer.errors import NonDeterminismError, ReadOnlyContextError, RestrictedCallError

NondeterminismError = NonDeterminismError
"""The spelling that code written for temporalio uses."""

__all__ = [
    "ActivityCancellationType",
    "ActivityConfig",
    "ActivityHandle",
    "Info",
    "LoggerAdapter",
    "NonDeterminismError",
    "NondeterminismError",
    "ParentInfo",
    "ReadOnlyContextError",
    "RestrictedCallError",
    "all_handlers_finished",
    "as_completed",
    "cancellation_reason",
    "defn",
    "execute_activity",
    "execute_activity_method",
    "get_dynamic_query_handler",
    "get_dynamic_signal_handler",
    "get_query_handler",
    "get_signal_handler",
    "in_workflow",
    "info",
    "init",
    "instance",
    "logger",
    "new_random",
    "now",
    "payload_converter",
    "query",
    "random",
    "run",
    "set_dynamic_query_handler",
    "set_dynamic_signal_handler",
    "set_query_handler",
    "set_signal_handler",
    "signal",
    "sleep",
    "start_activity",
    "start_activity_method",
    "time",
    "time_ns",
    "unsafe",
    "uuid4",
    "uuid7",
    "wait",
    "wait_condition",
]
