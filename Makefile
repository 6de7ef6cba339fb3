# `make demo`, `make app` and `make test` need nothing but Python 3.11 or later, and this folder.

PYTHON ?= python3
VENV   ?= .venv
WORKERS ?= 2
BIN    := $(VENV)/bin
PIP    := $(BIN)/python -m pip --disable-pip-version-check
ROOTS  := embedops plugins pipelines
INPUTS := pyproject.toml constraints.txt

# PyTorch's threads wait for one another without spinning, so that other work on the machine does
# not slow small models down tenfold.
export OMP_WAIT_POLICY ?= PASSIVE

.PHONY: demo app test lint format clean

demo: $(VENV)/run.stamp
	$(BIN)/embedops demo --out outputs/demo.png

app: $(VENV)/app.stamp
	$(BIN)/embedops app --browser

# pytest comes last, so that its closing line is the last thing to read. A file's tests share one
# worker, and with it the models that they load.
test: lint
	$(BIN)/pytest -n $(WORKERS) --dist loadfile

lint: $(VENV)/dev.stamp
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy $(ROOTS)

format: $(VENV)/dev.stamp
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf $(VENV) build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis

$(BIN)/python:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "embedops needs Python 3.11 or later; set PYTHON=")'
	$(PYTHON) -m venv $(VENV)

# The stamps make a second call install nothing.
$(VENV)/run.stamp: $(INPUTS) | $(BIN)/python
	$(PIP) install --quiet -c constraints.txt -e .
	touch $@

$(VENV)/app.stamp: $(INPUTS) | $(BIN)/python
	$(PIP) install --quiet -c constraints.txt -e ".[app]"
	touch $@ $(VENV)/run.stamp

$(VENV)/dev.stamp: $(INPUTS) | $(BIN)/python
	$(PIP) install --quiet -c constraints.txt -e ".[dev]"
	touch $@ $(VENV)/run.stamp $(VENV)/app.stamp
