"""The command itself: its verbs, loaded when they are asked for, and the end of every error."""

import asyncio
import sys
from difflib import get_close_matches
from importlib import import_module
from importlib.metadata import version
from typing import Any, NoReturn

import click

from perdure.cli._exits import told
from perdure.cli._settings import common_options

VERBS: dict[str, tuple[str, str]] = {
    "demo": ("demo", "Show a workflow that survives kill -9."),
    "worker": ("worker", "Run the workflows and activities of a module."),
    "start": ("start", "Start a run."),
    "list": ("runs", "List runs, newest first."),
    "count": ("runs", "Count runs by status."),
    "show": ("show", "Show one run as a tree: steps, attempts, what it waits for."),
    "history": ("history", "Print the events of a run."),
    "result": ("result", "Wait for a run and print its result."),
    "signal": ("messages", "Send a signal to a run."),
    "query": ("messages", "Ask a run something, read-only."),
    "cancel": ("messages", "Ask a run to cancel itself."),
    "terminate": ("messages", "End a run without asking its code."),
    "verify": ("verify", "Check that no stored history was changed."),
    "doctor": ("doctor", "Say what holds here: Python, SQLite, the database, its workers."),
}
"""Each verb with the module that holds it and one line of help, so that `--help` imports no verb."""


class VerbGroup(click.Group):
    """A group that imports a verb's module only to run it or to show its own help."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """All verbs, in the order in which a newcomer meets them."""
        return list(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The verb's command; None when there is no such verb."""
        if cmd_name not in VERBS:
            return None
        module = import_module(f"perdure.cli.{VERBS[cmd_name][0]}")
        command: click.Command = getattr(module, f"{cmd_name}_command")
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """As click's own, with the verb that was probably meant."""
        if args and args[0] not in VERBS and not args[0].startswith("-"):
            near = get_close_matches(args[0], VERBS, n=1)
            hint = f" Did you mean {near[0]!r}?" if near else " `perdure --help` lists the commands."
            raise click.UsageError(f"No such command {args[0]!r}.{hint}", ctx)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the table of verbs without importing any of them."""
        with formatter.section("Commands"):
            formatter.write_dl([(verb, line) for verb, (_, line) in VERBS.items()])

    def invoke(self, ctx: click.Context) -> Any:
        """Run the verb; any error becomes one message and an exit code."""
        try:
            return super().invoke(ctx)
        except (click.ClickException, click.exceptions.Exit, click.Abort):
            raise
        except (KeyboardInterrupt, asyncio.CancelledError):
            click.echo("Interrupted.", err=True)
            ctx.exit(130)
        except BrokenPipeError:
            raise
        except Exception as error:  # noqa: BLE001  the last place where an error can become a message
            end = told(error)
            click.echo(f"Error: {end.message}", err=True)
            ctx.exit(int(end.exit_code))


@click.group(
    cls=VerbGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100}
)
@click.version_option(version("perdure"), prog_name="perdure")
@common_options
def perdure() -> None:
    """Durable workflows on an append-only event log.

    The database comes from --db, or PERDURE_DATABASE_URL, or DATABASE_URL. Exit codes: 0 fine, 1 the run
    failed or the check found something, 2 usage, 3 no such run, 4 no usable database.
    """


def main() -> NoReturn:
    """Run the command line and exit."""
    perdure.main(prog_name="perdure")
    sys.exit(0)


if __name__ == "__main__":
    main()
