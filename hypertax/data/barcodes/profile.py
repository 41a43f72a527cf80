"""A profile of a marker: a hidden Markov model of its aligned barcodes, by HMMER (pyhmmer).

It is built from one training barcode a species. Barcodes that begin at the same base need no
aligner: those of the modal length are stacked as they stand, and kept where they agree. Otherwise
FAMSA (pyfamsa) aligns them, and the profile is built a second time from what the first one aligns.
"""

from __future__ import annotations

import hashlib
import io
from collections import Counter
from collections.abc import Sequence
from functools import cached_property

import numpy as np

from hypertax.data.barcodes.codes import BASES
from hypertax.data.barcodes.strand import reverse_complement, strand_of

SEEDS = 400
"""Barcodes that a profile is built from at most; more do not change it much, and cost."""
SHORTEST_SEED = 100
"""Bases; a shorter barcode builds no profile."""
IN_FRAME = 0.55
"""Share of equal bases with the consensus from which a stacked barcode counts as begun at the same
base: unrelated bases reach 0.3, barcodes of two insect orders 0.75."""
LEAST_COVERED = 0.1
"""Share of the rows that must reach an outer column: a few long reads would add columns that nobody
else has."""
STACKED = 0.8
"""Share of the barcodes of the modal length that must be in frame, or all are aligned."""


class Profile:
    """A profile hidden Markov model of a marker.

    Args:
        hmm: a `pyhmmer.plan7.HMM` of DNA.
    """

    def __init__(self, hmm) -> None:
        self.hmm = hmm

    @property
    def columns(self) -> int:
        """L, the match columns: 658 for the barcode region of COI."""
        return self.hmm.M

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 of the profile, 64 hexadecimal digits."""
        return hashlib.sha256(self.to_bytes()).hexdigest()

    @cached_property
    def emissions(self) -> np.ndarray:
        """Probabilities of A, C, G, T at the match columns, (L, 4) fp64."""
        # The first row stands for the beginning.
        found = np.asarray(self.hmm.match_emissions, dtype=np.float64)[1:]
        return found / found.sum(axis=1, keepdims=True)

    @classmethod
    def build(cls, reads: Sequence[str], groups: Sequence[str | None]) -> Profile:
        """The profile of barcodes; the same barcodes give the same profile.

        Args:
            reads: barcodes in IUPAC codes without gaps; some may be reverse complements.
            groups: the species of each, None where it is unknown: one barcode of each is used.

        Raises:
            ValueError: no barcode is long enough.
        """
        seeds = _seeds(reads, groups)
        if not seeds:
            raise ValueError(
                f"No training barcode has {SHORTEST_SEED} bases, so that none can be aligned: check"
                " the column of barcodes, or give dna_encoder 'cnn'."
            )
        stacked = _stacked(seeds)
        if stacked:
            return cls._as_read_again(_hmm(stacked))
        # Twice: what the first profile aligns is cleaner than the seed alignment.
        first = cls(_hmm(_aligned_by_famsa(_one_strand(seeds))))
        again = first.rows(_one_strand(seeds))
        kept = [row for row in again if sum(map(row.count, BASES)) >= SHORTEST_SEED]
        return cls._as_read_again(_hmm(kept))

    @classmethod
    def _as_read_again(cls, hmm) -> Profile:
        # The text rounds: a new profile scores as the one that is saved with a model.
        return cls.from_bytes(cls(hmm).to_bytes())

    def rows(self, reads: Sequence[str]) -> list[str]:
        """Reads as rows of an alignment of `columns` letters; a gap is a hyphen."""
        msa = align_block(self.hmm, reads)
        # Lower case and dots are bases between the match columns.
        return ["".join(c for c in row if c == "-" or c.isupper()) for row in msa]

    def to_bytes(self) -> bytes:
        """The profile in HMMER's text format."""
        file = io.BytesIO()
        self.hmm.write(file)
        return file.getvalue()

    @classmethod
    def from_bytes(cls, content: bytes) -> Profile:
        """Read what `to_bytes` gave.

        Raises:
            ValueError: it is no profile of DNA.
        """
        from pyhmmer.easel import Alphabet
        from pyhmmer.plan7 import HMMFile

        try:
            with HMMFile(io.BytesIO(content)) as file:
                hmm = file.read()
        except (ValueError, OSError, EOFError, RuntimeError) as error:
            raise ValueError(f"This is not a profile of HMMER: {str(error)[:100]}.") from None
        if hmm is None or hmm.alphabet != Alphabet.dna():
            raise ValueError("This is not a profile of DNA.")
        return cls(hmm)


def align_block(hmm, reads: Sequence[str]) -> list[str]:
    """Reads aligned to a profile by hmmalign, in their order: match columns in upper case or as a
    hyphen, bases between them in lower case, dots elsewhere."""
    from pyhmmer import hmmer
    from pyhmmer.easel import Alphabet, DigitalSequenceBlock, TextSequence

    dna = Alphabet.dna()
    block = DigitalSequenceBlock(
        dna,
        [
            TextSequence(name=str(i).encode(), sequence=read).digitize(dna)
            for i, read in enumerate(reads)
        ],
    )
    msa = hmmer.hmmalign(hmm, block, cpus=1, all_consensus_cols=True)
    order = np.argsort([int(name) for name in msa.names], kind="stable")
    rows = list(msa.alignment)
    return [rows[i] if isinstance(rows[i], str) else rows[i].decode() for i in order]


def _seeds(reads: Sequence[str], groups: Sequence[str | None]) -> list[str]:
    """One barcode a group, of the modal length where there is one, without unknown bases where
    there is one; at most `SEEDS`, spread over the groups in their order."""
    plain = [read for read in reads if len(read) >= SHORTEST_SEED]
    if not plain:
        return []
    # Of two lengths that are equally frequent, the longer.
    modal = max(Counter(map(len, plain)).items(), key=lambda item: (item[1], item[0]))[0]
    chosen: dict[str, tuple] = {}
    for read, group in zip(reads, groups, strict=True):
        if len(read) < SHORTEST_SEED:
            continue
        clean = sum(map(read.count, BASES)) == len(read)
        score = (clean, len(read) == modal, -abs(len(read) - modal), read)
        # A barcode without a species stands for itself.
        key = group if group is not None else f"\0{read}"
        if key not in chosen or score > chosen[key]:
            chosen[key] = score
    found = list(dict.fromkeys(chosen[key][-1] for key in sorted(chosen)))
    if len(found) > SEEDS:
        found = [found[i] for i in np.linspace(0, len(found) - 1, SEEDS).round().astype(int)]
    return found


def _stacked(seeds: list[str]) -> list[str]:
    """The seeds of the modal length that begin at the same base; none where they mostly do not, or
    are the smaller part."""
    modal = max(Counter(map(len, seeds)).items(), key=lambda item: (item[1], item[0]))[0]
    rows = [seed for seed in seeds if len(seed) == modal]
    letters = np.frombuffer("".join(rows).encode(), np.uint8).reshape(len(rows), modal)
    counts = np.stack([(letters == ord(base)).sum(axis=0) for base in BASES])
    consensus = np.frombuffer(BASES.encode(), np.uint8)[counts.argmax(axis=0)]
    agree = (letters == consensus).mean(axis=1) >= IN_FRAME
    if 2 * len(rows) < len(seeds) or agree.mean() < STACKED:
        return []
    if len(rows) == 1 and len(seeds) > 1:
        return []
    return [row for row, kept in zip(rows, agree, strict=True) if kept]


def _one_strand(seeds: list[str]) -> list[str]:
    """The seeds on one strand, by the k-mers that they share with the others."""
    turned = strand_of(seeds)
    return [
        reverse_complement(seed) if turn else seed for seed, turn in zip(seeds, turned, strict=True)
    ]


def _aligned_by_famsa(seeds: list[str]) -> list[str]:
    """Rows of a multiple alignment of the seeds."""
    from pyfamsa import Aligner, Sequence as FamsaSequence
    from scoring_matrices import ScoringMatrix

    # FAMSA is made for proteins: its letters A, C, G and T get scores of nucleotides.
    letters = "ARNDCQEGHILKMFPSTWYVBZX*"
    scores = [
        [(5 if a == b else -4) if a in BASES and b in BASES else 0 for b in letters]
        for a in letters
    ]
    matrix = ScoringMatrix(scores, alphabet=letters)
    unknown = str.maketrans({c: "X" for c in "RYKMSWBDHVN"})
    aligner = Aligner(threads=1, scoring_matrix=matrix, guide_tree="upgma")
    msa = aligner.align(
        FamsaSequence(str(i).encode(), seed.translate(unknown).encode())
        for i, seed in enumerate(seeds)
    )
    return [row.sequence.decode().upper().replace("X", "N") for row in msa]


def _without_edges(rows: list[str]) -> list[str]:
    """Rows without the outer columns at which fewer than `LEAST_COVERED` of them have a base."""
    letters = np.frombuffer("".join(rows).encode(), np.uint8).reshape(len(rows), -1)
    covered = np.flatnonzero((letters != ord("-")).mean(axis=0) >= LEAST_COVERED)
    return [row[covered[0] : covered[-1] + 1] for row in rows] if len(covered) else rows


def _hmm(rows: list[str]):
    """The hidden Markov model of aligned rows of equal length."""
    from pyhmmer.easel import Alphabet, TextMSA, TextSequence
    from pyhmmer.plan7 import Background, Builder

    dna = Alphabet.dna()
    rows = _without_edges(rows)
    # Every row counts as a fragment: where it begins and ends says nothing of the marker.
    msa = TextMSA(
        name=b"barcodes",
        sequences=[
            TextSequence(name=str(i).encode(), sequence=row) for i, row in enumerate(rows)
        ],
    )
    hmm, _, _ = Builder(dna, seed=42, fragthresh=1.0).build_msa(msa.digitize(dna), Background(dna))
    # The same rows give the same bytes, whenever.
    hmm.creation_time = None
    hmm.command_line = None
    return hmm
