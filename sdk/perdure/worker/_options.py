"""WorkerOptions: how a worker behaves, checked before it starts."""

from dataclasses import dataclass
from datetime import timedelta

from perdure.exceptions import InvalidOptionError


@dataclass(frozen=True, kw_only=True)
class WorkerOptions:
    """Numbers of one worker. Raises InvalidOptionError that names the field."""

    max_cached_workflows: int = 1000
    """Runs kept in memory between turns. Beyond it the least recently used idle ones are released and come
    back when they are due; 0: every turn replays its run."""
    max_concurrent_workflow_tasks: int = 100
    """Runs held at once when that is more than the cache."""
    max_concurrent_activities: int = 100
    """Attempts running at once; also the number of threads for sync activities."""
    graceful_shutdown_timeout: timedelta = timedelta()
    """How long running activities may take to end after shutdown began; then they are cancelled and their
    attempts are made again by the next worker."""
    lease: timedelta = timedelta(seconds=15)
    """A worker without a heartbeat for this long loses its runs. On one machine a dead process is found at once."""
    turn_timeout: timedelta | None = timedelta(seconds=5)
    """How long workflow code may compute between two waits; then its turn fails, so that one endless loop does
    not hold up every run. None: for ever, as a debugger needs."""
    probe_interval: timedelta = timedelta(milliseconds=200)
    """How often the other processes of this machine are looked at; costs no statement."""

    def __post_init__(self) -> None:
        for name, least in (
            ("max_cached_workflows", 0),
            ("max_concurrent_workflow_tasks", 1),
            ("max_concurrent_activities", 1),
        ):
            value = getattr(self, name)
            if type(value) is not int or value < least:
                raise InvalidOptionError(name, value, f"it must be a whole number, {least} or more")
        if self.graceful_shutdown_timeout < timedelta():
            raise InvalidOptionError(
                "graceful_shutdown_timeout", self.graceful_shutdown_timeout, "it must not be negative"
            )
        for name in ("lease", "probe_interval", "turn_timeout"):
            if (value := getattr(self, name)) is not None and value <= timedelta():
                raise InvalidOptionError(name, getattr(self, name), "it must be longer than nothing")
