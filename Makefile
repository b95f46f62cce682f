# Everything runs in .venv, which these commands create. Nothing but Python (3.11 to 3.13) is needed
# for the demo; the tests also need MariaDB, Redis, nginx and
# Chromium, and install them where they may.

PYTHON := .venv/bin/python
export DAGSTER_DISABLE_TELEMETRY := 1

.PHONY: help demo test test-long dev bench lock clean

help:  ## Show this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/' | expand -t 12

demo: .venv/ready  ## See it all at work on invented machines and on this one; Ctrl-C ends it
	@.venv/bin/snapshot-assets demo $(ARGS)

test: .venv/ready-dev  ## Lint, type-check and run the tests against private servers
	@sh tools/servers.sh
	@.venv/bin/ruff check .
	@.venv/bin/ruff format --check .
	@.venv/bin/mypy
	@.venv/bin/lint-imports --no-cache --no-logo
	@.venv/bin/pytest $(ARGS)

test-long: test  ## Before a release, and nightly in CI: the tests, then again at four clocks (Linux)
	@.venv/bin/pytest -m long
	@$(PYTHON) tools/clocks.py $(ARGS)

dev: .venv/ready  ## Dagster's UI and daemon on your own settings
	@.venv/bin/snapshot-assets ui $(ARGS)

bench: .venv/ready-dev  ## Measure settling, reading, writing and pages beside straightforward versions
	@sh tools/servers.sh
	@$(PYTHON) -m benchmarks $(ARGS)

lock: .venv/ready-dev  ## Choose the versions of all dependencies anew
	@sh tools/lock.sh

clean:  ## Remove the environment and caches, not your data
	rm -rf .venv .clocks .pytest_cache .mypy_cache .ruff_cache .hypothesis *.egg-info

.venv/ready: requirements/all.txt pyproject.toml tools/bootstrap.sh
	@sh tools/bootstrap.sh requirements/all.txt
	@touch $@

.venv/ready-dev: requirements/dev.txt pyproject.toml tools/bootstrap.sh
	@sh tools/bootstrap.sh requirements/dev.txt
	@touch $@ .venv/ready
