"""A lineage of taxa on one line through the origin, and two specimens of it."""

import numpy as np
import pandas as pd

from hypertax.embeddings import Embeddings
from hypertax.taxonomy import RANKS

LINEAGE = {"order": "Aptera", "family": "Aidae", "genus": "Aa", "species": "Aa x"}
OTHER = {"order": "Bptera", "family": "Bidae", "genus": "Ba", "species": "Ba x"}


def line_of_taxa(order_at=(0.5, 0.0)) -> Embeddings:
    """In two dimensions: on the first axis a specimen at distance 3, its species at 2, its order at
    0.5; another genus near the origin."""
    taxa = [
        ("Aptera", "order", LINEAGE, order_at),
        ("Aa x", "species", LINEAGE, (2.0, 0.0)),
        ("Ba", "genus", OTHER, (0.0, 0.1)),
    ]
    rows = [
        {
            "id": name,
            "modality": "text",
            "rank": rank,
            "split": None,
            **{r: lineage[r] for r in RANKS[: RANKS.index(rank) + 1]},
        }
        for name, rank, lineage, _ in taxa
    ]
    rows += [
        {"id": "S1", "modality": m, "rank": None, "split": "test_seen", **LINEAGE}
        for m in ("image", "dna")
    ]
    vectors = [where for *_, where in taxa] + [(3.0, 0.0), (0.0, 1.0)]
    table = pd.DataFrame(rows).reindex(columns=["id", "modality", "rank", "split", *RANKS])
    return Embeddings(table, np.array(vectors, dtype=np.float32), "lorentz", 1.0)
