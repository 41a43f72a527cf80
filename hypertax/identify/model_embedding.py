"""Vectors of specimens from a trained model."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pandas as pd

from hypertax.data.barcodes import AlignedReads, Profile, align_cached
from hypertax.data.barcodes.aligned import AlignedCodes
from hypertax.model.embedding import embed
from hypertax.model.model import HypertaxModel
from hypertax.taxonomy import RANKS

MODEL_FOLDER = "model"


class ModelEmbedder:
    """A trained model: unit vectors by their direction from the origin.

    Directions rank neighbours as distances do where a modality's specimens have one radius, as in
    Euclidean spaces and with the recipes `laptop` and `nested`.

    Args:
        model: of `hypertax.model`.
        profile: the marker's, to compare bases and read frames; that of the model by default. None
            without barcodes.
    """

    def __init__(self, model: HypertaxModel, profile: Profile | None = None) -> None:
        self.model = model
        self.modalities = tuple(m for m in ("image", "dna") if m in model.modalities)
        codes = model.barcode_codes if "dna" in self.modalities else None
        self.profile = codes.profile if isinstance(codes, AlignedCodes) else profile
        self.name = f"model, {model.config.method}"

    def embed(
        self, table: pd.DataFrame, progress: bool = True
    ) -> tuple[AlignedReads, dict[str, np.ndarray]]:
        """Aligned reads of N specimens, and unit vectors by modality, (N, D), NaN without one."""
        asked = table.reindex(columns=["sampleid", "image", "barcode", *RANKS, "split"]).copy()
        asked["sampleid"] = [str(i) for i in range(len(asked))]
        asked[[*RANKS, "split"]] = None
        asked = asked.astype("str").where(asked.notna(), None).astype("str")
        for modality, column in (("image", "image"), ("dna", "barcode")):
            if modality not in self.modalities:
                asked[column] = pd.Series([None] * len(asked), dtype="str")
        vectors = {
            m: np.full((len(asked), self.model.config.embed_dim), np.nan, dtype=np.float32)
            for m in self.modalities
        }
        if asked[["image", "barcode"]].notna().any(axis=None):
            with warnings.catch_warnings():
                # What cannot be read is said in the row of the specimen.
                warnings.simplefilter("ignore", UserWarning)
                found = embed(self.model, asked, progress=progress)
            for modality in self.modalities:
                part = found.select(modality)
                rows = part.table["id"].astype(int).to_numpy()
                norm = np.linalg.norm(part.tangent, axis=1, keepdims=True)
                vectors[modality][rows] = part.tangent / np.maximum(norm, 1e-9)
        return self.align(table, progress), vectors

    def align(self, table: pd.DataFrame, progress: bool = True) -> AlignedReads:
        """The barcodes of N specimens at the columns of the profile; of none without a profile."""
        reads = [read if isinstance(read, str) and read else None for read in table["barcode"]]
        if self.profile is None:
            return AlignedReads.empty(len(reads), 0)
        return align_cached(self.profile, reads, progress=progress)

    def save(self, folder: Path) -> None:
        """Write the model into `folder/model`."""
        self.model.save_pretrained(folder / MODEL_FOLDER)

    @classmethod
    def load(cls, folder: Path) -> ModelEmbedder:
        """Read what `save` wrote, or the folder of a run."""
        inner = folder / MODEL_FOLDER
        return cls(HypertaxModel.from_pretrained(inner if inner.is_dir() else folder))
