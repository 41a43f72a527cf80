"""Progress bars: one line in an executed notebook, a widget whose place that line takes where
somebody watches, tqdm's own bar in a terminal."""

from __future__ import annotations

import io

import nbformat
import pytest
from nbclient import NotebookClient

from hypertax.data.progress import FRONTENDS, progress_bar, summary
from hypertax.files import ROOT

CELL = """
import time
from hypertax.data.progress import progress_bar

with progress_bar(total=40, desc="training", unit=" steps", mininterval=0) as bar:
    for step in range(40):
        bar.update()
        bar.set_postfix(loss=f"{1 / (step + 1):.3f}", validation="0.5")
for _ in progress_bar(range(30), desc="embedding", leave=False, mininterval=0):
    pass
for _ in progress_bar(range(30), desc="nothing", disable=True):
    pass
try:
    for i in progress_bar(range(1000), desc="reading", unit=" files"):
        assert i < 7
except AssertionError:
    pass
"""


@pytest.fixture
def outputs(monkeypatch):
    """What a notebook keeps of `CELL`, executed in a kernel with an environment variable."""

    def execute(**environment) -> list:
        for name in FRONTENDS:
            monkeypatch.delenv(name, raising=False)
        for name, value in {"PYTHONPATH": str(ROOT), **environment}.items():
            monkeypatch.setenv(name, value)
        book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(CELL)])
        NotebookClient(book, kernel_name="python3", startup_timeout=300, timeout=300).execute()
        return book.cells[0].outputs

    return execute


def test_an_executed_notebook_keeps_one_line_of_each_bar(outputs):
    found = outputs()
    assert {output.output_type for output in found} == {"stream"}
    assert {output.name for output in found} == {"stdout"}
    lines = "".join(output.text for output in found).splitlines()
    assert lines[0].startswith("training: 40 steps in ") and lines[0].endswith(
        " s, loss 0.025, validation 0.5"
    )
    assert lines[1].startswith("reading: 7 of 1,000 files in ") and len(lines) == 2


def test_a_widgets_place_is_taken_by_the_line(outputs):
    found = outputs(JPY_SESSION_NAME="notebook.ipynb")
    assert [output.output_type for output in found] == ["display_data"] * 3
    assert all(list(output.data) == ["text/plain"] for output in found)
    lines = [output.data["text/plain"] for output in found]
    assert lines[0].startswith("training: 40 steps in ") and lines[1] == ""
    assert lines[2].startswith("reading: 7 of 1,000 files in ")


def test_a_terminal_has_tqdms_bar(capsys):
    assert list(progress_bar(range(3), desc="reading", unit=" files")) == [0, 1, 2]
    found = capsys.readouterr()
    assert "reading: 100%|" in found.err and found.out == ""


def test_the_line_tells_what_is_new_after_an_interruption():
    with progress_bar(total=10, initial=4, desc="x", unit=" steps", file=io.StringIO()) as bar:
        bar.update(5)
        assert summary(bar).startswith("x: 9 of 10 steps in ")
        bar.update()
        assert summary(bar) == "x: 6 more steps in 0 s"
