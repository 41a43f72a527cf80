"""Barcodes as laboratories report them: cut at the ends, sometimes short, of the other strand, with
letters that could not be told and a few errors.

Shares were measured on 16,168 public barcodes of insects that were aligned to a profile ("real" below)
where these have them; what a public collection has been cleaned of is our own choice [O].
"""

from __future__ import annotations

import numpy as np

LOST_SHARES = (0.75, 0.8, 0.85, 0.9, 0.95, 0.99, 1.0)
LOST_AT_START = (0, 3, 7, 23, 41, 142, 200)
LOST_AT_END = (0, 5, 26, 49, 70, 108, 150)
"""Bases that a read lacks at its ends: the quantiles of real reads at `LOST_SHARES`."""
WITH_PRIMER = 0.037
"""Share of real reads with five or more bases beyond the barcode region."""
WITH_AMBIGUOUS, AMBIGUOUS_MEAN = 0.194, 1.83
"""Share of real reads with letters other than A, C, G, T, and how many such a read has."""
AMBIGUOUS_AT = (0.37, 0.40, 0.23)
"""Shares of these letters in the first tenth, the middle and the last tenth of real reads."""
TWO_BASES = 0.06
"""Share of these letters that stand for two bases; the others are N."""
DELETION, INSERTION = 0.0095, 0.0028
"""Shares of real reads whose frame is broken by a missing or an additional base."""
POOR, POOR_ERRORS = 0.03, 0.01
"""Share of the reads with wrong bases, and the share of wrong bases in these [O]. Real collections
refuse reads with a stop codon: what stop codons are left tells of 2 errors in 100,000 bases at
least."""
SHORT, MINI_BARCODE, SHORTEST = 0.04, 313, 130
"""Share of mini-barcodes [O]; half of these are the last 313 bases, the others 130 to 313 bases
anywhere. The real table was made of reads of 500 bases or more."""
REVERSED = 0.03
"""Share of the reads of the other strand [O]; 1 in 8,000 real ones is."""

# The primers of the barcode region, both on its strand (Folmer et al. 1994).
_FORWARD, _BACKWARD = "GGTCAACAAATCATAAAGATATTGG", "TGATTTTTTGGTCACCCTGAAGTTTA"
_BASES = np.array(list("ACGT"))
_PAIRS = ("AG", "CT", "AT", "GT", "AC", "CG")
_TWO = {frozenset(pair): letter for pair, letter in zip(_PAIRS, "RYWKMS")}
_COMPLEMENT = str.maketrans("ACGTRYKM", "TGCAYRMK")


def as_read(sequence: np.ndarray, rng: np.random.Generator) -> str:
    """A barcode as a laboratory reports it.

    Args:
        sequence: its true bases, (L,) integers 0-3.
        rng: the source of randomness.
    """
    letters = _BASES[_with_wrong_bases(sequence, rng)]
    if rng.random() < WITH_AMBIGUOUS:
        _make_ambiguous(letters, rng)
    read = _cut("".join(letters), rng)
    if rng.random() < DELETION:
        at = rng.integers(1, len(read) - 1)
        read = read[:at] + read[at + 1 :]
    if rng.random() < INSERTION:
        at = rng.integers(1, len(read) - 1)
        # Most often a base is counted twice.
        read = read[:at] + read[at - 1] + read[at:]
    return read.translate(_COMPLEMENT)[::-1] if rng.random() < REVERSED else read


def _with_wrong_bases(sequence: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    if rng.random() >= POOR:
        return sequence
    wrong = rng.random(len(sequence)) < POOR_ERRORS
    return np.where(wrong, (sequence + rng.integers(1, 4, len(sequence))) % 4, sequence)


def _make_ambiguous(letters: np.ndarray, rng: np.random.Generator) -> None:
    total, tenth = len(letters), len(letters) // 10
    parts = ((0, tenth), (tenth, total - tenth), (total - tenth, total))
    for _ in range(rng.geometric(1 / AMBIGUOUS_MEAN)):
        at = rng.integers(*parts[rng.choice(len(parts), p=AMBIGUOUS_AT)])
        other = rng.choice(_BASES[letters[at] != _BASES])
        pair = frozenset((str(letters[at]), str(other)))
        letters[at] = _TWO.get(pair, "N") if rng.random() < TWO_BASES else "N"


def _cut(read: str, rng: np.random.Generator) -> str:
    """The part that was read: a mini-barcode, or the barcode without what is lost at its ends, or
    with the rest of a primer."""
    if rng.random() < SHORT:
        if rng.random() < 0.5:
            return read[-MINI_BARCODE:]
        length = rng.integers(SHORTEST, MINI_BARCODE + 1)
        start = rng.integers(0, len(read) - length + 1)
        return read[start : start + length]
    start, end = (
        int(np.interp(rng.random(), LOST_SHARES, lost)) for lost in (LOST_AT_START, LOST_AT_END)
    )
    if rng.random() >= WITH_PRIMER:
        return read[start : len(read) - end]
    # At one end the read goes on into the primer.
    more = int(rng.integers(5, len(_FORWARD) + 1))
    if rng.random() < 0.5:
        return _FORWARD[-more:] + read[: len(read) - end]
    return read[start:] + _BACKWARD[:more]
