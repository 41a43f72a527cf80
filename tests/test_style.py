"""Rules that a reader notices: short lines, short modules, few files at the top, no private name
across modules, plain docstrings."""

from __future__ import annotations

import ast
import json
import re
import subprocess
from pathlib import Path

import pytest

from hypertax.files import ROOT

CODE, TEXT = 100, 120
LONGEST_MODULE = 350
LONG = {
    "hypertax/config/run_config.py",
    "hypertax/data/simulation/traits.py",
    "hypertax/evaluation/accuracy.py",
    "hypertax/evaluation/comparison.py",
    "hypertax/evaluation/open_world/comparison.py",
    "hypertax/figures/method.py",
    "hypertax/figures/nested.py",
    "hypertax/figures/scores.py",
    "hypertax/figures/spaces.py",
    "hypertax/geometry/lorentz.py",
    "hypertax/study/pipeline.py",
    "hypertax/tables/study.py",
    "hypertax/tables/table.py",
    "hypertax/training/trainer.py",
}
"""Modules that are still too long: this list may only become shorter."""

WRITTEN_BY_CODE = re.compile(r"(tables|figures)/.*\.(csv|tex|md|html|pdf|png)")
"""What the pipeline writes: its lines are as long as a table is wide."""
UNBREAKABLE = re.compile(r"\s*\||!?\[[^]]*\](\(\S*\)|: \S*)$|\s*# (make|papermill) ")
"""In Markdown a table's row and a picture, in a comment a command: a line break would end them."""


def _files() -> list[Path]:
    """The text files of the repository that people write."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    try:
        listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("the files of the repository are listed by git")
    names = [name for name in listed.stdout.splitlines() if not WRITTEN_BY_CODE.fullmatch(name)]
    return [ROOT / name for name in names if (ROOT / name).is_file()]


def _lines(path: Path) -> list[str]:
    text = path.read_text(encoding="utf-8")
    if path.suffix != ".ipynb":
        return text.splitlines()
    return "\n".join("".join(cell["source"]) for cell in json.loads(text)["cells"]).splitlines()


def _modules(*folders: str) -> dict[str, ast.Module]:
    """The parsed modules of these folders, by their paths in the repository."""
    return {
        path.relative_to(ROOT).as_posix(): ast.parse(path.read_text(encoding="utf-8"))
        for folder in folders
        for path in sorted((ROOT / folder).rglob("*.py"))
    }


def test_lines_are_short():
    files = _files()
    assert len(files) > 100
    long = []
    for path in files:
        limit = CODE if path.suffix == ".py" else TEXT
        for number, line in enumerate(_lines(path), 1):
            if len(line) > limit and not (path.suffix != ".py" and UNBREAKABLE.match(line)):
                long.append(f"{path.relative_to(ROOT)}:{number}: {len(line)}")
    assert not long, "\n".join(long)


def test_modules_are_short():
    long = {
        path.relative_to(ROOT).as_posix()
        for folder in ("hypertax", "benchmarks")
        for path in (ROOT / folder).rglob("*.py")
        if len(_lines(path)) > LONGEST_MODULE
    }
    assert long == LONG


def test_few_files_lie_at_the_top_of_the_library():
    files = [path.name for path in (ROOT / "hypertax").iterdir() if path.is_file()]
    assert len(files) <= 8, files


def test_no_private_name_crosses_modules():
    """Neither `from module import _name` nor `module._name`; the tests may look inside."""
    crossing = []
    for path, tree in _modules("hypertax", "benchmarks").items():
        modules = set()
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                modules |= {(alias.asname or alias.name).split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                modules |= {alias.asname or alias.name for alias in node.names}
                crossing += [
                    f"{path}: {alias.name}"
                    for alias in node.names
                    if alias.name.startswith("_") and not alias.name.startswith("__")
                ]
        for node in ast.walk(tree):
            if (
                isinstance(node, ast.Attribute)
                and isinstance(node.value, ast.Name)
                and node.value.id in modules
                and node.attr.startswith("_")
                and not node.attr.startswith("__")
            ):
                crossing.append(f"{path}: {node.value.id}.{node.attr}")
    assert not crossing, "\n".join(crossing)


def test_no_docstring_begins_with_of():
    begun = [
        f"{path}:{node.lineno}"
        for path, tree in _modules("hypertax", "benchmarks", "tests").items()
        for node in ast.walk(tree)
        if isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and str(node.value.value).startswith("Of ")
    ]
    assert not begun, "\n".join(begun)
