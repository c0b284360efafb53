"""What a caller of the client catches.

    PerdureError
    ├── WorkflowFailureError          the awaited run failed, was canceled or terminated: see `cause`
    ├── WorkflowQueryFailedError      a query could not be answered
    ├── AddressError                  the address names no kind of store
    └── RPCError                      the store refused: `status` says how
        ├── WorkflowNotFoundError     NOT_FOUND: no such run
        └── WorkflowClosedError       NOT_FOUND: the run has ended

WorkflowAlreadyStartedError (`perdure.exceptions`) says that the id policies forbid a start. A store's own
trouble (`perdure_history.errors.StoreError`) passes through as it is.
"""

from collections.abc import Generator
from contextlib import contextmanager

from perdure.exceptions import PerdureError, WorkflowAlreadyStartedError
from perdure.service import RPCError, RPCStatusCode
from perdure_history.errors import RunAlreadyExistsError, RunClosedError, RunNotFoundError


class WorkflowFailureError(PerdureError):
    """The run did not complete; `cause` says why, as a FailureError with its own chain of causes."""

    def __init__(self, *, cause: BaseException) -> None:
        super().__init__("Workflow execution failed")
        self.__cause__ = cause

    @property
    def cause(self) -> BaseException:
        """ApplicationError, ActivityError, CancelledError, TerminatedError ..."""
        assert self.__cause__ is not None
        return self.__cause__


class WorkflowQueryFailedError(PerdureError):
    """A query could not be answered; the run is unchanged."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class AddressError(PerdureError, ValueError):
    """An address that names no kind of store; nothing was opened or made."""

    def __init__(self, address: str, why: str) -> None:
        self.address = without_password(address)
        self.why = why
        super().__init__(
            f"cannot connect to {self.address!r}: {why}. Use sqlite:///path/to/file.db, a bare path, memory:// or "
            "memory://name."
        )


class WorkflowNotFoundError(RPCError):
    """No run has this workflow id, or this run id, in this namespace."""

    def __init__(self, message: str, workflow_id: str | None, run_id: str | None) -> None:
        super().__init__(message, RPCStatusCode.NOT_FOUND)
        self.workflow_id = workflow_id
        self.run_id = run_id


class WorkflowClosedError(RPCError):
    """The run has ended and takes no messages; nothing was written."""

    def __init__(self, message: str, workflow_id: str, run_id: str, run_status: str) -> None:
        super().__init__(message, RPCStatusCode.NOT_FOUND)
        self.workflow_id = workflow_id
        self.run_id = run_id
        self.run_status = run_status


def without_password(address: str) -> str:
    """The address as it may be shown."""
    scheme, separator, rest = address.partition("://")
    user, at, host = rest.rpartition("@")
    if not at or ":" not in user:
        return address
    return f"{scheme}{separator}{user.partition(':')[0]}:***@{host}"


@contextmanager
def translated() -> Generator[None, None, None]:
    """Raise a store's refusals as what callers of the client catch."""
    try:
        yield
    except RunNotFoundError as error:
        raise WorkflowNotFoundError(str(error), error.workflow_id, error.run_id) from error
    except RunClosedError as error:
        raise WorkflowClosedError(str(error), error.workflow_id, error.run_id, error.status) from error
    except RunAlreadyExistsError as error:
        raise WorkflowAlreadyStartedError(
            error.workflow_id, error.workflow_type, run_id=error.run_id
        ) from error
