# Everything runs in .venv, except docs, wheels, test-core and test-openmmlab.
# The first target that needs an environment sets it up.
PYTHON ?= python3
CONFIG ?= configs/ssd300_uot_cpu.py
WORK_DIR ?= work_dirs/$(basename $(notdir $(CONFIG)))
ARGS ?=
WORKERS ?= logical
RUN := .venv/bin/python

# The operators are compiled for the CPU.
export CUDA_VISIBLE_DEVICES ?=

.DEFAULT_GOAL := help
.PHONY: help setup train test test-fast test-core test-openmmlab lint format docs \
    links wheels clean

help:  ## show this text
	@grep -E '^[a-z-]+: .*##|^[a-z-]+:  ##' $(MAKEFILE_LIST) \
	    | sed -E 's/^([a-z-]+):.*## */  make \1\t/' | expand -t 24
	@echo 'Variables: PYTHON, CONFIG, WORK_DIR, ARGS and WORKERS (for pytest)'

setup: setup-onedl  ## set up .venv (the other targets do it by themselves)

setup-%:
	@command -v $(PYTHON) > /dev/null || { echo "set-up failed: no \
	$(PYTHON) on PATH; name one by PYTHON=" >&2; exit 1; }
	@$(PYTHON) tools/setup_env --stack $*

train: setup  ## train SSD-UOT on the CPU, evaluate it, draw its detections
	$(RUN) tools/train.py $(CONFIG) --work-dir $(WORK_DIR) --resume
	$(RUN) tools/test.py $(CONFIG) $(WORK_DIR) --work-dir $(WORK_DIR) \
	    --show-dir pictures

# The problems of tests are small: threads would only wait for each other. So
# there is a process per core; WORKERS=0 takes none beside pytest, for --pdb.
PARALLEL = -n $(WORKERS) --dist worksteal
test test-fast test-core test-openmmlab: export OMP_NUM_THREADS ?= 1

test: setup  ## run the tests
	$(RUN) -m pytest $(PARALLEL) $(ARGS)

test-fast: setup  ## run the tests that are fast: none trains or builds
	$(RUN) -m pytest $(PARALLEL) -m 'not slow' $(ARGS)

test-core: setup-core  ## run the tests of the solver without MMDetection
	.venv-core/bin/python -m pytest $(PARALLEL) tests/test_ot $(ARGS)

test-openmmlab: setup-openmmlab  ## run the tests with OpenMMLab's MMDetection
	.venv-openmmlab/bin/python -m pytest $(PARALLEL) $(ARGS)

lint: setup  ## check style, types and which room imports which
	$(RUN) -m ruff check .
	$(RUN) -m ruff format --check .
	$(RUN) -m mypy
	.venv/bin/lint-imports --no-logo --no-cache

format: setup  ## format the code
	$(RUN) -m ruff check --fix .
	$(RUN) -m ruff format .

docs: setup-docs  ## run the examples, build the site in build/html; a broken link fails
	.venv-docs/bin/python -m sphinx -W --keep-going -c docs -d build/doctrees \
	    $(ARGS) . build/html

links: setup-docs  ## ask the sites that the documents link to
	.venv-docs/bin/python -m sphinx -b linkcheck -c docs -d build/doctrees \
	    -D plot_gallery=0 . build/links

wheels: setup-wheels  ## build sdist and wheels in dist/, and check them
	.venv-wheels/bin/python tools/build_wheels.py dist $(ARGS)

clean:  ## remove .venv and build outputs, but not data and work_dirs
	rm -rf .venv* build dist *.egg-info mmdet_uot/.mim .mypy_cache \
	    .pytest_cache .ruff_cache
