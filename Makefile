# One environment (.venv) for everything but the stub generator, which needs an old protobuf (.venv-proto).
# The stamps make every target after the first one start at once.

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
MAKEFLAGS += --no-print-directory

PYTHON ?= python3
BIN := .venv/bin
PROJECTS := pyproject.toml clients/python/pyproject.toml
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
STUBS := clients/python/src

.PHONY: help
help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-18s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "fleetd needs Python 3.11 or newer; name one with make PYTHON=..." >&2; exit 1; }
	$(PYTHON) -m venv .venv

.venv/installed: $(PROJECTS) | $(BIN)/python
	$(PIP) install -e 'clients/python[cli]' -e .
	@touch $@

.venv/installed-dev: $(PROJECTS) | $(BIN)/python
	$(PIP) install -e 'clients/python[cli]' -e '.[dev]'
	@touch .venv/installed $@

# The first line of its recipe makes the environment anew: an upgrade could leave parts of the older generator behind.
.venv-proto/installed: pyproject.toml
	$(PYTHON) -m venv --clear .venv-proto
	$(PYTHON) proto/generate.py --requirements | .venv-proto/bin/python -m pip --disable-pip-version-check --quiet install -r /dev/stdin
	@touch $@

JOBS ?= 2

.PHONY: run
run: .venv/installed ## Serve on 127.0.0.1:50051 with the data under ./var (Ctrl-C drains and stops)
	@exec $(BIN)/fleetd serve --data-dir var

.PHONY: demo
demo: .venv/installed ## Play a daemon and its agents in a few acts, judge every step, stop everything
	@exec $(BIN)/python tests/demo/demo.py

.PHONY: test
test: .venv/installed-dev ## Run all tests that judge (unit, contract, integration, property) with JOBS=2 processes
	@exec $(BIN)/python -m pytest -n $(JOBS) tests/unit tests/contract tests/integration tests/property

.PHONY: test-unit test-contract test-integration test-property
test-unit: ## Run the tests of single rooms
test-contract: ## Run the suite every store must pass
test-integration: ## Run the tests with a real daemon, real agents and a real database
test-property: ## Run the tests that search for counter-examples
test-unit test-contract test-integration test-property: test-%: .venv/installed-dev
	@exec $(BIN)/python -m pytest tests/$*

SEEDS ?= 200
FIRST ?= 1
.PHONY: sim
sim: .venv/installed-dev ## Simulate SEEDS=200 fleets under faults with JOBS=2 processes; SEED=n plays one and prints its history
	@exec $(BIN)/python -m tests.simulation.run $(if $(SEED),--seed $(SEED),--seeds $(SEEDS) --first $(FIRST) --jobs $(JOBS))

.PHONY: rollout-day
rollout-day: .venv/installed-dev ## Play a virtual day of a rollout; PICTURE=docs/rollout-day.png draws it, too (pip install 'fleetd[plot]')
	@exec $(BIN)/python -m tests.simulation.rollout_day $(if $(PICTURE),--picture $(PICTURE))

.PHONY: lint
lint: .venv/installed-dev ## Check style, types and the rooms' imports
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

.PHONY: fix
fix: .venv/installed-dev ## Repair what lint can repair by itself
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

.PHONY: proto
proto: .venv-proto/installed ## Generate the stubs from proto/
	.venv-proto/bin/python proto/generate.py $(STUBS)

.PHONY: verify
verify: .venv/installed-dev .venv-proto/installed ## Check that the stubs are current and the API is clean and compatible
	.venv-proto/bin/python proto/generate.py --check $(STUBS)
	cd proto && ../$(BIN)/buf lint
	cd proto && ../$(BIN)/buf breaking --against baseline.binpb

.PHONY: baseline
baseline: .venv/installed-dev ## Declare the present API the one to stay compatible with
	cd proto && ../$(BIN)/buf build -o baseline.binpb

.PHONY: coverage-of-spec
coverage-of-spec: ## Print which tests cover which id of the specification
	@$(PYTHON) tests/tooling/coverage_of_spec.py

.PHONY: bench
bench: .venv/installed-dev ## Measure latency and throughput on this machine
	@exec $(BIN)/python tests/bench/bench.py

.PHONY: dist
dist: .venv/installed-dev ## Build the wheels of both distributions into dist/
	rm -rf dist
	$(PIP) wheel --no-deps --wheel-dir dist clients/python .

.PHONY: clean
clean: ## Remove environments, caches and built files (not ./var)
	rm -rf .venv .venv-proto dist build .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	find fleetd clients tests -name __pycache__ -type d -prune -exec rm -rf {} +
