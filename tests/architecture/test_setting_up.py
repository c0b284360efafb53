"""What a bare machine has on its PATH decides what is tested: it must be found, and never believed by its name."""

import subprocess
import sys

import pytest

from tests.architecture.source_tree import ROOT

FIND = ROOT / ".ci" / "find-python"
OWN = f"{sys.version_info[0]}.{sys.version_info[1]}"

pytestmark = pytest.mark.skipif(not FIND.exists(), reason="an unpacked sdist has no .ci")


def program(path, text):
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)


def find(*folders, version=None):
    environment = {"PATH": ":".join(map(str, folders))}
    command = ["/bin/sh", str(FIND), *([version] if version else [])]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60, env=environment)


def test_a_shim_that_only_fails_is_passed_over(tmp_path):
    program(tmp_path / "shims" / f"python{OWN}", "#!/bin/sh\nexit 127\n")
    program(tmp_path / "real one" / f"python{OWN}", f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')

    answer = find(tmp_path / "shims", tmp_path / "real one", version=OWN)

    assert answer.returncode == 0
    assert answer.stdout.strip() == str(tmp_path / "real one" / f"python{OWN}")


def test_a_python_of_another_version_than_its_name_is_not_taken(tmp_path):
    program(tmp_path / "bin" / "python3.99", f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')

    assert find(tmp_path / "bin", version="3.99").returncode == 1


def test_no_python_at_all_is_said_by_the_exit_code(tmp_path):
    answer = find(tmp_path)

    assert (answer.returncode, answer.stdout) == (1, "")


def test_plain_python3_is_taken_when_no_versioned_name_works(tmp_path):
    program(tmp_path / "bin" / "python3", f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')

    assert find(tmp_path / "bin").stdout.strip() == str(tmp_path / "bin" / "python3")


def test_make_alone_lists_every_command_with_a_line_of_help():
    text = (ROOT / "Makefile").read_text()

    for command in ("help", "demo", "test", "check", "test-all", "bench", "soak", "docs"):
        assert any(line.startswith(f"{command}:") and "## " in line for line in text.splitlines()), command
