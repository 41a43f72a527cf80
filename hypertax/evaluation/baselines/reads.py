"""Barcodes compared without training: by their 6-mers, by the share of equal bases of aligned reads, and by
the closed-form start of the DNA encoder."""

from __future__ import annotations

import numpy as np
import pandas as pd

from hypertax.data.barcodes.alignment import align_cached, equal_share
from hypertax.data.barcodes.codes import BASES
from hypertax.data.split import TRAINING_SPLITS
from hypertax.embeddings import Embeddings
from hypertax.evaluation.answers import Answers
from hypertax.evaluation.baselines.stored import StoredAnswers, ask_all, from_keys, specimen_table
from hypertax.model.starts import profile_of, start_of

KMER = 6
BLOCK = 512
"""Queries at a time."""


def kmer_shares(specimens: pd.DataFrame) -> Embeddings:
    """Barcodes as counts of their 6-mers, (N, 4096), of length 1, less the mean of the training
    barcodes'; the nearest has the largest cosine.

    What all barcodes share tells nothing: without the mean taken away, novel genera are found less
    often. A 6-mer with an unknown base does not count.
    """
    table = specimen_table(specimens, "dna")
    common = _unit_counts(_training_reads(specimens)["barcode"].tolist()).mean(axis=0)
    vectors = _unit_counts(_reads(specimens, table)) - common
    return Embeddings(table, vectors, "euclidean")


def _unit_counts(reads: list[str]) -> np.ndarray:
    """Counts (N, 4096) of 6-mers, each row of length 1; zeros where a read has none."""
    code = np.full(256, len(BASES), dtype=np.int64)
    for number, base in enumerate(BASES):
        code[ord(base)] = number
    counts = np.zeros((len(reads), len(BASES) ** KMER), dtype=np.float32)
    for row, read in zip(counts, reads, strict=True):
        bases = code[np.frombuffer(read.encode("ascii", "replace"), dtype=np.uint8)]
        if len(bases) < KMER:
            continue
        windows = np.lib.stride_tricks.sliding_window_view(bases, KMER)
        windows = windows[(windows < len(BASES)).all(axis=1)]
        row[:] = np.bincount(windows @ len(BASES) ** np.arange(KMER), minlength=len(row))
    return counts / np.linalg.norm(counts, axis=1, keepdims=True).clip(1)


def aligned_reads(specimens: pd.DataFrame) -> StoredAnswers:
    """Nearest is the aligned read with the largest share of equal bases, which is the confidence.

    The profile is built from training barcodes. Of keys equally near the first one answers. A read
    that cannot be aligned gets no answer, and is no key.
    """
    table, codes, aligned = _aligned(specimens)

    def ask(queries: np.ndarray, keys: np.ndarray, k: int) -> Answers:
        nearest = np.full((len(queries), min(k, len(keys))), -1, dtype=np.int64)
        confidence = np.full(len(queries), -np.inf)
        usable = np.flatnonzero(aligned[keys])
        asked = np.flatnonzero(aligned[queries])
        for start in range(0, len(asked) if len(usable) else 0, BLOCK):
            own = asked[start : start + BLOCK]
            share = equal_share(codes[queries[own]], codes[keys[usable]])
            best = np.argsort(-share, axis=1, kind="stable")[:, : nearest.shape[1]]
            nearest[own, : best.shape[1]] = usable[best]
            confidence[own] = share[np.arange(len(own)), best[:, 0]]
        return from_keys(table, keys, nearest, confidence)

    return ask_all(table, ask)


def dna_start(specimens: pd.DataFrame) -> Embeddings:
    """Aligned reads by the closed-form projection that training begins with, fitted to training
    barcodes alone (`hypertax.data.barcodes.start.fit_start`).

    A read that cannot be aligned is the zero vector, whose cosine is 0 with everything.
    """
    table, codes, aligned = _aligned(specimens)
    own, profile = _training(specimens)
    genera = [None if pd.isna(name) else name for name in own["genus"]]
    found = align_cached(profile, list(own["barcode"]))
    kept = np.flatnonzero(found.aligned)
    start = start_of(found.codes[kept], [genera[i] for i in kept])
    vectors = np.zeros((len(table), start.projection.shape[1]), dtype=np.float32)
    vectors[aligned] = start(codes[aligned])
    return Embeddings(table, vectors, "euclidean")


def _training_reads(specimens: pd.DataFrame) -> pd.DataFrame:
    """The training specimens that have a barcode."""
    own = specimens[specimens["split"].isin(TRAINING_SPLITS) & specimens["barcode"].notna()]
    if own.empty:
        raise ValueError(
            "No training specimen has a barcode, so that none can be compared with: leave the"
            " baselines out (baselines=False)."
        )
    return own


def _training(specimens: pd.DataFrame):
    """The training specimens that have a barcode, and the profile of these."""
    own = _training_reads(specimens)
    species = [None if pd.isna(name) else name for name in own["species"]]
    return own, profile_of(own["barcode"].tolist(), species)


def _aligned(specimens: pd.DataFrame) -> tuple[pd.DataFrame, np.ndarray, np.ndarray]:
    """The table of keys and queries, their aligned codes (N, L), and which are aligned (N,)."""
    table = specimen_table(specimens, "dna")
    found = align_cached(_training(specimens)[1], _reads(specimens, table), progress=True)
    return table, found.codes, found.aligned


def _reads(specimens: pd.DataFrame, table: pd.DataFrame) -> list[str]:
    by_id = specimens.set_index("sampleid")["barcode"]
    return by_id.loc[table["id"]].tolist()
