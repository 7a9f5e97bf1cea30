# Bramley. Everything sets itself up: only Python 3.11 or newer is needed. ARGS="…" is passed on.
#
#   make demo    run the whole story on this machine: devices enroll, are pushed, renew, are refused when they should be
#   make test    run the tests
#   make lint    ruff, mypy, import contracts
#   make bench   measure the hot paths
#   make fuzz    throw damaged messages at everything that reads strangers' octets
#   make docs    build the documentation into site/
#   make setup   only make the virtual environment, which the others do on the way
#   make clean   delete what was made

PYTHON ?=
ARGS ?=
VENV := .venv
READY := $(VENV)/.ready

.DEFAULT_GOAL := help
.PHONY: help setup demo test lint bench fuzz docs clean

help:
	@sed -n 's/^#   //p' $(MAKEFILE_LIST)

# uv installs exactly what uv.lock says; without uv, pip installs the same versions from an export of it.
$(READY): pyproject.toml uv.lock requirements.txt
	@echo "Making the virtual environment: half a minute, once." >&2
	@if command -v uv >/dev/null 2>&1; then \
		uv sync --quiet --locked $(if $(PYTHON),--python "$(PYTHON)"); \
	else \
		python="$(or $(PYTHON),python3)"; \
		"$$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Bramley needs Python 3.11 or newer; PYTHON=… names one." >&2; exit 2; }; \
		"$$python" -m venv $(VENV) && \
		$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check --requirement requirements.txt && \
		$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --editable .; \
	fi
	@touch $@

setup: $(READY)

demo: $(READY)
	$(VENV)/bin/bramley demo $(ARGS)

test: $(READY)
	$(VENV)/bin/python -m pytest -n auto $(ARGS)

lint: $(READY)
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy
	$(VENV)/bin/lint-imports

bench: $(READY)
	$(VENV)/bin/python -m tests.bench $(ARGS)

fuzz: $(READY)
	$(VENV)/bin/python -m tests.fuzz $(ARGS)

docs: $(READY)
	NO_MKDOCS_2_WARNING=1 $(VENV)/bin/mkdocs build --strict --quiet $(ARGS)

clean:
	rm -rf $(VENV) site dist .mypy_cache .pytest_cache .ruff_cache .hypothesis
