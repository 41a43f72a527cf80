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

from hypertax.files import atomic_path, shown
from hypertax.geometry import lorentz as L
from hypertax.taxonomy import RANKS

COLUMNS = ("id", "modality", "rank", "split", *RANKS)
MODALITIES = ("image", "dna", "text")
_MOST_BYTES = 2**36


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
            pq.write_table(
                pa.table(arrays).replace_schema_metadata({"hypertax": meta}),
                temporary,
                write_page_checksum=True,
            )

    @classmethod
    def load(cls, path: Path) -> Embeddings:
        """Read what `save` wrote; the file may be a stranger's.

        Raises:
            FileNotFoundError: there is no such file.
            ValueError: it holds no embeddings; one sentence says what is wrong.
        """
        path = Path(path)
        if not path.exists():
            raise FileNotFoundError(f"There are no embeddings {shown(path)}.")
        if not path.is_file():
            raise ValueError(f"{shown(path)} holds no embeddings: it is no regular file.")
        try:
            return _read(path, cls)
        except _Wrong as error:
            raise ValueError(f"{shown(path)} holds no embeddings: {error}.") from None
        except (pa.ArrowException, OSError, ValueError, KeyError, RecursionError) as error:
            raise ValueError(
                f"{shown(path)} holds no embeddings: it is cut off or something else."
            ) from error


class _Wrong(Exception):
    """What a file of embeddings has wrong, in a few words."""


def _read(path: Path, kind: type[Embeddings]) -> Embeddings:
    with pq.ParquetFile(path, page_checksum_verification=True) as file:
        schema, rows = file.schema_arrow, file.metadata.num_rows
        if set(schema.names) != {*COLUMNS, "tangent"} or len(schema.names) != len(COLUMNS) + 1:
            raise _Wrong(f"its columns are not {', '.join(COLUMNS)} and tangent")
        vectors = schema.field("tangent").type
        if not pa.types.is_fixed_size_list(vectors) or vectors.value_type != pa.float32():
            raise _Wrong("tangent is no column of vectors of float32")
        texts = (pa.string(), pa.large_string())
        if not all(schema.field(name).type in texts for name in COLUMNS):
            raise _Wrong("a column of names is no text")
        if rows * vectors.list_size * 4 > _MOST_BYTES:
            raise _Wrong("its vectors are larger than any that are written here")
        space, curvature = _space_of((schema.metadata or {}).get(b"hypertax"))
        stored = file.read()
    tangent = stored.column("tangent").combine_chunks()
    if tangent.null_count or tangent.flatten().null_count:
        raise _Wrong("a vector is missing")
    width = vectors.list_size
    matrix = tangent.flatten().to_numpy(zero_copy_only=False).reshape(-1, width)
    if len(matrix) != rows or not np.isfinite(matrix).all():
        raise _Wrong("a vector is not finite")
    table = stored.drop_columns(["tangent"]).to_pandas()
    for column, allowed in (("modality", MODALITIES), ("rank", RANKS)):
        wrong = set(table[column].dropna()) - set(allowed)
        if wrong:
            raise _Wrong(f"{column} {str(min(wrong))[:40]!r} is none of {', '.join(allowed)}")
    if table[["id", "modality"]].isna().any(axis=None):
        raise _Wrong("a row has no id or no modality")
    return kind(table, matrix, space, curvature)


def _space_of(told: bytes | None) -> tuple[str, float | None]:
    meta = json.loads(told) if told is not None else None
    if not isinstance(meta, dict) or set(meta) != {"space", "curvature"}:
        raise _Wrong("its metadata do not say the space")
    space, curvature = meta["space"], meta["curvature"]
    if space == "euclidean" and curvature is None:
        return space, None
    number = isinstance(curvature, int | float) and not isinstance(curvature, bool)
    # A learned curvature stays within ten times of where it began.
    if space != "lorentz" or not number or not 9e-5 <= curvature <= 1.1e4:
        raise _Wrong("its space is neither Euclidean nor Lorentz with a curvature")
    return space, curvature
