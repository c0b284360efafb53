"""Orders go through a worker process that is killed with SIGKILL again and again; nothing is lost or done twice.

    python demo.py [--orders N] [--kills N] [--keep FOLDER]

Exits with 0 only if an independent log, kept outside the database, agrees with what the database recorded.
"""

import argparse
import asyncio
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from itertools import cycle
from pathlib import Path

from audit import print_audit
from check import problems
from outside_world import LOG_VARIABLE, append, entries
from screen import Screen
from workflows import NEEDS_APPROVAL_CENTS

from perdure.client import Client
from perdure_history.records import RunFilter

HERE = Path(__file__).parent
QUEUE = "orders"
AT_ONCE = "16"
PATIENCE_SECONDS = 150
RUNS = RunFilter(namespace="default")


class Worker:
    """The worker: a process of its own, started by the command line as anybody would."""

    def __init__(self, database: Path, log: Path, output: Path) -> None:
        self.database = database
        self.environment = os.environ | {LOG_VARIABLE: str(log), "PYTHONUNBUFFERED": "1"}
        self.output = output
        self.process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        with self.output.open("ab") as output:
            self.process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "perdure.cli", "worker", "workflows", "--queue", QUEUE,
                "--concurrency", AT_ONCE, "--db", str(self.database),
                cwd=HERE, env=self.environment, stdout=output, stderr=output,
            )  # fmt: skip

    async def kill(self) -> int:
        """SIGKILL: the process gets no chance to do anything. Gives back its process id."""
        process = self._running()
        process.send_signal(signal.SIGKILL)
        await process.wait()
        return process.pid

    def leave_nothing_behind(self) -> None:
        """Kill it if it still runs: the demo itself was interrupted."""
        if self.process is not None and self.process.returncode is None:
            self.process.kill()

    async def stop(self) -> int:
        """SIGTERM: it finishes what it does and ends. Gives back its exit code."""
        process = self._running()
        process.send_signal(signal.SIGTERM)
        return await asyncio.wait_for(process.wait(), 30)

    @property
    def pid(self) -> int:
        return self._running().pid

    def _running(self) -> asyncio.subprocess.Process:
        if self.process is None or self.process.returncode is not None:
            raise SystemExit(
                f"the worker ended by itself; its last words:\n{self.output.read_text()[-2000:]}"
            )
        return self.process

    check_running = _running


class Progress:
    """What the outside world has seen so far, read from its log as it grows."""

    def __init__(self, log: Path) -> None:
        self.log = log
        self.read_to = 0
        self.done: set[tuple[str, str]] = set()
        self.open: dict[tuple[str, str], int] = {}
        self.approved = 0
        self.started = 0
        self.first_attempt: dict[int, float] = {}

    def look(self) -> None:
        found, self.read_to = entries(self.log, self.read_to)
        for entry in found:
            match entry["what"]:
                case "begin":
                    self.first_attempt.setdefault(entry["pid"], entry["at"])
                    self.open[entry["order"], entry["step"]] = entry["pid"]
                case "failed":
                    self.open.pop((entry["order"], entry["step"]), None)
                case "done":
                    self.open.pop((entry["order"], entry["step"]), None)
                    self.done.add((entry["order"], entry["step"]))
                case "started":
                    self.started += 1
                case "signaled":
                    self.approved += 1

    def in_the_middle(self, pid: int) -> list[tuple[str, str]]:
        """Steps that this process has begun and not done."""
        return [step for step, owner in self.open.items() if owner == pid]


def read_orders(limit: int | None) -> list[dict]:
    lines = (HERE / "orders.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines[:limit]]


async def start_orders(
    client: Client, orders: list[dict], log: Path, to_approve: asyncio.Queue[str | None]
) -> None:
    """One run an order. What the database acknowledged is noted outside it, and must be found in it later."""
    for order in orders:
        handle = await client.start_workflow("OrderWorkflow", order, id=order["order_id"], task_queue=QUEUE)
        append({"what": "started", "order": order["order_id"], "run_id": handle.result_run_id}, str(log))
        if order["total_cents"] >= NEEDS_APPROVAL_CENTS:
            to_approve.put_nowait(order["order_id"])
    to_approve.put_nowait(None)


async def approve_large(client: Client, log: Path, to_approve: asyncio.Queue[str | None]) -> None:
    """Approve the large orders one after the other, whether or not a worker is alive at that moment."""
    for approver in cycle(["dana@shop.example", "lee@shop.example"]):
        order_id = await to_approve.get()
        if order_id is None:
            return
        await client.get_workflow_handle(order_id).signal("approve", approver)
        append({"what": "signaled", "order": order_id, "by": approver}, str(log))
        await asyncio.sleep(0.12)


async def kill_again_and_again(
    worker: Worker, progress: Progress, screen: Screen, *, kills: int, steps: int
) -> None:
    """Kill the worker `kills` times, spread over the work, each time while activities are in the middle."""
    for number in range(1, kills + 1):
        while len(progress.done) < steps * number // (kills + 1) or not progress.in_the_middle(worker.pid):
            worker.check_running()
            await asyncio.sleep(0.005)
            progress.look()
        pid = await worker.kill()
        killed_at = time.time()
        progress.look()
        cut = progress.in_the_middle(pid)
        such = (
            f", such as {cut[0][1]} of {cut[0][0]}" if cut else ""
        )  # the last may end as the signal is sent
        screen.say(f"kill -9 {pid} while {len(cut)} activities were under way{such}")
        for one in cut:
            progress.open.pop(one)
        await worker.start()
        while worker.pid not in progress.first_attempt:
            worker.check_running()
            await asyncio.sleep(0.005)
            progress.look()
        pause = progress.first_attempt[worker.pid] - killed_at
        screen.say(
            f"worker {worker.pid} goes on with all of them, {pause:.2f} s after the kill (Python's start included)"
        )


async def run(database: Path, log: Path, output: Path, options: argparse.Namespace) -> list[dict]:
    orders = read_orders(options.orders)
    large = [order for order in orders if order["total_cents"] >= NEEDS_APPROVAL_CENTS]
    worker, progress = Worker(database, log, output), Progress(log)
    try:
        async with await Client.connect(f"sqlite:///{database}", identity="shop") as client:
            with Screen(orders=len(orders), large=len(large)) as screen:
                screen.say(
                    f"{len(orders)} orders, {len(large)} of them need approval; the database is {database}"
                )
                await worker.start()
                async with asyncio.TaskGroup() as tasks:
                    to_approve: asyncio.Queue[str | None] = asyncio.Queue()
                    tasks.create_task(start_orders(client, orders, log, to_approve))
                    tasks.create_task(approve_large(client, log, to_approve))
                    steps = 3 * len(orders)
                    killing = tasks.create_task(
                        kill_again_and_again(worker, progress, screen, kills=options.kills, steps=steps)
                    )
                    await watch(client, worker, progress, screen, killing=killing, runs=len(orders))
                status = await worker.stop()
                screen.say(
                    f"all {len(orders)} runs are closed; the worker was asked to stop: exit code {status}"
                )
    finally:
        worker.leave_nothing_behind()
    return orders


async def watch(
    client: Client,
    worker: Worker,
    progress: Progress,
    screen: Screen,
    *,
    killing: asyncio.Task[None],
    runs: int,
) -> None:
    """Show how far things are until every run is closed."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        progress.look()
        counts = await client.store.count_runs(RUNS)
        screen.show(progress, counts)
        if killing.done():
            worker.check_running()
            if sum(counts.values()) == runs and not counts.get("running"):
                return
        if time.monotonic() > deadline:
            raise SystemExit(
                f"not finished after {PATIENCE_SECONDS} s: {counts}; kept in {progress.log.parent}"
            )
        await asyncio.sleep(0.1)


def verified(database: Path) -> bool:
    """Ask the command line to verify every chain of the database."""
    command = [sys.executable, "-m", "perdure.cli", "verify", "--db", str(database)]
    return subprocess.run(command, check=False, cwd=HERE).returncode == 0


def report(database: Path, log: Path, orders: list[dict]) -> bool:
    """Print the audit and the checks; give back whether all is well."""
    said, _ = entries(log)
    events = print_audit(database, said)
    print("\n=== Verification of every hash chain")
    intact = verified(database)
    print("\n=== The log outside the database against the database")
    found = problems(said, events, [order["order_id"] for order in orders])
    begun = sum(entry["what"] == "begin" for entry in said)
    done = {entry["key"] for entry in said if entry["what"] == "done"}
    starts = sum(entry["what"] == "started" for entry in said)
    signals = sum(entry["what"] == "signaled" for entry in said)
    print(
        f"{starts} starts and {signals} signals were acknowledged; {begun} attempts were made for {len(done)} steps."
    )
    for problem in found[:50]:
        print(f"PROBLEM  {problem}")
    if found or not intact:
        print(f"\nFAILED: {len(found)} problems; everything is kept in {database.parent}")
        return False
    print(
        "Each start, signal and step is recorded exactly once. Nothing was lost, nothing was recorded twice."
    )
    return True


def main() -> int:
    """Run the demo in a folder that is removed afterwards, unless something is wrong or --keep names it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--orders", type=int, help="only the first so many orders")
    parser.add_argument("--kills", type=int, default=6)
    parser.add_argument("--keep", type=Path, help="keep database and log in this folder")
    options = parser.parse_args()
    folder = options.keep or Path(tempfile.mkdtemp(prefix="perdure-demo-"))
    folder.mkdir(parents=True, exist_ok=True)
    database, log = folder / "orders.db", folder / "outside_world.log"
    if database.exists() or log.exists():
        parser.error(f"{folder} holds an earlier demo; name another folder")
    began = time.monotonic()
    orders = asyncio.run(run(database, log, folder / "worker.log", options))
    well = report(database, log, orders)
    print(f"{time.monotonic() - began:.0f} s")
    if well and options.keep is None:
        shutil.rmtree(folder)
    return 0 if well else 1


if __name__ == "__main__":
    sys.exit(main())
