# The commands of Enginehouse. `make help` lists them.
# For several servers on one machine, set ENGINEHOUSE_CONFIG, ENGINEHOUSE_HOME, GATEWAY_PORT and MANAGER_PORT.

PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV   := $(if $(LATEST),.venv-latest,.venv)
BIN    := $(VENV)/bin
READY  := $(VENV)/.ready
TESTED := $(VENV)/.tested
DEMOS  := data/demo-models/.made
DA3    := $(if $(LATEST),data/envs-latest,data/envs)/depth-anything-3/.ready
CONTROL := $(BIN)/python -m scripts.control
# One more than a small machine has cores, because many tests wait for processes.
JOBS   ?= 3

INSTALL := $(BIN)/python -m scripts.packages install $(if $(LATEST),--latest)

.DEFAULT_GOAL := help
.PHONY: help setup start stop restart status reload forget models import-config logs logs-manager logs-gateway logs-workers install \
        uninstall demo test e2e check format lock bench bench-gpu docker-up docker-down env-depth-anything-3

help:  ## Show this list
	@sed -n 's/^\([a-z0-9-]*\):.*##/\1:/p' $(MAKEFILE_LIST) | awk -F': *' '{printf "  make %-20s %s\n", $$1, $$2}'

setup: $(READY) $(DEMOS)  ## Install the engines into .venv, and build the demo models; ENGINES="chat ocr" installs only some

# Skipped while the environment is newer than pyproject.toml and the lock. Debian has venv in a package of its own. Packages
# that only tests need are left out: the quantization libraries slow down every start of an image model by a second.
$(READY): pyproject.toml requirements.lock $(if $(ENGINES)$(LATEST),force)
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or later is needed; $(PYTHON) is older. Set PYTHON=..."; exit 1; }
	@$(PYTHON) -c 'import ensurepip' 2>/dev/null || $(MAKE) --no-print-directory apt PACKAGES=$(notdir $(PYTHON))-venv
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(INSTALL) $(WITH_TESTS) $(ENGINES)

# In a fresh clone, $(READY) also installs what the tests need, and $(TESTED) has nothing left to do.
test e2e check format: WITH_TESTS := --tests
$(TESTED): $(READY)
	@test -e $@ -a ! $(READY) -nt $@ || $(INSTALL) --tests

.PHONY: force
force:

$(DEMOS): $(READY) scripts/demo_models/*.py
	@rm -rf data/demo-models && mkdir -p data/demo-models
	@$(BIN)/python -m scripts.demo_models data/demo-models 2>data/demo-models/.log || { cat data/demo-models/.log; exit 1; }
	@touch $@

start: setup  ## Start gateway and manager in the background, or as services if they are installed
	@$(CONTROL) start

stop: $(READY)  ## Stop Enginehouse
	@$(CONTROL) stop

restart: setup  ## Stop and start
	@$(CONTROL) restart

status: $(READY)  ## Show programs, memory, models and workers
	@$(CONTROL) status

reload: $(READY)  ## Apply a changed config.yaml; workers whose entry did not change keep running
	@$(CONTROL) reload

forget: $(READY)  ## Forget the measured memory of a model: MODEL=ID
	@MODEL='$(MODEL)' $(CONTROL) forget

models: $(READY)  ## List the catalogue of models; MODEL=sam3 shows one model, MODEL=detect those of a task
	@$(BIN)/python -m scripts.models $(MODEL)

import-config: $(READY)  ## Print a config.yaml made from FILE=, of the Homelab AI Services API, llama-swap or Ollama
	@$(BIN)/python -m command import-config $(FILE)

logs: $(READY)  ## Follow all logs
	@$(CONTROL) logs

logs-manager: $(READY)  ## Follow the manager's log
	@$(CONTROL) logs-manager

logs-gateway: $(READY)  ## Follow the gateway's log
	@$(CONTROL) logs-gateway

logs-workers: $(READY)  ## Follow the workers' logs
	@$(CONTROL) logs-workers

install: setup  ## Install services that start with the machine (the gateway in Docker, if available)
	@$(CONTROL) install

uninstall: $(READY)  ## Remove the services; configuration, models and logs stay
	@$(CONTROL) uninstall

env-depth-anything-3: $(READY)  ## Create the environment of Depth Anything 3, on top of .venv
	@$(BIN)/python -m scripts.environments depth-anything-3

# Created again when .venv changes. If that fails, the tests of this family are skipped.
$(DA3): $(READY) scripts/environments.py
	@$(BIN)/python -m scripts.environments depth-anything-3 && touch $@ || echo "Tests of Depth Anything 3 are skipped."

demo: setup  ## Run a demo of all parts, with a server on free ports in data/demo
	@$(BIN)/python -m scripts.packages needs chat embeddings images ocr vision
	@$(BIN)/python -m scripts.demo

# For the tests that crawl. Debian's package has a name of its own; elsewhere, Chrome or Chromium may be installed.
BROWSERS := chromium-headless-shell chromium chromium-browser google-chrome
.PHONY: browser
browser:
	@for name in $(BROWSERS); do command -v $$name >/dev/null && exit 0; done; \
	  $(MAKE) --no-print-directory apt PACKAGES=chromium-headless-shell || echo "Tests of crawling are skipped."

# Containers often set this, but without bytecode every process that a test starts compiles our code again, and pytest
# rewrites every test in each of its processes.
test: export PYTHONDONTWRITEBYTECODE =
# A file's tests run in one process, because they share a server. If such a process dies, as of too little memory, the
# run goes on without it and fails. With a new process in its place, pytest-xdist would wait for ever.
test: setup $(TESTED) $(DA3) browser  ## Run all tests, JOBS=3 at a time; LATEST=1 uses the newest libraries allowed, in .venv-latest
	@$(BIN)/python -m pytest -q -n $(JOBS) --dist loadfile --no-loadscope-reorder --max-worker-restart=0 $(TESTS)

# For the tests of several gateways, which start a server of their own. Debian starts one too, unless policy forbids it.
.PHONY: postgres
postgres:
	@ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 || command -v initdb >/dev/null || \
	  $(MAKE) --no-print-directory apt PACKAGES=postgresql || echo "Tests with PostgreSQL are skipped."

e2e: setup $(TESTED) browser postgres  ## Run the tests that take minutes (a long storm of kills), and as root on Debian those of systemd and Docker
	@$(BIN)/python -m pytest -q -s -m e2e $(TESTS)
	@$(if $(TESTS),,$(BIN)/python -m pytest -q -m hypothesis --hypothesis-profile=search)
	@$(if $(TESTS),,scripts/e2e/all.sh)

check: $(TESTED)  ## Check style, types, imports, names, sizes, docs and the lock
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports
	@$(BIN)/pytest -q tests/test_invariants.py
	@$(BIN)/python -m scripts.check

format: $(TESTED)  ## Format the code and update the generated parts of the docs
	@$(BIN)/ruff check --fix --quiet . || true
	@$(BIN)/ruff format .
	@$(BIN)/python -m scripts.check --write

lock: pyproject.toml  ## Update requirements.lock; KEEP=1 changes only what pyproject.toml no longer allows
	@test -x .venv-lock/bin/python || $(PYTHON) -m venv .venv-lock
	@.venv-lock/bin/python -m pip install --quiet --upgrade pip
	@.venv-lock/bin/python -m pip install --quiet --group lock
	@.venv-lock/bin/python -m scripts.packages lock $(if $(KEEP),--keep)

bench: setup  ## Run the benchmarks and write docs/benchmarks.md; PEERS=litellm compares with LiteLLM too
	@command -v wrk >/dev/null || $(MAKE) --no-print-directory apt PACKAGES="wrk"
	@command -v nginx >/dev/null || $(MAKE) --no-print-directory apt PACKAGES="nginx-light"
	@$(BIN)/python -m scripts.bench $(if $(PEERS),--peers $(PEERS))

bench-gpu: setup  ## Run the benchmarks of large models on an NVIDIA GPU and write docs/benchmarks-gpu.md
	@$(BIN)/python -m scripts.bench gpu_starts gpu_swaps gpu_chat gpu_image gpu_embeddings

screenshots: setup browser  ## Renew the screenshots in README and docs
	@$(BIN)/python -m scripts.screenshots

docker-up: $(READY)  ## Start only the gateway in a container; the manager must be running on the host
	@$(CONTROL) docker-up

docker-down: $(READY)  ## Stop and remove the gateway's container
	@$(CONTROL) docker-down

# Install system packages with apt, or print which ones are needed.
.PHONY: apt
apt:
	@if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	  echo "Installing $(PACKAGES) with apt."; \
	  export DEBIAN_FRONTEND=noninteractive; apt-get update -qq && apt-get install -y -qq $(PACKAGES) >/dev/null; \
	else echo "Please install $(PACKAGES) first, for example: sudo apt-get install $(PACKAGES)"; exit 1; fi
