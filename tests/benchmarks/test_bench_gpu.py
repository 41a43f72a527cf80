"""The GPU check at toy size on the CPU: all of its parts run, and it says what it could not do."""

import json

import pandas as pd
import pytest
import torch

from benchmarks.gpu.__main__ import PARTS, Check, Part, main, outcomes, tabulate
from benchmarks.gpu.steps import measure
from benchmarks.paper import NESTED, SETTINGS

FIGURES = {"s/step", "images/s", "losses, s", "loss share", "peak GiB", "TFLOP/s"}


@pytest.mark.parametrize("method", ["Euclidean CL", "hyperbolic CL + SEL", NESTED])
def test_a_step_at_toy_size_gives_every_figure(method):
    row = measure(method, 6, 4, torch.device("cpu"), rounds=1, toy=True)
    assert FIGURES <= row.keys() and all(row[name] > 0 for name in FIGURES)
    assert row["images/s"] == pytest.approx(6 / row["s/step"])
    assert "share of peak" not in row, "a CPU has none that is known"


def test_a_part_runs_in_a_process_of_its_own_and_is_tabulated(tmp_path):
    check = Check(tmp_path, seconds=300, toy=True)
    check.measure(Part("hyperbolic CL", 4, 200, micro_batch=2, rounds=1))
    check.measure(Part("hyperbolic CL", 8, 1000, micro_batch=2, rounds=1))
    found = json.loads((tmp_path / "gpu.json").read_text("utf-8"))
    assert found["steps"][0]["s/step"] > 0
    assert found["steps"][1]["failed"] == "no time left"
    tabulate(found, tmp_path)
    table = pd.read_csv(tmp_path / "gpu.csv")
    assert set(table["batch"]) == {4} and "s/step" in set(table["quantity"])


def test_every_part_is_known_and_the_first_four_fit_the_time():
    assert {part.method for part in PARTS} <= SETTINGS.keys()
    assert [part.batch for part in PARTS if not part.compile] == [2000] * 4 + [8000, 16000]
    assert sum(part.compile for part in PARTS) == 1


def test_outcomes_are_read_from_the_report(tmp_path):
    report = tmp_path / "report.xml"
    report.write_text(
        '<testsuites><testsuite><testcase classname="tests.cuda.test_cuda" name="a" time="1.5"/>'
        '<testcase classname="tests.cuda.test_cuda" name="b" time="0"><failure message="no&#10;x"/>'
        '</testcase><testcase classname="tests.cuda.test_cuda" name="c" time="0">'
        '<skipped message="no GPU"/></testcase></testsuite></testsuites>'
    )
    found = outcomes(report)
    assert [case["outcome"] for case in found.values()] == ["passed", "failed", "skipped"]
    assert found["test_cuda::a"]["seconds"] == 1.5 and found["test_cuda::b"]["why"] == "no"
    assert outcomes(tmp_path / "none.xml") == {}


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")
def test_without_a_gpu_it_says_so(tmp_path):
    with pytest.raises(SystemExit, match="No GPU is available here: .* --toy"):
        main(["--output", str(tmp_path)])
