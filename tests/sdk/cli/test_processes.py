"""The command line as processes: a worker that drains, pipes, signals, exit codes."""

import os
import shlex
import signal
import subprocess
import sys

import pytest

from tests.sdk.cli.conftest import HERE, environment, process

PATIENCE = 60


def finish(running):
    out, err = running.communicate(timeout=PATIENCE)
    return running.returncode, out, err


def wait_until_started(worker):
    line = worker.stderr.readline()
    assert "Worker" in line, line + worker.stderr.read()


@pytest.fixture
def worker(command_line):
    running = process("worker", "shop", "--db", command_line.database)
    try:
        wait_until_started(running)
        yield running
    finally:
        if running.poll() is None:
            running.kill()
        running.communicate(timeout=PATIENCE)


def test_start_wait_prints_the_result_that_a_worker_elsewhere_made(command_line, worker):
    good = finish(process("start", "greeting", "name=ada", "--wait", "--db", command_line.database))
    bad = finish(process("start", "refusal", "no stock", "--wait", "--db", command_line.database))

    assert good == (0, '"hello ada"\n', "")
    assert bad[0] == 1
    assert "no stock" in bad[2]
    assert "Traceback" not in bad[2]


def test_a_signal_and_a_query_reach_the_worker_s_run(command_line, worker):
    command_line("start", "Approval", "contract 7", "--id", "contract")

    before = command_line("query", "contract", "approved_by", "-m", "tests.sdk.cli.shop")
    command_line("signal", "contract", "approve", "dana")
    result = command_line("result", "contract")

    assert (before.code, before.out) == (0, "null\n")
    assert (result.code, result.out) == (0, '"contract 7 approved by dana"\n')


def test_a_query_that_no_handler_answers_is_one_message(command_line, worker):
    command_line("start", "Approval", "contract 7", "--id", "contract")

    answer = command_line("query", "contract", "no_such_query", "-m", "tests.sdk.cli.shop")

    assert answer.code == 1
    assert "no_such_query" in answer.err
    assert "Traceback" not in answer.err


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_worker_that_is_asked_to_stop_ends_in_order(command_line, worker, number):
    worker.send_signal(number)

    code, _, err = finish(worker)

    assert code == 0
    assert "Worker stopped." in err
    assert "Traceback" not in err


def test_a_worker_until_idle_ends_when_no_run_is_open(command_line):
    for number in range(5):
        command_line("start", "greeting", f"name=n{number}", "--id", f"run-{number}")

    code, _, _ = finish(process("worker", "shop", "--until-idle", "--db", command_line.database))

    assert code == 0
    assert command_line("count", "--json").json == {"completed": 5, "total": 5}


def test_a_module_that_is_not_there_or_holds_nothing_is_a_usage_error(command_line):
    missing = finish(process("worker", "shopp", "--db", command_line.database))
    empty = finish(process("worker", "json", "--db", command_line.database))

    assert (missing[0], empty[0]) == (2, 2)
    assert "shopp" in missing[2]
    assert "no workflow" in empty[2]


def test_a_run_whose_code_is_broken_is_shown_with_its_traceback_everywhere(command_line, worker):
    command_line("start", "Buggy", "--id", "buggy")

    waited = command_line("result", "buggy", "--timeout", "4")
    shown = command_line("show", "buggy")
    listed = command_line("list", "--stuck", "--json")

    assert waited.code == 1
    assert 'ValueError("a bug on purpose")' in waited.err
    assert 'ValueError("a bug on purpose")' in shown.out
    assert "waits for code that can go on: ValueError: a bug on purpose" in shown.out
    assert "a bug on purpose" in listed.json[0]["problem"]["traceback"]
    assert command_line("doctor").code == 1
    assert "buggy" in command_line("doctor").out


def test_waiting_can_be_interrupted_and_the_run_goes_on(command_line, worker):
    command_line("start", "Approval", "contract 7", "--id", "contract")
    waiting = process("show", "contract", "--follow", "--json", "--db", command_line.database)
    command_line("signal", "contract", "unheard")
    waiting.stdout.readline()

    waiting.send_signal(signal.SIGINT)

    code, _, err = finish(waiting)
    assert code == 130
    assert "Traceback" not in err


def test_a_module_may_be_named_by_its_file(command_line):
    command_line("start", "greeting", "name=ada", "--id", "first")
    elsewhere = command_line.database.parent

    code, _, err = finish(
        process("worker", HERE / "shop.py", "--until-idle", "--db", command_line.database, cwd=elsewhere)
    )

    assert code == 0, err
    assert command_line("count", "--json").json == {"completed": 1, "total": 1}


def test_follow_prints_the_steps_of_a_run_as_they_happen_and_ends_with_it(command_line, worker):
    command_line("start", "Approval", "contract 7", "--id", "contract")
    follower = process("show", "contract", "--follow", "--db", command_line.database)

    command_line("signal", "contract", "approve", "dana")
    code, out, _ = finish(follower)

    assert code == 0
    assert "signal approve" in out
    assert "contract 7 approved by dana" in out.splitlines()[-1]


def test_a_pipe_that_closes_early_is_no_error_worth_a_traceback(populated):
    running = process("history", "hello", "--db", populated.database, stdout=subprocess.PIPE)
    running.stdout.close()
    err = running.stderr.read()
    running.stderr.close()

    assert running.wait(PATIENCE) in {0, 1}
    assert "Traceback" not in err


@pytest.mark.parametrize("words", [("list",), ("list", "--json"), ("verify",), ("show", "hello")])
def test_an_output_that_the_shell_closed_is_no_error_worth_a_traceback(populated, words):
    command = shlex.join([sys.executable, "-m", "perdure.cli", *words, "--db", str(populated.database)])

    answer = subprocess.run(
        ["sh", "-c", f"{command} >&-"],
        capture_output=True,
        text=True,
        check=False,
        env=environment(),
        timeout=PATIENCE,
    )

    assert (answer.returncode, answer.stderr) == (0, "")


def test_colour_is_for_terminals_that_want_it(populated):
    def on_a_terminal(**extra):
        master, slave = os.openpty()
        running = process(
            "list", "--db", populated.database, stdout=slave, env=environment() | {"TERM": "xterm"} | extra
        )
        os.close(slave)
        text = b""
        while True:
            try:
                chunk = os.read(master, 65536)
            except OSError:
                break
            if not chunk:
                break
            text += chunk
        os.close(master)
        running.communicate(timeout=PATIENCE)
        return text.decode()

    assert "\x1b[" in on_a_terminal()
    assert "\x1b[" not in on_a_terminal(NO_COLOR="1")
    assert "\x1b[" not in populated("list").out
