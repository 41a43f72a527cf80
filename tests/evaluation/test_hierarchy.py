"""Hierarchy metrics by hand, patristic distances by hand and by a walk to the root, correlations
with known answers."""

import newick as newick_format
import numpy as np
import pandas as pd
import pytest
import torch
from random_embeddings import random_embeddings
from scipy.stats import spearmanr

from hypertax.embeddings import COLUMNS, Embeddings
from hypertax.evaluation.hierarchy import (
    FIRST_WRONG,
    PREFIXES,
    distance_correlation,
    hierarchy_scores,
    patristic_distances,
)
from hypertax.evaluation.label_transfer import predictions
from hypertax.geometry import lorentz as L
from hypertax.taxonomy import RANKS

NEWICK = "((A_a:1,A_b:2)A:3,(B_a:4)B:0.5,'C c':7):9;"


def answers(*pairs: tuple[str, str], **about) -> pd.DataFrame:
    """Predictions from lineages of one letter per rank, "-" where missing: ("OFGs", "OFGt")."""
    rows = []
    for true, predicted in pairs:
        row = {
            f"gt_{rank}": None if letter == "-" else letter
            for rank, letter in zip(RANKS, true, strict=True)
        }
        row |= {
            f"pred_{rank}": None if letter == "-" else letter
            for rank, letter in zip(RANKS, predicted, strict=True)
        }
        rows.append(
            {"protocol": "standard", "pairing": "DNA to DNA", "split": "unseen"} | row | about
        )
    return pd.DataFrame(rows, dtype=object)


@pytest.mark.parametrize(
    ("true", "predicted", "first_wrong", "error", "depth"),
    [
        ("OFGs", "OFGs", "none", 0, 4),
        ("OFGs", "OFGt", "species", 2, 3),
        ("OFGs", "OFHt", "genus", 4, 2),
        ("OFGs", "OEHt", "family", 6, 1),
        ("OFGs", "PEHt", "order", 8, 0),
        (
            "OFGs",
            "OF--",
            "genus",
            2,
            2,
        ),  # the key is labelled down to its family: two edges are missing
        ("OFGs", "----", "order", 4, 0),
        ("OF--", "OFHt", "none", 0, 2),  # below the truth's last name nothing is judged
        ("OF--", "OEHt", "family", 2, 1),
        ("O-Gs", "OFGs", "none", 0, 4),  # a missing name between two known ones
        ("O-Gs", "OFHt", "genus", 6, 1),  # no name at family shows that they share it
        ("OFGs", "O-Gs", "family", 0, 4),  # not right at family, but the same leaf
        ("O-Gs", "P-Gt", "order", 8, 0),  # one genus name in two orders is two genera
        ("--Gs", "OFGt", "species", 2, 3),
    ],
)
def test_one_answer_by_hand(true, predicted, first_wrong, error, depth):
    row = hierarchy_scores(answers((true, predicted))).iloc[0]
    assert {name.removeprefix("first_wrong_") for name in FIRST_WRONG if row[name] == 1} == {
        first_wrong
    }
    assert (row["tree_error"], row["lca_depth"], row["queries"]) == (error, depth, 1)
    reached = len(RANKS) if first_wrong == "none" else RANKS.index(first_wrong)
    for i, (rank, letter) in enumerate(zip(RANKS, true, strict=True)):
        expected = np.nan if letter == "-" else float(i < reached)
        np.testing.assert_equal(row[f"prefix_{rank}"], expected)


def test_means_over_queries_and_groups():
    frame = pd.concat(
        [
            answers(
                ("OFGs", "OFGs"),
                ("OFGs", "OFGt"),
                ("OF--", "OEHt"),
                ("----", "OFGs"),
                method="m",
                seed=0,
                run="m0",
            ),
            answers(("OFGs", "PEHt"), method="m", seed=1, run="m1"),
        ]
    )
    found = hierarchy_scores(frame).set_index("seed")
    first = found.loc[0]
    assert (
        first["queries"] == 3
        and first["tree_error"] == pytest.approx((0 + 2 + 2) / 3)
        and first["lca_depth"] == pytest.approx(8 / 3)
    )
    assert list(first[list(PREFIXES)]) == pytest.approx([1, 2 / 3, 1, 1 / 2])
    assert list(first[list(FIRST_WRONG)]) == pytest.approx([0, 1 / 3, 0, 1 / 3, 1 / 3])
    assert (
        found.loc[1, "tree_error"] == 8
        and found.loc[1, "method"] == "m"
        and found.loc[1, "run"] == "m1"
    )
    assert hierarchy_scores(frame.iloc[:0]).empty and "tree_error" in hierarchy_scores(
        frame.iloc[:0]
    )


def test_real_predictions_keep_the_invariants():
    found = predictions(random_embeddings(seed=7))
    table = hierarchy_scores(found)
    assert len(table) == 3 * 3  # pairings; seen, unseen and novel
    np.testing.assert_allclose(table[list(FIRST_WRONG)].sum(axis=1), 1)
    full = found[found[[f"gt_{rank}" for rank in RANKS]].notna().all(axis=1)]
    whole = hierarchy_scores(full[full[[f"pred_{rank}" for rank in RANKS]].notna().all(axis=1)])
    prefixes = whole[list(PREFIXES)].to_numpy()
    assert len(whole) and (np.diff(prefixes, axis=1) <= 0).all() and 0 < prefixes.mean() < 1
    np.testing.assert_allclose(whole["first_wrong_none"], whole["prefix_species"])
    # With all names known the edges are those below the common ancestor, on both sides, and its
    # depth is the length of the right prefix.
    np.testing.assert_allclose(whole["tree_error"], 2 * (4 - whole["lca_depth"]))
    np.testing.assert_allclose(whole["lca_depth"], prefixes.sum(axis=1))


def test_patristic_distances_by_hand():
    names, apart = patristic_distances(NEWICK)
    assert names == ["A a", "A b", "B a", "C c"]
    assert apart.tolist() == [
        [0, 3, 8.5, 11],
        [3, 0, 9.5, 12],
        [8.5, 9.5, 0, 11.5],
        [11, 12, 11.5, 0],
    ]
    with pytest.raises(ValueError, match="not valid Newick"):
        patristic_distances("((a,b);")


def test_patristic_distances_against_a_walk_to_the_root():
    rng = np.random.default_rng(0)
    parts = [f"l{i}:{rng.random():.3f}" for i in range(30)]
    while len(parts) > 1:
        count = min(len(parts), int(rng.integers(1, 4)))
        own = [parts.pop(int(rng.integers(len(parts)))) for _ in range(count)]
        parts.append(f"({','.join(own)}):{rng.random():.3f}")
    names, apart = patristic_distances(parts[0] + ";")
    leaves = {
        leaf.unquoted_name: leaf for leaf in newick_format.loads(parts[0] + ";")[0].get_leaves()
    }

    def way(leaf):
        while leaf is not None:
            yield leaf
            leaf = leaf.ancestor

    assert sorted(names) == sorted(leaves)
    for i, one in enumerate(names):
        for j, other in enumerate(names):
            first, second = list(way(leaves[one])), list(way(leaves[other]))
            common = {id(node) for node in first} & {id(node) for node in second}
            expected = sum(node.length or 0 for node in (*first, *second) if id(node) not in common)
            assert apart[i, j] == pytest.approx(expected)


def specimens(
    lineages: list[str],
    tangent,
    space="lorentz",
    modality="dna",
    splits=("test_seen", "test_unseen"),
) -> Embeddings:
    rows = [
        (f"{i:03}", modality, None, splits[i % len(splits)], *lineage.split())
        for i, lineage in enumerate(lineages)
    ]
    table = pd.DataFrame(rows, columns=list(COLUMNS))
    return Embeddings(
        table, np.asarray(tangent, np.float32), space, 0.7 if space == "lorentz" else None
    )


def test_distances_that_follow_the_tree_correlate_perfectly():
    # Two species of one genus at an acute angle, the other order's at right angles to both.
    lineages = ["O F G s", "O F G s", "O F G t", "P E H u"]
    vectors = [[5, 0, 0], [5, 0, 0], [3, 4, 0], [0, 0, 5]]
    for space in ("lorentz", "euclidean"):
        found = distance_correlation(specimens(lineages, vectors, space), pairs=500).set_index(
            "tree"
        )
        assert found.loc["taxonomy", "spearman"] == pytest.approx(1) and found[
            "pairing"
        ].unique() == ["DNA to DNA"]
        turned = distance_correlation(
            specimens(lineages, [vectors[i] for i in (0, 3, 2, 1)], space), pairs=500
        )
        assert turned["spearman"].iloc[0] < 0.5


def test_specimens_at_one_point_are_equally_near():
    # 1 - cos of a vector and itself is off zero by a rounding error that differs from vector to
    # vector.
    rng = np.random.default_rng(0)
    for _ in range(10):
        vectors = rng.normal(size=(2, 7))[[0, 0, 0, 1, 1, 1]]
        found = distance_correlation(
            specimens(["O F G s"] * 3 + ["O F G t"] * 3, vectors, "euclidean"), pairs=200
        )
        assert found["spearman"].iloc[0] == pytest.approx(1)


@pytest.mark.parametrize("space", ["lorentz", "euclidean"])
def test_correlation_is_that_of_all_pairs(space):
    rng = np.random.default_rng(1)
    lineages = [f"O{i % 2} F{i % 4} G{i % 8} s{i % 16}" for i in range(40)]
    tangent = 0.5 * rng.normal(size=(40, 5)) + sum(
        rng.normal(size=(n, 5))[np.arange(40) % n] for n in (2, 4, 8, 16)
    )
    embeddings = specimens(lineages, tangent, space)
    tree = "(" + ",".join(f"(s{i}:1,s{i + 8}:1):{1 + i}" for i in range(8)) + ");"
    found = distance_correlation(embeddings, tree, pairs=40_000).set_index("tree")["spearman"]
    names, patristic = patristic_distances(tree)
    apart, edges, branches = [], [], []
    for i in range(40):
        for j in range(40):
            if i != j:
                v, w = (torch.from_numpy(embeddings.tangent[k : k + 1]).double() for k in (i, j))
                cosine = float(v[0] @ w[0] / v.norm() / w.norm())
                apart.append(
                    float(L.pairwise_distance(L.exp0(v, 0.7), L.exp0(w, 0.7), 0.7))
                    if space == "lorentz"
                    else 1 - cosine
                )
                one, other = lineages[i].split(), lineages[j].split()
                edges.append(2 * sum(a != b for a, b in zip(one, other, strict=True)))
                branches.append(patristic[names.index(one[-1]), names.index(other[-1])])
    # 40,000 draws with replacement from 1,560 pairs
    assert found["taxonomy"] == pytest.approx(spearmanr(apart, edges).statistic, abs=0.02)
    assert found["true tree"] == pytest.approx(spearmanr(apart, branches).statistic, abs=0.02)
    assert abs(found["taxonomy"] - found["true tree"]) > 0.05


def test_pairs_do_not_depend_on_the_order_of_the_rows_and_skip_the_specimen_itself():
    embeddings = random_embeddings(seed=2)
    first = distance_correlation(embeddings, pairs=300, seed=4)
    order = np.random.default_rng(0).permutation(len(embeddings))
    shuffled = Embeddings(
        embeddings.table.iloc[order].reset_index(drop=True),
        embeddings.tangent[order],
        "lorentz",
        0.8,
    )
    pd.testing.assert_frame_equal(
        distance_correlation(shuffled, pairs=300, seed=4), first, check_exact=True
    )
    assert (
        list(first["pairing"]) == ["DNA to DNA", "image to image", "image to DNA"]
        and (first["tree"] == "taxonomy").all()
    )
    assert (
        first["pairs"].between(200, 299).all()
    )  # about 1 pair in 30 is of one specimen and itself
    assert not distance_correlation(embeddings, pairs=300, seed=5)["spearman"].equals(
        first["spearman"]
    )
    alone = specimens(["O F G s", "O F G s"], [[1.0, 0], [0, 1.0]])
    assert np.isnan(distance_correlation(alone)["spearman"]).all()
    assert distance_correlation(alone, splits=["val_seen"]).empty


def test_leaves_that_the_tree_lacks_are_left_out():
    embeddings = specimens(
        ["O F A A@a", "O F A A@b", "O F B B@a", "O F X X@x"] * 3,
        np.random.default_rng(0).normal(size=(12, 3)),
    )
    embeddings.table["species"] = embeddings.table["species"].str.replace("@", " ")
    found = distance_correlation(embeddings, NEWICK, pairs=2000).set_index("tree")["pairs"]
    assert found["true tree"] / found["taxonomy"] == pytest.approx(
        72 / 132, abs=0.05
    )  # 9 * 8 of 12 * 11 pairs
