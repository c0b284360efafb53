# `make` alone lists the commands. Each makes the venv that it needs; nothing else has to be set up.
# Programs are called as `python -m`, because a script's first line breaks where the path has a space.

.DEFAULT_GOAL := help
.PHONY: help demo test check static format fast-tests test-all bench soak docs clean
unexport PYTHONPATH
PY := .venv/bin/python
PYTEST := $(PY) -m pytest -q -n 2
CODE := sdk replayer history tests examples benchmarks

help:  ## list these commands
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1	\2/p' Makefile | expand -t 20

demo:  ## run orders through a worker that is killed again and again, and see that nothing is lost
	@./.ci/make-venv .venv cli
	@$(PY) examples/crash_recovery/demo.py

test:  ## the whole suite, then the fast tests on every other CPython found
	@./.ci/make-venv .venv test
	@$(PYTEST) -m "not soak"
	@./.ci/test-other-pythons

check: static fast-tests  ## format, lint, types, layers and the fast tests: run it before each commit

static:  ## format, lint, types and layers, without tests
	@./.ci/make-venv .venv dev
	@$(PY) -m ruff format --check $(CODE)
	@$(PY) -m ruff check $(CODE)
	@$(PY) -m mypy
	@$(PY) -m basedpyright
	@$(PY) -c 'from importlinter.cli import lint_imports_command as run; run()'

fast-tests:
	@./.ci/make-venv .venv test
	@$(PYTEST) -m "not slow and not soak"

format:  ## let ruff format and repair what it can
	@./.ci/make-venv .venv dev
	@$(PY) -m ruff format $(CODE)
	@$(PY) -m ruff check --fix $(CODE)

test-all: static test soak  ## everything there is

soak:  ## the tests that run for minutes
	@./.ci/make-venv .venv test
	@$(PYTEST) -m soak

bench:  ## durable steps a second, beside the raw floor of this disk
	@./.ci/make-venv .venv test
	@$(PY) -m benchmarks

docs:  ## write the generated reference pages again, and run every snippet of the docs
	@./.ci/make-venv .venv test
	@$(PY) -m perdure.cli.reference > docs/reference/cli.md
	@$(PYTEST) tests/architecture

clean:  ## remove the venvs and caches that these commands made
	rm -rf .venv .venv-3.* .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
