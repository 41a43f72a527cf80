# `make` lists what there is. Every target sets up the environment first if need be: .venv, or another folder with `make VENV=folder`.

VENV = .venv
PYTHON =
DATASET = simulated
PRESET = tiny
SEEDS = 3
GROUP = core
CORES = 0

RUN = "$(VENV)/bin/python" -m
STAMP = $(VENV)/.installed
NOTEBOOKS = $(sort $(wildcard notebooks/0*.ipynb))
# What these point to on the user's side would take precedence over the environment.
unexport PYTHONPATH PYTHONHOME PIP_USER PIP_TARGET PIP_PREFIX

.DEFAULT_GOAL = help
.PHONY: help setup paper sweeps test test-all bench notebooks constraints clean

help: ## this list
	@grep -E '^[a-z-]+:.*## ' Makefile | sed -E 's/^([a-z-]+):.*## /\1|/' | awk -F'|' '{printf "make %-12s %s\n", $$1, $$2}'

setup: $(STAMP) ## only the environment, in VENV=.venv (8 GB on Linux, a few minutes)

paper: $(STAMP) ## data, training, tables, figures: DATASET=simulated PRESET=tiny SEEDS=3 GROUP=core CORES=(notebooks at a time)
	@$(RUN) hypertax.pipeline paper --dataset "$(DATASET)" --preset "$(PRESET)" --seeds "$(SEEDS)" --group "$(GROUP)" --cores "$(CORES)"

sweeps: GROUP = curvature
sweeps: paper ## the same for another group of experiments.yaml: GROUP=curvature

test: $(STAMP) ## unit tests, and the notebooks compared with their committed output
	@$(RUN) pytest --nbval

test-all: $(STAMP) ## the slow tests that `make test` leaves out
	@$(RUN) pytest -m slow

bench: $(STAMP) ## time and memory of the training steps and the losses
	@$(RUN) hypertax.bench

notebooks: $(STAMP) ## execute the notebooks in place at their defaults, as they are committed
	@$(RUN) jupyter nbconvert --to notebook --execute --inplace --ExecutePreprocessor.record_timing=False \
		--ExecutePreprocessor.timeout=-1 $(NOTEBOOKS)

clean: ## remove caches, simulated data and the pipeline's memory of what is done; keep trained runs, tables, figures, the environment
	@rm -rf runs/.stamps runs/executed data/simulated-* .snakemake .pytest_cache .hypothesis .ruff_cache build hypertax.egg-info out*.ipynb
	@find hypertax tests notebooks -name __pycache__ -o -name .ipynb_checkpoints | xargs rm -rf
	@echo "Kept: runs/ (trained models), tables/, figures/, $(VENV)/."

# An environment that was interrupted while being made is made anew; one that another tool made is filled.
INSTALL = "$(VENV)/bin/python" -m pip install --disable-pip-version-check --log "$(VENV)/install.log"

$(STAMP): pyproject.toml constraints.txt
	@$(find_python); $(check_disk); \
	if [ -e "$(VENV)/.unfinished" ] || ! "$(VENV)/bin/python" -c "import pip" 2>/dev/null; then \
		echo "Making the environment $(VENV) with $$($$python --version)."; \
		"$$python" -m venv --clear "$(VENV)" || exit 1; \
	fi; \
	rm -f "$(VENV)/install.log" "$(STAMP)"; touch "$(VENV)/.unfinished"; \
	echo "Installing into $(VENV): a few minutes the first time."; \
	if ! $(INSTALL) -c constraints.txt -e .; then \
		if grep -qE 'NewConnectionError|NameResolutionError|ConnectTimeout|ReadTimeout|ProxyError|SSLError|Network is unreachable' "$(VENV)/install.log"; then \
			rm -f "$(VENV)/.unfinished"; \
			echo "The packages could not be downloaded, as the package index cannot be reached: connect to the network and run the same command." >&2; \
		elif grep -q 'No space left on device' "$(VENV)/install.log"; then \
			echo "The disk is full: free space here and in the folder for temporary files ($${TMPDIR:-/tmp}), and run the same command." >&2; \
		else \
			echo "The packages could not be installed: the reason is above and in $(VENV)/install.log." >&2; \
		fi; \
		exit 1; \
	fi; \
	rm -f "$(VENV)/.unfinished"; touch "$(STAMP)"

define find_python
python=; \
for candidate in "$(PYTHON)" python3.11 python3.12 python3.13 python3 python; do \
	if [ -n "$$candidate" ] && "$$candidate" -c 'import ensurepip, sys, venv; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' >/dev/null 2>&1; then \
		python=$$candidate; break; \
	fi; \
done; \
if [ -z "$$python" ]; then \
	echo "Python 3.11, 3.12 or 3.13 with its venv module is needed and was not found: install one, or name it: make PYTHON=/path/to/python3." >&2; \
	exit 1; \
fi
endef

# In KiB; an environment that is there already has most of it.
NEEDED = $(shell if [ "$$(uname)" = Darwin ]; then echo 3000000; else echo 8000000; fi)
define check_disk
free=$$(df -Pk "$$(dirname "$(VENV)")" | awk 'NR == 2 {print $$4}'); \
if [ ! -e "$(VENV)/bin/python" ] && [ "$$free" -lt $(NEEDED) ]; then \
	echo "The environment needs about $$(($(NEEDED) / 1000000)) GB and only $$(($$free / 1000000)) GB are free here: free some, or name a folder on another disk: make VENV=/path/to/folder." >&2; \
	exit 1; \
fi
endef

constraints: $(STAMP) ## pin the newest versions that install together (on Linux x86-64, whose list is the longest)
	@rm -rf build/constraints && "$(VENV)/bin/python" -m venv build/constraints
	@build/constraints/bin/python -m pip install --disable-pip-version-check -e .
	@{ grep '^#' constraints.txt; build/constraints/bin/python -m pip freeze --exclude-editable; } > build/constraints.txt
	@mv build/constraints.txt constraints.txt && rm -rf build/constraints
	@echo "constraints.txt is new: run make test."
