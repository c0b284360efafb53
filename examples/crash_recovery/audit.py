"""Questions to the view perdure_audit in plain SQL: anything that speaks to SQLite can ask them."""

import sqlite3
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

TRAIL = """
SELECT seq, substr(recorded_at, 12, 12) AS time, type, actor,
       coalesce(activity_type, signal_name, '') AS what, coalesce(attempt, '') AS attempt, coalesce(failure, '') AS failure
FROM perdure_audit WHERE workflow_id = ? ORDER BY seq
"""

STEPS = """
SELECT activity_type AS step,
       sum(type = 'ActivityTaskScheduled') AS asked,
       sum(type = 'ActivityTaskCompleted') AS completed,
       sum(type = 'ActivityTaskAttemptFailed' AND coalesce(json_extract(attributes, '$.lost_worker'), '') = '') AS failed_attempts,
       sum(type = 'ActivityTaskAttemptFailed' AND coalesce(json_extract(attributes, '$.lost_worker'), '') <> '') AS perhaps_cut_off
FROM perdure_audit WHERE activity_type IS NOT NULL GROUP BY activity_type ORDER BY min(seq)
"""

APPROVALS = """
SELECT json_extract(attributes, '$.input[0].json') AS approved_by, actor AS sent_by, count(*) AS orders,
       min(substr(recorded_at, 12, 12)) AS first, max(substr(recorded_at, 12, 12)) AS last
FROM perdure_audit WHERE type = 'WorkflowExecutionSignaled' GROUP BY 1, 2 ORDER BY 1
"""

EVENTS = "SELECT workflow_id, run_id, seq, type, activity_type, scheduled_seq, signal_name FROM perdure_audit"


def print_audit(database: Path, log: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Print the trail of one order and two answers; give back all events for the check."""
    begun = Counter((entry["order"], entry["step"]) for entry in log if entry["what"] == "begin")
    most = max(begun, key=lambda step: (begun[step], step), default=("", ""))[0]
    connection = sqlite3.connect(database)
    try:
        connection.row_factory = sqlite3.Row
        print(f"\n=== The audit trail of {most}")
        _print_rows(connection.execute(TRAIL, (most,)).fetchall())
        print("\n=== How often was each step asked for, completed, tried in vain, perhaps cut off by a kill?")
        print(STEPS.strip())
        _print_rows(connection.execute(STEPS).fetchall())
        print("\n=== Who approved what, and when?")
        print(APPROVALS.strip())
        _print_rows(connection.execute(APPROVALS).fetchall())
        return [dict(row) for row in connection.execute(EVENTS)]
    finally:
        connection.close()


def _print_rows(rows: list[sqlite3.Row]) -> None:
    if not rows:
        print("(no rows)")
        return
    table = [
        tuple(rows[0].keys()),
        *(tuple("" if cell is None else str(cell) for cell in row) for row in rows),
    ]
    widths = [max(len(line[column]) for line in table) for column in range(len(table[0]))]
    print()
    for line in table:
        print("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())
