"""Everything that is wrong with a table of specimens, found at once and said with its rows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from hypertax.data.photograph_files import UnreadablePhotograph, check_photograph
from hypertax.data.progress import progress_bar
from hypertax.data.remarks import legible, places
from hypertax.data.split import SEEN_SPLITS, SPLITS, TRAINING_SPLITS, UNSEEN_SPLITS
from hypertax.files import shown
from hypertax.taxonomy import RANKS

IUPAC = "ACGTRYSWKMBDHVN"
"""Letters of a barcode: the four nucleotides and the codes of ambiguous ones."""
_NOWHERE = np.array([], dtype=int)
_PLURAL = {"order": "orders", "family": "families", "genus": "genera", "species": "species"}


class SpecimenTableError(ValueError):
    """A table of specimens that cannot be used. The message has a line for each kind of problem;
    `problems` holds them."""

    def __init__(self, message: str, problems: list[Problem]) -> None:
        super().__init__(message)
        self.problems = problems


@dataclass(frozen=True)
class Problem:
    """One kind of problem: what it is, the positions (0-based) of the rows that have it, and what
    to do."""

    what: str
    todo: str
    positions: np.ndarray

    def line(self, names: Sequence, label: str) -> str:
        """The problem in one line; `names` gives what each row is called, `label` what such a name
        is ("row")."""
        return f"- {self.what}{places(names, self.positions, label)}: {self.todo}."


def check_specimens(
    table: pd.DataFrame,
    *,
    source: str,
    rows: Sequence[int] | None = None,
    images: bool = True,
    labels_needed: bool = True,
) -> None:
    """Raise one error that names everything wrong with a table of specimens.

    Args:
        table: a specimen table (the columns `load_specimens` returns).
        source: the table's name, for the message.
        rows: the line of the source that each row comes from (1-based, the header being line 1).
            Without it the message names rows by their `sampleid`.
        images: also open every image, which for a million of them takes minutes.
        labels_needed: the table is to be trained on. One to be embedded needs neither labels nor a
            training split.

    Raises:
        SpecimenTableError: first a summary, then a line for each kind of problem with its rows,
            last what to do.
    """
    problems = list(_problems(table.reset_index(drop=True), images, labels_needed))
    if not problems:
        return
    several = len(problems) > 1
    wrong = len(np.unique(np.concatenate([problem.positions for problem in problems])))
    summary = f"{source} cannot be used: {len(problems)} kind{'s' if several else ''} of problem"
    summary += f" in {wrong:,} of its {_count(len(table), 'row')}." if wrong else "."
    names, label = (rows, "row") if rows is not None else (table["sampleid"].to_numpy(), "specimen")
    header = " (row 1 is its header)" if wrong and rows is not None else ""
    last = (
        f"Correct {'these problems' if several else 'this problem'} in"
        f" {source}{header}{', or remove the rows,' if wrong else ''} and run again."
    )
    raise SpecimenTableError(
        "\n".join([summary, *(problem.line(names, label) for problem in problems), last]), problems
    )


def _problems(table: pd.DataFrame, images: bool, labels_needed: bool) -> Iterator[Problem]:
    if table.empty:
        yield Problem(
            "there are no specimens", "the table needs at least one row below its header", _NOWHERE
        )
        return
    yield from _identifiers(table)
    if labels_needed and table[list(RANKS)].isna().all(axis=None):
        yield Problem(
            "no specimen has a taxonomic label",
            f"name at least one of the columns {', '.join(RANKS)} and fill it",
            _NOWHERE,
        )
    yield from _two_parents(table)
    empty = table["barcode"].isna() & table["image"].isna()
    if empty.all():
        todo = (
            "the table needs a column `nucraw` with sequences (or a FASTA file beside it) or"
            " a column `image_file` with file names"
        )
        yield Problem("no specimen has a barcode or an image", todo, _NOWHERE)
    elif (at := np.flatnonzero(empty)).size:
        yield Problem(
            f"{_count(at.size, 'specimen')} with neither a barcode nor an image",
            "remove the row, or fill one of them",
            at,
        )
    yield from _letters(table["barcode"])
    if images:
        yield from _images(table["image"])
    yield from _splits(table, labels_needed)


def _count(n: int, noun: str) -> str:
    return f"{n:,} {noun}{'' if n == 1 else 's'}"


def _identifiers(table: pd.DataFrame) -> Iterator[Problem]:
    sampleid = table["sampleid"]
    if (at := np.flatnonzero(sampleid.isna())).size:
        yield Problem(
            f"{_count(at.size, 'specimen')} without a sampleid", "give each one of its own", at
        )
    if (at := np.flatnonzero(sampleid.notna() & sampleid.duplicated(keep=False))).size:
        what = (
            f"{_count(at.size, 'specimen')} whose sampleid occurs more than once, such as"
            f" {legible(sampleid[at[0]])!r}"
        )
        yield Problem(what, "give each its own, or keep one row of each", at)


def _letters(barcodes: pd.Series) -> Iterator[Problem]:
    at = np.flatnonzero(barcodes.notna() & ~barcodes.str.fullmatch(f"[{IUPAC}]+", na=True))
    if at.size:
        strange = sorted(set("".join(barcodes[at[:1000]])) - set(IUPAC))
        what = (
            f"{_count(at.size, 'barcode')} with characters that are not nucleotide codes,"
            f" such as {legible(''.join(strange[:5])) or 'control characters'!r}"
        )
        yield Problem(what, f"only the letters {IUPAC} and the gap - are allowed", at)


def _images(images: pd.Series) -> Iterator[Problem]:
    present = images[images.notna()]
    missing, broken, reasons = [], [], {}
    for position, path in progress_bar(
        present.items(),
        desc="checking images",
        total=len(present),
        unit=" images",
        disable=len(present) <= 2000,
        leave=False,
    ):
        try:
            check_photograph(path)
        except UnreadablePhotograph as error:
            (missing if error.missing else broken).append(position)
            reasons[position] = error.reason
    if missing:
        first = legible(shown(images[missing[0]]), 300)
        what = f"{_count(len(missing), 'image')} not found, such as {first}"
        yield Problem(what, "put the files there, or leave the field empty", np.array(missing))
    if broken:
        what = (
            f"{_count(len(broken), 'file')} that cannot be opened as an image, such as"
            f" {legible(shown(images[broken[0]]), 300)} ({legible(reasons[broken[0]])})"
        )
        yield Problem(what, "replace the file, or leave the field empty", np.array(broken))


def _two_parents(table: pd.DataFrame) -> Iterator[Problem]:
    """Names of one rank that stand under two names of a higher one; a missing parent contradicts
    nothing.

    What only follows from another contradiction is not said again: a genus under two families may
    well be under two orders.
    """
    codes = {rank: pd.factorize(table[rank])[0] for rank in RANKS}
    said: dict[tuple[str, str], np.ndarray] = {}
    for depth, child in enumerate(RANKS):
        for above in reversed(range(depth)):
            parent = RANKS[above]
            follows = np.zeros(len(table), dtype=bool)
            for between in RANKS[above + 1 : depth]:
                follows |= said[child, between] | said[between, parent]
            follows = _whole_names(codes[child], follows)
            rows = np.flatnonzero((codes[child] >= 0) & (codes[parent] >= 0) & ~follows)
            pairs = pd.DataFrame({"child": codes[child][rows], "parent": codes[parent][rows]})
            distinct = pairs.drop_duplicates()
            double = distinct["child"][distinct["child"].duplicated()].unique()
            said[child, parent] = follows | np.isin(codes[child], double)
            if double.size:
                pairs = pairs[pairs["child"].isin(double)].set_axis(
                    rows[pairs["child"].isin(double)]
                )
                yield _double_problem(table, child, parent, pairs)


def _whole_names(codes: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Every row of the names that occur in the given rows; arrays of N codes (-1 missing) and N
    booleans."""
    return rows | (np.isin(codes, np.unique(codes[rows])) & (codes >= 0))


def _double_problem(table: pd.DataFrame, child: str, parent: str, pairs: pd.DataFrame) -> Problem:
    """pairs: codes of `child` and `parent`, indexed by position, of the names with several parents
    only."""
    # The rows to look at: all those of a name's rarer parents, and the first of its most frequent
    # one to compare with.
    often = pairs.groupby(["child", "parent"]).size().groupby(level="child").idxmax()
    usual = pd.MultiIndex.from_frame(pairs).isin(often.to_list())
    look = pairs.index[~usual | ~pairs.duplicated()].to_numpy()
    first = pairs[pairs["child"] == pairs["child"].iloc[0]].drop_duplicates("parent").index
    name, parents = legible(table[child][first[0]]), map(legible, table[parent][first])
    n = pairs["child"].nunique()
    what = (
        f"{n:,} {child if n == 1 else _PLURAL[child]} under more than one {parent}, such as"
        f" {name} under {' and '.join(parents)}"
    )
    return Problem(what, f"give it one {parent}" if n == 1 else f"give each one {parent}", look)


def _splits(table: pd.DataFrame, labels_needed: bool) -> Iterator[Problem]:
    split, species = table["split"], table["species"]
    if (at := np.flatnonzero(~split.isin(SPLITS))).size:
        names = [
            repr(legible(name)) if pd.notna(name) else "an empty field"
            for name in split[at].unique()[:3]
        ]
        todo = (
            f"the splits are {', '.join(SPLITS)}; without a column `split` they are made by"
            " CLIBD's recipe"
        )
        yield Problem(
            f"{_count(at.size, 'specimen')} in no known split, such as {', '.join(names)}", todo, at
        )
    seen = split.isin({*SEEN_SPLITS, *TRAINING_SPLITS})
    both = set(species[seen].dropna()) & set(species[split.isin(UNSEEN_SPLITS)].dropna())
    if both:
        first = legible(min(both))
        what = f"{len(both):,} species both in seen and in unseen splits, such as {first}"
        yield Problem(what, "put all its specimens on one side", np.flatnonzero(species.isin(both)))
    if labels_needed and not split.isin(TRAINING_SPLITS).any():
        todo = (
            "put some into train_seen or no_split, or add specimens: the recipe trains on"
            " species of at least 10"
        )
        yield Problem("no specimen is in a training split", todo, _NOWHERE)
