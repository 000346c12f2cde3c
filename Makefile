# User Profile. `make` prints this file's targets.
SHELL := /bin/bash
.SHELLFLAGS := -o pipefail -c
.DEFAULT_GOAL := help
PY := .venv/bin/python
FAUST := .venv/bin/faust
STACK ?= native
DATA ?= cdnow
ARGS ?=

.PHONY: help venv up down status reset flink-deploy demo demo-down ui test-ui screenshots test test-group test-unit test-integration test-e2e test-chaos test-k6 docs-tools lint lint-quick types audit sbom \
  run-server run-worker run-entities-edges-consumer run-entity-properties-consumer run-temporal-data-consumer \
  run-cdc-transformer run-datagen-postgres run-datagen-kafka-entities-edges run-datagen-entity-properties \
  run-datagen-temporal-data run-datagen-source-events entities-csv load lock

help: ## This table
	@printf '\n  \033[1mmake target\033[0m (variables: STACK=native|compose, DATA=cdnow|cdnow-master|generated, ARGS="…")\n\n'
	@grep -hE '^[a-z0-9-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | awk -F'\t' '{printf "  \033[36m%-36s\033[0m %s\n", $$1, $$2}'
	@echo

venv: ## Python packages of the lock file, in .venv
	@infra/bootstrap.sh

# --- the stack
up: venv ## Start PostgreSQL, Redis, Kafka, Connect and Flink; create topics, schema, connector and jobs
	@$(PY) -m infra up --stack $(STACK)

down: venv ## Stop the stack; data stays
	@$(PY) -m infra down --stack $(STACK)

status: venv ## What runs, where, and how much memory it holds
	@$(PY) -m infra status --stack $(STACK)

flink-deploy: venv ## Upgrade the running Flink jobs to the SQL of flink/, from savepoints; ARGS=--anew forgets their state
	@$(PY) -m infra deploy --stack $(STACK) $(ARGS)

reset: venv ## Stop the stack and remove its data
	@$(PY) -m infra reset --stack $(STACK)

# --- the main job
demo: venv ## Everything at once: stack, worker, real purchases through Flink to HTTP and domain events
	@web/ui/build.sh || true
	@$(PY) -m load demo --stack $(STACK) --data $(DATA) $(ARGS)

demo-down: venv ## Stop the demo's worker and the stack
	@$(PY) -m load demo --stop --stack $(STACK)

# --- the page
ui: venv ## Build Profile Explorer, the page at /, into web/static
	@web/ui/build.sh

test-ui: venv ## Type check and unit tests of the page
	@web/ui/build.sh check
	@web/ui/build.sh test

screenshots: ui ## Pictures of the page for docs/images, of the running demo
	@$(PY) -m load screenshots $(ARGS)

# --- workers
run-worker: venv ## All roles, a process for each kind, web on 8888
	$(FAUST) -A app worker -l info

run-server: venv ## HTTP only
	PROFILE_ROLES=web $(FAUST) -A app worker -l info

run-entities-edges-consumer: venv ## The agent of entities-edges
	PROFILE_ROLES=entities-edges $(FAUST) -A app worker -l info

run-entity-properties-consumer: venv ## The agent of entity-properties
	PROFILE_ROLES=entity-properties $(FAUST) -A app worker -l info

run-temporal-data-consumer: venv ## The agent of temporal-data
	PROFILE_ROLES=temporal-data $(FAUST) -A app worker -l info

run-cdc-transformer: venv ## The agent that turns changes into domain events
	PROFILE_ROLES=cdc $(FAUST) -A app worker -l info

# --- data and load
run-datagen-postgres: venv ## 10,000 users with organisations, devices and 12 months, by COPY
	@$(PY) -m load postgres $(ARGS)

run-datagen-kafka-entities-edges: venv ## Entities and relationships to Kafka
	@$(PY) -m load entities-edges $(ARGS)

run-datagen-entity-properties: venv ## Properties with conflicting dates to Kafka
	@$(PY) -m load entity-properties $(ARGS)

run-datagen-temporal-data: venv ## Time series to Kafka
	@$(PY) -m load temporal-data $(ARGS)

run-datagen-source-events: venv ## Source events for Flink: DATA=cdnow (real purchases), cdnow-master or generated
	@$(PY) -m load source-events --data $(DATA) $(ARGS)

entities-csv: venv ## id,email,cpf of the users in the database, for the load tests
	@$(PY) -m load entities-csv $(ARGS)

load: entities-csv ## Two minutes of the mix against the running worker, by k6 where it is installed, else by wrk
	@$(PY) -m load http $(ARGS)

# --- tests
test: venv ## Lint, unit, integration and end-to-end tests, two at a time; sets up what it needs
	@$(PY) -m tests.run $(ARGS)

test-group: venv ## One stage or part of it or of CI: GROUP=unit, servers, storage, cdc, flink, page, …
	@$(PY) -m tests.run --group $(GROUP) $(ARGS)

test-unit: venv ## Tests that need no server
	$(PY) -m pytest -q tests/unit $(ARGS)

test-integration: venv ## Tests on real servers, in a stack of their own
	$(PY) -m pytest -q tests/integration $(ARGS)

test-e2e: ui ## A worker as a process, from source events to answers
	$(PY) -m pytest -q tests/e2e -m "not chaos" $(ARGS)

test-chaos: venv ## Long fault tests: processes are killed
	$(PY) -m pytest -q -m chaos $(ARGS)

test-k6: ## Node tests and type check of the k6 scripts
	@cd load/k6 && npm ci --ignore-scripts --no-audit --no-fund --silent && npm run --silent check && npm test --silent

docs-tools: ## The meta-schema that docs/asyncapi.yaml is checked against, from npm
	@cd docs && npm ci --ignore-scripts --no-audit --no-fund --silent

lint: lint-quick types ## ruff, mypy strict, import directions

lint-quick: venv ## The part of lint that takes seconds: ruff, import directions
	@.venv/bin/ruff check .
	@.venv/bin/ruff format --check -q .
	@.venv/bin/lint-imports | tail -n 4

types: venv ## mypy strict
	@.venv/bin/mypy

audit: venv ## Known weaknesses of the locked packages; ARGS=--strict fails where no advisory service answers
	@$(PY) -m infra.audit $(ARGS)

sbom: venv ## What the lock files name, as CycloneDX 1.5 in JSON: sbom.json
	@$(PY) -m infra sbom > sbom.json

lock: venv ## Resolve pyproject.toml again into requirements.lock (needs uv)
	uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --all-extras pyproject.toml -o requirements.lock
	grep -E '^[a-z0-9].*==' requirements.lock | sed 's/ *\\$$//' > .cache-constraints
	uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --no-annotate --extra otel -c .cache-constraints pyproject.toml -o requirements-image.lock
	rm .cache-constraints
