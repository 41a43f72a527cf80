"""Text of people's tables in Markdown, LaTeX and CSV: shown as it is, never a link, a picture, a
formula or a command of the program that opens it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pandas as pd

from hypertax.files import atomic_path

_FORMULA = re.compile(r"[=+\-@\t＝＋－＠]")
"""How a cell begins that a spreadsheet takes for a formula."""
_NUMBER = re.compile(r"[+-]?[\d.,]+(e[+-]?\d+)? ?%?( \[[\d.,+\-−% ]*\])?( \*)?")
"""A number, with an interval or without: it may begin with a sign."""


def markdown_text(text: str) -> str:
    """Plain text as GitHub's Markdown shows it literally, on one line.

    No link, picture, address, HTML or formula comes of it.
    """
    text = re.sub(r"([\\|*_<>`$]|&(?=#?\w+;))", r"\\\1", " ".join(text.split()))
    # `[1.2, 3.4]` stays as it is: brackets are a link only before these.
    text = re.sub(r"\](?=[(\[:])", r"]\\", text)
    return re.sub(r"(?i)\b(https?|ftp|mailto|xmpp)(?=:)|\bwww(?=\.)", r"\g<0>\\", text)


def spreadsheet_safe(frame: pd.DataFrame) -> pd.DataFrame:
    """The same table with an apostrophe before every text that a spreadsheet would compute, each on
    one line; numbers stay, whether typed so or as text."""
    safe = frame.copy()
    for place, kind in enumerate(frame.dtypes):
        if not pd.api.types.is_numeric_dtype(kind) and not pd.api.types.is_bool_dtype(kind):
            safe.isetitem(place, frame.iloc[:, place].map(_safe_cell, na_action="ignore"))
    return safe.rename(columns=_safe_cell)


def _safe_cell(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    # A line break within a cell ends the row for some programs.
    value = re.sub(r"[\x00-\x08\x0a-\x1f\x7f]+", " ", value).strip(" ")
    return f"'{value}" if _FORMULA.match(value) and not _NUMBER.fullmatch(value) else value


def write_csv(frame: pd.DataFrame, path: str | Path, **options: Any) -> None:
    """Write a table that people open in a spreadsheet, atomically and without formulas.

    Args:
        frame: the table; its index is not written. path: of the file. options: as pandas takes
            them.
    """
    with atomic_path(path) as temporary:
        spreadsheet_safe(frame).to_csv(temporary, index=False, **options)
