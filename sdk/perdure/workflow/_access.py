"""The run that the calling code belongs to."""

from perdure.exceptions import NotInWorkflowError
from perdure_replayer.runtime import Runtime, find


def current(what: str) -> Runtime:
    """The run; NotInWorkflowError, naming `what` was called, outside of workflow code."""
    runtime = find()
    if runtime is None:
        raise NotInWorkflowError(f"workflow.{what}")
    return runtime
