"""What the documents say is true: their code runs, their links lead somewhere, their promises name a test.

Python blocks of a page run in the page's order, in one process and one empty folder. A comment in the line
before a block changes that: `<!-- file: app.py -->` writes the block to that file and runs it as a script;
`<!-- not run: REASON -->` is for signatures and fragments only.
"""

import ast
import os
import re
import subprocess
import sys
import textwrap
from dataclasses import dataclass

import pytest

from tests.architecture.source_tree import PACKAGES, ROOT, documents, modules_of_tests

BLOCK = re.compile(
    r"(?:^[ \t]*<!--[ \t]*(?P<mark>file|not run):[ \t]*(?P<value>.*?)[ \t]*-->[ \t]*\n+)?^(?P<indent>[ \t]*)```python[ \t]*\n(?P<code>.*?)^[ \t]*```",
    re.MULTILINE | re.DOTALL,
)
PROMISE = re.compile(r"tests/[\w./-]+?\.py(?:::(?:\w+::)?(?P<name>\w+))?")
LINK = re.compile(r"(?<!!)\[[^\]]+\]\((?!https?:|mailto:)(?P<target>[^)#\s]*)(?:#[^)\s]*)?\)")


@dataclass(frozen=True)
class Block:
    line: int
    code: str
    file: str
    not_run: str | None


def blocks(text):
    found = []
    for match in BLOCK.finditer(text):
        line = text.count("\n", 0, match.start("code")) + 1
        mark, value = match["mark"], match["value"]
        found.append(
            Block(
                line,
                textwrap.dedent(match["code"]),
                value if mark == "file" else "",
                value if mark == "not run" else None,
            )
        )
    return found


def script(page):
    """One program that runs the blocks of a page in order, with the page's line numbers in tracebacks."""
    lines = [
        "import runpy, sys",
        "from pathlib import Path",
        "names = {'__name__': '__main__'}",
        "sys.path.insert(0, '.')",
    ]
    for block in blocks(page.read_text(encoding="utf-8")):
        if block.not_run is not None:
            continue
        file = block.file or f"line_{block.line}.py"
        lines.append(f"Path({file!r}).write_text({block.code!r})")
        if block.file:
            lines.append(f"runpy.run_path({file!r}, run_name='__main__')")
        else:
            lines.append(f"exec(compile(Path({file!r}).read_text(), {file!r}, 'exec'), names)")
    return "\n".join(lines)


PAGES = [
    page
    for page in documents()
    if any(block.not_run is None for block in blocks(page.read_text(encoding="utf-8")))
]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_the_code_of_a_page_runs(page, tmp_path):
    path = os.pathsep.join(str(package.parent) for package in PACKAGES)
    environment = {key: value for key, value in os.environ.items() if "DATABASE_URL" not in key} | {
        "PYTHONPATH": path
    }

    answer = subprocess.run(
        [sys.executable, "-W", "error", "-c", script(page)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env=environment,
    )

    assert answer.returncode == 0, answer.stderr[-3_000:]


@pytest.mark.parametrize("page", documents(), ids=lambda page: str(page.relative_to(ROOT)))
def test_code_that_is_not_run_says_why(page):
    for block in blocks(page.read_text(encoding="utf-8")):
        assert block.not_run is None or len(block.not_run) > 10, f"line {block.line}"


@pytest.mark.parametrize("page", documents(), ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_to_files_that_exist(page):
    broken = [
        match["target"]
        for match in LINK.finditer(page.read_text(encoding="utf-8"))
        if match["target"] and not (page.parent / match["target"]).exists()
    ]

    assert not broken


def test_every_page_can_be_reached_from_the_index():
    index = ROOT / "docs/README.md"
    reached, ahead = set(), [index]
    while ahead:
        page = ahead.pop()
        if page in reached or not page.is_file():
            continue
        reached.add(page)
        links = LINK.finditer(page.read_text(encoding="utf-8"))
        ahead.extend(
            target for match in links if (target := (page.parent / match["target"]).resolve()).suffix == ".md"
        )

    assert {page for page in documents() if page.is_relative_to(ROOT / "docs")} <= reached


def test_promises_name_tests_that_exist():
    known = {}
    for module in modules_of_tests():
        known[module.name] = {
            node.name
            for node in ast.walk(module.tree)
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        }

    missing = set()
    for page in documents():
        for match in PROMISE.finditer(page.read_text(encoding="utf-8")):
            file = match[0].partition("::")[0]
            if file not in known or (match["name"] and match["name"] not in known[file]):
                missing.add(f"{page.relative_to(ROOT)}: {match[0]}")

    assert not missing


def test_the_reference_of_the_command_line_is_what_the_commands_say():
    from perdure.cli.reference import reference_page

    page = (ROOT / "docs/reference/cli.md").read_text(encoding="utf-8")

    assert page == reference_page(), "run `make docs`"
