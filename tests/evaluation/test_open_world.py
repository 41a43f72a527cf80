"""Open-world answers by hand and by loops over the definition, curves and thresholds by hand, and
what validation may decide."""

import math

import numpy as np
import pandas as pd
import pytest
import torch
from open_world_cases import told, with_taxa
from random_embeddings import random_embeddings
from scipy.stats import mannwhitneyu

from hypertax.embeddings import COLUMNS, Embeddings
from hypertax.evaluation.accuracy import evaluate, harmonic_mean
from hypertax.evaluation.open_world.answers import LORENTZ_SCORES, SCORES, open_world_answers
from hypertax.evaluation.open_world.curves import (
    GROUPS,
    areas,
    at_thresholds,
    auroc,
    curve,
    deepest_ranks,
    novelty,
    precision_coverage,
    thresholds,
)
from hypertax.evaluation.open_world.curves import area as area_of
from hypertax.evaluation.open_world.two_stage import two_stage
from hypertax.geometry import lorentz as L
from hypertax.taxonomy import RANKS

C = 0.8


def only(frame: pd.DataFrame, **wanted) -> pd.Series:
    """The one row with the wanted values."""
    mask = np.logical_and.reduce([frame[name] == value for name, value in wanted.items()])
    assert mask.sum() == 1
    return frame[mask].iloc[0]


# Answers


def plane(space: str, entries: list[tuple]) -> Embeddings:
    """Rows (id, modality, rank, split, lineage, radius, degrees) in the plane; "-" is a missing
    name."""
    rows, vectors = [], []
    for name, modality, rank, split, lineage, radius, degrees in entries:
        names = [None if part == "-" else part for part in lineage.split()]
        rows.append((name, modality, rank, split, *names, *[None] * (4 - len(names))))
        vectors.append(
            [radius * math.cos(math.radians(degrees)), radius * math.sin(math.radians(degrees))]
        )
    return Embeddings(
        pd.DataFrame(rows, columns=list(COLUMNS)),
        np.float32(vectors),
        space,
        C if space == "lorentz" else None,
    )


def test_euclidean_answers_by_hand():
    found = open_world_answers(
        plane(
            "euclidean",
            [
                ("k1", "dna", None, "seen_keys", "O F G1 s1", 1, 0),
                ("k2", "dna", None, "seen_keys", "O F G1 s2", 3, 20),
                ("k3", "dna", None, "seen_keys", "O F G2 s3", 1, 90),
                ("k4", "dna", None, "seen_keys", "O F - s4", 1, 45),
                ("k5", "dna", None, "train_seen", "O F G9 s9", 1, 5),
                ("u1", "dna", None, "test_unseen_keys", "O F G3 s5", 1, 60),
                ("u2", "dna", None, "val_unseen_keys", "O F G3 s6", 1, 10),
                ("q1", "dna", None, "test_seen", "O F G1 s1", 2, 5),
                ("q2", "dna", None, "test_unseen", "O F G2 s5", 1, 19),
                ("q3", "dna", None, "test_unseen", "O F G3 s7", 1, 46),
                ("q4", "dna", None, "val_seen", "O F G1 s1", 1, 5),
                ("G1", "text", "genus", None, "O F G1", 1, 30),
                ("G2", "text", "genus", None, "O F G2", 5, 60),
                ("G3", "text", "genus", None, "O F G3", 1, 5),
                ("s1", "text", "species", None, "O F G1 s1", 1, -10),
                ("s3", "text", "species", None, "O F G2 s3", 1, 80),
            ],
        )
    )
    assert set(found["query"]) == {"q1", "q2", "q3"} and set(found["score"]) == set(SCORES) - set(
        LORENTZ_SCORES
    )

    def answer(query, rank, score):
        row = only(found, query=query, rank=rank, score=score)
        return row["predicted"], row["confidence"]

    def cosine(degrees):
        return pytest.approx(math.cos(math.radians(degrees)), abs=1e-6)

    def difference(one, other):
        return pytest.approx(math.cos(math.radians(one)) - math.cos(math.radians(other)), abs=1e-6)

    assert answer("q1", "species", "distance") == ("s1", cosine(5)) and answer(
        "q1", "genus", "distance"
    ) == ("G1", cosine(5))
    assert answer("q1", "species", "margin") == ("s1", difference(5, 15))
    assert answer("q1", "genus", "margin") == (
        "G1",
        difference(5, 85),
    )  # k4 has no genus: it is no other one.
    assert answer("q1", "family", "margin") == ("F", 0)  # All keys are of one family.
    assert answer("q1", "genus", "taxon") == (
        "G1",
        cosine(25),
    )  # No seen key is of G3, which is nearer.
    assert answer("q1", "species", "taxon") == ("s1", cosine(15)) and answer(
        "q1", "genus", "label"
    ) == ("G1", cosine(25))
    assert answer("q2", "species", "label") == ("s2", -np.inf) and answer(
        "q2", "species", "taxon"
    ) == ("s1", cosine(29))
    assert answer("q1", "species", "radius") == ("s1", pytest.approx(2))
    for score in ("distance", "margin", "label", "radius"):  # The nearest key, k4, has no genus.
        name, confidence = answer("q3", "genus", score)
        assert pd.isna(name) and confidence == -np.inf
    assert (
        pd.isna(answer("q1", "order", "taxon")[0]) and answer("q1", "order", "taxon")[1] == -np.inf
    )
    species = found[(found["rank"] == "species") & (found["score"] == "distance")].set_index(
        "query"
    )
    assert species["unseen_predicted"].to_dict() == {"q1": "s6", "q2": "s6", "q3": "s5"}
    assert (
        species["placeable"].to_dict() == {"q1": True, "q2": False, "q3": False}
        and species["right"].sum() == 1
    )
    genus = found[(found["rank"] == "genus") & (found["score"] == "distance")].set_index("query")
    assert (
        genus["placeable"].to_dict() == {"q1": True, "q2": True, "q3": False}
        and genus["unseen_predicted"].isna().all()
    )


def test_cones_by_hand():
    # On a taxon's axis the exterior angle is 0 outwards and pi inwards; off it at the same radius
    # it is more than a right angle.
    entries = [
        ("k", "dna", None, "seen_keys", "A F G s", 3, 0),
        ("l", "dna", None, "seen_keys", "B F G t", 3, 90),
    ]
    entries += [
        ("A", "text", "order", None, "A", 1, 90),
        ("B", "text", "order", None, "B", 2, 0),
        ("q", "dna", None, "test_seen", "A F G s", 2.5, 0),
    ]
    found = open_world_answers(plane("lorentz", entries), aperture=0.3)
    half = [math.asin(2 * 0.3 / math.sinh(math.sqrt(C) * radius)) for radius in (1, 2)]
    cone, deepest = (only(found, rank="order", score=score) for score in ("cone", "cone argmax"))
    assert (
        cone["predicted"] == "A" and half[0] - math.pi < cone["confidence"] < half[0] - math.pi / 2
    )
    assert deepest["predicted"] == "B" and deepest["confidence"] == pytest.approx(half[1], abs=1e-6)
    near = only(found, rank="order", score="distance")
    assert near["predicted"] == "A" and near["confidence"] == pytest.approx(-0.5, abs=1e-6)
    assert only(found, rank="order", score="radius")["confidence"] == pytest.approx(2.5)


@pytest.mark.parametrize("space", ["lorentz", "euclidean"])
@pytest.mark.parametrize("stage", ["val", "test"])
@pytest.mark.parametrize("pairing", ["DNA to DNA", "image to DNA"])
def test_answers_are_those_of_loops_over_all_pairs(space, stage, pairing, monkeypatch):
    monkeypatch.setattr(
        "hypertax.evaluation.open_world.answers.BLOCK", 40
    )  # Several blocks even here
    embeddings = with_taxa(random_embeddings(space, seed=4), missing=0.4)
    found = open_world_answers(embeddings, stage, pairing, aperture=0.2).set_index(
        ["query", "rank", "score"]
    )
    table = embeddings.table.to_dict("records")
    tangent = torch.from_numpy(embeddings.tangent).double()
    points = L.exp0(tangent, C) if space == "lorentz" else tangent

    def similar(i, j):
        if space == "lorentz":
            return -float(L.distance(points[i], points[j], C))
        return float(torch.nn.functional.cosine_similarity(points[i], points[j], dim=0, eps=0))

    def depth(i, j):
        return float(L.half_aperture(points[j], C, 0.2) - L.exterior_angle(points[j], points[i], C))

    keys = [
        i for i, row in enumerate(table) if row["modality"] == "dna" and row["split"] == "seen_keys"
    ]
    modality = "dna" if pairing == "DNA to DNA" else "image"
    queries = [
        i
        for i, row in enumerate(table)
        if row["modality"] == modality and row["split"] in (f"{stage}_seen", f"{stage}_unseen")
    ]
    assert len(found) == len(queries) * len(RANKS) * (7 if space == "lorentz" else 5)
    without_row = 0
    for i in queries:
        key = max(keys, key=lambda j: similar(i, j))
        for rank in RANKS:
            carried = {table[j][rank] for j in keys if pd.notna(table[j][rank])}
            taxa = {
                row["id"]: j
                for j, row in enumerate(table)
                if row["rank"] == rank and row["id"] in carried
            }
            name = table[key][rank]
            others = [
                similar(i, j) for j in keys if pd.notna(table[j][rank]) and table[j][rank] != name
            ]
            nearest, deepest = (
                max(taxa, key=lambda taxon: by(i, taxa[taxon])) for by in (similar, depth)
            )
            own, missing = taxa.get(name), pd.isna(name)
            without_row += own is None and not missing
            expected = {
                "distance": (name, similar(i, key)),
                "margin": (name, similar(i, key) - max(others)),
                "taxon": (nearest, similar(i, taxa[nearest])),
                "label": (name, -np.inf if own is None else similar(i, own)),
                "radius": (name, float(tangent[i].norm())),
            }
            if space == "lorentz":
                expected["cone"] = name, -np.inf if own is None else depth(i, own)
                expected["cone argmax"] = deepest, depth(i, taxa[deepest])
            for score, (predicted, confidence) in expected.items():
                row = found.loc[(table[i]["id"], rank, score)]
                unnamed = pd.isna(predicted)
                assert pd.isna(row["predicted"]) if unnamed else row["predicted"] == predicted
                assert row["confidence"] == (
                    -np.inf if unnamed else pytest.approx(confidence, abs=1e-7)
                )
                assert row["right"] == (not unnamed and predicted == table[i][rank])
    assert without_row > 5


@pytest.mark.parametrize("space", ["lorentz", "euclidean"])
@pytest.mark.parametrize("stage", ["val", "test"])
def test_at_full_coverage_placeable_novel_species_are_the_novel_protocol(space, stage):
    embeddings = random_embeddings(space, seed=3)
    points = precision_coverage(open_world_answers(embeddings, stage), ("novel placeable",))
    last = points[points["score"] == "distance"].groupby("rank").tail(1).set_index("rank")
    scores = evaluate(embeddings, stage, ks=(1,), rankings=("distance",))
    scores = scores[
        (scores["protocol"] == "novel")
        & (scores["average"] == "micro")
        & (scores["pairing"] == "DNA to DNA")
    ]
    assert len(scores) == 3 and last["coverage"].to_numpy() == pytest.approx(1)
    assert last["precision"].reindex(scores["rank"]).to_numpy() == pytest.approx(
        scores["value"].to_numpy()
    )


def test_without_taxa_queries_or_keys():
    embeddings = random_embeddings(seed=2)
    bare = open_world_answers(embeddings)
    assert (
        bare.loc[bare["score"].isin(["taxon", "label", "cone", "cone argmax"]), "confidence"]
        == -np.inf
    ).all()
    assert np.isfinite(
        bare.loc[(bare["score"] == "distance") & bare["predicted"].notna(), "confidence"]
    ).all()
    for split in ("test_seen", "seen_keys"):
        gone = ["test_seen", "test_unseen"] if split == "test_seen" else [split]
        empty = open_world_answers(embeddings.where(~embeddings.table["split"].isin(gone)))
        assert empty.empty and list(empty.columns) == list(bare.columns)
    dna = open_world_answers(embeddings, pairing="image to image", unseen_modality="dna")
    image = open_world_answers(embeddings, pairing="image to image")
    assert dna["predicted"].equals(image["predicted"]) and not dna["unseen_predicted"].equals(
        image["unseen_predicted"]
    )
    for arguments, message in (
        ({"stage": "train"}, "'val' or 'test'"),
        ({"pairing": "x"}, "pairing must"),
        ({"unseen_modality": "x"}, "unseen_mod"),
    ):
        with pytest.raises(ValueError, match=message):
            open_world_answers(embeddings, **arguments)


# Curves and thresholds


def test_auroc_is_that_of_mann_and_whitney():
    rng = np.random.default_rng(0)
    confidence = rng.integers(0, 6, 80).astype(float)
    confidence[confidence == 0] = -np.inf
    positive = rng.random(80) < 0.3
    expected = (
        mannwhitneyu(confidence[positive].clip(-9), confidence[~positive].clip(-9)).statistic
        / positive.sum()
        / (~positive).sum()
    )
    assert auroc(confidence, positive) == pytest.approx(expected)
    times = rng.integers(0, 4, (3, 80))
    repeated = [auroc(np.repeat(confidence, row), np.repeat(positive, row)) for row in times]
    assert auroc(confidence, positive, times) == pytest.approx(repeated)


def test_auroc_of_separated_constant_and_missing():
    positive = np.array([True, True, False, False])
    assert (
        auroc(np.array([3.0, 4, 1, 2]), positive) == 1
        and auroc(np.array([1.0, 2, 3, 4]), positive) == 0
    )
    assert auroc(np.ones(4), positive) == 0.5 and auroc(np.full(4, -np.inf), positive) == 0.5
    assert np.isnan(auroc(np.ones(4), ~np.zeros(4, bool))) and np.isnan(
        auroc(np.ones(0), np.zeros(0, bool))
    )
    row = only(
        novelty(told([1, 2, 3, 4], 4 * [1], ["unseen", "unseen", "seen", "seen"])), score="distance"
    )
    assert (row["auroc"], row["seen"], row["unseen"]) == (1, 2, 2)


def test_equal_confidences_enter_together():
    confidence, right = np.array([5.0, 3, 3, 3, 1]), np.array([1, 1, 0, 0, 1], bool)
    points = curve(confidence, right, np.full(5, 0.2))
    assert points[0].tolist() == [5, 3, 1]
    assert points[1] == pytest.approx([0.2, 0.8, 1]) and points[2] == pytest.approx([1, 0.5, 0.6])
    assert area_of(confidence, right, np.full(5, 0.2)) == pytest.approx(
        0.2 * 1 + 0.6 * 0.5 + 0.2 * 0.6
    )
    for order in ([0, 3, 2, 1, 4], [4, 3, 2, 1, 0]):
        assert area_of(confidence[order], right[order], np.full(5, 0.2)) == pytest.approx(0.62)


def test_area_is_the_mean_precision_of_the_first_k():
    rng = np.random.default_rng(1)
    confidence, right = rng.permutation(30).astype(float), rng.random(30) < 0.6
    ranked = right[np.argsort(-confidence)]
    expected = np.mean([ranked[: k + 1].mean() for k in range(30)])
    assert area_of(confidence, right, np.full(30, 1 / 30)) == pytest.approx(expected)
    assert area_of(np.zeros(30), right, np.full(30, 1 / 30)) == pytest.approx(right.mean())


def test_groups_count_what_they_say():
    split = ["seen"] * 2 + ["unseen"] * 4
    answers = told(
        [6, 5, 4, 3, 2, 1],
        [1, 0, 1, 0, 0, 1],
        split,
        rank="genus",
        placeable=[1, 1, 1, 1, 0, 0],
        named=[1, 1, 1, 1, 1, 0],
    )
    found = areas(answers).set_index("group")
    assert found["queries"].to_dict() == {"all": 5, "seen": 2, "novel placeable": 2, "novel": 3}
    assert found.loc["seen", "area"] == pytest.approx((1 + 1 / 2) / 2)
    assert found.loc["novel placeable", "area"] == pytest.approx((1 + 1 / 2) / 2)
    assert found.loc["novel", "area"] == pytest.approx((1 + 1 / 2 + 1 / 3) / 3)
    # Seen weigh 1/4 each, novel 1/6 each.
    steps = [
        (1 / 4, 1),
        (1 / 4, 1 / 2),
        (1 / 6, (1 / 4 + 1 / 6) / (2 / 3)),
        (1 / 6, (5 / 12) / (5 / 6)),
        (1 / 6, 5 / 12),
    ]
    assert found.loc["all", "area"] == pytest.approx(
        sum(width * precision for width, precision in steps)
    )
    full = precision_coverage(answers, ("all",)).iloc[-1]
    assert full["precision"] == pytest.approx((1 / 2 + 1 / 3) / 2)


def calibrated(answers: pd.DataFrame, precision: float) -> pd.Series:
    return only(thresholds(answers, precision), score="distance")


def test_threshold_by_hand():
    # Precision falls to 2/3 and rises to 4/5 again: the lower threshold meets 0.8 too and covers
    # more.
    answers = told(
        [9, 8, 7, 6, 5, 4, 9, 8, 7, 6, 5, 4], 2 * [1, 1, 0, 1, 1, 0], 6 * ["seen"] + 6 * ["unseen"]
    )
    assert calibrated(answers, 0.9)[
        ["threshold", "coverage", "precision"]
    ].tolist() == pytest.approx([8, 1 / 3, 1])
    assert calibrated(answers, 0.8)[
        ["threshold", "coverage", "precision"]
    ].tolist() == pytest.approx([5, 5 / 6, 4 / 5])
    assert calibrated(answers, 0.5)["threshold"] == 4
    wrong = told([3, 2], [0, 0], ["seen", "unseen"])
    assert calibrated(wrong, 0.5)[["threshold", "coverage"]].tolist() == [np.inf, 0]


def test_threshold_rises_with_the_precision_and_keeps_it():
    rng = np.random.default_rng(2)
    confidence = rng.normal(size=200).round(1)
    answers = told(
        confidence,
        rng.random(200) < 1 / (1 + np.exp(-2 * confidence)),
        rng.choice(["seen", "unseen"], 200),
    )
    found = [calibrated(answers, precision) for precision in (0.5, 0.6, 0.7, 0.8, 0.9)]
    levels = [row["threshold"] for row in found]
    assert levels == sorted(levels) and levels[0] < levels[-1] < np.inf
    for row, precision in zip(found, (0.5, 0.6, 0.7, 0.8, 0.9), strict=True):
        again = only(at_thresholds(answers, thresholds(answers, precision)), group="all")
        assert again["precision"] >= precision and again[
            ["coverage", "precision"]
        ].tolist() == pytest.approx(row[["coverage", "precision"]].tolist())


def test_threshold_does_not_depend_on_the_share_of_novel_queries():
    rng = np.random.default_rng(3)
    seen, novel = (
        told(rng.normal(size=50) + shift, rng.random(50) < share, kind)
        for shift, share, kind in ((1, 0.9, "seen"), (0, 0.6, "unseen"))
    )
    one = calibrated(pd.concat([seen, novel]), 0.8)
    many = calibrated(
        pd.concat([seen, *[novel.assign(query=novel["query"] + str(i)) for i in range(5)]]), 0.8
    )
    assert np.isfinite(one["threshold"]) and many["threshold"] == one["threshold"]


def test_an_answer_without_confidence_never_passes():
    val = told([-np.inf, -np.inf], [1, 1], ["seen", "unseen"])
    assert calibrated(val, 0.5)["threshold"] == np.inf
    row = only(
        at_thresholds(val, thresholds(told([1, 1], [1, 1], ["seen", "unseen"]))), group="all"
    )
    assert (row["coverage"], row["answered"]) == (0, 0) and np.isnan(row["precision"])


def test_what_passes_the_thresholds():
    val = told([2, 1, 2, 1], [1, 0, 1, 0], ["seen", "seen", "unseen", "unseen"], rank="genus")
    test = told(
        [3, 2, 1, 3, 2, 1],
        [1, 0, 1, 1, 0, 0],
        3 * ["seen"] + 3 * ["unseen"],
        rank="genus",
        placeable=[1, 1, 1, 1, 0, 1],
    )
    found = at_thresholds(test, thresholds(val)).set_index("group")
    assert (found["threshold"] == 2).all()
    assert found["coverage"].to_dict() == pytest.approx(
        {"all": 2 / 3, "seen": 2 / 3, "novel placeable": 1 / 2, "novel": 2 / 3}
    )
    assert found["precision"].to_dict() == pytest.approx(
        {"all": 1 / 2, "seen": 1 / 2, "novel placeable": 1, "novel": 1 / 2}
    )


def test_deepest_ranks_by_hand():
    both = ["seen", "unseen"]
    limits = pd.concat(
        [
            thresholds(told([level, level], [1, 1], both, rank=rank))
            for rank, level in zip(RANKS, (1, 5, 2, 3), strict=True)
        ]
    )
    # Passes at: order and species, order and genus, nothing; novel: order alone, all but family.
    confidence = {
        "order": [1, 2, 0, 1, 1],
        "family": [4, 4, 4, 4, 4],
        "genus": [1, 2, 1, 1, 2],
        "species": [3, 2, 2, 2, 3],
    }
    right = {
        "order": [1, 1, 1, 0, 1],
        "family": 5 * [1],
        "genus": [0, 1, 1, 1, 1],
        "species": [1, 1, 1, 0, 0],
    }
    test = pd.concat(
        [
            told(confidence[rank], right[rank], 3 * ["seen"] + 2 * ["unseen"], rank=rank)
            for rank in RANKS
        ]
    )
    found = deepest_ranks(test, limits).set_index(["group", "answered"])
    assert found.loc["seen", "share"].to_dict() == pytest.approx(
        {"order": 0, "family": 0, "genus": 1 / 3, "species": 1 / 3, "none": 1 / 3}
    )
    assert found.loc["novel", "share"].to_dict() == pytest.approx(
        {"order": 1 / 2, "family": 0, "genus": 0, "species": 1 / 2, "none": 0}
    )
    assert (
        found.loc[("seen", "species"), "right"] == 1 and found.loc[("novel", "order"), "right"] == 0
    )
    assert found.loc[("novel", "species"), "right"] == 0 and np.isnan(
        found.loc[("seen", "family"), "right"]
    )


def test_without_unseen_queries_numbers_are_missing():
    answers = told([3, 2, 1], [1, 1, 0], "seen")
    limits = thresholds(answers)
    assert np.isnan(limits["threshold"]).all() and np.isnan(novelty(answers)["auroc"]).all()
    assert np.isnan(at_thresholds(answers, limits)[["coverage", "precision"]]).all(axis=None)
    found = areas(answers).set_index("group")["area"]
    assert (
        found["seen"] == pytest.approx((1 + 1 + 2 / 3) / 3)
        and found[["all", "novel", "novel placeable"]].isna().all()
    )
    assert np.isnan(deepest_ranks(answers, limits)["share"]).all()
    assert np.isnan(two_stage(answers, answers)[["threshold", "harmonic", "val_harmonic"]]).all(
        axis=None
    )
    assert set(precision_coverage(answers)["group"]) == {"seen"} and len(GROUPS) == 4


# Two stages


def stage_answers(seed: int, count=60, shift=1.0) -> pd.DataFrame:
    """Seen queries are mostly of higher confidence; the unseen key is right for most novel ones."""
    rng = np.random.default_rng(seed)
    split = np.where(np.arange(count) < count // 2, "seen", "unseen")
    answers = told(
        rng.normal(size=count).round(1) + shift * (split == "seen"),
        (rng.random(count) < 0.8) & (split == "seen"),
        split,
    )
    answers["true"] = answers["split"] + rng.integers(0, 5, count).astype(str)
    answers["unseen_predicted"] = np.where(
        (split == "unseen") & (rng.random(count) < 0.7), answers["true"], "unseen9"
    )
    return answers


def literal_accuracy(answers: pd.DataFrame, threshold: float, split: str) -> float:
    of_class: dict[str, list] = {}
    for row in answers[answers["split"] == split].to_dict("records"):
        accepted = row["confidence"] >= threshold
        of_class.setdefault(row["true"], []).append(
            row["right"] if accepted else row["unseen_predicted"] == row["true"]
        )
    return float(np.mean([np.mean(values) for values in of_class.values()]))


def test_two_stages_are_those_of_a_search_over_all_thresholds():
    val, test = stage_answers(0), stage_answers(1)
    row = two_stage(val, test).iloc[0]

    def both(answers, threshold):
        return [literal_accuracy(answers, threshold, split) for split in ("seen", "unseen")]

    values = {t: harmonic_mean(*both(val, t)) for t in [*np.unique(val["confidence"]), np.inf]}
    assert row["val_harmonic"] == pytest.approx(max(values.values()))
    assert row["threshold"] == min(
        t for t, value in values.items() if value > max(values.values()) - 1e-9
    )
    assert row[["seen", "unseen"]].tolist() == pytest.approx(both(test, row["threshold"]))
    assert (
        row["harmonic"] == pytest.approx(harmonic_mean(*both(test, row["threshold"])))
        and 0.2 < row["harmonic"] < 1
    )
    passes = test["confidence"] >= row["threshold"]
    assert row["accepted_seen"] == pytest.approx(passes[test["split"] == "seen"].mean())
    assert row["accepted_unseen"] == pytest.approx(passes[test["split"] == "unseen"].mean())


def test_accepted_queries_get_the_nearest_keys_species_whatever_the_score_answers():
    nearest = stage_answers(2)
    taxon = nearest.assign(score="taxon", right=False, predicted="other")
    found = two_stage(pd.concat([nearest, taxon]), pd.concat([nearest, taxon])).set_index("score")
    assert found.loc["taxon", "harmonic"] == found.loc["distance", "harmonic"] > 0.2


def test_two_stages_of_separated_queries_lose_nothing():
    answers = stage_answers(3, shift=100)
    row = two_stage(answers, answers).iloc[0]
    assert (row["accepted_seen"], row["accepted_unseen"]) == (1, 0)
    assert row["seen"] == pytest.approx(literal_accuracy(answers, -np.inf, "seen"))
    assert row["unseen"] == pytest.approx(literal_accuracy(answers, np.inf, "unseen"))
