"""What was done to which rows of a table, and texts of somebody's files made fit for a message."""

from __future__ import annotations

import sys
import unicodedata
from collections.abc import Sequence

import numpy as np

SHOWN = 10
"""Rows listed of each kind of remark or problem."""


def legible(text: object, width: int = 80) -> str:
    """A text of somebody's file for a message: one line, no control characters, at most `width`
    characters."""
    text = str(text)
    cut = text[: width + 1]
    cut = "".join(" " if unicodedata.category(c) in _UNSEEN else c for c in cut)
    cut = " ".join(cut.split())
    return cut if len(text) <= width else cut[: width - 1] + "…"


_UNSEEN = ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp", "Zs")


def counted(n: int, noun: str) -> str:
    """`1 row`, `2 rows`."""
    return f"{n:,} {noun}{'' if n == 1 else 's'}"


def places(names: Sequence, positions: np.ndarray, label: str) -> str:
    """` (rows 2, 3 and 7 more)`: what the first rows of some positions (0-based) are called."""
    if not len(positions):
        return ""
    first = ", ".join(legible(names[i], 40) for i in positions[:SHOWN])
    more = len(positions) - SHOWN
    return (
        f" ({label}{'s' if len(positions) > 1 else ''} {first}"
        f"{f' and {more:,} more' if more > 0 else ''})"
    )


class Remarks:
    """The list of what was done to which rows, in the order in which it was done.

    Args:
        source: the table's name, for people.
        names: what each row is called: its number, or its `sampleid`. label: "row" or "specimen".
    """

    def __init__(self, source: str, names: Sequence, label: str) -> None:
        self.source, self.names, self.label = source, names, label
        self.lines: list[str] = []

    def add(self, what: str, positions: np.ndarray | None = None) -> None:
        """One line: what was done, and the positions (0-based) of its rows."""
        where = "" if positions is None else places(self.names, positions, self.label)
        self.lines.append(f"{self.source}: {what}{where}.")

    def print(self) -> None:
        """To standard error, since standard output may be somebody's data."""
        for line in self.lines:
            print(line, file=sys.stderr)
