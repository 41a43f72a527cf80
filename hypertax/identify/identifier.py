"""The object for people's own code: a library, a space and a calibration that identify specimens."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd

from hypertax.data.progress import progress_bar
from hypertax.files import write_text
from hypertax.identify import flags as F
from hypertax.identify.answer import ANSWER_COLUMNS, answer_rows, decided
from hypertax.identify.calibration import Calibration, calibrate
from hypertax.identify.embedding import DnaEmbedder
from hypertax.identify.evidence import Channel, Searcher
from hypertax.identify.features import features
from hypertax.identify.reference import Library
from hypertax.taxonomy import RANKS

CHUNK = 4096
"""Queries that are answered at a time; a million stays in bounded memory."""
MOST_HELD_OUT = 6000
PRECISION = 0.95
FORMAT = 1


class Identifier:
    """Names specimens by a library of references.

        identifier = Identifier.train(read_library("library.tsv"))
        answers = identifier.identify(read_queries("queries.fasta"))
        identifier.save("library.hypertax")

    Args:
        embedder: makes vectors of specimens.
        library: the references.
        calibration: of this library in this space; made anew where it is not given.
    """

    def __init__(self, embedder, library: Library, calibration: Calibration | None = None) -> None:
        self.embedder, self.library = embedder, library
        self.searcher = Searcher(library.table)
        self.frame = F.coding_frame(library.codes)
        self._references_of = library.table["species"].map(library.table["species"].value_counts())
        self.calibration = calibration or self._calibrated()

    @classmethod
    def train(cls, library: pd.DataFrame, *, progress: bool = True) -> Identifier:
        """An identifier of a library's own DNA start.

        Args:
            library: a table of specimens with names, columns of `hypertax.data.load_specimens`; `split` may be
                missing, `bin_uri` may be there.
        """
        embedder = DnaEmbedder.fit(library, progress)
        return cls(embedder, Library.of(library, embedder, progress))

    def add(self, reference: pd.DataFrame, *, progress: bool = True) -> Identifier:
        """An identifier with further references; the space stays, the calibration is made anew.

        Args:
            reference: a table as `train` takes it.
        """
        further = Library.of(reference, self.embedder, progress)
        return Identifier(self.embedder, self.library.joined(further))

    def within(self, taxon: str) -> Identifier:
        """An identifier by the references of one taxon alone; see `Library.within`."""
        return Identifier(self.embedder, self.library.within(taxon))

    def identify(
        self,
        queries: pd.DataFrame,
        *,
        precision: float = PRECISION,
        rank: str = "species",
        progress: bool = True,
    ) -> pd.DataFrame:
        """Answers, one row a query, in the order given, none missing.

        Args:
            queries: N specimens, columns `sampleid`, `barcode` and `image`, NA where there is none; and
                `remarks`, why a record could not be read, where there are such records.
            precision: the share of answers at each rank that shall be right.
            rank: the deepest rank to answer.

        Returns:
            N rows, columns `ANSWER_COLUMNS`.

        Raises:
            ValueError: an impossible precision or rank.
        """
        parts = list(self.chunks(queries, precision=precision, rank=rank, progress=progress))
        return pd.concat(parts, ignore_index=True)

    def chunks(
        self,
        queries: pd.DataFrame,
        *,
        precision: float = PRECISION,
        rank: str = "species",
        start: int = 0,
        progress: bool = True,
    ) -> Iterator[pd.DataFrame]:
        """Answers of `CHUNK` queries at a time, from the query `start` on; see `identify`."""
        check_wishes(precision, rank)
        thresholds = self.calibration.thresholds(precision)
        twice = queries["sampleid"].duplicated(keep=False).to_numpy()
        bar = progress_bar(
            total=len(queries),
            initial=start,
            desc="identifying",
            unit=" specimens",
            leave=False,
            disable=not progress or len(queries) < 2 * CHUNK,
            mininterval=1,
        )
        with bar:
            for first in range(start, max(len(queries), start + 1), CHUNK):
                part = queries.iloc[first : first + CHUNK].reset_index(drop=True)
                yield self._answers(part, thresholds, rank, twice[first : first + CHUNK])
                bar.update(len(part))

    def thresholds(self, precision: float) -> dict[str, float]:
        """The least probability of an answer by rank; see `Calibration.thresholds`."""
        return self.calibration.thresholds(precision)[0]

    def _answers(
        self,
        queries: pd.DataFrame,
        thresholds: tuple[dict[str, float], set[str]],
        rank: str,
        twice: np.ndarray,
    ) -> pd.DataFrame:
        if queries.empty:
            return pd.DataFrame(columns=list(ANSWER_COLUMNS))
        aligned, vectors = self.embedder.embed(queries, progress=False)
        codes = aligned.codes
        evidence = self.searcher.find(self._channels(vectors))
        by_rank, near, other = features(evidence, codes, self.library.codes)
        probability = self.calibration.probabilities(by_rank)
        names = np.stack(
            [
                np.append(self.searcher.groups[r].names, None)[evidence.taxon[:, d]]
                for d, r in enumerate(RANKS)
            ],
            axis=1,
        )
        depth = decided(probability, evidence.taxon, thresholds[0], rank)
        spoke = np.where(evidence.nearest >= 0, "dna", "")
        sure = np.array([True, *(r in thresholds[1] for r in RANKS)])
        unsure = ~sure[depth]
        codes_of = self._flags(queries, aligned, evidence, near, other, twice, unsure)
        remarks = queries["remarks"] if "remarks" in queries else pd.Series([None] * len(queries))
        return answer_rows(
            queries["sampleid"].fillna("").tolist(),
            names,
            probability,
            depth,
            evidence,
            self.library.table,
            (near, other),
            spoke.astype(object),
            np.full(len(queries), None, dtype=object),
            codes_of,
            [None if pd.isna(text) else str(text) for text in remarks],
        )

    def _channels(self, vectors: dict[str, np.ndarray]) -> list[Channel]:
        return [Channel(vectors["dna"], self.library.vectors["dna"])]

    def _flags(self, queries, aligned, evidence, near, other, twice, unsure) -> list[list[str]]:
        reads = queries["barcode"].fillna("").to_numpy(dtype=str)
        has = np.char.str_len(reads) > 0
        codes = aligned.codes
        counts = (codes < F.BASES).sum(axis=1)
        stops = np.zeros(len(codes), dtype=bool)
        broken = np.zeros(len(codes), dtype=bool)
        if self.frame is not None:
            stops = F.stop_codons(codes, self.frame) > 0
            broken = F.broken_frames(codes) | (aligned.inserted % 3 != 0)
        unread = (
            queries["remarks"].notna().to_numpy() & ~has
            if "remarks" in queries
            else np.zeros(len(codes), dtype=bool)
        )
        seen = evidence.nearest >= 0
        few = self._references_of.to_numpy()[np.maximum(evidence.nearest, 0)] < F.FEW_REFERENCES
        fits = has & aligned.aligned
        tests = {
            "unreadable": unread,
            "no-evidence": ~seen,
            "duplicate-identifier": twice,
            "reverse-complement": aligned.reversed & has,
            "does-not-align": has & ~aligned.aligned,
            "short": fits & (counts < F.SHORT * codes.shape[1]),
            "ambiguous": np.array([F.ambiguous_share(read) > F.AMBIGUOUS for read in reads]),
            "stop-codon": fits & stops,
            "frameshift": fits & broken,
            "likely-pseudogene": fits & (stops | broken),
            "shared-barcode": seen & (other <= near),
            "library-too-small": seen & few,
            "no-guarantee": unsure,
            "uncalibrated": np.full(len(codes), not self.calibration.usable),
        }
        return [[code for code, test in tests.items() if test[i]] for i in range(len(codes))]

    def _calibrated(self) -> Calibration:
        """Hold out references, by themselves and with their species and genera."""
        table, groups = self.library.table, self.searcher.groups
        chosen = _held_out(table)
        if len(chosen) < 2:
            return calibrate({}, {})
        species = groups["species"].of_rows()
        genus = groups["genus"].of_rows()
        hidden = {
            "specimen": [[slice(i, i + 1)] for i in chosen],
            "species": _slices(groups["species"], species[chosen]),
            "genus": _slices(groups["genus"], genus[chosen]),
        }
        own = {m: part[chosen] for m, part in self.library.vectors.items()}
        lonely = (table["species"].map(table["species"].value_counts()) < 2).to_numpy()[chosen]
        held, found = {}, {}
        for kind, slices in hidden.items():
            evidence = self.searcher.find(self._channels(own), slices)
            by_rank, _, _ = features(evidence, self.library.codes[chosen], self.library.codes)
            right = {}
            for depth, rank in enumerate(RANKS):
                answered = np.append(groups[rank].names, None)[evidence.taxon[:, depth]]
                true = table[rank].to_numpy(dtype=object)[chosen]
                right[f"right_{rank}"] = (answered == true) & (evidence.taxon[:, depth] >= 0)
            usable = evidence.nearest >= 0
            if kind == "specimen":
                usable &= ~lonely
            held[kind] = pd.DataFrame(
                {"species": species[chosen], "genus": genus[chosen], **right}
            )[usable]
            found[kind] = {rank: part[usable] for rank, part in by_rank.items()}
        return calibrate(held, found)

    def save(self, folder: str | Path) -> Path:
        """Write the identifier into a folder; `from_pretrained` reads it."""
        folder = Path(folder)
        self.library.save(folder)
        self.embedder.save(folder)
        held_out = self.calibration.held_out
        if len(held_out):
            held_out.to_parquet(folder / "held_out.parquet")
        about = {
            "format": FORMAT,
            "embedder": self.embedder.name,
            "library": self.library.fingerprint(),
            "references": len(self.library),
            "calibration": self.calibration.to_dict(),
        }
        write_text(folder / "identifier.json", json.dumps(about, indent=1) + "\n")
        return folder

    @classmethod
    def from_pretrained(cls, folder: str | Path) -> Identifier:
        """Read what `save` wrote.

        Raises:
            ValueError: the folder holds no identifier, or one of another format.
        """
        folder = Path(folder)
        if not (folder / "identifier.json").is_file():
            raise ValueError(f"{folder} holds no identifier: identifier.json is missing.")
        about = json.loads((folder / "identifier.json").read_text(encoding="utf-8"))
        if about.get("format") != FORMAT:
            raise ValueError(f"{folder} was written by another version: make it again.")
        held_out = pd.DataFrame()
        if (folder / "held_out.parquet").is_file():
            held_out = pd.read_parquet(folder / "held_out.parquet")
        calibration = Calibration(held_out=held_out, **about["calibration"])
        return cls(DnaEmbedder.load(folder), Library.load(folder), calibration)


def check_wishes(precision: float, rank: str) -> None:
    """Refuse an impossible precision or rank.

    Raises:
        ValueError: one sentence.
    """
    if not 0.5 <= precision < 1:
        raise ValueError(f"precision must be from 0.5 to below 1, not {precision}.")
    if rank not in RANKS:
        raise ValueError(f"rank must be one of {', '.join(RANKS)}, not {rank!r}.")


def _held_out(table: pd.DataFrame) -> np.ndarray:
    """Up to `MOST_HELD_OUT` references with a species' name, dealt evenly to the species, sorted."""
    named = np.flatnonzero(table["species"].notna() & table["genus"].notna())
    order = named[np.random.default_rng(0).permutation(len(named))]
    species = table["species"].to_numpy(dtype=object)[order]
    turn = pd.Series(species).groupby(species).cumcount().to_numpy()
    return np.sort(order[np.argsort(turn, kind="stable")][:MOST_HELD_OUT])


def _slices(groups, of_chosen: np.ndarray) -> list[list[slice]]:
    return [[slice(groups.starts[g], groups.stops[g])] for g in of_chosen]
