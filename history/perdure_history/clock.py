"""The machine's wall clock: the only place on this floor that reads one."""

# By name: the guards of workflow code stand before `time.time_ns`, and this one is asked several times a step.
from time import time_ns


def wall_clock() -> int:
    """Microseconds since 1970 UTC by this machine's clock, which may be stepped either way."""
    return time_ns() // 1000
