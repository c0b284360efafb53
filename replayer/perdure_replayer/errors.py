"""What replay can say besides a turn.

ReplayError
├── NonDeterminismError       code and history disagree
├── TurnFailedError           workflow code raised what does not fail the run
├── QueryFailedError          a query's handler is unknown or raised
├── ReadOnlyContextError      a query tried to change the run
├── RestrictedCallError       workflow code used the world: clock, randomness, threads, sockets, files
├── UnknownReplayFormatError  the run was started by a newer perdure
├── TurnTooLongError          workflow code kept the loop busy without waiting
├── TurnTimeoutError          workflow code kept its worker busy without waiting
└── BrokenRunError            our bug: a live run was used after it failed, closed or was evicted
"""


class ReplayError(Exception):
    """Base of every error of replay."""


class NonDeterminismError(ReplayError):
    """The code asked for something else than what the history records; nothing was written."""

    def __init__(self, run_id: str, seq: int, recorded: str, issued: str, where: str) -> None:
        self.run_id = run_id
        self.seq = seq
        """The first event that differs."""
        self.recorded = recorded
        """What the history has there, or 'nothing'."""
        self.issued = issued
        """What the code asked for, or 'nothing'."""
        self.where = where
        """file:line of the workflow code that asked (or where it waits)."""
        super().__init__(
            f"run {run_id} diverged at event {seq}: history has {recorded}, the code asked for {issued} ({where}). "
            "Nothing was written and the run is set aside. Bring back the code that wrote this history; see "
            "docs/how-to/change-running-workflows.md."
        )


class TurnFailedError(ReplayError):
    """Workflow code raised an exception that fails the turn, not the run; `__cause__` is that exception."""

    def __init__(self, run_id: str, turn: int, error: BaseException) -> None:
        self.run_id = run_id
        self.turn = turn
        self.error = error
        super().__init__(
            f"turn {turn} of run {run_id} failed: {type(error).__name__}: {error}. What came in is kept and the "
            "turn is tried again, so mend the code and restart the worker. Raise ApplicationError to fail the run instead."
        )


class TurnTimeoutError(ReplayError):
    """Workflow code computed longer than its worker allows (`turn_timeout`) without waiting; the turn failed.

    Made without facts, because it is thrown from outside into whatever the code is doing.
    """

    def __init__(self) -> None:
        super().__init__(
            "workflow code computed for too long without waiting, and held up every other run of its worker. Move "
            "the work into an activity, await something in the loop, or raise the worker's turn_timeout"
        )


class QueryFailedError(ReplayError):
    """A query could not be answered; the run is unchanged."""

    def __init__(self, run_id: str, query: str, why: str) -> None:
        self.run_id = run_id
        self.query = query
        self.why = why
        super().__init__(f"query {query!r} of run {run_id} failed: {why}")


class ReadOnlyContextError(ReplayError):
    """A query handler asked for something that would change the run."""

    def __init__(self, action: str) -> None:
        self.action = action
        super().__init__(
            f"cannot {action} in a query: queries only read. Do it in the workflow's run method or in a signal handler."
        )


class RestrictedCallError(ReplayError):
    """Workflow code used something whose answer differs on replay."""

    def __init__(self, what: str, where: str, cure: str) -> None:
        self.what = what
        self.where = where
        """file:line of the call."""
        self.cure = cure
        super().__init__(
            f"{what} is used in workflow code at {where}: its answer would differ on replay. {cure}"
        )


class UnknownReplayFormatError(ReplayError):
    """The run was started under rules of replay that this version does not know; nothing was written."""

    def __init__(self, run_id: str, found: int, known: int) -> None:
        self.run_id = run_id
        self.found = found
        self.known = known
        super().__init__(
            f"run {run_id} was started with replay format {found}, and this perdure knows formats up to {known}. "
            "Nothing was written; upgrade perdure on this worker."
        )


class TurnTooLongError(ReplayError):
    """Workflow code kept the loop busy without ever waiting for an event."""

    def __init__(self, run_id: str, callbacks: int) -> None:
        self.run_id = run_id
        self.callbacks = callbacks
        super().__init__(
            f"run {run_id} made {callbacks:,} steps in one turn without waiting for an activity, a timer or a signal. "
            "Wait with workflow.wait_condition or asyncio.sleep with a delay above zero instead of polling."
        )


class BrokenRunError(ReplayError):
    """A live run that failed before was used again; evict it and replay its history into a new one."""

    def __init__(self, run_id: str, action: str, why: str) -> None:
        self.run_id = run_id
        self.action = action
        super().__init__(
            f"cannot {action} run {run_id}: {why}. Evict the live run and replay the history into a new one."
        )


class Evicted(BaseException):
    """Raised in workflow code that asks for something while its run is being dropped; never leaves the replayer."""
