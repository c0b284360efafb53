"""What readers are promised, on every store: finding, listing, counting, paging; and which names exist at all."""

import pytest

from perdure_history.errors import (
    EventTooLargeError,
    InvalidIdError,
    RunNotFoundError,
    StoreClosedError,
)
from perdure_history.limits import MAX_EVENT_BYTES
from perdure_history.records import RunFilter, RunStatus
from tests.conformance.scene import (
    NAMESPACE,
    START_OF_TIME,
    new_run_id,
    scheduled,
    signal_request,
    start_request,
    terminate_request,
)

BAD_IDS = {
    "empty": "",
    "nul": "a\0b",
    "leading blank": " a",
    "trailing newline": "a\n",
    "no-break space": "\u00a0a",
    "too long": "x" * 513,
    "lone surrogate": "a\ud800",
}


async def test_the_newest_run_of_an_id_is_found_without_its_run_id(scene):
    await scene.worker("w1")
    first = await scene.start_owned()
    await scene.close(first)
    second = (await scene.start()).run_id

    newest, older = await scene.run(None), await scene.run(first)

    assert (newest.run_id, newest.nth) == (second, 2)
    assert (older.run_id, older.nth) == (first, 1)


async def test_a_run_is_found_only_under_its_own_names(scene):
    run = (await scene.start()).run_id

    for namespace, workflow_id, run_id in (
        ("other", "order-1", run),
        (NAMESPACE, "order-2", run),
        (NAMESPACE, "order-1", new_run_id()),
        (NAMESPACE, "ORDER-1", None),
    ):
        with pytest.raises(RunNotFoundError):
            await scene.store.find_run(namespace, workflow_id, run_id)


@pytest.mark.parametrize("pair", [("a", "A"), ("a", "á"), ("á", "a\u0301"), ("ß", "ss"), ("a", "a\u200b")])
async def test_ids_that_look_alike_are_different(scene, pair):
    """C8: names compare byte for byte on every database."""
    runs = [(await scene.start(name)).run_id for name in pair]

    found = [(await scene.store.find_run(NAMESPACE, name)).run_id for name in pair]

    assert found == runs


@pytest.mark.parametrize("name", ["x" * 512, "\U0001f680" * 512, "a b", "a%_\\'\"b", "a\u0001b", "日本語"])
async def test_an_id_of_any_allowed_text_is_kept_as_it_is(scene, name):
    run = (await scene.start(name, workflow_type=name, task_queue=name)).run_id

    found = await scene.store.find_run(NAMESPACE, name)

    assert (found.run_id, found.workflow_id, found.workflow_type, found.task_queue) == (run, name, name, name)


@pytest.mark.parametrize(
    "field", ["workflow_id", "namespace", "workflow_type", "task_queue", "request_id", "run_id"]
)
@pytest.mark.parametrize("bad", [name for name in BAD_IDS if name != "lone surrogate"])
async def test_a_start_with_an_impossible_name_writes_nothing(scene, field, bad):
    good = start_request()
    request = type(good)(
        **({name: getattr(good, name) for name in good.__struct_fields__} | {field: BAD_IDS[bad]})
    )

    with pytest.raises(InvalidIdError):
        await scene.store.start_run(request)

    assert await scene.store.count_runs(RunFilter(namespace=NAMESPACE)) == {}


@pytest.mark.parametrize("bad", BAD_IDS.values(), ids=list(BAD_IDS))
async def test_an_impossible_id_is_refused_wherever_it_is_asked_for(scene, bad):
    good = signal_request()
    fields = {name: getattr(good, name) for name in good.__struct_fields__}
    for attempt in (
        lambda: scene.store.find_run(NAMESPACE, bad),
        lambda: scene.store.find_run(bad, "order-1"),
        lambda: scene.store.find_run(NAMESPACE, "order-1", bad),
        lambda: scene.store.send_message(type(good)(**(fields | {"workflow_id": bad}))),
        lambda: scene.store.send_message(type(good)(**(fields | {"request_id": bad}))),
        lambda: scene.store.terminate_run(terminate_request(run_id=bad)),
        lambda: scene.worker(bad),
    ):
        with pytest.raises(InvalidIdError):
            await attempt()


async def test_a_namespace_has_at_most_128_characters(scene):
    await scene.start(namespace="n" * 128)

    with pytest.raises(InvalidIdError):
        await scene.start(namespace="n" * 129)


async def test_a_message_over_the_limit_is_refused(scene):
    await scene.worker("w1")
    await scene.start_owned()

    with pytest.raises(EventTooLargeError):
        await scene.store.send_message(signal_request(attributes='"' + "é" * (MAX_EVENT_BYTES // 2) + '"'))

    assert await scene.store.read_inbox("w1") == []


async def test_a_history_is_read_in_slices(scene):
    await scene.worker("w1")
    run = await scene.start_owned()
    await scene.commit("w1", await scene.member(run, *(scheduled(f"a{number}") for number in range(9))))

    whole = await scene.store.read_history(run)

    assert [row.seq for row in whole] == list(range(1, 11))
    assert await scene.store.read_history(run, after_seq=3, limit=4) == whole[3:7]
    assert await scene.store.read_history(run, after_seq=8) == whole[8:]
    assert await scene.store.read_history(run, after_seq=10) == []
    assert await scene.store.read_history(run, limit=0) == []
    assert await scene.store.last_event(run) == whole[-1]


async def test_a_history_of_no_run_is_empty(scene):
    assert await scene.store.read_history(new_run_id()) == []
    assert await scene.store.last_event(new_run_id()) is None


@pytest.fixture
async def town(scene):
    """Six runs that differ in everything a filter looks at."""
    await scene.worker("w1")
    runs = [
        await scene.start_owned("order-1", at=START_OF_TIME + 1),
        await scene.start_owned("order-2", at=START_OF_TIME + 2, workflow_type="refund"),
        await scene.start_owned("order-3", at=START_OF_TIME + 2, task_queue="slow"),
        await scene.start_owned("Order-4", at=START_OF_TIME + 3),
        await scene.start_owned("order_5", at=START_OF_TIME + 4),
    ]
    await scene.close(runs[0])
    await scene.close(runs[1], status=RunStatus.FAILED)
    await scene.release(runs[3], problem='{"kind":"X"}')
    runs.append((await scene.start("order-1", at=START_OF_TIME + 5, namespace="tenant-2")).run_id)
    return runs


@pytest.mark.parametrize(
    ("where", "expected"),
    [
        ({}, [4, 3, 2, 1, 0]),
        ({"namespace": "tenant-2"}, [5]),
        ({"namespace": "tenant-3"}, []),
        ({"statuses": (RunStatus.RUNNING,)}, [4, 3, 2]),
        ({"statuses": (RunStatus.FAILED, RunStatus.COMPLETED)}, [1, 0]),
        ({"workflow_types": ("refund", "other")}, [1]),
        ({"workflow_id": "order-1"}, [0]),
        ({"workflow_id_prefix": "order-"}, [2, 1, 0]),
        ({"workflow_id_prefix": "order_"}, [4]),
        ({"workflow_id_prefix": "%"}, []),
        ({"task_queue": "slow"}, [2]),
        ({"started_after": START_OF_TIME + 2}, [4, 3]),
        ({"started_before": START_OF_TIME + 2}, [0]),
        ({"with_problem": True}, [3]),
        ({"with_problem": False, "statuses": (RunStatus.RUNNING,)}, [4, 2]),
        ({"statuses": (RunStatus.RUNNING,), "task_queue": "slow", "workflow_id": "order-1"}, []),
    ],
)
async def test_runs_are_listed_newest_first_as_the_filter_says(scene, town, where, expected):
    page = await scene.store.list_runs(RunFilter(**({"namespace": NAMESPACE} | where)))

    assert [town.index(run.run_id) for run in page.runs] == expected
    assert page.cursor is None


async def test_a_run_is_found_by_the_beginning_of_its_run_id(scene, town):
    page = await scene.store.list_runs(RunFilter(namespace=NAMESPACE, run_id_prefix=town[2]))

    assert [run.run_id for run in page.runs] == [town[2]]
    assert (
        len((await scene.store.list_runs(RunFilter(namespace=NAMESPACE, run_id_prefix=town[2][:8]))).runs)
        == 5
    )


async def test_a_listed_run_is_the_run_that_is_found(scene, town):
    page = await scene.store.list_runs(RunFilter(namespace=NAMESPACE))

    for run in page.runs:
        assert run == await scene.store.find_run(NAMESPACE, run.workflow_id, run.run_id)


@pytest.mark.parametrize("limit", [1, 2, 3, 5, 6])
async def test_pages_join_to_the_whole_list(scene, town, limit):
    where = RunFilter(namespace=NAMESPACE)
    whole = (await scene.store.list_runs(where)).runs
    found, cursor = [], None

    for _ in range(6):
        page = await scene.store.list_runs(where, limit=limit, cursor=cursor)
        found += page.runs
        cursor = page.cursor
        if cursor is None:
            break

    assert tuple(found) == whole
    assert cursor is None


async def test_a_run_that_starts_meanwhile_moves_no_page(scene, town):
    where = RunFilter(namespace=NAMESPACE)
    first = await scene.store.list_runs(where, limit=2)
    await scene.start("order-9", at=START_OF_TIME + 100)

    second = await scene.store.list_runs(where, limit=2, cursor=first.cursor)

    assert [town.index(run.run_id) for run in second.runs] == [2, 1]


async def test_a_cursor_that_no_page_gave_is_refused(scene):
    with pytest.raises(ValueError, match="cursor"):
        await scene.store.list_runs(RunFilter(namespace=NAMESPACE), cursor="nonsense")


async def test_runs_are_counted_by_status(scene, town):
    counts = await scene.store.count_runs(RunFilter(namespace=NAMESPACE))

    assert counts == {"running": 3, "failed": 1, "completed": 1}
    assert await scene.store.count_runs(RunFilter(namespace=NAMESPACE, task_queue="slow")) == {"running": 1}
    assert await scene.store.count_runs(RunFilter(namespace="tenant-3")) == {}


async def test_a_filter_with_impossible_text_is_refused(scene):
    with pytest.raises(InvalidIdError):
        await scene.store.list_runs(RunFilter(namespace=NAMESPACE, workflow_id_prefix="a\0"))
    with pytest.raises(InvalidIdError):
        await scene.store.count_runs(RunFilter(namespace=NAMESPACE, workflow_types=("\ud800",)))


async def test_a_closed_store_says_so(scene):
    await scene.store.close()
    await scene.store.close()

    with pytest.raises(StoreClosedError):
        await scene.start()
    with pytest.raises(StoreClosedError):
        await scene.run(None)
