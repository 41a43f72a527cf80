"""Parameters as people give them: on a command line, in a file, in a notebook's cells."""

from __future__ import annotations

import ast
import difflib
from collections.abc import Iterable
from typing import Any

INJECTED = "# Parameters\n"
"""The first line of the cell in which papermill sets the parameters that it was given."""


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


def check_parameters(namespace: dict[str, Any]) -> None:
    """Stop where papermill gave a notebook a parameter that its parameters cell does not have.

    Args:
        namespace: the notebook's `globals()`.

    Raises:
        ValueError: one sentence with the first such name and the nearest parameter.
    """
    own, injected = notebook_parameters(namespace)
    if own:
        refuse_unknown(injected, own, "this notebook")


def notebook_parameters(namespace: dict[str, Any]) -> tuple[list[str], list[str]]:
    """The names that a notebook's parameters cell sets, and those that papermill's cell sets.

    IPython keeps the text of the cells that ran in `In`. The parameters cell sets `dataset` or
    `queries` and does nothing but set names; papermill's cell begins with a comment of its own. Only the latest
    of each is read: variables of other cells and names that have been corrected since do not count.
    Without such a history, as in a script, every plain value of the namespace is one of the first.

    Args:
        namespace: the notebook's `globals()`.
    """
    if "In" not in namespace:
        plain = (type(None), bool, int, float, str)
        return [
            name
            for name, value in namespace.items()
            if isinstance(value, plain) and not name.startswith("_")
        ], []
    own: list[str] = []
    injected: list[str] = []
    for cell in namespace["In"]:
        names = _assigned(cell)
        if cell.startswith(INJECTED):
            injected = names
        elif "dataset" in names or "queries" in names:
            own, injected = names, []
    return own, injected


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
