"""Every query with the label of its nearest key: the comparisons draw from these answers."""

from __future__ import annotations

import numpy as np
import pandas as pd

from hypertax.data.split import KEY_SPLITS
from hypertax.embeddings import Embeddings
from hypertax.evaluation.answers import Answering, answer, names_of
from hypertax.evaluation.protocol import modalities_of, query_splits, sides
from hypertax.evaluation.retrieval import nearest_keys
from hypertax.taxonomy import RANKS

TRUE, PREDICTED = [f"gt_{rank}" for rank in RANKS], [f"pred_{rank}" for rank in RANKS]
"""The columns of true names and of those of the nearest key, as in CLIBD's stored predictions."""
EXAMPLE_COLUMNS = (
    "query",
    "split",
    "query_species",
    "place",
    "key",
    "key_species",
    "correct",
    "shared_rank",
    "similarity",
)


def predictions(
    embeddings: Embeddings | Answering, stage: str = "test", *, device: str | None = None
) -> pd.DataFrame:
    """Every query's true lineage and that of its nearest key, for each pairing and protocol of
    `hypertax.evaluation.evaluate`.

    Nearest is by "distance". `hypertax.evaluation.accuracy.accuracy` of these columns is
    `evaluate`'s top-1.

    Args:
        embeddings: of specimens, or a method that answers without any.
        stage: "val" or "test", whose queries are used.
        device: where to look for the keys, the CPU by default.

    Returns:
        one row per protocol, pairing and query: `protocol` ("standard", "novel"), `pairing`,
        `split` ("seen", "unseen"), `query` and `key` (ids; NA where the answer is no key),
        `species`, which the query is of (NA where unlabelled), `gt_RANK` (NA where the query does
        not count: unlabelled, or in "novel" a species, or a taxon that no key has) and `pred_RANK`
        (NA where the answer has no name).

    Raises:
        ValueError: a stage that does not exist.
    """
    kinds = {name: kind for kind, name in query_splits(stage).items()}
    novel = [name for name, kind in kinds.items() if kind == "unseen"]
    parts = []
    for protocol, of_queries, of_keys in (
        ("standard", list(kinds), KEY_SPLITS),
        ("novel", novel, ["seen_keys"]),
    ):
        for pairing, queries, keys in sides(embeddings, of_queries, of_keys):
            found = answer(queries, keys, device=device)
            first = found.keys[:, 0]
            true = queries.table[list(RANKS)].set_axis(TRUE, axis=1).astype(object)
            predicted = pd.DataFrame(
                {
                    name: found.names[rank][:, 0]
                    for rank, name in zip(RANKS, PREDICTED, strict=True)
                },
                dtype=object,
            )
            if protocol == "novel":
                for rank, column in zip(RANKS, TRUE, strict=True):
                    placeable = true[column].isin(keys.table[rank].dropna())
                    true[column] = true[column].where(placeable & (rank != RANKS[-1]), None)
            about = pd.DataFrame(
                {
                    "protocol": protocol,
                    "pairing": pairing,
                    "split": queries.table["split"].map(kinds),
                    "query": queries.table["id"],
                    "key": np.where(first >= 0, names_of(keys.table["id"])[first], None),
                    "species": queries.table["species"],
                }
            )
            parts.append(pd.concat([about, true, predicted], axis=1))
    if not parts:
        columns = ["protocol", "pairing", "split", "query", "key", "species", *TRUE, *PREDICTED]
        return pd.DataFrame(columns=columns)
    return pd.concat(parts, ignore_index=True)


def example_queries(
    embeddings: Embeddings,
    stage: str = "test",
    pairing: str = "image to DNA",
    n: int = 6,
    seed: int = 0,
    *,
    k: int = 5,
    ranking: str = "distance",
) -> pd.DataFrame:
    """Random queries with their nearest keys, for figures; half of the queries seen, half unseen,
    as far as there are so many.

    Args:
        embeddings: of specimens.
        stage: "val" or "test".
        pairing: one of `hypertax.evaluation.protocol.PAIRINGS`.
        n: how many queries. seed: of their choice.
        k: how many keys for each. ranking: "distance" or "angle".

    Returns:
        one row per query and key: `query`, `split` ("seen", "unseen"), `query_species`, `place` (1
        = nearest), `key`, `key_species`, `correct` (same species), `shared_rank` (deepest rank at
        which both have the same name, NA without any), `similarity`.

    Raises:
        ValueError: a stage or pairing that does not exist, or without queries or keys.
    """
    modalities_of(pairing)
    splits = query_splits(stage)
    found_sides = {
        name: (queries, keys) for name, queries, keys in sides(embeddings, list(splits.values()))
    }
    if pairing not in found_sides:
        raise ValueError(
            f"The embeddings have no {stage} queries or no keys for {pairing}; choose another"
            " pairing or stage."
        )
    queries, keys = found_sides[pairing]
    asked = _chosen(queries, splits, n, seed)
    found, similarity = nearest_keys(asked, keys, k, by=ranking)
    kinds = {name: kind for kind, name in splits.items()}
    rows = []
    for i, query in asked.table.iterrows():
        about = {"query": query["id"], "split": kinds[query["split"]]}
        about["query_species"] = query["species"]
        for place, (row, value) in enumerate(zip(found[i], similarity[i], strict=True), start=1):
            key = keys.table.loc[row]
            shared = [rank for rank in RANKS if pd.notna(query[rank]) and query[rank] == key[rank]]
            rows.append(
                {
                    **about,
                    "place": place,
                    "key": key["id"],
                    "key_species": key["species"],
                    "correct": "species" in shared,
                    "shared_rank": shared[-1] if shared else None,
                    "similarity": float(value),
                }
            )
    return pd.DataFrame(rows, columns=list(EXAMPLE_COLUMNS))


def _chosen(queries: Embeddings, splits: dict[str, str], n: int, seed: int) -> Embeddings:
    """Random queries with a species, at most n: half of them seen, half unseen, as far as there are
    so many."""
    rng = np.random.default_rng(seed)
    usable = queries.table["species"].notna()
    order = {
        kind: rng.permutation(np.flatnonzero(usable & (queries.table["split"] == name)))
        for kind, name in splits.items()
    }
    unseen = min(n // 2, len(order["unseen"]))
    seen = min(n - unseen, len(order["seen"]))
    rows = np.concatenate([order["seen"][:seen], order["unseen"][: n - seen]]).astype(int)
    return Embeddings(
        queries.table.iloc[rows].reset_index(drop=True),
        queries.tangent[rows],
        queries.space,
        queries.curvature,
    )
