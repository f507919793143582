# Two commands on a bare machine: `make reproduce` and `make test`. Each makes its own environment in .venv.
PYTHON ?= python3
NEWEST ?= python3.13
BIN := .venv/bin

# A process a core, up to four, one file to a process, so that a file's fixtures are made once. A worker that a hanging test has taken
# along is replaced once; every test has a time to end in (pyproject.toml), and the slow ones have four times as much.
PYTEST := -m pytest -n auto --maxprocesses 4 --dist loadfile --max-worker-restart 1
unexport PYTHONDONTWRITEBYTECODE  # modules are compiled once, not by every process that a test starts
PATIENT := -o timeout=1200 -o faulthandler_timeout=1500
OTHERS := not slow and not peers and not parity
# What runs in seconds from every room: no process is started, no browser, nothing that compiles for long.
FAST := $(patsubst %,tests/%.py,activations/test_streams cli/test_toy_cells expected_loss/test_limits \
	features/test_features geometry/test_geometry geometry/test_polytopes interventions/test_toy \
	llm/test_token_facts metrics/test_metrics metrics/test_detection pages/test_pieces plot/base/test_drawings sae/test_folding \
	sae/test_sparse storage/checkpoint/test_steps storage/test_formats_save theory/test_no_bias toy/test_absolute_value \
	training/sweep/test_axes internal/test_folder_races internal/test_memory_maps) \
	tests/llm/text tests/llm/families/test_refusals.py tests/pages/server \
	tests/evaluation/test_recovery_scores.py::test_jax_arrays_score_in_float64_like_numpys
SLICE := $(FAST) tests/conformance/test_first_script.py tests/llm/test_model.py tests/storage/test_formats.py

.PHONY: help reproduce paper notebooks docs test test-fast test-slow test-slow-library test-experiments slow-list test-parity test-peers test-newest lint bench clean
help:
	@echo "make reproduce   the lecture's figures with their verdicts, in minutes, and a gallery of everything"
	@echo "make paper       every figure and the table of verdicts, in figures/: 33 minutes on two cores"
	@echo "make notebooks   every lesson of the course executed, in notebooks/"
	@echo "make docs        the documentation, in docs/_build/html, to be read without a network"
	@echo "make test-fast   some of the tests of every room, in a minute or so: before a commit"
	@echo "make test        the tests, and the examples in the docstrings: before a push"
	@echo "make test-slow   the slow tests: of the library (test-slow-library), and every experiment's quick run (test-experiments)"
	@echo "make slow-list   measure all tests, and list the slow ones in tests/slow.txt"
	@echo "make test-parity the language-model bridge against transformers on torch (installs it)"
	@echo "make test-peers  our SAEs against sae-lens, dictionary-learning and sparsify (installs them and torch)"
	@echo "make test-newest a slice of the tests on the newest Python and JAX (NEWEST=$(NEWEST))"
	@echo "make lint        ruff, mypy, import-linter"
	@echo "make bench       our training steps against PyTorch's and sae-lens's, side by side (installs them)"

reproduce: .venv/core
	$(BIN)/python -m experiments --lecture

paper: .venv/core
	$(BIN)/python -m experiments --all

notebooks: .venv/notebooks
	$(BIN)/python notebooks/build.py

docs: .venv/docs
	$(BIN)/python -m sphinx --fail-on-warning --keep-going --nitpicky --quiet docs docs/_build/html
	@echo "the documentation: docs/_build/html/index.html"

test: .venv/test
	$(BIN)/python $(PYTEST) -m "$(OTHERS)" --doctest-modules tests superposition
	@echo "left out: make test-slow (science that takes minutes), make test-parity (the language-model bridge against"
	@echo "transformers on torch), make test-peers (sae-lens, dictionary-learning, sparsify)"

test-fast: .venv/test
	$(BIN)/python $(PYTEST) -m "$(OTHERS)" $(FAST)

test-slow: test-slow-library test-experiments

test-slow-library: .venv/test
	$(BIN)/python $(PYTEST) $(PATIENT) -m "slow and not peers and not parity" --ignore=tests/experiments

test-experiments: .venv/test  # one file holds most of them: a process that is idle takes some over
	$(BIN)/python $(PYTEST) $(PATIENT) --dist worksteal -m "slow and not peers and not parity" tests/experiments

slow-list: .venv/test
	rm -f .pytest_cache/times && mkdir -p .pytest_cache
	SUPERPOSITION_TIMES=$(CURDIR)/.pytest_cache/times $(BIN)/python $(PYTEST) $(PATIENT) -m "not peers and not parity" tests
	$(BIN)/python -m tests.support.times .pytest_cache/times

test-parity: .venv/parity
	$(BIN)/python $(PYTEST) -m parity

test-peers: .venv/peers
	SUPERPOSITION_REQUIRE_PEERS=1 $(BIN)/python $(PYTEST) $(PATIENT) -m peers

test-newest: .venv-newest/test
	.venv-newest/bin/python -c "import sys, jax; print('Python', sys.version.split()[0], 'with JAX', jax.__version__)"
	.venv-newest/bin/python $(PYTEST) -m "$(OTHERS)" $(SLICE)

lint: .venv/lint
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: .venv/bench
	$(BIN)/python -m benchmarks.step
	$(BIN)/python -m benchmarks.phase
	$(BIN)/python -m benchmarks.sae
	$(BIN)/python -m benchmarks.llm
	$(BIN)/python -m benchmarks.pretraining
	$(BIN)/python -m benchmarks.pages
	$(BIN)/python -m benchmarks.neurons

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

.venv/notebooks: .venv/core
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e ".[notebooks]"
	@touch $@

.venv/docs: .venv/core
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e ".[docs]"
	@touch $@

.venv-newest/test: pyproject.toml
	$(NEWEST) -m venv .venv-newest
	.venv-newest/bin/python -m pip install --quiet --disable-pip-version-check -e ".[test]"
	@touch $@

.venv/lint: .venv/test
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e ".[test,lint]"
	@touch $@

.venv/bench: .venv/core
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e ".[bench]"
	@touch $@

.venv/parity: .venv/test
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e ".[test,parity]"
	@touch $@

# nnsight, which dictionary-learning needs, asks for torchvision. Nothing here uses it, and one that was built for another
# torch than the one installed (the CPU build, say) makes every import of transformers fail.
.venv/peers: .venv/test
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e ".[test,peers]"
	$(BIN)/python -m pip uninstall --quiet --yes torchvision
	@touch $@

clean:
	rm -rf docs/_build docs/generated .venv .venv-newest .mypy_cache .pytest_cache .ruff_cache .hypothesis build *.egg-info
