# Two commands do everything on a fresh Debian or Ubuntu with python3, python3-venv and make:
#   make demo    set up, make data of known truth (images; a cohort of 152), analyse and score them
#   make test    set up, run the tests
# Everything lands in .venv and .demo below this folder; nothing needs root.

PYTHON ?= python3
VENV ?= .venv
DEMO ?= .demo
NPROCS ?= $(shell getconf _NPROCESSORS_ONLN 2>/dev/null || echo 2)
PYTEST_ARGS ?=
BIN := $(VENV)/bin
UV := $(shell command -v uv 2>/dev/null)

export OMP_NUM_THREADS = 1
export OPENBLAS_NUM_THREADS = 1
export ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS = 1
export NO_ET = 1
export MPLBACKEND = Agg
export PATH := $(abspath $(BIN)):$(PATH)

ifeq ($(UV),)
install = $(PYTHON) -m venv $(VENV) && $(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.$(if $(1),[$(1)])'
else
install = $(UV) venv --quiet --allow-existing --python $(PYTHON) $(VENV) && $(UV) pip install --quiet --python $(BIN)/python -c constraints.txt -e '.$(if $(1),[$(1)])'
endif

define check_python
$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' || { \
  echo 'bids_acc needs Python 3.11, 3.12 or 3.13 (antspyx has no wheel for others); name one: make PYTHON=python3.12'; exit 1; }
endef

.PHONY: demo test slow lint types docs setup setup-test setup-dev benchmarks clean help

help:
	@sed -n '1,4s/^# //p' Makefile

setup: $(VENV)/.installed
setup-test: $(VENV)/.installed-test
setup-dev: $(VENV)/.installed-dev

$(VENV)/.installed: pyproject.toml constraints.txt
	@$(check_python)
	@echo 'Setting up in $(VENV) (about a minute) ...'
	@$(call install,)
	@touch $@

$(VENV)/.installed-test: pyproject.toml constraints.txt
	@$(check_python)
	@echo 'Setting up in $(VENV) (about a minute) ...'
	@$(call install,test)
	@touch $@ $(VENV)/.installed

$(VENV)/.installed-dev: pyproject.toml constraints.txt
	@$(call install,dev)
	@touch $@ $(VENV)/.installed-test $(VENV)/.installed

demo: $(VENV)/.installed
	$(BIN)/bids_acc-demo $(DEMO)/bids
	$(BIN)/bids_acc $(DEMO)/bids $(DEMO)/out participant --nprocs $(NPROCS) --density 10k -w $(DEMO)/work
	$(BIN)/bids_acc $(DEMO)/bids $(DEMO)/out group --model trd-function --nprocs $(NPROCS)
	$(BIN)/bids_acc $(DEMO)/bids $(DEMO)/out group --model auto --nprocs $(NPROCS)
	@$(BIN)/bids_acc-demo --score $(DEMO)/out $(DEMO)/bids
	$(BIN)/bids_acc-demo --cohort $(DEMO)/cohort
	$(BIN)/bids_acc $(DEMO)/cohort $(DEMO)/cohort group --model acc-structure --nprocs $(NPROCS) -w $(DEMO)/work-cohort
	@$(BIN)/bids_acc-demo --score $(DEMO)/cohort
	@echo "Report of twelve people from images: $(abspath $(DEMO)/out/group.html)"
	@echo "Report of a cohort of 152: $(abspath $(DEMO)/cohort/group.html)"

test: $(VENV)/.installed-test
	$(BIN)/python -m pytest -n $(NPROCS) --dist worksteal $(PYTEST_ARGS)

slow: $(VENV)/.installed-test
	$(BIN)/python -m pytest -n $(NPROCS) --dist worksteal -m slow $(PYTEST_ARGS)

lint: $(VENV)/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/codespell bids_acc tests README.md

types: $(VENV)/.installed-dev
	$(BIN)/mypy

docs: $(VENV)/.installed-dev
	$(BIN)/python -m sphinx -q -W --keep-going -b html docs docs/_build
	@echo "Documentation: $(abspath docs/_build/index.html)"

benchmarks: $(VENV)/.installed-dev
	$(BIN)/python -m tests.benchmarks $(BENCHMARKS)

clean:
	rm -rf $(VENV) $(DEMO)
