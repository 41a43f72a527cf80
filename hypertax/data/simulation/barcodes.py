"""COI barcodes that descend from the species tree: gene genealogies and substitutions by
msprime."""

from __future__ import annotations

import msprime
import numpy as np

from hypertax.data.simulation.tree import Node

LENGTH = 658
"""Bases between the primers of the barcode region."""
SUBSTITUTION_RATE = 0.0125
"""DNA difficulty, 1 of 3: substitutions per site and million years, mean over sites. More makes
species easier to tell apart, and orders harder, as third positions saturate."""
COALESCENCE_TIME = 0.45
"""DNA difficulty, 2 of 3: mean age in million years of the common ancestor of two specimens of a
species. Its ratio to the age of the splits between species decides how much of the variation within
a genus lies within its species."""
RAGGED = 0.35
"""DNA difficulty, 3 of 3: how often a read lacks up to 60 bases at its start, and up to 160 at its
end, as reads of laboratories do."""

_FRAME = 2
"""The first base of the barcode is the third of its codon."""
# Relative rates, equilibrium frequencies (A C G T) of the three codon positions, as in insect
# mitochondria: AT-rich third positions.
_POSITION_RATES = (0.25, 0.05, 2.70)
_POSITION_FREQUENCIES = (
    (0.29, 0.15, 0.24, 0.32),
    (0.18, 0.24, 0.16, 0.42),
    (0.43, 0.08, 0.03, 0.46),
)
_GTR = (0.8, 9.0, 0.9, 0.6, 12.0, 0.7)  # AC AG AT CG CT GT: transitions are frequent.
_GAMMA_SHAPE = 1.2
_BASES = np.array(list("ACGT"))


def barcodes(tree: Node, species: np.ndarray, *, seed: int) -> list[str]:
    """One barcode for each specimen.

    Args:
        tree: the species tree, ages in million years.
        species: for each specimen the index of its species among `tree.leaves()`.

    Returns:
        Strings of A, C, G, T and some N; 658 bases long or cut short at one end or both.
    """
    rng = np.random.default_rng([seed, 1])
    sequences = _sequences(tree, species, rng)
    return [_as_read(sequence, rng) for sequence in sequences]


def _sequences(tree: Node, species: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """(specimens, 658) integers 0-3."""
    demography = _demography(tree)
    present, counts = np.unique(species, return_counts=True)
    samples = [
        msprime.SampleSet(int(n), population=f"s{i}", ploidy=1) for i, n in zip(present, counts)
    ]
    genealogy = msprime.sim_ancestry(
        samples,
        demography=demography,
        ploidy=1,
        sequence_length=LENGTH,
        recombination_rate=0,
        random_seed=_msprime_seed(rng),
    )
    position = (np.arange(LENGTH) + _FRAME) % 3
    heterogeneity = rng.gamma(_GAMMA_SHAPE, 1 / _GAMMA_SHAPE, LENGTH)
    found = np.empty((LENGTH, len(species)), dtype=np.int8)
    for codon_position in range(3):
        here = position == codon_position
        frequencies = np.array(_POSITION_FREQUENCIES[codon_position])
        rates = np.where(
            here, SUBSTITUTION_RATE * _POSITION_RATES[codon_position] * heterogeneity, 0.0
        )
        mutated = msprime.sim_mutations(
            genealogy,
            rate=msprime.RateMap(position=np.arange(LENGTH + 1), rate=rates),
            model=msprime.GTR(relative_rates=list(_GTR), equilibrium_frequencies=frequencies),
            random_seed=_msprime_seed(rng),
        )
        # A site where nothing happened has the state of the root everywhere, which msprime does not
        # draw.
        found[here] = rng.choice(4, size=here.sum(), p=frequencies)[:, None]
        for variant in mutated.variants():
            code = np.array(
                ["ACGT".find(allele or "?") for allele in variant.alleles], dtype=np.int8
            )
            found[int(variant.site.position)] = code[variant.genotypes]
    # msprime's samples come species by species: back to the order of the specimens.
    sequences = np.empty((len(species), LENGTH), dtype=np.int8)
    sequences[np.argsort(species, kind="stable")] = found.T
    return _without_stops(sequences)


def _demography(tree: Node) -> msprime.Demography:
    """One population per branch of the species tree, times in million years."""
    demography = msprime.Demography()
    leaf_of = {id(leaf): f"s{i}" for i, leaf in enumerate(tree.leaves())}
    for name in leaf_of.values():
        demography.add_population(name=name, initial_size=COALESCENCE_TIME)
    splits = []

    def population(node: Node) -> str:
        if not node.children:
            return leaf_of[id(node)]
        below = [population(child) for child in node.children]
        if len(below) == 1:
            return below[0]
        name = f"a{len(splits)}"
        splits.append((node.age, below, name))
        demography.add_population(name=name, initial_size=COALESCENCE_TIME)
        return name

    population(tree)
    for age, below, name in sorted(splits):
        demography.add_population_split(time=age, derived=below, ancestral=name)
    return demography


def _without_stops(sequences: np.ndarray) -> np.ndarray:
    """Replace the stop codons TAA and TAG by TAT and TAC (tyrosine): a coding sequence has none."""
    a, c, g, t = range(4)
    first, second, third = (sequences[:, 3 - _FRAME + k : LENGTH - 2 + k : 3] for k in range(3))
    stop = (first == t) & (second == a)
    third[stop & (third == a)] = t
    third[stop & (third == g)] = c
    return sequences


def _as_read(sequence: np.ndarray, rng: np.random.Generator) -> str:
    """The sequence as a laboratory reports it: some ends are missing, some bases could not be
    called."""
    letters = _BASES[sequence]
    if rng.random() < 0.12:
        letters = letters.copy()
        letters[rng.integers(0, LENGTH, rng.integers(1, 7))] = "N"
    start = int(rng.integers(1, 60)) if rng.random() < RAGGED else 0
    end = LENGTH - (int(rng.integers(1, 160)) if rng.random() < RAGGED else 0)
    return "".join(letters[start:end])


def _msprime_seed(rng: np.random.Generator) -> int:
    return int(rng.integers(1, 2**31))
