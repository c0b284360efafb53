"""The page docs/reference/cli.md, written from the commands themselves: `python -m perdure.cli.reference`."""

import sys
from inspect import cleandoc
from typing import Any

import click

from perdure.cli.__main__ import VERBS, perdure

INTRODUCTION = """\
# The command line

This page is made from the commands by `make docs`.

The options `--db`, `--namespace`, `--json` and `--help` may stand before the verb or after it.

**The database** is what `--db` says, else `PERDURE_DATABASE_URL`, else `DATABASE_URL` (which is then said on
standard error). A path names an SQLite file. Only `worker` and `start` make a database that is not there.

**A run** is named by its workflow id (its newest run), by its run id, or by the beginning of its run id, at least
four characters, when no other run's begins so.

**Output.** On a terminal: colour (unless `NO_COLOR` is set), lines cut to the screen. In a pipe: no colour, nothing
cut. With `--json`: one JSON document whose keys stay stable, times in ISO 8601, UTC; `show --follow --json`
prints one JSON document a line.

| exit code | meaning |
| --- | --- |
| 0 | fine |
| 1 | the run failed, the request was refused, or the check found something |
| 2 | the command line is wrong |
| 3 | no such run |
| 4 | no usable database: none given, none there, not a perdure database, damaged, in memory, or of a newer perdure |
| 130 | interrupted |

An error is one message. `PERDURE_TRACEBACK=1` shows the traceback instead.
"""


def reference_page() -> str:
    """The whole page as Markdown."""
    context = click.Context(perdure, info_name="perdure")
    parts = [INTRODUCTION]
    for verb in VERBS:
        command = perdure.get_command(context, verb)
        if command is not None:
            parts.extend(_sections(command, f"perdure {verb}"))
    return "\n".join(parts)


def _sections(command: click.Command, path: str) -> list[str]:
    if isinstance(command, click.Group):
        return [
            section
            for name in sorted(command.commands)
            for section in _sections(command.commands[name], f"{path} {name}")
        ]
    context = click.Context(command, info_name=path)
    usage = " ".join([path, *command.collect_usage_pieces(context)])
    described = cleandoc(command.help or "").replace("\b\n", "")
    rows = [row for parameter in command.params if (row := _row(parameter))]
    table = ["| option | meaning |", "| --- | --- |", *rows] if rows else []
    return ["\n".join([f"## {path}", "", f"    {usage}", "", described, "", *table]).rstrip() + "\n"]


def _row(parameter: click.Parameter) -> str | None:
    if not isinstance(parameter, click.Option) or parameter.name in {"url", "namespace", "json", "db"}:
        return None
    names = ", ".join(f"`{name}`" for name in parameter.opts)
    if not parameter.is_flag:
        names += f" {_value_name(parameter)}"
    text = parameter.help or ""
    default: Any = parameter.default
    if parameter.show_default and isinstance(default, str | int | float):
        text += f" Default: {default}."
    return f"| {names} | {text} |"


def _value_name(option: click.Option) -> str:
    if option.metavar:
        return option.metavar
    if isinstance(option.type, click.Choice):
        return " \\| ".join(str(choice) for choice in option.type.choices)
    return "N"


if __name__ == "__main__":
    sys.stdout.write(reference_page())
