# `make repro` runs the pipeline, `make test` the tests; each sets up what it needs in .venv first.
PYTHON ?= python3
BIN := .venv/bin
RUN := PATH="$(CURDIR)/$(BIN):$$PATH"

.PHONY: repro test lint bench experiments docs lock clean

repro: .venv/runtime
	$(RUN) erawise check
	$(RUN) dvc repro
	$(RUN) python -c "from erawise.base import files; from erawise.running import paths; files.remove_unused(paths.SCRATCH)"
	$(RUN) erawise show
	$(RUN) erawise report --if-new

test: .venv/development
	.ci/browser
	.ci/actionlint install
	$(RUN) python -m pytest -n 3 --dist worksteal

lint: .venv/development
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	.ci/actionlint

# compare with the peers' ways, side by side; takes about an hour on an idle machine, and memory that their ways need
bench: .venv/development
	$(RUN) python -m benchmarks.run

# try the usual ideas as DVC experiments, and put what they were worth into docs/experiments.md; takes half an hour to an hour on two cores
experiments: .venv/runtime
	$(RUN) python -m benchmarks.experiments --write

# draw the pictures of docs/concepts.md again, and write docs/parameters.md
docs: .venv/runtime
	$(RUN) python -m manual.concepts
	$(RUN) python -m manual.parameters

# compile the pins again from requirements.in and requirements-dev.in
lock: .venv/bin/python
	$(BIN)/pip install --quiet --disable-pip-version-check -r requirements-setup.txt
	for name in requirements requirements-dev; do \
	  $(BIN)/uv pip compile --universal --python-version 3.11 --fork-strategy fewest --no-header --no-annotate --no-emit-index-url --quiet $$name.in -o $$name.txt; \
	done

clean:
	rm -rf .venv build erawise.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis

.venv/bin/python:
	$(PYTHON) -c 'import sys; sys.exit(None if (3, 11) <= sys.version_info < (3, 14) else "erawise needs Python 3.11, 3.12 or 3.13: make PYTHON=python3.11")'
	$(PYTHON) -c 'import ensurepip, venv' 2> /dev/null || { echo "$(PYTHON) has no venv with pip; on Debian and Ubuntu: apt install python3-venv" >&2; exit 1; }
	$(PYTHON) -m venv .venv || { rm -rf .venv; exit 1; }

.venv/runtime: requirements.txt requirements-setup.txt pyproject.toml | .venv/bin/python
	$(BIN)/python .ci/install.py requirements.txt
	touch $@

.venv/development: requirements-dev.txt .venv/runtime
	$(BIN)/python .ci/install.py requirements-dev.txt
	touch $@
