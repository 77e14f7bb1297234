# Every target first makes .venv (see `make help`); the work is in provisioning/toolchain/.
PYTHON ?= python3
ARGS ?=
ONLY ?=
WORKERS ?= $(if $(ARGS),0,3)
VENV := .venv/bin

.DEFAULT_GOAL := help
.PHONY: setup demo test lint bench soak mutants firmware micropython mosquitto browser spin softhsm pins clean help

setup: ## make .venv with every pinned dependency and the campusgrid command
	@$(PYTHON) -m provisioning.toolchain.environment

demo: setup micropython mosquitto ## run the virtual campus (ARGS="--epochs 3 --exit --report report.json" for headless)
	@$(VENV)/campusgrid demo $(ARGS)

test: export PYTHONDONTWRITEBYTECODE := # hundreds of processes are started: each would compile our sources anew
test: setup firmware mosquitto browser spin softhsm ## run the whole test suite in three processes; ARGS="-k proof" selects, in one
	@$(VENV)/python -m pytest --numprocesses $(WORKERS) --dist loadfile --no-loadscope-reorder \
	    --max-worker-restart 2 $(ARGS)

lint: setup ## check style (ruff), format (ruff format) and types (mypy --strict)
	@$(VENV)/ruff check .
	@$(VENV)/ruff format --check .
	@$(VENV)/mypy
	@$(VENV)/mypy tests

bench: setup firmware mosquitto ## measure against the bars into bench.json (ONLY=prefix runs a part)
	@$(VENV)/python -m tests.bench $(ONLY)

soak: setup firmware mosquitto spin ## run the long campaigns into soak.json; goes on where it stopped (ONLY=prefix)
	@$(VENV)/python -m tests.soak $(ONLY)

mutants: setup ## hunt the consensus core with one mistake at a time (ARGS=WORD: those whose names hold it)
	@$(VENV)/python -m tests.mutants $(ARGS)

firmware: setup micropython ## compile the firmware for every board (build/firmware), build the virtual one; its image is the last line
	@$(VENV)/python -m provisioning.toolchain.firmware

micropython: setup ## get MicroPython 1.25 or newer; the last line is the path of its executable
	@$(VENV)/python -m provisioning.toolchain.micropython

mosquitto: setup ## get the MQTT broker, leaving no system service behind
	@$(VENV)/python -m provisioning.toolchain.mosquitto

browser: setup ## get chromium, which the tests of the dashboard drive
	@$(VENV)/python -m provisioning.toolchain.browser

spin: setup ## get SPIN, which checks the model of the consensus' locking rule
	@$(VENV)/python -m provisioning.toolchain.spin

softhsm: setup ## get SoftHSM, in which a test's node keeps its keys
	@$(VENV)/python -m provisioning.toolchain.softhsm

pins: setup ## recompile constraints.txt from pyproject.toml (the newest versions, hashes for every platform)
	@$(VENV)/python -m provisioning.toolchain.pins

clean: ## remove everything that make made
	@rm -rf .venv .cache bench.json soak.json build *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

help: ## explain the targets
	@echo "make TARGET, where every target first makes .venv:"
	@sed -n 's/^\([a-z]*\):[^#]*## /\1\t/p' Makefile | while IFS="$$(printf '\t')" read -r target text; do \
	    printf '  %-12s %s\n' "$$target" "$$text"; done
