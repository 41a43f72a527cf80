"""Embeddings without meaning, for tests of what reads them."""

import numpy as np
import pandas as pd

from hypertax.embeddings import Embeddings
from hypertax.taxonomy import RANKS


def random_embeddings(
    space="lorentz", *, modalities=("image", "dna"), seed=0, missing=0.2
) -> Embeddings:
    """Species in every split with noise around a centre each; some labels missing at random, at any
    rank."""
    rng = np.random.default_rng(seed)
    centre = rng.normal(size=(24, 6))
    rows, vectors = [], []
    for split in (
        "train_seen",
        "val_seen",
        "test_seen",
        "seen_keys",
        "val_unseen",
        "val_unseen_keys",
        "test_unseen",
        "test_unseen_keys",
    ):
        for i in range(24):
            kind = "seen" if i < 12 else "val_unseen" if i < 18 else "test_unseen"
            if kind not in split and not (kind == "seen" and split in ("train_seen", "seen_keys")):
                continue
            if kind == "seen" and "unseen" in split:
                continue
            lineage = [f"O{i % 2}", f"F{i % 5}", f"G{i % 9}", f"s{i}"]
            for copy in range(int(rng.integers(1, 4))):
                names = [None if rng.random() < missing else name for name in lineage]
                for modality in modalities:
                    rows.append((f"{split}-{i}-{copy}", modality, None, split, *names))
                    vectors.append(centre[i] + rng.normal(size=6) * 0.6)
    table = pd.DataFrame(rows, columns=["id", "modality", "rank", "split", *RANKS])
    order = rng.permutation(len(table))  # splits and modalities interleaved
    tangent = np.asarray(vectors, np.float32)[order]
    return Embeddings(
        table.iloc[order].reset_index(drop=True),
        tangent,
        space,
        0.8 if space == "lorentz" else None,
    )
