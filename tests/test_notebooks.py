"""What a reader and papermill expect of the notebooks, and the commands of the README that fail or
succeed with them."""

import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest

from hypertax.config.run_config import RunConfig
from hypertax.files import ROOT

NOTEBOOKS = sorted((ROOT / "notebooks").glob("0*.ipynb"))
CASES = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


def cells(path, kind="code"):
    return [
        cell
        for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]
        if cell["cell_type"] == kind
    ]


def source(cell):
    return "".join(cell["source"])


def papermill(notebook, output, *parameters, cwd=ROOT):
    given = [word for name, value in parameters for word in ("-p", name, str(value))]
    command = [
        sys.executable,
        "-m",
        "papermill",
        str(notebook),
        str(output),
        *given,
        "--no-progress-bar",
    ]
    return subprocess.run(
        command,
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=600,
        env={**os.environ, "HF_HUB_OFFLINE": "1"},
        check=False,
    )


def test_there_are_seven():
    assert [path.stem[:2] for path in NOTEBOOKS] == ["01", "02", "03", "04", "05", "06", "07"]


@CASES
def test_one_cell_holds_the_parameters(path):
    tagged = [cell for cell in cells(path) if "parameters" in cell["metadata"].get("tags", [])]
    assert len(tagged) == 1
    assert all(re.match(r"^(\w+ = |# |$)", line) for line in source(tagged[0]).splitlines())


@CASES
def test_the_story_comes_first_and_functions_live_in_the_library(path):
    assert source(cells(path, "markdown")[0]).startswith("# ")
    for cell in cells(path):
        assert not re.search(r"^\s*(def|class) ", source(cell), re.M)


@CASES
def test_committed_with_its_results(path):
    outputs = [output for cell in cells(path) for output in cell["outputs"]]
    assert outputs, "executed at its defaults (make notebooks)"
    assert not [output for output in outputs if output["output_type"] == "error"]
    assert any("image/png" in output.get("data", {}) for output in outputs)
    assert str(ROOT) not in path.read_text(encoding="utf-8")


@pytest.mark.parametrize("name", ["02_train_euclidean", "03_train_hyperbolic"])
def test_parameters_are_those_of_a_run(name):
    values = {}
    cell = next(
        cell
        for cell in cells(ROOT / "notebooks" / f"{name}.ipynb")
        if "parameters" in cell["metadata"].get("tags", [])
    )
    exec(source(cell), values)
    given = {
        k: v
        for k, v in values.items()
        if not k.startswith("__") and k not in ("preset", "download", "output", "processes")
    }
    space = (
        {"space": "euclidean", "entailment": "none"}
        if name.startswith("02")
        else {"space": "lorentz"}
    )
    assert RunConfig.create(values["preset"], **{**space, **given}).space == space["space"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("parameter", "sentence"),
    [
        (("curvature", "-1"), "curvature must be a number from 0.001 to 1000, not -1."),
        (
            ("entailment", "nonsense"),
            "entailment must be one of 'none', 'pair', 'stacked' or 'cones', not 'nonsense'.",
        ),
        (("dataset", "nowhere.tsv"), "nowhere.tsv was not found."),
        (("recip", "nested"), "recip is not a parameter of this notebook; did you mean recipe?"),
    ],
    ids=lambda value: value[0] if isinstance(value, tuple) else "",
)
def test_impossible_values_end_with_one_sentence(parameter, sentence, tmp_path):
    started = time.monotonic()
    done = papermill("notebooks/03_train_hyperbolic.ipynb", tmp_path / "out.ipynb", parameter)
    assert done.returncode != 0
    last = [line for line in (done.stdout + done.stderr).splitlines() if line.strip()][-1]
    assert last.endswith(sentence)
    assert time.monotonic() - started < 60, "before anything is trained"


@pytest.mark.slow
def test_a_held_curvature_is_recorded_as_such_from_the_notebooks_folder_too(tmp_path):
    parameters = [
        ("curvature", 4.0),
        ("learn_curvature", False),
        ("epochs", 1),
        ("output", tmp_path / "runs"),
    ]
    done = papermill(
        "03_train_hyperbolic.ipynb", tmp_path / "out.ipynb", *parameters, cwd=ROOT / "notebooks"
    )
    assert done.returncode == 0, done.stderr[-2000:]
    history = pd.read_csv(next((tmp_path / "runs").glob("hyperbolic-cl-sel-*/history.csv")))
    assert len(history) == 2 and history["curvature"].sub(4.0).abs().max() < 1e-5


@pytest.mark.slow
@pytest.mark.parametrize("name", ["02_train_euclidean", "03_train_hyperbolic"])
def test_a_real_table_of_barcodes(name, tmp_path, shared_data):
    table = Path(shared_data) / "insect1k" / "insect1k.tsv.gz"
    done = papermill(
        f"notebooks/{name}.ipynb",
        tmp_path / "out.ipynb",
        ("dataset", table),
        ("epochs", 2),
        ("output", tmp_path / "runs"),
    )
    assert done.returncode == 0, done.stderr[-2000:]
    run = next((tmp_path / "runs").glob("*-seed0-*"))
    scores = pd.read_csv(run / "tables" / "validation.csv")
    assert set(scores["pairing"]) == {"DNA to DNA"}
    species = scores[(scores["rank"] == "species") & (scores["split"] == "unseen")]
    assert species.filter(["mean", "value"]).iloc[0, 0] > 0.8, (
        "two epochs are enough for most species of real reads"
    )
