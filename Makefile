# Everything there is to do with the project; `make` alone prints this list. GNU make 3.81 (macOS) is enough.
SHELL := /bin/sh
.DEFAULT_GOAL := help
.SUFFIXES:

BIN := .venv/bin
INSTALLED := .venv/.installed
IMAGE ?= customer-sync
# Options for pytest: make test ARGS="-k watermark -x"
ARGS ?=
# Of make test-browser: where pictures of the page go
PICTURES ?=
# Of make chaos; ONLY=1.17 repeats one round
ROUNDS ?= 20
SEED ?= 1
ONLY ?=

.PHONY: help
help: ## Print this list
	@awk 'BEGIN { FS = ":.*## " } /^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: install
install: $(INSTALLED) ## Install into .venv what is needed (a moment when nothing changed)

$(INSTALLED): pyproject.toml uv.lock scripts/install
	@scripts/install
	@touch $@

.PHONY: demo
demo: install ## Watch commands become events, on this machine alone
	@$(BIN)/customer-sync demo

.PHONY: picture
picture: install ## Renew docs/demo.svg from a run of the demo
	$(BIN)/customer-sync demo --picture docs/demo.svg

.PHONY: check
check: install ## Format, lint, types, import contracts, size of modules, manifests, lock: in seconds
	$(BIN)/ruff format --check --quiet
	$(BIN)/ruff check --quiet
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo
	@scripts/check-module-sizes
	@PYTHONPATH=tests $(BIN)/python -m manifests
	@$$(cat .venv/uv) lock --check --quiet

.PHONY: format
format: install ## Format the code, and mend what ruff can mend
	$(BIN)/ruff check --fix --quiet || true
	$(BIN)/ruff format --quiet

.PHONY: test
test: install ## Run the tests on the best Kafka found: yours, Docker, Java, or an embedded mock
	$(BIN)/pytest -m "not chaos" $(ARGS)

.PHONY: test-fast
test-fast: install ## Run the tests that need no Kafka at all
	$(BIN)/pytest -m "not broker and not chaos" $(ARGS)

.PHONY: test-browser
test-browser: install ## Look at the page in a Chromium: six states, layout, accessibility; PICTURES=docs/page renews them
	@$$(cat .venv/uv) sync --quiet --locked --inexact --group browser
	$(BIN)/pytest tests/browser $(if $(PICTURES),--pictures $(PICTURES)) $(ARGS)

.PHONY: test-long
test-long: install ## Run the property tests with 100,000 examples each
	HYPOTHESIS_PROFILE=long $(BIN)/pytest -m "not broker and not chaos" -o faulthandler_timeout=0 $(ARGS)

.PHONY: chaos
chaos: install ## Kill, freeze and restart workers and Kafka under load: ROUNDS=200 SEED=1, goes on where it ended
	PYTHONPATH=tests $(BIN)/python -m chaos --rounds $(ROUNDS) --seed $(SEED) --only "$(ONLY)" $(ARGS)

.PHONY: chaos-short
chaos-short: install ## The same for less than three minutes: a fixed seed, and one that nobody has seen yet
	PYTHONPATH=tests $(BIN)/python -m chaos --only short.240 $(ARGS)
	PYTHONPATH=tests $(BIN)/python -m chaos --seed fresh --rounds 1 $(ARGS)

KILLS ?= 20
.PHONY: kills
kills: install ## KILLS=20 SIGKILLs at random moments under load, for each way of delivery; workers whose Kafka is gone
	$(BIN)/pytest tests/promises -k "sigkill or without_kafka" --kills $(KILLS) --capture=no $(ARGS)

.PHONY: outages
outages: install ## Ten minutes of outage, compressed, of each kind: what is asked meanwhile, how soon it goes on
	$(BIN)/pytest tests/promises/test_outages.py --capture=no $(ARGS)

.PHONY: memory
memory: install ## Peak memory with 1,000,000 waiting commands beside that with 100,000
	$(BIN)/pytest tests/promises/test_bounded.py --waiting 1000000 --capture=no $(ARGS)

.PHONY: restarts
restarts: install ## How long a worker takes to start, and what a kill and a rolling restart cost those who wait
	PYTHONPATH=tests $(BIN)/python -m benchmarks.restarts $(ARGS)

.PHONY: alerts
alerts: install ## Fire every alert by its real fault, in a real Prometheus that scrapes real workers
	PYTHONPATH=tests $(BIN)/python -m alerts $(ARGS)

.PHONY: cardinality
cardinality: install ## Count the metrics' series after 100,000 customers
	$(BIN)/pytest tests/worker/telemetry/test_cardinality.py --customers 100000 --capture=no $(ARGS)

.PHONY: budget
budget: install ## How well three replicas use a small rate limit together, and how soon live edits get their turn
	PYTHONPATH=tests $(BIN)/python -m benchmarks.budget $(ARGS)

MINUTES ?= 60
RATE ?=
.PHONY: soak
soak: install ## One worker under load for MINUTES=60, a fault each minute: what grows; RATE commands a second
	PYTHONPATH=tests $(BIN)/python -m benchmarks.soak --minutes $(MINUTES) $(if $(RATE),--rate $(RATE)) $(ARGS)

.PHONY: desk
desk: install ## List 100,000 dead letters, and replay 1,000 while desk and worker are killed
	$(BIN)/pytest tests/promises/test_desk.py --dead-letters 100000 --kills 10 --capture=no $(ARGS)

.PHONY: bench
bench: install ## Measure the worker beside its peers on a real Kafka, into docs/performance.md
	PYTHONPATH=tests $(BIN)/python -m benchmarks $(ARGS)

.PHONY: bench-trace
bench-trace: install ## How soon customer-sync trace finds one of 1,000,000 commands, and in how much memory
	PYTHONPATH=tests $(BIN)/python -m benchmarks.trace $(ARGS)

.PHONY: profile
profile: install ## A flame graph of the worker under load, into .artifacts/
	@$$(cat .venv/uv) sync --quiet --locked --inexact --group bench
	PYTHONPATH=tests $(BIN)/python -m benchmarks.profile $(ARGS)

SEEDS ?= 1000
.PHONY: simulate
simulate: install ## Live SEEDS whole lives on a virtual clock; make simulate ARGS="--replay 7" shows one
	PYTHONPATH=tests PYTHONHASHSEED=0 $(BIN)/python -m simulation --seeds $(SEEDS) $(ARGS)

.PHONY: simulate-planted
simulate-planted: install ## Find the bugs that are planted to prove the simulation's judge
	PYTHONPATH=tests PYTHONHASHSEED=0 $(BIN)/python -m simulation --planted

.PHONY: cover
cover: install ## Branch coverage of what decides: every branch, by its own tests
	$(BIN)/python scripts/cover-deciding $(ARGS)

# ONLY="worker.watermark*" tries the mutants of one module
.PHONY: mutants
mutants: install ## Break what decides in every small way, and see the tests notice; goes on where it ended
	@$$(cat .venv/uv) sync --quiet --locked --inexact --group mutation
	HYPOTHESIS_PROFILE=mutation $(BIN)/mutmut run $(ONLY)
	$(BIN)/mutmut results

.PHONY: docs
docs: install ## Renew the tables and lists that are made from the code
	$(BIN)/python -c "from handlers.faults import markdown; print(markdown(), end='')" > docs/errors.new
	mv docs/errors.new docs/errors.md
	$(BIN)/customer-sync config --reference > docs/settings.new
	mv docs/settings.new docs/settings.md
	$(BIN)/python -c "from worker.telemetry.catalogue import markdown; print(markdown(), end='')" > docs/metrics.new
	mv docs/metrics.new docs/metrics.md
	$(BIN)/python deploy/observability/dashboard.py > deploy/observability/dashboard.new
	mv deploy/observability/dashboard.new deploy/observability/dashboard.json
	@$(BIN)/python scripts/renew-lists

.PHONY: manifests
manifests: install ## Render deploy/kubernetes anew, by kustomize, kubectl or Go
	PYTHONPATH=tests $(BIN)/python -m manifests render

.PHONY: policy
policy: ## Ask kube-score about the manifests (needs it, or Go)
	@scripts/check-policy

.PHONY: rollout
rollout: install ## Roll the built image on Docker with the manifests' own settings, under 300 commands a second
	PYTHONPATH=tests $(BIN)/python -m rollout $(ARGS)

.PHONY: image
image: ## Build the container image
	docker build --tag $(IMAGE) .

.PHONY: compose-up
compose-up: ## Start Kafka, topics, a simulated upstream and two workers
	docker compose up --build --wait

.PHONY: compose-down
compose-down: ## Stop them and forget their data
	docker compose down --volumes --remove-orphans

.PHONY: clean
clean: ## Remove what was installed and what tools have cached
	rm -rf .venv .tools .artifacts .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
