# Each target makes .venv from requirements.lock first, when it is missing or older than the lock.
PYTHON ?= python3
BIN := .venv/bin
READY := .venv/.ready
# the groups and their order are those of tests/conftest.py
WORKERS := -n 2 --dist loadgroup --no-loadscope-reorder
# compiled modules are kept: the tests start a hundred processes that import them
export PYTHONDONTWRITEBYTECODE :=

.PHONY: report test test-quick test-slow test-lowest lab notebooks figures screenshots bench mutants lint lock
.DELETE_ON_ERROR:

report: $(READY)
	$(BIN)/leptonfit run

test: $(READY)
	$(BIN)/python -m pytest $(WORKERS)

test-quick: $(READY)
	$(BIN)/python -m pytest $(WORKERS) -m "not slow and not fuzz"

# thousands of random inputs, with their counts
test-slow: $(READY)
	$(BIN)/python -m pytest -m fuzz -rP

# the oldest versions that pyproject.toml allows, in an environment of their own
test-lowest: $(READY)
	$(BIN)/python -m pip install --quiet uv
	$(BIN)/uv venv --quiet --clear --python $(BIN)/python .venv-lowest
	$(BIN)/uv pip install --quiet --python .venv-lowest/bin/python --resolution lowest-direct --editable ".[dev]"
	.venv-lowest/bin/python -m pytest $(WORKERS) -m "not slow and not fuzz"

lab: $(READY)
	$(BIN)/jupyter lab notebooks/00_start_here.ipynb --ServerApp.ip=127.0.0.1 $(if $(filter 0,$(shell id -u)),--allow-root)

notebooks: $(READY)
	$(BIN)/leptonfit notebooks

figures: $(READY)
	$(BIN)/leptonfit figures

screenshots: $(READY)
	$(BIN)/python -m pytest tests/browser --screenshots figures/screenshots

bench: $(READY)
	$(BIN)/leptonfit bench

# faults put into the library one by one: do the tests notice them? It needs pip install -e '.[mutation]'
mutants: $(READY)
	$(BIN)/python benchmarks/mutants.py

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check lib tests benchmarks
	$(BIN)/mypy

lock: $(READY)
	$(BIN)/python -m pip install --quiet uv
	$(BIN)/uv pip compile pyproject.toml --extra dev --universal --python-version 3.11 --generate-hashes \
	  --no-emit-index-url --no-annotate --custom-compile-command "make lock" --upgrade --quiet -o requirements.lock

$(READY): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; v = sys.version_info; v >= (3, 11) or sys.exit("$(PYTHON) is Python %d.%d: leptonfit needs 3.11 or newer (make PYTHON=python3.11)" % v[:2])'
	$(PYTHON) -m venv --clear .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@
