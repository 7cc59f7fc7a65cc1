# Nothing is needed beforehand but python3 (3.11 or newer) and make.

PYTHON ?= python3
VENV := .venv
READY := $(VENV)/.ready
PEERS := $(VENV)/.peers
RUN := $(VENV)/bin

# Many tests wait for networks and clocks: more workers than cores are sooner done.
WORKERS ?= $(shell echo $$(($$(nproc) + 2)))
PYTEST := $(RUN)/python -m pytest --numprocesses $(WORKERS) --dist worksteal --durations 15

# Debian keeps ip, nft and sshd where ordinary users don't look.
export PATH := $(PATH):/usr/sbin:/sbin

.DEFAULT_GOAL := help
.PHONY: help demo test slow lint bench soak fuzz wheel lock clean demo-programs test-programs slow-programs

help: ## show this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-6s %s\n", $$1, $$2 }' Makefile

demo: demo-programs $(READY) ## watch an ssh session move between links (about half a minute)
	@$(RUN)/migrate demo

test: test-programs $(READY) ## run the tests, without the slow ones; ARGS="-k settle"
	@$(PYTEST) -m "not slow" $(ARGS)

slow: slow-programs $(PEERS) ## run the slow tests
	@$(PYTEST) -m slow -o faulthandler_timeout=900 $(ARGS)

lint: $(READY) ## check style, types, the import table, change fragments and the locks
	@$(RUN)/ruff check --quiet
	@$(RUN)/ruff format --check --quiet
	@$(RUN)/mypy
	@$(RUN)/lint-imports
	@$(RUN)/towncrier build --draft --version next > /dev/null
	@$(RUN)/python tools/check_lock.py

bench: test-programs $(PEERS) ## run the benchmarks; ARGS=--json for machines
	@for script in benchmarks/[!_]*.py; do \
		test -e "$$script" || { echo "there are no scripts in benchmarks/" >&2; exit 1; }; \
		echo "== $$script" >&2; \
		$(RUN)/python "$$script" $(ARGS) || exit 1; \
	done

soak: $(READY) ## compare engine and oracle over new cases; MINUTES=10
	@$(RUN)/python -m tests.engine.generated_soak --minutes $(or $(MINUTES),10)

fuzz: $(READY) ## throw broken policies at what reads them; MINUTES=10
	@$(RUN)/python -m tests.policylang.fuzzing --minutes $(or $(MINUTES),10)

wheel: $(READY) ## build dist/*.whl for installation elsewhere
	@$(RUN)/python -m build --no-isolation --outdir dist . > /dev/null
	@ls dist/*.whl

lock: ## write the locks anew from pyproject.toml
	@tools/lock "$(PYTHON)"

clean: ## remove everything that make has made
	rm -rf $(VENV) build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache

demo-programs:
	@tools/setup programs ip unshare

test-programs:
	@tools/setup programs ip nft unshare setpriv ssh sshd scp curl ex dbus-daemon

slow-programs: test-programs
	@tools/setup programs ffmpeg NetworkManager gpsd prometheus

$(READY): requirements.lock pyproject.toml tools/setup
	@tools/setup environment "$(PYTHON)" $(VENV)
	@touch $@

# What the benchmarks compare with, and nothing else needs.
$(PEERS): $(READY) requirements-bench.lock
	@tools/setup peers $(VENV)
	@touch $@
