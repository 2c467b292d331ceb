# One target a command; nothing clever. `make help` lists them.
.DEFAULT_GOAL := help
BIN := .venv/bin
PACKAGES := libs/chassis proto/gen $(patsubst %/pyproject.toml,%,$(wildcard services/*/pyproject.toml)) cli
UPSTREAMS := intake=intake:8101 routing=routing:8102 sla=sla:8103 notify=notify:8104 kb=kb:8105

.PHONY: help run down tools setup test lint types proto contracts check bench gateway lock chaos

help:  ## Show this help
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{split($$1, name, ":"); printf "  make %-9s %s\n", name[1], $$2}'

run: tools setup  ## Start the whole stack, send a first ticket through it, show its journey
	@$(BIN)/waybill up
	@$(BIN)/waybill hello

down:  ## Stop what `make run` started; the data stays under .waybill/
	@$(BIN)/waybill down

# Everything that is missing is named at once, with one line to install it.
tools:
	@missing=; \
	python3 -c 'import sys, venv; sys.exit(sys.version_info < (3, 11))' 2>/dev/null \
	  || missing="$$missing, Python 3.11 or newer with venv (python3)"; \
	command -v git >/dev/null || missing="$$missing, git"; \
	if [ -z "$$KAFKA_BOOTSTRAP_SERVERS" ]; then \
	  command -v java >/dev/null || missing="$$missing, Java 17 or newer (java)"; \
	  ls -d .waybill/kafka/libs-* >/dev/null 2>&1 || command -v mvn >/dev/null \
	    || missing="$$missing, Maven (mvn)"; \
	fi; \
	[ -z "$$missing" ] || { echo "missing:$${missing#,}; on Debian or Ubuntu: apt-get install \
	python3 python3-venv git openjdk-17-jre-headless maven" >&2; exit 1; }

.venv/.ready: requirements.lock $(wildcard libs/*/pyproject.toml services/*/pyproject.toml cli/pyproject.toml)
	@python3 -c 'import sys, venv; sys.exit(sys.version_info < (3, 11))' 2>/dev/null \
	  || { echo "python3 is missing or too old: install Python 3.11 or newer with venv" >&2; exit 1; }
	@echo "Setting up .venv"
	@python3 -m venv .venv
	@echo "  ... the installer"
	@grep -A200 '^uv==' requirements.lock | awk 'NR>1 && /^[a-z]/{exit} {print}' > .venv/uv.lock.txt
	@$(BIN)/pip install --quiet --require-hashes -r .venv/uv.lock.txt
	@echo "  ... everything in requirements.lock, by its hash"
	@VIRTUAL_ENV=.venv $(BIN)/uv pip install --quiet --require-hashes -r requirements.lock
	@echo "  ... our own packages"
	@VIRTUAL_ENV=.venv $(BIN)/uv pip install --quiet --no-deps --no-build-isolation $(addprefix -e ./,$(PACKAGES))
	@touch $@

setup: .venv/.ready  ## Make the virtual environment from the lock file

test: setup  ## Run every test, on a real broker and a real database
	@$(BIN)/pytest -n 2 --dist loadfile -q

lint: setup  ## Check style, and who may import whom
	@$(BIN)/ruff check . && $(BIN)/ruff format --check .
	@said=$$($(BIN)/lint-imports --no-cache) || { echo "$$said"; exit 1; }
	@$(BIN)/yamllint --strict docker-compose.yml deploy

types: setup  ## Check types
	@$(BIN)/mypy libs/chassis/waybill_chassis cli/waybill_cli $(wildcard services/*/waybill_*)

proto: setup  ## Generate the contracts' stubs, then check the contracts
	@$(BIN)/python proto/generate.py
	@$(MAKE) --no-print-directory contracts

contracts: setup  ## Check the contracts: style, stubs, nothing released is broken
	@$(BIN)/buf lint proto
	@$(BIN)/python proto/generate.py --check
	@$(BIN)/python proto/breaking.py

check: lint types contracts test  ## Everything that CI checks

bench: setup  ## Run the measurements one after the other; each prints a table
	@for each in $(wildcard bench/[a-z]*.py); do echo; echo "$$each"; $(BIN)/python $$each || exit 1; done

gateway: setup  ## Make compose's gateway configuration anew from the route table
	@$(BIN)/waybill gateway $(addprefix --upstream ,$(UPSTREAMS)) \
	  --listen 0.0.0.0:8080 --admin 0.0.0.0:9901 > deploy/gateway/compose.yaml

lock: setup  ## Resolve all dependencies anew into requirements.lock
	@$(BIN)/uv pip compile --quiet --python-version 3.11 --universal --generate-hashes --group dev \
	  --custom-compile-command "make lock" \
	  --no-emit-package waybill-chassis --no-emit-package waybill-proto \
	  libs/chassis/pyproject.toml proto/gen/pyproject.toml services/*/pyproject.toml cli/pyproject.toml \
	  -o requirements.lock

chaos: setup  ## Kill processes at random for longer than CI does
	@WAYBILL_CHAOS_SECONDS=$${WAYBILL_CHAOS_SECONDS:-180} WAYBILL_CHAOS_SERVERS=1 \
	  $(BIN)/pytest -q -s tests/chaos
