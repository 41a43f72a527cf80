"""Named recipes: parameters that belong together, and why. `-p recipe nested` gives them; a
parameter given beside it takes precedence."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Recipe:
    """parameters: fields of `RunConfig`, instead of its defaults and the preset's. about: what they
    change and why, for a reader.

    tuned: by preset, what was settled for its encoders alone and says nothing of another's:
    learning rates.
    """

    about: str
    parameters: dict[str, Any] = field(default_factory=dict, hash=False)
    tuned: dict[str, dict[str, Any]] = field(default_factory=dict, hash=False)

    def of(self, preset: str) -> dict[str, Any]:
        """All that the recipe gives at a preset."""
        return {**self.parameters, **self.tuned.get(preset, {})}


_TAXA = {"taxon_weight": 1.0, "full_text": False, "entailment": "none"}
_LINEAGE = {**_TAXA, "text_encoder": "lineage", "text_rate": 10.0, "taxon_scale": 8.0}
_FASTER = {"tiny": {"learning_rate": 2e-3}}

RECIPES: dict[str, Recipe] = {
    "paper": Recipe(
        "The paper's objective as far as it is known: two views of one specimen attract each"
        " other and repel all others of the batch, in the"
        " Euclidean space by their cosine (CLIBD), in hyperbolic space by their distance and"
        " with the stacked entailment loss."
    ),
    "taxa": Recipe(
        "Specimens are contrasted with the taxa of each rank, every taxon of the batch once,"
        " instead of with the text of their own label:"
        " two specimens of one species no longer repel each other, and family and genus are"
        " learned, not only species. Learning can be"
        " faster: at the preset `tiny` it is twice as fast as the preset says.",
        {**_TAXA, "entailment_text": "cumulative"},
        _FASTER,
    ),
    "lineage": Recipe(
        "As `taxa`, with a learned vector per taxon, summed along the lineage, instead of an"
        " encoder of its name, and all training taxa as"
        " negatives. The temperature is held and soft: a sharp one, which training prefers,"
        " tells the seen species apart and forgets"
        " what places a new one.",
        _LINEAGE,
        _FASTER,
    ),
    "nested": Recipe(
        "As `lineage`, with cones that nest because of their radii: all directions are drawn"
        " together around a common one until every lineage"
        " fits into less than a half-space, which changes nobody's neighbours; a taxon's radius"
        " makes its cone as wide as its"
        " descendants need; all specimens have one radius, and the entailment loss pulls them"
        " into the cones of their species, which"
        " lie in those of its ancestors. Nothing can collapse, and no cone is a half-space. As"
        " far out as specimens are, distances differ more"
        " than cosines do: the temperature between image and DNA begins softer.",
        {
            **_LINEAGE,
            "temperature": 0.28,
            "entailment": "cones",
            "entailment_weight": 0.3,
            "aperture": 0.02,
        },
        _FASTER,
    ),
    "divergence": Recipe(
        "Distances of barcodes follow how far the barcodes have diverged: the share of unequal"
        " bases of two aligned reads, corrected after Jukes and Cantor. In the Euclidean space it"
        " is the distance of vectors that are not normalised, in hyperbolic space that of points"
        " whose radius is free. How much distance one substitution a site is, is learned. Labels"
        " have no part in it; photographs come to their barcodes by the contrastive loss. The"
        " epoch is chosen by accuracy and by the distances' error, half each.",
        {
            "divergence_weight": 1.0,
            "align_barcodes": True,
            "full_text": False,
            "entailment": "none",
            "one_radius": False,
        },
        {"laptop": {"dna_rate": 1.0}},
    ),
}
