"""Exit codes, and the one message that an error is turned into.

0  fine
1  the run failed, the verification found something, or the request was refused
2  the command line is wrong
3  no such run
4  no usable database
"""

import os
from enum import IntEnum

from perdure.exceptions import InvalidOptionError
from perdure_history.errors import HistoryError, InvalidIdError, RunNotFoundError, StoreError


class Exit(IntEnum):
    """What the exit code says; see the module."""

    FINE = 0
    FAILED = 1
    USAGE = 2
    NOT_FOUND = 3
    NO_DATABASE = 4


class CommandError(Exception):
    """Ends the command with one message and an exit code."""

    def __init__(self, message: str, exit_code: Exit) -> None:
        super().__init__(message)
        self.message = message
        self.exit_code = exit_code


def exit_for(error: BaseException) -> Exit:
    """The exit code that an error of the layers below stands for; the nearest known cause decides."""
    cause: BaseException | None = error
    while cause is not None:
        match cause:
            case RunNotFoundError():
                return Exit.NOT_FOUND
            case StoreError():
                return Exit.NO_DATABASE
            case InvalidIdError() | InvalidOptionError():
                return Exit.USAGE
            case HistoryError():
                return Exit.FAILED
            case _:
                cause = cause.__cause__
    return Exit.FAILED


def told(error: Exception) -> CommandError:
    """The error as one clear message; PERDURE_TRACEBACK=1 lets the traceback through instead."""
    if isinstance(error, CommandError):
        return error
    if os.environ.get("PERDURE_TRACEBACK"):
        raise error
    message = str(error)
    if not isinstance(error, HistoryError) and not type(error).__module__.startswith("perdure"):
        message = f"{type(error).__name__}: {message} (PERDURE_TRACEBACK=1 shows where)"
    return CommandError(message, exit_for(error))
