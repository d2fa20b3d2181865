# `make` alone tells what there is. Every target brings its own tools; see ./setup.
PYTHON := .venv/bin/python
BENCH := $(wildcard bench/__main__.py)

.DEFAULT_GOAL := help
.PHONY: help run test faults check fmt migrate schema docs lock bench dev

help: ## this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)$(if $(BENCH),, | grep -v bench)

# The server ends when make does, even by kill -9, for it learns whom to outlive not.
run: ## start FitSync with everything it needs (PORT=4000 DATA_DIR=./var)
	@export PARENT_PID=$$PPID; exec ./run

test: dev ## all tests, in parallel (ARGS=tests/embedded for some)
	@$(PYTHON) -m pytest -n auto --dist worksteal $(ARGS)

faults: dev ## every promise under faults, in full: half an hour (SEED=… repeats a run, ARGS=-k… takes some)
	@FAULTS=full $(PYTHON) -m pytest tests/faults $(ARGS)

check: dev ## format, lint, types, layers and generated documents
	@.venv/bin/ruff format --check --quiet
	@.venv/bin/ruff check --quiet
	@.venv/bin/mypy --no-error-summary
	@.venv/bin/lint-imports --no-logo
	@$(PYTHON) -m server docs --check

fmt: dev ## format, and repair what can be repaired
	@.venv/bin/ruff check --fix --quiet --exit-zero
	@.venv/bin/ruff format --quiet

migrate: ## bring the database to the newest schema
	@./setup run
	@$(PYTHON) -m server migrate

schema: dev ## write sql/schema.sql again, after a new migration
	@$(PYTHON) -m server schema

docs: dev ## write the generated documents again
	@$(PYTHON) -m server docs

COMPILE := .boot/bin/uv pip compile --quiet --universal --generate-hashes --no-annotate --no-header
lock: dev ## pin every dependency anew, within pyproject.toml (ARGS=--upgrade for the newest)
	@$(COMPILE) $(ARGS) --group pyproject.toml:boot --output-file requirements-boot.lock
	@$(COMPILE) $(ARGS) pyproject.toml --group embedded --output-file requirements.lock
	@$(COMPILE) $(ARGS) pyproject.toml --group dev --output-file requirements-dev.lock

bench: dev ## measure, as docs/performance.md reports (ARGS=…)
	@$(PYTHON) -m bench $(ARGS)

dev:
	@./setup dev
