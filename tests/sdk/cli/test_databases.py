"""Which database is meant, and what is said when there is none: exit code 4, and nothing is made or changed."""

import sqlite3

import pytest
from click.testing import CliRunner

from perdure.cli.__main__ import VERBS, perdure

QUESTIONS = [
    ("list",),
    ("count",),
    ("show", "x"),
    ("history", "x"),
    ("result", "x"),
    ("verify",),
    ("cancel", "x"),
    ("doctor",),
]


def test_no_database_at_all_says_how_to_name_one(command_line):
    answer = command_line("list", db=False)

    assert answer.code == 4
    assert "--db" in answer.err


@pytest.mark.parametrize("words", QUESTIONS, ids=lambda words: words[0])
def test_a_question_never_makes_a_database(command_line, words):
    answer = command_line(*words)

    assert answer.code == 4
    assert "no database" in answer.err + answer.out
    assert not list(command_line.database.parent.iterdir())


def test_a_file_that_is_no_database_is_left_as_it_is(command_line):
    command_line.database.write_bytes(
        b"not a database at all, but long enough to be read as a header of one " * 20
    )
    before = command_line.database.read_bytes()

    answer = command_line("list")

    assert answer.code == 4
    assert "not a perdure database" in answer.err
    assert command_line.database.read_bytes() == before


def test_a_database_of_another_program_gets_no_tables_from_a_question(command_line):
    with sqlite3.connect(command_line.database) as connection:
        connection.execute("CREATE TABLE customers (id)")
    connection.close()

    answer = command_line("list")

    assert answer.code == 4
    with sqlite3.connect(command_line.database) as connection:
        assert connection.execute("SELECT name FROM sqlite_schema").fetchall() == [("customers",)]
    connection.close()


def test_a_database_of_a_newer_perdure_is_left_untouched(populated):
    with sqlite3.connect(populated.database) as connection:
        connection.execute(
            "INSERT INTO perdure_schema SELECT 999, 'later', checksum, event_format, applied_at FROM perdure_schema"
        )
    connection.close()

    answer = populated("list")

    assert answer.code == 4
    assert "999" in answer.err
    assert "upgrade" in answer.err


@pytest.mark.parametrize("words", [*QUESTIONS, ("start", "x"), ("worker", "tests.sdk.cli.shop")])
def test_a_memory_store_is_refused_since_it_would_end_with_the_command(command_line, words):
    answer = command_line("--db", "memory://name", *words, db=False)

    assert answer.code == 4
    assert "memory store ends with its process" in answer.err + answer.out


@pytest.mark.parametrize("kept", [0.001, 0.1, 0.5, 0.9])
@pytest.mark.parametrize("words", [("list",), ("start", "x"), ("doctor",)], ids=lambda words: words[0])
def test_a_database_that_was_cut_off_is_called_damaged_and_not_foreign(populated, kept, words):
    whole = populated.database.read_bytes()
    cut = whole[: int(len(whole) * kept)]
    populated.database.write_bytes(cut)

    answer = populated(*words)

    assert answer.code == 4
    assert "is damaged" in answer.err + answer.out
    assert "backup" in answer.err + answer.out
    assert populated.database.read_bytes() == cut


@pytest.mark.parametrize("url", ["oracle://shop:secret@db/app", "sqlite://"])
def test_an_address_that_names_no_store_is_said_without_its_password(command_line, url):
    answer = CliRunner().invoke(perdure, ["list"], env={"DATABASE_URL": url, "PERDURE_DATABASE_URL": None})

    assert answer.exit_code == 4
    assert "secret" not in answer.output


def test_the_environment_names_the_database_and_the_option_wins(populated, tmp_path):
    url = f"sqlite:///{populated.database}"

    own = CliRunner().invoke(
        perdure, ["count", "--json"], env={"PERDURE_DATABASE_URL": url, "DATABASE_URL": "nowhere.db"}
    )
    general = CliRunner().invoke(
        perdure, ["count", "--json"], env={"PERDURE_DATABASE_URL": None, "DATABASE_URL": url}
    )
    option = CliRunner().invoke(
        perdure, ["count", "--db", str(tmp_path / "none.db")], env={"PERDURE_DATABASE_URL": url}
    )

    assert (own.exit_code, own.stderr) == (0, "")
    assert general.exit_code == 0
    assert "DATABASE_URL" in general.stderr
    assert option.exit_code == 4


def test_another_namespace_is_another_world(populated):
    assert populated("count", "--json", "--namespace", "elsewhere").json == {"total": 0}
    assert populated("show", "hello", "--namespace", "elsewhere").code == 3


def test_an_unknown_verb_names_the_one_that_was_meant(command_line):
    answer = command_line("lst", db=False)

    assert answer.code == 2
    assert "'list'" in answer.err


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_explains_itself_in_the_words_of_the_overview(command_line, verb):
    answer = command_line(verb, "--help", db=False)

    assert answer.code == 0
    assert verb == "demo" or "Usage:" in answer.out


def test_the_overview_lists_every_verb(command_line):
    text = command_line("--help", db=False).out

    assert all(f"\n  {verb} " in text for verb in VERBS)
