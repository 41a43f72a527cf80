"""Photographs compared as they are: by their colours, and by the features of a network that was trained
on other pictures."""

from __future__ import annotations

import numpy as np
import pandas as pd
from torch import Tensor

from hypertax.data.images import middle_square
from hypertax.data.photograph_files import UnreadablePhotograph, read_photograph
from hypertax.data.progress import progress_bar
from hypertax.data.split import TRAINING_SPLITS
from hypertax.embeddings import Embeddings
from hypertax.evaluation.baselines.stored import specimen_table
from hypertax.model.image_features import frozen_features

BINS = 8
"""Bins of each colour."""
PIXELS = 64
"""Side of the photograph that is counted."""
ENCODER = "efficientnet_lite0"
SIZE = 128


def colour_histograms(specimens: pd.DataFrame) -> Embeddings:
    """Square roots of the shares of the pixels in 8 x 8 x 8 colours, (N, 512): their cosine is the
    Bhattacharyya coefficient of two histograms.

    A photograph that cannot be read is left out.
    """
    table = specimen_table(specimens, "image")
    paths = specimens.set_index("sampleid")["image"].loc[table["id"]]
    rows, kept = [], []
    bar = progress_bar(paths, desc="colours of photographs", unit=" files", leave=False, delay=2)
    for place, path in enumerate(bar):
        try:
            square = middle_square(path, read_photograph(path), PIXELS)
        except UnreadablePhotograph:
            continue
        rows.append(_histogram(square))
        kept.append(place)
    vectors = np.array(rows, dtype=np.float32).reshape(-1, BINS**3)
    return Embeddings(table.iloc[kept].reset_index(drop=True), vectors, "euclidean")


def _histogram(square: Tensor) -> np.ndarray:
    """The colour histogram of a photograph (3, R, R) in bytes."""
    bins = square.numpy().reshape(3, -1).T.astype(np.int64) * BINS // 256
    counts = np.bincount(bins @ [BINS * BINS, BINS, 1], minlength=BINS**3)
    return np.sqrt(counts / counts.sum())


def frozen(specimens: pd.DataFrame) -> Embeddings:
    """Features of the middle of each photograph from the frozen image encoder, of length 1, less the
    mean of the training photographs'; compared by the cosine.

    A photograph that cannot be read is left out.
    """
    table = specimen_table(specimens, "image")
    paths = specimens.set_index("sampleid")["image"]
    training = specimens["split"].isin(TRAINING_SPLITS) & specimens["image"].notna()
    asked = [*paths.loc[table["id"]], *specimens.loc[training, "image"]]
    found = frozen_features(asked, ENCODER, SIZE, 1, progress=True)
    vectors = found.values[:, 0].astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True).clip(1e-12)
    own = found.present[len(table) :]
    if own.any():
        vectors -= vectors[len(table) :][own].mean(axis=0)
    present = found.present[: len(table)]
    kept = table[present].reset_index(drop=True)
    return Embeddings(kept, vectors[: len(table)][present], "euclidean")
