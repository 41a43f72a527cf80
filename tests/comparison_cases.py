"""Answers and differences with known values."""

import numpy as np
import pandas as pd

from hypertax.embeddings import Embeddings
from hypertax.evaluation.comparison import (
    BETTER,
    NEITHER,
    WORSE,
)


def shifted(embeddings: Embeddings, seed: int) -> Embeddings:
    """The same specimens with other vectors, as another training seed would give."""
    noise = np.random.default_rng(seed).normal(size=embeddings.tangent.shape).astype(np.float32)
    return Embeddings(
        embeddings.table, embeddings.tangent + 0.4 * noise, embeddings.space, embeddings.curvature
    )


def cells(verdicts: list[tuple]) -> pd.DataFrame:
    """Rows of `compare`: (protocol, pairing, split, rank, verdict)."""
    numbers = {
        BETTER: (0.05, 0.01, 0.09),
        WORSE: (-0.05, -0.09, -0.01),
        NEITHER: (0.002, -0.02, 0.03),
    }
    rows = []
    for protocol, pairing, split, rank, verdict in verdicts:
        row = {
            "method": "New",
            "reference": "Old",
            "protocol": protocol,
            "pairing": pairing,
            "rank": rank,
            "split": split,
        }
        row |= {
            "average": "macro",
            "verdict": verdict,
            "queries": 9,
            "seeds": 3,
            "seeds_agreeing": 3,
        }
        rows.append(row | dict(zip(("difference", "low", "high"), numbers[verdict], strict=True)))
    return pd.DataFrame(rows)
