"""The deepest rank that query and nearest key share, by hand and against the accuracies."""

import numpy as np
import pandas as pd
import pytest
from walk_cases import LINEAGE, OTHER

from hypertax.embeddings import Embeddings
from hypertax.evaluation.accuracy import evaluate
from hypertax.evaluation.hierarchy import SHARED, shared_ranks
from hypertax.evaluation.label_transfer import predictions
from hypertax.taxonomy import RANKS


def queries_and_keys() -> Embeddings:
    """DNA on the unit circle: five keys, and for each of the five degrees of kinship one seen query
    at the key's own angle."""
    keys = [
        LINEAGE,
        {**LINEAGE, "species": "Aa y"},
        {**LINEAGE, "genus": "Ab", "species": "Ab x"},
        {"order": "Aptera", "family": "Acidae", "genus": "Ac", "species": "Ac x"},
        OTHER,
    ]
    angles = np.deg2rad([0, 60, 120, 180, 240])
    rows = [{"id": f"K{i}", "split": "seen_keys", **lineage} for i, lineage in enumerate(keys)]
    rows += [{"id": f"Q{i}", "split": "test_seen", **LINEAGE} for i in range(5)] + [
        {"id": "U", "split": "test_unseen", **OTHER}
    ]
    turns = np.concatenate([angles, angles + 0.1, angles[4:]])
    vectors = 2 * np.stack([np.cos(turns), np.sin(turns)], axis=1)
    return Embeddings(
        pd.DataFrame(rows).assign(modality="dna", rank=None),
        vectors.astype(np.float32),
        "euclidean",
    )


def test_shared_ranks_are_the_kinship_of_query_and_nearest_key():
    table = shared_ranks(predictions(queries_and_keys()))
    seen = table[table["split"] == "seen"]
    assert (
        seen["shared_rank"].tolist() == list(SHARED)
        and seen["share"].tolist() == [0.2] * 5
        and set(seen["queries"]) == {5}
    )
    unseen = table[table["split"] == "unseen"].set_index("shared_rank")["share"]
    assert (
        unseen["species"] == 1
        and unseen.drop("species").eq(0).all()
        and set(table["pairing"]) == {"DNA to DNA"}
    )


def test_the_share_of_right_species_is_the_micro_accuracy():
    generator = np.random.default_rng(1)
    embeddings = queries_and_keys()
    vectors = generator.normal(size=(len(embeddings), 3)) * generator.uniform(
        0.2, 3, (len(embeddings), 1)
    )
    noisy = Embeddings(embeddings.table, vectors.astype(np.float32), "lorentz", 0.7)
    scores = evaluate(noisy, "test", ks=(1,), rankings=("distance",))
    scores = scores[(scores["protocol"] == "standard") & (scores["average"] == "micro")]
    table = shared_ranks(predictions(noisy))
    for split in ("seen", "unseen"):
        shares = table[table["split"] == split].set_index("shared_rank")["share"]
        assert shares.sum() == pytest.approx(1)
        for rank in RANKS:
            right = shares[list(SHARED[: SHARED.index(rank) + 1])].sum()
            own = scores[(scores["split"] == split) & (scores["rank"] == rank)]
            assert right == pytest.approx(own["value"].item()), (split, rank)


def test_shares_are_of_each_run_and_leave_out_queries_without_a_species():
    answers = predictions(queries_and_keys())
    answers.loc[answers["query"] == "Q0", "gt_species"] = None
    both = pd.concat(
        [answers.assign(method="a", run="a0", seed=0), answers.assign(method="b", run="b0", seed=0)]
    )
    table = shared_ranks(both)
    assert list(table.columns[:3]) == ["method", "run", "seed"] and set(table["method"]) == {
        "a",
        "b",
    }
    seen = table[(table["split"] == "seen") & (table["method"] == "b")]
    assert set(seen["queries"]) == {4} and seen["share"].tolist() == [0, 0.25, 0.25, 0.25, 0.25]
