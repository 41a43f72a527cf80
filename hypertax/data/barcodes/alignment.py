"""Barcodes aligned to a profile: every base at its column, on one strand, whatever the read begins
with; what is no barcode of the marker is told apart. Aligned reads are kept on disk."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from hypertax import sources
from hypertax.data.barcodes.codes import BASES, BEYOND, UNKNOWN
from hypertax.data.barcodes.profile import Profile, align_block
from hypertax.data.barcodes.strand import profile_log_odds, reverse_complement, turned_by
from hypertax.data.progress import progress_bar
from hypertax.data.specimens import cache_folder
from hypertax.files import atomic_path

__all__ = ["AlignedReads", "Profile", "align", "align_cached", "equal_share"]

AT_ONCE = 500
"""Reads that are aligned at a time, and whose result is kept in one file."""
LEAST_BASES = 40
"""Bases at match columns without which a read is not aligned."""
LEAST_BITS = 0.3
"""Bits a base by which a read must fit the profile better than chance does: on real barcodes of insects
1.2 in the middle and 0.45 at least, shuffled ones 0.15 at most."""
LONGEST = 20_000
"""Bases of a read that are looked at, more than a mitochondrion has: HMMER's memory grows with
them."""
_IUPAC = frozenset("ACGTRYKMSWBDHVN")


@dataclass(frozen=True)
class AlignedReads:
    """Reads at the columns of a profile.

    Attributes:
        codes: (N, L) uint8: 0-3 for A, C, G, T, `UNKNOWN` for another letter, `BEYOND` where the
            read has no base.
        aligned: (N,) bool, False where there is no read, or none of this marker; its codes are all
            `BEYOND`.
        reversed: (N,) bool, whether the reverse complement was aligned.
        score: (N,) fp32, bits by which the read fits the profile better than chance, over its bases
            or over the columns, whichever are fewer.
        inserted: (N,) int32, bases between the first and the last column that are at none.
    """

    codes: np.ndarray
    aligned: np.ndarray
    reversed: np.ndarray
    score: np.ndarray
    inserted: np.ndarray

    @property
    def begin(self) -> np.ndarray:
        """The first column of each read, (N,); L without any."""
        here = self.codes != BEYOND
        return np.where(here.any(axis=1), here.argmax(axis=1), here.shape[1])

    @property
    def end(self) -> np.ndarray:
        """The column after the last one of each read, (N,); 0 without any."""
        here = self.codes[:, ::-1] != BEYOND
        return np.where(here.any(axis=1), here.shape[1] - here.argmax(axis=1), 0)

    def take(self, rows: np.ndarray) -> AlignedReads:
        """Some of the reads."""
        return AlignedReads(**{name: value[rows] for name, value in vars(self).items()})

    @classmethod
    def empty(cls, count: int, columns: int) -> AlignedReads:
        """Reads of which none is aligned."""
        return cls(
            np.full((count, columns), BEYOND, np.uint8),
            np.zeros(count, bool),
            np.zeros(count, bool),
            np.zeros(count, np.float32),
            np.zeros(count, np.int32),
        )


def align(
    profile: Profile, reads: Sequence[str | None], *, progress: bool = False
) -> AlignedReads:
    """Reads at the columns of a profile, identical ones once.

    A read that fits better as its reverse complement is turned. One that is longer than the marker
    is cut to it.

    Args:
        profile: of the marker. reads: in IUPAC codes; None, or nothing but unknown bases, is not
        aligned. progress: show a bar.
    """
    place, rows = _unique(reads)
    found = AlignedReads.empty(len(place), profile.columns)
    for part, done in _aligned_parts(profile, list(place), progress):
        for name, value in vars(done).items():
            getattr(found, name)[part] = value
    return _spread(found, rows)


def align_cached(
    profile: Profile,
    reads: Sequence[str | None],
    *,
    folder: Path | None = None,
    progress: bool = False,
) -> AlignedReads:
    """As `align`, with what was aligned before taken from disk, and the rest kept there.

    What is kept depends on the profile, the read and the code. A file that is broken counts as
    absent.

    Args:
        profile, reads, progress: as in `align`.
        folder: where reads are kept; by default `cache/aligned` beside the data sets.
    """
    place, rows = _unique(reads)
    found = AlignedReads.empty(len(place), profile.columns)
    own = Path(folder or cache_folder("aligned")) / f"{profile.fingerprint[:16]}-{_version()}"
    digests = [hashlib.sha256(read.encode()).digest()[:16] for read in place]
    missing = _load(own, digests, found)
    names = list(place)
    for part, done in _aligned_parts(profile, [names[i] for i in missing], progress):
        at = missing[part]
        for name, value in vars(done).items():
            getattr(found, name)[at] = value
        _save(own, [digests[i] for i in at], done)
    return _spread(found, rows)


def equal_share(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Share of equal bases among the columns known in both, (N, M) fp32; 0 where there is none.

    Args:
        a: (N, L) aligned codes. b: (M, L).
    """
    known_a, known_b = ((codes < UNKNOWN).astype(np.float32) for codes in (a, b))
    both = known_a @ known_b.T
    equal = np.zeros_like(both)
    for base in range(len(BASES)):
        equal += (a == base).astype(np.float32) @ (b == base).astype(np.float32).T
    return equal / np.maximum(both, 1)


def _unique(reads: Sequence[str | None]) -> tuple[dict[str, int], np.ndarray]:
    """The different reads that can be aligned, numbered, and the number of each read, -1 without
    one."""
    place: dict[str, int] = {}
    rows = np.full(len(reads), -1)
    for i, read in enumerate(reads):
        if isinstance(read, str) and sum(map(read.count, BASES)) >= LEAST_BASES:
            read = read[:LONGEST]
            if not set(read) <= _IUPAC:
                read = "".join(c if c in _IUPAC else "N" for c in read)
            rows[i] = place.setdefault(read, len(place))
    return place, rows


def _spread(found: AlignedReads, rows: np.ndarray) -> AlignedReads:
    """What was found of unique reads, for all of them."""
    spread = AlignedReads.empty(len(rows), found.codes.shape[1])
    known = np.flatnonzero(rows >= 0)
    for name, value in vars(found).items():
        getattr(spread, name)[known] = value[rows[known]]
    return spread


def _aligned_parts(
    profile: Profile, reads: list[str], progress: bool
) -> Iterator[tuple[slice, AlignedReads]]:
    if not reads:
        return
    log_odds = profile_log_odds(profile.emissions)
    bits = np.log2(profile.emissions.clip(1e-6) * len(BASES))
    bar = progress_bar(
        total=len(reads),
        desc="aligning barcodes",
        unit=" reads",
        leave=False,
        mininterval=1,
        delay=2,
        disable=not progress,
    )
    with bar:
        for start in range(0, len(reads), AT_ONCE):
            part = reads[start : start + AT_ONCE]
            turned = turned_by(part, log_odds)
            strands = [
                reverse_complement(read) if turn else read
                for read, turn in zip(part, turned, strict=True)
            ]
            with _without_denormals():
                rows = align_block(profile.hmm, strands)
            yield slice(start, start + len(part)), _read_rows(rows, turned, bits)
            bar.update(len(part))


def _read_rows(rows: list[str], turned: np.ndarray, bits: np.ndarray) -> AlignedReads:
    """Rows of hmmalign as codes, with scores.

    Args:
        rows: N rows. turned: (N,). bits: (L, 4) log-odds of the bases at the columns.
    """
    columns = len(bits)
    letters = np.frombuffer("".join(rows).encode("ascii"), np.uint8).reshape(len(rows), -1)
    # Whether a column is a match column is the same in all rows.
    match = ((letters >= ord("A")) & (letters <= ord("Z"))) | (letters == ord("-"))
    match = match.any(axis=0)
    table = np.full(256, UNKNOWN, np.uint8)
    for code, base in enumerate(BASES):
        table[ord(base)] = code
    table[ord("-")] = BEYOND
    codes = table[letters[:, match]]
    found = AlignedReads.empty(len(rows), columns)
    known = codes < UNKNOWN
    counts = known.sum(axis=1)
    at = bits[np.arange(columns), np.minimum(codes, len(BASES) - 1)]
    # A foreign read has a stretch that fits by chance: what does not fit counts, too.
    bases = np.isin(letters & 0xDF, [ord(base) for base in BASES]).sum(axis=1)
    fewer = np.minimum(bases, columns)
    score = np.where(known, at, 0).sum(axis=1) / np.maximum(fewer, 1)
    good = (counts >= LEAST_BASES) & (score >= LEAST_BITS)
    here = (codes != BEYOND) & good[:, None]
    found.codes[good] = codes[good]
    found.aligned[:], found.score[:] = good, score
    found.reversed[:] = turned & good
    between = (letters >= ord("a")) & (letters <= ord("z"))
    number = np.cumsum(match) - 1
    first, last = here.argmax(axis=1), columns - 1 - here[:, ::-1].argmax(axis=1)
    within = (number >= first[:, None]) & (number < last[:, None]) & good[:, None]
    found.inserted[:] = (between & within).sum(axis=1)
    return found


@contextmanager
def _without_denormals() -> Iterator[None]:
    # HMMER's sums run into denormal numbers, which processors take ten times as long for. The
    # setting is the thread's, which is this one: there is no way to read it.
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(False)


@cache
def _version() -> str:
    """The version of the code that aligns, eight hexadecimal digits."""
    without = ("hypertax.data.progress", "hypertax.data.specimens", "hypertax.files")
    return sources.fingerprint("hypertax.data.barcodes.alignment", without=without)[:8]


def _load(folder: Path, digests: list[bytes], found: AlignedReads) -> np.ndarray:
    """Take over what the files of a folder have; the rows that they lack, sorted."""
    missing = {digest: row for row, digest in enumerate(digests)}
    for path in sorted(folder.glob("*.safetensors")):
        if not missing:
            break
        try:
            kept = load_file(path)
            own = [digest.tobytes() for digest in kept.pop("digests")]
            # Of another form is broken, too: nothing may count as found before that is known.
            form = {n: ((len(own), *v.shape[1:]), v.dtype) for n, v in vars(found).items()}
            if {n: (v.shape, v.dtype) for n, v in kept.items()} != form:
                continue
            pairs = [(missing.pop(d), i) for i, d in enumerate(own) if d in missing]
            if pairs:
                rows, at = np.array(pairs).T
                for name, value in kept.items():
                    getattr(found, name)[rows] = value[at]
        except (OSError, KeyError, ValueError, SafetensorError):
            continue
    return np.array(sorted(missing.values()), dtype=int)


def _save(folder: Path, digests: list[bytes], found: AlignedReads) -> None:
    content = {name: np.ascontiguousarray(value) for name, value in vars(found).items()}
    content["digests"] = np.frombuffer(b"".join(digests), np.uint8).reshape(len(digests), 16)
    name = hashlib.sha256(b"".join(digests)).hexdigest()[:24]
    with atomic_path(folder / f"{name}.safetensors") as temporary:
        save_file(content, temporary)
