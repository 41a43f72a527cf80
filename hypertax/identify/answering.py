"""Answers of some queries: evidence by what of them speaks, probabilities, flags, rows."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from hypertax.data.barcodes import AlignedReads
from hypertax.data.table import UNREADABLE
from hypertax.identify import flags as F
from hypertax.identify.answer import ANSWER_COLUMNS, answer_rows, decided
from hypertax.identify.calibration import EVENTS, Calibration
from hypertax.identify.evidence import Evidence, Searcher
from hypertax.identify.features import features
from hypertax.identify.reference import Library
from hypertax.identify.views import DISAGREE, channels, codes_of, views_present
from hypertax.taxonomy import RANKS


@dataclass(frozen=True)
class Answering:
    """What answers.

    Args:
        embedder: makes vectors. library, searcher: the references. calibrations: by view.
        image_weight: of photographs beside barcodes. frame: where codons begin, None where there
            are none.
    """

    embedder: object
    library: Library
    searcher: Searcher
    calibrations: dict[str, Calibration]
    image_weight: float
    frame: int | None

    def answers(
        self, queries: pd.DataFrame, precision: float, rank: str, twice: np.ndarray
    ) -> pd.DataFrame:
        """The rows of Q queries; see `Identifier.identify`.

        Args:
            queries: as there. precision, rank: as there. twice: (Q,), whether the identifier occurs
                again.
        """
        count = len(queries)
        if not count:
            return pd.DataFrame(columns=list(ANSWER_COLUMNS))
        aligned, vectors = self.embedder.embed(queries, progress=False)
        evidence = Evidence.empty(count)
        probability = np.full((count, len(EVENTS)), np.nan)
        depth = np.zeros(count, dtype=int)
        near, other = np.full(count, np.nan), np.full(count, np.nan)
        spoke = np.full(count, None, dtype=object)
        unsure, uncalibrated = np.zeros(count, dtype=bool), np.ones(count, dtype=bool)
        present = views_present(vectors)
        for view, rows in present.items():
            if view not in self.calibrations or not rows.any():
                continue
            spoke[rows] = view
            calibration = self.calibrations[view]
            thresholds, sure = calibration.thresholds(precision)
            part, p, shares = self._asked(view, vectors, aligned.codes, rows)
            evidence.place(rows, part)
            probability[rows], (near[rows], other[rows]) = p, shares
            depth[rows] = decided(p, part.taxon, thresholds, rank)
            tested = np.array([True, *(r in sure for r in RANKS)])
            unsure[rows] = ~tested[depth[rows]]
            uncalibrated[rows] = not calibration.usable
        agreement = self._agreement(vectors, aligned.codes, present["image+dna"])
        spoke[evidence.nearest < 0] = None
        tests = {
            "duplicate-identifier": twice,
            **self._about_reads(queries, aligned),
            **self._about_evidence(evidence, near, other),
            "unreadable-photograph": self._unreadable(queries, vectors),
            "modalities-disagree": np.array([str(a).startswith("disagree") for a in agreement]),
            "no-guarantee": unsure,
            "uncalibrated": uncalibrated,
        }
        order = [code for code in F.FLAGS if code in tests]
        codes = [[code for code in order if tests[code][i]] for i in range(count)]
        remarks = queries["remarks"] if "remarks" in queries else [None] * count
        return answer_rows(
            ["" if pd.isna(name) else str(name) for name in queries["sampleid"]],
            self.searcher.names(evidence),
            probability,
            depth,
            evidence,
            self.library.table,
            (near, other),
            spoke,
            agreement,
            codes,
            [None if pd.isna(text) else str(text) for text in remarks],
        )

    def _asked(self, view: str, vectors: dict, codes: np.ndarray, rows: np.ndarray):
        """Evidence, probabilities and shares of different bases of some rows by one view."""
        own = {m: part[rows] for m, part in vectors.items()}
        asked = channels(view, own, self.library.vectors, self.image_weight)
        evidence = self.searcher.find(asked)
        by_rank, near, other = features(
            evidence, codes_of(view, codes[rows]), self.library.codes
        )
        return evidence, self.calibrations[view].probabilities(by_rank), (near, other)

    def _agreement(self, vectors: dict, codes: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """Whether photograph and barcode, each alone, name the same taxa; None where one is missing."""
        said = np.full(len(rows), None, dtype=object)
        if not rows.any() or "dna" not in self.calibrations or "image" not in self.calibrations:
            return said
        told = {}
        for view in ("dna", "image"):
            evidence, p, _ = self._asked(view, vectors, codes, rows)
            told[view] = self.searcher.names(evidence), np.nan_to_num(p)
        (names, p), (others, q) = told["dna"], told["image"]
        known = (names != None) & (others != None)  # noqa: E711 (element by element)
        differ = known & (names != others)
        sure = differ & (p[:, :4] >= DISAGREE) & (q[:, :4] >= DISAGREE)
        both = [
            f"disagree at {RANKS[row.argmax()]}" if row.any() else "agree" if same else None
            for row, same in zip(sure, ~differ.any(axis=1), strict=True)
        ]
        said[rows] = both
        return said

    def _about_reads(self, queries: pd.DataFrame, aligned: AlignedReads) -> dict[str, np.ndarray]:
        codes = aligned.codes
        reads = [read if isinstance(read, str) else "" for read in queries["barcode"]]
        has = np.array([bool(read) for read in reads])
        if not codes.shape[1]:
            return {}
        counts = (codes < F.BASES).sum(axis=1)
        fits = has & aligned.aligned
        stops, broken = np.zeros(len(has), dtype=bool), np.zeros(len(has), dtype=bool)
        if self.frame is not None:
            stops = fits & (F.stop_codons(codes, self.frame) > 0)
            broken = fits & (F.broken_frames(codes) | (aligned.inserted % 3 != 0))
        return {
            "reverse-complement": aligned.reversed & fits,
            "does-not-align": has & ~aligned.aligned,
            "short": fits & (counts < F.SHORT * codes.shape[1]),
            "ambiguous": np.array([F.ambiguous_share(read) > F.AMBIGUOUS for read in reads]),
            "stop-codon": stops,
            "frameshift": broken,
            "likely-pseudogene": stops | broken,
        }

    def _about_evidence(self, evidence, near, other) -> dict[str, np.ndarray]:
        species = self.library.table["species"]
        counts = species.map(species.value_counts()).fillna(0).to_numpy()
        seen = evidence.nearest >= 0
        few = counts[np.maximum(evidence.nearest, 0)] < F.FEW_REFERENCES
        return {
            "no-evidence": ~seen,
            "shared-barcode": seen & (other <= near),
            "library-too-small": seen & few,
        }

    def _unreadable(self, queries: pd.DataFrame, vectors: dict) -> np.ndarray:
        has = queries["image"].notna().to_numpy()
        told = np.zeros(len(has), dtype=bool)
        if "remarks" in queries:
            told = np.array([str(text).startswith(UNREADABLE) for text in queries["remarks"]])
        if "image" not in vectors:
            return told
        return told | has & ~np.isfinite(vectors["image"]).all(axis=1)
