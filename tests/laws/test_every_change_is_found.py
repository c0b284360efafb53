"""Law 6: a closed run never changes, and whatever is changed in a stored history is found."""

import msgspec
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from perdure_history.chain import seal
from perdure_history.codec import encode_event
from perdure_history.events import TimerStarted
from perdure_history.records import RunStatus
from perdure_history.verification import verify_rows
from tests.laws.event_strategies import events, texts
from tests.laws.history_strategies import RUN_ID, stories

quick = settings(max_examples=40, deadline=None)


def found(story, rows):
    return verify_rows(story.run_id, rows, closed_status=story.closed_status)


@quick
@given(story=stories())
def test_what_the_runtime_writes_verifies(story):
    assert found(story, story.rows) == []


@quick
@given(story=stories(), data=st.data())
def test_an_edited_event_is_found(story, data):
    at = data.draw(st.integers(0, len(story.rows) - 1))
    row = story.rows[at]
    other = data.draw(events())
    changes = {
        "attributes": encode_event(other),
        "type": type(other).__name__,
        "actor": data.draw(texts),
        "recorded_at": data.draw(st.integers(0, 2**60)),
        "turn": data.draw(st.none() | st.integers(0, 9)),
        "hash": data.draw(st.binary(min_size=32, max_size=32)),
    }
    names = data.draw(st.sets(st.sampled_from(sorted(changes)), min_size=1))
    edited = msgspec.structs.replace(row, **{name: changes[name] for name in names})
    assume(edited != row)

    defects = found(story, (*story.rows[:at], edited, *story.rows[at + 1 :]))

    assert defects
    assert defects[0].run_id == story.run_id


@quick
@given(story=stories(closed=True), data=st.data())
def test_an_edit_whose_own_hash_was_mended_is_found_by_the_next_event(story, data):
    at = data.draw(st.integers(0, len(story.rows) - 2))
    before = story.rows[at - 1] if at else None
    event = data.draw(events())
    [forged] = seal(
        story.run_id,
        [(event, story.rows[at].turn, "forger")],
        prev_seq=before.seq if before else 0,
        prev_hash=before.hash if before else bytes(32),
        recorded_at=1,
    )

    defects = found(story, (*story.rows[:at], forged, *story.rows[at + 1 :]))

    assert at + 2 in {defect.seq for defect in defects}


@quick
@given(story=stories(closed=True), data=st.data())
def test_a_dropped_event_is_found(story, data):
    at = data.draw(st.integers(0, len(story.rows) - 1))

    assert found(story, (*story.rows[:at], *story.rows[at + 1 :]))


@quick
@given(story=stories(closed=True), data=st.data())
def test_a_dropped_event_is_found_though_the_rest_was_renumbered(story, data):
    at = data.draw(st.integers(0, len(story.rows) - 1))
    rest = [msgspec.structs.replace(row, seq=row.seq - 1) for row in story.rows[at + 1 :]]

    assert found(story, (*story.rows[:at], *rest))


@quick
@given(story=stories(closed=True), data=st.data())
def test_an_inserted_event_is_found_wherever_it_stands(story, data):
    at = data.draw(st.integers(0, len(story.rows)))
    before = story.rows[at - 1] if at else None
    [forged] = seal(
        story.run_id,
        [(data.draw(events()), data.draw(st.none() | st.integers(1, 9)), "forger")],
        prev_seq=at,
        prev_hash=before.hash if before else bytes(32),
        recorded_at=1,
    )
    rest = [msgspec.structs.replace(row, seq=row.seq + 1) for row in story.rows[at:]]

    assert found(story, (*story.rows[:at], forged, *rest))


@quick
@given(story=stories(), data=st.data())
def test_changed_order_is_found_with_or_without_new_numbers(story, data):
    order = data.draw(st.permutations(range(len(story.rows))))
    assume(list(order) != sorted(order))
    shuffled = [story.rows[at] for at in order]
    renumbered = [msgspec.structs.replace(row, seq=seq) for seq, row in enumerate(shuffled, 1)]

    assert found(story, shuffled)
    assert found(story, renumbered)


@quick
@given(story=stories(closed=True), data=st.data())
def test_a_closed_run_whose_tail_was_cut_is_found(story, data):
    keep = data.draw(st.integers(0, len(story.rows) - 1))

    assert found(story, story.rows[:keep])


@quick
@given(one=stories(), other=stories(run_id=RUN_ID[:-1] + "2"), data=st.data())
def test_an_event_of_another_run_is_found(one, other, data):
    at = data.draw(st.integers(0, min(len(one.rows), len(other.rows)) - 1))

    assert found(one, (*one.rows[:at], other.rows[at], *one.rows[at + 1 :]))


@quick
@given(one=stories(), other=stories(run_id=RUN_ID[:-1] + "2"))
def test_a_whole_history_under_another_run_s_name_is_found(one, other):
    assert found(one, other.rows)


@quick
@given(story=stories(closed=True))
def test_an_event_behind_the_end_is_found_though_it_is_chained(story):
    last = story.rows[-1]
    more = seal(
        story.run_id,
        [(TimerStarted(delay_us=1, fire_at=1), last.turn, "worker")],
        prev_seq=last.seq,
        prev_hash=last.hash,
        recorded_at=1,
    )

    defects = found(story, story.rows + more)

    assert [defect.seq for defect in defects if "ended the run" in defect.what] == [last.seq + 1]


@quick
@given(story=stories(closed=True))
def test_an_end_that_is_not_the_summary_s_is_found(story):
    assert verify_rows(story.run_id, story.rows, closed_status=RunStatus.FAILED)


@quick
@given(story=stories(), data=st.data())
def test_one_edit_is_reported_once(story, data):
    """So that the report says where to look."""
    at = data.draw(st.integers(0, len(story.rows) - 1))
    edited = msgspec.structs.replace(story.rows[at], actor=story.rows[at].actor + "!")

    defects = found(story, (*story.rows[:at], edited, *story.rows[at + 1 :]))

    assert [defect.seq for defect in defects] == [at + 1]
