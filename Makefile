# make demo   the main job in small, in minutes on two cores
# make test   the tests
# make lint   ruff
PYTHON ?= python3
BIN := .venv/bin

demo: .venv/runtime
	$(BIN)/python src/demo.py

test: .venv/development
	$(BIN)/python -m pytest

lint: .venv/development
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

.venv/runtime: requirements.txt
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check -r requirements.txt
	touch $@

.venv/development: requirements-dev.txt .venv/runtime
	$(BIN)/pip install --quiet --disable-pip-version-check -r requirements-dev.txt
	touch $@

.PHONY: demo test lint
