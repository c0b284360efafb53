"""Finds and refuses what replay cannot repeat: clocks, randomness, threads, sockets, processes and files.

Two layers: `scan` reads workflow code at decoration, `install` watches it while it runs. What neither can see is
listed in docs/explanation/determinism.md.
"""

from perdure_replayer.guards.restrictions import RESTRICTIONS, Restriction
from perdure_replayer.guards.scan import ACTIVITY_MARK, refuse, scan
from perdure_replayer.guards.watch import (
    Detour,
    Refusal,
    Target,
    install,
    is_installed,
    uninstall,
    unrestricted,
)

__all__ = [
    "ACTIVITY_MARK",
    "RESTRICTIONS",
    "Detour",
    "Refusal",
    "Restriction",
    "Target",
    "install",
    "is_installed",
    "refuse",
    "scan",
    "uninstall",
    "unrestricted",
]
