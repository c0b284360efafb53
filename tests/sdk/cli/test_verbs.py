"""What each verb prints and exits with, on a database with a completed, a failed and an open run."""

import re
import sqlite3

import pytest

ISO = re.compile(r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$")


def test_list_shows_all_runs_newest_first(populated):
    answer = populated("list", "--json")

    assert answer.code == 0
    assert [run["workflow_id"] for run in answer.json] == ["contract", "no-stock", "hello"]
    assert [run["status"] for run in answer.json] == ["running", "failed", "completed"]
    assert all(ISO.match(run["started_at"]) for run in answer.json)


def test_list_takes_only_what_the_filters_admit(populated):
    ids = [
        run["workflow_id"]
        for run in populated("list", "--json", "--status", "failed", "--status", "running").json
    ]

    assert ids == ["contract", "no-stock"]
    assert [run["workflow_id"] for run in populated("list", "--json", "--type", "greeting").json] == ["hello"]
    assert populated("list", "--json", "--id", "no-").json[0]["workflow_id"] == "no-stock"
    assert len(populated("list", "--json", "--limit", "1").json) == 1
    assert populated("list", "--json", "--stuck").json == []


def test_list_for_people_has_a_row_a_run_and_is_not_cut(populated):
    lines = populated("list").out.splitlines()

    assert len(lines) == 4
    assert lines[0].startswith("WORKFLOW ID")
    assert all(len(re.findall(r"[0-9a-f]{8}-[0-9a-f-]{27}", line)) == 1 for line in lines[1:])


def test_count_counts_by_status(populated):
    assert populated("count", "--json").json == {"running": 1, "completed": 1, "failed": 1, "total": 3}
    assert populated("count").out.splitlines()[-1] == "total 3"


def test_show_tells_the_steps_and_the_result(populated):
    text = populated("show", "hello").out
    tree = populated("show", "hello", "--json").json

    assert "greet" in text
    assert "hello ada" in text
    assert tree["result"] == "hello ada"
    assert [(step["kind"], step["name"], step["status"]) for step in tree["steps"]] == [
        ("activity", "greet", "completed")
    ]


def test_show_tells_the_attempts_of_a_failed_run(populated):
    tree = populated("show", "no-stock", "--json").json

    assert tree["status"] == "failed"
    assert "Refused: no stock" in tree["failure"]
    assert tree["steps"][0]["attempts"] == 2
    assert len(tree["steps"][0]["failed_attempts"]) == 1


def test_a_run_is_found_by_the_beginning_of_its_run_id(populated):
    run_id = populated("show", "hello", "--json").json["run_id"]

    assert populated("show", run_id, "--json").json["workflow_id"] == "hello"
    assert populated("show", run_id[:30], "--json").json["workflow_id"] == "hello"


def test_a_beginning_that_fits_several_runs_lists_them(populated):
    answer = populated("show", populated("show", "hello", "--json").json["run_id"][:4])

    assert answer.code == 2
    assert "hello" in answer.err
    assert "no-stock" in answer.err


def test_history_prints_every_event_as_it_is_stored(populated):
    events = populated("history", "hello", "--json").json

    assert [event["seq"] for event in events] == list(range(1, len(events) + 1))
    assert events[0]["type"] == "WorkflowExecutionStarted"
    assert events[0]["attributes"]["workflow_id"] == "hello"
    assert events[-1]["type"] == "WorkflowExecutionCompleted"
    assert len(populated("history", "hello").out.splitlines()) == len(events) + 1
    assert populated("history", "hello", "--json", "--after", "1").json == events[1:]


def test_history_keeps_the_blanks_of_what_is_stored(command_line):
    command_line("start", "greeting", "name=a   b", "--id", "x")

    assert '"name":"a   b"' in command_line("history", "x").out


def test_an_id_with_a_line_break_stays_in_its_row(command_line):
    command_line("start", "greeting", "--id", "two\n  lines")

    listed, shown = command_line("list").out.splitlines(), command_line("show", "two\n  lines").out

    assert len(listed) == 2
    assert listed[1].startswith("two\\n  lines  running")
    assert shown.startswith("two\\n  lines  greeting")


def test_the_result_of_a_run_that_has_ended_is_there_without_waiting(populated):
    good, bad = (
        populated("result", "hello", "--timeout", "0"),
        populated("result", "contract", "--timeout", "0"),
    )

    assert (good.code, good.out) == (0, '"hello ada"\n')
    assert (bad.code, bad.out) == (1, "")


def test_a_run_that_is_due_at_once_has_no_time_to_wake(command_line):
    command_line("start", "greeting", "--id", "x")

    run, doctor = command_line("list", "--json").json[0], command_line("doctor", "--json").json

    assert (run["wake_at"], run["due_at_once"]) == (None, True)
    assert {one["name"]: one["value"] for one in doctor}["runs without a worker"] == "1 due at once"


def test_why_a_run_was_terminated_is_said_once(populated):
    populated("terminate", "contract", "--reason", "enough")

    assert populated("result", "contract").err.endswith("contract terminated: enough\n")
    assert "terminated:" not in populated("show", "contract").out
    assert populated("show", "contract").out.endswith(": enough\n")


def test_a_query_with_a_module_that_lacks_the_workflow_says_to_give_another(populated):
    answer = populated("query", "contract", "approved_by", "-m", "json")

    assert answer.code == 2
    assert "'Approval'" in answer.err
    assert "-m" in answer.err
    assert "Client.connect" not in answer.err


def test_show_says_when_no_worker_serves_the_queue_of_a_run_that_waits_for_one(command_line):
    command_line("start", "greeting", "--id", "x", "--queue", "mail")

    assert (
        "waits for a worker: none that is alive serves the task queue 'mail'" in command_line("show", "x").out
    )


def test_result_prints_the_result_or_fails_with_the_reason(populated):
    good, bad = populated("result", "hello"), populated("result", "no-stock")

    assert (good.code, good.out) == (0, '"hello ada"\n')
    assert (bad.code, bad.out) == (1, "")
    assert "Refused: no stock" in bad.err
    assert populated("result", "no-stock", "--json").json["status"] == "failed"


def test_result_gives_up_waiting_when_told_to(populated):
    answer = populated("result", "contract", "--timeout", "0.05")

    assert answer.code == 1
    assert "goes on" in answer.err


def test_a_signal_is_accepted_and_stands_in_the_inbox_without_a_worker(populated):
    answer = populated("signal", "contract", "approve", "dana")

    assert answer.code == 0
    with sqlite3.connect(populated.database) as connection:
        kept = connection.execute("SELECT type, attributes FROM perdure_inbox").fetchall()
    connection.close()
    assert [row[0] for row in kept] == ["WorkflowExecutionSignaled"]
    assert "dana" in kept[0][1]


def test_cancel_and_terminate_reach_an_open_run(populated):
    assert populated("cancel", "contract", "--reason", "changed my mind").code == 0
    assert populated("terminate", "contract", "--reason", "enough").code == 0

    assert populated("count", "--json").json["terminated"] == 1
    assert "enough" in populated("show", "contract").out


@pytest.mark.parametrize(
    "words", [("signal", "hello", "approve", "x"), ("cancel", "hello"), ("terminate", "hello")]
)
def test_a_closed_run_takes_no_messages(populated, words):
    answer = populated(*words)

    assert answer.code == 1
    assert "completed" in answer.err
    assert "Traceback" not in answer.err


@pytest.mark.parametrize("verb", ["show", "history", "result", "cancel", "verify"])
def test_a_run_that_is_not_there_is_exit_code_3_with_the_near_miss(populated, verb):
    answer = populated(verb, "helo")

    assert answer.code == 3
    assert "hello" in answer.err
    assert answer.out == ""


def test_start_makes_a_run_and_prints_its_names(command_line):
    answer = command_line("start", "greeting", "name=ada", "--id", "first", "--json")

    assert answer.code == 0
    assert answer.json["workflow_id"] == "first"
    assert command_line("show", "first", "--json").json["input"] == [{"name": "ada"}]


def test_an_id_that_is_taken_is_refused_and_an_id_that_no_store_can_hold_is_a_usage_error(populated):
    taken, impossible = (
        populated("start", "Approval", "x", "--id", "contract"),
        populated("start", "Approval", "--id", " x "),
    )

    assert taken.code == 1
    assert "contract" in taken.err
    assert impossible.code == 2
    assert populated("count", "--json").json["total"] == 3


def test_verify_says_that_all_is_whole(populated):
    answer = populated("verify", "--json")

    assert answer.code == 0
    assert answer.json["runs"] == 3
    assert answer.json["defects"] == []
    assert populated("verify", "hello").code == 0


def test_verify_finds_what_was_changed_behind_its_back(populated):
    with sqlite3.connect(populated.database) as connection:
        for (name,) in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'trigger'").fetchall():
            connection.execute(f'DROP TRIGGER "{name}"')
        connection.execute("UPDATE perdure_history SET attributes = replace(attributes, 'ada', 'eve')")
    connection.close()

    answer = populated("verify")

    assert answer.code == 1
    assert "hello" in answer.out
    assert "event 1" in answer.out
    assert populated("verify", "no-stock").code == 0
    assert populated("doctor").code == 1


def test_doctor_says_what_holds_and_what_is_to_be_mended(populated):
    populated("start", "greeting", "name=eve", "--id", "nobody-takes-it")

    answer = populated("doctor", "--json")
    found = {one["name"]: one for one in answer.json}

    assert {
        "Python",
        "SQLite",
        "schema",
        "journal mode",
        "INSERT-only history",
        "workers alive",
    } <= found.keys()
    assert found["INSERT-only history"]["ok"]
    assert not found["runs without a worker"]["ok"]
    assert answer.code == 1


def test_doctor_has_nothing_to_mend_where_no_run_waits(command_line):
    command_line("start", "greeting", "name=ada", "--id", "first")
    command_line("terminate", "first")

    assert command_line("doctor").code == 0
