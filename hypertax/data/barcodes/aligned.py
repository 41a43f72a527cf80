"""What DNA encoders read of aligned barcodes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from torch import Tensor

from hypertax.data.barcodes.alignment import Profile, align_cached
from hypertax.data.barcodes.codes import UNKNOWN, kmer_codes


@dataclass(frozen=True)
class AlignedCodes:
    """Bases at the columns of a profile, as they are (`specials` 0) or as k-mer tokens.

    Args:
        profile: that reads are aligned to.
        specials: special tokens before the k-mers in the encoder's vocabulary.
    """

    profile: Profile
    specials: int = 0

    shift = 0
    """A column means the same in every read: none begins elsewhere in training."""

    @property
    def unknown(self) -> int:
        """The code of an unknown base or k-mer."""
        return self.specials - 1 if self.specials else UNKNOWN

    def read(self, barcodes: pd.Series, *, progress: bool = True) -> tuple[np.ndarray, np.ndarray]:
        """Codes (N, columns) of barcodes, and which of them are aligned, (N,) bool.

        A barcode of another marker, or of unknown bases alone, is none.
        """
        reads = [read if isinstance(read, str) else None for read in barcodes]
        found = align_cached(self.profile, reads, progress=progress)
        return found.codes, found.aligned

    def __call__(self, bases: Tensor) -> Tensor:
        """Base codes (N, L) to (N, L) or (N, L // 5)."""
        return kmer_codes(bases, self.specials) if self.specials else bases
