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

.PHONY: product test pytest lint docs links clean

product: $(STAMP)
	$(BIN)/aqreanalysis build --year 2016 --grid 0.1deg

# Side by side: types are checked on one core while tests run.
test: $(STAMP)
	$(MAKE) --no-print-directory -j 2 lint pytest

# Tests start many processes: that none compiles the package anew saves more than a dozen seconds. Of pytest's plugins
# only those that are used, by their modules' names, which every version of pytest takes: the modules of others (zarr)
# are rewritten when they are imported.
pytest: $(STAMP)
	PYTHONDONTWRITEBYTECODE= PYTEST_DISABLE_PLUGIN_AUTOLOAD=1 OMP_NUM_THREADS=1 $(BIN)/python -m pytest -p xdist.plugin \
		-p _hypothesis_pytestplugin -n $(TEST_PROCESSES) --dist worksteal tests -m "not archive"

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip

# pip compiles all that it installs on one core, also the tests of other packages: half of the time of the set-up. Here
# all cores do it, of what is likely to be imported, half of the files; some are templates, which do not compile.
NOT_COMPILED = tests?|_tests|testing|sympy|networkx|pip|setuptools|mypyc?|lexers|devtools|onnx|_inductor
$(STAMP): $(VENV)/bin/python pyproject.toml $(SOURCES)
	$(BIN)/python -m pip install --quiet --no-compile "$(TORCH)" ".[test]"
	$(BIN)/python -m compileall -qq -j 0 -x '/($(NOT_COMPILED))/' $(VENV)/lib || true
	touch $(STAMP)

# Mypy looks for garbage for a third of its time; without that it needs 1.4 GB of memory.
lint: $(STAMP)
	$(BIN)/ruff check aqreanalysis tests benchmarks examples
	$(BIN)/python -c "import gc; gc.enable = gc.disable; from mypy.__main__ import console_entry; console_entry()"

# The pages as HTML, without a network; a warning, a script of the gallery that fails and a link that leads nowhere are errors.
docs: $(STAMP)
	$(BIN)/python -m pip install --quiet --no-compile ".[docs]"
	OMP_NUM_THREADS=1 $(BIN)/python -m sphinx -q -W --keep-going -b html docs docs/_build/html
	$(BIN)/python docs/check_links.py docs/_build/html
	@echo "docs/_build/html/index.html"

# Asks for every link that leads elsewhere: needs a network. The gallery is not run.
links: $(STAMP)
	$(BIN)/python -m pip install --quiet --no-compile ".[docs]"
	$(BIN)/python -m sphinx -q -D plot_gallery=0 -b linkcheck docs docs/_build/links

clean:
	rm -rf $(VENV) products docs/_build docs/reference docs/gallery
	find examples -mindepth 1 ! -name '*_*.py' ! -name README.rst ! -name .gitignore -delete
