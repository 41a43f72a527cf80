"""Diagnostics of the cones against literal loops over METHOD's formulas, and a hand-made nested
arrangement."""

import math

import numpy as np
import pandas as pd
import pytest
import torch

from hypertax.embeddings import Embeddings
from hypertax.evaluation import cones as geometry_metrics
from hypertax.evaluation.cones import cone_counts, cone_membership, geometry, geometry_table
from hypertax.taxonomy import RANKS

SPLITS = ("val_seen", "val_unseen")


def embeddings(rows, space="lorentz", curvature=1.0) -> Embeddings:
    """rows: (id, modality, rank, split, lineage of up to four names with None for missing,
    vector)."""
    table = pd.DataFrame(
        [(i, m, r, s, *lineage, *[None] * (4 - len(lineage))) for i, m, r, s, lineage, _ in rows],
        columns=["id", "modality", "rank", "split", *RANKS],
    )
    return Embeddings(
        table,
        np.array([v for *_, v in rows], dtype=np.float32),
        space,
        curvature if space == "lorentz" else None,
    )


def random_rows(seed=0):
    rng = np.random.default_rng(seed)
    rows = []
    lineages = [
        (f"O{i % 2}", None if i % 3 == 0 else f"F{i % 5}", f"G{i % 7}", f"s{i}") for i in range(14)
    ]
    for depth, rank in enumerate(RANKS):
        for name in sorted({lineage[depth] for lineage in lineages if lineage[depth]}):
            lineage = max(
                (x for x in lineages if x[depth] == name),
                key=lambda x: sum(n is not None for n in x[: depth + 1]),
            )
            radius = 0.15 + 0.5 * depth + 0.1 * rng.random()
            direction = np.random.default_rng(lineages.index(lineage) % 2).normal(
                size=3
            ) + 0.05 * rng.normal(size=3)
            rows.append(
                (
                    name,
                    "text",
                    rank,
                    None,
                    lineage[: depth + 1],
                    radius * direction / np.linalg.norm(direction),
                )
            )
    for n in range(40):
        lineage = list(lineages[n % 14])
        for depth in range(3, 3 - n % 5, -1):
            lineage[depth] = None
        split = ("val_seen", "val_unseen", "test_seen")[n % 3]
        for modality in ("image", "dna"):
            direction = np.random.default_rng((n % 14) % 2).normal(size=3) + 0.05 * rng.normal(
                size=3
            )
            rows.append(
                (
                    f"specimen{n}",
                    modality,
                    None,
                    split,
                    lineage,
                    2.5 * direction / np.linalg.norm(direction),
                )
            )
    return rows


def literal(e: Embeddings, aperture):
    """Every diagnostic, one pair of points at a time, by the textbook formulas with acos and
    asin."""
    c, rows = e.curvature, e.table.to_dict("records")
    root = math.sqrt(c)
    radius = np.linalg.norm(e.tangent.astype(np.float64), axis=1)
    x = [
        np.sinh(root * r) * v / (root * r)
        for r, v in zip(radius, e.tangent.astype(np.float64), strict=True)
    ]
    time = [math.sqrt(1 / c + v @ v) for v in x]
    norm = [math.sqrt(v @ v) for v in x]
    half = [math.asin(min(1, 2 * aperture / (root * n))) for n in norm]

    def inside(parent, child):
        product = c * (x[parent] @ x[child] - time[parent] * time[child])
        cosine = (time[child] + time[parent] * product) / (norm[parent] * math.sqrt(product**2 - 1))
        return math.acos(max(-1, min(1, cosine))) <= half[parent]

    def known(i, ranks):
        return [(rank, rows[i][rank]) for rank in ranks if pd.notna(rows[i][rank])]

    taxon = {(row["rank"], row["id"]): i for i, row in enumerate(rows) if row["modality"] == "text"}
    specimens = [
        i for i, row in enumerate(rows) if row["modality"] != "text" and row["split"] in SPLITS
    ]
    result = {}
    for depth, rank in enumerate(RANKS):
        own = [i for (r, _), i in taxon.items() if r == rank]
        result[f"radius_{rank}"] = np.mean(radius[own])
        result[f"half_aperture_{rank}"] = np.mean([half[i] for i in own])
        result[f"saturated_{rank}"] = np.mean([2 * aperture >= root * norm[i] for i in own])
        result[f"cones_{rank}"] = np.mean(
            [sum(inside(parent, i) for parent in own) for i in specimens]
        )
        if depth:
            above = RANKS[:depth]
            result[f"inside_{rank}"] = np.mean(
                [inside(taxon[known(i, above)[-1]], i) for i in own if known(i, above)]
            )
    for modality in ("image", "dna"):
        own = [i for i in specimens if rows[i]["modality"] == modality]
        result[f"radius_{modality}"] = np.mean(radius[own])
        result[f"inside_{modality}"] = np.mean(
            [inside(taxon[known(i, RANKS)[-1]], i) for i in own if known(i, RANKS)]
        )
    return result


@pytest.mark.parametrize(("curvature", "aperture"), [(1.0, 0.1), (4.0, 0.1), (0.5, 0.3)])
@pytest.mark.parametrize("block", [7, 2**22])
def test_agrees_with_literal_loops(curvature, aperture, block, monkeypatch):
    monkeypatch.setattr(geometry_metrics, "BLOCK", block)
    e = embeddings(random_rows(), curvature=curvature)
    found = geometry(e, splits=SPLITS, aperture=aperture)
    expected = literal(e, aperture)
    assert found == pytest.approx(expected, abs=1e-6)
    shares = [v for k, v in expected.items() if k.startswith(("inside", "cones", "saturated"))]
    assert any(0 < v < 1 for v in shares), "the example must be able to tell"


def test_nested_arrangement_by_hand():
    """One ray: order, family, genus, species, specimens outwards. A second order points the other
    way."""
    ray, away = np.array([1.0, 0.0]), np.array([-1.0, 0.0])
    names = ("O", "F", "G", "s")
    rows = [
        (name, "text", rank, None, names[: d + 1], (0.5 + 0.5 * d) * ray)
        for d, (rank, name) in enumerate(zip(RANKS, names, strict=True))
    ]
    rows.append(("P", "text", "order", None, ("P",), 0.1 * away))
    rows.append(("specimen", "dna", None, "val_seen", names, 3.0 * ray))
    rows.append(
        ("specimen", "image", None, "val_seen", names[:2], 0.7 * ray)
    )  # above its family: outside its cone
    found = geometry(embeddings(rows), splits=SPLITS)
    assert found["saturated_order"] == 0.5 and found["saturated_family"] == 0
    assert [found[f"inside_{r}"] for r in ("family", "genus", "species")] == [1, 1, 1]
    assert (found["inside_dna"], found["inside_image"]) == (1, 0)
    # The half-space of P lies away from the ray.
    assert [found[f"cones_{r}"] for r in RANKS] == [1, 0.5, 0.5, 0.5]
    assert found["radius_species"] == pytest.approx(2) and found["radius_order"] == pytest.approx(
        0.3
    )
    assert found["half_aperture_species"] == pytest.approx(math.asin(0.2 / math.sinh(2)))


def test_collapse_to_the_origin_reads_as_saturated_and_everything_inside():
    rows = [(i, m, r, s, lineage, np.zeros(3)) for i, m, r, s, lineage, _ in random_rows()]
    found = geometry(embeddings(rows), splits=SPLITS)
    assert all(found[f"saturated_{r}"] == 1 for r in RANKS)
    assert all(found[f"inside_{n}"] == 1 for n in ("family", "genus", "species", "image", "dna"))
    assert all(found[f"half_aperture_{r}"] == pytest.approx(math.pi / 2) for r in RANKS)
    assert found["cones_species"] == 14


def test_a_parent_that_is_not_embedded_or_not_known_does_not_count():
    rows = [
        ("F", "text", "family", None, ("O", "F"), [0.5, 0.0]),  # its order has no text row
        ("G", "text", "genus", None, (None, None, "G"), [1.0, 0.0]),  # no rank known above
        ("H", "text", "genus", None, (None, "F", "H"), [1.0, 0.0]),
    ]
    found = geometry(embeddings(rows), splits=SPLITS)
    assert np.isnan(found["inside_family"])
    assert found["inside_genus"] == 1
    assert (
        np.isnan(found["inside_image"])
        and np.isnan(found["radius_order"])
        and np.isnan(found["cones_genus"])
    )


def test_euclidean_has_radii_only():
    e = embeddings(random_rows(), space="euclidean")
    found = geometry(e, splits=SPLITS)
    assert list(found) == [f"radius_{name}" for name in (*RANKS, "image", "dna")]
    assert found["radius_image"] == pytest.approx(2.5)
    assert list(geometry_table(e)) == ["level", "count", "radius"]


def test_without_text_or_images():
    rows = [row for row in random_rows() if row[1] == "dna"]
    found = geometry(embeddings(rows), splits=SPLITS)
    assert found["radius_dna"] == pytest.approx(2.5)
    assert all(np.isnan(v) for k, v in found.items() if k != "radius_dna")


def test_cone_counts_are_the_columns_of_the_membership():
    rng = np.random.default_rng(0)
    parents, children = (
        torch.tensor(rng.normal(size=(9, 4)) * 0.3),
        torch.tensor(rng.normal(size=(30, 4)) * 2),
    )
    inside = cone_membership(parents, children, 2.0)
    assert inside.shape == (9, 30) and 0 < inside.sum() < inside.numel()
    assert torch.equal(cone_counts(parents, children, 2.0), inside.sum(dim=0))
    assert cone_counts(parents, children[:0], 2.0).shape == (0,)


def test_table_has_a_row_per_rank_and_modality():
    e = embeddings(random_rows())
    table = geometry_table(e, splits=SPLITS)
    found = geometry(e, splits=SPLITS)
    assert table["level"].tolist() == [*RANKS, "image", "DNA"]
    assert table["count"].tolist() == [2, 5, 7, 14, 27, 27]
    assert table.loc[3, "half_aperture"] == pytest.approx(
        math.degrees(found["half_aperture_species"])
    )
    assert (
        table.loc[5, "inside"] == found["inside_dna"]
        and pd.isna(table.loc[0, "inside"])
        and pd.isna(table.loc[5, "cones"])
    )
