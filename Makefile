# `make product` and `make test` do all the set-up: an environment in .venv, the package, then the work.
PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin
STAMP = $(VENV)/.installed
SOURCES = $(shell find aqreanalysis recipes grids -type f -not -name '*.pyc')
# The CPU build of torch: the newest one brings 3 GB of CUDA that nothing here needs.
TORCH ?= torch==2.13.0

.PHONY: product test lint clean

product: $(STAMP)
	$(BIN)/aqreanalysis build --year 2016 --grid 0.1deg

test: $(STAMP) lint
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --dist worksteal --doctest-glob='*.py' tests aqreanalysis -m "not archive"

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

clean:
	rm -rf $(VENV) products
