"""The split of specimens into training, keys and queries, by CLIBD's recipe (Gong et al., ICLR
2025)."""

from __future__ import annotations

import numpy as np
import pandas as pd

SEEN_SPLITS = ("train_seen", "seen_keys", "val_seen", "test_seen")
"""Splits of the species that training sees."""
UNSEEN_SPLITS = ("val_unseen", "val_unseen_keys", "test_unseen", "test_unseen_keys")
"""Splits of the species that training never sees, but whose keys may be looked up."""
SPLITS = (
    "no_split",
    "train_seen",
    "seen_keys",
    "val_seen",
    "test_seen",
    *UNSEEN_SPLITS,
    "single_species",
)
"""Every split, named as CLIBD does."""
TRAINING_SPLITS = ("no_split", "train_seen")
KEY_SPLITS = ("seen_keys", "val_unseen_keys", "test_unseen_keys")
"""CLIBD's `all_keys`, the reference set in which the nearest neighbour is looked for."""
QUERY_SPLITS = {
    "val": {"seen": "val_seen", "unseen": "val_unseen"},
    "test": {"seen": "test_seen", "unseen": "test_unseen"},
}
"""The queries of a stage, by whether their species was seen in training."""

COMMON = 10
"""Records from which on a species may be seen in training."""
SEEN_SHARE = 0.8
"""Share of the common species that are seen; each gives a tenth of its records to keys, validation
and test, the rest to training."""


def clibd_split(specimens: pd.DataFrame, seed: int = 0) -> pd.Series:
    """Split names of the specimens, an array of N strings with the table's index.

    Species of at least 10 records are common; 80 % of them are seen. Their records go 70/10/10/10
    to training, keys, validation and test, at least one to each. The other common species and those
    of 2 to 9 records are unseen: half of them are for validation, half for test. The records of
    each are halved into queries and keys, at least one of each. A species of one record is
    `single_species`; a specimen without a species name is `no_split`.

    Args:
        specimens: columns `sampleid` (unique) and `species` (NA where unknown).
        seed: the seed of the draws. The result depends on it and on the sets of `sampleid` and
            `species`, not on the order of the rows.
    """
    rng = np.random.default_rng(seed)
    known = specimens.loc[specimens["species"].notna(), ["sampleid", "species"]].reset_index(
        drop=True
    )
    known = known.astype(str).sort_values(["species", "sampleid"], kind="stable")
    code, _ = pd.factorize(known["species"], sort=True)
    size = np.bincount(code)

    common, rare = np.flatnonzero(size >= COMMON), np.flatnonzero((size > 1) & (size < COMMON))
    common = _shuffled(common, rng)
    n_seen = round(SEEN_SHARE * len(common))
    unseen = _shuffled(np.sort(np.concatenate([common[n_seen:], rare])), rng)
    kind = np.full(len(size), "single", dtype="<U6")
    kind[common[:n_seen]] = "seen"
    kind[unseen[: len(unseen) // 2]] = "val"
    kind[unseen[len(unseen) // 2 :]] = "test"

    # Place of each record in a random order of its species' records.
    order = np.lexsort((rng.random(len(code)), code))
    place = np.empty(len(code), dtype=int)
    place[order] = np.arange(len(code)) - np.repeat(np.cumsum(size) - size, size)
    n, kind = size[code], kind[code]
    tenth, half = np.floor(0.1 * n + 0.5).astype(int), n // 2

    of_seen = np.select(
        [place < tenth, place < 2 * tenth, place < 3 * tenth],
        ["seen_keys", "val_seen", "test_seen"],
        "train_seen",
    )
    of_unseen = np.char.add(np.char.add(kind, "_unseen"), np.where(place < half, "", "_keys"))
    split = np.select([kind == "seen", kind == "single"], [of_seen, "single_species"], of_unseen)

    result = np.full(len(specimens), "no_split", dtype=object)
    result[np.flatnonzero(specimens["species"].notna())[known.index]] = split
    return pd.Series(result, index=specimens.index, name="split", dtype="str")


def _shuffled(values: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return values[np.argsort(rng.random(len(values)), kind="stable")]
