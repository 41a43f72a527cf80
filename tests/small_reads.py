"""Specimens of eight made species, barcodes and labels alone, for trainings of seconds."""

import numpy as np
import pandas as pd

from hypertax.data.table import COLUMNS


def small_reads(per_species: int, splits: tuple[str, ...]) -> pd.DataFrame:
    """A specimen table without images: reads of 600 bases that differ within a species in up to 12,
    the splits dealt in turn."""
    rng = np.random.default_rng(0)
    rows = []
    for s in range(8):
        bases = rng.choice(list("ACGT"), 600)
        for i in range(per_species):
            read = bases.copy()
            read[rng.integers(0, 600, 12)] = "A"
            lineage = ["O", f"F{s // 4}", f"G{s // 2}", f"G{s // 2} s{s}"]
            rows.append([f"{s}-{i}", None, "".join(read), *lineage, splits[i % len(splits)]])
    return pd.DataFrame(rows, columns=COLUMNS)
