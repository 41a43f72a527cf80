# The paper's pipeline: data, every row of one or more groups of experiments.yaml for every seed, evaluation and figures
# of each group. `make paper` runs it, on a cluster `make paper PROFILE=profiles/slurm`.
#
# A target is a stamp under runs/, which git ignores, so that a fresh clone with its committed tables builds everything.
# What a step is made from is a parameter of its rule, `made_from`: fingerprints of a notebook's code, of what it
# imports, of a table's content. A step is done again where its parameters changed (`--rerun-triggers params input`),
# whatever the dates of files are.

import hashlib
import json
import re
import shlex
import sys
from functools import cache
from pathlib import Path
from urllib.parse import unquote

sys.path.insert(0, str(Path(workflow.basedir)))
from hypertax.config.parameters import parse_value
from hypertax.config.presets import DEFAULT_PRESET
from hypertax.data import data_set_name
from hypertax.files import ROOT
from hypertax.sources import notebook_fingerprint, notebook_modules
from hypertax.study.rows import applicable, load_rows, published_place
from hypertax.study.stamps import made_from
from hypertax.training.identity import behaviour

DATASET = str(config.get("dataset", "simulated"))
if DATASET.startswith("quoted-"):
    DATASET = unquote(DATASET.removeprefix("quoted-"))
PRESET = str(config.get("preset", DEFAULT_PRESET))
SEEDS = int(config.get("seeds", 5))
# On a cluster a machine's cores are not known here: a profile's set-threads and set-resources say what a job gets.
WHOLE = int(config.get("cores", 4))
# `make paper` says what the specimens are made from, photographs included, and which views they have: it reads them
# once, and Snakemake this file many times.
if "specimens" in config:
    SPECIMENS, VIEWS = str(config["specimens"]), set(str(config["views"]).split("+"))
else:
    SPECIMENS, VIEWS = made_from(DATASET)
    # Where the table cannot be read the rule `specimens` says why.
    VIEWS = VIEWS or {"image", "dna"}
# Somebody's table may have no images, or no barcodes: rows that need both are left out.

GROUPS = {group: applicable(load_rows(group), VIEWS) for group in str(config.get("group", "core")).split(",")}

ROWS = {row.name: row for rows in GROUPS.values() for row in rows if row.notebook}
NAME = str(published_place(data_set_name(DATASET), PRESET))
STAMPS = f"runs/.stamps/{NAME}"
EXECUTED = f"runs/executed/{NAME}"
PYTHON = sys.executable
COMMAND = (
    "OMP_NUM_THREADS={threads} {PYTHON:q} -m hypertax.study.pipeline run"
    " notebooks/{params.notebook}.ipynb $(dirname {log})/$(basename {log} .log).ipynb"
    " {params.given} --stamp {output} 2> {log}"
)


def told(*parts):
    """One short digest of texts, or of files by their content."""
    digest = hashlib.sha256()
    for part in parts:
        content = part.read_bytes() if isinstance(part, Path) else part.encode()
        digest.update(hashlib.sha256(content).digest())
    return digest.hexdigest()[:16]


@cache
def code_of(notebook, imports):
    """The digest of a notebook's code cells; with imports, of all that they use too.

    The explorer's page is read as text, and counts where the explorer is used.
    """
    path = ROOT / "notebooks" / f"{notebook}.ipynb"
    explorer = notebook_modules(path).get("hypertax.explorer") if imports else None
    folder = explorer.parent.iterdir() if explorer else ()
    page = sorted(file for file in folder if file.suffix in (".css", ".html", ".js"))
    return told(notebook_fingerprint(path, imports=imports), *page)


def trained_by(row, seed):
    """The digest of a training run: its configuration, how training behaves, the notebook's own code.

    What the notebook draws with does not count.
    """
    settings = json.dumps(row.config(DATASET, int(seed), PRESET).to_dict(), sort_keys=True)
    return told(SPECIMENS, behaviour(), code_of(row.notebook, imports=False), settings)


def results_of(group):
    """The digest of all that a group's rows are evaluated from, with the rows' labels and order."""
    runs = [trained_by(row, seed) for row in GROUPS[group] if row.notebook for seed in range(SEEDS)]
    return told(SPECIMENS, behaviour(), repr(GROUPS[group]), *runs)


def parameters(**values):
    """The parameters of a step, as its command line takes them.

    A text that would be read as something else, as a table called 2024 would, is given in quotes.
    """
    told = {
        name: repr(value) if isinstance(value, str) and parse_value(value) != value else str(value)
        for name, value in values.items()
    }
    return " ".join(f"-p {name} {shlex.quote(value)}" for name, value in told.items())


def published(group):
    return parameters(dataset=DATASET, preset=PRESET, experiment=group, seeds=SEEDS, publish=True)


wildcard_constraints:
    row="|".join(map(re.escape, ROWS)) or "none",
    seed=r"\d+",
    group="|".join(map(re.escape, GROUPS)),


rule all:
    default_target: True
    input:
        f"{STAMPS}/data.done",
        [f"{STAMPS}/{'beyond' if group == 'beyond' else f'figures-{group}'}.done" for group in GROUPS],


rule specimens:
    output:
        f"{STAMPS}/specimens.done",
    params:
        made_from=SPECIMENS,
        # A function, since Snakemake takes braces in a text, as a path may have them, for wildcards.
        given=lambda wildcards: shlex.quote(DATASET),
    shell:
        "{PYTHON:q} -m hypertax.study.pipeline prepare --preset {PRESET} --stamp {output} -- {params.given}"


rule data:
    input:
        rules.specimens.output,
    output:
        f"{STAMPS}/data.done",
    log:
        f"{EXECUTED}/data.log",
    params:
        made_from=told(SPECIMENS, code_of("01_data_prep", imports=True)),
        given=lambda wildcards: parameters(dataset=DATASET, publish=True),
        notebook="01_data_prep",
    threads: 1
    shell:
        COMMAND


# A run of these presets computes with one thread, so that its numbers do not depend on how many run at a time.
rule train:
    input:
        rules.specimens.output,
    output:
        f"{STAMPS}/{{row}}-seed{{seed}}.done",
    log:
        f"{EXECUTED}/{{row}}-seed{{seed}}.log",
    params:
        made_from=lambda wildcards: trained_by(ROWS[wildcards.row], wildcards.seed),
        given=lambda wildcards: parameters(
            dataset=DATASET, preset=PRESET, seed=int(wildcards.seed), **ROWS[wildcards.row].parameters
        ),
        notebook=lambda wildcards: ROWS[wildcards.row].notebook,
    threads: 1 if PRESET in ("laptop", "tiny") else WHOLE
    shell:
        COMMAND


# A group is evaluated again where one of its rows changed, its label included.
rule evaluate:
    input:
        lambda wildcards: expand(
            rules.train.output, row=[row.name for row in GROUPS[wildcards.group] if row.notebook], seed=range(SEEDS)
        ),
    output:
        f"{STAMPS}/evaluate-{{group}}.done",
    log:
        f"{EXECUTED}/evaluate-{{group}}.log",
    params:
        made_from=lambda wildcards: told(results_of(wildcards.group), code_of("04_evaluate", imports=True)),
        given=lambda wildcards: published(wildcards.group),
        notebook="04_evaluate",
    threads: WHOLE
    shell:
        COMMAND


rule figures:
    input:
        rules.evaluate.output,
    output:
        f"{STAMPS}/figures-{{group}}.done",
    log:
        f"{EXECUTED}/figures-{{group}}.log",
    params:
        made_from=lambda wildcards: told(results_of(wildcards.group), code_of("05_figures", imports=True)),
        given=lambda wildcards: published(wildcards.group),
        notebook="05_figures",
    threads: WHOLE
    shell:
        COMMAND


# The steps beyond the paper have a notebook of their own in the place of the figures.
rule beyond:
    input:
        f"{STAMPS}/evaluate-beyond.done",
    output:
        f"{STAMPS}/beyond.done",
    log:
        f"{EXECUTED}/beyond.log",
    params:
        made_from=lambda wildcards: told(results_of("beyond"), code_of("06_beyond_the_paper", imports=True)),
        given=lambda wildcards: published("beyond"),
        notebook="06_beyond_the_paper",
    threads: WHOLE
    shell:
        COMMAND
