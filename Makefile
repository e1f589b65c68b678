# Everything here works on a fresh machine with Python 3.11 or newer: each target
# makes `.venv` and installs what it needs. `make` alone lists the targets.
.DEFAULT_GOAL := help
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
PIP_FLAGS := --quiet --disable-pip-version-check

.PHONY: help demo test test-all lint types format docs bench bench-keras adr clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(VENV)/.demo: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Nunbit needs Python 3.11 or newer, $(PYTHON) is $$($(PYTHON) --version). Run: make PYTHON=python3.12 ..."; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install $(PIP_FLAGS) -c constraints.txt -e .
	@touch $@

$(VENV)/.dev: $(VENV)/.demo
	$(BIN)/python -m pip install $(PIP_FLAGS) -c constraints.txt -e '.[dev]'
	@touch $@

demo: $(VENV)/.demo ## train on the embedded digits, say how good it is and where everything lies
	$(BIN)/nunbit train digits

test: $(VENV)/.dev lint types ## everything that CI runs, but for the tests marked slow
	$(BIN)/python -m pytest -m "not slow"

test-all: $(VENV)/.dev lint types ## all tests, also those marked slow
	$(BIN)/python -m pytest

lint: $(VENV)/.dev ## style, and the direction of imports
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/lint-imports --no-logo

types: $(VENV)/.dev ## strict type check
	$(BIN)/mypy

format: $(VENV)/.dev ## format the code and mend what can be mended
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

docs: $(VENV)/.dev ## write docs/options.md and docs/networks.md, and run the commands of the README
	$(BIN)/python -m tests.docs.write_options
	$(BIN)/python -m tests.docs.write_networks
	$(BIN)/python -m pytest tests/docs

bench: $(VENV)/.dev ## print the measured table (real pictures in $$NUNBIT_DATA; about an hour)
	$(BIN)/python benchmarks/accuracy.py
	$(BIN)/python benchmarks/startup.py
	$(BIN)/python benchmarks/precision.py
	$(BIN)/python benchmarks/loop_cost.py
	$(BIN)/python benchmarks/matrix_rate.py
	$(BIN)/python benchmarks/networks.py
	$(BIN)/python benchmarks/check.py
	$(BIN)/python benchmarks/memory.py
	$(BIN)/python benchmarks/scaling.py

bench-keras: ## side by side with Keras and torchvision, in an environment of their own (.venv-bench)
	$(PYTHON) -m venv .venv-bench
	.venv-bench/bin/python -m pip install $(PIP_FLAGS) torch==2.13.0
	.venv-bench/bin/python -m pip install $(PIP_FLAGS) -e . tensorflow==2.21.0 pandas
	.venv-bench/bin/python benchmarks/augmentation.py
	.venv-bench/bin/python benchmarks/keras_training.py

adr: ## start a new decision record: make adr TITLE=some-words
	@n=$$(printf '%04d' $$(( $$(ls docs/adr/[0-9]*.md | wc -l) + 1 ))); \
	cp docs/adr/template.md docs/adr/$$n-$(or $(TITLE),untitled).md; echo docs/adr/$$n-$(or $(TITLE),untitled).md

clean: ## remove what the targets made (runs stay)
	rm -rf $(VENV) .venv-bench build dist *.egg-info src/*.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
