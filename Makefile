# `make help` lists everything. The environment lies in .venv; each target makes what it needs.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV ?= .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt
WORKERS ?= 2

.DEFAULT_GOAL := help
.PHONY: help install demo test test-slow coverage check format docs accuracy gallery weights clean

help:  ## list the targets
	@awk -F':.*## ' '/^[a-z-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "deepcams needs Python 3.11 or newer (found $$($(PYTHON) --version)); set PYTHON=..."; exit 2; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/.run: pyproject.toml constraints.txt | $(BIN)/python
	$(PIP) -e .
	@touch $@

$(VENV)/.dev: pyproject.toml constraints.txt | $(BIN)/python
	$(PIP) -e ".[dev]"
	@touch $@ $(VENV)/.run

install: $(VENV)/.dev  ## make the environment with all extras and the developers' tools

demo: $(VENV)/.run  ## simulate two days, downscale them, score them, draw them
	$(BIN)/deepcams demo -o demo

test: $(VENV)/.dev  ## run the suite (all but the slow and the GPU tests)
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadscope -m "not slow and not gpu"

test-slow: $(VENV)/.dev  ## run the slow tests (minutes: kills, memory, long records)
	$(BIN)/python -m pytest -m slow

coverage: $(VENV)/.dev  ## run the suite and tell which lines and branches no test reaches
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadscope -m "not slow and not gpu" --cov --cov-report term:skip-covered

check: $(VENV)/.dev  ## format, lint, types, and the direction of the imports
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

format: $(VENV)/.dev  ## format and mend what can be mended
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

docs: $(VENV)/.dev  ## build the documentation into build/docs
	$(PIP) -e ".[docs]"
	$(BIN)/python -m sphinx -W -q -b html docs build/docs
	@echo "open build/docs/index.html"

accuracy: $(VENV)/.dev  ## measure docs/accuracy.md again (needs the development data)
	$(BIN)/python benchmarks/accuracy.py

gallery: $(VENV)/.dev  ## draw docs/gallery.md's pictures again (needs the development data)
	$(BIN)/python benchmarks/gallery.py

weights: $(VENV)/.dev  ## make the shipped weights from nothing (an hour on two cores; needs the development data)
	$(BIN)/python benchmarks/weights.py

clean:  ## remove what was built (the environment too)
	rm -rf $(VENV) build dist demo site .pytest_cache .mypy_cache .ruff_cache .hypothesis
