"""Answers: a row for each query, with its lineage, probabilities, decision and remarks."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from hypertax.identify.evidence import Evidence
from hypertax.identify.flags import FLAGS
from hypertax.taxonomy import RANKS

ANSWER_COLUMNS = (
    "materialSampleID",
    "taxonRank",
    "scientificName",
    "identificationQualifier",
    *[column for rank in RANKS for column in (rank, f"{rank}Probability")],
    "newSpeciesProbability",
    "nearestReference",
    "nearestDistance",
    "nearestDifference",
    "nearestBin",
    "nextBestSpecies",
    "nextBestDifference",
    "evidence",
    "agreement",
    "flags",
    "identificationRemarks",
)
"""Columns of the answers, in Darwin Core's terms where there are any; see docs/how-to/read-the-report.md."""

LEAST_PROBABILITY = 0.5


def decided(
    probability: np.ndarray, taxon: np.ndarray, thresholds: dict[str, float], deepest: str
) -> np.ndarray:
    """How many ranks are answered, (Q,), from none (0) to species (4).

    Args:
        probability: (Q, 4) of the ranks. taxon: (Q, 4), negative without an answer. thresholds: by rank.
            deepest: the deepest rank that may be answered.
    """
    depth = np.zeros(len(taxon), dtype=int)
    going = np.ones(len(taxon), dtype=bool)
    for place, rank in enumerate(RANKS[: RANKS.index(deepest) + 1]):
        named = taxon[:, place] >= 0
        # An answer is more likely right than wrong, whatever the precision that was asked for.
        passed = probability[:, place] >= max(thresholds[rank], LEAST_PROBABILITY)
        # A rank that the lineage lacks stops nobody.
        going &= passed | ~named
        depth[going & named] = place + 1
    return depth


def answer_rows(
    ids: Sequence[str],
    names: np.ndarray,
    probability: np.ndarray,
    depth: np.ndarray,
    evidence: Evidence,
    library: pd.DataFrame,
    differences: tuple[np.ndarray, np.ndarray],
    spoke: np.ndarray,
    agreement: np.ndarray,
    flags: list[list[str]],
    remarks: list[str],
) -> pd.DataFrame:
    """The table of answers.

    Args:
        ids: Q identifiers. names: (Q, 4) objects, None without one. probability: (Q, 5), the last that the
            species is new. depth: (Q,) of `decided`. evidence: of the queries. library: the references' table.
            differences: two arrays of `features`. spoke: (Q,) "dna", "image", "image+dna" or None.
            agreement: (Q,) objects. flags: codes of each query. remarks: further text of each.

    Returns:
        Q rows, columns `ANSWER_COLUMNS`; all text but the numbers, NA where there is none.
    """
    count = len(ids)
    rows: dict[str, object] = {"materialSampleID": list(ids)}
    at = np.arange(count)
    has = depth > 0
    rank_names = np.array(RANKS, dtype=object)
    rows["taxonRank"] = np.where(has, rank_names[np.maximum(depth, 1) - 1], None)
    rows["scientificName"] = np.where(has, names[at, np.maximum(depth, 1) - 1], None)
    rows["identificationQualifier"] = [_qualifier(d) for d in depth]
    for place, rank in enumerate(RANKS):
        named = np.array([name is not None for name in names[:, place]], dtype=bool)
        rows[rank] = names[:, place]
        rows[f"{rank}Probability"] = np.where(named, probability[:, place].round(4), np.nan)
    seen = evidence.nearest >= 0
    rows["newSpeciesProbability"] = np.where(seen, probability[:, 4].round(4), np.nan)
    nearest, other = np.maximum(evidence.nearest, 0), np.maximum(evidence.other, 0)

    def of_library(column: str, index: np.ndarray, known: np.ndarray) -> np.ndarray:
        return np.where(known, library[column].to_numpy(dtype=object)[index], None)

    rows["nearestReference"] = of_library("sampleid", nearest, seen)
    distance = np.arccos(np.clip(np.where(seen, evidence.top, 1), -1, 1))
    rows["nearestDistance"] = np.where(seen, distance.round(4), np.nan)
    rows["nearestDifference"] = differences[0].round(4)
    rows["nearestBin"] = of_library("bin_uri", nearest, seen)
    rows["nextBestSpecies"] = of_library("species", other, evidence.other >= 0)
    rows["nextBestDifference"] = differences[1].round(4)
    rows["evidence"] = spoke
    rows["agreement"] = agreement
    rows["flags"] = [";".join(codes) or None for codes in flags]
    rows["identificationRemarks"] = [
        "; ".join([*(FLAGS[code] for code in codes), *filter(None, [text])]) or None
        for codes, text in zip(flags, remarks, strict=True)
    ]
    table = pd.DataFrame(rows, columns=list(ANSWER_COLUMNS))
    numbers = [c for c in ANSWER_COLUMNS if c.endswith(("Probability", "Distance", "Difference"))]
    texts = [c for c in ANSWER_COLUMNS if c not in numbers]
    return table.astype({**dict.fromkeys(texts, "str"), **dict.fromkeys(numbers, float)})


def _qualifier(depth: int) -> str | None:
    if depth == len(RANKS):
        return None
    return f"not below {RANKS[depth - 1]}" if depth else "not identified"
