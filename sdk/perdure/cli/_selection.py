"""From what the user typed to the run that is meant."""

from difflib import get_close_matches

from perdure.cli._exits import CommandError, Exit
from perdure_history.errors import RunNotFoundError
from perdure_history.records import RunFilter, RunRecord
from perdure_history.store import RunStore

SHORTEST_PREFIX = 4


async def select_run(store: RunStore, namespace: str, given: str) -> RunRecord:
    """The newest run of the workflow id `given`, or the run whose run id is or uniquely begins with it.

    Ends the command with exit code 3 (and near misses) when there is none, 2 when a prefix fits several.
    """
    if not given.strip():
        raise CommandError("The name of a run cannot be empty.", Exit.USAGE)
    try:
        return await store.find_run(namespace, given)
    except RunNotFoundError:
        pass
    found = await _by_run_id(store, namespace, given)
    if len(found) == 1:
        return found[0]
    if found:
        shown = "\n".join(f"  {run.run_id}  {run.workflow_id}" for run in found)
        raise CommandError(
            f"{given!r} begins the run id of several runs; type more of it:\n{shown}", Exit.USAGE
        )
    raise CommandError(await _not_found(store, namespace, given), Exit.NOT_FOUND)


async def _by_run_id(store: RunStore, namespace: str, given: str) -> list[RunRecord]:
    prefix = given.lower()
    if len(prefix) < SHORTEST_PREFIX or prefix.strip("0123456789abcdef-"):
        return []
    page = await store.list_runs(RunFilter(namespace=namespace, run_id_prefix=prefix), limit=10)
    return list(page.runs)


async def _not_found(store: RunStore, namespace: str, given: str) -> str:
    page = await store.list_runs(RunFilter(namespace=namespace), limit=1_000)
    if not page.runs:
        return f"No run {given!r}: there are no runs at all in namespace {namespace!r} of this database."
    near = get_close_matches(given, {run.workflow_id for run in page.runs}, n=3)
    hint = f" Did you mean {' or '.join(near)}?" if near else " `perdure list` shows what is there."
    return f"No run with workflow id or run id {given!r} in namespace {namespace!r}.{hint}"
