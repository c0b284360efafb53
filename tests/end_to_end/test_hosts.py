"""Where perdure runs: under uvloop, inside a running loop as in Jupyter, after a fork, with a stepped clock."""

import asyncio
import json
import os
import subprocess
import sys
import textwrap

import pytest

import perdure
from perdure_history.errors import ForkedStoreError
from tests.checker import check
from tests.end_to_end import flows
from tests.end_to_end.acks import AckLog, read_acks
from tests.end_to_end.connecting import SteppedClock, connect
from tests.end_to_end.processes import LONG, Nursery
from tests.end_to_end.programs import Place, make_worker, scenario, start_once
from tests.end_to_end.tables import ROOT, python_path, read_tables
from tests.end_to_end.test_every_commit_point import EXPECTED
from tests.end_to_end.waiting import until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]


def play_on_uvloop(pipe, place: Place) -> None:
    import uvloop

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        pipe.send(runner.run(scenario(place)))


def test_the_whole_scenario_runs_on_uvloop(children: Nursery, place):
    pytest.importorskip("uvloop")

    outcome = children.start(play_on_uvloop, place).hear()

    assert outcome == EXPECTED
    assert check(read_tables(place.database), read_acks(place.folder)) == []


async def test_a_cell_of_a_notebook_awaits_a_run_inside_the_loop_that_runs_already(place):
    """The host's loop is running and stays the user's own: other tasks of it go on meanwhile."""
    ticks = 0

    async def tick() -> None:
        nonlocal ticks
        while True:
            ticks += 1
            await asyncio.sleep(0)

    other = asyncio.create_task(tick())
    first = await perdure.run(flows.chain, 3, id="cell-1", store=str(place.database))
    again = await perdure.run(flows.chain, 3, id="cell-2", store=str(place.database))
    other.cancel()

    assert (first, again) == (3, 3)
    assert ticks > 10


def run_in_one_line(pipe, place: Place) -> None:
    os.environ[flows.EFFECTS] = str(place.effects)
    pipe.send(asyncio.run(perdure.run(flows.slow_chain, 12, id="one-line", store=str(place.database))))


async def test_a_program_of_one_line_goes_on_where_it_was_killed(children: Nursery, place):
    """Run, kill, run again: same result, and only the step that was under way is done a second time."""
    killed = children.start(run_in_one_line, place)
    await until(lambda: len(words_done(place)) >= 4)
    killed.kill()

    result = children.start(run_in_one_line, place).hear()
    again = children.start(run_in_one_line, place).hear()

    words = words_done(place)
    assert (result, again) == (12, 12)
    assert sorted(set(words), key=int) == [str(number) for number in range(12)]
    assert len(words) <= 13
    assert check(read_tables(place.database)) == []


async def test_two_programs_of_one_line_with_one_id_share_one_run(children: Nursery, place):
    """Started at once in two processes, and the one that may hold the run is killed."""
    first, second = (children.start(run_in_one_line, place) for _ in range(2))
    await until(lambda: len(words_done(place)) >= 3)
    first.kill()

    assert second.hear() == 12

    second.join()
    dump = read_tables(place.database)
    assert len(dump.runs) == 1
    assert check(dump) == []


def words_done(place: Place) -> list[str]:
    if not place.effects.exists():
        return []
    return [json.loads(line)["word"] for line in place.effects.read_text().splitlines()]


def test_two_loops_in_two_threads_share_one_file(place):
    """Clients, workers and event loops of a process share the committer of the file."""
    import threading

    results: list[int] = []

    def one_loop(name: str) -> None:
        async def main() -> None:
            client = await connect(place.database)
            async with make_worker(client):
                log = AckLog(place.folder / f"{name}.acks")
                for number in range(10):
                    handle = await start_once(client, log, flows.chain, 3, workflow_id=f"{name}-{number}")
                    results.append(await asyncio.wait_for(handle.result(), LONG))
            await client.close()

        asyncio.run(main())

    threads = [threading.Thread(target=one_loop, args=(name,)) for name in ("left", "right")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(LONG)

    assert results == [3] * 20
    assert check(read_tables(place.database), read_acks(place.folder)) == []


def fork_after_use(pipe, place: Place) -> None:
    with asyncio.Runner() as runner:
        client = runner.run(connect(place.database))
        runner.run(perdure_count(client))
        child = os.fork()
        if child == 0:
            pipe.send(asyncio.new_event_loop().run_until_complete(what_a_use_raises(client)))
            os._exit(0)
        os.waitpid(child, 0)
        pipe.send(runner.run(perdure_count(client)))
        runner.run(client.close())


async def perdure_count(client) -> int:
    return sum((await client.store.count_runs(everything(client))).values())


def everything(client):
    from perdure_history.records import RunFilter

    return RunFilter(namespace=client.namespace)


async def what_a_use_raises(client) -> list[str]:
    raised = []
    for use in (
        perdure_count,
        lambda client: client.start_workflow(flows.chain, 1, id="x", task_queue=flows.QUEUE),
    ):
        try:
            await asyncio.wait_for(use(client), 10)
        except Exception as error:
            forked = isinstance(error, ForkedStoreError) or isinstance(error.__cause__, ForkedStoreError)
            raised.append("forked" if forked else repr(error))
        else:
            raised.append("nothing")
    return raised


def test_a_client_that_was_forked_says_so_and_the_parent_goes_on(children: Nursery, place):
    child = children.start(fork_after_use, place)

    assert child.hear(20) == ["forked", "forked"]
    assert child.hear(20) == 0
    assert child.join() == 0


@pytest.mark.parametrize("hours", [1, -1])
async def test_a_clock_that_is_stepped_in_mid_run_loses_nothing(place, hours):
    """Wall clock +1 h and -1 h during runs (H2): steps go on, turn times never run backwards, no timer is lost."""
    clock = SteppedClock()
    client = await connect(place.database, clock=clock)
    log = AckLog(place.folder / "test.acks")
    async with make_worker(client):
        stepping = [
            await start_once(client, log, flows.slow_chain, 10, workflow_id=f"s-{n}") for n in range(5)
        ]
        napping = [await start_once(client, log, flows.naps, 3, 20, workflow_id=f"n-{n}") for n in range(5)]
        await asyncio.sleep(0.1)  # let them get into the middle of their work
        clock.step(hours=hours)
        results = await asyncio.wait_for(asyncio.gather(*(one.result() for one in stepping)), LONG)
        if hours < 0:
            clock.step(hours=-hours)  # what was begun before the step is due in an hour by the stepped clock
        naps = await asyncio.wait_for(asyncio.gather(*(one.result() for one in napping)), LONG)
    await client.close()

    assert results == [10] * 5
    assert naps == [3] * 5
    assert check(read_tables(place.database), read_acks(place.folder)) == []


def test_python_in_development_mode_has_nothing_to_say(place):
    """No unclosed file, thread or loop, no never-awaited coroutine: warnings are errors, stderr stays empty."""
    program = textwrap.dedent(
        """
        import asyncio, logging, sys
        import perdure
        from tests.end_to_end import flows

        # In this mode asyncio reports whatever takes 100 ms, as the first import of a database driver may.
        logging.getLogger("asyncio").setLevel(logging.ERROR)

        async def main():
            print(await perdure.run(flows.chain, 4, id="dev", store=sys.argv[1]))

        asyncio.run(main())
        """
    )

    done = subprocess.run(
        [sys.executable, "-X", "dev", "-W", "error", "-c", program, str(place.database)],
        cwd=ROOT,
        env={"PYTHONPATH": python_path(), "PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert (done.returncode, done.stdout, done.stderr) == (0, "6\n", "")
