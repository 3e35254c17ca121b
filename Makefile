# `make demo` trains the demonstration model, `make proof` shows what a model of a company's documents knows, `make test`
# runs the checks, `make soak` the tests of kills and hangs.
# Each makes what it needs.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
SOAK   ?= tests

.PHONY: demo proof test lint types pytest soak

demo: $(VENV)/.demo
	$(BIN)/forge-run +recipe=legal_tiny

proof: $(VENV)/.proof
	$(BIN)/python -m benchmarks.proof

test: lint types pytest

lint: $(VENV)/.test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/.test
	$(BIN)/mypy

pytest: $(VENV)/.test
	$(BIN)/python -m pytest -n auto --dist loadfile -m "not soak"

soak: $(VENV)/.test
	$(BIN)/python -m pytest -n auto --dist load -m soak $(SOAK)

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.demo: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install -e '.[demo]'
	touch $@

$(VENV)/.proof: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install -e '.[verify]'
	touch $@

$(VENV)/.test: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install -e '.[test]'
	touch $@
