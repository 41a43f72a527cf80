"""Which strand a barcode is of, by its k-mers: thousands of reads a second."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from hypertax.data.barcodes.codes import BASES, UNKNOWN

K = 6
_KMERS = len(BASES) ** K
_COMPLEMENT = str.maketrans("ACGTRYKMSWBDHVN", "TGCAYRMKSWVHDBN")
_PART = 2_000
_ROUNDS = 10


def reverse_complement(read: str) -> str:
    """The other strand of a read in IUPAC codes."""
    return read.translate(_COMPLEMENT)[::-1]


def profile_log_odds(emissions: np.ndarray) -> np.ndarray:
    """How much more often each k-mer is expected in a profile than by chance, (4096,) natural
    logarithms.

    Args:
        emissions: (L, 4) probabilities of the bases at the columns.
    """
    expected = np.zeros(_KMERS)
    for start in range(len(emissions) - K + 1):
        product = np.ones(1)
        for column in emissions[start : start + K]:
            product = np.multiply.outer(product, column).ravel()
        expected += product
    return _log_odds(expected)


def strand_of(reads: Sequence[str]) -> np.ndarray:
    """Which reads of one marker are of the other strand than most of them, (N,) bool.

    A read is turned where that brings its k-mers nearer to those of all other reads, one read after
    the other, until none is turned any more.
    """
    kmers = [own[own >= 0] for _, part in _kmers(reads) for own in part]
    other = _other_strand()
    counts = np.zeros(_KMERS)
    for own in kmers:
        np.add.at(counts, own, 1)
    turned = np.zeros(len(reads), bool)
    for _ in range(_ROUNDS):
        before = turned.copy()
        for row, own in enumerate(kmers):
            # Without its own: they would speak for the strand that it has.
            np.add.at(counts, other[own] if turned[row] else own, -1)
            known = np.log1p(counts)
            turned[row] = known[other[own]].sum() > known[own].sum()
            np.add.at(counts, other[own] if turned[row] else own, 1)
        if (turned == before).all():
            break
    return ~turned if 2 * turned.sum() > len(turned) else turned


def turned_by(reads: Sequence[str], log_odds: np.ndarray) -> np.ndarray:
    """Which reads fit better as their reverse complement, (N,) bool.

    Args:
        reads: in IUPAC codes. log_odds: (4096,) of the k-mers on the right strand.
    """
    gain = np.append(log_odds[_other_strand()] - log_odds, 0.0)
    return np.concatenate(
        [np.zeros(0, bool), *(gain[kmers].sum(axis=1) > 0 for _, kmers in _kmers(reads))]
    )


def _log_odds(counts: np.ndarray) -> np.ndarray:
    # A k-mer that was not expected says a little, not everything, against a read.
    share = (counts + 0.05) / (counts + 0.05).sum()
    return np.log(share * _KMERS)


def _other_strand() -> np.ndarray:
    """The number of each k-mer's reverse complement."""
    numbers, found = np.arange(_KMERS), np.zeros(_KMERS, np.int64)
    for _ in range(K):
        found = found * len(BASES) + (len(BASES) - 1 - numbers % len(BASES))
        numbers = numbers // len(BASES)
    return found


def _kmers(reads: Sequence[str]) -> Iterator[tuple[slice, np.ndarray]]:
    """Numbers of the k-mers of reads, some reads at a time: their rows, and (n, longest - 5); -1
    where a letter is none of A, C, G, T, or the read has ended."""
    table = np.full(256, UNKNOWN, np.int16)
    for code, base in enumerate(BASES):
        table[ord(base)] = code
    for start in range(0, len(reads), _PART):
        part = reads[start : start + _PART]
        longest = max(K, *map(len, part))
        text = "".join(read.ljust(longest, "-") for read in part)
        codes = table[np.frombuffer(text.encode("ascii"), np.uint8)].reshape(len(part), longest)
        kmers, known = np.zeros((len(part), longest - K + 1), np.int16), None
        for place in range(K):
            column = codes[:, place : longest - K + 1 + place]
            kmers = kmers * len(BASES) + np.minimum(column, len(BASES) - 1)
            known = column < UNKNOWN if known is None else known & (column < UNKNOWN)
        yield slice(start, start + len(part)), np.where(known, kmers, -1)
