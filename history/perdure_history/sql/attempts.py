"""What an earlier attempt of the same transaction meant to write."""

from perdure_history.ids import RunId


class Attempt:
    """Remembered from attempt to attempt of one call.

    When the outcome of a COMMIT is unknown, the transaction is run again; it reads the rows and compares them
    with this, so that the caller gets the answer that was lost. What an attempt that was rolled back meant to
    write is not found, and is then written.
    """

    def __init__(self) -> None:
        self.started: RunId | None = None
        """The run that was inserted."""
        self.claimed: dict[RunId, int] = {}
        """Run id -> epoch of the runs that were claimed."""
        self.freed: int | None = None
        """How many runs a death set free."""
        self.beaten: int | None = None
        """The beat that was written."""
