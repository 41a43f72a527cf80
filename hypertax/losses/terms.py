"""The loss terms: the name of each in a run's `history.csv`, and how figures label it.

This is the one list of terms. `hypertax.training.objective` computes them; figures read it.
"""

TERM_LABELS: dict[str, str] = {
    "loss": "total loss",
    "contrastive": "contrastive (CL)",
    "taxon_contrastive": "contrastive with taxa",
    "pair_entailment": "entailment (EL)",
    "intra": "stacked, intra",
    "inter": "stacked, inter",
    "inside": "cones, angle outside",
    "axis": "cones, angle off axis",
    "divergence": "divergence of barcodes",
}
"""Column of `history.csv` to label, in the order in which figures draw them.

`loss` is the weighted sum of the others. The five before the last are angles in radians; the last
is a mean squared relative error.
"""
