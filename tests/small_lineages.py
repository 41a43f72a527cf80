"""Lineages with every kind of gap, for the tests of losses over taxa and of their vectors."""

import numpy as np
import pandas as pd
import torch

from hypertax.data.table import COLUMNS
from hypertax.data.taxon_index import TaxonIndex
from hypertax.model.lineage_vectors import TaxonTokens

# order, family, genus, species: complete, stopping early, a gap (no family), nothing known.
LINEAGE = torch.tensor(
    [
        [0, 2, 4, 8],
        [0, 2, 4, 9],
        [0, 2, 5, -1],
        [0, 3, -1, -1],
        [1, -1, 6, 10],
        [1, 7, -1, -1],
        [0, 2, 4, 8],
        [-1, -1, -1, -1],
    ]
)


def forest(seed, species=40):
    """Lineages by name in which a third of the families and genera are missing, and here and there
    the species."""
    rng = np.random.default_rng(seed)
    found = []
    for s in range(species):
        g = rng.integers(0, 20)
        genus, family, order = f"G{g}", f"F{g // 3}", f"O{g // 6}"
        found.append(
            (
                order,
                family if g % 3 else None,
                genus if s % 3 else None,
                f"S{g}-{s}" if s % 7 else None,
            )
        )
    return found


def names_and_tokens(training, others=()):
    """The names of specimens with these lineages, and the tokens of the taxa for training."""
    rows = [
        [f"id{i}", None, "ACGT", *lineage, "train_seen"]
        for i, lineage in enumerate([*training, *others])
    ]
    names = TaxonIndex(pd.DataFrame(rows, columns=COLUMNS))
    return names, TaxonTokens.train(names, np.arange(len(rows)) < len(training))
