"""The rows of the tables, and the pipeline: what it runs, what it runs again, how it stops.
Stand-ins take the notebooks' place."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import nbformat
import pytest

from hypertax.config.run_config import RunConfig
from hypertax.data.views import require_something_to_learn
from hypertax.files import ROOT, NotWritten
from hypertax.study.pipeline import main, paper
from hypertax.study.rows import EXPERIMENTS, Row, applicable, load_groups, load_rows
from hypertax.study.steps import NotebookError, parameters_of, prepare, run

PARAMETERS = (
    'dataset = "simulated"\npreset = "tiny"\nseed = 0\npublish = False\nexperiment ='
    " None\nseeds = 1\ncurvature = 1.0"
)
CODE = {
    "01_data_prep": "import hypertax.taxonomy",
    "02_train_euclidean": "from hypertax.figures import euclidean_plane",
    "03_train_hyperbolic": "from hypertax.figures import poincare_disk",
    "04_evaluate": "from hypertax.figures import save_figure",
    "05_figures": "import hypertax.explorer, hypertax.figures",
    "06_beyond_the_paper": "from hypertax.figures import nested_cones",
}

PUBLISHES = {
    "01_data_prep": "tables/{data_set_name(dataset)}/splits.csv",
    "04_evaluate": "tables/{data_set_name(dataset)}/main.csv",
    "05_figures": "figures/{data_set_name(dataset)}/disk.pdf",
}
PUBLISH = """from hypertax.data import data_set_name
from hypertax.files import ROOT, write_text
write_text(ROOT / f"{}", dataset)
write_text(ROOT / f"tables/{{data_set_name(dataset)}}/shared.csv", str(seeds))"""


def notebook(path: Path, *cells: str) -> Path:
    """A notebook with a parameters cell before the given cells."""
    made = [
        nbformat.v4.new_code_cell(PARAMETERS, metadata={"tags": ["parameters"]}),
        *map(nbformat.v4.new_code_cell, cells),
    ]
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    path.parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(nbformat.v4.new_notebook(cells=made, metadata=kernel), path)
    return path


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A copy of the repository, in a folder with a space in its name, whose notebooks take no
    time."""
    root = tmp_path / "hyper tax"
    shutil.copytree(
        ROOT / "hypertax", root / "hypertax", ignore=shutil.ignore_patterns("__pycache__")
    )
    shutil.copy(ROOT / "Snakefile", root)
    for name, code in CODE.items():
        cells = ["if False:\n    " + code]
        if name in PUBLISHES:
            cells.append(PUBLISH.format(PUBLISHES[name]))
        notebook(root / "notebooks" / f"{name}.ipynb", *cells)
    rows = (
        "core:\n  none: {label: None}\n  a: {label: A, notebook: 02_train_euclidean}\n  b:"
        " {label: B, notebook: 03_train_hyperbolic}\n"
    )
    (root / "experiments.yaml").write_text(rows)
    return root


def make_paper(root: Path, *arguments: str) -> tuple[int, str]:
    """`make paper` in a repository: its exit code and what it printed."""
    environment = {**os.environ, "PYTHONPATH": str(root), "PYTHONDONTWRITEBYTECODE": "1"}
    # Simulated data, their features and aligned barcodes are those of this repository.
    environment.setdefault("HYPERTAX_DATA", str(ROOT / "data"))
    command = [
        sys.executable,
        "-m",
        "hypertax.study.pipeline",
        "paper",
        "--seeds",
        "1",
        "--cores",
        "2",
        *arguments,
    ]
    done = subprocess.run(
        command, check=False, cwd=root, env=environment, capture_output=True, text=True, timeout=600
    )
    return done.returncode, done.stdout + done.stderr


def started(output: str) -> set[str]:
    return {
        line.split()[1].rstrip(":") for line in output.splitlines() if line.endswith(": started")
    }


def test_core_rows_are_the_papers_and_the_recommended_ones():
    rows = {row.name: row for row in load_rows("core")}
    assert list(rows) == [
        "unaligned",
        "euclidean-cl",
        "hyperbolic-cl",
        "hyperbolic-cl-el",
        "hyperbolic-sel",
        "hyperbolic-cl-sel",
        "hyperbolic-cl-notext",
        "hyperbolic-cl-sel-notext",
        "euclidean-lineage",
        "hyperbolic-nested",
    ]
    # A row's name says its space and objective, as a run's name does.
    assert all(row.config().method == name for name, row in rows.items() if row.notebook)
    assert rows["unaligned"].notebook is None
    # The row that the hyperbolic notebook makes without any parameter
    assert rows["hyperbolic-cl-sel"].config() == RunConfig.create()


def test_a_row_makes_the_configuration_of_its_notebook():
    row = Row("x", "X", "03_train_hyperbolic", {"curvature": 4.0, "epochs": 3})
    config = row.config("bioscan-1m", 2, "paper", epochs=1)
    assert (
        config.space,
        config.curvature,
        config.dataset,
        config.seed,
        config.preset,
        config.epochs,
    ) == (
        "lorentz",
        4.0,
        "bioscan-1m",
        2,
        "paper",
        1,
    )
    assert Row("y", "Y", "02_train_euclidean").config() == RunConfig.create(
        space="euclidean", entailment="none"
    )


def test_the_curvature_is_held_and_learned_from_the_same_values_with_and_without_scaling():
    configs = {
        row.name: row.config() for row in load_rows("curvature") if row.name != "euclidean-cl"
    }
    held = [config for config in configs.values() if not config.learn_curvature]
    learned = [config for config in configs.values() if config.learn_curvature]
    assert {c.curvature for c in held if not c.scale_with_curvature} == {0.1, 1.0, 4.0, 10.0}
    assert {c.curvature for c in held if c.scale_with_curvature} == {0.1, 4.0, 10.0}, (
        "at c = 1 the two are the same"
    )
    assert {c.curvature for c in learned} == {0.1, 1.0, 4.0, 10.0}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "core: {a: {label: A, notebook: 03_train_hyperbolic, parameters: {curvature: -3}}}",
            "core, a: curvature must be a number from",
        ),
        (
            "core: {a: {label: A, notebook: 03_train_hyperbolic, parameters: {curvatur: 1}}}",
            "core, a: curvatur is not a parameter of a run; did you mean curvature?",
        ),
        (
            "core: {a: {label: A, notebook: 03_train_hyperbolic, parameters: {seed: 1}}}",
            "core, a: seed is not a row's own",
        ),
        (
            "core: {a: {label: A, notebook: 04_evaluate}}",
            "core, a: notebook must be 02_train_euclidean or 03_train_hyperbolic",
        ),
        ("core: {a: {notebook: 02_train_euclidean}}", "core, a needs a label"),
        ("core: {a: {label: A, notebok: 02_train_euclidean}}", "a: notebok is not known"),
        ("core: {A b: {label: A}}", "core, A b: a row's name has lower-case letters"),
        (
            "core: {a: {label: A, notebook: 02_train_euclidean}, b: {label: B, notebook:"
            " 02_train_euclidean}}",
            "b is the same run as a",
        ),
        (
            "core: {a: {label: A}, b: {label: A, notebook: 02_train_euclidean}}",
            "core, b has the label of a",
        ),
        ("core: {a: {label: A}}\nmore: {a: {label: B}}", "two different rows named a"),
        ("core:\n  a: {label: A}\n  a: {label: B}", "line 3 is not valid YAML: a is there twice"),
        ("core: {a: {label: A}", "is not valid YAML"),
        ("core: {}", "core must hold rows"),
        ("", "must hold groups of rows"),
    ],
)
def test_what_is_wrong_with_the_rows_is_said_in_one_sentence(tmp_path, text, message):
    path = tmp_path / "rows.yaml"
    path.write_text(text)
    with pytest.raises(ValueError) as error:
        load_groups(path)
    assert message in str(error.value) and "\n" not in str(error.value)


def test_an_unknown_group_is_answered_with_the_groups():
    with pytest.raises(
        ValueError,
        match=r"\(core, notebooks, beyond, beyond-short, modalities, curvature, width, fidelity,"
        r" losses\), not 'cores'",
    ):
        load_rows("cores", EXPERIMENTS)


def test_a_notebook_is_run_with_its_parameters_and_its_stamp_comes_last(tmp_path, capsys):
    book = notebook(
        tmp_path / "n.ipynb",
        'from pathlib import Path\nprint(seed + 1, dataset, Path.cwd().name, "said")',
    )
    output, stamp = tmp_path / "out" / "n.ipynb", tmp_path / "n.done"
    run(book, output, {"seed": 4, "dataset": "a b"}, stamp=stamp)
    (text,) = [
        out["text"]
        for cell in nbformat.read(output, as_version=4).cells
        for out in cell.get("outputs", [])
    ]
    assert text == f"5 a b {ROOT.name} said\n"
    assert stamp.is_file() and "said" in output.with_suffix(".log").read_text()
    assert "n: done in" in capsys.readouterr().out


def test_a_failing_notebook_gives_its_last_words_and_no_stamp(tmp_path, capsys):
    book = notebook(
        tmp_path / "n.ipynb", 'raise ValueError("first line\\ncurvature must be positive, not -3.")'
    )
    stamp = tmp_path / "n.done"
    code = main(
        ["run", str(book), str(tmp_path / "out.ipynb"), "-p", "seed", "1", "--stamp", str(stamp)]
    )
    assert (
        code == 1
        and capsys.readouterr().err.splitlines()[-1] == "curvature must be positive, not -3."
    )
    assert not stamp.exists()
    assert (tmp_path / "n.failed").read_text() == "curvature must be positive, not -3.\n"


def test_a_notebook_whose_process_is_killed_is_reported(tmp_path):
    book = notebook(tmp_path / "n.ipynb", "import os, signal\nos.kill(os.getpid(), signal.SIGKILL)")
    with pytest.raises(NotebookError, match="ended from outside"):
        run(book, tmp_path / "out.ipynb", {})


def test_a_data_set_is_prepared_and_what_stops_it_is_told(tmp_path, capsys, monkeypatch):
    table = tmp_path / "a.tsv"
    table.write_text("id\torder\tnuc\nS1\tDiptera\t" + "ACGT" * 30 + "\n")
    stamp = tmp_path / "specimens.done"
    prepare(str(table), "tiny", stamp)
    assert json.loads(stamp.read_text())["told"].startswith("1 specimens")
    failed = tmp_path / "specimens.failed"
    with pytest.raises(NotebookError, match="was not found"):
        prepare(str(tmp_path / "b.tsv"), "tiny", stamp)
    assert "was not found" in failed.read_text()
    # An error of ours too is a line of `make paper`.
    monkeypatch.setattr("hypertax.data.load_specimens", lambda _: {}["x"])
    with pytest.raises(KeyError):
        prepare(str(table), "tiny", stamp)
    assert failed.read_text() == "KeyError: 'x'\n"
    assert "specimens: failed: KeyError: 'x'" in capsys.readouterr().out


def test_a_parameter_that_the_notebook_does_not_have_is_refused(tmp_path):
    book = notebook(tmp_path / "n.ipynb", "aperture = 1")
    with pytest.raises(
        NotebookError,
        match=r"^experimnt is not a parameter of n.ipynb; did you mean experiment\?$",
    ):
        run(book, tmp_path / "out.ipynb", {"experimnt": 4.0})
    with pytest.raises(NotebookError, match="^temperature is not a parameter of n.ipynb"):
        run(book, tmp_path / "out.ipynb", {"temperature": 4.0})


def test_every_field_of_a_run_but_the_space_is_a_parameter_of_a_training_notebook(tmp_path):
    book = notebook(tmp_path / "03_train_hyperbolic.ipynb", "assert temperature == 0.1")
    run(book, tmp_path / "out.ipynb", {"temperature": 0.1})
    for name, near in (("tempratur", "; did you mean temperature?"), ("space", "; ")):
        with pytest.raises(NotebookError, match=f"^{name} is not a parameter of 03.*{near[:-1]}"):
            run(book, tmp_path / "out.ipynb", {name: "0.1"})


def test_the_notebooks_have_every_parameter_that_the_pipeline_gives():
    has = {path.stem: parameters_of(path) for path in (ROOT / "notebooks").glob("0*.ipynb")}
    for row in (row for rows in load_groups().values() for row in rows if row.notebook):
        assert {"dataset", "preset", "seed", *row.parameters} <= has[row.notebook], row.name
    assert {"dataset", "publish"} <= has["01_data_prep"]
    for name in ("04_evaluate", "05_figures", "06_beyond_the_paper"):
        assert {"dataset", "preset", "experiment", "seeds", "publish"} <= has[name]


def test_a_missing_notebook_is_named(tmp_path):
    with pytest.raises(NotebookError, match="There is no notebook .*nowhere.ipynb"):
        run(tmp_path / "nowhere.ipynb", tmp_path / "out.ipynb", {})


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"dataset": "nowhere.tsv"}, "DATASET must be .* there is no 'nowhere.tsv'"),
        ({"preset": "huge"}, "PRESET must be one of laptop, tiny, paper"),
        ({"seeds": 0}, "SEEDS must be at least 1"),
        ({"group": "cores"}, "must be a group of experiments.yaml"),
    ],
)
def test_make_paper_refuses_what_it_cannot_do_before_it_starts(given, message):
    with pytest.raises(ValueError, match=message):
        paper(**given)


def test_make_paper_stops_at_once_where_nothing_can_be_written(tmp_path, monkeypatch):
    """Snakemake was seen to wait."""
    table = tmp_path / "a.tsv"
    table.write_text("id\torder\tnuc\nS1\tDiptera\tACGT\n")
    monkeypatch.setattr("hypertax.study.pipeline.STAMPS", table / "stamps")
    with pytest.raises(NotWritten, match="could not be written: .* choose another folder") as told:
        paper(str(table), preset="tiny")
    assert "\n" not in str(told.value)


def plan(root: Path, *config: str) -> str:
    """What Snakemake says that it would run in a repository."""
    environment = {**os.environ, "PYTHONPATH": str(root), "PYTHONDONTWRITEBYTECODE": "1"}
    command = [
        sys.executable,
        "-m",
        "snakemake",
        "--dry-run",
        "--cores",
        "1",
        "--printshellcmds",
        "--rerun-triggers",
        "params",
        "input",
        "--config",
        *config,
    ]
    done = subprocess.run(
        command, check=False, cwd=root, env=environment, capture_output=True, text=True, timeout=400
    )
    said = done.stdout + done.stderr
    assert done.returncode == 0, said
    return said


def test_the_snakefile_plans_every_row_and_seed(repository):
    (repository / "own specimens.tsv").write_text("sampleid\n")
    said = plan(repository, "seeds=2", "dataset=own specimens.tsv")
    for stamp in (
        "specimens",
        "data",
        "a-seed0",
        "a-seed1",
        "b-seed0",
        "b-seed1",
        "evaluate-core",
        "figures-core",
    ):
        assert f"--stamp runs/.stamps/own-specimens/{stamp}.done" in said
    assert "none-seed" not in said and "-p dataset 'own specimens.tsv'" in said
    # Numbers are given as numbers, which a run insists on.
    assert {"-p seed 0 ", "-p seed 1 "} == set(re.findall(r"-p seed \S+ ", said))
    assert "06_beyond_the_paper" not in said


def test_the_recipes_have_a_notebook_of_their_own_in_the_place_of_the_figures(repository):
    with (repository / "experiments.yaml").open("a") as rows:
        rows.write(
            "beyond:\n  c: {label: C, notebook: 03_train_hyperbolic, parameters: {entailment:"
            " pair}}\n"
        )
    said = plan(repository, "seeds=1", "group=core,beyond")
    for stamp in (
        "a-seed0",
        "c-seed0",
        "evaluate-core",
        "figures-core",
        "evaluate-beyond",
        "beyond",
    ):
        assert f"--stamp runs/.stamps/simulated/{stamp}.done" in said
    assert "figures-beyond" not in said and "notebooks/06_beyond_the_paper.ipynb" in said


EVERYTHING = {"specimens", "data", "a-seed0", "b-seed0", "evaluate-core", "figures-core"}
STAND_IN = """
import sys
from pathlib import Path

stamp = Path(sys.argv[sys.argv.index("--stamp") + 1])
stamp.parent.mkdir(parents=True, exist_ok=True)
stamp.write_text('{"files": {}, "runs": []}')
"""


def append(path: Path, text: str) -> None:
    path.write_text(path.read_text(encoding="utf-8") + text, encoding="utf-8")


def test_what_is_done_again_is_told_by_fingerprints_and_not_by_dates(repository):
    """With steps that take no time, what Snakemake would do after an edit."""
    table, library = repository / "own.tsv", repository / "hypertax"
    table.write_text("sampleid\n")
    (library / "study" / "pipeline.py").write_text(STAND_IN)
    environment = {**os.environ, "PYTHONPATH": str(repository), "PYTHONDONTWRITEBYTECODE": "1"}
    given = ["seeds=1", "dataset=own.tsv"]
    command = [sys.executable, "-m", "snakemake", "--cores", "2", "--config", *given]

    def again() -> set[str]:
        said = plan(repository, *given)
        return set(re.findall(r"--stamp runs/.stamps/own/(\S+)\.done", said))

    @contextmanager
    def edited(path: Path, text: str) -> Iterator[None]:
        before = path.read_text(encoding="utf-8")
        path.write_text(before + text, encoding="utf-8")
        yield
        path.write_text(before, encoding="utf-8")

    done = subprocess.run(
        command, check=False, cwd=repository, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    # Dates, comments, docstrings and imports; what a notebook says and shows
    append(library / "figures" / "style.py", "# changed\n")
    append(library / "losses" / "contrastive.py", '"""Changed."""\nimport math\n')
    book = repository / "notebooks" / "04_evaluate.ipynb"
    content = nbformat.read(book, as_version=4)
    content.cells.insert(0, nbformat.v4.new_markdown_cell("Changed."))
    content.cells[-1].source += "  # changed"
    nbformat.write(content, book)
    for path in [table, *library.rglob("*"), *(repository / "notebooks").iterdir()]:
        path.touch()
    assert again() == set()
    # What notebooks draw with, those that train, too: no run is made again.
    with edited(library / "figures" / "spaces.py", "CHANGED = 1\n"):
        assert again() == {"figures-core"}
    with edited(library / "losses" / "contrastive.py", "CHANGED = 1\n"):
        assert again() == EVERYTHING - {"specimens", "data"}
    with edited(table, "S1\n"):
        assert again() == EVERYTHING


@pytest.mark.slow
def test_the_pipeline_does_again_only_what_changed(repository):
    code, output = make_paper(repository)
    assert code == 0 and started(output) == EVERYTHING, output

    def again(*arguments: str) -> set[str]:
        code, output = make_paper(repository, *arguments)
        assert code == 0, output
        return started(output)

    for path in (repository / "hypertax").rglob("*.py"):
        path.touch()
    append(repository / "hypertax" / "figures" / "style.py", "# changed\n")
    assert again() == set()
    append(repository / "hypertax" / "figures" / "style.py", "CHANGED = 1\n")
    assert again() == {"evaluate-core", "figures-core"}
    append(repository / "hypertax" / "geometry" / "lorentz.py", "CHANGED = 2\n")
    assert {"a-seed0", "b-seed0"} <= again()
    append(repository / "hypertax" / "explorer" / "draw.js", "// changed\n")
    assert again() == {"figures-core"}
    rows = repository / "experiments.yaml"
    rows.write_text(
        rows.read_text().replace("{label: B,", "{parameters: {curvature: 4}, label: B,")
    )
    assert again() == {"b-seed0", "evaluate-core", "figures-core"}
    # What somebody removed or changed is made again; what several steps write is only to be there.
    results = {name: repository / name / "simulated" for name in ("tables", "figures")}
    (results["tables"] / "main.csv").unlink()
    assert again() == {"evaluate-core", "figures-core"}
    (results["figures"] / "disk.pdf").write_text("mine")
    assert again() == {"figures-core"}
    (results["tables"] / "splits.csv").unlink()
    assert again() == {"data"}
    (results["tables"] / "shared.csv").write_text("mine")
    assert again() == set()
    # Without Snakemake's memory nobody knows what the stamps were made from.
    shutil.rmtree(repository / ".snakemake")
    assert again() == EVERYTHING


def test_processes_that_share_their_output_do_not_mix_their_lines():
    """Without buffering too, where `print` writes a line and its end apart."""
    code = "from hypertax.study.steps import say\nfor _ in range(3000): say('a-seed0: started')"
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"}
    read, write = os.pipe()
    children = [
        subprocess.Popen([sys.executable, "-c", code], stdout=write, env=environment)
        for _ in range(2)
    ]
    os.close(write)
    with os.fdopen(read) as file:
        lines = file.read().splitlines()
    assert [child.wait() for child in children] == [0, 0]
    assert len(lines) == 6000 and all(
        re.fullmatch(r"\S+  a-seed0: started", line) for line in lines
    )


@pytest.mark.slow
def test_a_failing_row_leaves_the_others_running_and_is_reported(repository):
    broken = notebook(
        repository / "notebooks" / "03_train_hyperbolic.ipynb",
        'raise ValueError("curvature must be positive, not -3.")',
    )
    code, output = make_paper(repository)
    assert code == 1 and "a-seed0: done in" in output
    assert (
        output.splitlines()[-1]
        .strip()
        .startswith(
            "b-seed0: curvature must be positive, not -3. (runs/executed/simulated/b-seed0.log)"
        )
    )
    notebook(broken, "pass")
    code, output = make_paper(repository)
    assert code == 0 and started(output) == {"b-seed0", "evaluate-core", "figures-core"}, output


def test_rows_that_data_without_images_cannot_train_are_left_out():
    names = [row.name for row in applicable(load_rows("core"), {"dna"})]
    assert "hyperbolic-cl-notext" not in names and "hyperbolic-cl-sel-notext" not in names
    assert {"unaligned", "euclidean-cl", "hyperbolic-sel", "hyperbolic-cl-sel"} <= set(names)
    assert applicable(load_rows("core"), {"image", "dna"}) == load_rows("core")
    assert "euclidean-cl-image" not in [
        row.name for row in applicable(load_rows("modalities"), {"dna"})
    ]
    config = RunConfig.create("tiny", full_text=False)
    with pytest.raises(
        ValueError, match="full_text must be True where the specimens have one view alone .dna."
    ) as error:
        require_something_to_learn(config, {"dna"})
    assert "\n" not in str(error.value)
    require_something_to_learn(config, {"image", "dna"})


SBATCH = """#!/bin/sh
echo "$@" >> "$JOBS/submitted"
for script; do :; done
(
    state=FAILED
    sh "$script" > "$JOBS/$(basename "$script").log" 2>&1 && state=COMPLETED
    echo $state > "$JOBS/$$.new"
    mv "$JOBS/$$.new" "$JOBS/$$.state"
) > /dev/null 2>&1 &
echo $$
"""
SCONTROL = """#!/bin/sh
echo "JobId=$4 JobState=$(cat "$JOBS/$4.state" 2> /dev/null || echo RUNNING) Reason=None"
"""


@pytest.mark.slow
def test_the_clusters_profile_submits_every_notebook_as_a_job(repository, tmp_path, monkeypatch):
    """With a scheduler that starts each job at once, several at a time, on this machine."""
    shutil.copytree(ROOT / "profiles", repository / "profiles")
    jobs = tmp_path / "jobs"
    jobs.mkdir()
    # Without accounts `sacct` says nothing.
    for name, text in {"sbatch": SBATCH, "scontrol": SCONTROL, "sacct": "#!/bin/sh\n"}.items():
        (jobs / name).write_text(text)
        (jobs / name).chmod(0o755)
    monkeypatch.setenv("JOBS", str(jobs))
    monkeypatch.setenv("PATH", f"{jobs}{os.pathsep}{os.environ['PATH']}")
    code, output = make_paper(repository, "--profile", "profiles/slurm")
    assert code == 0, output
    submitted = (jobs / "submitted").read_text().splitlines()
    jobs_of = {
        rule: sum(f"--job-name={rule} " in line for line in submitted)
        for rule in ("specimens", "data", "train", "evaluate", "figures")
    }
    assert jobs_of == {"specimens": 1, "data": 1, "train": 2, "evaluate": 1, "figures": 1}
    assert all(("--gres=gpu:1" in line) == ("--job-name=train " in line) for line in submitted)
    stamps = {path.stem for path in (repository / "runs" / ".stamps" / "simulated").glob("*.done")}
    assert stamps == {"specimens", "data", "a-seed0", "b-seed0", "evaluate-core", "figures-core"}
    assert make_paper(repository, "--profile", "profiles/slurm")[0] == 0
    assert len((jobs / "submitted").read_text().splitlines()) == len(submitted), (
        "nothing is done again"
    )
