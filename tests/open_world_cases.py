"""Answers to queries of unknown species with known values."""

import numpy as np
import pandas as pd

from hypertax.embeddings import COLUMNS, Embeddings
from hypertax.taxonomy import RANKS


def with_taxa(embeddings: Embeddings, *, missing=0.2, seed=0) -> Embeddings:
    """The embeddings and a text row near the mean of each taxon's specimens; some taxa have
    none."""
    rng = np.random.default_rng(seed)
    rows, vectors = [], []
    for rank in RANKS:
        for name in sorted(embeddings.table[rank].dropna().unique()):
            own = embeddings.tangent[(embeddings.table[rank] == name).to_numpy()].mean(axis=0)
            if rng.random() >= missing:
                rows.append(
                    (name, "text", rank, None, *[name if r == rank else None for r in RANKS])
                )
                vectors.append(own + 0.2 * rng.normal(size=len(own)))
    table = pd.concat(
        [embeddings.table, pd.DataFrame(rows, columns=list(COLUMNS))], ignore_index=True
    )
    tangent = np.concatenate([embeddings.tangent, np.float32(vectors)])
    return Embeddings(table, tangent, embeddings.space, embeddings.curvature)


def told(
    confidence,
    right,
    split="seen",
    *,
    rank="species",
    score="distance",
    named=True,
    placeable=True,
    **columns,
) -> pd.DataFrame:
    """Answers of given confidence, right or wrong, one row per query."""
    count = len(confidence)
    frame = pd.DataFrame(
        {
            "confidence": np.asarray(confidence, float),
            "right": np.asarray(right, bool),
            "split": split,
        }
    )
    frame["query"] = [f"{kind}{i:03}" for i, kind in enumerate(frame["split"])]
    true = np.array([f"s{i % 3}" for i in range(count)], dtype=object)
    frame["true"] = np.where(np.broadcast_to(named, count), true, None)
    frame["predicted"] = np.where(frame["right"], frame["true"], "other")
    frame["placeable"] = np.broadcast_to(placeable, count) & ~(
        (frame["split"] == "unseen") & (rank == "species")
    )
    return frame.assign(
        **{
            "pairing": "DNA to DNA",
            "stage": "test",
            "rank": rank,
            "score": score,
            "unseen_predicted": None,
            **columns,
        }
    )
