"""A dated species tree with ranks, and invented names that follow the rules of zoological
nomenclature."""

# ruff: noqa: SIM905 (stems read better as words)

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from hypertax.taxonomy import RANKS

CROWN_AGES = {"order": (45.0, 75.0), "family": (18.0, 40.0), "genus": (4.0, 17.0)}
"""Million years, youngest and oldest crown of a taxon of each rank. The ranges do not overlap, so
that ages grow with rank."""
ROOT_AGES = (78.0, 100.0)
"""Million years, the splits between orders; the last one is the root of the tree."""

# None of these makes the name of a real order.
_ORDER_STEMS = (
    "Brachy Calo Chalco Cteno Dasy Drepano Eury Glypho Grapto Helico Lampro Lepto Lito Malaco"
    " Micro Oligo Oxy Pachy"
    " Platy Rhopalo Schizo Steno Stilbo Xantho"
).split()
_GENUS_STARTS = (
    "Acan Aeg Alb Ampel Anth Arg Astr Bel Bryx Cal Cant Cel Cheir Cor Cyr Dam Del Dor Elach"
    " Ephal Er Eul Gal Glauc Hel Hyd Ischn"
    " Lam Len Lyc Mel Myr Nem Ner Oen Ort Pel Phal Phil Pol Pter Rhab Rhyn Sal Scel Sit Spil Tal"
    " Tel Thal Tor Trich Vel Vest Xen Zel"
).split()
_GENUS_MIDDLES = (
    "and ant aph arg el end er ict id im in ol omm oph or osc osm ost oth ur yc yll ym yn yr"
).split()
_GENUS_ENDS = (("us", "m"), ("a", "f"), ("ia", "f"), ("ella", "f"), ("ius", "m"), ("ium", "n"))
_ADJECTIVES_US = (
    "albid angust assimilat aure brunne caerule clar dubi ferrugine flav fulv fusc grise hirt"
    " lact laet"
    " laevigat limpid maculat marginat minut modest murin nigricat nitid notat nov obscur"
    " ochrace pallid pict pilos plan pulchell punctat"
    " pusill rubicund ruf scit serice signat sordid striat sylvatic umbros variegat vari venust"
    " villos viridul zonat"
).split()
_ADJECTIVES_IS = (
    "agil alpestr campestr debil fort fragil gracil grand insign longicorn mit"
    " palustr rud silvestr simil tenu trist vernal virid"
).split()
_INVARIABLE = (
    "bicolor concolor canescens elegans fallax ferox praecox repens simplex splendens"
    " unicolor velox vagans"
).split()
_PLACES = (
    "alp andin boreal cap columb gang iber ind ital lapon mar mont nev orient pacif rhen"
    " sin sylv tirol urals volg"
).split()


@dataclass
class Node:
    """A split of the tree, a named taxon or a species (a leaf).

    `age` in million years before the present; `rank` and `name` are empty for a split that is no
    taxon. A taxon with one child only is a node too, so that every order, family and genus can be
    found in the tree.
    """

    age: float
    rank: str = ""
    name: str = ""
    children: list[Node] = field(default_factory=list)

    def leaves(self) -> Iterator[Node]:
        """The species below this node, from left to right."""
        if not self.children:
            yield self
        for child in self.children:
            yield from child.leaves()

    def newick(self) -> str:
        """The tree below in Newick format, branch lengths in million years; blanks in names as
        underscores, as the format asks."""
        return f"{self._newick(self.age)};\n"

    def _newick(self, parent_age: float) -> str:
        below = (
            f"({','.join(child._newick(self.age) for child in self.children)})"
            if self.children
            else ""
        )
        length = f":{parent_age - self.age:.6f}" if parent_age > self.age else ""
        return f"{below}{self.name.replace(' ', '_')}{length}"


def species_tree(
    rng: np.random.Generator, *, orders: int, families: int, genera: int, species: int
) -> Node:
    """A random dated tree with invented names.

    Args:
        rng: the source of randomness.
        orders, families, genera, species: taxa of each rank, each number at least the one before.
    """
    clades = [Node(0.0, "species") for _ in range(species)]
    for rank, number in (("genus", genera), ("family", families), ("order", orders)):
        # A split between two taxa is older than any split within a taxon of their rank, and younger
        # than their parent's crown.
        low, high = CROWN_AGES[rank]
        floor = low if rank == "genus" else CROWN_AGES[_below(rank)][1]
        taxa, start = [], 0
        for size in _sizes(rng, len(clades), number):
            taxon = _join(
                rng,
                clades[start : start + size],
                floor if size > 2 else low,
                rng.uniform(low, high),
            )
            taxon.rank = rank
            taxa.append(taxon)
            start += size
        clades = taxa
    root = _join(rng, clades, ROOT_AGES[0], ROOT_AGES[1])
    if len(clades) == 1:
        return _named(root.children[0], rng)
    return _named(root, rng)


def lineages(tree: Node) -> list[dict[str, str]]:
    """The order, family, genus and species of every leaf, in the order of `tree.leaves()`."""
    found = []

    def visit(node: Node, above: dict[str, str]) -> None:
        here = {**above, node.rank: node.name} if node.rank else above
        if not node.children:
            found.append({rank: here[rank] for rank in RANKS})
        for child in node.children:
            visit(child, here)

    visit(tree, {})
    return found


def _below(rank: str) -> str:
    return RANKS[RANKS.index(rank) + 1]


def _sizes(rng: np.random.Generator, total: int, parts: int) -> list[int]:
    """`total` children shared out among `parts` parents, at least one each: uneven, as real taxa
    are."""
    share = rng.gamma(1.6, size=parts)
    return list(1 + rng.multinomial(total - parts, share / share.sum()))


def _join(rng: np.random.Generator, clades: list[Node], youngest: float, crown: float) -> Node:
    """Join clades by random pairwise splits; the last one has the crown's age, the others lie
    between it and `youngest`."""
    if len(clades) == 1:
        return Node(crown, children=list(clades))
    ages = np.sort(np.append(rng.uniform(min(youngest, crown), crown, len(clades) - 2), crown))
    clades = list(clades)
    for age in ages:
        first, second = rng.choice(len(clades), 2, replace=False)
        joined = Node(float(age), children=[clades[first], clades[second]])
        clades = [clade for i, clade in enumerate(clades) if i not in (first, second)] + [joined]
    return clades[0]


def _named(tree: Node, rng: np.random.Generator) -> Node:
    taken: set[str] = set()

    def unused(make) -> tuple:
        while True:
            made = make()
            if made[0] not in taken:
                taken.add(made[0])
                return made

    def genus() -> tuple[str, str, str]:
        middles = rng.choice(_GENUS_MIDDLES, 1 + (rng.random() < 0.35), replace=False)
        ending, gender = _GENUS_ENDS[rng.integers(len(_GENUS_ENDS))]
        stem = str(rng.choice(_GENUS_STARTS)) + "".join(middles)
        return stem + ending, stem, gender

    def order() -> tuple[str]:
        stem = str(rng.choice(_ORDER_STEMS))
        # More orders than stems: two stems together, as in real names.
        return (
            (f"{stem}ptera",)
            if f"{stem}ptera" not in taken
            else (f"{stem}{str(rng.choice(_ORDER_STEMS)).lower()}ptera",)
        )

    def visit(node: Node, type_genus: list) -> None:
        if node.rank == "order":
            node.name = unused(order)[0]
        elif node.rank == "family":
            # The family bears the stem of its type genus, the first genus met below it.
            made = unused(genus)
            node.name = f"{made[1]}idae"
            type_genus = [made]
        elif node.rank == "genus":
            made = type_genus.pop() if type_genus else unused(genus)
            node.name = made[0]
            for leaf in node.leaves():
                leaf.name = unused(lambda: (f"{node.name} {_epithet(rng, made[2])}",))[0]
            return
        for child in node.children:
            visit(child, type_genus)

    visit(tree, [])
    return tree


def _epithet(rng: np.random.Generator, gender: str) -> str:
    """A species epithet; adjectives agree with the gender of the genus."""
    kind = rng.choice(4, p=[0.58, 0.2, 0.09, 0.13])
    if kind == 0:
        return str(rng.choice(_ADJECTIVES_US)) + {"m": "us", "f": "a", "n": "um"}[gender]
    if kind == 1:
        return str(rng.choice(_ADJECTIVES_IS)) + ("e" if gender == "n" else "is")
    if kind == 2:
        return str(rng.choice(_INVARIABLE))
    return f"{rng.choice(_PLACES)}ens{'e' if gender == 'n' else 'is'}"
