# One target a command; nothing clever. `make help` lists them.
.DEFAULT_GOAL := help
BIN := .venv/bin
PACKAGES := libs/chassis proto/gen $(wildcard services/*) cli
CODE := libs services cli tests proto/generate.py

.PHONY: help setup test lint types proto check lock

help:  ## Show this help
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-8s %s\n", $$1, $$2}'

.venv/.ready: requirements.lock $(wildcard libs/*/pyproject.toml services/*/pyproject.toml cli/pyproject.toml)
	@command -v python3 >/dev/null || { echo "python3 is missing: install Python 3.11 or newer"; exit 1; }
	@echo "Setting up .venv from requirements.lock"
	@python3 -m venv .venv
	@grep -A200 '^uv==' requirements.lock | awk 'NR>1 && /^[a-z]/{exit} {print}' > .venv/uv.lock.txt
	@$(BIN)/pip install --quiet --require-hashes -r .venv/uv.lock.txt
	@VIRTUAL_ENV=.venv $(BIN)/uv pip install --quiet --require-hashes -r requirements.lock
	@VIRTUAL_ENV=.venv $(BIN)/uv pip install --quiet --no-deps --no-build-isolation $(addprefix -e ./,$(PACKAGES))
	@touch $@

setup: .venv/.ready  ## Make the virtual environment from the lock file

test: setup  ## Run every test, on a real broker and a real database
	@$(BIN)/pytest -n 2 --dist loadfile -q

lint: setup  ## Check style
	@$(BIN)/ruff check . && $(BIN)/ruff format --check .

types: setup  ## Check types
	@$(BIN)/mypy libs/chassis/waybill_chassis cli/waybill_cli $(wildcard services/*/waybill_*)

proto: setup  ## Check the contracts and generate their stubs
	@$(BIN)/buf lint proto
	@$(BIN)/python proto/generate.py

check: lint types test  ## Everything that CI checks

lock: setup  ## Resolve all dependencies anew into requirements.lock
	@$(BIN)/uv pip compile --quiet --python-version 3.11 --universal --generate-hashes --group dev \
	  --custom-compile-command "make lock" \
	  --no-emit-package waybill-chassis --no-emit-package waybill-proto \
	  libs/chassis/pyproject.toml proto/gen/pyproject.toml services/*/pyproject.toml cli/pyproject.toml \
	  -o requirements.lock
