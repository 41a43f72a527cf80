"""Rules that a reader notices: short lines, short modules, few files at the top, no private name
across modules, plain docstrings."""

from __future__ import annotations

import ast
import builtins
import json
import re
import subprocess
import symtable
from pathlib import Path

import pytest

from hypertax.files import ROOT

CODE, TEXT = 100, 120
"""The longest line of Python, and of docstrings, comments and every other text."""
LONGEST_MODULE = 350
WRITTEN_BY_CODE = re.compile(
    r"(tables|figures)/.*\.(csv|tex|md|html|pdf|png)|.*\.json|docs/.*\.png"
)
"""What code writes: tables, whose lines are as long as a table is wide, pictures, and JSON."""
UNBREAKABLE = re.compile(
    r"\s*\||\S+==\S+ --hash=|!?\[[^]]*\](\(\S*\)|: \S*)$|\s*# (make|papermill) "
)
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


def _prose(path: Path) -> set[int]:
    """The lines of a module's docstrings and comments."""
    text = path.read_text(encoding="utf-8")
    lines = {n for n, line in enumerate(text.splitlines(), 1) if line.lstrip().startswith("#")}
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            lines |= set(range(node.lineno, node.end_lineno + 1))
    return lines


def test_lines_are_short():
    files = _files()
    assert len(files) > 100
    long = []
    for path in files:
        code = path.suffix == ".py"
        prose = _prose(path) if code else set()
        for number, line in enumerate(_lines(path), 1):
            limit = CODE if code and number not in prose else TEXT
            if len(line) > limit and (code or not UNBREAKABLE.match(line)):
                long.append(f"{path.relative_to(ROOT)}:{number}: {len(line)}")
    assert not long, "\n".join(long)


def test_modules_are_short():
    long = {
        path.relative_to(ROOT).as_posix()
        for folder in ("hypertax", "benchmarks")
        for path in (ROOT / folder).rglob("*.py")
        if len(_lines(path)) > LONGEST_MODULE
    }
    assert sorted(long) == []


def test_few_files_lie_at_the_top_of_the_library():
    files = [path.name for path in (ROOT / "hypertax").iterdir() if path.is_file()]
    assert len(files) <= 8, files


def _is_ours(module: str | None) -> bool:
    return module is not None and module.split(".")[0] in ("hypertax", "benchmarks")


def test_no_private_name_crosses_modules():
    """Neither `from module import _name` nor `name._part` of what a module of ours gives.

    The tests may look inside.
    """
    crossing = []
    for path, tree in _modules("hypertax", "benchmarks").items():
        modules = set()
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                modules |= {a.asname or "hypertax" for a in node.names if _is_ours(a.name)}
            elif isinstance(node, ast.ImportFrom) and _is_ours(node.module):
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


def _unknown_names(path: Path) -> list[str]:
    """Names that functions of a module look up and nothing defines: neither the module nor
    Python."""
    table = symtable.symtable(path.read_text(encoding="utf-8"), str(path), "exec")
    known = {symbol.get_name() for symbol in table.get_symbols() if symbol.is_assigned()}
    known |= {symbol.get_name() for symbol in table.get_symbols() if symbol.is_imported()}
    known |= {symbol.get_name() for symbol in table.get_symbols() if symbol.is_namespace()}
    known |= {*dir(builtins), "__file__", "__annotations__"}
    found, inner = [], [table]
    while inner:
        scope = inner.pop()
        inner += scope.get_children()
        found += [
            f"{path.name}: {symbol.get_name()}"
            for symbol in scope.get_symbols()
            if symbol.is_global() and symbol.is_referenced() and symbol.get_name() not in known
        ]
    return sorted(set(found))


def test_every_name_is_defined(tmp_path):
    """An import that a merge lost would be noticed only where its line runs."""
    broken = tmp_path / "a.py"
    broken.write_text("from x import b\ndef f(c):\n    return [b(d) for d in c] + [lost]\n")
    assert _unknown_names(broken) == ["a.py: lost"]
    paths = [path for path in _files() if path.suffix == ".py"]
    assert [name for path in paths for name in _unknown_names(path)] == []
