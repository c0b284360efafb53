"""What all tests share: figures that are measured on the way, and what could not be run, are said at the end."""

from collections.abc import Callable

import pytest

_FIGURE = "figure"


@pytest.fixture
def figure(record_property: Callable[[str, object], None]) -> Callable[[str], None]:
    """Say a measured figure below the test results, also when the test passes and on a worker of xdist."""

    def say(text: str) -> None:
        record_property(_FIGURE, text)

    return say


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the figures, and the tests that this machine could not run."""
    figures = [
        value
        for outcome in ("passed", "failed")
        for report in terminalreporter.stats.get(outcome, [])
        for name, value in getattr(report, "user_properties", [])
        if name == _FIGURE and report.when == "call"
    ]
    not_run = [
        f"{report.nodeid}: {report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr}"
        for report in terminalreporter.stats.get("skipped", [])
    ]
    if figures:
        terminalreporter.section("figures")
        for figure in figures:
            terminalreporter.write_line(str(figure))
    if not_run:
        terminalreporter.section("NOT RUN", red=True)
        for line in not_run:
            terminalreporter.write_line(line)
