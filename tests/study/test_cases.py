"""Small inputs that once failed, in the folder `shared/cases` beside the repository."""

from __future__ import annotations

from urllib.parse import quote

import pytest
import torch
from test_pipeline import plan, repository  # noqa: F401

from hypertax.config.run_config import RunConfig
from hypertax.data import data_set_name, load_specimens
from hypertax.files import ROOT
from hypertax.study.pipeline import paper
from hypertax.study.steps import NotebookError, run
from hypertax.training import train

CASES = ROOT.parent / "shared" / "cases"
pytestmark = pytest.mark.skipif(
    not CASES.is_dir(), reason="the cases lie beside the repository, in ../shared/cases"
)


@pytest.mark.parametrize("output", [2024, "a.tsv"])
def test_output_is_a_number_or_a_file(output, tmp_path):
    table = CASES / "output_is_a_number_or_a_file" / "a.tsv"
    given = output if output == 2024 else str(table)
    with pytest.raises(ValueError, match="^output must be ") as error:
        train(RunConfig.create("tiny", epochs=1), load_specimens(str(table)), output=given)
    assert "\n" not in str(error.value)


@pytest.mark.skipif(torch.cuda.device_count() > 0, reason="there is a GPU")
def test_device_cuda_without_a_gpu():
    with pytest.raises(ValueError, match="^device must be .*not 'cuda'.*no such device"):
        RunConfig.from_notebook(
            {"dataset": str(CASES / "device_cuda_without_a_gpu" / "a.tsv"), "device": "cuda"},
            space="lorentz",
        )


def test_misspelt_parameter(tmp_path):
    table = CASES / "misspelt_parameter" / "a.tsv"
    with pytest.raises(NotebookError, match=r"^curvture is not a parameter.*mean curvature\?$"):
        run(
            ROOT / "notebooks" / "03_train_hyperbolic.ipynb",
            tmp_path / "out.ipynb",
            {"dataset": str(table), "curvture": 9},
        )


@pytest.mark.parametrize(
    "name", ["set {x}.tsv", "it's \"q\" \\ $HOME `id` %d #é.tsv", "-x {wildcards.y}.tsv"]
)
def test_braces_in_the_path(name, repository):  # noqa: F811
    (given,) = (CASES / "braces_in_the_path").glob("*.tsv")
    (repository / name).write_bytes(given.read_bytes())
    said = plan(repository, "seeds=1", f"dataset=quoted-{quote(name, safe='')}")
    assert f"runs/.stamps/{data_set_name(name)}" in said and "evaluate-core.done" in said


def test_a_line_break_in_the_path_is_refused():
    with pytest.raises(ValueError, match="without line breaks and control characters") as error:
        paper("a\nb.tsv")
    assert "\n" not in str(error.value)
