# `make run` and `make test` need Python 3.11+, pip and make (or uv), nothing else.
bootstrap = @sh scripts/bootstrap.sh
python    = .venv/bin/python

.PHONY: help run test test-long check lint format types bench lock system-deps image image-test compose-secrets clean
.DEFAULT_GOAL := help

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## /  make \1|/p' Makefile | column -t -s '|' 2>/dev/null || grep '##' Makefile

run: export GATEWAY_DATA_DIR ?= $(CURDIR)/.data
run: ## the demo: gateway, store, users and an upstream, on http://127.0.0.1:8080
	$(bootstrap) run .venv/bin/gateway run --demo -c gateway.yaml $(ARGS)

test: ## the whole suite; PYTEST_ARGS="-k login" narrows it
	$(bootstrap) dev $(python) -m pytest -m "not long" $(PYTEST_ARGS)

test-long: ## the suite and the tests that run for minutes
	$(bootstrap) dev $(python) -m pytest $(PYTEST_ARGS)

check: lint types test ## what has to pass before a change lands

lint: ## formatting and lint
	$(bootstrap) dev $(python) -m ruff format --check .
	$(bootstrap) dev $(python) -m ruff check .

format: ## formats, and mends what ruff can mend
	$(bootstrap) dev $(python) -m ruff format .
	$(bootstrap) dev $(python) -m ruff check --fix .

types: ## mypy --strict
	$(bootstrap) dev $(python) -m mypy

bench: ## CPU per request beside nginx, HAProxy and Envoy
	$(bootstrap) dev $(python) -m tests.bench $(ARGS)

lock: ## writes the locks anew from pyproject.toml; ARGS=--upgrade takes newer versions
	@sh scripts/lock.sh $(ARGS)

system-deps: ## the programs that some tests need, from the distribution
	@sh scripts/system-deps.sh

image: ## the container image, with docker, podman or buildah
	@sh scripts/image.sh

image-test: ## builds the image on a base of its own and runs it; as root, with buildah and debootstrap
	@bash scripts/image-test.sh

compose-secrets: ## makes what config/compose.yaml asks for: a secret, the store's password, one user
	$(bootstrap) run $(python) scripts/compose_secrets.py

clean: ## removes the environment and every cache; keeps .data
	rm -rf .venv .pytest_cache .mypy_cache .ruff_cache .hypothesis build dist
	find gateway tests -name __pycache__ -prune -exec rm -rf {} +
