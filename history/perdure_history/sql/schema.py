"""Every table and index of a perdure database, in SQLAlchemy Core.

All names begin with `perdure_`, so that a database may hold its user's own tables as well. Every key begins
with the run or the namespace, so that a database can be sharded by it. Times are integers, microseconds since
1970 UTC; JSON is text, byte for byte what was hashed.

Some tables and columns serve capabilities that come later (forks, schedules, updates, activities on other
workers, large payloads): they are in the first migration so that old databases need none of their own.
"""

from sqlalchemy import (
    BigInteger,
    Column,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
    column,
)

metadata = MetaData()

_KEY = BigInteger().with_variant(Integer(), "sqlite")
"""A generated key: SQLite numbers rows by itself only when the type is spelled INTEGER."""

HASH_BYTES = 32


def _text(name: str) -> Column[str]:
    return Column(name, Text, nullable=False)


def _maybe_text(name: str) -> Column[str]:
    return Column(name, Text)


def _number(name: str) -> Column[int]:
    return Column(name, BigInteger, nullable=False)


def _maybe_number(name: str) -> Column[int]:
    return Column(name, BigInteger)


def _hash(name: str, *, nullable: bool = False) -> Column[bytes]:
    return Column(name, LargeBinary(HASH_BYTES), nullable=nullable)


def _index_where_set(name: str, *columns: str, present: str) -> Index:
    """An index without the rows that no poll looks for, where the database can leave them out."""
    is_set = column(present).is_not(None)
    return Index(name, *columns, sqlite_where=is_set, postgresql_where=is_set)


# A rowid table with a unique index, not one keyed by (run_id, seq): a group commit over many runs then writes
# the rows to a few pages at the table's end and only short keys into the index (416 pages instead of 1,686 for
# 1,000 runs of two rows, and twice the rows a second).
history = Table(
    "perdure_history",
    metadata,
    _text("run_id"),
    _number("seq"),
    _maybe_number("turn"),
    _text("type"),
    _number("recorded_at"),
    _text("actor"),
    _text("attributes"),
    _hash("hash"),
    UniqueConstraint("run_id", "seq", name="perdure_history_key"),
)

runs = Table(
    "perdure_runs",
    metadata,
    Column("run_id", Text, primary_key=True),
    _text("namespace"),
    _text("workflow_id"),
    _number("nth"),
    _maybe_text("open_id"),
    _text("workflow_type"),
    _text("task_queue"),
    _text("status"),
    _number("started_at"),
    _maybe_number("closed_at"),
    _text("request_id"),
    _maybe_text("owner"),
    _number("epoch"),
    _maybe_number("wake_at"),
    _maybe_text("orphaned_by"),
    _maybe_text("problem"),
    _maybe_number("history_length"),
    _maybe_text("memo"),
    _maybe_text("search_attributes"),
    _maybe_text("parent_run_id"),
    _maybe_number("parent_seq"),
    _maybe_text("fork_run_id"),
    _maybe_number("fork_seq"),
    _hash("fork_hash", nullable=True),
    _number("claims"),
    _maybe_number("claim_head"),
    _maybe_text("actor"),
    _maybe_text("reason"),
    UniqueConstraint("namespace", "open_id", name="perdure_runs_open"),
    UniqueConstraint("namespace", "workflow_id", "nth", name="perdure_runs_nth"),
    Index("perdure_runs_request", "namespace", "workflow_id", "request_id"),
    Index("perdure_runs_listing", "namespace", "started_at", "run_id"),
    _index_where_set("perdure_runs_due", "namespace", "task_queue", "wake_at", present="wake_at"),
    _index_where_set("perdure_runs_owner", "owner", present="owner"),
    _index_where_set("perdure_runs_problem", "run_id", present="problem"),
)

# Ids are never reused (AUTOINCREMENT): a commit that is repeated names the messages it took by their ids.
inbox = Table(
    "perdure_inbox",
    metadata,
    Column("id", _KEY, primary_key=True, autoincrement=True),
    _text("run_id"),
    _text("type"),
    _text("attributes"),
    _text("request_id"),
    _text("actor"),
    _number("sent_at"),
    UniqueConstraint("run_id", "request_id", name="perdure_inbox_request"),
    sqlite_autoincrement=True,
)

workers = Table(
    "perdure_workers",
    metadata,
    Column("incarnation", Text, primary_key=True),
    _text("identity"),
    _text("task_queues"),
    _number("started_at"),
    _number("beat"),
    _number("lease_us"),
    _text("state"),
    _text("boot_id"),
    _text("lock_file"),
    _number("lock_inode"),
    Index("perdure_workers_state", "state", "started_at"),
)

tasks = Table(
    "perdure_tasks",
    metadata,
    Column("id", _KEY, primary_key=True, autoincrement=True),
    _text("run_id"),
    _number("seq"),
    _text("namespace"),
    _text("task_queue"),
    _text("activity_type"),
    _text("attributes"),
    _number("attempt"),
    _number("available_at"),
    _number("priority"),
    _maybe_text("claimed_by"),
    _number("cancel_requested"),
    UniqueConstraint("run_id", "seq", name="perdure_tasks_key"),
    Index("perdure_tasks_claim", "namespace", "task_queue", "claimed_by", "priority", "available_at"),
    sqlite_autoincrement=True,
)

schedules = Table(
    "perdure_schedules",
    metadata,
    _text("namespace"),
    _text("schedule_id"),
    _text("spec"),
    _text("state"),
    _maybe_number("next_at"),
    _number("version"),
    _text("actor"),
    _number("updated_at"),
    UniqueConstraint("namespace", "schedule_id", name="perdure_schedules_key"),
)

updates = Table(
    "perdure_updates",
    metadata,
    _text("run_id"),
    _text("update_id"),
    _text("stage"),
    _maybe_number("seq"),
    _maybe_text("outcome"),
    _number("updated_at"),
    UniqueConstraint("run_id", "update_id", name="perdure_updates_key"),
)

queries = Table(
    "perdure_queries",
    metadata,
    Column("id", _KEY, primary_key=True, autoincrement=True),
    _text("run_id"),
    _text("query_type"),
    _text("arguments"),
    _text("asked_by"),
    _number("deadline_at"),
    _maybe_text("answer"),
    Index("perdure_queries_run", "run_id"),
    sqlite_autoincrement=True,
)

activity_state = Table(
    "perdure_activity_state",
    metadata,
    _text("run_id"),
    _number("seq"),
    _number("attempt"),
    _text("details"),
    _number("beat_at"),
    UniqueConstraint("run_id", "seq", name="perdure_activity_state_key"),
)

effects = Table(
    "perdure_effects",
    metadata,
    _text("run_id"),
    _number("seq"),
    _number("attempt"),
    _number("recorded_at"),
    UniqueConstraint("run_id", "seq", name="perdure_effects_key"),
)

heads = Table(
    "perdure_heads",
    metadata,
    Column("run_id", Text, primary_key=True),
    _number("length"),
    _hash("hash"),
    _text("actor"),
    _text("reason"),
    _number("recorded_at"),
)

retention_door = Table(
    "perdure_retention_door",
    metadata,
    Column("run_id", Text, primary_key=True),
    _text("actor"),
    _text("reason"),
    _number("opened_at"),
)

payloads = Table(
    "perdure_payloads",
    metadata,
    Column("ref", Text, primary_key=True),
    _text("encoding"),
    Column("data", LargeBinary, nullable=False),
    _number("stored_at"),
)

migrations = Table(
    "perdure_schema",
    metadata,
    Column("version", Integer, primary_key=True, autoincrement=False),
    _text("name"),
    _text("checksum"),
    _number("event_format"),
    _number("applied_at"),
)
