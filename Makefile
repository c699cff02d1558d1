# make demo   the main job on a small scale, in minutes on two cores
# make reproduce [EDITION=synthesizer] [RECIPE=laptop]   every command of a handout, up to the zip; typed again, it resumes
# make test   the tests
# make test-gpu   those tests that need a CUDA GPU
# make test-browser   the page of evaluate --report_path in Chromium; screenshots go to pictures/
# make soak   runs killed by the hundred, files damaged by the thousand: half an hour
# make lint   ruff
# make autograder [ANSWERS=birth_test.tsv] [INDEX=URL] [RECIPE=NAME]   autograder.zip for Gradescope; URL: where pip finds CPU-only PyTorch
PYTHON ?= python3
BIN := .venv/bin
WORKS := $(shell $(BIN)/python -c "import pip; print(1)" 2>/dev/null)
NEW_ENOUGH := -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make ... PYTHON=python3.11, say")'

demo: .venv/runtime
	$(BIN)/python src/demo.py

reproduce: .venv/runtime
	$(BIN)/python src/reproduce.py $(if $(EDITION),--edition $(EDITION)) $(if $(RECIPE),--recipe $(RECIPE))

test: .venv/development
	$(BIN)/python -m pytest

test-gpu: .venv/development
	$(BIN)/python -m pytest -k on_a_gpu

soak: .venv/development
	$(BIN)/python -m pytest --soak -q -s tests/test_faults.py tests/test_hostile.py tests/test_autograder.py

test-browser: .venv/development
	mkdir -p pictures
	BROWSER_TESTS=pictures $(BIN)/python -m pytest tests/test_recall.py -k browser

lint: .venv/development
	$(BIN)/python -m ruff check .
	$(BIN)/python -m ruff format --check .

autograder:
	$(if $(WORKS),$(BIN)/python,$(PYTHON)) autograder/build.py $(if $(ANSWERS),--answers "$(ANSWERS)") $(if $(INDEX),--index "$(INDEX)") $(if $(RECIPE),--recipe "$(RECIPE)")

# an existing environment stays, unless its Python is gone or too old; one left without pip by an interruption gets it
.venv/runtime: requirements.txt $(if $(WORKS),,anew)
	@$(BIN)/python $(NEW_ENOUGH) 2>/dev/null && \
		{ $(BIN)/python -m pip --version || $(BIN)/python -m venv .venv; } >/dev/null 2>&1 || \
		{ $(PYTHON) $(NEW_ENOUGH) && $(PYTHON) -m venv --clear .venv; }
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.txt
	touch $@

.venv/development: requirements-dev.txt autograder/requirements.txt .venv/runtime
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements-dev.txt
	touch $@

.PHONY: demo reproduce test test-gpu test-browser soak lint autograder anew # which never exists: what depends on it is always remade
