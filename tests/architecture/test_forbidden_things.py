"""What no module may use, whatever its layer; the layers themselves are in test_layers.py."""

import ast
import re

import pytest

from tests.architecture.source_tree import ROOT, dotted, imported_names, package_modules, tracked_files

FORBIDDEN_IMPORTS = {"pickle", "marshal", "shelve", "dill", "cloudpickle", "imp"}
FORBIDDEN_BUILTINS = {"eval", "exec", "compile", "__import__"}

CLOCKS = re.compile(
    r"^(time\.(time|time_ns|monotonic|monotonic_ns|perf_counter|perf_counter_ns|clock_gettime|clock_gettime_ns|sleep)"
    r"|datetime\.datetime\.(now|utcnow|today)|datetime\.date\.today"
    r"|random\.(?!Random$)\w+|uuid\.uuid[147]|os\.urandom|secrets\.\w+)$"
)

MAY_HAVE_A_CLOCK: dict[str, str] = {
    "sdk/perdure/_run.py": "makes the id that the caller did not give",
    "sdk/perdure/client/_client.py": "holds the default of a parameter, the maker of run ids",
    "sdk/perdure/worker/_worker.py": "holds the default of a parameter, the clock that runs while the machine sleeps",
    "history/perdure_history/clock.py": "the one place where stores read real time",
    "history/perdure_history/sql/committer.py": "its thread waits for locks and gives up; no stored byte depends on it",
    "history/perdure_history/sql/sidecar.py": "waits for a lock of the file and gives up",
    "history/perdure_history/sql/writer.py": "waits for a lock of the file and gives up",
    "sdk/perdure/cli/start.py": "a default workflow id, made where the user types",
    "sdk/perdure/cli/verify.py": "redraws its progress a few times a second",
}
"""Where real time and randomness enter, with the reason; everywhere else they are parameters (which have defaults)."""

SQL = re.compile(
    r"\b(SELECT\s.+\sFROM|INSERT\s+(OR\s+\w+\s+)?INTO|UPDATE\s+\w+\s+SET|DELETE\s+FROM|CREATE\s+(TABLE|INDEX|TRIGGER|VIEW|UNIQUE)"
    r"|DROP\s+(TABLE|INDEX|TRIGGER|VIEW)|ALTER\s+TABLE|PRAGMA\s)",
    re.IGNORECASE | re.DOTALL,
)

MAY_FORMAT_SQL: dict[str, str] = {
    "history/perdure_history/sql/readers.py": "pragmas take no bound values; these are constants of the module",
}
"""Modules that put names (never data) into SQL text, with the reason."""

MODULES = package_modules()


def by_name(module):
    return module.name


@pytest.mark.parametrize("module", MODULES, ids=by_name)
def test_nothing_is_pickled_or_evaluated(module):
    imports = {name.partition(".")[0] for name in imported_names(module.tree).values()}
    calls = {
        node.func.id
        for node in ast.walk(module.tree)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
    }

    assert not imports & FORBIDDEN_IMPORTS
    assert not calls & FORBIDDEN_BUILTINS


@pytest.mark.parametrize("module", MODULES, ids=by_name)
def test_time_and_chance_come_in_through_parameters(module):
    names = imported_names(module.tree)

    defaults = {
        id(inner)
        for node in ast.walk(module.tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        for default in (*node.args.defaults, *node.args.kw_defaults)
        if default is not None
        for inner in ast.walk(default)
    }
    used = {
        f"{module.name}:{node.lineno} {name}"
        for node in ast.walk(module.tree)
        if isinstance(node, ast.Call) and id(node) not in defaults
        if (name := dotted(node.func, names)) and CLOCKS.match(name)
    }

    assert not used or module.name in MAY_HAVE_A_CLOCK, used


@pytest.mark.parametrize("module", MODULES, ids=by_name)
def test_no_data_is_written_into_sql_text(module):
    built = set()
    for node in ast.walk(module.tree):
        if isinstance(node, ast.JoinedStr) and any(
            isinstance(part, ast.FormattedValue) for part in node.values
        ):
            text = "".join(part.value if isinstance(part, ast.Constant) else " x " for part in node.values)
            if SQL.search(text):
                built.add(f"{module.name}:{node.lineno} {text[:60]!r}")
        elif isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mod | ast.Add):
            left = node.left
            if isinstance(left, ast.Constant) and isinstance(left.value, str) and SQL.search(left.value):
                built.add(f"{module.name}:{node.lineno} {left.value[:60]!r}")
        elif (
            isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "format"
        ):
            text = node.func.value
            if isinstance(text, ast.Constant) and isinstance(text.value, str) and SQL.search(text.value):
                built.add(f"{module.name}:{node.lineno} {text.value[:60]!r}")

    assert not built or module.name in MAY_FORMAT_SQL, built


def test_exceptions_name_modules_that_exist_and_give_a_reason():
    names = {module.name for module in MODULES}

    for place, reason in {**MAY_HAVE_A_CLOCK, **MAY_FORMAT_SQL}.items():
        assert place in names, f"{place} is gone; remove the exception"
        assert reason.strip()


LATE_IMPORTS = {
    "sdk/perdure/client/_addresses.py imports perdure_history": "SQLAlchemy is loaded when a database is opened",
}
"""Imports inside functions of what is not an optional extra, with the reason."""


def test_function_level_imports_are_for_optional_extras_and_for_the_command_line():
    optional = {
        "rich",
        "pydantic",
        "pydantic_core",
        "attrs",
        "attr",
        "apsw",
        "uvloop",
        "IPython",
        "opentelemetry",
        "prometheus_client",
    }
    found = set()
    for module in MODULES:
        if "/cli/" in module.name:
            continue
        for function in ast.walk(module.tree):
            if not isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
                continue
            for node in ast.walk(function):
                roots = (
                    {alias.name.partition(".")[0] for alias in node.names}
                    if isinstance(node, ast.Import)
                    else {(node.module or "").partition(".")[0]}
                    if isinstance(node, ast.ImportFrom)
                    else set()
                )
                found |= {f"{module.name} imports {root}" for root in roots - optional}

    assert found <= set(LATE_IMPORTS), found - set(LATE_IMPORTS)


WORKPLACE = re.compile(
    "|".join(
        [
            r"(?<![\w.])/wor" + "k/",
            r"(?<![\w.$}])/tm" + "p/",
            "/roo" + "t/",
            "protocol-" + "notes",
            "help" + "er session",
            "seed-" + "plan",
        ]
    )
)


def test_the_project_never_names_the_machine_it_was_written_on():
    found = set()
    for path in tracked_files():
        try:
            text = path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue
        for number, line in enumerate(text.splitlines(), 1):
            if WORKPLACE.search(line):
                found.add(f"{path.relative_to(ROOT)}:{number}: {line.strip()[:80]}")

    assert not found
