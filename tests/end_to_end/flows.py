"""Workflows and activities of the crash tests. Worker processes import them, so they hold no test state."""

import asyncio
import json
import os
import time
from dataclasses import dataclass
from datetime import timedelta

from perdure import activity, workflow
from perdure.common import RetryPolicy
from perdure.exceptions import ActivityError, ApplicationError

QUEUE = "crash-tests"
QUICK = RetryPolicy(initial_interval=timedelta(milliseconds=10), maximum_interval=timedelta(milliseconds=50))
MINUTE = timedelta(minutes=1)

EFFECTS = "PERDURE_TEST_EFFECTS"
"""Environment variable with the file to which activities write that they ran, outside the database."""


def leave_trace(word: str, **more: object) -> None:
    """Write to the effects file what ran; a file of another world, as an activity's effects are."""
    path = os.environ.get(EFFECTS)
    if path is None:
        return
    info = activity.info()
    line = json.dumps(
        {
            "run_id": info.workflow_run_id,
            "activity_id": info.activity_id,
            "word": word,
            "attempt": info.attempt,
            "pid": os.getpid(),
            "at": time.monotonic_ns(),
            **more,
        }
    )
    file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        os.write(file, line.encode() + b"\n")
    finally:
        os.close(file)


@activity.defn
async def step(word: str) -> str:
    leave_trace(word)
    return word


@activity.defn
def sync_step(word: str) -> str:
    leave_trace(word)
    return word


@activity.defn
async def flaky(word: str) -> str:
    """Fails its first attempt."""
    leave_trace(word)
    if activity.info().attempt == 1:
        raise ApplicationError("not yet", type="NotYet")
    return word


@activity.defn
async def patient(word: str) -> str:
    """Never ends by itself."""
    leave_trace(word)
    await asyncio.Event().wait()
    return word


@activity.defn
async def slow_step(word: str) -> str:
    """Takes 50 ms, so that kills find it running."""
    leave_trace(word)
    await asyncio.sleep(0.05)
    return word


@activity.defn
async def stubborn(word: str) -> int:
    """Fails three times, the third time with a second's rest; gives back the number of its attempt."""
    leave_trace(word)
    attempt = activity.info().attempt
    if attempt < 3:
        raise ApplicationError("not yet")
    if attempt == 3:
        raise ApplicationError("not yet", next_retry_delay=timedelta(seconds=1))
    return attempt


@activity.defn
async def forking(word: str) -> str:
    """Its first attempt forks a process that outlives it, and never ends by itself."""
    if activity.info().attempt > 1:
        return "second attempt"
    child = os.fork()
    if child == 0:
        time.sleep(120)
        os._exit(0)
    leave_trace(word, child=child)
    await asyncio.Event().wait()
    return word


@dataclass
class Order:
    """What a Kitchen run is asked to do."""

    notes: int = 2
    pause_ms: int = 20


@workflow.defn
class Kitchen:
    """Everything a run can do: activities of both kinds, a retry, timers, a fan-out, a cancellation, signals."""

    def __init__(self) -> None:
        self.notes: list[str] = []

    @workflow.signal
    def note(self, token: str) -> None:
        """`token` is a word, "@", and which try of its sender this was: a sender that crashed says it again."""
        word = token.split("@")[0]
        if word not in self.notes:
            self.notes.append(word)

    @workflow.query
    def so_far(self) -> list[str]:
        return self.notes

    @workflow.run
    async def run(self, order: Order) -> list[str]:
        words = [
            await workflow.execute_activity(step, "async", start_to_close_timeout=MINUTE, retry_policy=QUICK),
            await workflow.execute_activity(
                sync_step, "sync", start_to_close_timeout=MINUTE, retry_policy=QUICK
            ),
        ]
        await asyncio.sleep(order.pause_ms / 1000)
        words.append(
            await workflow.execute_activity(flaky, "flaky", start_to_close_timeout=MINUTE, retry_policy=QUICK)
        )
        words += await asyncio.gather(
            workflow.execute_activity(step, "left", start_to_close_timeout=MINUTE, retry_policy=QUICK),
            workflow.execute_activity(sync_step, "right", start_to_close_timeout=MINUTE, retry_policy=QUICK),
        )
        words.append(await self._canceled_activity(order))
        await workflow.wait_condition(lambda: len(self.notes) >= order.notes, timeout=timedelta(hours=1))
        return words + self.notes

    async def _canceled_activity(self, order: Order) -> str:
        handle = workflow.start_activity(
            patient, "patient", start_to_close_timeout=MINUTE, retry_policy=QUICK
        )
        await asyncio.sleep(order.pause_ms / 1000)
        handle.cancel()
        try:
            return await handle
        except ActivityError:
            return "canceled"


@workflow.defn
class Cancelable:
    """Waits until it is canceled, and then cleans up."""

    @workflow.run
    async def run(self) -> None:
        try:
            await asyncio.sleep(3600)
        finally:
            await asyncio.shield(
                workflow.execute_activity(step, "clean up", start_to_close_timeout=MINUTE, retry_policy=QUICK)
            )


@workflow.defn
async def chain(length: int) -> int:
    """Steps one after the other."""
    total = 0
    for number in range(length):
        word = await workflow.execute_activity(
            step, str(number), start_to_close_timeout=MINUTE, retry_policy=QUICK
        )
        total += int(word)
    return total


@workflow.defn
async def slow_chain(length: int) -> int:
    """Steps of 50 ms one after the other."""
    for number in range(length):
        await workflow.execute_activity(
            slow_step, str(number), start_to_close_timeout=MINUTE, retry_policy=QUICK
        )
    return length


@workflow.defn
class Listener:
    """Ends at once when it has heard `enough` signals; what comes later comes too late."""

    def __init__(self) -> None:
        self.heard = 0

    @workflow.signal
    def note(self, token: str) -> None:
        self.heard += 1

    @workflow.run
    async def run(self, enough: int) -> int:
        await workflow.wait_condition(lambda: self.heard >= enough)
        return self.heard


@workflow.defn
async def poison() -> None:
    """Kills the process that runs it."""
    os._exit(66)


@workflow.defn
async def only_once() -> str:
    """One attempt of an activity that never ends by itself."""
    return await workflow.execute_activity(
        patient, "only once", start_to_close_timeout=MINUTE, retry_policy=RetryPolicy(maximum_attempts=1)
    )


@workflow.defn
async def stubborn_flow() -> int:
    return await workflow.execute_activity(
        stubborn, "stubborn", start_to_close_timeout=MINUTE, retry_policy=QUICK
    )


@workflow.defn
async def forking_flow() -> str:
    return await workflow.execute_activity(
        forking, "forked", start_to_close_timeout=MINUTE, retry_policy=QUICK
    )


@workflow.defn
async def naps(count: int, milliseconds: int) -> int:
    """Sleeps, again and again."""
    for _ in range(count):
        await asyncio.sleep(milliseconds / 1000)
    return count


mood = {"bad": False}
"""Whether Moody's code has a bug in this process; set by the process's program."""


@workflow.defn
class Moody:
    """Its second step meets a bug, which fails the turn, until a worker comes whose code has none."""

    @workflow.run
    async def run(self, length: int) -> int:
        for number in range(length):
            await workflow.execute_activity(
                step, str(number), start_to_close_timeout=MINUTE, retry_policy=QUICK
            )
            if number == 1 and mood["bad"] and not workflow.unsafe.is_replaying():
                raise RuntimeError("a bug in the code of a class workflow")
        return length


WORKFLOWS = [
    Moody,
    Kitchen, Cancelable, chain, slow_chain, Listener, poison, only_once, stubborn_flow, forking_flow, naps,
]  # fmt: skip
ACTIVITIES = [step, sync_step, flaky, patient, slow_step, stubborn, forking]
