"""COI barcodes that descend from the species tree: gene genealogies and substitutions by
msprime."""

from __future__ import annotations

import msprime
import numpy as np
import tskit

from hypertax.data.simulation.reads import as_read
from hypertax.data.simulation.tree import Node

LENGTH = 658
"""Bases between the primers of the barcode region."""
SUBSTITUTION_RATE = 0.2
"""DNA difficulty, 1 of 5: mutations per site and million years, mean over sites. More makes species
easier to tell apart, and genera and families harder, as third positions saturate."""
CLOCK_SPREAD = 0.8
"""DNA difficulty, 2 of 5: standard deviation of the logarithm of the rate of a branch."""
COALESCENCE_TIME, COALESCENCE_SPREAD = 0.13, 0.7
"""DNA difficulty, 3 of 5: median age in million years of the common ancestor of two specimens of a
species, and the standard deviation of its logarithm over species."""
ANCESTRAL_COALESCENCE_TIME = 10.0
"""DNA difficulty, 4 of 5: the same age in the ancestors of species. More lets mitochondria of one
genus be nearer to another's than to their own [O]: of 283 species with a congener in 9 %, of 790 real ones in 12 %."""
SWEPT, MIXED = 0.06, 0.05
"""DNA difficulty, 5 of 5: shares of the species that have the mitochondria of their nearest congener,
all specimens or some [O]. They are chosen by the difficulty that they make: 10 % of the species with
a congener share a barcode, of real ones 3 %."""
SWEPT_AGES, MIXED_PARTS = (0.0, 0.03), (0.1, 0.5)
"""How long ago at most, in million years; and the part of the specimens where some have them [O]."""

_FRAME = 2
"""The first base of the barcode is the third of its codon."""
# Relative rates, equilibrium frequencies (A C G T) of the three codon positions, as in insect
# mitochondria: AT-rich third positions.
_POSITION_RATES = (0.03, 0.005, 2.9)
_POSITION_FREQUENCIES = (
    (0.29, 0.15, 0.24, 0.32),
    (0.18, 0.24, 0.16, 0.42),
    (0.43, 0.08, 0.03, 0.46),
)
_GTR = (0.05, 9.0, 0.05, 0.04, 12.0, 0.05)  # AC AG AT CG CT GT: transitions are frequent.
_GAMMA_SHAPES = (0.3, 0.3, 0.6)  # Few sites change often: distances between orders saturate.


def barcodes(tree: Node, species: np.ndarray, *, seed: int) -> list[str]:
    """One barcode for each specimen.

    Args:
        tree: the species tree, ages in million years.
        species: for each specimen the index of its species among `tree.leaves()`.

    Returns:
        Reads as laboratories report them: text of A, C, G, T and some other letters.
    """
    sequences = _sequences(tree, species, np.random.default_rng([seed, 1]))
    rng = np.random.default_rng([seed, 4])
    return [as_read(sequence, rng) for sequence in sequences]


def _sequences(tree: Node, species: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """(specimens, 658) integers 0-3."""
    demography, rates_of = _demography(tree, rng)
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
    genealogy = _at_own_rates(genealogy, rates_of)
    position = (np.arange(LENGTH) + _FRAME) % 3
    found = np.empty((LENGTH, len(species)), dtype=np.int8)
    for codon_position in range(3):
        here = position == codon_position
        shape = _GAMMA_SHAPES[codon_position]
        heterogeneity = rng.gamma(shape, 1 / shape, LENGTH)
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
        # A variant's own site would bring objects of all its mutations, a million of them.
        for place, variant in zip(mutated.sites_position, mutated.variants(), strict=True):
            code = np.array(
                ["ACGT".find(allele or "?") for allele in variant.alleles], dtype=np.int8
            )
            found[int(place)] = code[variant.genotypes]
    # msprime's samples come species by species: back to the order of the specimens.
    sequences = np.empty((len(species), LENGTH), dtype=np.int8)
    sequences[np.argsort(species, kind="stable")] = found.T
    return _without_stops(sequences)


def _demography(
    tree: Node, rng: np.random.Generator
) -> tuple[msprime.Demography, dict[str, float]]:
    """One population per branch of the species tree, times in million years; and the rate of
    substitution of each, 1 in the mean."""
    demography = msprime.Demography()
    leaf_of = {id(leaf): f"s{i}" for i, leaf in enumerate(tree.leaves())}
    spread = np.exp(rng.normal(0, COALESCENCE_SPREAD, len(leaf_of)))
    for name, factor in zip(leaf_of.values(), spread):
        demography.add_population(name=name, initial_size=COALESCENCE_TIME * factor)
    splits = []

    def population(node: Node) -> str:
        if not node.children:
            return leaf_of[id(node)]
        below = [population(child) for child in node.children]
        if len(below) == 1:
            return below[0]
        name = f"a{len(splits)}"
        splits.append((node.age, below, name))
        demography.add_population(name=name, initial_size=ANCESTRAL_COALESCENCE_TIME)
        return name

    population(tree)
    for age, below, name in sorted(splits):
        demography.add_population_split(time=age, derived=below, ancestral=name)
    _exchange(demography, tree, rng)
    names = [population.name for population in demography.populations]
    rates = np.exp(rng.normal(-(CLOCK_SPREAD**2) / 2, CLOCK_SPREAD, len(names)))
    return demography, dict(zip(names, rates))


def _exchange(demography: msprime.Demography, tree: Node, rng: np.random.Generator) -> None:
    """Let some species have their nearest congener's mitochondria."""
    relatives = _nearest_congeners(tree)
    # A share, not draws, keeps the difficulty the same from seed to seed.
    swept, mixed = (round(share * len(relatives)) for share in (SWEPT, MIXED))
    for number, k in enumerate(rng.permutation(len(relatives))[: swept + mixed]):
        taker, giver = (f"s{i}" for i in relatives[k])
        # Backwards in time, lineages go from the taker to the giver.
        demography.add_mass_migration(
            time=rng.uniform(*SWEPT_AGES),
            source=taker,
            dest=giver,
            proportion=1.0 if number < swept else rng.uniform(*MIXED_PARTS),
        )
    demography.sort_events()


def _nearest_congeners(tree: Node) -> list[tuple[int, int]]:
    """Each species that has a congener, and its nearest one, as indices of `tree.leaves()`."""
    index = {id(leaf): i for i, leaf in enumerate(tree.leaves())}
    found = []

    def visit(node: Node, within: bool) -> None:
        within |= node.rank == "genus"
        for child in node.children:
            others = [other for other in node.children if other is not child]
            if within and not child.children and others:
                nearest = next(others[0].leaves())
                found.append((index[id(child)], index[id(nearest)]))
            visit(child, within)

    visit(tree, False)
    return found


def _at_own_rates(genealogy: tskit.TreeSequence, rates_of: dict[str, float]) -> tskit.TreeSequence:
    """The genealogy with branches as long as substitutions are many: time times the rate of the
    population that the branch leads to."""
    names = [population.metadata["name"] for population in genealogy.populations()]
    rates = np.array([rates_of[name] for name in names])[genealogy.nodes_population]
    time = genealogy.nodes_time
    parent = np.full(len(time), tskit.NULL)
    parent[genealogy.edges_child] = genealogy.edges_parent
    own = time.copy()
    # Parents before children.
    for node in np.argsort(-time, kind="stable"):
        if parent[node] != tskit.NULL:
            own[node] = own[parent[node]] - rates[node] * (time[parent[node]] - time[node])
    tables = genealogy.dump_tables()
    tables.nodes.time = own - own.min()
    tables.sort()
    return tables.tree_sequence()


def _without_stops(sequences: np.ndarray) -> np.ndarray:
    """Replace the stop codons TAA and TAG by TAT and TAC (tyrosine): a coding sequence has none."""
    a, c, g, t = range(4)
    first, second, third = (sequences[:, 3 - _FRAME + k : LENGTH - 2 + k : 3] for k in range(3))
    stop = (first == t) & (second == a)
    third[stop & (third == a)] = t
    third[stop & (third == g)] = c
    return sequences


def _msprime_seed(rng: np.random.Generator) -> int:
    return int(rng.integers(1, 2**31))
