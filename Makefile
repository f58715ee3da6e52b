PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALL ?= $(BIN)/python -m pip install --quiet

.PHONY: demo test check cluster cluster-down clean

# The paper's Table 2 with the small model on generated videos: set up, sweep, report.
demo: $(VENV)/demo.stamp
	$(BIN)/python -m harness.sweep table2
	$(BIN)/python -m harness.report table2

# What CI runs.
test: check
	$(BIN)/python -m pytest --numprocesses 2 --dist loadfile --no-loadscope-reorder

check: $(VENV)/test.stamp
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# A SLURM cluster on this machine, as root.
cluster: $(VENV)/demo.stamp
	$(BIN)/python -m tests.slurm up
cluster-down:
	$(BIN)/python -m tests.slurm down

$(VENV)/demo.stamp: pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(INSTALL) --editable .
	touch $@

$(VENV)/test.stamp: pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(INSTALL) --editable '.[test]'
	touch $@

clean:
	rm -rf $(VENV) *.egg-info build
