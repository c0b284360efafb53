"""Law 8: every store gives the same answers to the same operations; the memory store is the model."""

import asyncio
import shutil
import tempfile
from pathlib import Path

import msgspec
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    precondition,
    rule,
    run_state_machine_as_test,
)

from perdure_history.errors import HistoryError
from perdure_history.memory import MemoryStore
from perdure_history.records import (
    IdConflictPolicy,
    IdReusePolicy,
    RunFilter,
    RunStatus,
    RunUpdate,
    WorkerRecord,
)
from perdure_history.verification import verify_rows
from tests.conformance.scene import (
    CLOSING,
    NAMESPACE,
    QUEUE,
    member_on,
    new_run_id,
    scheduled,
    signal_event,
    signal_request,
    start_request,
    terminate_request,
)
from tests.conformance.stores import STORES, ManualClock

WORKFLOW_IDS = st.sampled_from(["order-1", "ORDER-1", "order-1", "ORDER-1", "a%_'\"", "bad\0id"])
REQUEST_IDS = st.sampled_from([f"req-{number}" for number in range(4)])
NUMBERS = st.integers(0, 9)
"""Which of the runs or workers that there are."""
WHOLE = RunFilter(namespace=NAMESPACE)


async def _ask(store, method, args, kwargs):
    """Call on the loop: a request may be on its way before it is awaited."""
    return await getattr(store, method)(*args, **kwargs)


class Plan(msgspec.Struct):
    """How to make one member of a group, on whatever head the run has."""

    run: int
    size: int
    ending: str
    behind_head: bool
    take: str
    ignore_unread: bool
    wake_in: int | None
    has_problem: bool
    mail: bool


PLANS = st.builds(
    Plan,
    run=NUMBERS,
    size=st.integers(0, 3),
    ending=st.sampled_from(["step", "step", "release", "release", "close", "problem", "noted"]),
    behind_head=st.sampled_from([False, False, False, True]),
    take=st.sampled_from(["all", "none", "first"]),
    ignore_unread=st.booleans(),
    wake_in=st.sampled_from([None, -1, 0, 10]),
    has_problem=st.booleans(),
    mail=st.booleans(),
)


class StoresAgree(RuleBasedStateMachine):
    """Plays each operation on the model and on another store, and compares answers and contents."""

    kind = "memory"

    @initialize()
    def open_stores(self):
        self.loop = asyncio.new_event_loop()
        self.clock = ManualClock()
        self.folder = Path(tempfile.mkdtemp(prefix="perdure-law-8-"))
        self.model = MemoryStore(clock=self.clock)
        self.other = self.loop.run_until_complete(STORES[self.kind](self.folder, self.clock))
        self.runs = []
        self.last_batch = None
        self.workers = 0
        # Two workers and two runs from the start, or most operations would meet nothing.
        for number in range(2):
            self.register()
            self.start(
                f"order-{number}", None, IdReusePolicy.ALLOW_DUPLICATE, IdConflictPolicy.FAIL, number, QUEUE
            )

    def teardown(self):
        if hasattr(self, "other"):
            self.loop.run_until_complete(self.other.close())
            self.loop.close()
            shutil.rmtree(self.folder)

    def ask(self, method, *args, **kwargs):
        """What each store answers, which must be the same; the model's answer."""
        answers = [self.answer(store, method, args, kwargs) for store in (self.model, self.other)]
        assert without_message_ids(answers[0]) == without_message_ids(answers[1])
        return answers[0]

    def answer(self, store, method, args, kwargs):
        try:
            return self.loop.run_until_complete(_ask(store, method, args, kwargs))
        except HistoryError as error:
            return type(error), str(error)

    def compare_contents(self):
        """Everything that can be read, but for what only a claim shows."""
        self.ask("count_runs", WHOLE)
        page = self.ask("list_runs", WHOLE, limit=3)
        if page.cursor is not None:
            self.ask("list_runs", WHOLE, limit=100, cursor=page.cursor)
        for worker in self.ask("list_workers", state=None):
            self.ask("read_inbox", worker.incarnation)
        self.ask("next_wake", task_queues=[QUEUE, "slow"], workflow_types=None, namespace=NAMESPACE)

    @rule()
    def register(self):
        self.workers += 1
        self.register_as(f"w{self.workers}")
        if self.runs:
            self.compare_contents()

    @rule(number=NUMBERS)
    def register_again(self, number):
        self.register_as(f"w{number % self.workers + 1}")

    def register_as(self, name):
        record = WorkerRecord(incarnation=name, identity="i", task_queues=QUEUE, started_at=self.clock())
        self.ask("register_worker", record)

    @rule(number=NUMBERS)
    def beat(self, number):
        self.ask("beat", self.some_worker(number))

    @rule(number=NUMBERS, stale=st.sampled_from([0, 0, 0, 1]))
    def bury(self, number, stale):
        """Also twice, and on evidence that is no longer true."""
        workers = self.ask("list_workers", state=None)
        worker = workers[number % len(workers)]
        self.ask("bury_worker", worker.incarnation, beat=worker.beat + stale)
        self.register()
        self.claim(number, 4, [QUEUE, "slow"])

    @rule(number=NUMBERS)
    def retire(self, number):
        self.ask("retire_worker", self.some_worker(number))
        self.register()

    @rule(
        workflow_id=WORKFLOW_IDS,
        request_id=st.none() | REQUEST_IDS,
        reuse=st.sampled_from(IdReusePolicy),
        conflict=st.sampled_from(IdConflictPolicy),
        owner=st.none() | NUMBERS,
        queue=st.sampled_from([QUEUE, QUEUE, "slow"]),
    )
    def start(self, workflow_id, request_id, reuse, conflict, owner, queue):
        run_id = new_run_id()
        request = start_request(
            workflow_id,
            run_id=run_id,
            at=self.clock(),
            request_id=request_id or f"start-{run_id}",
            id_reuse_policy=reuse,
            id_conflict_policy=conflict,
            owner=None if owner is None else self.some_worker(owner),
            task_queue=queue,
        )
        outcome = self.ask("start_run", request)
        if not isinstance(outcome, tuple) and outcome.created:
            self.runs.append((workflow_id, run_id))
        self.ask("find_run", NAMESPACE, workflow_id)

    def some_worker(self, number):
        workers = self.ask("list_workers")
        return workers[number % len(workers)].incarnation if workers else "nobody"

    def some_run(self, number):
        return self.runs[number % len(self.runs)]

    @rule(workflow_id=WORKFLOW_IDS, request_id=REQUEST_IDS)
    def send_to_newest(self, workflow_id, request_id):
        self.ask("send_message", signal_request(workflow_id, request_id, sent_at=self.clock()))

    @precondition(lambda self: self.runs)
    @rule(number=NUMBERS, request_id=REQUEST_IDS)
    def send_to_run(self, number, request_id):
        workflow_id, run_id = self.some_run(number)
        self.ask("send_message", signal_request(workflow_id, request_id, run_id=run_id))
        self.compare_contents()

    @precondition(lambda self: self.runs)
    @rule(number=NUMBERS, request_id=REQUEST_IDS)
    def terminate(self, number, request_id):
        workflow_id, run_id = self.some_run(number)
        self.ask("terminate_run", terminate_request(workflow_id, request_id, run_id=run_id, at=self.clock()))
        self.compare_history(run_id)

    @rule(
        number=NUMBERS,
        limit=st.integers(1, 4),
        queues=st.sampled_from([[QUEUE, "slow"], [QUEUE, "slow"], [QUEUE], []]),
    )
    def claim(self, number, limit, queues):
        self.clock.advance(1)
        self.ask(
            "claim_runs",
            self.some_worker(number),
            task_queues=queues,
            workflow_types=None,
            namespace=NAMESPACE,
            limit=limit,
        )
        self.compare_contents()

    @precondition(lambda self: self.runs)
    @rule(
        number=NUMBERS,
        plans=st.lists(PLANS, min_size=1, max_size=4),
        as_owner=st.sampled_from([True, True, True, False]),
    )
    def commit(self, number, plans, as_owner):
        worker = self.some_worker(number)
        if as_owner:
            workflow_id, run_id = self.some_run(plans[0].run)
            worker = self.ask("find_run", NAMESPACE, workflow_id, run_id).owner or worker
            # The same run again and again, so that one member builds on, or spoils, what another did.
            plans = [
                msgspec.structs.replace(plan, run=plans[0].run) if plan.run % 2 else plan for plan in plans
            ]
        for plan in plans:
            if plan.mail:
                self.send_to_run(plan.run, f"req-{plan.size}")
        self.last_batch = worker, [self.member(plan) for plan in plans]
        self.commit_again()

    @precondition(lambda self: self.last_batch is not None)
    @rule()
    def commit_again(self):
        """The same bytes once more, as after a lost answer."""
        worker, members = self.last_batch
        answers = []
        for side, store in enumerate((self.model, self.other)):
            batch = [pair[side] for pair in members]
            answers.append(self.answer(store, "commit_turns", (worker, batch), {}))
        assert answers[0] == answers[1]
        for member, _ in members:
            self.compare_history(member.run_id)
        self.compare_contents()

    @rule(micros=st.sampled_from([1, 10, 1000]))
    def pass_time(self, micros):
        self.clock.advance(micros)

    def member(self, plan):
        """The member for each store: equal but for the ids of the messages that it takes."""
        _, run_id = self.some_run(plan.run)
        rows = self.ask("read_history", run_id)
        head = rows[-2] if plan.behind_head and len(rows) > 1 else rows[-1]
        inboxes = [
            list(self.loop.run_until_complete(inbox_of(store, run_id))) for store in (self.model, self.other)
        ]
        count = {"all": len(inboxes[0]), "none": 0, "first": 1}[plan.take]
        events = [signal_event("taken", message.request_id) for message in inboxes[0][:count]]
        events += [scheduled(f"a{number}") for number in range(plan.size)]
        update = None
        if plan.ending == "close":
            events.append(CLOSING[RunStatus.COMPLETED])
            update = RunUpdate(status=RunStatus.COMPLETED)
        elif plan.ending == "release":
            wake_at = None if plan.wake_in is None else self.clock() + plan.wake_in
            update = RunUpdate(release=True, wake_at=wake_at, problem="{}" if plan.has_problem else None)
        elif plan.ending == "problem":
            update = RunUpdate(set_problem=True, problem='{"kind":"é"}')
        elif plan.ending == "noted":
            update = RunUpdate(clear_orphaned=True)
        turn = max(row.turn or 0 for row in rows) + 1
        return tuple(
            member_on(
                run_id,
                head,
                *events,
                turn=turn,
                at=self.clock(),
                update=update,
                ignore_unread=plan.ignore_unread,
                taken=tuple(message.id for message in inbox[:count]),
            )
            for inbox in inboxes
        )

    def compare_history(self, run_id):
        rows = self.ask("read_history", run_id)
        assert self.ask("last_event", run_id) == rows[-1]
        chain_defects = [defect for defect in verify_rows(run_id, rows) if "hash" in defect.what]
        assert chain_defects == []


async def inbox_of(store, run_id):
    """Messages of a run, whoever owns it, as its owner would read them."""
    workers = await store.list_workers()
    return [
        message
        for worker in workers
        for message in await store.read_inbox(worker.incarnation)
        if message.run_id == run_id
    ]


def without_message_ids(answer):
    """Ids of messages are each store's own; all else about them is not."""
    encoded = (
        msgspec.to_builtins(answer, builtin_types=(bytes,), str_keys=False) if is_data(answer) else answer
    )
    return strip(encoded)


def is_data(answer):
    return not (isinstance(answer, tuple) and answer and isinstance(answer[0], type))


def strip(value):
    if isinstance(value, dict):
        return {key: strip(item) for key, item in value.items() if not (key == "id" and "sent_at" in value)}
    if isinstance(value, list | tuple):
        return [strip(item) for item in value]
    return value


def play(kind, **options):
    """Draw and play operations on the model and on a store of this kind; raises where they differ."""
    machine = type("Machine", (StoresAgree,), {"kind": kind})
    fields = {"stateful_step_count": 50, "deadline": None, "suppress_health_check": list(HealthCheck)}
    run_state_machine_as_test(machine, settings=settings(**(fields | options)))


@pytest.mark.parametrize("max_examples", [10, pytest.param(60, marks=pytest.mark.slow)])
@pytest.mark.parametrize("kind", [kind for kind in STORES if kind != "memory"])
def test_every_store_answers_as_the_memory_store_does(kind, max_examples):
    play(kind, max_examples=max_examples)
