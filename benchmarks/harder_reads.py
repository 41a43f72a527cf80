"""Asks the finished models of a study with reads that are short, in error or reversed.

Nothing is trained. It writes a table and a figure to the data set's folders of results.
"""

from __future__ import annotations

import argparse
import sys

import pandas as pd

from hypertax.config.presets import DEFAULT_PRESET, PRESETS
from hypertax.data import data_set_name, load_specimens
from hypertax.evaluation.harder_reads import HARDER
from hypertax.evaluation.protocol import query_splits
from hypertax.figures import harder_reads, save_figure
from hypertax.files import ROOT
from hypertax.study import finished_runs, harder_scores, load_baselines, load_rows, row_looks
from hypertax.study.rows import published_place
from hypertax.tables import harder_reads_table, write_table

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
    """Print the table, and write it and the figure."""
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
    scores = harder_scores(runs, baselines, sampled(specimens, given.queries))
    table = harder_reads_table(scores)
    print(table)
    name = data_set_name(given.dataset)
    place = published_place(name, given.preset)
    write_table(
        table,
        "harder_reads",
        ROOT / "tables" / place,
        caption=f"Harder reads: DNA to DNA with {len(HARDER)} kinds of queries",
        dataset=name,
    )
    figure = harder_reads(scores, looks=row_looks([*baselines, *rows]), title=TITLE)
    save_figure(
        figure, "harder_reads", ROOT / "figures" / place, runs=dict.fromkeys(scores["run"])
    )


if __name__ == "__main__":
    main()
