"""Which files of the library something depends on: read from the `import` lines, so that a change
rebuilds what it can change and no more."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator
from pathlib import Path

from hypertax.files import ROOT


def sources(notebook: Path, root: Path = ROOT) -> list[Path]:
    """The library's files that a notebook depends on: what its cells import from `hypertax`, and
    what those import in turn, sorted."""
    cells = json.loads(Path(notebook).read_text(encoding="utf-8"))["cells"]
    code = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
    # Lines of IPython's own (%magic, !command, help?) are no Python.
    parts = [re.sub(r"^\s*[%!].*$|^.*\?\s*$", "", part, flags=re.MULTILINE) for part in code]
    return modules(*(name for part in parts for name in _imports(part, [])), root=root)


def modules(*names: str, root: Path = ROOT) -> list[Path]:
    """The files of the named modules of the library, and of all of the library that they import,
    sorted."""
    todo = list(names)
    found: set[Path] = set()
    while todo:
        names = todo.pop().split(".")
        for depth in range(1, len(names) + 1):
            base = root.joinpath(*names[:depth])
            for path, package in (
                (base / "__init__.py", names[:depth]),
                (base.with_suffix(".py"), names[: depth - 1]),
            ):
                if path.is_file() and path not in found:
                    found.add(path)
                    todo += _imports(path.read_text(encoding="utf-8"), package)
    return sorted(found)


def _imports(code: str, package: list[str]) -> Iterator[str]:
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = [*package[: len(package) - node.level + 1]] if node.level else []
            module = ".".join([*base, *([node.module] if node.module else [])])
            # An imported name may be a module or something in one.
            names = [module, *(f"{module}.{alias.name}" for alias in node.names)]
        else:
            continue
        yield from (name for name in names if name.split(".")[0] == "hypertax")
