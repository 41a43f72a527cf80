"""Accuracies by hand, by literal loops over the protocol, and CLIBD's published ones from its
stored predictions."""

import numpy as np
import pandas as pd
import pytest
from random_embeddings import random_embeddings

from hypertax.data.split import KEY_SPLITS
from hypertax.embeddings import Embeddings
from hypertax.evaluation.accuracy import (
    COLUMNS,
    METRICS,
    Metric,
    accuracy,
    evaluate,
    harmonic_mean,
    query_counts,
)
from hypertax.evaluation.comparison import compare
from hypertax.evaluation.label_transfer import example_queries, predictions
from hypertax.evaluation.protocol import PAIRINGS
from hypertax.files import ROOT
from hypertax.tables.accuracy import novel_table
from hypertax.taxonomy import RANKS

PREDICTIONS = ROOT.parent / "shared" / "data" / "clibd_predictions"


def nearest(e: Embeddings, query, keys, ranking):
    """Row numbers of the keys, nearest first, one at a time."""

    def point(i):
        v = e.tangent[i].astype(float)
        r = np.linalg.norm(v)
        if e.space == "euclidean" or ranking == "angle":
            return v / r
        root = np.sqrt(e.curvature)
        x = np.sinh(root * r) * v / (root * r)
        return np.append(x, np.sqrt(1 / e.curvature + x @ x))

    q = point(query)
    if e.space == "lorentz" and ranking == "distance":
        q = np.append(q[:-1], -q[-1])
    points = {i: point(i) for i in keys}
    return sorted(keys, key=lambda i: (-(q @ points[i]), i))


def literal(e: Embeddings, stage, protocol, ranking, pairing, rank, k, average, split):
    """One number of `evaluate`, from METHOD's words: loops only. Returns (value, queries,
    classes)."""
    query_modality, key_modality = PAIRINGS[pairing]
    rows = e.table.to_dict("records")
    key_splits = KEY_SPLITS if protocol == "standard" else ("seen_keys",)
    keys = [
        i
        for i, row in enumerate(rows)
        if row["modality"] == key_modality and row["split"] in key_splits
    ]
    by_class = {}
    for i, row in enumerate(rows):
        if (
            row["modality"] != query_modality
            or row["split"] != f"{stage}_{split}"
            or pd.isna(row[rank])
        ):
            continue
        if protocol == "novel" and row[rank] not in {rows[j][rank] for j in keys}:
            continue
        names = [rows[j][rank] for j in nearest(e, i, keys, ranking)[:k]]
        by_class.setdefault(row[rank], []).append(row[rank] in names)
    hits = [h for class_hits in by_class.values() for h in class_hits]
    if not hits:
        return np.nan, 0, 0
    value = (
        np.mean(hits) if average == "micro" else np.mean([np.mean(h) for h in by_class.values()])
    )
    return value, len(hits), len(by_class)


def test_accuracy_by_hand():
    true = pd.Series(["a", "a", "a", "b", None, "c"])
    predicted = np.array(
        [["a", "x"], ["x", "a"], ["x", "y"], ["b", "a"], ["a", "a"], [None, "c"]], dtype=object
    )
    assert accuracy(true, predicted, 1, "micro") == pytest.approx(
        2 / 5
    )  # the query without a name does not count
    assert accuracy(true, predicted, 1, "macro") == pytest.approx(
        (1 / 3 + 1 + 0) / 3
    )  # x and y are no true class
    assert accuracy(true, predicted, 2, "micro") == pytest.approx(4 / 5)
    assert accuracy(true, predicted, 2, "macro") == pytest.approx((2 / 3 + 1 + 1) / 3)
    assert accuracy(true, predicted, 9, "macro") == accuracy(true, predicted, 2, "macro")
    assert accuracy(true, pd.Series(predicted[:, 0]), 1, "micro") == pytest.approx(2 / 5)


@pytest.mark.parametrize("nothing", [None, np.nan, pd.NA])
def test_two_missing_names_are_not_a_match(nothing):
    assert accuracy(["a", nothing], [nothing, nothing], 1, "micro") == 0
    assert np.isnan(accuracy([nothing, nothing], [nothing, "a"], 1, "macro"))


def test_accuracy_refuses():
    with pytest.raises(ValueError, match="average must be"):
        accuracy(["a"], ["a"], 1, "weighted")
    with pytest.raises(ValueError, match="2 true names"):
        accuracy(["a", "b"], ["a"])


def test_harmonic_mean():
    assert harmonic_mean(0.5, 0.25) == pytest.approx(1 / 3)
    assert harmonic_mean(0.0, 0.0) == 0.0
    assert harmonic_mean(0.0, 0.7) == 0.0
    assert np.isnan(harmonic_mean(np.nan, 0.5))


@pytest.mark.parametrize("space", ["lorentz", "euclidean"])
@pytest.mark.parametrize("stage", ["val", "test"])
def test_evaluate_agrees_with_literal_loops(space, stage):
    e = random_embeddings(space)
    scores = evaluate(e, stage)
    assert tuple(scores.columns) == COLUMNS
    assert set(scores["ranking"]) == ({"distance", "angle"} if space == "lorentz" else {"distance"})
    assert not scores.duplicated(list(COLUMNS[:8])).any()
    rng = np.random.default_rng(1)
    direct = scores[scores["split"] != "harmonic"]
    for i in rng.choice(len(direct), size=30, replace=False):
        row = direct.iloc[i]
        value, queries, classes = literal(e, *row[list(COLUMNS[:8])])
        assert (row["value"], row["queries"], row["classes"]) == (
            pytest.approx(value),
            queries,
            classes,
        )
    assert {0 < v < 1 for v in direct["value"]} == {True, False}


def test_evaluate_is_complete_and_consistent():
    scores = evaluate(random_embeddings())
    counts = scores.groupby("protocol").size()
    assert (
        counts["standard"] == 3 * 2 * 4 * 3 * 2 * 3
    )  # pairings, rankings, ranks, k, averages, splits
    assert counts["novel"] == 3 * 2 * 3 * 3 * 2  # no species, unseen alone
    wide = scores[scores["protocol"] == "standard"].pivot(
        index=list(COLUMNS[2:7]), columns="split", values="value"
    )
    expected = [harmonic_mean(s, u) for s, u in zip(wide["seen"], wide["unseen"], strict=True)]
    np.testing.assert_allclose(wide["harmonic"], expected)
    by_k = scores.pivot(
        index=["protocol", "ranking", "pairing", "rank", "average", "split"],
        columns="k",
        values="value",
    )
    direct = by_k[by_k.index.get_level_values("split") != "harmonic"]
    assert (direct[1] <= direct[3]).all() and (direct[3] <= direct[5]).all()


def test_perfect_embeddings_score_one_and_a_novel_species_finds_its_genus():
    lineages = {
        "seen": ("O", "F", "G", "G a"),
        "unseen": ("O", "F", "G", "G b"),
        "alone": ("O", "F", "H", "H c"),
    }
    at = {"seen": (1.0, 0.0), "unseen": (1.0, 0.2), "alone": (0.0, 1.0)}
    rows, vectors = [], []
    for split, kind in [
        ("seen_keys", "seen"),
        ("test_seen", "seen"),
        ("test_unseen", "unseen"),
        ("test_unseen_keys", "unseen"),
        ("test_unseen", "alone"),
        ("test_unseen_keys", "alone"),
    ]:
        rows.append((f"{split}-{kind}", "dna", None, split, *lineages[kind]))
        vectors.append(at[kind])
    table = pd.DataFrame(rows, columns=["id", "modality", "rank", "split", *RANKS])
    scores = evaluate(Embeddings(table, np.array(vectors, np.float32), "lorentz", 1.0), ks=(1,))
    assert set(scores["pairing"]) == {"DNA to DNA"}
    assert (scores["value"] == 1).all()
    novel = scores[
        (scores["protocol"] == "novel")
        & (scores["average"] == "macro")
        & (scores["ranking"] == "distance")
    ].set_index("rank")
    assert novel["queries"].to_dict() == {
        "order": 2,
        "family": 2,
        "genus": 1,
    }  # genus H has no seen species


def test_a_missing_modality_or_split_or_rank_leaves_no_row():
    only_dna = evaluate(random_embeddings(modalities=("dna",)))
    assert set(only_dna["pairing"]) == {"DNA to DNA"}
    assert set(only_dna["rank"]) == set(RANKS)
    e = random_embeddings()
    no_family = Embeddings(e.table.assign(family=None), e.tangent, e.space, e.curvature)
    assert set(evaluate(no_family)["rank"]) == {"order", "genus", "species"}
    no_unseen = e.where(~e.table["split"].str.contains("unseen"))
    scores = evaluate(no_unseen)
    assert set(scores["protocol"]) == {"standard"}
    assert scores.loc[scores["split"] != "seen", "value"].isna().all()
    assert scores.loc[scores["split"] == "seen", "value"].notna().all()
    with pytest.raises(ValueError, match="stage must be"):
        evaluate(e, "train")


def test_retrieval_examples_agree_with_the_ranking():
    e = random_embeddings()
    examples = example_queries(e, "test", "image to DNA", n=6, seed=3, k=4)
    assert examples.equals(example_queries(e, "test", "image to DNA", n=6, seed=3, k=4))
    assert not examples.equals(example_queries(e, "test", "image to DNA", n=6, seed=4, k=4))
    assert examples.groupby("query", sort=False)["place"].apply(list).tolist() == [[1, 2, 3, 4]] * 6
    assert examples.drop_duplicates("query")["split"].value_counts().to_dict() == {
        "seen": 3,
        "unseen": 3,
    }
    assert examples["query_species"].notna().all()
    t = e.table
    keys = [i for i in t.index if t.modality[i] == "dna" and t.split[i] in KEY_SPLITS]
    for query, group in examples.groupby("query"):
        i = t.index[(t.id == query) & (t.modality == "image")][0]
        expected = nearest(e, i, keys, "distance")[:4]
        assert group["key"].tolist() == [t.id[j] for j in expected]
        assert group["correct"].tolist() == [t.species[j] == t.species[i] for j in expected]
        for j, shared in zip(expected, group["shared_rank"], strict=True):
            agree = [r for r in RANKS if t[r][j] == t[r][i]]
            assert shared == agree[-1] if agree else pd.isna(shared)


def test_retrieval_examples_refuse_what_is_absent():
    with pytest.raises(ValueError, match="image to DNA"):
        example_queries(random_embeddings(modalities=("dna",)), pairing="image to DNA")
    with pytest.raises(ValueError, match="pairing must be"):
        example_queries(random_embeddings(), pairing="text to DNA")


@pytest.mark.skipif(
    not PREDICTIONS.is_dir(),
    reason="CLIBD's stored predictions are not here (../shared/data/clibd_predictions)",
)
@pytest.mark.parametrize(
    ("split", "micro", "macro", "queries"),
    [("seen", 80.1, 60.3, 4878), ("unseen", 74.3, 46.4, 6952)],
)
def test_reproduces_clibd(split, micro, macro, queries):
    predictions = pd.read_csv(PREDICTIONS / f"IDT_val_top1_{split}_i2i_results.csv.gz")
    assert predictions["gt_species"].count() == queries
    species = predictions["gt_species"], predictions["pred_species"]
    assert 100 * accuracy(*species, average="micro") == pytest.approx(micro, abs=0.05)
    assert 100 * accuracy(*species, average="macro") == pytest.approx(macro, abs=0.05)
    for rank in RANKS:
        true, predicted = predictions[f"gt_{rank}"], predictions[f"pred_{rank}"]
        correct = true == predicted
        assert accuracy(true, predicted, average="micro") == pytest.approx(correct.mean())
        by_class = correct.groupby(true).mean()
        assert accuracy(true, predicted, average="macro") == pytest.approx(by_class.mean())


def test_a_metric_defined_once_is_in_scores_comparisons_and_tables(monkeypatch):
    """The share of the best class: nothing else has to be changed for it."""
    best = Metric("Best class", lambda right, answers, sizes: (right / sizes).max(axis=-1))
    monkeypatch.setitem(METRICS, "best", best)
    embeddings = random_embeddings(seed=2)
    scores = evaluate(embeddings, ks=(1,), rankings=("distance",))
    assert set(scores["average"]) == {"micro", "macro", "best"}
    answers = predictions(embeddings)
    own = answers[(answers["pairing"] == "DNA to DNA") & (answers["split"] == "unseen")]
    own = own[(own["protocol"] == "novel") & own["gt_genus"].notna()]
    expected = (own["gt_genus"] == own["pred_genus"]).groupby(own["gt_genus"]).mean().max()
    assert 0 < expected == accuracy(own["gt_genus"], own["pred_genus"], average="best")
    novel = scores[(scores["protocol"] == "novel") & (scores["average"] == "best")]
    novel = novel.set_index(["pairing", "rank"])["value"]
    assert novel["DNA to DNA", "genus"] == expected

    both = pd.concat([answers.assign(method=name, run=name, seed=0) for name in ("one", "two")])
    both.loc[both["method"] == "two", "pred_genus"] = "nothing"
    found = compare(both, "two", resamples=5)
    found = found[(found["average"] == "best") & (found["protocol"] == "novel")]
    found = found.set_index(["pairing", "rank"])["difference"]
    assert found["DNA to DNA", "genus"] == pytest.approx(expected)

    table = novel_table(scores.assign(method="one", run="one", seed=0))
    assert set(table.tidy["average"]) == {"micro", "macro", "best"}
    assert "best" in table.markdown()


def test_query_counts_are_those_of_the_species_of_each_split():
    embeddings = random_embeddings(seed=4)
    counts = query_counts(evaluate(embeddings)).set_index(["pairing", "split"])
    table = embeddings.table
    for (pairing, kind), row in counts.iterrows():
        own = table[
            (table["modality"] == PAIRINGS[pairing][0]) & (table["split"] == f"test_{kind}")
        ]
        assert row["queries"] == own["species"].count()
        assert row["classes"] == own["species"].nunique()
    assert len(counts) == 6
