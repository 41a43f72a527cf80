"""Queries of seen and unseen species against a database of seen species alone: what is answered,
and how confident each score is."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd
import torch

from hypertax.data.split import QUERY_SPLITS
from hypertax.embeddings import Embeddings
from hypertax.evaluation.answers import Answering, answer, names_of
from hypertax.evaluation.members import EmbeddedRun, available, each_run
from hypertax.evaluation.protocol import PAIRINGS, modalities_of, query_splits
from hypertax.evaluation.retrieval import nearest_keys
from hypertax.geometry import lorentz as L
from hypertax.taxonomy import RANKS

BLOCK = 2**22
"""Numbers of an intermediate matrix at a time: 32 MB in fp64."""
SCORES = {
    "distance": "similarity to the nearest key; without embeddings, the method's own confidence",
    "margin": "that minus the similarity to the nearest key of another taxon of the rank",
    "taxon": "similarity to the nearest taxon of the rank, which is the answer",
    "label": "similarity to the taxon answered",
    "cone": "half-aperture of the taxon answered minus its exterior angle towards the query,"
    " radians",
    "cone argmax": "the same of the taxon of the rank for which it is largest, which is the answer",
    "radius": "the query's distance from the origin",
}
"""What the confidence is, by score. The answer is the nearest key's name where nothing else is
said."""
LORENTZ_SCORES = ("cone", "cone argmax")
"""Scores that a Euclidean space lacks. There "label" is the counterpart of "cone", and "taxon" of
"cone argmax"."""
UNSEEN_KEYS = ("val_unseen_keys", "test_unseen_keys")
COLUMNS = (
    "stage",
    "pairing",
    "split",
    "query",
    "rank",
    "score",
    "true",
    "predicted",
    "confidence",
    "right",
    "placeable",
    "unseen_predicted",
)


@torch.no_grad()
def open_world_answers(
    embeddings: Embeddings | Answering,
    stage: str = "test",
    pairing: str = "DNA to DNA",
    *,
    aperture: float = 0.1,
    unseen_modality: str | None = None,
    device: str | None = None,
) -> pd.DataFrame:
    """What every query is called at every rank, and the confidence in it by every score of
    `SCORES`.

    The keys are `seen_keys` alone; taxa are the text rows whose names these keys carry. Similarity
    is the cosine in Euclidean space and minus the geodesic distance in Lorentz space. Everything is
    fp64, in blocks of `BLOCK` numbers.

    An answer that cannot be given or judged has confidence -inf, so that no threshold lets it pass:
    the nearest key has no name at the rank, or a score needs a taxon that has no text row (runs may
    embed only the taxa seen in training). Where all keys are of one taxon the margin is 0 for all
    queries: it tells nothing. Similarities are those of paired formulas without cancellation; only
    which key of another taxon is nearest comes from a matrix product, whose rounding can exchange
    keys that are equally near to 1e-5 at radius 6.

    Args:
        embeddings: of specimens, and of taxa where there are any; or a method that answers without
            any, which has its own confidence alone, as the score "distance".
        stage: "val" or "test", whose queries are used.
        pairing: one of `hypertax.evaluation.PAIRINGS`.
        aperture: K of the cones.
        unseen_modality: "image" or "dna", of the unseen keys for `unseen_predicted`; by default
            that of the seen keys.
        device: where to look for the keys, the CPU by default.

    Returns:
        one row per query, rank and score, columns `COLUMNS`: `split` ("seen", "unseen"), `true` and
        `predicted` names (NA where unknown), `confidence`, `right`, `placeable` (a seen key carries
        the true name; never so for a novel species at species), and at species `unseen_predicted`,
        the species of the nearest key among `UNSEEN_KEYS`. No rows where there are no queries or no
        seen keys.

    Raises:
        ValueError: a stage, pairing or modality that does not exist.
    """
    splits = {name: kind for kind, name in query_splits(stage).items()}
    query_modality, key_modality = modalities_of(pairing)
    if unseen_modality not in (None, "image", "dna"):
        raise ValueError(
            f"unseen_modality must be 'image', 'dna' or None, not {unseen_modality!r}."
        )
    queries = embeddings.select(query_modality, list(splits))
    keys = embeddings.select(key_modality, ["seen_keys"])
    if not len(queries) or not len(keys):
        return _typed(pd.DataFrame(columns=list(COLUMNS)))
    unseen_keys = embeddings.select(unseen_modality or key_modality, list(UNSEEN_KEYS))
    unseen = np.full(len(queries), None, dtype=object)
    if len(unseen_keys):
        unseen = answer(queries, unseen_keys, device=device).names[RANKS[-1]][:, 0]
    split = queries.table["split"].map(splits).to_numpy(dtype=object)
    scored = _scored(embeddings, queries, keys, aperture, device)
    parts = []
    for rank in RANKS:
        carried = set(names_of(keys.table[rank])) - {None}
        true = names_of(queries.table[rank])
        is_species = rank == RANKS[-1]
        about = {
            "stage": stage,
            "pairing": pairing,
            "split": split,
            "query": queries.table["id"].to_numpy(),
            "rank": rank,
            "true": true,
            "placeable": np.array([name in carried for name in true])
            & ((split == "seen") | (not is_species)),
            "unseen_predicted": unseen if is_species else np.full(len(queries), None, dtype=object),
        }
        parts += _rows(about, scored[rank])
    return _typed(pd.concat(parts, ignore_index=True))


def _scored(
    embeddings: Embeddings | Answering,
    queries: Embeddings | Answering,
    keys: Embeddings | Answering,
    aperture: float,
    device: str | None,
) -> dict[str, dict[str, tuple[np.ndarray, np.ndarray]]]:
    """By rank and score the names (Q,) answered and the confidences (Q,)."""
    found = answer(queries, keys, device=device)
    first = {rank: found.names[rank][:, 0] for rank in RANKS}
    if not isinstance(embeddings, Embeddings):
        return {rank: {"distance": (first[rank], found.confidence[rank])} for rank in RANKS}
    nearest = found.keys[:, 0]
    near = _similarity(queries, keys, nearest)
    others = _nearest_others(queries, keys, nearest)
    radius = np.linalg.norm(queries.tangent.astype(np.float64), axis=1)
    scored = {}
    for rank, predicted in first.items():
        taxa = embeddings.select("text", rank=rank)
        taxa = taxa.where(taxa.table["id"].isin(keys.table[rank].dropna()).to_numpy())
        scored[rank] = {
            "distance": (predicted, near),
            "margin": (predicted, _margin(queries, keys, near, others[rank])),
            "radius": (predicted, radius),
            **_by_taxa(queries, taxa, predicted, aperture, device),
        }
    return scored


def _rows(
    about: dict, answered: dict[str, tuple[np.ndarray, np.ndarray]]
) -> Iterator[pd.DataFrame]:
    """A frame per score from the names (Q,) that it answers and its confidences (Q,)."""
    for score in (name for name in SCORES if name in answered):
        names, confidence = answered[score]
        missing = pd.isna(names)
        own = {
            "score": score,
            "predicted": names,
            "confidence": np.where(missing, -np.inf, confidence),
            "right": ~missing & (names == about["true"]),
        }
        yield pd.DataFrame({**about, **own})[list(COLUMNS)]


def study_answers(
    study: Sequence[EmbeddedRun], stage: str = "test", pairing: str = "DNA to DNA", **options
) -> pd.DataFrame:
    """`open_world_answers` of every run of a study that is available, each with its own aperture,
    with columns `method`, `run` and `seed` in front."""

    def answers(member: EmbeddedRun) -> pd.DataFrame:
        return open_world_answers(
            member.embeddings, stage, pairing, aperture=member.aperture, **options
        )

    return each_run([member for member in study if available(member)], answers)


def _typed(answers: pd.DataFrame) -> pd.DataFrame:
    """Columns of few values as categories, which a study of many runs needs to fit in memory; the
    same categories in every frame."""
    values = {
        "stage": list(QUERY_SPLITS),
        "pairing": list(PAIRINGS),
        "split": ["seen", "unseen"],
        "rank": list(RANKS),
        "score": list(SCORES),
    }
    types = {name: pd.CategoricalDtype(categories) for name, categories in values.items()}
    texts = dict.fromkeys(["query", "true", "predicted", "unseen_predicted"], "str")
    return answers.astype({**types, **texts, "confidence": float, "right": bool, "placeable": bool})


def _nearest(queries: Embeddings, keys: Embeddings, device: str | None) -> np.ndarray:
    return nearest_keys(queries, keys, device=device)[0][:, 0]


def _blocks(count: int, width: int) -> Iterator[slice]:
    """Slices of `count` rows, so many at a time that `width` numbers for each make a block."""
    step = max(1, BLOCK // max(1, width))
    for start in range(0, count, step):
        yield slice(start, min(start + step, count))


def _similarity(queries: Embeddings, others: Embeddings, index: np.ndarray) -> np.ndarray:
    """Similarity (Q,) of each query with the row of `others` that `index` (Q,) gives it, -inf where
    that is negative."""
    result = np.full(len(queries), -np.inf)
    paired = np.flatnonzero(index >= 0)
    for rows in _blocks(len(paired), queries.tangent.shape[1]):
        own = paired[rows]
        x, y = queries.points(own), others.points(index[own])
        # The cosine of a vector with itself can read 1 + 2e-16, and must not beat another one's 1.
        hyperbolic = queries.space == "lorentz"
        result[own] = (
            -L.distance(x, y, float(queries.curvature))
            if hyperbolic
            else (x * y).sum(dim=1).clamp(max=1).numpy()
        )
    return result


def _nearest_others(
    queries: Embeddings, keys: Embeddings, nearest: np.ndarray
) -> dict[str, np.ndarray]:
    """Per rank the nearest key (Q,) whose name differs from the nearest key's; -1 where no key has
    another name."""
    codes = {rank: pd.factorize(names_of(keys.table[rank]))[0] for rank in RANKS}
    found = {rank: np.full(len(queries), -1) for rank in RANKS}
    key_points = keys.points()
    for rows in _blocks(len(queries), len(keys)):
        own = queries.points(rows)
        products = (
            L.pairwise_inner(own, key_points, float(keys.curvature))
            if keys.space == "lorentz"
            else own @ key_points.T
        )
        products = products.numpy()
        for rank, code in codes.items():
            allowed = (code[None] != code[nearest[rows], None]) & (code[None] >= 0)
            best = np.where(allowed, products, -np.inf).argmax(axis=1)
            found[rank][rows] = np.where(allowed.any(axis=1), best, -1)
    return found


def _margin(
    queries: Embeddings, keys: Embeddings, near: np.ndarray, other: np.ndarray
) -> np.ndarray:
    # Of keys equally near but for rounding the nearest is the first one: a margin is never
    # negative.
    return np.where(other >= 0, np.maximum(near - _similarity(queries, keys, other), 0), 0)


def _by_taxa(
    queries: Embeddings,
    taxa: Embeddings,
    predicted: np.ndarray,
    aperture: float,
    device: str | None,
) -> dict[str, tuple]:
    """Answers and confidences of the scores that look at taxa of one rank; `predicted` (Q,) are the
    nearest keys' names."""
    names = np.append(
        taxa.table["id"].to_numpy(dtype=object), None
    )  # Place -1, no taxon, has no name.
    place = {name: i for i, name in enumerate(names[:-1])}
    answered = np.array([place.get(name, -1) for name in predicted])
    nearest = _nearest(queries, taxa, device) if len(taxa) else np.full(len(queries), -1)
    scores = {
        "taxon": (names[nearest], _similarity(queries, taxa, nearest)),
        "label": (predicted, _similarity(queries, taxa, answered)),
    }
    if queries.space == "lorentz":
        deepest = _deepest_cones(queries, taxa, aperture)
        scores["cone"] = predicted, _depth(queries, taxa, answered, aperture)
        scores["cone argmax"] = names[deepest], _depth(queries, taxa, deepest, aperture)
    return scores


def _depth(queries: Embeddings, taxa: Embeddings, index: np.ndarray, aperture: float) -> np.ndarray:
    """omega - phi (Q,), radians, of each query in the cone of its taxon; -inf where `index` is
    negative."""
    c = float(queries.curvature)
    result = np.full(len(queries), -np.inf)
    paired = np.flatnonzero(index >= 0)
    for rows in _blocks(len(paired), queries.tangent.shape[1]):
        own = paired[rows]
        apexes = taxa.points(index[own])
        result[own] = L.half_aperture(apexes, c, aperture) - L.exterior_angle(
            apexes, queries.points(own), c
        )
    return result


def _deepest_cones(queries: Embeddings, taxa: Embeddings, aperture: float) -> np.ndarray:
    """The taxon (Q,) in whose cone each query lies deepest, the first of equals; -1 without
    taxa."""
    result = np.full(len(queries), -1)
    if not len(taxa):
        return result
    c, apexes = float(queries.curvature), taxa.points()
    half = L.half_aperture(apexes, c, aperture)[:, None]
    for rows in _blocks(len(queries), len(taxa)):
        result[rows] = (
            (half - L.pairwise_exterior_angle(apexes, queries.points(rows), c))
            .numpy()
            .argmax(axis=0)
        )
    return result
