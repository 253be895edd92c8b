# Works with GNU make 3.81, which macOS ships.
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
SHELL := /bin/sh
PY := .venv/bin/python
UV ?= .venv/bin/python -m uv
TEST_WORKERS ?= 3
# Where it is set, each of our programs would compile every module anew at each start.
unexport PYTHONDONTWRITEBYTECODE
MIN_COVERAGE := 90
LOCK := compile --quiet --no-config --universal --generate-hashes --no-emit-index-url --python-version 3.11 --custom-compile-command "make lock"

.PHONY: run test coverage check lint fix bench bench-browser screenshots demo lock clean help

run: .venv/runtime static/vendor/ready ## set up what is missing and start everything
	@exec $(PY) manage.py run --stop-with-parent

test: .venv/dev .venv-sdk/ready node_modules/dev static/vendor/ready ## set up and run the tests
	$(PY) -m pytest -n $(TEST_WORKERS) --no-loadscope-reorder

coverage: .venv/dev static/vendor/ready ## the tests within one process once more, counting lines and branches
	$(PY) -m pytest -n $(TEST_WORKERS) --no-loadscope-reorder -m "not uncounted" --cov --cov-report=term --cov-fail-under=$(MIN_COVERAGE)

check: lint test coverage ## what CI runs: format, lint, types, import contracts, migrations, tests, branch coverage

lint: .venv/dev ## the part of `make check` that runs nothing
	$(PY) -m ruff format --check .
	$(PY) -m ruff check .
	$(PY) -m mypy
	$(PY) -c "from importlinter.cli import lint_imports_command; lint_imports_command()"
	MEGADASH_DATA_DIR=.venv/lint-data $(PY) manage.py makemigrations --check --dry-run

fix: .venv/dev ## format, and repair what the linter can repair
	$(PY) -m ruff check --fix .
	$(PY) -m ruff format .

bench: .venv/dev node_modules/dev static/vendor/ready ## measure the gateway against nginx
	$(PY) -m bench.run

bench-browser: .venv/dev static/vendor/ready ## what a browser loads, and how soon it shows it
	$(PY) -m bench.browser

screenshots: .venv/dev static/vendor/ready ## pictures of every page, in both themes and languages, at two widths
	$(PY) -m tests.screenshots

bench-pages: .venv/dev static/vendor/ready ## measure every page with ten million calls, in a data directory that is kept
	$(PY) -m bench.pages --data var-bench-pages

demo: .venv/runtime static/vendor/ready ## start with 90 days of invented usage, in a data directory of its own
	@MEGADASH_DATA_DIR=var-demo $(PY) manage.py demo
	@MEGADASH_DATA_DIR=var-demo exec $(PY) manage.py run --stop-with-parent

lock: .venv/dev ## compile the lock files from pyproject.toml and package.json
	env -u PIP_FIND_LINKS -u PIP_EXTRA_INDEX_URL -u UV_FIND_LINKS $(UV) pip $(LOCK) -o requirements.lock pyproject.toml
	env -u PIP_FIND_LINKS -u PIP_EXTRA_INDEX_URL -u UV_FIND_LINKS $(UV) pip $(LOCK) -c requirements.lock --group dev -o requirements-dev.lock pyproject.toml
	$(PY) tests/sdk/environments.py --lock
	npm install --package-lock-only --ignore-scripts

clean: ## remove what the set-up made; data directories stay
	rm -rf .venv .venv-sdk node_modules static/vendor .coverage .coverage.* htmlcov .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## /\1: /p' $(MAKEFILE_LIST)

# The stamps below are newer than the lock files they were made from, so a second start skips them.
.venv/runtime: requirements.lock bootstrap.sh
	@./bootstrap.sh requirements.lock
	@touch $@

.venv/dev: requirements-dev.lock requirements.lock bootstrap.sh
	@./bootstrap.sh requirements-dev.lock
	@touch .venv/runtime $@

.venv-sdk/ready: tests/sdk/environments.py $(wildcard tests/sdk/*.lock) | .venv/dev
	@$(PY) tests/sdk/environments.py
	@touch $@

static/vendor/ready: package.json package-lock.json frontend.py | .venv/runtime
	@echo "megadash: fetching the front-end packages" >&2
	@$(PY) frontend.py
	@touch $@

node_modules/dev: package.json package-lock.json frontend.py | .venv/dev
	@echo "megadash: fetching the front-end and test packages" >&2
	@$(PY) frontend.py --dev
	@touch static/vendor/ready $@
