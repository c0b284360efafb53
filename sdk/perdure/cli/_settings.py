"""Options that every verb understands, before the verb or after it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import click

Function = TypeVar("Function", bound=Callable[..., Any])


@dataclass(slots=True)
class Settings:
    """What the common options came to."""

    url: str | None = None
    namespace: str = "default"
    as_json: bool = False


def current_settings() -> Settings:
    """The settings of the command that is running."""
    return click.get_current_context().ensure_object(Settings)


def _keep_url(ctx: click.Context, _parameter: click.Parameter, value: str | None) -> None:
    if value is not None:
        ctx.ensure_object(Settings).url = value


def _keep_namespace(ctx: click.Context, _parameter: click.Parameter, value: str | None) -> None:
    if value is not None:
        ctx.ensure_object(Settings).namespace = value


def _keep_json(ctx: click.Context, _parameter: click.Parameter, value: bool) -> None:
    if value:
        ctx.ensure_object(Settings).as_json = True


def common_options(function: Function) -> Function:
    """Add --db, --namespace and --json; they stand in `current_settings()`, not in the arguments."""
    decorators = (
        click.option(
            "--db",
            metavar="URL",
            expose_value=False,
            callback=_keep_url,
            help="The database: a path or a URL such as sqlite:///app.db.",
        ),
        click.option(
            "--namespace",
            metavar="NAME",
            expose_value=False,
            callback=_keep_namespace,
            help="Default: default.",
        ),
        click.option(
            "--json",
            is_flag=True,
            expose_value=False,
            callback=_keep_json,
            help="Print JSON, with times in ISO 8601, UTC.",
        ),
    )
    for decorate in reversed(decorators):
        function = decorate(function)
    return function
