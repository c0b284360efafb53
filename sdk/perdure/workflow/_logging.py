"""A logger for workflow code: silent on replay, so that each line appears once."""

import logging
from collections.abc import Mapping, MutableMapping
from typing import Any

from perdure.workflow._context import info_of
from perdure_replayer.runtime import find


class LoggerAdapter(logging.LoggerAdapter[logging.Logger]):
    """Adds what is known about the running workflow to each record, and says nothing while it is replayed.

    `workflow_info_on_message` appends it to the text, `workflow_info_on_extra` puts a dict under
    `perdure_workflow` into `extra`, `full_workflow_info_on_extra` puts Info under `workflow_info` there.
    `log_during_replay` lets records through on replay.
    """

    def __init__(self, logger: logging.Logger, extra: Mapping[str, Any] | None) -> None:
        super().__init__(logger, extra or {})
        self.workflow_info_on_message = True
        self.workflow_info_on_extra = True
        self.full_workflow_info_on_extra = False
        self.log_during_replay = False

    def isEnabledFor(self, level: int) -> bool:  # noqa: N802  logging's name
        """As logging's; False on replay."""
        if not self.log_during_replay:
            runtime = find()
            if runtime is not None and runtime.is_replaying:
                return False
        return super().isEnabledFor(level)

    def process(self, msg: Any, kwargs: MutableMapping[str, Any]) -> tuple[Any, MutableMapping[str, Any]]:
        """Add the details; outside of workflows nothing is added."""
        runtime = find()
        if runtime is None:
            return msg, kwargs
        known = info_of(runtime)
        details = known.logger_details()
        extra = dict(kwargs.get("extra") or {})
        if self.workflow_info_on_extra:
            extra["perdure_workflow"] = details
        if self.full_workflow_info_on_extra:
            extra["workflow_info"] = known
        kwargs["extra"] = extra
        return (f"{msg} ({details})" if self.workflow_info_on_message else msg), kwargs

    @property
    def base_logger(self) -> logging.Logger:
        """The logger beneath, for handlers and levels."""
        return self.logger


logger = LoggerAdapter(logging.getLogger("perdure.workflow"), None)
"""Logger that knows which workflow is running, and is silent on replay."""
