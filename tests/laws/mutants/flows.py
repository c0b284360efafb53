"""Workflows to be mutated: small ones, each built from a different means of waiting.

Activities are named as texts and exist only in `world.answer`: `is_...` answers true, `no_...` false, `fails_...`
raises, any other gives its name and arguments back.
"""

import asyncio
from datetime import timedelta
from typing import Any

from perdure import workflow

act = workflow.execute_activity


async def step(name: str, value: object) -> Any:
    found = await act(name, value)
    return f"{found}!"


@workflow.defn
async def sequential(order: int) -> str:
    charged = await act("charge", order)
    reserved = await act("reserve", order)
    shipped = await act("ship", args=[charged, 2])
    return f"{charged} {reserved} {shipped}"


@workflow.defn
async def pure_work(order: int) -> int:
    fee = order * 3
    tax = order + 7
    names = sorted(["b", "a"])
    await act("charge", args=[fee, names[0]])
    total = fee + tax
    await act("book", total)
    return total


@workflow.defn
async def gathered(order: int) -> list[str]:
    first, second = await asyncio.gather(step("left", order), step("right", order))
    third = await asyncio.gather(act("up", first), act("down", second), asyncio.sleep(3))
    return [first, second, *third[:2]]


@workflow.defn
async def grouped(order: int) -> str:
    async with asyncio.TaskGroup() as group:
        one = group.create_task(step("one", order))
        two = group.create_task(step("two", order))
        group.create_task(asyncio.sleep(2))
    return await step("join", one.result() + two.result())


@workflow.defn
async def timers(order: int) -> int:
    await asyncio.sleep(10)
    await workflow.sleep(timedelta(minutes=order))
    await act("wake", order)
    await asyncio.sleep(1.5)
    return order


@workflow.defn
async def looped(order: int) -> list[str]:
    done = []
    for item in range(3):
        done.append(await act("item", item))
        if item == 1:
            await act("middle", order)
    return done


@workflow.defn
async def counted(order: int) -> int:
    tries = 0
    while tries < order:
        await act("poll", tries)
        await asyncio.sleep(tries + 1)
        tries += 1
    return tries


@workflow.defn
async def branched(order: int) -> str:
    if await act("is_large", order):
        answer = await act("approve", order)
    else:
        answer = await act("wave_through", order)
    if not await act("no_stock", order):
        await act("reorder", args=["depot", order])
    return answer


@workflow.defn
async def retried(order: int) -> str:
    for attempt in range(3):
        try:
            return await act("fails_charge", attempt)
        except Exception:
            await asyncio.sleep(2**attempt)
    await act("give_up", order)
    return "failed"


@workflow.defn
async def compensated(order: int) -> str:
    undo: list[str] = []
    try:
        await act("book_hotel", order)
        undo.append("cancel_hotel")
        await act("book_car", order)
        undo.append("cancel_car")
        await act("fails_flight", order)
    except Exception:
        for name in reversed(undo):
            await act(name, order)
        raise
    return "booked"


@workflow.defn
async def timed_out(order: int) -> str:
    try:
        async with asyncio.timeout(30):
            await act("never_answers", order)
    except TimeoutError:
        await act("escalate", order)
    return "late"


@workflow.defn
async def waited_for(order: int) -> str:
    try:
        await asyncio.wait_for(act("never_answers", order), 5)
    except TimeoutError:
        return await act("fallback", order)
    return "in time"


@workflow.defn
async def raced(order: int) -> str:
    tasks = [asyncio.create_task(step("never_answers", order)), asyncio.create_task(asyncio.sleep(4))]
    done, pending = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for task in pending:
        task.cancel()
    await act("winner", len(done))
    return "raced"


@workflow.defn
async def completed_in_order(order: int) -> list[str]:
    found = []
    for one in workflow.as_completed([step("x", order), step("y", order), step("z", order)]):
        found.append(await one)
        await act("seen", len(found))
    return found


@workflow.defn
async def cancelled(order: int) -> str:
    try:
        await asyncio.sleep(1000 + order)
    except asyncio.CancelledError:
        await act("clean_up", order)
        raise
    return "not cancelled"


@workflow.defn
async def shielded(order: int) -> str:
    task = asyncio.create_task(step("precious", order))
    try:
        await asyncio.shield(task)
    except asyncio.CancelledError:
        saved = await task
        await act("store", saved)
    return "kept"


@workflow.defn
async def piped(order: int) -> list[int]:
    queue: asyncio.Queue[int] = asyncio.Queue()
    taken = []

    async def produce() -> None:
        for number in range(2):
            await act("make", number)
            await queue.put(number + order)

    producer = asyncio.create_task(produce())
    while len(taken) < 2:
        taken.append(await queue.get())
        await act("use", taken[-1])
    await producer
    return taken


@workflow.defn
async def locked(order: int) -> int:
    lock = asyncio.Lock()
    log: list[str] = []

    async def turn(name: str) -> None:
        async with lock:
            log.append(name)
            await act("enter", args=[name, len(log)])
            await asyncio.sleep(1)

    await asyncio.gather(turn("a"), turn("b"))
    return len(log) + order


@workflow.defn
async def random_choice(order: int) -> list[int]:
    chance = workflow.random()
    picked = [chance.randint(1, 100), chance.randint(1, 100)]
    await act("picked", picked)
    token = str(workflow.uuid4())
    await act("token", token)
    started = workflow.now().isoformat()
    await act("stamp", args=[started, order])
    return picked


@workflow.defn(failure_exception_types=[Exception])
class Approval:
    """Waits for a signal."""

    def __init__(self) -> None:
        self.approved_by = ""
        self.notes: list[str] = []

    @workflow.run
    async def run(self, order: int) -> str:
        await act("ask", order)
        await workflow.wait_condition(lambda: bool(self.approved_by))
        await act("tell", args=[self.approved_by, len(self.notes)])
        return self.approved_by

    @workflow.signal
    def approve(self, who: str) -> None:
        self.approved_by = who

    @workflow.signal
    def note(self, text: str) -> None:
        self.notes.append(text)

    @workflow.query
    def state(self) -> str:
        return self.approved_by or "waiting"


@workflow.defn(failure_exception_types=[Exception])
class Impatient:
    """Waits for a signal, but not for ever."""

    def __init__(self) -> None:
        self.go = False

    @workflow.run
    async def run(self, order: int) -> str:
        try:
            await workflow.wait_condition(lambda: self.go, timeout=timedelta(hours=1))
        except TimeoutError:
            await act("remind", order)
            await workflow.wait_condition(lambda: self.go)
        return await act("finish", order)

    @workflow.signal
    def start(self) -> None:
        self.go = True


@workflow.defn(failure_exception_types=[Exception])
class Worklist:
    """Works in its signal handlers."""

    def __init__(self) -> None:
        self.items: list[str] = []
        self.done = 0

    @workflow.run
    async def run(self, order: int) -> int:
        await workflow.wait_condition(lambda: self.done == order)
        await act("report", self.items)
        return self.done

    @workflow.signal
    async def add(self, item: str) -> None:
        self.items.append(item)
        await act("work", item)
        await asyncio.sleep(1)
        self.done += 1

    @workflow.query
    def count(self) -> int:
        return len(self.items)


@workflow.defn(failure_exception_types=[Exception])
class Entity:
    """Lives until it is told to stop."""

    @workflow.init
    def __init__(self, balance: int) -> None:
        self.balance = balance
        self.changes: list[int] = []
        self.stopped = False

    @workflow.run
    async def run(self, balance: int) -> int:
        # Not `while`: a mutant that does not wait must not spin for ever.
        for _ in range(20):
            await workflow.wait_condition(lambda: self.stopped or bool(self.changes))
            if self.stopped and not self.changes:
                break
            while self.changes:
                change = self.changes.pop(0)
                await act("apply", args=[self.balance, change])
                self.balance += change
        return self.balance

    @workflow.signal
    def change(self, amount: int) -> None:
        self.changes.append(amount)

    @workflow.signal
    def stop(self) -> None:
        self.stopped = True
