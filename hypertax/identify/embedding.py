"""Vectors of specimens without training: the DNA start of a library's own barcodes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from hypertax.data.barcodes import AlignedReads, DnaStart, Profile, align_cached, fit_start
from hypertax.files import atomic_path

START_NAME = "DNA start"
_ARRAYS = ("frequencies", "weights", "mean", "projection")


class DnaEmbedder:
    """The DNA start: aligned reads, centred, weighed and projected.

    Args:
        profile: of the marker.
        start: the projection of aligned reads.
    """

    modalities = ("dna",)
    name = START_NAME

    def __init__(self, profile: Profile, start: DnaStart) -> None:
        self.profile, self.start = profile, start

    @classmethod
    def fit(
        cls, library: pd.DataFrame, progress: bool = True, profile: Profile | None = None
    ) -> DnaEmbedder:
        """Make the profile and the projection from a library's reads.

        Args:
            library: columns `barcode`, `genus` and `species`, NA where unknown.
            progress: show a bar.
            profile: of the marker, where one is there already.

        Raises:
            ValueError: the library has no barcode that can be aligned.
        """
        reads = _reads(library)
        has = [read is not None for read in reads]
        if not any(has):
            raise ValueError(
                "The library has no barcodes: name a column `nucraw`, or give FASTA files."
            )
        profile = profile or Profile.build(
            [read for read in reads if read is not None], _names(library["species"][has])
        )
        embedder = cls(profile, None)
        aligned = embedder.align(library, progress)
        if not aligned.aligned.any():
            raise ValueError("No barcode of the library aligns to the others: check its column.")
        kept = aligned.aligned
        embedder.start = fit_start(aligned.codes[kept], _names(library["genus"][kept]))
        return embedder

    def align(self, table: pd.DataFrame, progress: bool = True) -> AlignedReads:
        """The barcodes of N specimens at the columns of the profile."""
        return align_cached(self.profile, _reads(table), progress=progress)

    def embed(
        self, table: pd.DataFrame, progress: bool = True
    ) -> tuple[AlignedReads, dict[str, np.ndarray]]:
        """Aligned reads of N specimens, and unit vectors by modality, (N, W), NaN without one."""
        aligned = self.align(table, progress)
        vectors = self.start(aligned.codes)
        vectors = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-9)
        vectors[~aligned.aligned] = np.nan
        return aligned, {"dna": vectors.astype(np.float32)}

    def save(self, folder: Path) -> None:
        """Write `profile.hmm` and `start.safetensors`."""
        from safetensors.numpy import save_file

        folder.mkdir(parents=True, exist_ok=True)
        with atomic_path(folder / "profile.hmm") as temporary:
            temporary.write_bytes(self.profile.to_bytes())
        arrays = {name: np.ascontiguousarray(getattr(self.start, name)) for name in _ARRAYS}
        arrays["scale"] = np.array([self.start.scale])
        with atomic_path(folder / "start.safetensors") as temporary:
            save_file(arrays, temporary)

    @classmethod
    def load(cls, folder: Path) -> DnaEmbedder:
        """Read what `save` wrote."""
        from safetensors.numpy import load_file

        arrays = load_file(folder / "start.safetensors")
        start = DnaStart(*(arrays[name] for name in _ARRAYS), float(arrays["scale"][0]))
        return cls(Profile.from_bytes((folder / "profile.hmm").read_bytes()), start)


def _reads(table: pd.DataFrame) -> list[str | None]:
    return [read if isinstance(read, str) and read else None for read in table["barcode"]]


def _names(column: pd.Series) -> list[str | None]:
    return [name if isinstance(name, str) else None for name in column]
