# `make help` lists the targets. Each sets up the packages that it needs in .venv first.
PYTHON ?= python3
BIN := .venv/bin
RUN := PATH="$(CURDIR)/$(BIN):$$PATH"

# images of containers often set this; then each of many processes compiles all packages that it loads
export PYTHONDONTWRITEBYTECODE :=

.PHONY: help repro test lint bench experiments docs site pictures lock clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-12s %s\n", $$1, $$2 }' Makefile

repro: .venv/runtime ## run the pipeline, print the scores, write report.html
	$(RUN) erawise check
	$(RUN) dvc repro
	$(RUN) python -c "from erawise.base import files; from erawise.running import paths; files.remove_unused(paths.SCRATCH)"
	$(RUN) erawise show
	$(RUN) erawise report --if-new

# two others have work: idle threads of a process sleep, and its matrices are too small to share out
test: .venv/development ## run the tests
	.ci/browser
	.ci/actionlint install
	$(RUN) OMP_WAIT_POLICY=passive OPENBLAS_NUM_THREADS=1 python -m pytest -n 3 --dist worksteal

lint: .venv/development ## check style, types, the workflows and the Dockerfile
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	if [ -x $(BIN)/hadolint ]; then $(BIN)/hadolint .devcontainer/Dockerfile; fi
	.ci/actionlint

# takes about an hour on an idle machine, and memory that the other ways need
bench: .venv/development ## compare with the usual ways, side by side (docs/speed.md)
	$(RUN) python -m benchmarks.run

# takes half an hour to an hour on two cores
experiments: .venv/runtime ## try the usual ideas as DVC experiments (docs/experiments.md)
	$(RUN) dvc repro  # DVC must have the results of the commit that the experiments start from
	$(RUN) python -m benchmarks.experiments --write

docs: .venv/runtime ## write the parts of docs/ that are made from code, settings and measurements
	$(RUN) python -m manual.concepts
	$(RUN) python -m manual.parameters
	$(RUN) python -m manual.sizes

site: .venv/development ## build the documentation as a site, without the network
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet
	@echo "site/index.html is there; with search: $(BIN)/python -m http.server -d site"

# runs the pipeline in a clone; commit first, and let the machine do nothing else
pictures: .venv/development ## take the pictures of README.md again
	.ci/browser
	$(RUN) python -m manual.screens

lock: .venv/bin/python ## compile the pins again from requirements.in and requirements-dev.in
	$(BIN)/pip install --quiet --disable-pip-version-check -r requirements-setup.txt
	for name in requirements requirements-dev; do \
	  $(BIN)/uv pip compile --universal --python-version 3.11 --fork-strategy fewest --no-header --no-annotate --no-emit-index-url --quiet $$name.in -o $$name.txt; \
	done

clean: ## remove the environment and what tools have left; data and results stay
	rm -rf .venv build site erawise.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis

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
