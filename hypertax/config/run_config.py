"""What a run is: one frozen dataclass whose fields are the notebooks' parameters, and the two
presets that fill them."""

from __future__ import annotations

import ast
import math
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

from hypertax.config.recipes import RECIPES
from hypertax.geometry.nested_cones import widest_cone

LEAST_WIDEST = 30.0
"""Degrees; narrower than this, a specimen's whole lineage would be drawn together into next to
nothing."""
SPACES = ("euclidean", "lorentz")
ENTAILMENTS = ("none", "pair", "stacked", "cones")
TAXON_TABLE = "lineage"
"""The text encoder that is none: a learned vector per taxon; see
`hypertax.model.lineage_vectors`."""


@dataclass(frozen=True)
class RunConfig:
    """One training run. `RunConfig.create(preset, **parameters)` checks the values; a parameter
    left at None takes the preset's.

    Sources of the defaults: [A] the paper's abstract, [B] CLIBD, [C] a co-author's earlier code,
    [R] an independent re-implementation, [O] our own choice; see the README, "What is known of the
    paper".
    """

    recipe: str = "paper"
    """Name of the recipe (`hypertax.config.recipes`) that gave the parameters which were not
    given."""

    # Data
    dataset: str = "simulated"
    """`simulated`, `bioscan-1m`, or the path of a table of specimens."""
    data_seed: int = 0
    """Seed of the simulated data set, and of the split of a table that has none."""
    max_specimens: int = 0
    """Training specimens to use, 0 for all."""
    views: str = "image+dna"
    """What of a specimen is embedded beside its names: `image+dna` (whatever the data have of the
    two), `image` or `dna`."""

    # Objective
    space: str = "lorentz"
    """`euclidean` (cosine similarity) or `lorentz` (the hyperboloid)."""
    curvature: float = 1.0
    """Initial c of the hyperboloid of curvature -c [C]."""
    learn_curvature: bool = True
    """Learn log c, clamped to [c0/10, 10 c0] [C]; otherwise c stays where it is."""
    scale_with_curvature: bool = False
    """Divide the initial scales by sqrt(c), so that sqrt(c) x, and with it every angle, begins as
    at c = 1: otherwise a sweep of c is mostly one of the initial radius [O]."""
    contrastive_weight: float = 1.0
    """Weight of the contrastive loss; 0 leaves it out ("SEL alone")."""
    temperature: float = 0.07
    """Initial temperature of that loss, which is learned [B][C]."""
    taxon_weight: float = 0.0
    """Weight of the contrastive loss between specimens and the taxa of each rank, each taxon
    counted once [O]; 0 leaves it out."""
    taxon_scale: float = 8.0
    """Inverse temperature of that loss, held [O]."""
    entailment: str = "stacked"
    """`none`, `pair` (full text entails image and DNA, as MERU), `stacked` (the paper's) or `cones`
    (its deepest taxon entails a specimen, and radii are such that the cones of taxa nest; with
    `text_encoder` `lineage` [O])."""
    entailment_weight: float = 1.0
    """Weight of the entailment loss [R]: equal weights."""
    full_text: bool = True
    """Whether the full text takes part in the contrastive loss."""
    entailment_text: str = "rank"
    """Text of a taxon in the stacked loss: `rank` (its bare name [R]) or `cumulative` (the names
    from order down to it)."""
    entailment_negatives: bool = True
    """Whether pairs of different lineages count in the stacked loss [R]."""
    entailment_margin: float = 0.1
    """Margin of the negative pairs, radians [R]."""
    dna_image: str = "dna-contains-image"
    """Direction of the last pair of the inter-modal loss [R]: `dna-contains-image`,
    `image-contains-dna` or `none`."""
    axis_weight: float = 0.0
    """Weight, within the loss `cones`, of the mean exterior angle of specimens from their taxon: it
    pulls them to the axes also where they are inside the cones already [O]."""
    aperture: float = 0.1
    """K of the half-aperture asin(2K / (sqrt(c)|x|)) [R]."""
    cone_angle: float = 36.0
    """With `entailment` `cones`: half-angle, degrees, of a species' cone around its axis, before
    directions are drawn together; all wider cones follow from it [O]."""
    specimen_radius: float = 4.0
    """With `entailment` `cones`: sqrt(c) times the radius at which specimens are held [O]."""

    # Model
    preset: str = "tiny"
    """`tiny` (trained from scratch, minutes on a laptop) or `paper` (pretrained, GPUs)."""
    image_encoder: str = ""
    """A timm model's name, or a local folder with its `config.json` and `model.safetensors`."""
    dna_encoder: str = ""
    """`cnn`, `transformer` (both from scratch), or a transformers checkpoint's name or local
    folder."""
    text_encoder: str = ""
    """`transformer` (from scratch), a transformers checkpoint's name or local folder, or `lineage`:
    no encoder, but a learned vector per taxon, summed along the lineage [O]."""
    embed_dim: int = 0
    """Width of the shared space."""
    image_size: int = 0
    """Side of the images given to the encoder, pixels."""
    lora_rank: int = 0
    """Rank of the adapters on the encoders' attention layers, whose own weights then stay as they
    are; 0 is full fine-tuning [B][C]."""
    gradient_checkpointing: bool = False
    """Compute the encoders' activations again in the backward pass instead of keeping them: less
    memory, about a third more time."""
    compile: bool = False
    """Compile the encoders (`torch.compile`); needs a C++ compiler, on a GPU Triton."""

    # Training
    epochs: int = 0
    """At least; exactly, where it is given as a parameter and `steps` is not."""
    steps: int = 0
    """Optimiser steps to make at least, in whole epochs: the tiny preset passes over a small table
    more often than over a large one."""
    batch_size: int = 0
    """Specimens of one step, over all processes; the losses see them all at once."""
    micro_batch: int = 0
    """Specimens (and as many names) that pass the encoders at a time, in each process; 0 for all.
    It sets the memory; the gradients are the same but for rounding and for which numbers dropout
    draws."""
    learning_rate: float = 0.0
    """Peak of the one-cycle schedule."""
    image_rate: float = 1.0
    """Factor on the learning rate of the image encoder. From scratch and in few steps it wants a
    higher one than the other parts, which at that rate soon learn the species and unlearn what they
    knew of families: the tiny preset speeds it up [O]."""
    text_rate: float = 1.0
    """Factor on the learning rate of the text encoder. A name determines a species, so that a text
    encoder trained from scratch at the full rate soon tells all names apart and forgets which of
    them share a genus: the tiny preset slows it down [O]."""
    weight_decay: float = 0.0
    warmup: float = 0.3
    """Share of the steps in which the learning rate rises [B]."""
    optimizer: str = "adamw"
    """`adamw` [B] or `adam` [R]."""
    seed: int = 0
    device: str = "auto"
    """`auto`, `cpu`, `cuda` or `mps`."""
    precision: str = "no"
    """Of the encoders: `no` (fp32) or `bf16`; the geometry is always fp32."""
    workers: int = 0
    """Processes that prepare batches beside each training process; 0: it prepares its own."""
    checkpoint_steps: int = 0
    """Steps between checkpoints within an epoch, whose end always writes one; 0: only there."""
    threads: int = 0
    """CPU threads, 0 for all. The tiny preset uses one, so that its numbers do not depend on the
    number of cores."""

    @classmethod
    def create(cls, preset: str = "tiny", **parameters: Any) -> RunConfig:
        """A checked configuration.

        Raises:
            ValueError: one sentence naming the parameter, the value given and what is allowed.
        """
        if preset not in PRESETS:
            raise ValueError(_sentence("preset", preset, f"one of {_options(PRESETS)}"))
        known = {field.name for field in fields(cls)}
        unknown = sorted(set(parameters) - known)
        if unknown:
            raise ValueError(
                f"{unknown[0]} is not a parameter of a run; the parameters are"
                f" {', '.join(sorted(known))}."
            )
        given = {name: value for name, value in parameters.items() if value is not None}
        if "epochs" in given:
            given.setdefault("steps", 0)
        recipe = given.get("recipe", "paper")
        if recipe not in RECIPES:
            raise ValueError(_sentence("recipe", recipe, f"one of {_options(RECIPES)}"))
        config = cls(preset=preset, **{**PRESETS[preset], **RECIPES[recipe].of(preset), **given})
        config._check()
        if config.space == "euclidean":
            return replace(config, **_EUCLIDEAN)
        # Radii that are given are given in units of 1/sqrt(c): a learned c would be a change of
        # units.
        return (
            replace(config, learn_curvature=False, scale_with_curvature=False)
            if config.nested
            else config
        )

    def _check(self) -> None:
        for name, allowed in _CHOICES.items():
            if getattr(self, name) not in allowed:
                raise ValueError(
                    _sentence(name, getattr(self, name), f"one of {_options(allowed)}")
                )
        for name, (low, high, kind) in _RANGES.items():
            value = getattr(self, name)
            right_type = isinstance(
                value, int if kind == "a whole number" else (int, float)
            ) and not isinstance(value, bool)
            if not right_type or not math.isfinite(value) or not low <= value <= high:
                limit = (
                    f"{kind} from {low:g} to {high:g}"
                    if high < math.inf
                    else f"{kind} of at least {low:g}"
                )
                raise ValueError(_sentence(name, value, limit))
        for name in (
            "learn_curvature",
            "scale_with_curvature",
            "full_text",
            "entailment_negatives",
            "gradient_checkpointing",
            "compile",
        ):
            if not isinstance(getattr(self, name), bool):
                raise ValueError(_sentence(name, getattr(self, name), "True or False"))
        for name in ("dataset", "image_encoder", "dna_encoder", "text_encoder"):
            if not isinstance(getattr(self, name), str) or not getattr(self, name):
                raise ValueError(_sentence(name, getattr(self, name), "a name or a path"))
        if self.space == "euclidean" and self.entailment != "none":
            raise ValueError(
                "entailment must be 'none' in the Euclidean space, whose points have no cones."
            )
        if (
            not self.contrastive_weight
            and not self.taxon_weight
            and (self.entailment == "none" or self.entailment_weight == 0)
        ):
            raise ValueError(
                "contrastive_weight must be above 0 where there is no entailment loss, or"
                " nothing is learned."
            )
        if self.text_encoder == TAXON_TABLE:
            if self.full_text and self.contrastive_weight:
                raise ValueError(
                    f"full_text must be False with text_encoder {TAXON_TABLE!r}, which has no"
                    " vector for a full text."
                )
            if self.entailment not in ("none", "cones"):
                raise ValueError(
                    f"entailment must be 'none' or 'cones' with text_encoder {TAXON_TABLE!r},"
                    f" not {self.entailment!r}."
                )
        if self.nested:
            self._check_cones()

    def _check_cones(self) -> None:
        """The taxa have vectors of their own, and specimens see a cone as wide as four ranks
        need."""
        if self.text_encoder != TAXON_TABLE:
            raise ValueError(
                f"text_encoder must be {TAXON_TABLE!r} with entailment 'cones', not"
                f" {self.text_encoder!r}."
            )
        widest = math.degrees(widest_cone(self.specimen_radius, self.aperture))
        if widest < LEAST_WIDEST:
            raise ValueError(
                f"specimen_radius {self.specimen_radius:g} and aperture {self.aperture:g} leave"
                f" cones a half-angle of at most {widest:.1f}"
                f" degrees: raise the one or lower the other until it is {LEAST_WIDEST:g} at least."
            )

    @property
    def nested(self) -> bool:
        """Whether radii follow from what descendants need, so that cones nest."""
        return self.space == "lorentz" and self.entailment == "cones"

    @property
    def projected(self) -> int:
        """Width of what encoders are projected to: nested cones keep one dimension of the shared
        space for the root's direction."""
        return self.embed_dim - self.nested

    @property
    def method(self) -> str:
        """Readable name of the space and the objective or recipe, `hyperbolic-cl-sel`, the same for
        every seed."""
        space = "euclidean" if self.space == "euclidean" else "hyperbolic"
        if self.recipe != "paper":
            return f"{space}-{self.recipe}" + (
                "" if self.views == "image+dna" else f"-{self.views}"
            )
        terms = ["cl"] if self.contrastive_weight else []
        terms += {"none": [], "pair": ["el"], "stacked": ["sel"], "cones": ["cones"]}[
            self.entailment
        ]
        name = "-".join([space, *terms])
        name += "" if self.full_text or not self.contrastive_weight else "-notext"
        return name if self.views == "image+dna" else f"{name}-{self.views}"

    def to_dict(self) -> dict[str, Any]:
        """Plain values, as written to a run's `config.yaml`."""
        return asdict(self)


_CHOICES = {
    "views": ("image+dna", "image", "dna"),
    "space": SPACES,
    "entailment": ENTAILMENTS,
    "entailment_text": ("rank", "cumulative"),
    "dna_image": ("dna-contains-image", "image-contains-dna", "none"),
    "optimizer": ("adamw", "adam"),
    "precision": ("no", "bf16"),
    "device": ("auto", "cpu", "cuda", "mps"),
}
_WHOLE, _NUMBER = "a whole number", "a number"
_RANGES = {
    "curvature": (1e-3, 1e3, _NUMBER),
    "contrastive_weight": (0, math.inf, _NUMBER),
    "entailment_weight": (0, math.inf, _NUMBER),
    "temperature": (0.01, 10, _NUMBER),
    "taxon_weight": (0, math.inf, _NUMBER),
    "taxon_scale": (1e-3, 1e3, _NUMBER),
    "axis_weight": (0, math.inf, _NUMBER),
    "cone_angle": (1, 90, _NUMBER),
    "specimen_radius": (0.1, 12, _NUMBER),
    "entailment_margin": (0, math.pi, _NUMBER),
    "aperture": (1e-3, 10, _NUMBER),
    "embed_dim": (2, math.inf, _WHOLE),
    "image_size": (16, math.inf, _WHOLE),
    "lora_rank": (0, 1024, _WHOLE),
    "epochs": (1, math.inf, _WHOLE),
    "steps": (0, math.inf, _WHOLE),
    "batch_size": (2, math.inf, _WHOLE),
    "micro_batch": (0, math.inf, _WHOLE),
    "workers": (0, math.inf, _WHOLE),
    "checkpoint_steps": (0, math.inf, _WHOLE),
    "learning_rate": (1e-8, 1, _NUMBER),
    "image_rate": (0, 10, _NUMBER),
    "text_rate": (0, 10, _NUMBER),
    "weight_decay": (0, 1, _NUMBER),
    "warmup": (0, 1, _NUMBER),
    "seed": (0, 2**31, _WHOLE),
    "data_seed": (0, 2**31, _WHOLE),
    "max_specimens": (0, math.inf, _WHOLE),
    "threads": (0, math.inf, _WHOLE),
}
# What has no meaning in the Euclidean space is set to one value, so that two equal runs have equal
# configurations.
_EUCLIDEAN = {
    "curvature": 1.0,
    "learn_curvature": False,
    "scale_with_curvature": False,
    "entailment_weight": 1.0,
    "entailment_text": "rank",
    "entailment_negatives": True,
    "entailment_margin": 0.1,
    "dna_image": "dna-contains-image",
    "aperture": 0.1,
    "axis_weight": 0.0,
    "cone_angle": 36.0,
    "specimen_radius": 4.0,
}
PRESETS: dict[str, dict[str, Any]] = {
    "tiny": {
        "image_encoder": "tiny-convnext",
        "dna_encoder": "cnn",
        "text_encoder": "transformer",
        "embed_dim": 128,
        "image_size": 48,
        "epochs": 8,
        "steps": 700,
        "batch_size": 64,
        "learning_rate": 1e-3,
        "image_rate": 3.0,
        "text_rate": 0.1,
        "weight_decay": 1e-4,
        "threads": 1,
    },
    # Batch, optimiser and precision are CLIBD's [B]; names of the encoders [B][C]. The micro-batch
    # fits a GPU of 80 GB [O].
    "paper": {
        "image_encoder": "vit_base_patch16_224.augreg_in21k",
        "dna_encoder": "bioscan-ml/BarcodeBERT",
        "text_encoder": "prajjwal1/bert-small",
        "embed_dim": 768,
        "image_size": 224,
        "epochs": 50,
        "batch_size": 2000,
        "micro_batch": 250,
        "workers": 8,
        "checkpoint_steps": 100,
        "learning_rate": 5e-5,
        "weight_decay": 1e-4,
        "precision": "bf16",
    },
}


def parse_value(text: str) -> Any:
    """A parameter's value as typed on a command line: a number, True, False or None where it reads
    as one, otherwise the text itself."""
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text


def _options(names) -> str:
    names = [f"'{name}'" for name in names]
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} or {names[-1]}"


def _sentence(name: str, value: Any, allowed: str) -> str:
    return f"{name} must be {allowed}, not {value!r}."
