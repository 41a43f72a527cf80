"""Parameters as people give them: on a command line, in a file, in a notebook's cells."""

from __future__ import annotations

import ast
import difflib
from collections.abc import Iterable
from typing import Any


def parse_value(text: str) -> Any:
    """A parameter's value as typed on a command line: a number, True, False or None where it reads
    as one, otherwise the text itself."""
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text


def unknown_parameter(name: str, known: Iterable[str], whose: str) -> str:
    """The sentence for a name that is no parameter, with the nearest one that is.

    Args:
        name: as it was given. known: names of the parameters. whose: `a run`, `this notebook`.
    """
    known = sorted(known)
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.6)
    if near:
        return f"{name} is not a parameter of {whose}; did you mean {near[0]}?"
    return f"{name} is not a parameter of {whose}; the parameters are {', '.join(known)}."


def refuse_unknown(names: Iterable[str], known: Iterable[str], whose: str) -> None:
    """Stop where a name is no parameter.

    Raises:
        ValueError: one sentence with the first such name and the nearest parameter.
    """
    known = set(known)
    for name in names:
        if name not in known:
            raise ValueError(unknown_parameter(name, known, whose))


def check_parameters(namespace: dict[str, Any], known: Iterable[str]) -> None:
    """Stop where a notebook was given a parameter that it does not have; papermill only warns.

    Args:
        namespace: the notebook's `globals()`. known: names of its parameters.

    Raises:
        ValueError: one sentence with the first such name and the nearest parameter.
    """
    refuse_unknown(given_names(namespace), known, "this notebook")


def given_names(namespace: dict[str, Any]) -> list[str]:
    """Names that a notebook's parameters cell, or the cell that papermill injects, gives.

    In a notebook that runs, IPython keeps the text of the cells in `In`. Only the latest parameters
    cell, which sets `dataset` and does nothing but set names, and the latest cell of papermill's
    after it are read: variables of other cells, and what has been corrected since, do not count.
    Without such a history, as in a script, every plain value counts.
    """
    if "In" not in namespace:
        return [
            name
            for name, value in namespace.items()
            if not name.startswith("_")
            and (value is None or isinstance(value, (bool, int, float, str)))
        ]
    own: list[str] = []
    injected: list[str] = []
    for cell in namespace["In"]:
        names = _assigned(cell)
        if cell.startswith("# Parameters\n"):
            injected = names
        elif "dataset" in names:
            own, injected = names, []
    return [name for name in dict.fromkeys([*own, *injected]) if name in namespace]


def _assigned(cell: str) -> list[str]:
    """The names that a cell sets, if it does nothing else."""
    try:
        lines = ast.parse(cell).body
    except SyntaxError:
        return []
    if not all(isinstance(line, (ast.Assign, ast.AnnAssign)) for line in lines):
        return []
    targets = [
        target
        for line in lines
        for target in (line.targets if isinstance(line, ast.Assign) else [line.target])
    ]
    return [target.id for target in targets if isinstance(target, ast.Name)]
