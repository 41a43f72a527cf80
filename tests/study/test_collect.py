"""What a notebook of results starts from: which runs are asked for, where results go, and what
reading runs imports."""

import subprocess
import sys
from types import SimpleNamespace

import pandas as pd
import pytest

from hypertax.config.run_config import RunConfig
from hypertax.files import ROOT
from hypertax.study import collect
from hypertax.study.rows import Row, load_rows

SPECIMENS = pd.DataFrame(
    {
        "sampleid": ["a"],
        "image": ["a.png"],
        "barcode": ["ACGT"],
        "species": ["Aa x"],
        "split": ["train_seen"],
    }
)


@pytest.fixture
def asked(monkeypatch) -> list[tuple[str, RunConfig, str | None]]:
    """Calls of the trainer, which here only remembers them."""
    calls = []

    def remembers(kind):
        def make(config, specimens, *, output):
            assert specimens is SPECIMENS
            calls.append((kind, config, output))
            return SimpleNamespace(name=f"{kind}-{len(calls)}", config=config)

        return make

    monkeypatch.setattr(collect, "train_here", remembers("train"))
    monkeypatch.setattr(collect, "unaligned", remembers("unaligned"))
    monkeypatch.setattr(collect, "load_specimens", lambda dataset, seed: SPECIMENS)
    return calls


def test_every_row_and_seed_is_asked_for_with_the_parameters_given(asked, tmp_path):
    study = collect.load_study(
        "04_evaluate",
        dataset="simulated",
        experiment="core",
        seeds=2,
        data_seed=3,
        epochs=None,
        device="cpu",
        output=str(tmp_path),
    )
    rows = load_rows("core")
    assert [(run.method, run.seed) for run in study.runs] == [
        (row.label, seed) for row in rows for seed in range(2)
    ]
    assert [run.name for run in study.runs] == [
        f"{kind}-{i}" for i, (kind, *_) in enumerate(asked, 1)
    ]
    assert [kind for kind, *_ in asked[::2]] == [
        "train" if row.notebook else "unaligned" for row in rows
    ]
    for run, (_, config, output) in zip(study.runs, asked, strict=True):
        assert (config.data_seed, config.device, output) == (3, "cpu", str(tmp_path))
        assert config.epochs == run.row.config().epochs, "None leaves the row's own"
    assert study.specimens is SPECIMENS and study.name == "simulated"
    assert study.tables == tmp_path / "04_evaluate-simulated" / "tables"
    assert {run.run.config.space for run in study.of_space("lorentz")} == {"lorentz"}
    assert len(study.of_space("lorentz")) + len(study.of_space("euclidean")) == len(study.runs)


def test_published_results_go_to_the_folder_of_their_group(asked):
    study = collect.load_study(
        "06", dataset="simulated", experiment="beyond-short", published_as="beyond", publish=True
    )
    assert study.tables == ROOT / "tables" / "simulated" / "beyond"
    assert collect.load_study("04", dataset="simulated", publish=True).figures == (
        ROOT / "figures" / "simulated"
    )


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ([Row("h", "H", "03_train_hyperbolic"), Row("e", "E", "02_train_euclidean")], "E"),
        ([Row("u", "U"), Row("h", "H", "03_train_hyperbolic")], "U"),
    ],
)
def test_the_baseline_is_the_first_trained_euclidean_row(rows, expected):
    study = collect.Study("simulated", SPECIMENS, rows, [], [], ROOT, ROOT)
    assert study.baseline == expected


def test_reading_runs_does_not_import_the_trainer():
    code = (
        "import sys, hypertax.study.runs, hypertax.study.recipes;"
        "print(*(name for name in ('hypertax.training.trainer', 'hypertax.model', 'timm',"
        " 'transformers') if name in sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == []
