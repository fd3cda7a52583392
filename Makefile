# Two commands set a fresh machine up: `make demo` and `make test`. Neither needs root or a system package.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt
# One thread a rank: two ranks on two cores do not fight for them.
export OMP_NUM_THREADS ?= 1

.PHONY: demo test lint bench clean

demo: $(VENV)/installed  ## the main job, end to end, on the embedded sample
	$(BIN)/camembert-bio demo demo-output

test: $(VENV)/installed-dev  ## the whole suite, two files at a time
	$(BIN)/python -m pytest --numprocesses 2 --dist loadfile --no-loadscope-reorder

lint: $(VENV)/installed-dev  ## format, rules, types, layers
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(VENV)/installed-dev  ## every benchmark; writes benchmarks/results/
	@for script in $(wildcard benchmarks/*.py); do $(BIN)/python $$script || exit 1; done

# torch first: on its own it takes the wheel that is at hand, not gigabytes of accelerator packages.
$(VENV)/installed: setup.py constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(PIP) torch==2.13.0
	$(PIP) setuptools wheel
	$(PIP) --editable .
	touch $@

# seqeval's source needs setuptools_scm, which setuptools alone would fetch without what that needs in turn.
$(VENV)/installed-dev: $(VENV)/installed
	$(PIP) setuptools_scm
	$(PIP) --editable '.[dev]'
	touch $@

clean:
	rm -rf $(VENV) demo-output
