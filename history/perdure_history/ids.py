"""The names of things, and what a name may look like on every store alike."""

from typing import NewType

from perdure_history.errors import InvalidIdError

WorkflowId = NewType("WorkflowId", str)
"""The user's name for one business process, such as ``order-1001``."""

RunId = NewType("RunId", str)
"""One execution of a workflow: a UUIDv7 in its usual 36 characters."""

Incarnation = NewType("Incarnation", str)
"""A random id that a worker makes when it starts and never uses again."""

MAX_WORKFLOW_ID = 512
MAX_NAMESPACE = 128
MAX_NAME = 512


def check_id(kind: str, value: object, *, limit: int = MAX_WORKFLOW_ID) -> str:
    """Give back `value` if every store can hold it as an id, byte for byte.

    `limit` counts characters. The limits come from the shortest index key among the databases
    (3,072 bytes in MySQL). Outer blanks and U+0000 are refused because some databases ignore or
    refuse them; lone surrogates because they have no UTF-8 form.

    Raises InvalidIdError, before anything is written.
    """
    if not isinstance(value, str):
        raise InvalidIdError(kind, repr(value), f"it is {type(value).__name__}, not str")
    if not value:
        raise InvalidIdError(kind, value, "it is empty")
    if len(value) > limit:
        raise InvalidIdError(kind, value, f"it has {len(value)} characters; at most {limit} are allowed")
    if value != value.strip():
        raise InvalidIdError(kind, value, "it begins or ends with white space")
    check_text(kind, value)
    return value


def check_text(kind: str, value: str) -> str:
    """Give back `value` if every store can hold it as text: no U+0000, no lone surrogate.

    Raises InvalidIdError.
    """
    if "\0" in value:
        raise InvalidIdError(kind, value, "it holds the character U+0000")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise InvalidIdError(kind, value, "it holds a lone surrogate, which UTF-8 cannot encode") from None
    return value
