# The commands of Enginehouse. `make help` lists them.
# For several servers on one machine, set ENGINEHOUSE_CONFIG, ENGINEHOUSE_HOME, GATEWAY_PORT and MANAGER_PORT.

PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV   := .venv
BIN    := $(VENV)/bin
READY  := $(VENV)/.ready
TESTED := $(VENV)/.tested
DEMOS  := data/demo-models/demo-image/README.md
DA3    := data/envs/depth-anything-3/.ready
CONTROL := $(BIN)/python -m scripts.control
JOBS   ?= 2

# On Linux MLX is there for the tests of its engine, in the versions that pyproject.toml asks for on Apple silicon. It
# comes without what mlx-vlm and mflux depend on: an OpenCV that needs a display's libraries and overwrites the one
# that needs none, a CUDA build of MLX, an older huggingface_hub, and 150 MB for audio and data sets.
MLX := mlx==0.32.4 mlx-cpu==0.32.4 mlx-lm==0.32.2 mlx-vlm==0.7.10 mflux==0.24.0 platformdirs toml piexif

.DEFAULT_GOAL := help
.PHONY: help setup start stop restart status reload forget models logs logs-manager logs-gateway logs-workers install uninstall \
        demo test check format bench docker-up docker-down env-depth-anything-3

help:  ## Show this list
	@sed -n 's/^\([a-z0-9-]*\):.*##/\1:/p' $(MAKEFILE_LIST) | awk -F': *' '{printf "  make %-20s %s\n", $$1, $$2}'

setup: $(READY) $(DEMOS)  ## Make the Python environment in .venv and the demo models; skipped when they are there

# The environment is made anew only when pyproject.toml has changed. Debian splits venv off from Python.
$(READY): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or later is needed; $(PYTHON) is older. Set PYTHON=..."; exit 1; }
	@$(PYTHON) -c 'import ensurepip' 2>/dev/null || $(MAKE) --no-print-directory apt PACKAGES=$(notdir $(PYTHON))-venv
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "Installing the house and its engines into $(VENV); the first time this takes some minutes."
	@$(BIN)/python -m pip install -qq --editable '.[all,demo]'
	@touch $@

# What only tests need comes with them: the libraries that quantise would cost every start of an image model a second.
$(TESTED): $(READY)
	@echo "Installing what the tests need."
	@$(BIN)/python -m pip install -qq --editable '.[dev]'
	@test "$$(uname -s)" != Linux || $(BIN)/python -m pip install -qq --no-deps $(MLX) || \
	  echo "MLX does not install here (it needs glibc 2.35), so its tests cannot pass. Everything else works."
	@touch $@

$(DEMOS): $(READY) scripts/demo_models/*.py
	@echo "Making the demo models: tiny, with random weights."
	@rm -rf data/demo-models && $(BIN)/python -m scripts.demo_models data/demo-models >/dev/null
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

# Created again when .venv changes. If that fails, the tests that need it are skipped.
$(DA3): $(READY) scripts/environments.py
	@$(MAKE) --no-print-directory env-depth-anything-3 && touch $@ || echo "Tests of Depth Anything 3 are skipped."

demo: setup  ## Run a demo of all parts, with a server on free ports in data/demo
	@$(BIN)/python -m scripts.demo

test: setup $(TESTED) $(DA3)  ## Run all tests, JOBS=2 at a time
	@$(BIN)/python -m pytest -q -n $(JOBS) --dist worksteal $(TESTS)

check: $(TESTED)  ## Check style, types, imports, names, sizes and docs
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports
	@$(BIN)/python -m scripts.check

format: $(TESTED)  ## Format the code and update the generated parts of the docs
	@$(BIN)/ruff check --fix --quiet . || true
	@$(BIN)/ruff format .
	@$(BIN)/python -m scripts.check --write

bench: setup  ## Run the benchmarks and write docs/benchmarks.md; PEERS=litellm compares with LiteLLM too
	@command -v wrk >/dev/null || $(MAKE) --no-print-directory apt PACKAGES="wrk"
	@command -v nginx >/dev/null || $(MAKE) --no-print-directory apt PACKAGES="nginx-light"
	@$(BIN)/python -m scripts.bench $(if $(PEERS),--peers $(PEERS))

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
