"""Embeddings of specimens and taxa: one table, one matrix, one file."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import torch

from hypertax.files import atomic_path
from hypertax.geometry import lorentz as L
from hypertax.taxonomy import RANKS

COLUMNS = ("id", "modality", "rank", "split", *RANKS)


@dataclass(frozen=True)
class Embeddings:
    """Tangent vectors at the origin, one row per specimen and modality and one per taxon.

    Args:
        table: columns `id` (sampleid, or a taxon's name), `modality` ("image", "dna", "text"),
            `rank` (of a taxon; NA for specimens), `split` (NA for taxa) and the four ranks' names
            (NA where unknown).
        tangent: (N, D) float32. In a Lorentz space the logarithm at the origin: its norm is the
            radius (distance from the origin) and `points` gives the point. In a Euclidean space the
            features before normalisation.
        space: "lorentz" or "euclidean".
        curvature: c of a Lorentz space (curvature -c), None in a Euclidean one.

    Raises:
        ValueError: a table and vectors of different lengths.
    """

    table: pd.DataFrame
    tangent: np.ndarray
    space: str
    curvature: float | None = None

    def __post_init__(self) -> None:
        if len(self.table) != len(self.tangent):
            raise ValueError(f"{len(self.table)} rows but {len(self.tangent)} vectors.")

    def __len__(self) -> int:
        return len(self.table)

    def where(self, mask) -> Embeddings:
        """The rows of a boolean mask of length N, in order."""
        mask = np.asarray(mask)
        return Embeddings(
            self.table[mask].reset_index(drop=True), self.tangent[mask], self.space, self.curvature
        )

    def select(
        self, modality: str, splits: list[str] | None = None, rank: str | None = None
    ) -> Embeddings:
        """The rows of one modality, of the given splits (specimens) or of one rank (taxa)."""
        mask = (self.table["modality"] == modality).to_numpy()
        if splits is not None:
            mask = mask & self.table["split"].isin(splits).to_numpy()
        if rank is not None:
            mask = mask & (self.table["rank"] == rank).to_numpy()
        return self.where(mask)

    def points(self, rows=slice(None), device: str | torch.device = "cpu") -> torch.Tensor:
        """The points that distances are taken between, in fp64: (N, D) space components on the
        hyperboloid, or unit vectors in a Euclidean space, where a zero vector stays zero.

        Args:
            rows: which ones, as numpy indexes: indices, a mask or a slice; all by default.
            device: where to compute; one with fp64.
        """
        tangent = torch.from_numpy(self.tangent[rows].astype(np.float64)).to(device)
        if self.space == "lorentz":
            return L.exp0(tangent, float(self.curvature))
        norm = tangent.norm(dim=1, keepdim=True)
        return tangent / torch.where(norm > 0, norm, 1.0)

    @property
    def modalities(self) -> list[str]:
        """The specimens' modalities present, of image and dna in this order."""
        present = set(self.table["modality"])
        return [m for m in ("image", "dna") if m in present]

    def save(self, path: Path) -> None:
        """Write one Parquet file: the table's columns, `tangent`, and the space in the metadata
        under `hypertax`."""
        arrays = {
            name: pa.array(self.table[name], pa.string(), from_pandas=True) for name in COLUMNS
        }
        flat = pa.array(np.ascontiguousarray(self.tangent, dtype=np.float32).reshape(-1))
        arrays["tangent"] = pa.FixedSizeListArray.from_arrays(flat, self.tangent.shape[1])
        meta = json.dumps({"space": self.space, "curvature": self.curvature})
        with atomic_path(path) as temporary:
            pq.write_table(pa.table(arrays).replace_schema_metadata({"hypertax": meta}), temporary)

    @classmethod
    def load(cls, path: Path) -> Embeddings:
        """Read what `save` wrote."""
        stored = pq.read_table(path)
        meta = json.loads(stored.schema.metadata[b"hypertax"])
        width = stored.schema.field("tangent").type.list_size
        tangent = (
            stored.column("tangent")
            .combine_chunks()
            .flatten()
            .to_numpy(zero_copy_only=False)
            .reshape(-1, width)
        )
        return cls(
            stored.drop_columns(["tangent"]).to_pandas(), tangent, meta["space"], meta["curvature"]
        )
