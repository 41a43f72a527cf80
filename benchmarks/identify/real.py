"""Real barcodes: the queries without their labels, of a library that knows every species and of one that
lacks half the queries' species.

Precision and coverage are those of the answers given at a rank or below it. Intervals draw species
with replacement.
"""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks.identify import asking, judging
from benchmarks.identify.asking import NEAREST, OURS, SINTAX, Answered
from benchmarks.identify.picture import picture
from hypertax.data import data_set_name, load_specimens
from hypertax.figures import save_figure
from hypertax.files import ROOT, resolve
from hypertax.tables.table import frame_table, write_table
from hypertax.taxonomy import RANKS

LIBRARIES = {
    "all known": ("train_seen", "seen_keys", "val_unseen_keys", "test_unseen_keys"),
    "half new": ("train_seen", "seen_keys"),
}
NOTE = (
    "Queries without their labels. Low and high: 95 % of draws of species. Same: the coverage of"
    " hypertax at the precision of the row. Both alike: known and new species weigh the same."
)
FACTS = (
    "Each method in a process of its own on one core, with nothing kept from before. A busy machine"
    " slows all of them."
)


def ask(table: pd.DataFrame, stage: str, precision: float) -> dict[str, tuple]:
    """By library the answers of each method, the true labels, and which species are known.

    Args:
        table: specimens with the splits of CLIBD. stage: "test" or "val".
    """
    queries = table[table["split"].isin((f"{stage}_seen", f"{stage}_unseen"))]
    queries = queries.reset_index(drop=True)
    found = {}
    for name, splits in LIBRARIES.items():
        library = table[table["split"].isin(splits)].reset_index(drop=True)
        methods = {OURS: lambda *of: asking.ours(*of, precision)}
        if shutil.which("vsearch"):
            methods |= {NEAREST: asking.nearest, SINTAX: asking.sintax}
        answered = {}
        for method, answer in methods.items():
            with tempfile.TemporaryDirectory() as folder:
                answered[method] = answer(library, queries, Path(folder))
            print(f"{name}, {method}: {answered[method].seconds:.0f} s", flush=True)
        known = queries["species"].isin(library["species"]).to_numpy()
        found[name] = answered, queries, known
    return found


def measured(found: dict[str, tuple]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Two tables: coverage and precision, and everything else."""
    rows, facts = [], []
    for library, (answered, truth, known) in found.items():
        for method, one in answered.items():
            about = {"library": library, "method": method}
            groups = list(judging.cells(one, truth, known))
            for cell in groups:
                cell["same"] = np.nan
                if cell["queries"] == groups[-1]["queries"] and method != OURS:
                    depth = RANKS.index(cell["rank"])
                    cell["same"] = judging.coverage_at(
                        cell["precision"], answered[OURS], truth, known, depth
                    )
            rows += [{**about, **cell} for cell in groups]
            facts += [{**about, **fact} for fact in _facts(one, truth, known)]
    return pd.DataFrame(rows), pd.DataFrame(facts)


def _facts(one: Answered, truth: pd.DataFrame, known: np.ndarray) -> list[dict]:
    found = []
    if one.table is not None:
        found += judging.calibration(one, truth, known)
    if not known.all():
        found += judging.novelty(one, known)
    found.append({"measure": "seconds", "value": one.seconds})
    found.append({"measure": "seconds of the processor", "value": one.cpu_seconds})
    found.append({"measure": "memory, MiB", "value": one.mebibytes})
    return found


def main(path: str, stage: str, precision: float, output: Path | None) -> None:
    """Ask, print and write; to a folder, or to the data set's own ones."""
    found = ask(load_specimens(path), stage, precision)
    cells, facts = measured(found)
    print(cells.round(4).to_string(index=False))
    print(facts.round(4).to_string(index=False))
    name = data_set_name(path)
    tables = resolve(output) if output else ROOT / "tables" / name
    figures = resolve(output) if output else ROOT / "figures" / name
    shown = {"test": "Test", "val": "Validation"}[stage]
    for frame, file, about, note in (
        (cells, "identify", f"answers at a wanted precision of {precision}", NOTE),
        (facts, "identify_facts", "calibration, new species, seconds and memory", FACTS),
    ):
        table, caption = frame_table(frame.round(4)), f"{shown}: {about}"
        write_table(table, file, tables, caption=caption, note=note, dataset=name)
    save_figure(picture(*found["half new"], shown), "identify", figures)
