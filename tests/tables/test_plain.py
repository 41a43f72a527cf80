"""Names of people in Markdown, LaTeX and spreadsheets are names."""

import numpy as np
import pandas as pd
import pytest

from hypertax.tables import write_csv, write_table
from hypertax.tables.plain import markdown_text, spreadsheet_safe
from hypertax.tables.table import escape_latex

HOSTILE = [
    "=HYPERLINK(\"https://example.org\",\"x\")",
    "+1+cmd|' /C calc'!A0",
    "-2+3",
    "@SUM(1)",
    "\t=1",
    "\r=1",
    "＝1",
    "-",
]


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("[a](https://b.org)", r"[a]\(https\://b.org)"),
        ("![a](b.png)", r"![a]\(b.png)"),
        ("[a][b]", r"[a]\[b]"),
        ("[a]: b", r"[a]\: b"),
        ("www.b.org and ftp://c", r"www\.b.org and ftp\://c"),
        ("<img src=x onerror=y>", r"\<img src=x onerror=y\>"),
        ("&lt;b&gt;", r"\&lt;b\&gt;"),
        ("$x$ `y` *z* a_b | \\", r"\$x\$ \`y\` \*z\* a\_b \| \\"),
        ("two\nlines\r\n\n# three", "two lines # three"),
        ("+1.2 [0.3, 2.1] *", r"+1.2 [0.3, 2.1] \*"),
        ("Genus alba", "Genus alba"),
    ],
)
def test_markdown_shows_a_text_and_makes_nothing_of_it(text, shown):
    assert markdown_text(text) == shown


def test_latex_takes_no_argument_from_a_name():
    assert escape_latex("[2pt] x") == "{}[2pt] x" and escape_latex("*x") == "{}*x"
    assert escape_latex("a [b]") == "a [b]"


@pytest.mark.parametrize("text", HOSTILE)
def test_a_spreadsheet_computes_nothing(text):
    frame = pd.DataFrame({"name": [text, None, "plain"], "value": [-1.0, 2.0, 3.0]})
    safe = spreadsheet_safe(frame)
    first, _, last = safe["name"]
    assert first == f"'{text.strip(chr(13))}" and last == "plain"
    assert safe["name"].isna().tolist() == [False, True, False]
    assert safe["value"].equals(frame["value"]) and frame["name"][0] == text
    assert list(spreadsheet_safe(pd.DataFrame({text: [1]}))) == [f"'{text.strip(chr(13))}"]


NUMBERS = ["-0.5", "+1.2 [0.3, 2.1] *", "-3 [-4.0, -2.0]", "-1e-5", "-12 %"]


@pytest.mark.parametrize("text", NUMBERS)
def test_numbers_as_text_stay(text):
    assert spreadsheet_safe(pd.DataFrame({"a": [text]}))["a"][0] == text


def test_what_is_written_for_people_is_safe(tmp_path):
    frame = pd.DataFrame({"species": HOSTILE, "count": np.arange(len(HOSTILE)) - 3})
    write_table(frame, "t", tmp_path, caption="[a](b)", note="![c](d)")
    write_csv(frame, tmp_path / "c.csv")
    for name in ("t.csv", "c.csv"):
        read = pd.read_csv(tmp_path / name)
        assert all(str(value).startswith("'") for value in read["species"]), name
        numbers = read["count"] if "count" in read else read["value"]
        assert sorted(numbers) == list(frame["count"])
    text = (tmp_path / "t.md").read_text()
    assert "](" not in text and "https:" not in text
    assert len([line for line in text.splitlines() if line.startswith("|")]) == 2 + len(HOSTILE)
