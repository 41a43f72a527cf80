"""What is wrong or noteworthy about a query, as short codes with a sentence each."""

from __future__ import annotations

import numpy as np

FLAGS = {
    "no-evidence": "it has neither a usable barcode nor a readable photograph",
    "unreadable-photograph": "the photograph could not be opened",
    "reverse-complement": "the read was turned: it was a reverse complement",
    "does-not-align": "the read does not align to the library's marker: it was not used",
    "short": "it covers less than 45 % of the marker",
    "ambiguous": "more than 1 % of its letters are ambiguous",
    "stop-codon": "a stop codon in the frame (genetic code 5, invertebrate mitochondrial)",
    "frameshift": "a gap or an insertion breaks the reading frame",
    "likely-pseudogene": "likely a pseudogene or an error of sequencing",
    "modalities-disagree": "photograph and barcode disagree: a mix-up or a contamination",
    "shared-barcode": "the nearest references of two species are equally near",
    "library-too-small": "too few references of this taxon to tell species apart",
    "uncalibrated": "the library is too small for probabilities",
    "no-guarantee": "too few species to test the precision; the probability reaches it",
    "duplicate-identifier": "another record has the same identifier",
}
"""Codes, and what each says."""
SHORT = 0.45
AMBIGUOUS = 0.01
FEW_REFERENCES = 3
BASES = 4
_STOPS = {(3, 0, 0), (3, 0, 2)}
"""TAA and TAG; in the invertebrate mitochondrial code TGA is tryptophan."""


def stop_codons(codes: np.ndarray, frame: int) -> np.ndarray:
    """Stop codons of each aligned read in a frame, (N,) counts.

    Args:
        codes: (N, L), 0 to 3 for A, C, G, T, more where there is no base.
        frame: the column where the first whole codon begins, 0 to 2.
    """
    width = (codes.shape[1] - frame) // 3 * 3
    codons = codes[:, frame : frame + width].reshape(len(codes), -1, 3)
    found = np.zeros(codons.shape[:2], dtype=bool)
    for stop in sorted(_STOPS):
        found |= (codons == np.array(stop, dtype=codes.dtype)).all(axis=2)
    return found.sum(axis=1)


def coding_frame(codes: np.ndarray) -> int | None:
    """The frame in which references are read without stop codons; None where the marker codes for nothing.

    Args:
        codes: aligned references (R, L).
    """
    if not len(codes) or codes.shape[1] < 60:
        return None
    free = [(stop_codons(codes, frame) == 0).mean() for frame in range(3)]
    best = int(np.argmax(free))
    others = [share for frame, share in enumerate(free) if frame != best]
    return best if free[best] >= 0.9 and max(others) < 0.5 else None


def broken_frames(codes: np.ndarray) -> np.ndarray:
    """Which aligned reads have a gap inside whose length is no multiple of three, (N,) bool."""
    known = codes < BASES
    broken = np.zeros(len(codes), dtype=bool)
    gaps = codes > BASES
    has = np.flatnonzero(known.any(axis=1) & gaps.any(axis=1))
    for i in has:
        inside = np.flatnonzero(known[i])
        part = np.r_[0, gaps[i, inside[0] : inside[-1] + 1].astype(np.int8), 0]
        change = np.flatnonzero(np.diff(part))
        lengths = change[1::2] - change[::2]
        broken[i] = bool((lengths % 3 != 0).any())
    return broken


def ambiguous_share(letters: str) -> float:
    """The share of letters other than A, C, G and T, not counting those at the ends."""
    trimmed = letters.strip("N")
    return 0.0 if not trimmed else 1 - sum(trimmed.count(base) for base in "ACGT") / len(trimmed)
