# Each target installs what it needs: Python 3.11+ and make are enough (`make e2e` also needs Go).
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
ARGS ?=
# Half a minute once, kept in the user's cache; the operator would do it at its first start.
COMPILE := $(BIN)/python -c 'from ippolicy.ipamd.fast import compile_kernel; compile_kernel()'
.DEFAULT_GOAL := help

.PHONY: help demo test lint tools e2e image bench fuzz audit release generate format clean

help:  ## Show this help
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: $(VENV)/.demo  ## Run the real operator against the embedded sandbox (ARGS="--json out.json")
	@$(BIN)/ippolicy demo $(ARGS)

test: $(VENV)/.dev  ## Run the tests (no cluster, cloud, Docker or Go needed)
	@$(BIN)/python scripts/test.py $(ARGS)

tools: $(VENV)/.dev  ## Build and fetch what e2e runs on, once: a control plane, Helm, Prometheus (needs Go)
	@tests/controlplane/build >/dev/null
	@$(BIN)/python tests/support/tools.py helm hcl2json prometheus promtool amtool >/dev/null

e2e: tools  ## Run the same scenarios on a real control plane, three tests at a time
	@$(BIN)/pytest -p no:cacheprovider -n 3 --dist worksteal tests/controlplane tests/e2e $(ARGS)

bench: $(VENV)/.dev  ## Play the choice against every other setting and rule (ARGS=--full: 20 seeds)
	@$(BIN)/python tests/bench/run.py $(ARGS)

image: $(VENV)/.dev  ## Build the image on bases of Debian packages and test it (root, buildah, debootstrap)
	@tests/controlplane/build
	@$(BIN)/pytest -p no:cacheprovider tests/image $(ARGS)

fuzz: $(VENV)/.dev  ## Try many more inputs from outside on every parser than `make test` does
	@$(BIN)/pytest -q -p no:cacheprovider tests/fuzz --fuzz=2000 $(ARGS)

audit: $(VENV)/.dev  ## Ask osv.dev about known vulnerabilities of everything in uv.lock
	@$(BIN)/python scripts/audit.py $(ARGS)

release: $(VENV)/.dev  ## Wheel, chart package, SBOM and checksums into dist/ (ARGS=v1.2.3: must fit)
	@$(BIN)/python scripts/release.py $(ARGS)

lint: $(VENV)/.dev  ## ruff, mypy --strict, import-linter, generated files up to date
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-logo
	@$(BIN)/python scripts/generate.py --check

generate: $(VENV)/.dev  ## Write anew the CRD, the reference pages, the chart's own files and deploy/
	@$(BIN)/python scripts/generate.py

format: $(VENV)/.dev  ## Format the code
	@$(BIN)/ruff check --fix . && $(BIN)/ruff format .

clean:  ## Remove the virtual environment and caches
	rm -rf $(VENV) dist .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache

$(BIN)/uv:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed, this is " + sys.version.split()[0] + ": set PYTHON=python3.12, say")'
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check uv

$(VENV)/.demo: $(BIN)/uv pyproject.toml uv.lock
	@$(BIN)/uv sync --frozen --quiet --inexact --extra demo --no-default-groups
	@$(COMPILE)
	@touch $@

$(VENV)/.dev: $(BIN)/uv pyproject.toml uv.lock
	@$(BIN)/uv sync --frozen --quiet --inexact --all-extras --all-groups
	@$(COMPILE)
	@touch $@ $(VENV)/.demo
