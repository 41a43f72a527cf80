"""The taxa and the texts of a specimen table as integers."""

from __future__ import annotations

import copy

import numpy as np
import pandas as pd

from hypertax.taxonomy import RANKS, full_text, rank_text, taxa


class TaxonIndex:
    """Every taxon and every text of a table, once.

    taxa: DataFrame of `hypertax.taxonomy.taxa`, T rows. lineage: (N, 4) int64, rows of `taxa`, -1
    where a rank is unknown. texts: list of strings. full_text: (N,) int64, rows of `texts`, -1
    without a label. taxon_text: (T,) int64, the row of each taxon's text.

    Args:
        specimens: N specimens.
        cumulative: whether a taxon's text is all names from its order down, not its bare name.
    """

    def __init__(self, specimens: pd.DataFrame, *, cumulative: bool = False) -> None:
        self.taxa = taxa(specimens)
        self.lineage = self._lineages(specimens)
        rows: dict[str, int] = {}
        self.taxon_text = np.array(
            [
                rows.setdefault(rank_text(taxon, taxon["rank"], cumulative=cumulative), len(rows))
                for taxon in self.taxa.to_dict("records")
            ],
            dtype=np.int64,
        )
        self.full_text = self._full_texts(rows)
        self.texts = list(rows)

    def take(self, rows: np.ndarray) -> TaxonIndex:
        """The lineages of some rows, against the whole table's taxa and texts."""
        taken = copy.copy(self)
        taken.lineage, taken.full_text = self.lineage[rows], self.full_text[rows]
        return taken

    def _lineages(self, specimens: pd.DataFrame) -> np.ndarray:
        row = {
            (rank, name): i
            for i, (rank, name) in enumerate(zip(self.taxa["rank"], self.taxa["name"], strict=True))
        }
        lineage = np.full((len(specimens), len(RANKS)), -1, dtype=np.int64)
        for column, rank in enumerate(RANKS):
            codes, names = pd.factorize(specimens[rank])
            ids = np.array([row[(rank, name)] for name in names] + [-1], dtype=np.int64)
            lineage[:, column] = ids[codes]
        return lineage

    def _full_texts(self, rows: dict[str, int]) -> np.ndarray:
        """The full text of each specimen; new ones are added to `rows`."""
        # One full text per distinct lineage, not per specimen.
        unique, inverse = np.unique(self.lineage, axis=0, return_inverse=True)
        if not len(unique):
            return np.zeros(0, dtype=np.int64)
        names = self.taxa["name"].tolist()
        ids = []
        for lineage in unique:
            text = full_text(
                {rank: names[i] if i >= 0 else None for rank, i in zip(RANKS, lineage, strict=True)}
            )
            ids.append(-1 if text is None else rows.setdefault(text, len(rows)))
        return np.array(ids, dtype=np.int64)[inverse.reshape(-1)]
