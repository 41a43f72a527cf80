"""References that play queries, for the calibration."""

from __future__ import annotations

import numpy as np
import pandas as pd

from hypertax.identify.calibration import Calibration, calibrate
from hypertax.identify.evidence import Evidence, Searcher
from hypertax.identify.features import features
from hypertax.identify.reference import Library
from hypertax.identify.views import IMAGE_WEIGHTS, channels, codes_of, views_present
from hypertax.taxonomy import RANKS

MOST_HELD_OUT = 6000
MOST_TO_WEIGH = 1000


def calibrated(searcher: Searcher, library: Library, view: str, image_weight: float) -> Calibration:
    """What is learned from references held out alone, with their species and with their genera.

    References and species that a model was trained on (column `trained`) are not held out: it
    knows them too well.

    Args:
        searcher, library: the references. view: of `views.VIEWS`. image_weight: of photographs.
    """
    chosen = _held_out(library, view, MOST_HELD_OUT)
    if len(chosen) < 2:
        return calibrate({}, {})
    table = library.table
    species = searcher.groups["species"].of_rows()[chosen]
    genus = searcher.groups["genus"].of_rows()[chosen]
    of_species = table["species"].map(table["species"].value_counts())
    lonely = (of_species < 2).to_numpy()[chosen]
    trained = set(table["species"][table["trained"] == "yes"].dropna())
    learned = table["species"].isin(trained).to_numpy()[chosen]
    held, found = {}, {}
    for kind, (evidence, right) in _asked(searcher, library, chosen, view, image_weight).items():
        by_rank, _, _ = features(
            evidence, codes_of(view, library.codes[chosen]), library.codes
        )
        usable = (evidence.nearest >= 0) & ~(lonely if kind == "specimen" else learned)
        columns = {f"right_{rank}": right[:, depth] for depth, rank in enumerate(RANKS)}
        held[kind] = pd.DataFrame({"species": species, "genus": genus, **columns})[usable]
        found[kind] = {rank: part[usable] for rank, part in by_rank.items()}
    return calibrate(held, found)


def chosen_weight(searcher: Searcher, library: Library) -> float:
    """What photographs are worth beside barcodes: the weight with which most held-out references get the
    right species (counted twice), and the right genus where their species is held out; of equal
    ones the smallest."""
    chosen = _held_out(library, "image+dna", MOST_TO_WEIGH)
    if len(chosen) < 2:
        return IMAGE_WEIGHTS[0]
    scores = []
    for weight in IMAGE_WEIGHTS:
        asked = _asked(searcher, library, chosen, "image+dna", weight)
        scores.append(2 * asked["specimen"][1][:, 3].mean() + asked["species"][1][:, 2].mean())
    return IMAGE_WEIGHTS[int(np.argmax(np.round(scores, 6)))]


def _asked(
    searcher: Searcher, library: Library, chosen: np.ndarray, view: str, image_weight: float
) -> dict[str, tuple[Evidence, np.ndarray]]:
    """By kind of holding out the evidence of the chosen references, and whether each rank's answer is right,
    (N, 4)."""
    groups = searcher.groups
    hidden = {"specimen": [[slice(i, i + 1)] for i in chosen]}
    for rank in ("species", "genus"):
        one = groups[rank]
        hidden[rank] = [[slice(one.starts[g], one.stops[g])] for g in one.of_rows()[chosen]]
    own = {m: part[chosen] for m, part in library.vectors.items()}
    names = library.table[list(RANKS)].to_numpy(dtype=object)[chosen]
    found = {}
    for kind, slices in hidden.items():
        evidence = searcher.find(channels(view, own, library.vectors, image_weight), slices)
        answered = searcher.names(evidence)
        found[kind] = evidence, (answered == names) & (evidence.taxon >= 0)
    return found


def _held_out(library: Library, view: str, most: int) -> np.ndarray:
    """Up to `most` references with a name at genus and species and all that the view needs, dealt evenly to
    the species, sorted."""
    present = views_present(library.vectors)
    has = present["image+dna"] | (present[view] if view in present else False)
    table = library.table
    named = table["species"].notna() & table["genus"].notna() & (table["trained"] != "yes")
    rows = np.flatnonzero(has & named.to_numpy())
    order = rows[np.random.default_rng(0).permutation(len(rows))]
    species = table["species"].to_numpy(dtype=object)[order]
    turn = pd.Series(species).groupby(species).cumcount().to_numpy()
    return np.sort(order[np.argsort(turn, kind="stable")][:most])
