PYTHON ?= python3
BIN := .venv/bin

# The tests of numbers that depend on a processor's kernels, and the least kernels that torch, oneDNN and MKL have.
NUMERIC := $(addprefix tests/,theory/test_learning_law.py theory/test_logistic.py pipeline/planning/test_memory.py \
	probes/test_gradients.py probes/test_boundary.py probes/test_scorer.py training/test_module.py \
	training/test_fit.py datasets/test_loader.py diagnostics/test_gradient_error.py diagnostics/test_contributions.py)
LEAST := ATEN_CPU_CAPABILITY=default ONEDNN_MAX_CPU_ISA=SSE41 MKL_ENABLE_INSTRUCTIONS=SSE4_2

.PHONY: help demo test test-slow test-ray lint docs gpu clean

help:  ## this list
	@awk -F ':.*## *' '/^[a-z-]+:.*## / { printf "make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: .venv/installed  ## the main job on handwritten digits: a grid, its table and its figure
	$(BIN)/python scripts/run.py -m experiment=demo hydra/launcher=pool

# A worker that has run out of tests takes over half of another's.
PYTEST := OMP_NUM_THREADS=1 $(BIN)/pytest
BOTH := -n 2 --dist worksteal tests

test: .venv/installed  ## what CI runs: the tests; and beside them lint, and those of numbers again under the least kernels
	@log=$$(mktemp); { $(MAKE) --no-print-directory lint; lint=$$?; $(LEAST) $(PYTEST) -m "not slow" -k "not efficientnet" $(NUMERIC) \
	&& exit $$lint; } > $$log 2>&1 & beside=$$!; trap 'trap - TERM; kill 0' INT TERM; \
	$(PYTEST) -m "not slow" $(BOTH); tests=$$?; wait $$beside; beside=$$?; cat $$log; rm $$log; exit $$((tests + beside > 0))

test-slow: .venv/installed  ## the long forms of the tests too
	$(PYTEST) $(BOTH)

test-ray: .venv/installed  ## the ray launcher on a Ray of this machine; installs the extra (420 MB)
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[ray]'
	OMP_NUM_THREADS=1 $(BIN)/pytest -ra tests/end_to_end/test_ray.py

lint: .venv/installed  ## style, types and layer contracts
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

.venv/installed: pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make PYTHON=python3.12")'
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[dev]'
	touch $@

docs: .venv/docs  ## docs/ as a site in site/, with pages of the docstrings; the first time installs the extra
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --config-file docs/tools/mkdocs.yml

.venv/docs: .venv/installed
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[docs]'
	touch $@

IMAGES ?= cifar10-jpeg.tar.xz
gpu:  ## the benchmarks that a GPU is for, by the python that is there: make gpu IMAGES=archive-or-folder OUT=folder
	PYTHONPATH=src$(if $(PYTHONPATH),:$(PYTHONPATH)) $(PYTHON) scripts/bench/gpu.py --images $(IMAGES) $(if $(OUT),--out $(OUT))

clean:  ## results and caches of runs; not the environment
	rm -rf artifacts outputs notebooks/artifacts site .mypy_cache .ruff_cache .pytest_cache
