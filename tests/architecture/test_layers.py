"""The floors and the layers within them, as import-linter reads them from pyproject.toml."""

import subprocess
import sys
import tomllib

from tests.architecture.source_tree import PACKAGES, ROOT


def lint_imports(*arguments):
    code = "from importlinter.cli import lint_imports_command as run; run()"
    command = [sys.executable, "-c", code, "--no-cache", *arguments]
    path = ":".join(str(package.parent) for package in PACKAGES)
    return subprocess.run(
        command,
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env={"PYTHONPATH": path, "NO_COLOR": "1"},
    )


def test_imports_only_go_downwards():
    answer = lint_imports()

    assert answer.returncode == 0, answer.stdout[-4_000:] + answer.stderr[-1_000:]


def test_the_replayer_may_not_import_a_clock_or_a_store():
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    forbidden = {
        name
        for contract in contracts
        if contract["type"] == "forbidden"
        for name in contract["forbidden_modules"]
    }

    assert {"time", "threading", "socket", "secrets", "sqlalchemy", "perdure_history.store"} <= forbidden


def test_the_lower_packages_import_nothing_by_themselves():
    for package in PACKAGES[1:]:
        text = (package / "__init__.py").read_text()

        assert "import " not in text.replace("imports nothing", "")


def test_each_package_says_that_it_is_typed():
    assert all((package / "py.typed").is_file() for package in PACKAGES)
