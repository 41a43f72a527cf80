"""How wrong answers are wrong: ranks and tree edges between truth and prediction, and whether
distances follow the tree."""

from __future__ import annotations

from collections.abc import Sequence

import newick as newick_format
import numpy as np
import pandas as pd
import torch
from scipy.stats import spearmanr

from hypertax.embeddings import Embeddings
from hypertax.evaluation.protocol import PAIRINGS, query_splits
from hypertax.geometry import lorentz as L
from hypertax.taxonomy import RANKS

PREFIXES = tuple(f"prefix_{rank}" for rank in RANKS)
FIRST_WRONG = tuple(f"first_wrong_{rank}" for rank in (*RANKS, "none"))
TREES = ("taxonomy", "true tree")
SHARED = (*reversed(RANKS), "none")
"""Deepest rank that a query and its key share, from the right species to not even the order."""
_RUN = ("method", "run", "seed")


def hierarchy_scores(answers: pd.DataFrame) -> pd.DataFrame:
    """Hierarchy metrics of `hypertax.evaluation.predictions`, each a mean over the
    queries (micro).

    The taxonomy is a tree of four ranks below a root. A rank missing in the truth is not judged:
    what the prediction says there, or below the truth's deepest name, does not count. A rank
    missing in the prediction is wrong. A name that is missing between two known ones keeps its
    edge, so that a rank has one depth (order 1 ... species 4). Queries without any name are left
    out.

    Args:
        answers: columns `gt_RANK`, `pred_RANK`, `protocol`, `pairing`, `split`, and where it has
        them `method`, `run`, `seed`.

    Returns:
        one row per group of those columns: `queries`; `prefix_RANK`, the share whose names are
        right at every rank down to this one (of the queries with a name at it); `first_wrong_RANK`,
        the share whose topmost wrong rank this is, and `first_wrong_none`, where all are right
        (together 1); `tree_error`, mean number of edges between true and predicted leaf (0..8;
        Dekel et al. 2004's tree-induced error); `lca_depth`, mean depth of their lowest common
        ancestor (0 the root .. 4).
    """
    groups = [
        column
        for column in ("method", "run", "seed", "protocol", "pairing", "split")
        if column in answers
    ]
    if answers.empty:
        return pd.DataFrame(
            columns=[*groups, "queries", *PREFIXES, *FIRST_WRONG, "tree_error", "lca_depth"]
        )
    true, predicted = (
        _names(answers[[f"{side}_{rank}" for rank in RANKS]]) for side in ("gt", "pred")
    )
    judged = pd.notna(true)
    right = judged & (true == predicted)
    wrong = judged & ~right
    on_track = ~np.logical_or.accumulate(wrong, axis=1)
    measures = {
        name: np.where(judged[:, i], on_track[:, i], np.nan) for i, name in enumerate(PREFIXES)
    }
    first = np.where(wrong.any(axis=1), wrong.argmax(axis=1), len(RANKS))
    measures |= {name: (first == i).astype(float) for i, name in enumerate(FIRST_WRONG)}
    edges, shared = _edges(true, np.where(_below(judged), None, predicted))
    frame = pd.DataFrame(
        {**measures, "tree_error": edges.astype(float), "lca_depth": shared.astype(float)}
    )
    frame = pd.concat([answers[groups].reset_index(drop=True), frame], axis=1)[judged.any(axis=1)]
    grouped = frame.groupby(groups, sort=False)
    means = grouped.mean().reset_index()
    means.insert(len(groups), "queries", grouped.size().to_numpy())
    return means


def shared_ranks(answers: pd.DataFrame) -> pd.DataFrame:
    """Share of the queries by the deepest rank at which query and nearest key have the same name.

    Only the standard protocol counts, and only queries with a species name. Where a rank is missing
    in either lineage, the deepest rank at which both have the same name decides.

    Args:
        answers: as in `hierarchy_scores`.

    Returns:
        columns `method`, `run`, `seed` (where the answers have them), `pairing`, `split` ("seen",
        "unseen"), `shared_rank` (every one of `SHARED`, in this order), `share` (0..1; the five of
        a pairing and split add to 1) and `queries`. A split without queries leaves no row.
    """
    columns = [name for name in (*_RUN, "pairing", "split") if name in answers]
    used = answers[(answers["protocol"] == "standard") & answers["gt_species"].notna()]
    rows = []
    for key, part in used.groupby(columns, sort=False):
        deepest = np.full(len(part), "none", dtype=object)
        for rank in RANKS:
            true, found = part[f"gt_{rank}"], part[f"pred_{rank}"]
            same = true.notna() & found.notna() & (true == found)
            deepest[same.to_numpy(dtype=bool)] = rank
        about = dict(zip(columns, key, strict=True))
        rows += [
            {
                **about,
                "shared_rank": rank,
                "share": float((deepest == rank).mean()),
                "queries": len(part),
            }
            for rank in SHARED
        ]
    return pd.DataFrame(rows, columns=[*columns, "shared_rank", "share", "queries"])


def _names(frame: pd.DataFrame) -> np.ndarray:
    """Names as objects, None where missing."""
    names = frame.to_numpy(dtype=object)
    return np.where(pd.notna(names), names, None)


def _below(known: np.ndarray) -> np.ndarray:
    """Whether a rank lies below the deepest known one (N, 4)."""
    return ~np.logical_or.accumulate(known[:, ::-1], axis=1)[:, ::-1]


def _edges(one: np.ndarray, other: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Edges between the deepest names of two lineages (N, 4) and depth of their lowest common
    ancestor, both (N,) integers.

    The ancestor is the deepest rank at which both have the same name and above which no two names
    differ.
    """
    depth = np.arange(1, len(RANKS) + 1)
    known_one, known_other = pd.notna(one), pd.notna(other)
    both = known_one & known_other
    same = both & (one == other)
    together = ~np.logical_or.accumulate(both & ~same, axis=1)
    shared = (depth * (same & together)).max(axis=1)
    return (depth * known_one).max(axis=1) + (depth * known_other).max(axis=1) - 2 * shared, shared


def distance_correlation(
    embeddings: Embeddings,
    newick: str | None = None,
    *,
    splits: Sequence[str] = tuple(query_splits("test").values()),
    pairs: int = 20_000,
    seed: int = 0,
) -> pd.DataFrame:
    """Spearman's rank correlation between embedding distance and tree distance, over random pairs
    of two different specimens.

    Embedding distance: geodesic in the Lorentz space, 1 - cosine in the Euclidean one. Tree
    distance: edges between the two species in the taxonomy of four ranks, and in a true tree the
    patristic distance (sum of the branch lengths between them). Most random pairs are of different
    orders: the taxonomy's distance takes few values, of which one is frequent.

    Args:
        newick: text of a tree with branch lengths, leaves named by species ("_" for a blank).
        splits: whose specimens are paired, as far as they have a species. pairs: how many at most;
        one seed gives the same pairs whatever the method.

    Returns:
        one row per pairing and tree: `pairing`, `tree` ("taxonomy", "true tree"), `spearman`
        (-1..1; NaN where a distance is constant), `pairs`. No p-value: pairs that share specimens
        are not independent.
    """
    species, patristic = patristic_distances(newick) if newick else ([], np.zeros((0, 0)))
    leaf = {name: i for i, name in enumerate(species)}
    rows = []
    for pairing, modalities in PAIRINGS.items():
        sides = [embeddings.select(modality, list(splits)) for modality in modalities]
        sides = [side.where(side.table["species"].notna()) for side in sides]
        if min(len(side) for side in sides) < 2:
            continue
        # Sorted by specimen: the draw must not depend on the order in which a run stored its rows.
        sides = [(side, side.table["id"].argsort(kind="stable").to_numpy()) for side in sides]
        rng = np.random.default_rng(seed)
        (one, first), (other, second) = [
            (side, order[rng.integers(len(order), size=pairs)]) for side, order in sides
        ]
        different = one.table["id"].to_numpy()[first] != other.table["id"].to_numpy()[second]
        first, second = first[different], second[different]
        # Specimens with one barcode are at one point: their distances may not differ in the last
        # bit.
        apart = _embedding_distance(one, first, other, second).round(12)
        lineages = [
            _names(side.table[list(RANKS)])[index]
            for side, index in ((one, first), (other, second))
        ]
        trees = {"taxonomy": _edges(*lineages)[0].astype(float)}
        if newick:
            places = [np.array([leaf.get(name, -1) for name in names[:, -1]]) for names in lineages]
            trees["true tree"] = np.where(
                (places[0] < 0) | (places[1] < 0), np.nan, patristic[places[0], places[1]]
            )
        for tree, distance in trees.items():
            known = ~np.isnan(distance)
            varied = known.any() and np.ptp(distance[known]) > 0 and np.ptp(apart[known]) > 0
            value = float(spearmanr(apart[known], distance[known]).statistic) if varied else np.nan
            rows.append(
                {"pairing": pairing, "tree": tree, "spearman": value, "pairs": int(known.sum())}
            )
    return pd.DataFrame(rows, columns=["pairing", "tree", "spearman", "pairs"])


def _embedding_distance(
    one: Embeddings, first: np.ndarray, other: Embeddings, second: np.ndarray
) -> np.ndarray:
    """Distances (N,) of paired rows: geodesic, or 1 - cosine."""
    if one.space == "lorentz":
        return L.distance(one.points(first), other.points(second), float(one.curvature)).numpy()
    x = torch.from_numpy(one.tangent[first]).double()
    y = torch.from_numpy(other.tangent[second]).double()
    return 1 - torch.nn.functional.cosine_similarity(x, y, dim=1).numpy()


def patristic_distances(newick: str) -> tuple[list[str], np.ndarray]:
    """The leaves of a tree in Newick format and the sums of branch lengths between them, (N, N), in
    the tree's own unit.

    A missing branch length counts as zero; "_" in a name is a blank.

    Raises:
        ValueError: the text is not valid Newick.
    """
    try:
        root = newick_format.loads(newick.strip())[0]
    except (ValueError, IndexError) as error:
        raise ValueError(f"The tree is not valid Newick: {error}.") from None
    # Depth-first, each node after its parent, so that a node's leaves stand side by side.
    nodes, waiting = [], [(root, 0.0)]
    while waiting:
        node, depth = waiting.pop()
        nodes.append((node, depth))
        waiting += [(child, depth + (child.length or 0.0)) for child in reversed(node.descendants)]
    names = [(node.unquoted_name or "").replace("_", " ") for node, _ in nodes if node.is_leaf]
    depths = np.array([depth for node, depth in nodes if node.is_leaf])
    below, leaves_so_far = {}, len(names)
    extents = []
    for node, depth in reversed(nodes):
        below[node] = 1 if node.is_leaf else sum(below[child] for child in node.descendants)
        leaves_so_far -= node.is_leaf
        # Met from the last node backwards, a node's own leaves are the first of those that follow.
        extents.append((leaves_so_far, leaves_so_far + below[node], depth))
    ancestor = np.zeros((len(names), len(names)))
    for start, stop, depth in reversed(extents):
        ancestor[start:stop, start:stop] = depth
    return names, depths[:, None] + depths[None, :] - 2 * ancestor
