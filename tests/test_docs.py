"""What README and docs promise: short, links that lead somewhere, commands that exist, and numbers
that stand in the tables they name."""

import ast
import json
import re
import sys

import pandas as pd
import pytest
import torch

from hypertax.config.run_config import RunConfig
from hypertax.files import ROOT

README = ROOT / "README.md"
PAGES = [README, *sorted((ROOT / "docs").rglob("*.md"))]
EACH_PAGE = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
NOTEBOOKS = sorted((ROOT / "notebooks").glob("0*.ipynb"))


def without_code(text):
    return re.sub(r"^```.*?^```", "", text, flags=re.S | re.M)


def blocks(language):
    """The code blocks of one language, with their pages."""
    for page in PAGES:
        for code in re.findall(rf"^```{language}\n(.*?)^```", page.read_text("utf-8"), re.S | re.M):
            yield page, code


def sentences(text):
    """Sentences of prose and of table cells, without the addresses of links."""
    text = re.sub(r"\]\([^)]*\)", "]", without_code(text)).replace("et al.", "et al")
    pieces, piece = [], []
    for line in [*text.split("\n"), ""]:
        if line.startswith("|"):
            pieces += line.split("|")
        elif not line.strip() or re.match(r"(#|- |\d+\. |>|!\[|\[\d+\]: )", line):
            pieces.append(" ".join(piece))
            piece = [line]
        else:
            piece.append(line)
    return [s for piece in pieces for s in re.split(r"(?<=[.!?:])[*\"]*\s+", piece)]


def test_the_readme_can_be_read_at_one_sitting():
    assert len(README.read_text("utf-8").split()) <= 1200


@EACH_PAGE
def test_lines_and_sentences_are_short(page):
    text = page.read_text("utf-8")
    assert not [line for line in text.split("\n") if len(line) > 120]
    if page.name != "numerics.md":  # Its sentences are formulas.
        assert not [s for s in sentences(text) if len(re.findall(r"\w[\w'’.,-]*", s)) > 25]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_the_text_of_notebooks_is_wrapped(path):
    for cell in json.loads(path.read_text("utf-8"))["cells"]:
        if cell["cell_type"] == "markdown":
            long = [line for line in "".join(cell["source"]).split("\n") if len(line) > 120]
            assert not long


def targets(text):
    """Addresses of links and pictures, those of reference links included."""
    text = without_code(text)
    return re.findall(r"\]\(([^)\s]+)\)", text) + re.findall(r"^\[[^\]]+\]: (\S+)", text, re.M)


@EACH_PAGE
def test_links_and_pictures_exist(page):
    local = [t for t in targets(page.read_text("utf-8")) if not re.match(r"https?:|#", t)]
    assert not [t for t in local if not (page.parent / t.split("#")[0]).exists()]


def test_links_of_notebooks_exist():
    for path in NOTEBOOKS:
        for cell in json.loads(path.read_text("utf-8"))["cells"]:
            if cell["cell_type"] == "markdown":
                for target in targets("".join(cell["source"])):
                    assert target.startswith("http") or (path.parent / target).exists(), target


def test_every_page_can_be_reached_from_the_readme():
    reached, waiting = set(), [README]
    while waiting:
        page = waiting.pop()
        if page not in reached:
            reached.add(page)
            linked = [page.parent / t.split("#")[0] for t in targets(page.read_text("utf-8"))]
            waiting += [p.resolve() for p in linked if p.suffix == ".md" and p.exists()]
    assert set(PAGES) <= reached


def test_shell_commands_name_what_exists():
    """Make targets, notebooks, modules and parameters."""
    makefile = (ROOT / "Makefile").read_text("utf-8")
    goals = set(re.findall(r"^([a-z-]+):", makefile, re.M))
    seen = 0
    for page, code in blocks("sh"):
        for line in code.splitlines():
            words = line.split("#")[0].split()
            if not words:
                continue
            seen += 1
            if words[0] == "make":
                for word in words[1:]:
                    name = word.split("=")[0]
                    assert name in goals or f"\n{name} =" in makefile, (page, line)
            for word in words:
                if word.endswith(".ipynb") and word != "out.ipynb":
                    assert (ROOT / word).is_file(), (page, line)
            if "-m" in words and words[words.index("-m") + 1] not in sys.stdlib_module_names:
                module = words[words.index("-m") + 1].replace(".", "/")
                found = [(ROOT / f"{module}.py"), ROOT / module / "__main__.py"]
                assert any(path.is_file() for path in found), (page, line)
            for name in re.findall(r"-p (\w+)", line):
                notebook = next((w for w in words if w.endswith(".ipynb")), None)
                assert name in RunConfig.__dataclass_fields__ or parameter(notebook, name), line
    assert seen > 20


def parameter(notebook, name):
    if notebook is None:
        return False
    cells = json.loads((ROOT / notebook).read_text("utf-8"))["cells"]
    tagged = [c for c in cells if "parameters" in c["metadata"].get("tags", [])]
    return re.search(rf"^{name} = ", "".join(tagged[0]["source"]), re.M)


def test_python_examples_name_what_exists():
    """Every import works; the README's example of the geometry runs as it stands."""
    codes = list(blocks("python"))
    assert codes
    for page, code in codes:
        imports = [n for n in ast.parse(code).body if isinstance(n, (ast.Import, ast.ImportFrom))]
        exec("\n".join(map(ast.unparse, imports)), {})
        if page == README:
            names = {}
            exec(code, names)
            assert names["distances"].shape == (5, 5) and (names["distances"] > 0).all()
            assert names["inside"].dtype == torch.bool


CL, SEL, NESTED = "Euclidean CL", "Hyperbolic CL + SEL", "Hyperbolic, nested"
SPECIES = {"rank": "species", "split": "unseen"}
DNA_SPECIES = {**SPECIES, "pairing": "DNA to DNA"}
ACROSS = {**SPECIES, "pairing": "image to DNA"}
GENUS = {"rank": "genus", "average": "macro", "pairing": "DNA to DNA"}
PHOTOGRAPHS = {**GENUS, "pairing": "image to image"}
STANDARD = {"protocol": "standard", "average": "macro"}
ROWS = [
    (DNA_SPECIES, SEL, {**DNA_SPECIES, **STANDARD}),
    (DNA_SPECIES, SEL, {**DNA_SPECIES, **STANDARD}),
    (GENUS, SEL, {**GENUS, "protocol": "novel"}),
    (GENUS, NESTED, {**GENUS, "protocol": "novel"}),
    (ACROSS, SEL, {**ACROSS, **STANDARD}),
    (PHOTOGRAPHS, SEL, {**PHOTOGRAPHS, "protocol": "novel"}),
]
"""Per row of the table: which rows of its csv hold the means, of which method beside the baseline,
and which row of the other csv holds the difference."""
METHODS = {
    "SINTAX": "SINTAX",
    "VSEARCH": "VSEARCH",
    "aligned reads, share of equal bases": "Aligned reads",
    "the DNA start, untrained": "DNA start",
    "Euclidean CL": CL,
    "hyperbolic CL + SEL, the paper's": SEL,
    "Euclidean `lineage`, ours": "Euclidean, lineage",
    "hyperbolic `nested`, ours": NESTED,
}
"""The rows of the table of baselines, and their labels in the csv tables."""


def one(path, **wanted):
    frame = pd.read_csv(ROOT / path)
    for column, value in wanted.items():
        frame = frame[frame[column] == value]
    assert len(frame) == 1, (path, wanted, len(frame))
    return frame.iloc[0]


def lines_of(table):
    """The cells of the README's table whose first heading is given, row by row."""
    text = README.read_text("utf-8")
    found = re.search(rf"^\| {table} .*?\n\n", text, re.S | re.M).group(0).strip().split("\n")[2:]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in found]


def test_numbers_of_the_findings_stand_in_the_tables_they_name():
    paths = dict(re.findall(r"^\[(\d+)\]: (\S+)", README.read_text("utf-8"), re.M))
    lines = lines_of("claim")
    assert len(lines) == len(ROWS) == 6
    for (_, left, right, interval, verdict), (means, method, difference) in zip(
        lines, ROWS, strict=True
    ):
        for cell, of in ((left, CL), (right, method)):
            shown, which = re.fullmatch(r"\[(.*)\]\[(\d+)\]", cell).groups()
            number = one(paths[which], method=of, **means)
            assert shown == f"{100 * number['mean']:.1f} ± {100 * number['sd']:.1f}"
        shown, which = re.fullmatch(r"\[(.*)\]\[(\d+)\]", interval).groups()
        number = one(paths[which], method=method, reference=CL, **difference)
        low, high = (f"{100 * number[end]:+.1f}".replace("-", "−") for end in ("low", "high"))
        assert shown == f"{low} to {high}"
        assert verdict == number["verdict"]


def test_the_readme_shows_what_needs_no_training_beside_what_is_trained():
    lines = lines_of("real barcodes")
    assert [line[0] for line in lines] == list(METHODS)
    for label, *shown in lines:
        wanted = {"method": METHODS[label], "pairing": "DNA to DNA"}
        numbers = [
            one("tables/insect1k/main.csv", **wanted, rank="species", split=split)
            for split in ("seen", "unseen")
        ] + [
            one("tables/insect1k/novel.csv", **wanted, rank=rank, average="macro")
            for rank in ("family", "genus")
        ]
        assert shown == [f"{100 * number['mean']:.1f}" for number in numbers]


def test_trials_of_tuning_are_shown_as_they_stand_in_the_csv():
    folder = ROOT / "tables" / "tuning"
    for name in ("trials", "dna_encoders"):
        numbers = pd.read_csv(folder / f"{name}.csv")
        shown = (folder / f"{name}.md").read_text("utf-8")
        rule = next(line for line in shown.split("\n") if line.startswith("| ---"))
        lines = [line for line in shown.split(rule)[1].split("\n") if line.startswith("|")]
        cells = [cell for line in lines for cell in line.split("|")[1:-1][-rule.count("---:") :]]
        assert sorted(map(float, cells)) == sorted(numbers["value"])
