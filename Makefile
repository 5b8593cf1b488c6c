# make rehearse    the tour: four services, through pass and refusal, on this machine (ARGS=--all: every scenario)
# make console     the approver's console in a browser, with deployments of a rehearsal to decide on
# make load-demo   the load test hook with a real Locust, and real servers on this machine
# make canary-demo Unicorn Watch's catalog as a canary: its servers, HAProxy, visitors and Locust, on the real clock
# make test        everything that can be checked here; says by name what it skipped
# make fuzz        ten minutes of broken input for each parser of what registries send
# make lint        style, types, boundaries, templates
# make build       the Lambda artifacts, by sam build
#
# Each does its own set-up: needed are Python 3, make, and a package index to download from.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

# uv from PATH where it runs, else one of our own. (`command -v` alone is not enough: a version
# manager's shim may be there without the program.)
UV := $(shell uv --version >/dev/null 2>&1 && echo uv || echo .uv/bin/uv)
RUN := $(UV) run --frozen --quiet

# Empty is unset: compiling everything anew would cost each start a second.
export PYTHONDONTWRITEBYTECODE :=

include artifact/build.mk

.PHONY: help rehearse console load-demo canary-demo test fuzz lint build benchmark coverage format setup
help:
	@sed -n 's/^# \(make .*\)/\1/p' Makefile

setup: .venv/.synced
.uv/bin/uv:
	@echo "fetching uv" >&2
	@python3 -m venv .uv && .uv/bin/pip install --quiet --disable-pip-version-check uv==0.13.9
.venv/.synced: uv.lock pyproject.toml | $(filter .uv/bin/uv,$(UV))
	@$(UV) sync --frozen --quiet --compile-bytecode
	@touch $@

rehearse: setup
	@$(RUN) rehearse $(ARGS)

console: setup
	@$(RUN) rehearse console $(ARGS)

load-demo: setup
	@$(RUN) rehearse --clock real examples/load_demo/pass.yaml examples/load_demo/refuse.yaml $(ARGS)

canary-demo: setup
	@$(RUN) rehearse --clock real examples/unicorn_watch/real/catalog-passes.yaml examples/unicorn_watch/real/catalog-refused.yaml $(ARGS)

test: setup
	@$(RUN) pytest --numprocesses auto --dist worksteal $(ARGS)

fuzz: setup
	@FUZZ_SECONDS=600 $(RUN) pytest --timeout 900 --numprocesses auto tests/hooks/image_trust/test_parsers_never_break.py

lint: setup
	@$(RUN) ruff format --check .
	@$(RUN) ruff check .
	@$(RUN) mypy
	@$(RUN) lint-imports --no-logo
	@$(RUN) sam validate --lint --template template.yaml
	@$(RUN) cfn-lint $$(grep -rlE --include='*.yaml' '^(AWSTemplateFormatVersion|Transform: AWS)' examples)

format: setup
	@$(RUN) ruff format .
	@$(RUN) ruff check --fix-only --quiet .

build: setup
	@$(RUN) sam build

DECIDES := shared/*,hooks/canary_comparison/*,hooks/image_trust/*,hooks/load_test/*.py,hooks/*/approvers.py,hooks/*/decision.py,hooks/*/request.py,hooks/*/settings.py,hooks/manual_approval/archive.py,hooks/manual_approval/console/*,hooks/manual_approval/proceeding.py,hooks/manual_approval/reminders.py,hooks/manual_approval/rules.py,hooks/manual_approval/telling.py,hooks/smoke_test/*.py,hooks/*/protocol.py,hooks/*/state.py,hooks/*/monitor.py,*/activation_gate/lease.py,*/activation_gate/state.py

# The floor that design.md sets: branches count, for all that hooks share and all that decides.
coverage: setup
	@$(RUN) coverage combine --quiet 2>/dev/null || true
	@$(RUN) coverage report --skip-covered --sort=cover
	@$(RUN) coverage report --fail-under=95 --format=total --include='$(DECIDES)' \
	  | sed 's/^/branch coverage of shared and of what decides, at least 95: /'

benchmark: setup
	@$(RUN) python -m benchmarks $(ARGS)
