"""Accuracy of label transfer from the nearest key, by CLIBD's protocol and for species that have no
key."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd

from hypertax.data.split import KEY_SPLITS, QUERY_SPLITS
from hypertax.embeddings import Embeddings
from hypertax.evaluation.retrieval import nearest_keys
from hypertax.taxonomy import RANKS

PAIRINGS = {
    "DNA to DNA": ("dna", "dna"),
    "image to image": ("image", "image"),
    "image to DNA": ("image", "dna"),
}
"""Modality of the queries and of the keys."""
AVERAGES = ("micro", "macro")
COLUMNS = (
    "stage",
    "protocol",
    "ranking",
    "pairing",
    "rank",
    "k",
    "average",
    "split",
    "value",
    "queries",
    "classes",
)
"""Of the long table that `evaluate` returns."""
_HISTORY_NAMES = {"DNA to DNA": "dna", "image to image": "image", "image to DNA": "cross"}


def accuracy(true, predicted, k: int = 1, average: str = "macro") -> float:
    """Share of queries whose true name is among the first k predicted ones.

    A query whose true name is missing does not count; a missing predicted name is wrong.

    Args:
        true: (Q,) names. predicted: (Q,) or (Q, K) names, nearest first; all K are used where K <
        k. average: "micro", the share of the queries, or "macro", the mean of that share over the
        true classes present.

    Returns:
        0..1, NaN where no query counts.
    """
    if average not in AVERAGES:
        raise ValueError(f"average must be 'micro' or 'macro', not {average!r}.")
    true = np.asarray(true, dtype=object)
    predicted = np.asarray(predicted, dtype=object)
    if predicted.ndim == 1:
        predicted = predicted[:, None]
    if len(true) != len(predicted):
        raise ValueError(
            f"There are {len(true)} true names but predictions for {len(predicted)} queries."
        )
    codes, _ = pd.factorize(np.concatenate([true, predicted.ravel()]))
    return _score(codes[: len(true)], codes[len(true) :].reshape(predicted.shape), k)[average]


def _score(true: np.ndarray, predicted: np.ndarray, k: int) -> dict[str, float]:
    """Both averages, and how many queries and classes count, from integer names (Q,) and (Q, K); -1
    is a missing name."""
    known = true >= 0
    true, correct = true[known], (predicted[known, :k] == true[known, None]).any(axis=1)
    if not len(true):
        return {"micro": np.nan, "macro": np.nan, "queries": 0, "classes": 0}
    _, classes, size = np.unique(true, return_inverse=True, return_counts=True)
    per_class = np.bincount(classes, weights=correct) / size
    return {
        "micro": float(correct.mean()),
        "macro": float(per_class.mean()),
        "queries": len(true),
        "classes": len(size),
    }


def harmonic_mean(seen: float, unseen: float) -> float:
    """2su / (s + u); 0 where both are 0, NaN where one is."""
    if seen + unseen == 0:
        return 0.0
    return 2 * seen * unseen / (seen + unseen)


def accuracy_by_rank(
    predictions: pd.DataFrame, *, true: str = "gt_{rank}", predicted: str = "pred_{rank}"
) -> pd.DataFrame:
    """Top-1 accuracies from columns of true and predicted names, as in CLIBD's stored predictions.

    Args:
        predictions: one row per query. true, predicted: patterns of the columns' names; a rank
        without its columns is left out.

    Returns:
        columns `rank`, `average`, `value` (0..1), `queries`, `classes`.
    """
    rows = []
    for rank in RANKS:
        columns = true.format(rank=rank), predicted.format(rank=rank)
        if not set(columns) <= set(predictions.columns):
            continue
        codes, _ = pd.factorize(
            np.concatenate([predictions[name].to_numpy(dtype=object) for name in columns])
        )
        score = _score(codes[: len(predictions)], codes[len(predictions) :, None], 1)
        rows += [
            {
                "rank": rank,
                "average": a,
                "value": score[a],
                "queries": score["queries"],
                "classes": score["classes"],
            }
            for a in AVERAGES
        ]
    return pd.DataFrame(rows, columns=["rank", "average", "value", "queries", "classes"])


def evaluate(
    embeddings: Embeddings,
    stage: str = "test",
    *,
    ks: Sequence[int] = (1, 3, 5),
    rankings: Sequence[str] | None = None,
    device: str | None = None,
) -> pd.DataFrame:
    """Every accuracy of a run, one number a row, in the columns `COLUMNS`.

    `protocol` "standard": keys are the three key splits; `split` is "seen", "unseen" and "harmonic"
    (the harmonic mean of the two). `protocol` "novel": the unseen queries against `seen_keys`
    alone, so that the species has no key; a query counts at order, family and genus where its own
    taxon of that rank has a key. Pairings whose modalities are absent, and ranks at which no query
    has a name, leave no row; a split without queries is NaN.

    Args:
        stage: "val" or "test", whose queries are used. ks: k of top-k. rankings: "distance",
        "angle"; by default both in Lorentz space, and in Euclidean space "distance" (there the
        cosine). device: where to look for the keys, the CPU by default.
    """
    if stage not in QUERY_SPLITS:
        raise ValueError(f"stage must be 'val' or 'test', not {stage!r}.")
    if rankings is None:
        rankings = ("distance", "angle") if embeddings.space == "lorentz" else ("distance",)
    splits = QUERY_SPLITS[stage]
    rows = []
    for pairing, queries, keys in _pairings(embeddings, list(splits.values())):
        query_codes, key_codes = _codes(queries, keys)
        query_split = queries.table["split"].to_numpy()
        novel = np.flatnonzero(query_split == splits["unseen"])
        seen_keys = np.flatnonzero((keys.table["split"] == "seen_keys").to_numpy())
        for ranking in rankings:
            common = {
                "stage": stage,
                "protocol": "standard",
                "ranking": ranking,
                "pairing": pairing,
            }
            found = _nearest(queries, keys, max(ks), ranking, device)
            for rank in RANKS:
                for k in ks:
                    scores = {}
                    for split, name in splits.items():
                        of_split = query_split == name
                        scores[split] = _score(
                            query_codes[rank][of_split], key_codes[rank][found[of_split]], k
                        )
                    rows += _standard_rows({**common, "rank": rank, "k": k}, scores)
            if not len(novel) or not len(seen_keys):
                continue
            common["protocol"] = "novel"
            reference = keys.where(np.isin(np.arange(len(keys)), seen_keys))
            found = seen_keys[
                _nearest(
                    queries.where(np.isin(np.arange(len(queries)), novel)),
                    reference,
                    max(ks),
                    ranking,
                    device,
                )
            ]
            for rank in RANKS[:-1]:
                true = query_codes[rank][novel]
                true = np.where(np.isin(true, key_codes[rank][seen_keys]), true, -1)
                for k in ks:
                    rows += _rows(
                        {**common, "rank": rank, "k": k},
                        "unseen",
                        _score(true, key_codes[rank][found], k),
                    )
    return pd.DataFrame(rows, columns=list(COLUMNS))


def _pairings(
    embeddings: Embeddings, splits: list[str]
) -> Iterator[tuple[str, Embeddings, Embeddings]]:
    """Name, queries and keys of every pairing that has both."""
    modality, split = embeddings.table["modality"], embeddings.table["split"]
    for pairing, (query_modality, key_modality) in PAIRINGS.items():
        queries = embeddings.where((modality == query_modality) & split.isin(splits))
        keys = embeddings.where((modality == key_modality) & split.isin(KEY_SPLITS))
        if len(queries) and len(keys):
            yield pairing, queries, keys


def _codes(
    queries: Embeddings, keys: Embeddings
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Names as integers that queries and keys share, per rank; -1 is a missing name."""
    codes = {
        r: pd.factorize(
            pd.concat([queries.table[r], keys.table[r]], ignore_index=True).to_numpy(dtype=object)
        )[0]
        for r in RANKS
    }
    return {r: c[: len(queries)] for r, c in codes.items()}, {
        r: c[len(queries) :] for r, c in codes.items()
    }


def _nearest(
    queries: Embeddings, keys: Embeddings, k: int, ranking: str, device: str | None
) -> np.ndarray:
    options = {
        "space": keys.space,
        "curvature": keys.curvature,
        "k": k,
        "by": ranking,
        "device": device,
    }
    return nearest_keys(queries.tangent, keys.tangent, **options)[0].numpy()


def _rows(common: dict, split: str, score: dict) -> list[dict]:
    if not score["queries"]:
        return []
    counts = {"queries": score["queries"], "classes": score["classes"]}
    return [
        {**common, "average": average, "split": split, "value": score[average], **counts}
        for average in AVERAGES
    ]


def _standard_rows(common: dict, scores: dict[str, dict]) -> list[dict]:
    """Seen, unseen and their harmonic mean; nothing where neither has a query."""
    seen, unseen = scores["seen"], scores["unseen"]
    harmonic = {average: harmonic_mean(seen[average], unseen[average]) for average in AVERAGES}
    harmonic.update({count: seen[count] + unseen[count] for count in ("queries", "classes")})
    if not harmonic["queries"]:
        return []
    return [
        {
            **common,
            "average": average,
            "split": split,
            "value": score[average],
            "queries": score["queries"],
            "classes": score["classes"],
        }
        for average in AVERAGES
        for split, score in {**scores, "harmonic": harmonic}.items()
    ]


def selection_score(embeddings: Embeddings, *, device: str | None = None) -> dict[str, float]:
    """Macro species top-1 on the validation queries, and the mean that picks the best epoch.

    Returns:
        `val_dna_seen`, `val_dna_unseen`, `val_image_seen`, `val_image_unseen`, `val_cross_seen`,
        `val_cross_unseen` (image to DNA), NaN where the data have no such queries or keys, and
        `selection`, the mean of those that are numbers (NaN without any).
    """
    summary = {
        f"val_{name}_{split}": np.nan
        for name in _HISTORY_NAMES.values()
        for split in ("seen", "unseen")
    }
    splits = QUERY_SPLITS["val"]
    for pairing, queries, keys in _pairings(embeddings, list(splits.values())):
        query_codes, key_codes = _codes(queries, keys)
        found = _nearest(queries, keys, 1, "distance", device)
        for split, name in splits.items():
            of_split = (queries.table["split"] == name).to_numpy()
            score = _score(
                query_codes["species"][of_split], key_codes["species"][found[of_split]], 1
            )
            summary[f"val_{_HISTORY_NAMES[pairing]}_{split}"] = score["macro"]
    values = [value for value in summary.values() if not np.isnan(value)]
    return {**summary, "selection": float(np.mean(values)) if values else np.nan}


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

    Returns:
        one row per query and key: `query`, `split` ("seen", "unseen"), `query_species`, `place` (1
        = nearest), `key`, `key_species`, `correct` (same species), `shared_rank` (deepest rank at
        which both have the same name, NA without any), `similarity`.
    """
    if pairing not in PAIRINGS:
        raise ValueError(
            f"pairing must be one of {', '.join(map(repr, PAIRINGS))}, not {pairing!r}."
        )
    splits = QUERY_SPLITS[stage]
    sides = {
        name: (queries, keys)
        for name, queries, keys in _pairings(embeddings, list(splits.values()))
    }
    if pairing not in sides:
        raise ValueError(
            f"The embeddings have no {stage} queries or no keys for {pairing}; choose another"
            " pairing or stage."
        )
    queries, keys = sides[pairing]
    rng = np.random.default_rng(seed)
    usable = queries.table["species"].notna()
    order = {
        split: rng.permutation(np.flatnonzero(usable & (queries.table["split"] == name)))
        for split, name in splits.items()
    }
    unseen = min(n // 2, len(order["unseen"]))
    seen = min(n - unseen, len(order["seen"]))
    chosen = np.concatenate([order["seen"][:seen], order["unseen"][: n - seen]]).astype(int)
    options = {"space": keys.space, "curvature": keys.curvature, "k": k, "by": ranking}
    found, similarity = (
        part.numpy() for part in nearest_keys(queries.tangent[chosen], keys.tangent, **options)
    )
    split_of = {name: split for split, name in splits.items()}
    rows = []
    for query, nearest, values in zip(
        (queries.table.loc[i] for i in chosen), found, similarity, strict=True
    ):
        for place, (key, value) in enumerate(
            zip((keys.table.loc[i] for i in nearest), values, strict=True), start=1
        ):
            shared = [rank for rank in RANKS if pd.notna(query[rank]) and query[rank] == key[rank]]
            rows.append(
                {
                    "query": query["id"],
                    "split": split_of[query["split"]],
                    "query_species": query["species"],
                    "place": place,
                    "key": key["id"],
                    "key_species": key["species"],
                    "correct": "species" in shared,
                    "shared_rank": shared[-1] if shared else None,
                    "similarity": float(value),
                }
            )
    columns = [
        "query",
        "split",
        "query_species",
        "place",
        "key",
        "key_species",
        "correct",
        "shared_rank",
        "similarity",
    ]
    return pd.DataFrame(rows, columns=columns)
