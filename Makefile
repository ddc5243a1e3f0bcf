# Two commands matter: `make demo` and `make test`. Everything lives in .venv; nothing else on the machine is touched.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# Twice quiet: errors only. Once would repeat for every package what it thinks of the machine's own configuration.
PIP := $(BIN)/python -m pip install --quiet --quiet --disable-pip-version-check

.PHONY: demo test check chaos bench histories lock clean

demo: $(VENV)/.run
	@$(BIN)/countersign demo

test: $(VENV)/.dev
	@$(BIN)/pytest -n 2 --dist loadfile

check: $(VENV)/.dev
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@MYPYPATH=.:tests $(BIN)/mypy --explicit-package-bases benchmarks
	@$(BIN)/lint-imports

# Every moment of a review, struck once: see tests/chaos. For example: make chaos CHAOS='--schedules 50 --seed 7'
chaos: $(VENV)/.dev
	@$(BIN)/python tests/chaos $(CHAOS)

bench: $(VENV)/.dev
	@$(BIN)/python benchmarks/sentinel.py
	@$(BIN)/python benchmarks/train_clauses.py
	@$(BIN)/python benchmarks/contracts.py
	@$(BIN)/python benchmarks/cold_start.py
	@$(BIN)/python benchmarks/admission.py
	@$(BIN)/python benchmarks/fairness.py
	@$(BIN)/python benchmarks/spike.py
	@$(BIN)/python benchmarks/autonomy.py
	@$(BIN)/python benchmarks/shadow.py
	@$(BIN)/python benchmarks/learning.py
	@$(BIN)/python benchmarks/batch.py --quick
	@$(BIN)/python benchmarks/outage.py
	@$(BIN)/python benchmarks/cancellation.py

# Stored histories of every route, written anew. Only for a change that is meant to alter what new reviews do.
histories: $(VENV)/.dev
	@COUNTERSIGN_SAVE_HISTORIES=1 $(BIN)/pytest -n 0 tests/workflow

# Pinned versions with hashes and no addresses; the same files serve Python 3.11 to 3.13.
LOCK := $(BIN)/uv pip compile pyproject.toml --universal --python-version 3.11 --generate-hashes \
	--no-header --quiet --extra build --extra embedded --extra semantic --extra gateway
lock: $(VENV)/.dev
	@$(PIP) uv
	@$(LOCK) -o requirements/run.txt
	@$(LOCK) --extra anthropic --extra openai --extra google --extra dev -c requirements/run.txt -o requirements/dev.txt

clean:
	rm -rf $(VENV) .countersign .pytest_cache .mypy_cache .ruff_cache .hypothesis

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(0 if (3, 11) <= v < (3, 14) else \
	"Countersign needs Python 3.11 to 3.13, not %d.%d: run make PYTHON=python3.12" % v)'
	@echo "Setting up .venv (once, a minute or two) ..."
	@$(PYTHON) -m venv $(VENV)

# The lock names everything, so nothing is resolved: pip would take a newer release for a package asked for with an extra.
$(VENV)/.run: $(VENV)/bin/python requirements/run.txt pyproject.toml
	@test -e $(VENV)/.dev || $(PIP) --no-deps --require-hashes -r requirements/run.txt
	@test -e $(VENV)/.dev || $(PIP) --no-deps --no-build-isolation -e .
	@touch $@

$(VENV)/.dev: $(VENV)/bin/python requirements/dev.txt pyproject.toml
	@$(PIP) --no-deps --require-hashes -r requirements/dev.txt
	@$(PIP) --no-deps --no-build-isolation -e .
	@touch $@ $(VENV)/.run
