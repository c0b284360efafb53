"""`import perdure` gives names, not modules: each is loaded when it is used."""

import os
import subprocess
import sys
import time

import pytest

import perdure
from perdure import common, exceptions, service, workflow

CODE = "import sys; import perdure; assert not {bad} & set(sys.modules), {bad} & set(sys.modules)"


def python(code: str) -> None:
    paths = os.pathsep.join(filter(None, sys.path))
    subprocess.run(
        [sys.executable, "-c", code], env=os.environ | {"PYTHONPATH": paths}, check=True, timeout=60
    )


def test_importing_perdure_loads_no_database_and_no_model_library():
    python(CODE.format(bad={"sqlalchemy", "sqlite3", "pydantic", "attrs", "click", "msgspec"}))


def test_the_workflow_surface_loads_no_database_and_no_model_library():
    code = CODE.replace("import perdure;", "from perdure import workflow, activity, converter;")
    python(code.format(bad={"sqlalchemy", "sqlite3", "pydantic", "attrs", "attr", "click"}))


def test_the_import_is_quick(figure):
    def seconds(code: str) -> float:
        begin = time.perf_counter()
        python(code)
        return time.perf_counter() - begin

    bare = min(seconds("pass") for _ in range(3))
    took = min(seconds("import perdure") for _ in range(3)) - bare
    all_of_it = min(seconds("from perdure import workflow, activity, converter") for _ in range(3)) - bare

    figure(f"import perdure: {took * 1000:.0f} ms; with workflow and activity: {all_of_it * 1000:.0f} ms")
    assert took < 0.15


def test_names_are_loaded_when_used():
    assert perdure.workflow is workflow
    assert perdure.RetryPolicy is common.RetryPolicy
    assert perdure.ApplicationError is exceptions.ApplicationError
    assert set(perdure.__all__) <= set(dir(perdure))


def test_an_unknown_name_is_told_the_known_ones():
    with pytest.raises(AttributeError, match="no attribute 'wrokflow'; it has .*workflow"):
        perdure.wrokflow  # noqa: B018


def test_an_rpc_error_has_its_status():
    error = service.RPCError("no run", service.RPCStatusCode.NOT_FOUND)

    assert error.status is service.RPCStatusCode.NOT_FOUND
    assert error.message == "no run"
    assert error.raw_grpc_status == b""
    assert isinstance(error, exceptions.TemporalError)


def test_every_public_error_is_in_the_drawn_tree():
    drawn = exceptions.__doc__ or ""

    errors = [
        value
        for name in exceptions.__all__
        if isinstance(value := getattr(exceptions, name), type) and issubclass(value, BaseException)
    ]

    assert len(errors) > 20
    for error in errors:
        assert f"{error.__name__} " in drawn
        assert issubclass(error, exceptions.PerdureError)
