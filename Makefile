# What a person runs: install, demo, test. Everything runs from .venv, which is built from
# requirements.lock (exact versions and hashes, no index address).
SHELL := /bin/bash
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
APT_PACKAGES := prometheus prometheus-alertmanager postgresql chromium openssl

.PHONY: help install packages demo test lint types imports unit docs screenshots bench bench-alarms lock clean
.DEFAULT_GOAL := help

help: ## show this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

install: $(VENV)/.installed ## build .venv from the lock file

$(VENV)/.installed: requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' \
	  || { echo "error: $(PYTHON) is not Python 3.11 to 3.13; set PYTHON=/path/to/python3.11"; exit 1; }
	$(PYTHON) -m venv --clear $(VENV)
	$(BIN)/python -m pip install --quiet --require-hashes --only-binary :all: -r requirements.lock
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --editable .
	@touch $@

packages: ## install the Debian packages that the tests use (Prometheus, PostgreSQL, Chromium)
	@.ci/packages $(APT_PACKAGES)

demo: install ## a model that drifts before your eyes
	$(BIN)/drift-exporter demo

test: install packages lint types imports unit ## everything that CI runs

lint: install
	$(BIN)/ruff check --output-format concise .
	$(BIN)/ruff format --check .

types: install
	$(BIN)/mypy

imports: install
	$(BIN)/lint-imports

unit: install
	$(BIN)/pytest -n 3 --dist worksteal

docs: install ## write the generated papers anew
	$(BIN)/python -m drift_exporter.papers.config_docs
	$(BIN)/python -m drift_exporter.papers.metrics_docs
	$(BIN)/python -m drift_exporter.papers.cli_docs
	$(BIN)/python -m drift_exporter.papers.api_docs
	$(BIN)/python -m grafana.build

screenshots: install packages ## pictures of dashboards and pages, made in headless Chromium
	$(BIN)/python -m grafana.screenshots screenshots
	$(BIN)/python tests/page_pictures.py screenshots wide wide-dark phone-dark

bench: install ## measure; figures go to docs/performance.md
	$(BIN)/python bench/bench.py
	$(BIN)/python bench/scrape.py
	$(BIN)/python bench/pages.py
	$(BIN)/python bench/incidents.py
	$(BIN)/python bench/casework.py
	$(BIN)/python bench/backfill.py

bench-alarms: install ## simulate 90 days of false alarms (half an hour)
	$(BIN)/python bench/alarms.py --runs 4 --surrogates --rows-per-hour 1000 --rows-per-hour 200 --rows-per-hour 10000

lock: ## resolve requirements.lock anew (needs uv)
	uv pip compile pyproject.toml --group dev --all-extras --generate-hashes --universal \
	  --python-version 3.11 --no-emit-index-url --no-header -o requirements.lock

clean: ## remove what can be made again
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
