"""What workflow code can ask for: one struct a command, and how it compares with what history recorded.

CONTRACT for the options below (agreed); the command structs are to follow.
"""

import enum

import msgspec

from perdure_history.events import RetryPolicyRecord
from perdure_history.payloads import Payload


class CancellationType(enum.IntEnum):
    """What awaiting code sees when it cancels an activity."""

    TRY_CANCEL = 0
    """Ask the activity to stop and raise at once."""
    WAIT_CANCELLATION_COMPLETED = 1
    """Ask the activity to stop and raise, or return, what it ends with."""
    ABANDON = 2
    """Do not ask; raise at once."""


class ActivityOptions(msgspec.Struct, frozen=True, kw_only=True):
    """How an activity is to be run, besides its name and arguments. Durations in microseconds."""

    activity_id: str | None = None
    """None: the number of the command within its run."""
    task_queue: str = ""
    schedule_to_close_timeout_us: int | None = None
    schedule_to_start_timeout_us: int | None = None
    start_to_close_timeout_us: int | None = None
    heartbeat_timeout_us: int | None = None
    retry_policy: RetryPolicyRecord = RetryPolicyRecord()
    cancellation_type: CancellationType = CancellationType.TRY_CANCEL
    headers: dict[str, Payload] = {}
    summary: str = ""
