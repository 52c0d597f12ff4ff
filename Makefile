PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
ENV := designopt/WeldedBeam-v0

.PHONY: run test test-slow check clean

# Main job: a constrained engineering design, live progress, best design beside the known optimum, convergence picture.
run: $(VENV)/installed
	$(BIN)/designopt run $(ENV) --search gp --budget 60 --seed 0 --store runs.db --report runs

test: $(VENV)/installed
	OMP_NUM_THREADS=1 $(BIN)/pytest -m "not slow" -n 2 --dist loadfile -q

test-slow: $(VENV)/installed
	OMP_NUM_THREADS=1 $(BIN)/pytest -m slow -q

check: $(VENV)/installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# torch first and from the constraints file, so that no other package pulls a larger build.
$(VENV)/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt torch
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	touch $@

clean:
	rm -rf $(VENV) build dist runs runs.db*
