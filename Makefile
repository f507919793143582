# Two commands on a bare machine: `make reproduce` and `make test`. Each makes its own environment in .venv.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: help reproduce test test-slow lint bench clean
help:
	@echo "make reproduce   every figure and the table of verdicts, in figures/"
	@echo "make test        the tests"
	@echo "make test-slow   the tests marked slow"
	@echo "make lint        ruff, mypy, import-linter"
	@echo "make bench       our training step against PyTorch's, side by side (installs torch)"

reproduce: .venv/core
	$(BIN)/python -m experiments --all

test: .venv/test
	$(BIN)/python -m pytest -m "not slow"

test-slow: .venv/test
	$(BIN)/python -m pytest -m slow

lint: .venv/lint
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: .venv/bench
	$(BIN)/python -m benchmarks.step
	$(BIN)/python -m benchmarks.phase

.venv/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "superposition needs Python 3.11 or newer; $(PYTHON) is older. Try: make PYTHON=python3.12 $(MAKECMDGOALS)" >&2; exit 1; }
	$(PYTHON) -m venv .venv

.venv/core: .venv/bin/python pyproject.toml
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e .
	@touch $@

.venv/test: .venv/core
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e ".[test]"
	@touch $@

.venv/lint: .venv/test
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e ".[test,lint]"
	@touch $@

.venv/bench: .venv/core
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e ".[bench]"
	@touch $@

clean:
	rm -rf .venv .mypy_cache .pytest_cache .ruff_cache .hypothesis build *.egg-info
