# `make` lists what there is. Every target sets up the environment first if need be: .venv, or another folder with
# `make VENV=folder`.

VENV = .venv
PYTHON =
DATASET = simulated
PRESET = laptop
SEEDS = 5
GROUP = core
CORES = 0
PROFILE =

RUN = "$(VENV)/bin/python" -m
STAMP = $(VENV)/.installed
EVERYTHING = .[notebooks,study,test]
NOTEBOOKS = $(sort $(wildcard notebooks/0*.ipynb))
# A path may have quotes, blanks and backslashes in it, which the shell would take for its own.
export DATASET PRESET SEEDS GROUP CORES PROFILE
# What these point to on the user's side would take precedence over the environment.
unexport PYTHONPATH PYTHONHOME PIP_USER PIP_TARGET PIP_PREFIX

.DEFAULT_GOAL = help
.PHONY: help setup paper sweeps beyond test test-all behaviour bench bench-data notebooks constraints clean

help: ## this list
	@grep -E '^[a-z-]+:.*## ' Makefile | sed -E 's/^([a-z-]+):.*## /\1|/' \
		| awk -F'|' '{printf "make %-12s %s\n", $$1, $$2}'
	@echo "Options of make paper: DATASET=simulated PRESET=laptop SEEDS=5 GROUP=core[,...]"
	@echo "  CORES=(notebooks at a time) PROFILE=(folder with the profile of a cluster)"

setup: $(STAMP) ## only the environment, in VENV=.venv (8 GB on Linux, a few minutes)

paper: $(STAMP) ## data, training, tables and figures of the rows in experiments.yaml; options below
	@$(RUN) hypertax.study.pipeline paper --dataset="$$DATASET" --preset="$$PRESET" --seeds="$$SEEDS" \
		--group="$$GROUP" --cores="$$CORES" --profile="$$PROFILE"

sweeps: GROUP = modalities,curvature,width,fidelity,losses
sweeps: paper ## the rest of experiments.yaml's groups: modalities, curvature, width, fidelity, losses

beyond: GROUP = beyond
beyond: paper ## the recipes beyond the paper, step by step, in both spaces

# All notebooks stay in one process, in their order, since they share runs/: tests/conftest.py says how.
test: $(STAMP) ## unit tests, and the notebooks compared with their committed output
	@$(RUN) pytest --nbval -n auto --maxprocesses 4 --dist loadfile

test-all: $(STAMP) ## the slow tests that `make test` leaves out
	@$(RUN) pytest -m slow || [ $$? -eq 5 ]

behaviour: $(STAMP) ## show that training computes what it did, so that runs keep their names; NEW=1: it should not
	@$(RUN) hypertax.training.behaviour $(if $(NEW),--new)

bench: $(STAMP) ## time and memory of losses and training steps, the paper's models too (on a GPU if there is one)
	@$(RUN) benchmarks.losses && $(RUN) benchmarks.paper growth && $(RUN) benchmarks.paper steps

bench-data: $(STAMP) ## photographs, alignment, features, and metadata of BIOSCAN-1M's size (1.2 GB of temporary files)
	@$(RUN) benchmarks.images && $(RUN) benchmarks.metadata && $(RUN) benchmarks.data_rates

notebooks: $(STAMP) ## execute the notebooks in place at their defaults, as they are committed
	@$(RUN) nbconvert --to notebook --execute --inplace \
		--ExecutePreprocessor.record_timing=False --CoalesceStreamsPreprocessor.enabled=True \
		--ExecutePreprocessor.timeout=-1 $(NOTEBOOKS)

clean: ## remove caches, simulated data and the pipeline's stamps; keep trained runs, tables and figures
	@rm -rf runs/.stamps runs/executed data/simulated-* build hypertax.egg-info out*.ipynb
	@rm -rf .snakemake .pytest_cache .hypothesis .ruff_cache .import_linter_cache
	@find hypertax benchmarks tests notebooks -name __pycache__ -o -name .ipynb_checkpoints | xargs rm -rf
	@echo "Kept: runs/ (trained models), tables/, figures/, $(VENV)/."

# A folder that was moved or copied with its environment still has one that points to where it was.
ifneq ($(shell cat $(STAMP) 2>/dev/null),$(CURDIR))
.PHONY: $(STAMP)
endif

# An environment whose making was interrupted is made anew; one that somebody else made is filled. `.unfinished` holds
# the number of the process that installs: a second make would remove what the first one is writing.
$(STAMP): pyproject.toml constraints.txt
	@other=$$(cat "$(VENV)/.unfinished" 2>/dev/null); \
	if [ -n "$$other" ] && kill -0 "$$other" 2>/dev/null; then \
		$(call stop,Another make is installing into $(VENV): run the same command again when it is done \
			(if there is none: rm -r $(VENV)).); \
	fi; \
	if [ -e "$(VENV)/.unfinished" ] || [ ! -x "$(VENV)/bin/python" ]; then $(make_environment); fi; \
	rm -f "$(STAMP)" "$(VENV)/install.log"; echo $$$$ > "$(VENV)/.unfinished"; \
	echo "Installing into $(VENV): a few minutes the first time."; \
	if "$(VENV)/bin/python" -m pip install --disable-pip-version-check --log "$(VENV)/install.log" \
		-c constraints.txt -e "$(EVERYTHING)"; then \
		rm -f "$(VENV)/.unfinished"; echo "$(CURDIR)" > "$(STAMP)"; \
	elif grep -qE "$(OFFLINE)" "$(VENV)/install.log"; then \
		rm -f "$(VENV)/.unfinished"; \
		$(call stop,The packages could not be downloaded: connect to the network and run the same command again.); \
	elif grep -q "No space left on device" "$(VENV)/install.log"; then \
		$(call stop,The disk is full: free space here and in $${TMPDIR:-/tmp} and run the same command again.); \
	else \
		$(call stop,The packages could not be installed: the reason is above and in $(VENV)/install.log.); \
	fi

OFFLINE = NewConnectionError|NameResolutionError|ConnectTimeout|ReadTimeout|ProxyError|SSLError|Network is unreachable
NEEDED_GB = $(shell if [ "$$(uname)" = Darwin ]; then echo 3; else echo 8; fi)

stop = echo "$(1)" >&2; exit 1

define make_environment
python=; \
for candidate in "$(PYTHON)" python3.11 python3.12 python3.13 python3 python; do \
	"$$candidate" -c "import ensurepip, sys, venv; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))" \
		>/dev/null 2>&1 || continue; \
	python=$$candidate; break; \
done; \
if [ -z "$$python" ]; then \
	$(call stop,Python 3.11 to 3.13 with its venv module was not found: install one$(COMMA) \
		or name it: make PYTHON=/path/to/python3.); \
fi; \
if [ -d "$(VENV)" ] && [ -n "$$(ls -A "$(VENV)")" ] \
	&& [ ! -e "$(VENV)/pyvenv.cfg" ] && [ ! -e "$(VENV)/.unfinished" ]; then \
	$(call stop,$(VENV) is a folder with other things in it: name one that is new or empty$(COMMA) \
		as in make VENV=.venv.); \
fi; \
if [ -e "$(VENV)/.unfinished" ]; then rm -rf "$(VENV)"; fi; \
mkdir -p "$(VENV)" || exit 1; \
free=$$(df -Pk "$(VENV)" | awk 'NR == 2 {print int($$4 / 1048576)}'); \
if [ "$$free" -lt $(NEEDED_GB) ]; then \
	$(call stop,The environment takes about $(NEEDED_GB) GB and $$free GB are free here: free some$(COMMA) \
		or name a folder elsewhere: make VENV=/path/to/folder.); \
fi; \
echo $$$$ > "$(VENV)/.unfinished"; \
echo "Making the environment $(VENV) with $$("$$python" --version)."; \
"$$python" -m venv "$(VENV)" || exit 1
endef
COMMA = ,

constraints: $(STAMP) ## pin the newest versions that install together (on Linux x86-64, whose list is the longest)
	@rm -rf build/constraints && "$(VENV)/bin/python" -m venv build/constraints
	@build/constraints/bin/python -m pip install --disable-pip-version-check -e "$(EVERYTHING)"
	@{ grep '^#' constraints.txt; \
		build/constraints/bin/python -m pip freeze --all --exclude pip --exclude-editable; } > build/constraints.txt
	@mv build/constraints.txt constraints.txt
	@build/constraints/bin/python -m pip install --disable-pip-version-check --quiet --dry-run --ignore-installed \
		--no-deps --report build/report.json -r constraints.txt
	@"$(VENV)/bin/python" -c "$$LOCK" && rm -rf build/constraints build/report.json
	@echo "constraints.txt and lock.txt are new: run make test."

# The hashes of the files that pip took, a line each, in the order of constraints.txt.
define LOCK
import json, re
report = json.load(open("build/report.json"))["install"]
files = {re.sub("[-_.]+", "-", i["metadata"]["name"]).lower(): i["download_info"]["archive_info"] for i in report}
head = [line for line in open("lock.txt") if line[0] == "#"]
pins = [line.strip() for line in open("constraints.txt") if line[0] not in "#\n"]
found = [files[re.sub("[-_.]+", "-", pin.split("==")[0]).lower()]["hashes"]["sha256"] for pin in pins]
open("lock.txt", "w").writelines(head + [f"{pin} --hash=sha256:{one}\n" for pin, one in zip(pins, found)])
endef
export LOCK
