# Everything runs in .venv, which these commands create. The demo needs only Python (3.11 to 3.13).
# The tests also need MariaDB, Redis, nginx and Chromium; they install them as root on Debian and
# Ubuntu, and name them elsewhere.

PYTHON := .venv/bin/python
export DAGSTER_DISABLE_TELEMETRY := 1

.PHONY: help demo test test-long dev bench lock clean

help:  ## Show this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/' | expand -t 12

demo: .venv/ready  ## Show the product on invented machines and on this one; Ctrl-C ends it
	@.venv/bin/snapshot-assets demo $(ARGS)

test: .venv/ready-dev  ## Lint, type-check and run the tests against private servers
	@sh tools/servers.sh
	@.venv/bin/ruff check .
	@.venv/bin/ruff format --check .
	@.venv/bin/mypy
	@.venv/bin/lint-imports --no-cache --no-logo
	@.venv/bin/pytest $(ARGS)

test-long: test  ## Run the tests, the long tests, and all again at four clocks (Linux); nightly in CI
	@.venv/bin/pytest -m long
	@$(PYTHON) tools/clocks.py $(ARGS)

dev: .venv/ready  ## Run Dagster's UI and daemon on your own settings
	@.venv/bin/snapshot-assets ui $(ARGS)

bench: .venv/ready-dev  ## Measure settling, reading, writing and pages, and straightforward versions
	@sh tools/servers.sh
	@$(PYTHON) -m benchmarks $(ARGS)

lock: .venv/ready-dev  ## Choose new versions of all dependencies
	@sh tools/lock.sh

clean:  ## Remove the environment and the caches, but no data
	rm -rf .venv .clocks .pytest_cache .mypy_cache .ruff_cache .hypothesis *.egg-info

.venv/ready: requirements/all.txt pyproject.toml tools/bootstrap.sh
	@sh tools/bootstrap.sh requirements/all.txt
	@touch $@

.venv/ready-dev: requirements/dev.txt pyproject.toml tools/bootstrap.sh
	@sh tools/bootstrap.sh requirements/dev.txt
	@touch $@ .venv/ready
