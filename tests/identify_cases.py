"""A made library and queries of a few taxa, for the tests of identification."""

from __future__ import annotations

from functools import cache

import numpy as np
import pandas as pd

BASES = np.array(list("ACGT"))


def changed(read: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
    """A read in which up to `count` bases are others."""
    read = read.copy()
    places = rng.choice(len(read), count, replace=False)
    read[places] = rng.choice(BASES, count)
    return read


@cache
def _records(per_species: int, length: int) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    root = rng.choice(BASES, length)
    rows = []
    for o, order in enumerate(("Diptera", "Coleoptera")):
        order_read = changed(root, length // 5, rng)
        for f in range(3):
            family_read = changed(order_read, length // 7, rng)
            for g in range(3):
                genus_read = changed(family_read, length // 8, rng)
                genus = f"{'DC'[o]}{'abc'[f]}genus{'xyz'[g]}".capitalize()
                for s in range(1 if g == 2 else 3):
                    species_read = changed(genus_read, length // 14, rng)
                    for i in range(per_species):
                        read = changed(species_read, 2, rng)
                        rows.append(
                            {
                                "sampleid": f"{genus}-{s}-{i}",
                                "image": None,
                                "barcode": "".join(read),
                                "order": order,
                                "family": f"{'DC'[o]}{'abc'[f]}idae",
                                "genus": genus,
                                "species": f"{genus} s{'abc'[s]}us",
                                "number": i,
                            }
                        )
    return pd.DataFrame(rows).astype("object")


def records(per_species: int = 5, length: int = 300) -> pd.DataFrame:
    """Specimens of 42 species, 18 genera, 6 families and 2 orders; `number` counts those of a
    species."""
    table = _records(per_species, length).copy()
    return table.where(table.notna(), None)


def library_and_queries() -> tuple[pd.DataFrame, pd.DataFrame]:
    """References without the last specimen of each species and without four species; queries are the
    rest."""
    table = records()
    new = table["species"].isin(sorted(table["species"].unique())[::11])
    query = new | (table["number"] == 4)
    return table[~query].reset_index(drop=True), table[query].reset_index(drop=True)


def write_fasta(table: pd.DataFrame, path) -> None:
    """Identifiers and barcodes as FASTA."""
    lines = [f">{name}\n{read}\n" for name, read in zip(table["sampleid"], table["barcode"])]
    path.write_text("".join(lines), encoding="utf-8")
