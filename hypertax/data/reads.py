"""What is said of a table's reads before they are used: other markers, long, short, empty and
reversed ones."""

from __future__ import annotations

import re

import numpy as np
import pandas as pd

from hypertax.data.remarks import Remarks, counted

LONG, SHORT = 800, 100
"""Bases: reads beyond the barcode region of 658, and reads that tell little."""
_COI = re.compile(
    r"(?:MT)?-?(?:COI|CO1|COX1|COXI)(?:5P|FOLMER|MINI|LIKE|BARCODE)*"
    r"|CYTOCHROMEC?OXIDASE(?:SUBUNIT)?(?:I|1)(?:5P|COI|COX1|CO1)*"
)
_K = 6
_MANY = 100_000


def of_another_marker(markers: pd.Series) -> np.ndarray:
    """Rows whose marker is given and is not COI's barcode region, (N,) bool."""
    other = {marker: not _is_coi(marker) for marker in markers.dropna().unique()}
    return markers.map(other).fillna(False).to_numpy(bool)


def _is_coi(marker: str) -> bool:
    parts = re.split(r"[|,;/+&()\[\]]|\band\b", marker)
    return any(_COI.fullmatch(re.sub(r"[^A-Z0-9]", "", part.upper())) for part in parts)


def remark_on(barcodes: pd.Series, remarks: Remarks) -> None:
    """Tell of reads that are long, short, without a known base or reversed; none is changed.

    Args:
        barcodes: cleaned, N.
    """
    length = barcodes.str.len().fillna(0).to_numpy(int)
    empty = barcodes.str.fullmatch("N+", na=False).to_numpy(bool)
    for at, what in (
        (empty, "{} without a known base (N alone)"),
        (~empty & (length > 0) & (length < SHORT), f"{{}} of less than {SHORT} bases"),
        (length > LONG, f"{{}} of more than {LONG} bases, of which the barcode region counts"),
        (_reversed(barcodes, length), "{} of the other strand than most"),
    ):
        if (rows := np.flatnonzero(at)).size:
            remarks.add(what.format(counted(rows.size, "barcode")), rows)


def _reversed(barcodes: pd.Series, length: np.ndarray) -> np.ndarray:
    """Which reads have more 6-mers in common with the others when they are turned, (N,) bool."""
    turned = np.zeros(len(barcodes), bool)
    rows = np.flatnonzero(length >= SHORT)
    if not 3 <= len(rows) <= _MANY:
        return turned
    sample = barcodes.iloc[rows[:: max(1, len(rows) // 2_000)]]
    counts = np.ones(4**_K)
    for read in sample:
        np.add.at(counts, _kmers(read), 1)
    # What a 6-mer says for the strand, by how much more often it is seen than its complement.
    codes = np.arange(4**_K)
    other = np.zeros_like(codes)
    for place in range(_K):
        other = other * 4 + 3 - codes // 4**place % 4
    odds = np.log(counts / counts[other])
    for row in rows:
        turned[row] = odds[_kmers(barcodes.iloc[row])].sum() < 0
    return turned if turned.sum() < len(rows) / 2 else np.zeros_like(turned)


_DIGITS = np.full(256, -1, np.int16)
_DIGITS[list(b"ACGT")] = range(4)


def _kmers(read: str) -> np.ndarray:
    codes = _DIGITS[np.frombuffer(read.encode("ascii", "replace"), np.uint8)]
    n = len(codes) - _K + 1
    found, known = np.zeros(n, np.int16), np.ones(n, bool)
    for place in range(_K):
        part = codes[place : place + n]
        found = found * 4 + np.maximum(part, 0)
        known &= part >= 0
    return found[known]
