# The two commands: `make lab` opens the lessons, `make test` runs every check.
# Both set up .venv and fetch the data first, when that has not been done.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
READY := $(VENV)/.installed

export TOKENIZERS_PARALLELISM = false

.PHONY: lab test portability lint fetch bench notebooks screenshots clean

lab: fetch
	$(BIN)/tlcourse lab

# In the order of the folders: the browser tests take longest and so come first.
test: fetch lint
	$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder

portability: fetch  ## lessons and numeric tests under other CPUs' kernels, and with noise
	$(BIN)/python -m tests.portability

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

fetch: $(READY)
	$(BIN)/tlcourse fetch

bench: fetch
	$(BIN)/python -m tests.benchmarks

notebooks: fetch  ## run every lesson and write its outputs back
	$(BIN)/python -m tests.execute

screenshots: fetch  ## the README's pictures, from the real lessons
	TLCOURSE_SCREENSHOTS=docs $(BIN)/python -m pytest tests/browser -n 0

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[test]"
	touch $(READY)

clean:
	rm -rf $(VENV) .pytest_cache .ruff_cache .mypy_cache .hypothesis dist build
