"""Specimens in the cones of their taxa against a literal loop, and the choices of
06_beyond_the_paper."""

import math

import numpy as np
import pandas as pd
import pytest

from hypertax.embeddings import Embeddings
from hypertax.evaluation.cones import ALL, specimens_in_cones
from hypertax.study.recipes import CELLS, strongest, validation_means
from hypertax.taxonomy import RANKS

SPLITS = ("test_seen", "test_unseen")


def random_embeddings(seed: int, curvature: float = 1.5) -> Embeddings:
    """Two orders and what is below them in three dimensions; some ranks unknown, and no cone for
    the species of unseen specimens."""
    rng = np.random.default_rng(seed)
    lineages = [(f"O{i % 2}", f"F{i % 4}", f"G{i % 8}", f"s{i}") for i in range(16)]
    rows = []
    for depth, rank in enumerate(RANKS):
        for name in sorted({lineage[depth] for lineage in lineages[:12]}):
            lineage = next(x for x in lineages if x[depth] == name)
            rows.append(
                (
                    name,
                    "text",
                    rank,
                    None,
                    *lineage[: depth + 1],
                    *[None] * (3 - depth),
                    (0.15 + 0.2 * depth) * rng.normal(size=3),
                )
            )
    for n in range(48):
        lineage = list(lineages[n % 16])
        lineage[4 - n % 3 :] = [None] * (n % 3)
        rows.append(
            (f"x{n}", "dna", None, SPLITS[n % 16 >= 12], *lineage, 1.5 * rng.normal(size=3))
        )
    table = pd.DataFrame(
        [row[:-1] for row in rows], columns=["id", "modality", "rank", "split", *RANKS]
    )
    return Embeddings(
        table, np.array([row[-1] for row in rows], dtype=np.float32), "lorentz", curvature
    )


def literal_cones(e: Embeddings, rank: str, specimen: int, aperture: float) -> set[str]:
    """Names of the rank's cones in which a specimen lies, by the textbook formulas."""
    root = math.sqrt(e.curvature)
    tangent = e.tangent.astype(np.float64)
    radius = np.linalg.norm(tangent, axis=1)
    x = tangent * (np.sinh(root * radius) / (root * radius))[:, None]
    time = np.sqrt(1 / e.curvature + (x**2).sum(1))
    found = set()
    for i in np.flatnonzero((e.table["rank"] == rank).to_numpy()):
        product = e.curvature * (x[i] @ x[specimen] - time[i] * time[specimen])
        norm = math.sqrt(x[i] @ x[i])
        angle = math.acos(
            np.clip(
                (time[specimen] + time[i] * product) / (norm * math.sqrt(product**2 - 1)), -1, 1
            )
        )
        if angle <= math.asin(min(1, 2 * aperture / (root * norm))):
            found.add(e.table["id"][i])
    return found


@pytest.mark.parametrize("seed", range(3))
def test_counts_are_those_of_a_literal_loop(seed):
    e = random_embeddings(seed)
    found = specimens_in_cones(e, aperture=0.1).set_index(["split", "rank"])
    taxa = set(e.table["id"][e.table["modality"] == "text"])
    for split, name in zip(("seen", "unseen"), SPLITS, strict=True):
        own = np.flatnonzero((e.table["split"] == name).to_numpy())
        everywhere = {i: True for i in own}
        for rank in RANKS[: 4 - (split == "unseen")]:
            cones = {i: literal_cones(e, rank, i, 0.1) for i in own}
            counted = [i for i in own if e.table[rank][i] in taxa]
            row = found.loc[(split, rank)]
            assert row["specimens"] == len(counted) > 0
            assert row["inside"] == pytest.approx(
                np.mean([e.table[rank][i] in cones[i] for i in counted])
            )
            assert row["cones"] == pytest.approx(np.mean([len(cones[i]) for i in own]))
            for i in counted:
                everywhere[i] &= e.table[rank][i] in cones[i]
        assert found.loc[(split, ALL), "inside"] == pytest.approx(
            np.mean(list(everywhere.values()))
        )
    assert ("unseen", "species") not in found.index


def test_a_wider_aperture_holds_more_and_saturates():
    e = random_embeddings(0)
    narrow, wide = (
        specimens_in_cones(e, aperture=a).set_index(["split", "rank"]) for a in (0.02, 5.0)
    )
    assert (wide["inside"] >= narrow["inside"]).all() and (wide["inside"] > narrow["inside"]).any()
    assert (wide["saturated"].dropna() == 1).all() and (narrow["saturated"].dropna() < 1).all()


def test_euclidean_embeddings_have_no_cones():
    e = random_embeddings(0)
    with pytest.raises(ValueError, match="Cones belong to a Lorentz space"):
        specimens_in_cones(Embeddings(e.table, e.tangent, "euclidean"))


def scores(values: dict[str, float], stage: str = "val") -> pd.DataFrame:
    common = {
        "stage": stage,
        "ranking": "distance",
        "pairing": "DNA to DNA",
        "k": 1,
        "average": "macro",
    }
    rows = [
        {
            **common,
            "method": method,
            "protocol": p,
            "split": s,
            "rank": r,
            "value": value + 0.01 * i,
        }
        for method, value in values.items()
        for i, (p, s, r) in enumerate(CELLS)
    ]
    # What must not count: another average, another rank, another k.
    rows += [
        {**rows[0], "average": "micro", "value": 1.0},
        {**rows[0], "rank": "order", "value": 1.0},
        {**rows[0], "k": 5, "value": 1.0},
    ]
    return pd.DataFrame(rows)


def test_the_one_to_beat_has_the_highest_validation_mean_of_the_named_methods():
    made = scores({"a": 0.5, "b": 0.7, "c": 0.9})
    assert validation_means(made).to_dict() == pytest.approx({"a": 0.52, "b": 0.72, "c": 0.92})
    assert strongest(made, ["a", "b"]) == "b"
    with pytest.raises(ValueError, match="None of d"):
        strongest(made, ["d"])
    with pytest.raises(ValueError, match="chosen on validation"):
        validation_means(scores({"a": 0.5}, stage="test"))
