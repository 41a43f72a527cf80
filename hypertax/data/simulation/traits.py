"""The looks of a species: traits that evolve by Brownian motion on the species tree, around a body
plan for each order."""

from __future__ import annotations

import numpy as np

from hypertax.data.simulation.body_plans import BODY_PLANS
from hypertax.data.simulation.tree import Node

TRAIT_RATE = 1.8
"""Image difficulty, 1 of 3: standard deviation (on the logit scale) that a trait of rate 1 gathers
in the whole age of the tree. More makes families, genera and species easier to tell apart."""
SPECIES_RATE = 2.6
"""Image difficulty, 2 of 3: factor on the rate within genera. More makes congeners easier to tell
apart, families and genera not."""
WITHIN_SPECIES = 0.02
"""Image difficulty, 3 of 3: standard deviation (logit scale) between specimens of one species. More
makes species harder."""

# Lowest and highest value, and relative rate of evolution: body plans change slowly, colours and
# patterns fast. Lengths are in lengths of the thorax.
TRAITS: dict[str, tuple[float, float, float]] = {
    "thorax_width": (0.35, 0.95, 0.6),
    "thorax_height": (0.4, 1.25, 0.6),
    "pronotum": (0.1, 0.75, 0.6),
    "head_size": (0.32, 0.85, 0.6),
    "eye_size": (0.25, 0.85, 0.8),
    "rostrum": (0.0, 0.9, 0.6),
    "abdomen_length": (0.7, 3.0, 0.8),
    "abdomen_width": (0.25, 1.0, 0.8),
    "abdomen_point": (0.0, 1.0, 0.8),
    "waist": (0.0, 1.0, 0.4),
    "tail": (0.0, 1.2, 0.9),
    "elytra": (0.0, 1.0, 0.3),
    "wing_length": (0.8, 3.8, 0.7),
    "wing_width": (0.14, 0.75, 0.7),
    "wing_point": (0.0, 1.0, 0.8),
    "wing_opacity": (0.1, 1.0, 0.6),
    "wing_spread": (0.0, 1.0, 0.5),
    "hind_wing": (0.0, 1.0, 0.3),
    "vein_strength": (0.0, 1.0, 0.8),
    "wing_bands": (0.0, 1.0, 1.8),
    "wing_band_place": (0.25, 0.85, 1.5),
    "wing_spots": (0.0, 1.0, 1.6),
    "wing_tip_dark": (0.0, 1.0, 1.6),
    "leg_length": (0.7, 2.8, 0.7),
    "leg_thickness": (0.03, 0.15, 0.7),
    "hind_femur": (0.0, 1.0, 0.6),
    "leg_rings": (0.0, 1.0, 1.4),
    "antenna_length": (0.25, 2.8, 0.8),
    "antenna_thickness": (0.012, 0.07, 0.7),
    "antenna_club": (0.0, 1.0, 0.9),
    "antenna_plume": (0.0, 1.0, 0.6),
    "bristles": (0.0, 1.0, 0.7),
    "gloss": (0.0, 1.0, 0.8),
    # Hue in turns, from red through yellow to green; lightness and saturation as in HSL.
    "thorax_hue": (0.0, 0.24, 1.6),
    "thorax_saturation": (0.1, 0.68, 1.4),
    "thorax_lightness": (0.06, 0.58, 1.6),
    "abdomen_hue": (0.0, 0.24, 1.6),
    "abdomen_saturation": (0.1, 0.68, 1.4),
    "abdomen_lightness": (0.06, 0.62, 1.6),
    "head_lightness": (0.05, 0.5, 1.2),
    "leg_lightness": (0.08, 0.55, 1.4),
    "eye_red": (0.0, 1.0, 1.2),
    "metallic": (0.0, 1.0, 0.9),
    "wing_hue": (0.07, 0.14, 1.2),
    "wing_lightness": (0.15, 0.8, 1.2),
    "abdomen_bands": (0.0, 1.0, 1.8),
    "abdomen_stripe": (0.0, 1.0, 1.6),
    "abdomen_tip_dark": (0.0, 1.0, 1.6),
    "thorax_stripes": (0.0, 1.0, 1.6),
    "belly_pale": (0.0, 1.0, 1.2),
    "elytra_spots": (0.0, 1.0, 1.6),
    "elytra_band": (0.0, 1.0, 1.6),
}
_NAMES = list(TRAITS)
_LOW, _HIGH, _RATES = (np.array([TRAITS[name][k] for name in _NAMES]) for k in range(3))

_SELDOM = (
    "wing_bands",
    "wing_spots",
    "wing_tip_dark",
    "leg_rings",
    "metallic",
    "elytra_spots",
    "elytra_band",
    "thorax_stripes",
)
_AT_ORIGIN = 0.5
"""Standard deviation (logit scale, times the trait's rate) between an order's origin and its body
plan."""


def species_traits(tree: Node, *, seed: int) -> np.ndarray:
    """(species, traits) on the logit scale, species in the order of `tree.leaves()`, traits in that
    of `TRAITS`."""
    rng = np.random.default_rng([seed, 2])
    plans = [name for name in BODY_PLANS if name != "thrips"]
    plans = [*rng.permutation(plans), "thrips"]
    found: list[np.ndarray] = []
    orders = 0

    def visit(node: Node, traits: np.ndarray, parent_age: float, within_genus: bool) -> None:
        nonlocal orders
        if node.rank == "order":
            plan = plans[orders % len(plans)]
            orders += 1
            traits = _origin(plan) + rng.normal(size=len(_NAMES)) * _AT_ORIGIN * _RATES
        elif traits is not None:
            rate = TRAIT_RATE * _RATES * (SPECIES_RATE if within_genus else 1.0)
            traits = traits + rng.normal(size=len(_NAMES)) * rate * np.sqrt(
                (parent_age - node.age) / _AGE_UNIT
            )
        if not node.children:
            found.append(traits)
        for child in node.children:
            visit(child, traits, node.age, within_genus or node.rank == "genus")

    visit(tree, None, tree.age, False)
    return np.stack(found)


def specimen_traits(species: np.ndarray, rng: np.random.Generator) -> dict[str, float]:
    """The traits of one specimen, in their own units."""
    logits = species + rng.normal(size=len(_NAMES)) * WITHIN_SPECIES
    values = _LOW + (_HIGH - _LOW) / (1 + np.exp(-logits))
    return dict(zip(_NAMES, values.tolist()))


_AGE_UNIT = 60.0
"""Million years, about the age of an order's crown, in which a trait gathers the standard deviation
`TRAIT_RATE`."""


def _origin(plan: str) -> np.ndarray:
    share = np.array([0.2 if name in _SELDOM else 0.45 for name in _NAMES])
    for name, value in BODY_PLANS[plan].items():
        k = _NAMES.index(name)
        share[k] = (value - _LOW[k]) / (_HIGH[k] - _LOW[k])
    share = share.clip(0.02, 0.98)
    return np.log(share / (1 - share))
