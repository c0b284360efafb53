"""Arguments as typed in a shell, to values."""

import sys
from pathlib import Path
from typing import Any

import msgspec

from perdure.cli._exits import CommandError, Exit


def parse_arguments(words: tuple[str, ...]) -> list[Any]:
    """The arguments that `words` stand for, in order.

    `key=text` and `key:=json` together make one object, which stands where the first of them stood; a key is an
    identifier, so that an address with `?a=b` in it stays text. `:=json` is one argument, also for text that
    looks like something else; `@file` the JSON in a file; `-` the JSON on standard input; anything else is text.
    """
    arguments: list[Any] = []
    fields: dict[str, Any] = {}
    for word in words:
        if word == "-":
            arguments.append(_json(sys.stdin.read(), "standard input"))
        elif word.startswith("@"):
            arguments.append(_json(_read(Path(word[1:])), word[1:]))
        elif word.startswith(":="):
            arguments.append(_json(word[2:], word))
        elif (pair := _pair(word)) is not None:
            if not fields:
                arguments.append(fields)
            key, value = pair
            if key in fields:
                raise CommandError(f"{key!r} is given twice.", Exit.USAGE)
            fields[key] = value
        else:
            arguments.append(word)
    return arguments


def _pair(word: str) -> tuple[str, Any] | None:
    key, equals, value = word.partition("=")
    name = key.removesuffix(":")
    if not equals or not name.isidentifier():
        return None
    return name, value if name == key else _json(value, word)


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise CommandError(f"Cannot read the argument file {path}: {error}", Exit.USAGE) from error


def _json(text: str, where: str) -> Any:
    try:
        return msgspec.json.decode(text)
    except msgspec.DecodeError as error:
        raise CommandError(f"{where} is not JSON: {error}", Exit.USAGE) from error
