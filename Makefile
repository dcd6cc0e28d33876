# `make demo` and `make test` are all a newcomer needs; both set up .venv from the lock file first.
.DEFAULT_GOAL := help
.PHONY: help demo up test lint bench lock record-histories clean

PYTHON ?= python3
VENV := .venv
PY := $(VENV)/bin/python
READY := $(VENV)/.ready

help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' Makefile | sed -E 's/:.*## /\t/' | expand -t 20

$(READY): requirements.lock
	@$(PYTHON) -c 'import sys; v = sys.version_info; sys.exit(0 if v >= (3, 11) else "Darkroom needs Python 3.11 or newer; this is %d.%d. Name another one: make PYTHON=python3.12 demo" % v[:2])'
	@test -x $(PY) || $(PYTHON) -m venv $(VENV)
	@echo "Installing the pinned packages into $(VENV) (once) ..."
	@$(PY) -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	@touch $(READY)

demo: $(READY) ## run the main job: 48 pictures in three stages, faults included
	@$(PY) starter.py demo

up: $(READY) ## run the embedded stack until Ctrl-C
	@$(PY) starter.py up

test: $(READY) ## run all tests
	@$(PY) -m pytest -n 2 --dist loadgroup

lint: $(READY) ## ruff and mypy
	@$(PY) -m ruff check .
	@$(PY) -m ruff format --check .
	@$(PY) -m mypy

bench: $(READY) ## measure throughput, overhead and memory; writes bench.json
	@$(PY) -m benchmarks

record-histories: $(READY) ## record the histories that tests/replay replays
	@$(PY) -m tests.replay.record

lock: ## refresh requirements.lock from pyproject.toml (needs uv)
	@uv pip compile --quiet --universal --python-version 3.11 --extra dev --generate-hashes --no-emit-index-url \
	  --no-emit-find-links --no-annotate --no-header --output-file requirements.lock pyproject.toml

clean: ## remove .venv (your pictures and records in .darkroom stay)
	@rm -rf $(VENV)
