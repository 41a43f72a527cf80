"""Notebook 01 with BIOSCAN-1M's name: on data in its layout, and where nothing has been fetched."""

from __future__ import annotations

import os

import pandas as pd
import pytest
from test_notebooks import papermill

from hypertax.data import load_specimens, simulated_folder
from hypertax.files import ROOT


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Executes the notebook with `dataset` bioscan-1m, looked for in the folder `data` of the
    test."""

    def execute():
        monkeypatch.setenv("HYPERTAX_DATA", str(tmp_path / "data"))
        monkeypatch.setenv(
            "PYTHONPATH", os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
        )
        parameters = [("dataset", "bioscan-1m"), ("output", tmp_path / "runs")]
        return papermill("notebooks/01_data_prep.ipynb", tmp_path / "out.ipynb", *parameters)

    return execute


@pytest.mark.slow
def test_data_in_bioscans_layout(tmp_path, run):
    specimens = load_specimens("simulated")
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "bioscan-1m").symlink_to(simulated_folder(), target_is_directory=True)
    done = run()
    assert done.returncode == 0, done.stderr[-2000:]
    splits = pd.read_csv(next((tmp_path / "runs").rglob("splits.csv")))
    counts = splits[splits["quantity"] == "specimens"].set_index("split")["value"]
    assert counts["all"] == len(specimens)
    assert counts.drop("all").astype(int).to_dict() == specimens["split"].value_counts().to_dict()


@pytest.mark.slow
def test_nothing_fetched_ends_with_what_to_fetch(tmp_path, run):
    (tmp_path / "data").mkdir()
    done = run()
    assert done.returncode != 0
    last = [line for line in (done.stdout + done.stderr).splitlines() if line.strip()][-1]
    for part in (
        "the metadata",
        "1.2 GB",
        "CLIBD's partition",
        "the images",
        "7 GB",
        "load_specimens('bioscan-1m', download=True)",
    ):
        assert part in last
