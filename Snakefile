# The paper's pipeline: data, every row of one or more groups of experiments.yaml for every seed, evaluation and figures of each group.
# `make paper` runs it, on a cluster `make paper PROFILE=profiles/slurm`.
#
# A target is a stamp under runs/, which git ignores, so that a fresh clone with its committed tables builds everything.
# A notebook's inputs are itself and the library files that it imports, directly or not.

import re
import shlex
import sys
from pathlib import Path

sys.path.insert(0, str(Path(workflow.basedir)))
from hypertax.data import data_set_name, load_specimens
from hypertax.training.dependencies import modules as files_of, sources
from hypertax.study.rows import applicable, load_rows
from hypertax.files import ROOT, resolve
from hypertax.data.views import views_of

DATASET = str(config.get("dataset", "simulated"))
PRESET = str(config.get("preset", "tiny"))
SEEDS = int(config.get("seeds", 3))
# On a cluster a machine's cores are not known here: a profile's set-threads and set-resources say what a job gets.
WHOLE = int(config.get("cores", 4))
VIEWS = {"image", "dna"}
if resolve(DATASET).is_file():
    # Somebody's table may have no images, or no barcodes: rows that need both are left out.
    try:
        VIEWS = views_of(load_specimens(DATASET))
    except ValueError:
        pass  # The rule `specimens` says what is wrong with it.

GROUPS = {group: applicable(load_rows(group), VIEWS) for group in str(config.get("group", "core")).split(",")}

ROWS = {row.name: row for rows in GROUPS.values() for row in rows if row.notebook}
NAME = data_set_name(DATASET)
STAMPS = f"runs/.stamps/{NAME}"
EXECUTED = f"runs/executed/{NAME}"
TABLE = [str(resolve(DATASET))] if resolve(DATASET).is_file() else []
PYTHON = sys.executable
COMMAND = (
    "OMP_NUM_THREADS={threads} {PYTHON:q} -m hypertax.study.pipeline run"
    " notebooks/{params.notebook}.ipynb $(dirname {log})/$(basename {log} .log).ipynb {params.given} --stamp {output} 2> {log}"
)


# What only draws or tabulates does not train again.
PRESENTATION = ("figure", "disk", "method_drawing", "tables")


def needs(notebook, leave_out=()):
    path = ROOT / "notebooks" / f"{notebook}.ipynb"
    return [str(file.relative_to(ROOT)) for file in (path, *sources(path)) if not file.name.startswith(leave_out)]


def parameters(**values):
    return " ".join(f"-p {name} {shlex.quote(str(value))}" for name, value in values.items())


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
    input:
        [str(file.relative_to(ROOT)) for file in files_of("hypertax.data")],
        TABLE,
    output:
        f"{STAMPS}/specimens.done",
    params:
        given=shlex.quote(DATASET),
    shell:
        "{PYTHON:q} -m hypertax.study.pipeline prepare {params.given} --stamp {output}"


rule data:
    input:
        needs("01_data_prep"),
        rules.specimens.output,
    output:
        f"{STAMPS}/data.done",
    log:
        f"{EXECUTED}/data.log",
    params:
        given=parameters(dataset=DATASET, publish=True),
        notebook="01_data_prep",
    threads: 1
    shell:
        COMMAND


# A run of the tiny preset computes with one thread, so that its numbers do not depend on how many run at a time.
rule train:
    input:
        lambda wildcards: needs(ROWS[wildcards.row].notebook, PRESENTATION),
        rules.specimens.output,
    output:
        f"{STAMPS}/{{row}}-seed{{seed}}.done",
    log:
        f"{EXECUTED}/{{row}}-seed{{seed}}.log",
    params:
        given=lambda wildcards: parameters(dataset=DATASET, preset=PRESET, seed=wildcards.seed, **ROWS[wildcards.row].parameters),
        notebook=lambda wildcards: ROWS[wildcards.row].notebook,
    threads: 1 if PRESET == "tiny" else WHOLE
    shell:
        COMMAND


# A group is evaluated again where one of its rows changed, its label included: the rows are a parameter, not the whole file an input.
rule evaluate:
    input:
        needs("04_evaluate"),
        lambda wildcards: expand(
            rules.train.output, row=[row.name for row in GROUPS[wildcards.group] if row.notebook], seed=range(SEEDS)
        ),
    output:
        f"{STAMPS}/evaluate-{{group}}.done",
    log:
        f"{EXECUTED}/evaluate-{{group}}.log",
    params:
        given=lambda wildcards: parameters(dataset=DATASET, preset=PRESET, experiment=wildcards.group, seeds=SEEDS, publish=True),
        rows=lambda wildcards: repr(GROUPS[wildcards.group]),
        notebook="04_evaluate",
    threads: WHOLE
    shell:
        COMMAND


rule figures:
    input:
        needs("05_figures"),
        # Read as text, not imported
        [str(path.relative_to(ROOT)) for path in sorted((ROOT / "hypertax").glob("explorer*.*")) if path.suffix != ".py"],
        rules.evaluate.output,
    output:
        f"{STAMPS}/figures-{{group}}.done",
    log:
        f"{EXECUTED}/figures-{{group}}.log",
    params:
        given=lambda wildcards: parameters(dataset=DATASET, preset=PRESET, experiment=wildcards.group, seeds=SEEDS, publish=True),
        rows=lambda wildcards: repr(GROUPS[wildcards.group]),
        notebook="05_figures",
    threads: WHOLE
    shell:
        COMMAND


# The steps beyond the paper have a notebook of their own in the place of the figures.
rule beyond:
    input:
        lambda wildcards: needs("06_beyond_the_paper"),
        f"{STAMPS}/evaluate-beyond.done",
    output:
        f"{STAMPS}/beyond.done",
    log:
        f"{EXECUTED}/beyond.log",
    params:
        given=parameters(dataset=DATASET, preset=PRESET, experiment="beyond", seeds=SEEDS, publish=True),
        rows=repr(GROUPS.get("beyond")),
        notebook="06_beyond_the_paper",
    threads: WHOLE
    shell:
        COMMAND
