# Everything that a developer or a build machine runs: `make help` lists it. It needs python3 with venv, and make.

PYTHON ?= python3
# Test files are spread over this many processes; each brings its own PostgreSQL. Four keep two cores busy: many tests
# wait for servers, mails and the clock.
WORKERS ?= 4
# Handed on to pytest, to the benchmarks or to `farebox demo`, as in `make test ARGS="-k money -x"`.
ARGS ?=

VENV := .venv
BIN := $(VENV)/bin
# What the backtest alone needs is not in the environment of the tests.
PEERS := $(VENV)/backtest
# Nor are the programs that look a release over.
RELEASE := $(VENV)/release
INSTALL := $(BIN)/python -m pip --disable-pip-version-check install --quiet
PYTEST := $(BIN)/python -m pytest
# In the order of tests/conftest.py: the files that take longest first.
SPREAD := --numprocesses $(WORKERS) --dist loadfile --no-loadscope-reorder
CLIENT := clients/python
CHECKED := src $(CLIENT) tests benchmarks examples tools
LOCK := $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-emit-index-url \
	--no-emit-package farebox-client $(ARGS)

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help run test check format architecture messages client-reference reference docs audit lock bench price-fit backtest torture simulation restarts citus gateways fuzz coverage release-check image-steps clean

help: ## List the targets.
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' Makefile | expand -t 18

run: $(VENV)/.installed-runtime ## Start a throw-away, seeded Farebox.
	$(BIN)/farebox demo $(ARGS)

test: $(VENV)/.installed-dev ## Run every test.
	$(PYTEST) $(SPREAD) $(ARGS)

check: $(VENV)/.installed-dev ## Check format, lint, types, import contracts and house rules.
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy $(CHECKED)
	$(BIN)/mypy --python-version 3.10 $(CLIENT)
	$(BIN)/lint-imports --no-logo
	$(PYTEST) tests/tidy

format: $(VENV)/.installed-dev ## Format the code and repair what lint can repair.
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

architecture: $(VENV)/.installed-dev ## Draw the picture of the rooms and their imports, and list them.
	$(BIN)/python -m tools.architecture

messages: $(VENV)/.installed-dev ## Extract what people are told, and bring the catalogues of languages up to date.
	$(BIN)/python -m tools.messages

client-reference: $(VENV)/.installed-dev ## Write the reference of the Python client from its code.
	$(BIN)/python -m tools.client_reference

reference: $(VENV)/.installed-dev ## Write the pages of the reference that come from the code.
	$(BIN)/python -m tools.reference

docs: $(VENV)/.installed-dev ## Build the documentation as a site that can be searched, into site/.
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build $(ARGS)

audit: $(VENV)/.installed-dev ## Ask whether locked packages have known vulnerabilities (needs a network; 2: could not look).
	$(BIN)/python -m tests.security.audit

lock: $(VENV)/.installed-dev ## Lock the dependencies again (ARGS=--upgrade takes newer ones).
	$(LOCK) --group build --output-file requirements/build.lock
	$(LOCK) pyproject.toml --output-file requirements/runtime.lock
	$(LOCK) pyproject.toml --group dev --constraint requirements/build.lock --constraint requirements/runtime.lock \
		--output-file requirements/dev.lock
	$(LOCK) pyproject.toml --all-extras --constraint requirements/dev.lock --output-file requirements/image.lock
	$(LOCK) --no-deps --group price-lists --output-file requirements/price-lists.lock
	$(LOCK) --no-deps --group traffic --output-file requirements/traffic.lock
	$(LOCK) --group backtest --output-file requirements/backtest.lock
	$(LOCK) --group release --constraint requirements/build.lock --output-file requirements/release.lock

bench: $(VENV)/.installed-dev ## Run the benchmarks.
	$(BIN)/python -m benchmarks $(ARGS)

price-fit: $(VENV)/.installed-dev ## Import real price lists, charge every type of them, and compare (needs a network).
	$(BIN)/python -m benchmarks.price_fit

backtest: $(VENV)/.installed-dev $(PEERS)/.installed ## Hold the forecast to what came, beside its peers, and unusual spending to honest merchants and leaks (needs a network the first time).
	$(BIN)/python -m benchmarks.backtest --peers $(PEERS)/bin/python
	$(BIN)/python -m benchmarks.backtest.unusual
	$(BIN)/python -m benchmarks.backtest.hours

restarts: $(VENV)/.installed-dev ## Restart servers of each engine under load again and again, and print what clients noticed (ARGS=--restarts=N).
	$(BIN)/python -m tests.e2e $(ARGS)

torture: $(VENV)/.installed-dev ## Kill servers, lose PostgreSQL and spoil its network under load, and hold the ledgers and what was told to the record.
	$(BIN)/python -m tests.torture $(ARGS)

simulation: $(VENV)/.installed-dev ## Tell forty times as many simulated stories as `make test` does.
	FAREBOX_TEST_SEEDS=20000 $(PYTEST) $(SPREAD) tests/simulation $(ARGS)

citus: $(VENV)/.installed-dev ## Run the store's tests on a Citus too, whose coordinator FAREBOX_TEST_CITUS_URL names, the torture and a benchmark.
	@test -n "$$FAREBOX_TEST_CITUS_URL" || { echo "FAREBOX_TEST_CITUS_URL names no database of a coordinator"; exit 2; }
	$(PYTEST) --timeout 600 tests/storage tests/citus -k "citus or shards" $(ARGS)

gateways: $(VENV)/.installed-dev ## Say which proxies are there, and test the gate with each (ARGS=--long loads them longer).
	$(BIN)/python -m tests.gateways $(ARGS)

fuzz: $(VENV)/.installed-dev ## Give whatever reads what comes from outside a million odd inputs.
	$(BIN)/python -m tests.fuzz $(ARGS)

coverage: $(VENV)/.installed-dev ## Run every test and measure the branches of core and storage.
	$(BIN)/coverage erase
	$(BIN)/coverage run -m pytest $(SPREAD) $(ARGS)
	$(BIN)/coverage combine --quiet
	$(BIN)/coverage report

release-check: $(RELEASE)/.installed ## Build both distributions, install and try them, check licences, write what they are made of (needs a network).
	$(RELEASE)/bin/python -m tools.release

image-steps: $(VENV)/.installed-dev ## Take the Dockerfile's steps without an engine, and run what they make (needs root and a network).
	$(BIN)/python -m tools.image_steps

clean: ## Remove what the other targets made, the virtual environment too.
	rm -rf $(VENV) site .coverage .coverage.* .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache build dist
	find src clients tests -type d -name __pycache__ -prune -exec rm -rf {} +

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

# The client is a distribution of its own in this repository, so no lock has it.
# The build backend comes from a lock as well, so that installing the project fetches nothing that is not pinned.
$(VENV)/.installed-runtime: requirements/build.lock requirements/runtime.lock pyproject.toml $(CLIENT)/pyproject.toml | $(BIN)/python
	$(INSTALL) --require-hashes --requirement requirements/build.lock --requirement requirements/runtime.lock
	$(INSTALL) --no-deps --no-build-isolation --editable $(CLIENT) --editable .
	@touch $@

$(VENV)/.installed-dev: requirements/dev.lock $(VENV)/.installed-runtime
	$(INSTALL) --require-hashes --requirement requirements/dev.lock
	@touch $@

$(PEERS)/.installed: requirements/backtest.lock | $(BIN)/python
	$(PYTHON) -m venv $(PEERS)
	$(PEERS)/bin/python -m pip --disable-pip-version-check install --quiet --require-hashes --requirement requirements/backtest.lock
	@touch $@

$(RELEASE)/.installed: requirements/release.lock | $(BIN)/python
	$(PYTHON) -m venv $(RELEASE)
	$(RELEASE)/bin/python -m pip --disable-pip-version-check install --quiet --require-hashes --requirement requirements/release.lock
	@touch $@
