"""Nesting of cones made by hand: by radius and angle in the plane, where limits at infinity give
the answer in closed form."""

import math

import numpy as np
import pandas as pd
import pytest
import torch
from random_embeddings import random_embeddings

from hypertax.embeddings import COLUMNS, Embeddings
from hypertax.evaluation.cones import geometry
from hypertax.evaluation.nesting import DISTANCES, cone_nesting, cone_points
from hypertax.geometry import lorentz as L
from hypertax.taxonomy import RANKS

C = 1.7


def at(radius: float, degrees: float = 0.0, dimension: int = 3) -> np.ndarray:
    """A tangent vector of sqrt(c) * radius in the plane of the first two axes."""
    vector = np.zeros(dimension)
    vector[:2] = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    return vector * radius / math.sqrt(C)


def taxa(*entries: tuple[str, np.ndarray], c=C) -> Embeddings:
    """Taxa by lineage ("O F" is a family; "-" a missing rank)."""
    rows, vectors = [], []
    for lineage, vector in entries:
        names = [None if name == "-" else name for name in lineage.split()]
        rows.append(
            (names[-1], "text", RANKS[len(names) - 1], None, *names, *[None] * (4 - len(names)))
        )
        vectors.append(vector)
    return Embeddings(
        pd.DataFrame(rows, columns=list(COLUMNS)),
        np.stack(vectors).astype(np.float32),
        "lorentz",
        c,
    )


def opening(radius: float, aperture=0.1) -> float:
    """Angle seen from the origin, radians, between the axis of a cone and its boundary at infinity.

    Along the boundary sinh(r) sin(angle) = 2K, so that d(theta)/dr = tan(angle) / sinh(r) = 2K /
    (sinh(r) sqrt(sinh(r)^2 - 4K^2)).
    """
    r = np.linspace(0, 1, 400_001)[1:] ** 3 * 20 + radius
    r = np.concatenate([[radius + 1e-12], r])
    slope = 2 * aperture / (np.sinh(r) * np.sqrt(np.sinh(r) ** 2 - 4 * aperture**2))
    return float(np.trapezoid(slope, r))


def row(embeddings: Embeddings, rank="family", **options) -> pd.Series:
    return cone_nesting(embeddings, **options).set_index("rank").loc[rank]


def test_a_child_in_its_parents_cone_lies_in_it_whole():
    # On the axis, and off it within the cone, though so far off that the strict condition fails.
    parent, other = at(1.0), at(1.0, 180)
    edge = math.degrees(opening(1.0))
    inside = taxa(
        ("O", parent), ("P", other), ("O F", at(2.0)), ("P E", at(3.0, 180 + 0.95 * edge))
    )
    found = row(inside)
    assert (found["edges"], found["unsaturated"]) == (2, 2)
    assert (found["nested"], found["sampled"], found["sampled_whole"]) == (1, 1, 1)
    assert found["nested_strictly"] == 0.5


def test_a_child_outside_its_parents_cone_is_not_nested():
    found = row(taxa(("O", at(1.0)), ("O F", at(3.0, 40))))
    assert (
        found["nested"],
        found["nested_strictly"],
        found["sampled"],
        found["sampled_whole"],
    ) == (0, 0, 0, 0)
    inwards = row(taxa(("O", at(2.0)), ("O F", at(1.0))))
    # The child lies below its parent: its wider cone holds the parent's, so some of its points, far
    # out, are inside.
    assert (inwards["nested"], inwards["sampled_whole"]) == (0, 0) and 0 < inwards["sampled"] < 1


@pytest.mark.parametrize("dimension", [2, 5, 128])
def test_apexes_on_either_side_of_the_boundary(dimension):
    # The parent's boundary ray reaches the angle of `opening` at infinity; a deep child just within
    # or beyond is in or out, whole.
    edge = math.degrees(opening(0.7))
    for share, expected in ((0.98, 1.0), (1.02, 0.0)):
        found = row(taxa(("O", at(0.7, 0, dimension)), ("O F", at(9.0, share * edge, dimension))))
        assert (found["nested"], found["sampled"], found["sampled_whole"]) == (expected,) * 3


def test_random_cones_are_nested_as_sampled():
    # The transitivity that METHOD states, on edges of every kind: the formula and the sampled
    # points tell the same.
    rng = np.random.default_rng(0)
    entries = []
    for i in range(150):
        direction, aside = rng.normal(size=(2, 6))
        parent = direction / np.linalg.norm(direction) * rng.uniform(0.25, 2)
        child = parent * rng.uniform(0.8, 3) + aside * 0.1 * rng.random()
        entries += [(f"O{i}", parent), (f"O{i} F{i}", child)]
    found = row(taxa(*entries), directions=20)
    assert found["unsaturated"] == 150 and 0.2 < found["nested"] < 0.8
    assert found["sampled_whole"] == found["nested"]
    assert found["nested_strictly"] < found["nested"] < found["sampled"] < 1


def test_saturated_cones_do_not_count():
    near = math.asinh(0.2)  # 2K: beyond it the half-aperture is below 90 degrees
    entries = [
        ("O", at(0.95 * near)),
        ("O F", at(2.0)),
        ("P", at(1.05 * near)),
        ("P E", at(2.0, 2)),
        ("P D", at(0.9 * near)),
    ]
    found = row(taxa(*entries))
    assert (found["edges"], found["unsaturated"], found["nested"]) == (3, 1, 1)
    assert (found["siblings"], found["siblings_unsaturated"]) == (1, 0) and np.isnan(
        found["siblings_separated"]
    )
    wide = row(taxa(*entries), aperture=2.0)
    assert (
        wide["unsaturated"] == 0
        and np.isnan(
            wide[["nested", "nested_strictly", "sampled", "sampled_whole"]].astype(float)
        ).all()
    )


def test_siblings_apart_and_separated():
    edge = math.degrees(opening(1.0))
    # E's cone and F's touch at infinity where the angle between the axes is twice the opening; D
    # lies in F's cone.
    for factor, separated in ((2.05, 1.0), (1.95, 0.0)):
        found = row(taxa(("O", at(0.5)), ("O F", at(1.0)), ("O E", at(1.0, factor * edge))))
        assert (found["siblings"], found["siblings_unsaturated"]) == (1, 1)
        assert (found["siblings_apart"], found["siblings_separated"]) == (1.0, separated)
    for order in (("F", "D", "E"), ("D", "E", "F")):
        places = {"F": at(1.0), "D": at(2.0), "E": at(1.0, 180)}
        three = row(taxa(("O", at(0.5)), *((f"O {name}", places[name]) for name in order)))
        assert three["siblings"] == 3 and three["siblings_apart"] == three[
            "siblings_separated"
        ] == pytest.approx(2 / 3)
    # Taxa of two parents are no siblings.
    assert (
        row(taxa(("O", at(0.5)), ("P", at(0.6)), ("O F", at(1.0)), ("P E", at(2.0))))["siblings"]
        == 0
    )


def test_parent_is_the_next_known_rank_above():
    found = cone_nesting(
        taxa(("O", at(0.5)), ("O - G", at(2.0)), ("X F", at(2.0)), ("X F G2", at(3.0)))
    ).set_index("rank")
    assert found["edges"].to_dict() == {
        "family": 0,
        "genus": 2,
    }  # order X has no text; G lies below O, G2 below F
    assert found.loc["genus", "nested"] == 1


@pytest.mark.parametrize("dimension", [2, 3, 128])
def test_sampled_points_lie_where_they_are_said_to(dimension):
    rng = np.random.default_rng(0)
    apexes, across = torch.from_numpy(rng.normal(size=(2, 5, dimension)))
    apexes = 2 * apexes / apexes.norm(dim=1, keepdim=True)
    across = across - (across * apexes).sum(dim=1, keepdim=True) * apexes / 4
    towards = apexes + 2 * across / across.norm(
        dim=1, keepdim=True
    )  # 45 degrees off the cones' axes, outside the cones
    half = L.half_aperture(apexes, C)
    points = cone_points(apexes, half, C, towards=towards, directions=4, rng=rng)
    assert points.shape == (5, len(DISTANCES) * 6, dimension)
    every = apexes[:, None].expand_as(points)
    distance = (L.distance(every, points, C) * math.sqrt(C)).reshape(5, len(DISTANCES), 6)
    torch.testing.assert_close(
        distance,
        torch.tensor(DISTANCES, dtype=torch.float64)[None, :, None].expand_as(distance),
        rtol=1e-9,
        atol=0,
    )
    angle = L.exterior_angle(every, points, C).reshape(5, len(DISTANCES), 6)
    assert (angle <= half[:, None, None] + 1e-9).all()
    torch.testing.assert_close(
        angle[..., 4:], half[:, None, None].expand(5, len(DISTANCES), 2), rtol=1e-9, atol=0
    )
    # Those in the plane are the nearest to and the farthest from the other point's axis that the
    # cone has at their distance.
    cosine = torch.nn.functional.cosine_similarity(points, towards[:, None], dim=-1).reshape(
        5, len(DISTANCES), 6
    )
    assert (cosine[..., 4:5] >= cosine - 1e-12).all() and (cosine[..., 5:] <= cosine + 1e-12).all()
    assert (cosine[..., 4] > cosine[..., 5]).all()


def test_unsaturated_taxa_agree_with_the_geometry_columns():
    rng = np.random.default_rng(3)
    entries = []
    for o in range(4):
        for f in range(3):
            family = rng.normal(size=8) * 0.4 + 0.3 * o
            genus = 2 * family + rng.choice([0.005, 0.2]) * rng.normal(size=8)
            entries += [(f"O{o} F{o}{f}", family), (f"O{o} F{o}{f} G{o}{f}", genus)]
        entries.append((f"O{o}", rng.normal(size=8) * 0.2 + 0.3 * o))
    embeddings = taxa(*entries)
    theirs, ours = geometry(embeddings), cone_nesting(embeddings).set_index("rank")
    assert theirs["saturated_order"] == theirs["saturated_family"] == theirs["saturated_genus"] == 0
    for rank in ("family", "genus"):
        assert ours.loc[rank, "nested"] == pytest.approx(theirs[f"inside_{rank}"])
    assert 0 < ours.loc["genus", "nested"] < 1


def test_many_siblings_are_drawn_and_a_seed_repeats():
    rng = np.random.default_rng(1)
    embeddings = taxa(("O", at(0.5, 0, 4)), *((f"O F{i}", rng.normal(size=4)) for i in range(20)))
    first = cone_nesting(embeddings, most_siblings=30)
    assert first.loc[0, "siblings"] == 30 and cone_nesting(embeddings).loc[0, "siblings"] == 190
    pd.testing.assert_frame_equal(
        cone_nesting(embeddings, most_siblings=30), first, check_exact=True
    )


def test_without_taxa_and_without_cones():
    assert cone_nesting(random_embeddings()).empty
    with pytest.raises(ValueError, match="Cones belong to a Lorentz space"):
        cone_nesting(random_embeddings("euclidean"))
