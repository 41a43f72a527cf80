"""CLIBD's recipe: its shares, what every species must have, and what the result may depend on."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hypertax.data.split import (
    COMMON,
    KEY_SPLITS,
    QUERY_SPLITS,
    SEEN_SPLITS,
    SPLITS,
    TRAINING_SPLITS,
    UNSEEN_SPLITS,
    clibd_split,
)


def specimens_of(sizes: list[int], unlabelled: int = 0) -> pd.DataFrame:
    """A table with `sizes[i]` records of species i, and `unlabelled` specimens without a
    species."""
    species = [f"Genus species{i}" for i, size in enumerate(sizes) for _ in range(size)] + [
        None
    ] * unlabelled
    return pd.DataFrame(
        {
            "sampleid": pd.array([f"S{i:06d}" for i in range(len(species))], dtype="str"),
            "species": pd.array(species, dtype="str"),
        }
    )


sizes = st.lists(st.integers(1, 40), max_size=40)


def test_every_split_is_training_keys_queries_or_single():
    queries = {split for stage in QUERY_SPLITS.values() for split in stage.values()}
    assert set(SPLITS) == {*TRAINING_SPLITS, *KEY_SPLITS, *queries, "single_species"}
    assert set(SPLITS) == {*SEEN_SPLITS, *UNSEEN_SPLITS, "no_split", "single_species"}


@settings(max_examples=100, deadline=None, derandomize=True)
@given(sizes=sizes, unlabelled=st.integers(0, 5), seed=st.integers(0, 1000))
def test_every_species_has_what_its_kind_needs(sizes, unlabelled, seed):
    specimens = specimens_of(sizes, unlabelled)
    specimens["split"] = clibd_split(specimens, seed)
    assert specimens["split"].isin(SPLITS).all()
    assert ((specimens["split"] == "no_split") == specimens["species"].isna()).all()
    kinds = []
    for _, records in specimens.dropna(subset=["species"]).groupby("species"):
        present = set(records["split"])
        if len(records) == 1:
            assert present == {"single_species"}
        elif present <= set(SEEN_SPLITS):
            assert present == set(SEEN_SPLITS) and len(records) >= COMMON
            kinds.append("seen")
        else:
            stage = next(iter(present)).split("_")[0]
            assert present == {f"{stage}_unseen", f"{stage}_unseen_keys"}
            counts = records["split"].value_counts()
            assert 0 <= counts[f"{stage}_unseen_keys"] - counts[f"{stage}_unseen"] <= 1
            kinds.append(stage)
    common = sum(size >= COMMON for size in sizes)
    assert kinds.count("seen") == round(0.8 * common)
    assert 0 <= kinds.count("test") - kinds.count("val") <= 1


@settings(max_examples=30, deadline=None, derandomize=True)
@given(sizes=sizes, unlabelled=st.integers(0, 5), seed=st.integers(0, 1000))
def test_the_order_of_the_rows_does_not_matter(sizes, unlabelled, seed):
    specimens = specimens_of(sizes, unlabelled)
    shuffled = specimens.sample(frac=1, random_state=seed)
    split, of_shuffled = clibd_split(specimens, seed), clibd_split(shuffled, seed)
    pd.testing.assert_index_equal(of_shuffled.index, shuffled.index)
    pd.testing.assert_series_equal(of_shuffled.sort_index(), split)


def test_shares_of_the_recipe():
    rng = np.random.default_rng(1)
    specimens = specimens_of([int(n) for n in rng.integers(2, 80, size=500)])
    share = clibd_split(specimens, 0).value_counts()
    seen = share[list(SEEN_SPLITS)] / share[list(SEEN_SPLITS)].sum()
    assert seen["train_seen"] == pytest.approx(0.7, abs=0.02)
    assert seen[["seen_keys", "val_seen", "test_seen"]].tolist() == pytest.approx(
        [0.1] * 3, abs=0.01
    )


def test_the_seed_decides():
    specimens = specimens_of([5, 12, 20, 30, 8, 2] * 5, 3)
    assert (clibd_split(specimens, 3) == clibd_split(specimens, 3)).all()
    assert (clibd_split(specimens, 3) != clibd_split(specimens, 4)).any()


def test_it_does_not_depend_on_the_machine():
    """Golden: a changed split would silently make old runs incomparable."""
    split = clibd_split(specimens_of([12, 10, 4, 3, 1], 1), 0)
    first = ["train_seen"] * 7 + ["seen_keys", "train_seen", "val_seen", "train_seen", "test_seen"]
    assert split.iloc[:12].tolist() == first
    assert split.iloc[22:].value_counts().to_dict() == {
        "test_unseen_keys": 2,
        "test_unseen": 2,
        "val_unseen_keys": 2,
        "val_unseen": 1,
        "single_species": 1,
        "no_split": 1,
    }


def test_tables_without_species_and_without_rows():
    assert (clibd_split(specimens_of([], 4), 0) == "no_split").all()
    assert clibd_split(specimens_of([], 0), 0).empty
