"""Photograph and barcode of a specimen together: which comparisons speak, and what each is worth."""

from __future__ import annotations

import numpy as np

from hypertax.data.barcodes.codes import BEYOND
from hypertax.identify.evidence import Channel

VIEWS = ("dna", "image", "image+dna")
"""What of a specimen can speak."""
IMAGE_WEIGHTS = (0.1, 0.25, 0.5, 1.0)
"""What a photograph is worth beside a barcode, of which one is chosen on the library."""
ACROSS = 0.5
"""What the comparison of a photograph with a barcode is worth beside that of two photographs."""
DISAGREE = 0.8
"""Probability from which photograph and barcode may contradict each other."""


def views_present(vectors: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """By view of `VIEWS` which of N specimens have exactly it, (N,) bool.

    Args:
        vectors: by modality (N, D), NaN for specimens without it.
    """
    count = len(next(iter(vectors.values())))
    has = {
        m: np.isfinite(vectors[m]).all(axis=1) if m in vectors else np.zeros(count, dtype=bool)
        for m in ("dna", "image")
    }
    return {
        "dna": has["dna"] & ~has["image"],
        "image": has["image"] & ~has["dna"],
        "image+dna": has["image"] & has["dna"],
    }


def codes_of(view: str, codes: np.ndarray) -> np.ndarray:
    """What a view sees of aligned reads (N, L): nothing where barcodes have no part in it."""
    return codes if "dna" in view else np.full_like(codes, BEYOND)


def channels(
    view: str,
    queries: dict[str, np.ndarray],
    references: dict[str, np.ndarray],
    image_weight: float,
) -> list[Channel]:
    """The comparisons of a view.

    Args:
        view: of `VIEWS`. queries, references: vectors by modality. image_weight: of photographs beside barcodes.
    """
    found = []
    if "dna" in view and "dna" in references:
        found.append(Channel(queries["dna"], references["dna"], 1.0))
    if "image" in view:
        weight = image_weight if "dna" in view else 1.0
        if "image" in references:
            found.append(Channel(queries["image"], references["image"], weight))
        if "dna" in references:
            found.append(Channel(queries["image"], references["dna"], weight * ACROSS))
    return found
