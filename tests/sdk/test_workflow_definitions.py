"""What @workflow.defn makes of classes and functions, and what it refuses."""

from collections.abc import Sequence
from typing import Any

import pytest

from perdure import activity, workflow
from perdure.common import RawValue
from perdure.definitions import query_name, signal_name, workflow_definition, workflow_name
from perdure.exceptions import ApplicationError, DefinitionError, InvalidOptionError, NotDefinedError


@workflow.defn
async def order_flow(order: str, amount: int = 1) -> int:
    return amount


@workflow.defn(name="greeter")
class Greeter:
    @workflow.init
    def __init__(self, name: str) -> None:
        self.name = name

    @workflow.run
    async def run(self, name: str) -> str:
        return self.name

    @workflow.signal
    def rename(self, name: str) -> None:
        self.name = name

    @workflow.signal(name="shout")
    async def make_loud(self) -> None: ...

    @workflow.signal(dynamic=True)
    def anything(self, name: str, args: Sequence[RawValue]) -> None: ...

    @workflow.query
    def current(self) -> str:
        return self.name


async def test_a_function_is_a_workflow_and_stays_a_function():
    definition = workflow_definition(order_flow)

    assert definition.name == "order_flow"
    assert definition.workflow_class is None
    assert definition.arg_types == (str, int)
    assert definition.return_type is int
    assert definition.fails_run(ValueError())
    assert await order_flow("o", 7) == 7


def test_a_class_is_a_workflow_with_its_handlers():
    definition = workflow_definition(Greeter)

    assert definition is workflow_definition(Greeter.run)
    assert definition.name == "greeter"
    assert definition.init_takes_args
    assert sorted(definition.signals) == ["rename", "shout"]
    assert definition.signals["rename"].arg_types == (str,)
    assert definition.dynamic_signal is not None
    assert definition.dynamic_signal.takes_raw
    assert definition.queries["current"].return_type is str


def test_only_failures_fail_the_run_of_a_class_unless_it_says_more():
    @workflow.defn(failure_exception_types=[KeyError])
    class Strict:
        @workflow.run
        async def run(self) -> None: ...

    plain, strict = workflow_definition(Greeter), workflow_definition(Strict)

    assert plain.fails_run(ApplicationError("x"))
    assert plain.fails_run(TimeoutError())
    assert not plain.fails_run(KeyError())
    assert strict.fails_run(KeyError())
    assert not strict.fails_run(ValueError())


def test_handlers_are_inherited_and_the_run_method_is_not():
    @workflow.defn
    class Polite(Greeter):
        @workflow.init
        def __init__(self, name: str) -> None:
            super().__init__(name)

        @workflow.run
        async def run(self, name: str) -> str:
            return "dear " + await super().run(name)

        @workflow.signal
        def rename(self, name: str) -> None: ...

    definition = workflow_definition(Polite)

    assert definition.name == "Polite"
    assert sorted(definition.signals) == ["rename", "shout"]
    assert definition.signals["rename"].function is Polite.rename
    assert workflow_definition(Greeter).name == "greeter"


def test_names_are_found_from_what_was_decorated():
    assert workflow_name(Greeter) == "greeter"
    assert workflow_name("greeter") == "greeter"
    assert signal_name(Greeter.make_loud) == "shout"
    assert signal_name("shout") == "shout"
    assert query_name(Greeter.current) == "current"


def test_what_is_something_else_is_told_so():
    class Heir(Greeter):
        pass

    @activity.defn
    def act() -> None: ...

    for find, target, why in (
        (workflow_definition, Heir, "its base class is"),
        (workflow_definition, act, "it is an activity"),
        (workflow_definition, print, "not decorated with @workflow.defn"),
        (signal_name, Greeter.current, "it is a query handler"),
        (query_name, Greeter.rename, "it is a signal handler"),
        (signal_name, Greeter.anything, "dynamic handler"),
        (query_name, 5, "or a name"),
    ):
        with pytest.raises(NotDefinedError, match=why):
            find(target)


def no_run() -> Any:
    class Bad:
        async def run(self) -> None: ...

    return Bad


def two_runs() -> Any:
    class Bad:
        @workflow.run
        async def run(self) -> None: ...
        @workflow.run
        async def walk(self) -> None: ...

    return Bad


def run_of_the_base() -> Any:
    class Bad(Greeter):
        pass

    return Bad


def undecorated_override() -> Any:
    class Bad(Greeter):
        async def run(self, name: str) -> str:
            return ""

    return Bad


def undecorated_handler() -> Any:
    class Bad(Greeter):
        @workflow.run
        async def run(self, name: str) -> str:
            return ""

        def rename(self, name: str) -> None: ...

    return Bad


def handler_clash() -> Any:
    class Bad:
        @workflow.run
        async def run(self) -> None: ...
        @workflow.signal
        def stop(self) -> None: ...
        @workflow.signal(name="stop")
        def halt(self) -> None: ...

    return Bad


def init_that_differs() -> Any:
    class Bad:
        @workflow.init
        def __init__(self, name: int) -> None: ...
        @workflow.run
        async def run(self, name: str) -> None: ...

    return Bad


def init_that_needs_arguments() -> Any:
    class Bad:
        def __init__(self, name: str) -> None: ...
        @workflow.run
        async def run(self, name: str) -> None: ...

    return Bad


def keyword_only_run() -> Any:
    class Bad:
        @workflow.run
        async def run(self, *, name: str) -> None: ...

    return Bad


def plain_function() -> Any:
    def bad() -> None: ...

    return bad


@pytest.mark.parametrize(
    ("make", "why"),
    [
        (no_run, "has no @workflow.run method"),
        (two_runs, r"several @workflow.run methods \(run and walk\)"),
        (run_of_the_base, "define one on the class itself"),
        (undecorated_override, "overrides the @workflow.run method of Greeter"),
        (undecorated_handler, "overrides the @workflow.signal of Greeter"),
        (handler_clash, r"several handlers for the signal 'stop' \(stop and halt\)"),
        (init_that_differs, "@workflow.init needs the parameters"),
        (init_that_needs_arguments, "its __init__ needs name"),
        (keyword_only_run, "'name' is keyword-only"),
        (plain_function, "it is not async"),
        (lambda: lambda: None, "lambda"),
        (lambda: order_flow, "a workflow already"),
        (lambda: Greeter, "a workflow already"),
        (lambda: 5, "only classes and async functions"),
    ],
)
def test_what_is_no_workflow_is_refused_at_decoration(make: Any, why: str):
    target = make()

    with pytest.raises(DefinitionError, match=why):
        workflow.defn(target)


def test_all_problems_are_told_at_once():
    class Bad:
        def __init__(self, name: str) -> None: ...
        @workflow.run
        async def run(self, *, name: str) -> None: ...

    with pytest.raises(DefinitionError) as caught:
        workflow.defn(Bad)

    assert len(caught.value.problems) == 2


@pytest.mark.parametrize("name", ["", "a\0b", 5])
def test_a_name_that_no_database_holds_is_refused(name: Any):
    with pytest.raises(InvalidOptionError, match="^name="):
        workflow.defn(name=name)


def test_run_and_init_are_for_methods():
    async def function() -> None: ...
    def sync(self: Any) -> None: ...

    class Holder:
        def run(self) -> None: ...
        async def not_init(self) -> None: ...

    for decorate, target, why in (
        (workflow.run, function, "no method"),
        (workflow.run, Holder.run, "not async"),
        (workflow.run, classmethod(sync), "it is a classmethod"),
        (workflow.init, Holder.not_init, "only __init__"),
    ):
        with pytest.raises(DefinitionError, match=why):
            decorate(target)  # type: ignore[type-var]  # that is the point


def test_handlers_that_could_not_be_called_are_refused():
    def no_self() -> None: ...
    def keyword(self: Any, *, a: int) -> None: ...
    def dynamic(self: Any, name: str) -> None: ...

    for decorate, target, why in (
        (workflow.signal, no_self, "does not take self"),
        (workflow.query, keyword, "keyword-only"),
        (workflow.signal, staticmethod(no_self), "it is a staticmethod"),
        (workflow.signal(dynamic=True), dynamic, "dynamic handler takes"),
        (workflow.query(dynamic=True, name="x"), dynamic, "has no name"),
        (workflow.signal(name=""), dynamic, "its name is empty"),
    ):
        with pytest.raises(DefinitionError, match=why):
            decorate(target)


def test_clocks_are_found_at_decoration_unless_told_not_to_look():
    import time  # noqa: PLC0415

    async def late() -> float:
        return time.time()

    with pytest.raises(workflow.RestrictedCallError, match=r"time\.time"):
        workflow.defn(late)
    assert workflow.defn(sandboxed=False)(late) is late
