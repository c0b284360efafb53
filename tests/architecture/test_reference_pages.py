"""The reference tables say what the code says: every event, error, option and verb of a store, no more and no less."""

import importlib
import inspect
import re
from datetime import timedelta
from enum import Enum

import pytest

from perdure_history.events import EVENT_TYPES, EventBase
from perdure_history.store import RunStore, Store, WorkStore
from tests.architecture.source_tree import ROOT

REFERENCE = ROOT / "docs/reference"
ROW = re.compile(r"^\| `(?P<name>[\w.]+)`(?P<rest>.*)\|$", re.MULTILINE)
PRIVATE = {"Evicted"}
"""Errors of public modules that never leave them."""


def sections(page):
    """The text below each heading of a page, by the first code in the heading."""
    text = (REFERENCE / page).read_text(encoding="utf-8")
    parts = re.split(r"^## (.*)$", text, flags=re.MULTILINE)
    found = {"": parts[0]}
    for heading, body in zip(parts[1::2], parts[2::2], strict=True):
        named = re.search(r"`([\w.]+)`", heading)
        found[named[1] if named else heading] = body
    return found


def rows(text):
    """Cells after the first, by the name in it; a name stands in one row only."""
    found = {}
    for match in ROW.finditer(text):
        assert match["name"] not in found, f"two rows for {match['name']}"
        found[match["name"]] = [cell.strip() for cell in match["rest"].split("|")[1:]]
    return found


def resolved(dotted):
    module, _, attribute = dotted.rpartition(".")
    try:
        return getattr(importlib.import_module(module), attribute)
    except ModuleNotFoundError:
        return getattr(resolved(module), attribute)


def test_every_event_is_in_its_table():
    page = sections("events.md")

    roles = {name: cells[0] for name, cells in rows(page[""]).items()}
    attributes = {name: re.findall(r"`(\w+)`", cells[0]) for name, cells in rows(page["Attributes"]).items()}

    assert roles == {name: cls.role.value for name, cls in EVENT_TYPES.items()}
    assert attributes == {name: list(cls.__struct_fields__) for name, cls in EVENT_TYPES.items()}


@pytest.mark.parametrize("event", EVENT_TYPES.values(), ids=EVENT_TYPES)
def test_the_events_that_end_a_run_say_so(event: type[EventBase]):
    what_follows = rows(sections("events.md")[""])[event.__name__][2]

    assert ("ends the run" in what_follows) == event.closes_run


@pytest.mark.parametrize(
    "module", ["perdure.exceptions", "perdure.client", "perdure_history.errors", "perdure_replayer.errors"]
)
def test_every_public_error_is_in_its_table(module):
    found = importlib.import_module(module)
    public = getattr(found, "__all__", None) or [name for name in vars(found) if not name.startswith("_")]
    errors = {
        getattr(found, name).__name__
        for name in public
        if inspect.isclass(getattr(found, name)) and issubclass(getattr(found, name), BaseException)
    }

    assert set(rows(sections("errors.md")[module])) == errors - PRIVATE


def shown(value):
    """A default as the tables write it."""
    if isinstance(value, timedelta):
        seconds = value.total_seconds()
        return f"{seconds:g} s" if seconds >= 1 or not seconds else f"{seconds * 1000:g} ms"
    if isinstance(value, Enum):
        return f"`{value.name}`"
    if value is inspect.Parameter.empty:
        return "required"
    if value is None or value == () or callable(value):
        return "none"
    return f"`{value!r}`"


def parameters(target):
    """Default by name, as tables write it, of what users pass by keyword."""
    if hasattr(target, "__required_keys__"):
        return dict.fromkeys(target.__annotations__, "none")
    return {
        name: shown(one.default)
        for name, one in inspect.signature(target).parameters.items()
        if name != "self" and one.kind not in (one.VAR_POSITIONAL, one.VAR_KEYWORD)
    }


OPTIONS = {name: text for name, text in sections("options.md").items() if name.startswith("perdure.")}


@pytest.mark.parametrize("target", OPTIONS)
def test_every_option_is_in_its_table_with_its_default(target):
    listed = {name: cells[0] for name, cells in rows(OPTIONS[target]).items()}

    assert listed == parameters(resolved(target))


def test_every_verb_of_a_store_is_in_the_contract():
    text = "".join(sections("store-contract.md").values())

    listed = set(rows(text))

    verbs = {
        name
        for contract in (RunStore, WorkStore, Store)
        for name in vars(contract)
        if not name.startswith("_")
    }
    assert listed == verbs
