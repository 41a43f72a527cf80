"""Asks the finished models of a study with reads that are short, in error or reversed.

Nothing is trained. It writes two tables and a figure to the data set's folders of results.
"""

from __future__ import annotations

import argparse
import sys

import pandas as pd

from hypertax.config.presets import DEFAULT_PRESET, PRESETS
from hypertax.data import data_set_name, load_specimens
from hypertax.evaluation.harder_reads import HARDER, read_differences
from hypertax.evaluation.protocol import query_splits
from hypertax.figures import save_figure, scores_of_harder_reads
from hypertax.files import ROOT
from hypertax.study import (
    HarderReads,
    Row,
    ask_harder,
    finished_runs,
    load_baselines,
    load_rows,
    row_looks,
)
from hypertax.study.rows import published_place
from hypertax.tables import harder_differences_table, harder_reads_table, write_table

ROWS = ("euclidean-cl", "hyperbolic-cl-sel", "euclidean-lineage", "hyperbolic-nested")
"""The paper's two spaces and the recommended row of each, of experiments.yaml."""
BASELINES = ("vsearch", "aligned-reads", "dna-start")
TITLE = "Shortened, wrong and reversed queries: which rows still name them by whole keys"


def sampled(specimens: pd.DataFrame, count: int, stage: str = "test") -> pd.DataFrame:
    """At most `count` queries of each split of a stage, drawn with a fixed seed; all of them with 0.
    Other specimens stay."""
    if not count:
        return specimens
    kept = ~specimens["split"].isin(query_splits(stage).values())
    for split in query_splits(stage).values():
        own = specimens.index[specimens["split"] == split]
        kept[own.to_series().sample(min(count, len(own)), random_state=0)] = True
    return specimens[kept]


def main(arguments: list[str] | None = None) -> None:
    """Ask, and write what was found."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--dataset", required=True, help="its name or the path of its table")
    parser.add_argument("--seeds", type=int, default=1, help="runs of each row")
    parser.add_argument("--preset", choices=tuple(PRESETS), default=DEFAULT_PRESET)
    parser.add_argument("--output", help="the folder of the runs, runs without it")
    parser.add_argument("--queries", type=int, default=0, help="of each split; all without it")
    given = parser.parse_args(arguments)
    specimens = load_specimens(given.dataset)
    rows = [row for row in load_rows("core") if row.name in ROWS]
    baselines = [row for row in load_baselines() if row.name in BASELINES]
    try:
        runs = finished_runs(
            rows,
            specimens,
            dataset=given.dataset,
            preset=given.preset,
            seeds=given.seeds,
            output=given.output,
        )
    except ValueError as error:
        sys.exit(str(error))
    found = ask_harder(runs, baselines, sampled(specimens, given.queries))
    write_results(found, [*baselines, *rows], given.dataset, given.preset)


def write_results(found: HarderReads, rows: list[Row], dataset: str, preset: str) -> None:
    """Print the tables, and write them and the figure to the folders of a data set and preset.

    found: of the rows.
    """
    names = tuple(dict.fromkeys(found.scores["run"]))
    reference = next(row.label for row in rows if row.name == ROWS[0])
    differences = read_differences(found.answers, reference)
    name, place = data_set_name(dataset), published_place(data_set_name(dataset), preset)
    for table, file, caption in (
        (
            harder_reads_table(found.scores),
            "harder_reads",
            f"Harder reads: DNA to DNA with {len(HARDER)} kinds of queries",
        ),
        (
            harder_differences_table(differences, runs=names),
            "harder_reads_differences",
            f"Harder reads: macro top-1 minus that of {reference}, in points",
        ),
    ):
        print(table)
        write_table(table, file, ROOT / "tables" / place, caption=caption, dataset=name)
    figure = scores_of_harder_reads(found.scores, looks=row_looks(rows), title=TITLE)
    save_figure(figure, "harder_reads", ROOT / "figures" / place, runs=names)


if __name__ == "__main__":
    main()
