"""Tables as tidy numbers (CSV) and as laid out for reading (Markdown, LaTeX, HTML in a
notebook)."""

from __future__ import annotations

import html
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd

from hypertax.data.split import SPLITS
from hypertax.evaluation.accuracy import METRICS
from hypertax.evaluation.protocol import PAIRINGS
from hypertax.files import write_text
from hypertax.tables.plain import markdown_text, write_csv
from hypertax.taxonomy import RANKS

MEASURED = "measured here"
DASH = "–"
_METRICS = sorted(METRICS, key=lambda name: name != "macro")
"""As tables have them: macro, the paper's main one, first."""
_SHOWN = {
    "rank": {rank: rank for rank in RANKS},
    "pairing": {pairing: pairing for pairing in PAIRINGS},
    "split": {"seen": "Seen", "unseen": "Unseen", "harmonic": "H.M."}
    | {split: split for split in SPLITS},
    "average": {name: METRICS[name].heading for name in _METRICS},
    "ranking": {"distance": "Distance", "angle": "Angle"},
    "k": {k: f"Top-{k}" for k in range(1, 101)},
}
"""How values of these columns read, in their order; those of other columns stay as they are, in
order of first appearance."""


@dataclass(frozen=True, repr=False)
class Table:
    """Numbers and how to lay them out; a notebook shows it, `write_table` writes it.

    Args:
        tidy: one number a row: the columns of `rows` and `columns`, then `mean`, `sd` (NaN for one
            seed) and `n` (seeds). A column `runs` names the runs of each number. A column `shown`
            gives the text of each cell.
        rows, columns: which of tidy's columns name the rows and the columns (of one or two levels).
        compare: best means are marked among the cells that agree in these columns; without columns
            none are marked.
        percent: means are shares, shown in % to one decimal; otherwise numbers are shown to three
            digits, those of `whole` as integers.
        whole: the values of the last of `columns` under which there are integers.
        source: where the numbers come from.
        dataset, seeds, runs: named in the sentences below the table.
        note: what the numbers mean, in sentences.
    """

    tidy: pd.DataFrame
    rows: tuple[str, ...]
    columns: tuple[str, ...]
    compare: tuple[str, ...] = ()
    percent: bool = True
    whole: tuple[str, ...] = ()
    source: str = MEASURED
    dataset: str = ""
    seeds: str = ""
    runs: tuple[str, ...] = ()
    note: str = ""

    def marks(self) -> pd.Series:
        """Per row of `tidy`: "best" (all that read the same as the best mean), "close" (within one
        sd of the best), or ""."""
        marks = pd.Series("", index=self.tidy.index)
        if not self.compare:
            return marks
        for _, group in self.tidy.groupby(list(self.compare), sort=False, dropna=False):
            known = group[group["mean"].notna()]
            if len(known) < 2:
                continue
            best = known.loc[known["mean"].idxmax()]
            if pd.notna(best["sd"]):
                marks[known.index[known["mean"] >= best["mean"] - best["sd"]]] = "close"
            shown = [self._number(mean) == self._number(best["mean"]) for mean in known["mean"]]
            marks[known.index[shown]] = "best"
        return marks

    def _number(self, value: float, heading: str = "") -> str:
        if pd.isna(value):
            return DASH
        if self.percent:
            return f"{100 * value:.1f}"
        return (
            f"{value:,.0f}"
            if heading in self.whole or abs(value) >= 1000
            else f"{value:#.3g}".rstrip(".")
        )

    def _laid_out(
        self, text: Callable[[str], str], plus_minus: str, best: str, close: str
    ) -> pd.DataFrame:
        """The rows' names and the cells, as strings of one format, under the columns' headings."""
        cells = []
        for mark, (_, row) in zip(self.marks(), self.tidy.iterrows(), strict=True):
            heading = row[self.columns[-1]]
            cell = text(row["shown"] if "shown" in row else self._number(row["mean"], heading))
            if "shown" not in row and pd.notna(row["mean"]) and pd.notna(row["sd"]):
                cell += plus_minus + text(self._number(row["sd"], heading))
            cells.append({"best": best, "close": close, "": "{}"}[mark].replace("{}", cell))
        tidy = self.tidy.assign(cell=cells)
        index, columns = _keys(tidy, self.rows), _keys(tidy, self.columns)
        cell = tidy.set_index([*self.rows, *self.columns])["cell"].to_dict()
        wide = pd.DataFrame([[cell.get((*i, *c), text(DASH)) for c in columns] for i in index])
        names = pd.DataFrame(
            [
                [text(_shown(name, value)) for name, value in zip(self.rows, i, strict=True)]
                for i in index
            ]
        )
        # A name that repeats from the row above is left out, the first of the names as long as it
        # stays the same.
        repeated = names.eq(names.shift()).cumprod(axis=1).astype(bool)
        repeated[names.columns[-1]] = False
        frame = pd.concat([names.mask(repeated, ""), wide], axis=1)
        blank = ("",) * (len(self.columns) - 1)
        headings = [(*blank, text(name.capitalize())) for name in self.rows]
        headings += [
            tuple(text(_shown(name, value)) for name, value in zip(self.columns, c, strict=True))
            for c in columns
        ]
        frame.columns = (
            pd.MultiIndex.from_tuples(headings) if blank else pd.Index([h[0] for h in headings])
        )
        return frame

    def markdown(self) -> str:
        """A GitHub table; the best in bold, those within one sd of it underlined."""
        frame = self._laid_out(markdown_text, " ± ", "**{}**", "<u>{}</u>")
        headings = [
            "<br>".join(filter(None, c)) if isinstance(c, tuple) else c for c in frame.columns
        ]
        rule = ["---"] * len(self.rows) + ["---:"] * (len(headings) - len(self.rows))
        return "".join(
            f"| {' | '.join(line)} |\n" for line in [headings, rule, *frame.to_numpy().tolist()]
        )

    def latex(self) -> str:
        """A booktabs `tabular`; the best in bold, those within one sd of it underlined."""
        frame = self._laid_out(escape_latex, r" $\pm$ ", r"\textbf{{}}", r"\underline{{}}")
        layout = "l" * len(self.rows) + ("l" if self.tidy["mean"].isna().all() else "r") * (
            frame.shape[1] - len(self.rows)
        )
        return frame.style.hide(axis="index").to_latex(
            column_format=layout, hrules=True, multicol_align="c"
        )

    def __repr__(self) -> str:
        return self.markdown()

    def _repr_html_(self) -> str:
        frame = self._laid_out(html.escape, " ± ", "<b>{}</b>", "<u>{}</u>")
        return frame.to_html(index=False, escape=False, border=0)

    def provenance(self) -> str:
        """The note, then data set, seeds, source and runs in sentences."""
        parts = [
            self.note,
            f"Data set: {self.dataset}." if self.dataset else "",
            f"Seeds: {self.seeds}." if self.seeds else "",
        ]
        parts.append(f"Numbers {self.source}." if self.source else "")
        if self.percent:
            parts.append(
                "Mean ± standard deviation over the seeds, in %."
                if self.tidy["sd"].notna().any()
                else "In %."
            )
        marks = set(self.marks())
        if "best" in marks:
            parts.append(
                "Bold: best; underlined: within one standard deviation of the best."
                if "close" in marks
                else "Bold: best."
            )
        parts.append(f"Runs: {', '.join(self.runs)}." if self.runs else "")
        return " ".join(part for part in parts if part)


def _shown(column: str, value) -> str:
    if column == "quantity":
        return str(value).replace("_", " ")
    return str(_SHOWN.get(column, {}).get(value, value))


def _codes(tidy: pd.DataFrame, column: str) -> np.ndarray:
    """Integers that sort the values of a column as they are laid out."""
    order = list(_SHOWN.get(column, {}))
    order += [value for value in tidy[column].unique() if value not in order]
    return tidy[column].map({value: code for code, value in enumerate(order)}).to_numpy()


def laid_out_order(frame: pd.DataFrame, columns: Sequence[str]) -> np.ndarray:
    """Indices (N,) that sort the rows of a frame by some columns, as tables lay them out."""
    return np.lexsort([_codes(frame, column) for column in reversed(columns)])


def _keys(tidy: pd.DataFrame, columns: Sequence[str]) -> list[tuple]:
    """The distinct values of some columns, sorted as they are laid out."""
    ordered = tidy[list(columns)].iloc[laid_out_order(tidy, columns)]
    return list(dict.fromkeys(ordered.itertuples(index=False, name=None)))


def escape_latex(text: str) -> str:
    """Plain text as LaTeX shows it literally."""
    said = "".join(_LATEX.get(letter, letter) for letter in text)
    # After the end of a row LaTeX takes these for an argument.
    return f"{{}}{said}" if said.startswith(("[", "*")) else said


_LATEX = {c: f"\\{c}" for c in "&%$#_{}"} | {
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "\\": r"\textbackslash{}",
}
_LATEX["−"] = "$-$"
_LATEX |= {
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    DASH: "--",
    "—": "---",
    "±": r"$\pm$",
    "×": r"$\times$",
}


def frame_table(frame: pd.DataFrame) -> Table:
    """Any frame as a table: its numeric columns are the numbers, the others (the first one, if
    there are none) name the rows."""
    rows = [
        column for column in frame.columns if not pd.api.types.is_numeric_dtype(frame[column])
    ] or [frame.columns[0]]
    if frame.duplicated(rows).any():
        raise ValueError(
            f"Two rows of the table have the same {' and '.join(map(repr, rows))}; add a column"
            " that tells them apart."
        )
    tidy = frame.melt(id_vars=rows, var_name="quantity", value_name="mean").assign(
        sd=np.nan, n=np.nan
    )
    whole = tuple(
        column for column in frame.columns if pd.api.types.is_integer_dtype(frame[column])
    )
    return Table(tidy=tidy, rows=tuple(rows), columns=("quantity",), percent=False, whole=whole)


def write_table(
    frame: Table | pd.DataFrame,
    name: str,
    folder: str | Path,
    *,
    caption: str,
    note: str = "",
    dataset: str | None = None,
    seeds: str | int | None = None,
    runs: Sequence[str] | None = None,
    source: str | None = None,
) -> list[Path]:
    """Write NAME.csv (tidy numbers), NAME.md and NAME.tex (laid out; the .tex is a float to
    \\input, and needs booktabs).

    Each says the data set (by default the folder's name), where the numbers come from and, in the
    note, seeds and runs.

    Args:
        frame: a `Table`, or a DataFrame as `frame_table` takes it.
        name: of the files. folder: where they are written.
        caption: the table's title.
        note: plain text in front of the generated sentences.
        dataset, seeds, runs, source: replace what the table says of itself.

    Returns:
        the three paths.
    """
    table = frame if isinstance(frame, Table) else frame_table(frame)
    folder = Path(folder)
    about = {
        "dataset": dataset,
        "seeds": None if seeds is None else str(seeds),
        "runs": None if runs is None else tuple(runs),
        "source": source,
    }
    table = replace(table, **{key: value for key, value in about.items() if value is not None})
    table = table if table.dataset else replace(table, dataset=folder.name)
    paths = [folder / f"{name}.{ending}" for ending in ("csv", "md", "tex")]
    write_csv(_numbers(table), paths[0], float_format="%.6g")
    note = f"{note} {table.provenance()}".strip()
    said = [markdown_text(text) for text in (caption, note)]
    write_text(paths[1], f"**{said[0]}**\n\n{table.markdown()}\n{said[1]}\n")
    lines = [
        r"\begin{table}",
        r"\centering",
        r"\footnotesize",
        r"\setlength{\tabcolsep}{3pt}",
        rf"\caption{{{escape_latex(caption)}}}",
        rf"\label{{tab:{name}}}",
        table.latex().rstrip(),
        rf"\par\smallskip {escape_latex(note)}",
        r"\end{table}",
    ]
    write_text(paths[2], "\n".join(lines) + "\n")
    return paths


def _numbers(table: Table) -> pd.DataFrame:
    """What the csv file holds."""
    numbers = table.tidy
    if numbers["n"].isna().all():
        numbers = numbers.drop(columns=["sd", "n"]).rename(columns={"mean": "value"})
    if table.runs and "runs" not in numbers:
        numbers = numbers.assign(runs=" ".join(table.runs))
    texts = "shown" in numbers and numbers.filter(["mean", "value"]).isna().all(axis=None)
    numbers = numbers.drop(columns=["mean", "value"] if texts else "shown", errors="ignore")
    return numbers.assign(source=table.source, dataset=table.dataset)
