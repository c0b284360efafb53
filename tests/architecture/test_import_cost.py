"""`import perdure` is quick because it loads little; how quick in milliseconds is measured by the benchmarks."""

import os
import subprocess
import sys

from tests.architecture.source_tree import PACKAGES

HEAVY = (
    "sqlalchemy",
    "aiosqlite",
    "sqlite3",
    "apsw",
    "rich",
    "click",
    "pydantic",
    "opentelemetry.sdk",
    "attr",
    "attrs",
)


def loaded_by(statement):
    code = f"import sys; {statement}; print('\\n'.join(sorted(sys.modules)))"
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(str(package.parent) for package in PACKAGES)}
    answer = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False, env=environment
    )
    assert answer.returncode == 0, answer.stderr
    return set(answer.stdout.split())


def test_importing_perdure_loads_no_database_no_screen_and_no_model_library():
    loaded = loaded_by("import perdure")

    assert not loaded & set(HEAVY)


def test_importing_the_workflow_surface_loads_no_database():
    loaded = loaded_by("from perdure import workflow, activity")

    assert not loaded & set(HEAVY)


def test_help_of_the_command_line_loads_no_database_and_no_verb():
    loaded = loaded_by("import perdure.cli.__main__")

    assert not loaded & {
        "sqlalchemy",
        "aiosqlite",
        "rich",
        "perdure.client",
        "perdure.worker",
        "perdure.cli.runs",
    }
