"""The endpoints: what is asked of the hyperbolic rows, settled before test queries are read
(docs/endpoints.md says the same in words)."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from hypertax.evaluation.bootstrap import BETTER, FEW, WORSE

ACCURACY = "accuracy"
ROWS = ("hyperbolic-cl-sel", "hyperbolic-nested", "hyperbolic-nested-tuned")
"""The hyperbolic rows that are asked, where the group has them: the paper's, the recommended one, and
that at the best of its trials."""
BASELINES = ("vsearch", "dna-start", "frozen-features")
"""What they are compared with beside the strongest Euclidean row."""
CHANCE = 0.05
"""The share of 95 % intervals that exclude zero where there is no difference."""


@dataclass(frozen=True)
class Endpoint:
    """One number that is compared.

    Args:
        question: in words. pairing: as in `hypertax.evaluation.protocol.PAIRINGS`.
        measure: `ACCURACY`, macro top-1, or one of the open world: "AUROC", "area", "coverage".
        group: of accuracies the split, "novel" for novel species; of the open world its group.
        rank: of the names that are asked.
    """

    question: str
    pairing: str
    measure: str
    group: str
    rank: str


ENDPOINTS = (
    Endpoint("unseen species", "DNA to DNA", ACCURACY, "unseen", "species"),
    Endpoint("genus of novel species", "DNA to DNA", ACCURACY, "novel", "genus"),
    Endpoint("family of novel species", "DNA to DNA", ACCURACY, "novel", "family"),
    Endpoint("seen species", "image to DNA", ACCURACY, "seen", "species"),
    Endpoint("unseen species", "image to DNA", ACCURACY, "unseen", "species"),
    Endpoint("genus of novel species", "image to image", ACCURACY, "novel", "genus"),
    Endpoint("family of novel species", "image to image", ACCURACY, "novel", "family"),
    Endpoint("seen told from unseen species", "DNA to DNA", "AUROC", "all", "species"),
    Endpoint("area under precision and coverage, genus", "DNA to DNA", "area", "all", "genus"),
    Endpoint(
        "coverage, genus of novel species", "DNA to DNA", "coverage", "novel placeable", "genus"
    ),
)


def endpoint_differences(accuracies: pd.DataFrame, open_world: pd.DataFrame) -> pd.DataFrame:
    """The differences that answer the endpoints, in the endpoints' order.

    Args:
        accuracies: of `hypertax.evaluation.compare`.
        open_world: of `hypertax.evaluation.open_world.compare_open_world`.

    Returns:
        `question`, `pairing`, `measure`, `method`, `reference`, `difference`, `low`, `high`
        (shares), `verdict`, `queries`, `species`, `seeds`, `seeds_agreeing`; an endpoint that the
        data cannot answer has no row.
    """
    macro = accuracies[accuracies["average"] == "macro"]
    group = macro["split"].where(macro["protocol"] == "standard", "novel")
    cells = pd.concat(
        [macro.assign(measure=ACCURACY, group=group), open_world], ignore_index=True
    )
    parts = []
    for endpoint in ENDPOINTS:
        own = cells
        for name in ("pairing", "measure", "group", "rank"):
            own = own[own[name] == getattr(endpoint, name)]
        parts.append(own.assign(question=endpoint.question))
    kept = ["question", "pairing", "measure", "method", "reference", "difference", "low", "high"]
    kept += ["verdict", "queries", "species", "seeds", "seeds_agreeing"]
    return pd.concat(parts, ignore_index=True)[kept]


def endpoints_in_words(found: pd.DataFrame) -> str:
    """How many comparisons were made, how they fell, and what chance alone would give.

    found: of `endpoint_differences`.
    """
    judged = found[found["verdict"] != FEW]
    counts = judged["verdict"].value_counts()
    few = len(found) - len(judged)
    left_out = f" {few} more have too few species for an interval." if few else ""
    return (
        f"{len(judged)} comparisons: better in {counts.get(BETTER, 0)}, worse in"
        f" {counts.get(WORSE, 0)}, no difference shown in"
        f" {len(judged) - counts.get(BETTER, 0) - counts.get(WORSE, 0)}. Chance alone would mark"
        f" about {CHANCE * len(judged):.1f}, if they were independent.{left_out}"
    )
