"""The library: references with names, aligned and embedded, sorted by their lineages."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd

from hypertax.files import atomic_path
from hypertax.identify.lineages import completed, sorted_order
from hypertax.taxonomy import RANKS

COLUMNS = ("sampleid", "image", "barcode", *RANKS, "bin_uri", "trained")


@dataclass(frozen=True)
class Library:
    """References sorted by `lineages.sorted_order`.

    Args:
        table: R rows, columns `COLUMNS`.
        codes: (R, L) aligned reads.
        vectors: by modality (R, D), NaN for references without one.
        contradicted: how many lineages were mended by their majority.
    """

    table: pd.DataFrame
    codes: np.ndarray
    vectors: dict[str, np.ndarray]
    contradicted: int = 0

    @classmethod
    def of(cls, specimens: pd.DataFrame, embedder, progress: bool = True) -> Library:
        """Embed references; those without any name, or without anything that can be embedded, are left out.

        Raises:
            ValueError: none is left.
        """
        table = specimens.reindex(columns=list(COLUMNS)).reset_index(drop=True).astype("object")
        table = table.where(table.notna(), None)
        named = table[list(RANKS)].notna().any(axis=1).to_numpy()
        if not named.any():
            raise ValueError(
                "The library has no specimen with a name: fill at least one of the columns"
                f" {', '.join(RANKS)}, or give lineages in the FASTA headers."
            )
        aligned, vectors = embedder.embed(table, progress)
        mended, changed = completed(table)
        table[list(RANKS)] = mended
        order = np.asarray(sorted_order(mended))
        order = order[named[order]]
        table = table.iloc[order].reset_index(drop=True)
        codes = aligned.codes[order]
        vectors = {m: part[order] for m, part in vectors.items()}
        kept = np.zeros(len(table), dtype=bool)
        for part in vectors.values():
            kept |= np.isfinite(part).all(axis=1)
        if not kept.any():
            raise ValueError(
                "No reference of the library could be embedded: none has a barcode of the"
                " model's marker or a readable photograph."
            )
        return cls(
            table[kept].reset_index(drop=True),
            codes[kept],
            {m: part[kept] for m, part in vectors.items()},
            int(changed.sum()),
        )

    def __len__(self) -> int:
        return len(self.table)

    def joined(self, other: Library) -> Library:
        """This library and further references of the same embedder."""
        table = pd.concat([self.table, other.table], ignore_index=True)
        mended, changed = completed(table)
        table[list(RANKS)] = mended
        order = sorted_order(mended)
        vectors = {
            m: np.concatenate([self.vectors[m], other.vectors[m]])[order] for m in self.vectors
        }
        codes = np.concatenate([self.codes, other.codes])[order]
        return Library(table.iloc[order].reset_index(drop=True), codes, vectors, int(changed.sum()))

    def within(self, taxon: str) -> Library:
        """The references of one taxon of any rank.

        Raises:
            ValueError: the library has no such taxon; the nearest name is given.
        """
        rows = (self.table[list(RANKS)] == taxon).any(axis=1).to_numpy()
        if not rows.any():
            import difflib

            names = pd.unique(self.table[list(RANKS)].to_numpy().ravel())
            near = difflib.get_close_matches(taxon, [n for n in names if n], n=1)
            raise ValueError(
                f"within: the library has no taxon {taxon!r}"
                + (f"; did you mean {near[0]}?" if near else "; give it as the library does.")
            )
        return self.rows(rows)

    def rows(self, chosen: np.ndarray) -> Library:
        """Some references, in their order."""
        table = self.table[chosen].reset_index(drop=True)
        vectors = {m: part[chosen] for m, part in self.vectors.items()}
        return replace(self, table=table, codes=self.codes[chosen], vectors=vectors)

    def fingerprint(self) -> str:
        """SHA-256 of names, reads and vectors, 16 digits."""
        digest = hashlib.sha256()
        for column in COLUMNS:
            if column != "image":
                digest.update("\x1f".join(self.table[column].fillna("\0").astype(str)).encode())
        digest.update(self.codes.tobytes())
        for modality in sorted(self.vectors):
            digest.update(self.vectors[modality].tobytes())
        return digest.hexdigest()[:16]

    def save(self, folder: Path) -> None:
        """Write `library.parquet` and `library.safetensors`."""
        from safetensors.numpy import save_file

        folder.mkdir(parents=True, exist_ok=True)
        with atomic_path(folder / "library.parquet") as temporary:
            self.table.astype("str").where(self.table.notna(), None).to_parquet(temporary)
        arrays = {f"vectors.{m}": np.ascontiguousarray(v) for m, v in self.vectors.items()}
        with atomic_path(folder / "library.safetensors") as temporary:
            save_file({**arrays, "codes": np.ascontiguousarray(self.codes)}, temporary)

    @classmethod
    def load(cls, folder: Path) -> Library:
        """Read what `save` wrote.

        Raises:
            ValueError: the files do not belong together.
        """
        from safetensors.numpy import load_file

        table = pd.read_parquet(folder / "library.parquet").astype("object")
        table = table.where(table.notna(), None)
        arrays = load_file(folder / "library.safetensors")
        codes = arrays.pop("codes")
        vectors = {name.removeprefix("vectors."): value for name, value in arrays.items()}
        if any(len(part) != len(table) for part in (codes, *vectors.values())):
            raise ValueError(f"{folder} is not whole: its table and vectors differ in length.")
        return cls(table.reindex(columns=list(COLUMNS)), codes, vectors)
