"""What DNA encoders read: base codes and k-mers as integer matrices, made once for a whole
table."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from torch import Tensor

BASES = "ACGT"
UNKNOWN, BEYOND = len(BASES), len(BASES) + 1
"""Codes of a letter other than A, C, G, T, and of the places beyond the read."""
BARCODE_LENGTH = 660
SHIFT = 30
KMER_LENGTH = 5
KMER_SPECIALS = ("[MASK]", "[UNK]")
"""Before the k-mers in the vocabulary; a k-mer with a letter other than A, C, G, T is unknown
(documented behaviour of BarcodeBERT)."""


def base_codes(barcodes: pd.Series, length: int = BARCODE_LENGTH) -> np.ndarray:
    """Barcodes to (N, length) uint8: 0-3 for A, C, G, T, `UNKNOWN` for any other letter, `BEYOND`
    after the read; longer reads are cut."""
    table = np.full(256, UNKNOWN, dtype=np.uint8)
    for code, base in enumerate(BASES):
        table[ord(base)] = code
    table[ord("-")] = BEYOND
    codes = np.empty((len(barcodes), length), dtype=np.uint8)
    # In parts: as one text, a million reads would take several gigabytes.
    for start in range(0, len(barcodes), 50_000):
        text = (
            barcodes.iloc[start : start + 50_000]
            .fillna("")
            .str.slice(0, length)
            .str.pad(length, side="right", fillchar="-")
        )
        letters = np.frombuffer("".join(text).encode("ascii"), dtype=np.uint8).reshape(
            len(text), length
        )
        codes[start : start + len(text)] = table[letters]
    return codes


def kmer_codes(bases: Tensor, specials: int = len(KMER_SPECIALS), k: int = KMER_LENGTH) -> Tensor:
    """Base codes (N, L) to (N, L // k) int16 of k-mer tokens with stride k; -1 where a k-mer is not
    whole.

    Tokens are numbered as BarcodeBERT's: `specials` first, the last of which is the unknown, then
    the k-mers in alphabetical order.
    """
    kmers = bases[:, : bases.shape[1] // k * k].reshape(len(bases), -1, k).to(torch.int16)
    powers = len(BASES) ** torch.arange(k - 1, -1, -1, dtype=torch.int16)
    tokens = (kmers * powers).sum(dim=2, dtype=torch.int16) + specials
    tokens[(kmers == UNKNOWN).any(dim=2)] = specials - 1
    tokens[(kmers == BEYOND).any(dim=2)] = -1
    return tokens


@dataclass(frozen=True)
class BarcodeCodes:
    """What a DNA encoder reads of unaligned barcodes: base codes as they are (`specials` 0), or
    k-mer tokens after that many special ones."""

    specials: int = 0

    shift = SHIFT
    """In training, a read begins up to this many bases earlier or later: real reads are not
    aligned."""

    def read(self, barcodes: pd.Series, *, progress: bool = False) -> tuple[np.ndarray, np.ndarray]:
        """Base codes (N, 660) of barcodes, and which specimens have one, (N,) bool."""
        return base_codes(barcodes), np.array([isinstance(read, str) for read in barcodes], bool)

    @property
    def unknown(self) -> int:
        """The code of an unknown base or k-mer."""
        return self.specials - 1 if self.specials else UNKNOWN

    def __call__(self, bases: Tensor) -> Tensor:
        """Base codes (N, L) to (N, L) or (N, L // 5)."""
        return kmer_codes(bases, self.specials) if self.specials else bases
