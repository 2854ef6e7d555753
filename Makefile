# zeroguide: `make demo` shows what it does, `make test` proves it. Both make .venv on first use.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
LABEL_STUDIO := .venv-label-studio
LABEL_STUDIO_ML := .venv-label-studio-ml
PIP := $(BIN)/python -m pip --disable-pip-version-check
DEMO ?= out/demo

.PHONY: help demo labelstudio test lint check-machine clean

help:
	@echo "make demo    label the sample photos and make a page to look at ($(DEMO)/index.html)"
	@echo "make labelstudio   start Label Studio and the backend with the sample photos; Ctrl-C stops both"
	@echo "make test    run all tests"
	@echo "make lint    ruff and mypy"
	@echo "make clean   remove the environments and what demo made"

check-machine:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { echo "zeroguide needs Python 3.11 or newer as '$(PYTHON)'; install it (apt install python3) or name another: make PYTHON=python3.12 ..." >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { echo "Python has no venv module; install it: apt install python3-venv" >&2; exit 1; }
	@command -v $${CXX:-g++} >/dev/null || { echo "a C++ compiler is needed to build DenseCRF; install it: apt install g++" >&2; exit 1; }
	@$(PYTHON) -c 'import os, sys, sysconfig; sys.exit(not os.path.exists(os.path.join(sysconfig.get_paths()["include"], "Python.h")))' || { echo "Python's headers are needed to build DenseCRF; install them: apt install python3-dev" >&2; exit 1; }

$(VENV)/.base: pyproject.toml constraints.txt
	@$(MAKE) --no-print-directory check-machine
	$(PYTHON) -m venv $(VENV)
	$(PIP) install --quiet --constraint constraints.txt --editable '.[eval,study]'
	@touch $@

$(VENV)/.test: $(VENV)/.base
	$(PIP) install --quiet --constraint constraints.txt --editable '.[test]'
	@touch $@

$(VENV)/.lint: $(VENV)/.test
	$(PIP) install --quiet --constraint constraints.txt --editable '.[lint]'
	@touch $@

# Label Studio pins other versions than we run with, so it has an environment of its own (1 GB).
$(LABEL_STUDIO)/.installed: ls_backend/data/label_studio.txt
	@$(MAKE) --no-print-directory check-machine
	$(PYTHON) -m venv $(LABEL_STUDIO)
	$(LABEL_STUDIO)/bin/python -m pip --disable-pip-version-check install --quiet --requirement $<
	@touch $@

# label-studio-ml, with our environment behind it: it pins a Flask that we cannot run with, and needs none of its own.
$(LABEL_STUDIO_ML)/.installed: tests/ls_backend/label_studio_ml.txt $(VENV)/.base
	$(BIN)/python -m venv --clear $(LABEL_STUDIO_ML)
	$(LABEL_STUDIO_ML)/bin/python -m pip --disable-pip-version-check install --quiet --no-deps --requirement $<
	@$(BIN)/python -c 'import sysconfig; print("import site; site.addsitedir(%r)" % sysconfig.get_path("purelib"))' > "$$($(LABEL_STUDIO_ML)/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/zeroguide.pth"
	@touch $@

demo: $(VENV)/.base
	$(BIN)/zeroguide label zgcore/samples --out $(abspath $(DEMO))

labelstudio: $(VENV)/.base $(LABEL_STUDIO)/.installed
	$(BIN)/zeroguide quickstart --label-studio $(LABEL_STUDIO) $(QUICKSTART_ARGS)

test: $(VENV)/.test $(LABEL_STUDIO)/.installed $(LABEL_STUDIO_ML)/.installed
	$(BIN)/python -m pytest $(PYTEST_ARGS)

lint: $(VENV)/.lint
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

clean:
	rm -rf $(VENV) $(LABEL_STUDIO) $(LABEL_STUDIO_ML) $(DEMO)
