# Targets: install, test, unit, contract, contract-webui, javascript, browser, lint, page, demo, bench, tables, tables-quick, toyworld-baselines, masks, clean, distclean.
# `make test` needs nothing but Python 3.10 or 3.11 with venv; the other parts run where a WebUI, node and Chromium are found.

SHELL := /bin/bash
.DEFAULT_GOAL := help

VENV ?= .venv
PYTHON := $(VENV)/bin/python
INSTALLED := $(VENV)/.installed
REQUIREMENTS := requirements-dev.txt requirements-test.txt constraints.txt \
	devhost/requirements.txt devhost/requirements-nodeps.txt

OMG_WEBUI_DIR ?= $(HOME)/stable-diffusion-webui
WEBUI_PYTHON := $(OMG_WEBUI_DIR)/venv/bin/python
WEBUI_PYTEST := .cache/pytest-webui
WEBUI_INSTALLED := $(WEBUI_PYTEST)/.installed

PLAYWRIGHT := .cache/playwright
PLAYWRIGHT_INSTALLED := $(PLAYWRIGHT)/node_modules/playwright-core/package.json
JAVASCRIPT_TESTS := $(wildcard tests/javascript/*.test.js)

PIP_FLAGS := --quiet --progress-bar off --disable-pip-version-check
# Two processes with a thread each; more threads than cores would slow all of them down many times.
PYTEST_PROCESSES ?= 2
PYTEST := -m pytest --numprocesses=$(PYTEST_PROCESSES) --dist=loadfile
UNIT_TESTS := tests --ignore=tests/contract --ignore=tests/browser

# Tests, demo and bench use no network.
export HF_HUB_OFFLINE := 1
export TRANSFORMERS_OFFLINE := 1
export GRADIO_ANALYTICS_ENABLED := False
export OMG_WEBUI_DIR
# Dozens of processes import torch and gradio, twice as fast from kept bytecode, which uv leaves to Python to make.
unexport PYTHONDONTWRITEBYTECODE
unit contract contract-webui browser: export OMP_NUM_THREADS := 1
unit contract contract-webui browser: export OMP_WAIT_POLICY := PASSIVE

# Prints the first Python of a kind that the WebUI runs on and that can make a virtual environment.
define FIND_PYTHON
for python in python3.10 "$$HOME"/.pyenv/versions/3.10.*/bin/python \
		python3.11 "$$HOME"/.pyenv/versions/3.11.*/bin/python python3; do \
	"$$python" -c 'import ensurepip, sys, venv; assert sys.version_info[:2] in ((3, 10), (3, 11)); print(sys.executable)' \
		2>/dev/null && exit 0; \
done; \
echo "No Python 3.10 or 3.11 with venv found: install one (Debian: apt-get install python3-venv)." >&2; exit 1
endef

# Installs four times as fast as pip. It knows nothing of pip's own configuration (a company's index): then pip does it.
UV := uv==0.13.9
INSTALL = $(PYTHON) -m uv pip install --quiet --python $(PYTHON) $(1) || $(PYTHON) -m pip install $(PIP_FLAGS) $(1)

.PHONY: help install test unit contract contract-webui javascript browser lint page demo bench tables tables-quick toyworld-baselines masks clean distclean

help:
	@sed -n 's/^# Targets: /make targets: /p' Makefile

install: $(INSTALLED)

$(INSTALLED): $(REQUIREMENTS)
	[ -x $(PYTHON) ] || { python="$$($(FIND_PYTHON))" && "$$python" -m venv $(VENV); }
	$(PYTHON) -m pip install $(PIP_FLAGS) $(UV) || true
	$(call INSTALL,-r requirements-dev.txt)
	$(call INSTALL,--no-deps -r devhost/requirements-nodeps.txt)
	touch $@

# Everything is run, whatever fails.
test:
	$(MAKE) --keep-going unit contract contract-webui javascript browser lint

unit: install
	$(PYTHON) $(PYTEST) $(UNIT_TESTS)

# A process of its own: devhost's `modules.*` stay in sys.modules.
contract: install
	OMG_CONTRACT_HOST=devhost $(PYTHON) $(PYTEST) tests/contract

contract-webui:
	@if [ -x "$(WEBUI_PYTHON)" ]; then \
		$(MAKE) $(WEBUI_INSTALLED) && \
		echo 'OMG_CONTRACT_HOST=webui $(WEBUI_PYTHON) $(PYTEST) tests/contract' && \
		OMG_CONTRACT_HOST=webui PYTHONPATH="$(CURDIR)/$(WEBUI_PYTEST)" "$(WEBUI_PYTHON)" $(PYTEST) tests/contract; \
	else \
		echo "*** SKIPPED: contract tests on the real WebUI; none at $(OMG_WEBUI_DIR) (set OMG_WEBUI_DIR) ***"; \
	fi

# Beside the WebUI's packages, never into its venv.
$(WEBUI_INSTALLED): requirements-test.txt
	rm -rf $(WEBUI_PYTEST)
	"$(WEBUI_PYTHON)" -m pip install $(PIP_FLAGS) --target $(WEBUI_PYTEST) -r requirements-test.txt
	touch $@

# The page's own code, without a page.
javascript:
	@if command -v node >/dev/null; then \
		echo 'node --test $(JAVASCRIPT_TESTS)' && node --test $(JAVASCRIPT_TESTS); \
	else \
		echo "*** SKIPPED: tests of the page's JavaScript; install node (Debian: apt-get install nodejs) ***"; \
	fi

# Says itself what is missing. Without npm or without a package index playwright-core stays missing.
browser: install
	@if command -v npm >/dev/null; then $(MAKE) $(PLAYWRIGHT_INSTALLED) || true; fi
	$(PYTHON) -m pytest --numprocesses=$(PYTEST_PROCESSES) --dist=loadgroup tests/browser  # one by one to who is free

# One that runs on node 18 too, which Debian 12 has.
$(PLAYWRIGHT_INSTALLED):
	npm install --no-audit --no-fund --loglevel=error --prefix $(PLAYWRIGHT) playwright-core@1.55.0

lint: install
	$(PYTHON) -m ruff check .
	$(PYTHON) -m ruff format --check .
	$(PYTHON) -m mypy

page: install
	$(PYTHON) -m devhost.page

demo: install
	$(PYTHON) -m devhost.demo

bench: install
	$(PYTHON) -m bench

# Go on where they were interrupted; training states and pictures are kept in .toyworld. Baselines that are there are left.
toyworld-baselines: install
	$(PYTHON) -m toyworld.train.baselines dreambooth textual_inversion custom_diffusion

tables: toyworld-baselines
	$(PYTHON) -m bench.paper_tables

tables-quick: install
	$(PYTHON) -m bench.paper_tables --quick

masks: install
	$(PYTHON) -m bench.masks

clean:
	rm -rf .cache out .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find . -name __pycache__ -type d -not -path './.git/*' -prune -exec rm -rf {} +

distclean: clean
	rm -rf $(VENV) .toyworld toyworld/weights/baselines
