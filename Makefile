# Only python3 (3.11 or newer), git and make are needed; everything else goes into .venv.

PYTHON ?= python3
VENV ?= .venv
# The CPU build where your package index has one; the README says how to get a CUDA build.
TORCH ?= torch==2.13.0

BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check install --quiet --quiet
.DEFAULT_GOAL := help
.PHONY: help demo ui test test-ui test-slow lint peers clean

help:  ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "make %-10s %s\n", $$1, $$2}' Makefile

demo: $(VENV)/.installed  ## tune a real classifier: 40 trials into demo.db, a report into demo.html
	@$(BIN)/workbench run problems.learning:digits_svm --trials 40 --sampler gp --storage demo.db --report demo.html

ui: $(VENV)/.installed  ## open the workbench in a browser, on workbench.db
	@$(BIN)/workbench ui

test: $(VENV)/.installed  ## run the fast tests
	@$(BIN)/python -m pytest -q -n 2

test-ui: $(VENV)/.installed  ## run the tests in a real browser; needs Debian's chromium and chromium-driver
	@$(BIN)/python -m pytest -q -n 2 -m browser

test-slow: $(VENV)/.installed  ## run the tests that take minutes
	@$(BIN)/python -m pytest -q -n 2 -m slow

lint: $(VENV)/.installed  ## check style and types
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check --quiet .
	@$(BIN)/mypy workbench problems ui examples benchmarks

peers: .venv-peers/.installed .venv-hebo/.installed  ## install the peers that benchmarks compare with

clean:  ## remove what was built and cached, and the demo; .venv stays
	rm -rf build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
	rm -f demo.db demo.db-wal demo.db-shm demo.html
	find . -name __pycache__ -not -path './.venv*' -prune -exec rm -rf {} +

# torch first and by itself: a package that asks for torch later finds it there. The package last, built
# with the pinned setuptools instead of a new download.
$(VENV)/.installed: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Python 3.11 or newer is needed; name one: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 1; }
	@echo "Installing into $(VENV); this happens once and takes a few minutes."
	@$(PYTHON) -m venv $(VENV)
	@$(PIP) -c constraints.txt setuptools
	@echo "  torch, the largest part ..."
	@$(PIP) -c constraints.txt "$(TORCH)"
	@echo "  everything else ..."
	@$(PIP) -c constraints.txt --no-build-isolation -e ".[dev]"
	@touch $@
	@echo "Installed."

# Environments of peers: torch first, then every package at the version of a full freeze, so that nothing
# else is resolved.
.venv-peers/.installed .venv-hebo/.installed: .venv-%/.installed: benchmarks/peers/requirements-%.txt
	@echo "Installing into .venv-$*; this happens once and takes a few minutes."
	@$(PYTHON) -m venv .venv-$*
	@.venv-$*/bin/python -m pip --disable-pip-version-check install --quiet --quiet "$(TORCH)"
	@.venv-$*/bin/python -m pip --disable-pip-version-check install --quiet --quiet --no-deps -r $<
	@touch $@
