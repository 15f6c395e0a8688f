# `make product` and `make test` do all the set-up: an environment in .venv, the package, then the work.
PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin
STAMP = $(VENV)/.installed
SOURCES = $(shell find aqreanalysis recipes grids -type f -not -name '*.pyc')
# The CPU build of torch: the newest one brings 3 GB of CUDA that nothing here needs.
TORCH ?= torch==2.13.0

# One more than there are cores: many tests wait for processes that they started.
TEST_PROCESSES ?= $(shell expr $$(nproc 2>/dev/null || echo 2) + 1)

.PHONY: product test pytest lint docs clean

product: $(STAMP)
	$(BIN)/aqreanalysis build --year 2016 --grid 0.1deg

# Side by side: types are checked on one core while tests run.
test: $(STAMP)
	$(MAKE) --no-print-directory -j 2 lint pytest

pytest: $(STAMP)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(TEST_PROCESSES) --dist worksteal tests -m "not archive"

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip

$(STAMP): $(VENV)/bin/python pyproject.toml $(SOURCES)
	$(BIN)/python -m pip install --quiet "$(TORCH)"
	$(BIN)/python -m pip install --quiet ".[test]"
	touch $(STAMP)

lint: $(STAMP)
	$(BIN)/ruff check aqreanalysis tests benchmarks
	$(BIN)/mypy

# The pages as HTML, without a network; a warning is an error.
docs: $(STAMP)
	$(BIN)/python -m pip install --quiet ".[docs]"
	$(BIN)/python -m sphinx -q -W --keep-going -b html docs docs/_build/html
	@echo "docs/_build/html/index.html"

clean:
	rm -rf $(VENV) products docs/_build docs/reference
