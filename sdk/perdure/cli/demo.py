"""`perdure demo`: things to watch."""

import subprocess
import sys
from pathlib import Path

import click

import perdure
from perdure.cli._exits import CommandError, Exit


@click.group("demo")
def demo_command() -> None:
    """Show a workflow that survives kill -9."""


@demo_command.command("crash")
@click.option("--orders", type=click.IntRange(min=1), help="Use only the first so many orders.")
def crash_command(orders: int | None) -> None:
    """Run orders through a worker that is killed again and again; see that nothing is lost or done twice.

    Takes less than a minute, writes only to a temporary folder, and exits with 1 if anything is wrong.
    """
    command = [sys.executable, str(_script())]
    if orders is not None:
        command += ["--orders", str(orders)]
    status = subprocess.run(command, check=False).returncode  # noqa: S603  our own file, with this Python
    click.get_current_context().exit(int(Exit.FINE if status == 0 else Exit.FAILED))


def _script() -> Path:
    """The demo's file: inside an installed wheel, or in the folder `examples` of a checkout."""
    package = Path(perdure.__file__).parent
    for folder in (package / "examples", package.parents[1] / "examples"):
        script = folder / "crash_recovery" / "demo.py"
        if script.is_file():
            return script
    raise CommandError("The demo's files are not part of this installation.", Exit.FAILED)
