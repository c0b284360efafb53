"""Which runs a filter admits, and in which order and pages they are listed."""

from perdure_history.records import RunFilter, RunRecord


def admits(where: RunFilter, run: RunRecord) -> bool:
    """Whether all conditions of the filter hold; times are exclusive, texts compare byte for byte."""
    return (
        run.namespace == where.namespace
        and (not where.statuses or run.status in where.statuses)
        and (not where.workflow_types or run.workflow_type in where.workflow_types)
        and (where.workflow_id is None or run.workflow_id == where.workflow_id)
        and (where.workflow_id_prefix is None or run.workflow_id.startswith(where.workflow_id_prefix))
        and (where.run_id_prefix is None or run.run_id.startswith(where.run_id_prefix))
        and (where.task_queue is None or run.task_queue == where.task_queue)
        and (where.owner is None or run.owner == where.owner)
        and (where.started_after is None or run.started_at > where.started_after)
        and (where.started_before is None or run.started_at < where.started_before)
        and (where.with_problem is None or (run.problem is not None) == where.with_problem)
    )


def listing_key(run: RunRecord) -> tuple[int, str]:
    """Runs are listed by this key, greatest first: newest start, then greatest run id.

    Both parts descend, so that one index serves the order and the pages.
    """
    return run.started_at, run.run_id


def cursor_after(run: RunRecord) -> str:
    """The cursor of a page that ends with `run`."""
    return f"{run.started_at}:{run.run_id}"


def parse_cursor(cursor: str) -> tuple[int, str]:
    """The listing key of the last run of the page before; ValueError when no page gave this cursor."""
    started_at, colon, run_id = cursor.partition(":")
    if not colon or not started_at.lstrip("-").isdecimal():
        raise ValueError(f"{cursor!r} is not a cursor; give back the `cursor` of the last RunPage")
    return int(started_at), run_id
