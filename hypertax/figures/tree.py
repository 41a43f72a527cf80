"""The taxonomy as a circular tree, from the labels or from a dated Newick tree."""

from __future__ import annotations

from dataclasses import dataclass, field

import newick as newick_format
import numpy as np
import pandas as pd
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Circle

from hypertax.figures.style import (
    FAINT,
    INK,
    MUTED,
    SMALL,
    TEXT,
    blank,
    clade_colours,
    colour_rank,
    finish,
    new_figure,
    shade,
    style,
)
from hypertax.taxonomy import RANKS, known_ranks

SPLIT_MARKS = {
    "seen": {"marker": "s", "facecolor": INK, "edgecolor": INK},
    "unseen, validation": {"marker": "s", "facecolor": "#b5b5b5", "edgecolor": "#b5b5b5"},
    "unseen, test": {"marker": "s", "facecolor": "white", "edgecolor": INK},
    "single record": {"marker": ".", "facecolor": MUTED, "edgecolor": "none"},
}


LEGEND = 22
"""Entries of the colours' legend at most."""
INCHES = 1.71
"""The tree's radius on paper."""
NAME_GAP = 0.1 / (1.09 * INCHES)
"""Radians between the names of families that do not touch."""


@dataclass
class Tree:
    """Nodes in the order of a walk from the root (node 0), each after its parent.

    name: a taxon's name or "". parent: index, -1 for the root. depth: 0 at the root to 1 at the
    leaves, for drawing.
    """

    name: list[str] = field(default_factory=list)
    parent: list[int] = field(default_factory=list)
    depth: list[float] = field(default_factory=list)

    def add(self, name: str, parent: int, depth: float) -> int:
        """Append a node and return its index."""
        self.name.append(name)
        self.parent.append(parent)
        self.depth.append(depth)
        return len(self.name) - 1

    def leaves(self) -> list[int]:
        """Nodes without children, in drawing order."""
        inner = set(self.parent)
        return [i for i in range(len(self.name)) if i not in inner]


def tree_from_labels(specimens: pd.DataFrame) -> Tree:
    """The labels' own tree: every named species under its deepest known ancestor; a rank's distance
    from the root is fixed."""
    species = (
        specimens[specimens["species"].notna()]
        .drop_duplicates("species")
        .sort_values(list(RANKS), kind="stable")
    )
    tree, place = Tree(), {}
    root = tree.add("", -1, 0.0)
    for lineage in species[list(RANKS)].to_dict("records"):
        above, path = root, ()
        for rank in known_ranks(lineage):
            path = (*path, lineage[rank])
            if path not in place:
                place[path] = tree.add(lineage[rank], above, (RANKS.index(rank) + 1) / len(RANKS))
            above = place[path]
    return tree


def tree_from_newick(text: str) -> Tree:
    """A tree in Newick format with branch lengths: distance from the root in units of the deepest
    leaf's; "_" in names is a blank."""
    try:
        parsed = newick_format.loads(text.strip())[0]
    except (ValueError, IndexError) as error:
        raise ValueError(f"The tree is not valid Newick: {error}.") from None
    tree = Tree()
    waiting = [(parsed, -1, 0.0)]
    while waiting:
        node, parent, depth = waiting.pop()
        name = (node.unquoted_name or "").replace("_", " ")
        here = tree.add(name, parent, depth)
        waiting += [
            (child, here, depth + (child.length or 0.0)) for child in reversed(node.descendants)
        ]
    deepest = max(tree.depth)
    if deepest == 0:
        raise ValueError(
            "The Newick tree has no branch lengths: leave it out, and the tree of the labels is"
            " drawn."
        )
    tree.depth = [depth / deepest for depth in tree.depth]
    return tree


def _species_splits(specimens: pd.DataFrame) -> dict[str, str]:
    """Which of the marks each species gets, by the splits of its specimens."""
    marks = {}
    for species, splits in specimens[specimens["species"].notna()].groupby("species")["split"]:
        names = set(splits.dropna())
        if names & {"train_seen", "seen_keys", "val_seen", "test_seen"}:
            marks[species] = "seen"
        elif names & {"val_unseen", "val_unseen_keys"}:
            marks[species] = "unseen, validation"
        elif names & {"test_unseen", "test_unseen_keys"}:
            marks[species] = "unseen, test"
        elif "single_species" in names:
            marks[species] = "single record"
    return marks


def _angles(tree: Tree) -> np.ndarray:
    """Leaves evenly round the circle (a small gap at the top), other nodes at the middle of their
    children; and the children's extent."""
    leaves = tree.leaves()
    angle = np.full(len(tree.name), np.nan)
    angle[leaves] = np.pi / 2 - 2 * np.pi * (np.arange(len(leaves)) + 0.5) / len(leaves)
    low, high = angle.copy(), angle.copy()
    for i in range(len(tree.name) - 1, 0, -1):
        angle[i] = (low[i] + high[i]) / 2
        p = tree.parent[i]
        low[p], high[p] = np.fmin(low[p], angle[i]), np.fmax(high[p], angle[i])
    angle[0] = 0.0
    return np.stack([angle, low, high], axis=1)


def _lines(tree: Tree, angles: np.ndarray, node_order: list) -> tuple[list, list]:
    """Polylines of the tree and the order (or None) of each: an arc at the parent's distance, then
    outwards to the child."""
    lines, owners = [], []
    for i in range(1, len(tree.name)):
        p = tree.parent[i]
        start = angles[p, 0] if p else angles[i, 0]
        arc = np.linspace(start, angles[i, 0], max(2, int(abs(start - angles[i, 0]) / 0.03)))
        path = np.stack([np.cos(arc), np.sin(arc)], axis=1) * tree.depth[p]
        lines.append(
            np.vstack(
                [path, np.array([[np.cos(angles[i, 0]), np.sin(angles[i, 0])]]) * tree.depth[i]]
            )
        )
        owners.append(node_order[i])
    return lines, owners


def _orders(tree: Tree, order_of: dict[str, str]) -> list:
    """For every node the order of the leaves below it as far as known; None where they differ.
    Unknown leaves follow their parent."""
    found: list = [order_of.get(name) for name in tree.name]
    below: list[set] = [set() for _ in tree.name]
    for i in range(len(tree.name) - 1, -1, -1):
        if found[i] is None and len(below[i]) == 1:
            (found[i],) = below[i]
        if tree.parent[i] >= 0:
            below[tree.parent[i]] |= below[i] | ({found[i]} if found[i] else set())
    for i in range(1, len(found)):
        found[i] = found[i] or (None if below[i] else found[tree.parent[i]])
    return found


def _clade_of(specimens: pd.DataFrame, rank: str) -> dict[str, str]:
    """Every taxon's name -> its taxon at a rank, as far as it is known."""
    known = specimens[specimens[rank].notna()]
    found = {}
    for level in RANKS[RANKS.index(rank) :]:
        named = known[known[level].notna()].drop_duplicates(level)
        found |= dict(zip(named[level], named[rank], strict=True))
    return found


def taxonomy_tree(
    specimens: pd.DataFrame,
    newick: str | None = None,
    *,
    colours: dict[str, str] | None = None,
) -> Figure:
    """A circular tree of all named species, coloured by order (by family within one order), a mark
    at each leaf telling how the split uses the species.

    newick: a dated tree's text; its leaves are species, and distance from the centre is then time.
    Without it the labels' tree is drawn, with order, family, genus and species at fixed distances.
    Families are named round it, those with most species first, as far as there is room.
    """
    tree = tree_from_newick(newick) if newick else tree_from_labels(specimens)
    if len(tree.name) < 2:
        raise ValueError("No specimen has a species name: there is no tree to draw.")
    rank = colour_rank(specimens, colours)
    colours = colours or clade_colours(specimens)
    node_order = _orders(tree, _clade_of(specimens, rank))
    angles, leaves = _angles(tree), tree.leaves()
    lines, owners = _lines(tree, angles, node_order)
    marks = _species_splits(specimens)
    size = float(np.clip(0.7 * _spacing(leaves), 0.5, 3.2))
    with style():
        fig = new_figure(TEXT, 5.75)
        fig.set_layout_engine("none")
        ax = fig.add_axes((0.005, 0.075, 0.745, 0.92))
        for ring in (0.25, 0.5, 0.75, 1.0):
            look = {"facecolor": "none", "edgecolor": FAINT, "linewidth": 0.5, "zorder": 1}
            ax.add_patch(Circle((0, 0), ring, **look))
        ax.add_collection(
            LineCollection(
                lines,
                colors=[colours.get(owner, MUTED) for owner in owners],
                linewidths=float(np.clip(0.38 * _spacing(leaves), 0.12, 0.7)),
                capstyle="round",
                zorder=2,
                rasterized=len(leaves) > 3000,
            )
        )
        for mark, look in SPLIT_MARKS.items():
            own = [i for i in leaves if marks.get(tree.name[i]) == mark]
            ax.scatter(
                1.035 * np.cos(angles[own, 0]),
                1.035 * np.sin(angles[own, 0]),
                s=size**2,
                linewidths=0.5 if size > 1.5 else 0.15,
                zorder=3,
                rasterized=len(leaves) > 3000,
                **look,
            )
        named, all_families = _name_families(ax, specimens, tree, angles, colours, node_order)
        blank(ax)
        ax.set_aspect("equal")
        ax.set(xlim=(-1.52, 1.52), ylim=(-1.52, 1.52))
        words = "from the centre: order, family, genus, species"
        if newick:
            words = "distance from the centre: time since the root"
        if named < all_families:
            words += f"\nnamed: {named} of {all_families} families, those with most species first"
        ax.set_xlabel(words, color=MUTED, fontsize=7)
        counts = specimens.drop_duplicates("species").groupby(rank)["species"].count()
        shown = {name: colour for name, colour in colours.items() if name in set(node_order)}
        _legend_of_clades(fig, rank, shown, counts)
        _legend_of_splits(fig, {marks.get(tree.name[i]) for i in leaves})
        return finish(fig)


def _legend_of_clades(fig: Figure, rank: str, colours: dict[str, str], counts: pd.Series) -> None:
    """The clades' colours and numbers of species; of too many the largest."""
    names = list(colours)
    if len(names) > LEGEND:
        largest = sorted(names, key=lambda name: -counts.get(name, 0))[:LEGEND]
        names = [name for name in names if name in largest]
    handles = [
        Line2D(
            [], [], color=colours[name], linewidth=2.5, label=f"{name} ({counts.get(name, 0):,})"
        )
        for name in names
    ]
    if len(names) < len(colours):
        more = f"and {len(colours) - len(names)} smaller ones"
        handles.append(Line2D([], [], linestyle="", label=more))
    legend = fig.legend(
        handles=handles, loc="upper right", title=f"{rank} (species)", alignment="left"
    )
    legend.get_title().set(fontweight="bold", fontsize=7)


def _legend_of_splits(fig: Figure, present: set) -> None:
    """What the marks at the leaves say, as far as they occur."""
    handles = [
        Line2D(
            [],
            [],
            linestyle="",
            marker=look["marker"],
            markerfacecolor=look["facecolor"],
            markeredgecolor=look["edgecolor"],
            markersize=4,
            label=mark,
        )
        for mark, look in SPLIT_MARKS.items()
        if mark in present
    ]
    legend = fig.legend(
        handles=handles, loc="lower right", title="species in the split", alignment="left"
    )
    legend.get_title().set(fontweight="bold", fontsize=7)


def _spacing(leaves: list[int]) -> float:
    """Points between neighbouring leaves on paper."""
    return 2 * np.pi * INCHES * 72 / len(leaves)


def _name_families(
    ax, specimens, tree: Tree, angles: np.ndarray, colours: dict, node_order: list
) -> tuple[int, int]:
    """Family names round the tree, in their clade's colour, at the middle of their species.

    Returns:
        how many families are named, and how many there are.
    """
    family_of = (
        specimens[specimens["species"].notna() & specimens["family"].notna()]
        .drop_duplicates("species")
        .set_index("species")["family"]
    )
    rows = [(family_of[tree.name[i]], i) for i in tree.leaves() if tree.name[i] in family_of.index]
    leaves = pd.DataFrame(rows, columns=["family", "leaf"]).groupby("family")["leaf"]
    taken: list[float] = []
    for family in leaves.size().sort_values(ascending=False, kind="stable").index:
        own = leaves.get_group(family)
        middle = angles[own.to_numpy(), 0].mean()
        if any(abs((middle - x + np.pi) % (2 * np.pi) - np.pi) < NAME_GAP for x in taken):
            continue
        taken.append(middle)
        degrees = np.rad2deg(middle) % 360
        flip = 90 < degrees < 270
        clade = node_order[own.iloc[0]]
        ax.text(
            1.09 * np.cos(middle),
            1.09 * np.sin(middle),
            family,
            rotation=degrees + 180 * flip,
            rotation_mode="anchor",
            fontsize=SMALL,
            ha="right" if flip else "left",
            va="center",
            color=shade(colours.get(clade, MUTED)),
        )
    return len(taken), len(leaves)
