"""All LaTeX tables of a folder in one document that compiles on its own, on one page as long as it
needs to be."""

from __future__ import annotations

from pathlib import Path

from hypertax.files import write_text

NAME = "all_tables.tex"
_WIDTH = 10.5
_LINE, _TABLE = 0.17, 1.7
"""Inches: the page's width, the height of a row, and what a table takes besides its rows."""


def write_document(folder: str | Path) -> Path:
    r"""Write `all_tables.tex`, which inputs every other .tex file of `folder`, by name; `pdflatex
    all_tables` in the folder makes one page.

    Raises:
        ValueError: the folder holds no table.
    """
    folder = Path(folder)
    tables = sorted(path for path in folder.glob("*.tex") if path.name != NAME)
    if not tables:
        raise ValueError(f"{folder} holds no .tex table; run 04_evaluate first.")
    rows = sum(path.read_text(encoding="utf-8").count(r"\\") for path in tables)
    height = 2 + _LINE * rows + _TABLE * len(tables)
    lines = [
        r"\documentclass[10pt]{article}",
        r"\usepackage[utf8]{inputenc}",
        rf"\usepackage[paperwidth={_WIDTH}in,paperheight={height:.1f}in,margin=0.6in]{{geometry}}",
        r"\usepackage{booktabs}",
        r"\pagestyle{empty}",
        r"\setlength{\parindent}{0pt}",
        r"\makeatletter",
        "% Floats would leave the page: here a table stays where it is.",
        r"\renewenvironment{table}[1][]"
        r"{\par\bigskip\begin{minipage}{\linewidth}\def\@captype{table}}{\end{minipage}\par}",
        r"\makeatother",
        r"\begin{document}",
        *(rf"\input{{{path.stem}}}" for path in tables),
        r"\end{document}",
    ]
    path = folder / NAME
    write_text(path, "\n".join(lines) + "\n")
    return path
