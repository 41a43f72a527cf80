"""What a run is: one frozen dataclass. Each field is a parameter of the training notebooks, with
its limits, its default and its documentation."""

from __future__ import annotations

import math
from dataclasses import asdict, replace
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, ValidationError, model_validator
from pydantic.dataclasses import dataclass

from hypertax.config.agreement import ALIGNED, LEAST_WIDEST, TAXON_TABLE, require_agreement
from hypertax.config.devices import require_device
from hypertax.config.limits import (
    Flag,
    HyperbolicOnly,
    Name,
    Number,
    Whole,
    allowed,
    documented,
    euclidean_values,
    first_sentence,
    must_be,
)
from hypertax.config.parameters import notebook_parameters, refuse_unknown
from hypertax.config.presets import DEFAULT_PRESET, PRESETS
from hypertax.config.recipes import RECIPES

__all__ = ["ALIGNED", "LEAST_WIDEST", "PARAMETERS", "TAXON_TABLE", "RunConfig", "in_space"]


@dataclass(frozen=True, config=ConfigDict(extra="forbid", use_attribute_docstrings=True))
class RunConfig:
    """One training run. `RunConfig.create(preset, **parameters)` fills what was not given: a
    parameter left at None takes the recipe's or the preset's value.

    Sources of the defaults: [A] the paper's abstract, [B] CLIBD, [C] a co-author's earlier code,
    [R] an independent re-implementation, [O] our own choice; see the README, "What is known of the
    paper".
    """

    recipe: Literal[*RECIPES] = "paper"
    """Name of the recipe (`hypertax.config.recipes`) that gave the parameters which were not
    given."""

    # Data
    dataset: Name = "simulated"
    """`simulated`, `bioscan-1m`, or the path of a table of specimens."""
    data_seed: Annotated[Whole, Field(ge=0, le=2**31)] = 0
    """Seed of the simulated data set, and of the split of a table that has none."""
    max_specimens: Annotated[Whole, Field(ge=0)] = 0
    """Training specimens to use, 0 for all."""
    views: Literal["image+dna", "image", "dna"] = "image+dna"
    """What of a specimen is embedded beside its names: `image+dna` (whatever the data have of the
    two), `image` or `dna`."""

    # Objective
    space: Literal["euclidean", "lorentz"] = "lorentz"
    """`euclidean` (cosine similarity) or `lorentz` (the hyperboloid)."""
    curvature: Annotated[Number, Field(ge=1e-3, le=1e3), HyperbolicOnly()] = 1.0
    """Initial c of the hyperboloid of curvature -c [C]."""
    learn_curvature: Annotated[Flag, HyperbolicOnly(False)] = True
    """Learn log c, clamped to [c0/10, 10 c0] [C]; otherwise c stays where it is."""
    scale_with_curvature: Annotated[Flag, HyperbolicOnly()] = False
    """Divide the initial scales by sqrt(c), so that sqrt(c) x, and with it every angle, begins as
    at c = 1: otherwise a sweep of c is mostly one of the initial radius [O]."""
    contrastive_weight: Annotated[Number, Field(ge=0)] = 1.0
    """Weight of the contrastive loss; 0 leaves it out ("SEL alone")."""
    temperature: Annotated[Number, Field(ge=0.01, le=10)] = 0.07
    """Initial temperature of that loss, which is learned [B][C]."""
    taxon_weight: Annotated[Number, Field(ge=0)] = 0.0
    """Weight of the contrastive loss between specimens and the taxa of each rank, each taxon
    counted once [O]; 0 leaves it out."""
    taxon_scale: Annotated[Number, Field(ge=1e-3, le=1e3)] = 8.0
    """Inverse temperature of that loss, held [O]."""
    divergence_weight: Annotated[Number, Field(ge=0)] = 0.0
    """Weight of the loss that makes distances of barcodes follow the divergence of their aligned
    reads [O]; 0 leaves it out."""
    entailment: Literal["none", "pair", "stacked", "cones"] = "stacked"
    """`none`, `pair` (full text entails image and DNA, as MERU), `stacked` (the paper's) or `cones`
    (its deepest taxon entails a specimen, and radii are such that the cones of taxa nest; with
    `text_encoder` `lineage` [O])."""
    entailment_weight: Annotated[Number, Field(ge=0), HyperbolicOnly()] = 1.0
    """Weight of the entailment loss [R]: equal weights."""
    full_text: Flag = True
    """Whether the full text takes part in the contrastive loss."""
    entailment_text: Annotated[Literal["rank", "cumulative"], HyperbolicOnly()] = "rank"
    """Text of a taxon in the stacked loss: `rank` (its bare name [R]) or `cumulative` (the names
    from order down to it)."""
    entailment_negatives: Annotated[Flag, HyperbolicOnly()] = True
    """Whether pairs of different lineages count in the stacked loss [R]."""
    entailment_margin: Annotated[Number, Field(ge=0, le=math.pi), HyperbolicOnly()] = 0.1
    """Margin of the negative pairs, radians [R]."""
    dna_image: Annotated[
        Literal["dna-contains-image", "image-contains-dna", "none"], HyperbolicOnly()
    ] = "dna-contains-image"
    """Direction of the last pair of the inter-modal loss [R]: `dna-contains-image`,
    `image-contains-dna` or `none`."""
    axis_weight: Annotated[Number, Field(ge=0), HyperbolicOnly()] = 0.0
    """Weight, within the loss `cones`, of the mean exterior angle of specimens from their taxon: it
    pulls them to the axes also where they are inside the cones already [O]."""
    one_radius: Annotated[Flag, HyperbolicOnly(False)] = False
    """Hold the specimens of a modality at one radius, which is learned: the norm of what an encoder
    gives would otherwise tell a barcode's length and composition [O]."""
    aperture: Annotated[Number, Field(ge=1e-3, le=10), HyperbolicOnly()] = 0.1
    """K of the half-aperture asin(2K / (sqrt(c)|x|)) [R]."""
    cone_angle: Annotated[Number, Field(ge=1, le=90), HyperbolicOnly()] = 36.0
    """With `entailment` `cones`: half-angle, degrees, of a species' cone around its axis, before
    directions are drawn together; all wider cones follow from it [O]."""
    specimen_radius: Annotated[Number, Field(ge=0.1, le=12), HyperbolicOnly()] = 4.0
    """With `entailment` `cones`: sqrt(c) times the radius at which specimens are held [O]."""

    # Model
    preset: Literal[*PRESETS] = DEFAULT_PRESET
    """`laptop` (strong starts: ImageNet features and aligned barcodes), `tiny` (all from scratch)
    or `paper` (pretrained, GPUs)."""
    image_encoder: Name = ""
    """`efficientnet_lite0` (ImageNet weights from a package), a timm model's name, or a local folder
    with its `config.json` and `model.safetensors`."""
    cached_views: Annotated[Whole, Field(ge=0, le=64)] = 0
    """Views of each photograph whose features the image encoder, frozen, gives once and keeps; 0:
    the encoder is trained, and sees new views in every epoch."""
    dna_encoder: Name = ""
    """`aligned` (aligned bases and a closed-form projection that is learned on), `cnn`,
    `transformer` (both from scratch), or a transformers checkpoint's name or local folder."""
    align_barcodes: Flag = False
    """Align barcodes to a profile of the training barcodes before any DNA encoder reads them, as
    `aligned` always does."""
    text_encoder: Name = ""
    """`transformer` (from scratch), a transformers checkpoint's name or local folder, or `lineage`:
    no encoder, but a learned vector per taxon, summed along the lineage [O]."""
    embed_dim: Annotated[Whole, Field(ge=2)] = 0
    """Width of the shared space."""
    image_size: Annotated[Whole, Field(ge=16)] = 0
    """Side of the images given to the encoder, pixels."""
    lora_rank: Annotated[Whole, Field(ge=0, le=1024)] = 0
    """Rank of the adapters on the encoders' attention layers, whose own weights then stay as they
    are; 0 is full fine-tuning [B][C]."""
    gradient_checkpointing: Flag = False
    """Compute the encoders' activations again in the backward pass instead of keeping them: less
    memory, about a third more time."""
    compile: Flag = False
    """Compile the encoders (`torch.compile`); needs a C++ compiler, on a GPU Triton."""

    # Training
    epochs: Annotated[Whole, Field(ge=1)] = 0
    """At least; exactly, where it is given as a parameter and `steps` is not."""
    steps: Annotated[Whole, Field(ge=0)] = 0
    """Optimiser steps to make at least, in whole epochs: the tiny preset passes over a small table
    more often than over a large one."""
    batch_size: Annotated[Whole, Field(ge=2)] = 0
    """Specimens of one step, over all processes; the losses see them all at once."""
    micro_batch: Annotated[Whole, Field(ge=0)] = 0
    """Specimens (and as many names) that pass the encoders at a time, in each process; 0 for all.
    It sets the memory; the gradients are the same but for rounding and for which numbers dropout
    draws."""
    learning_rate: Annotated[Number, Field(ge=1e-8, le=1)] = 0.0
    """Peak of the one-cycle schedule."""
    image_rate: Annotated[Number, Field(ge=0, le=10)] = 1.0
    """Factor on the learning rate of the image encoder. From scratch and in few steps it wants a
    higher one than the other parts, which at that rate soon learn the species and unlearn what they
    knew of families: the tiny preset speeds it up [O]."""
    dna_rate: Annotated[Number, Field(ge=0, le=10)] = 1.0
    """Factor on the learning rate of the DNA encoder and its projection. One that starts from
    aligned barcodes has much to lose at the rate of the other parts [O]."""
    text_rate: Annotated[Number, Field(ge=0, le=10)] = 1.0
    """Factor on the learning rate of the text encoder. A name determines a species, so that a text
    encoder trained from scratch at the full rate soon tells all names apart and forgets which of
    them share a genus: the tiny preset slows it down [O]."""
    weight_decay: Annotated[Number, Field(ge=0, le=1)] = 0.0
    """Decay of the weight matrices; scales, norms and biases have none."""
    warmup: Annotated[Number, Field(ge=0, le=1)] = 0.3
    """Share of the steps in which the learning rate rises [B]."""
    optimizer: Literal["adamw", "adam"] = "adamw"
    """`adamw` [B] or `adam` [R]."""
    seed: Annotated[Whole, Field(ge=0, le=2**31)] = 0
    """Seed of the initial weights, the order of specimens, the views and dropout."""
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    """`auto`, `cpu`, `cuda` or `mps`."""
    precision: Literal["no", "bf16"] = "no"
    """Precision of the encoders: `no` (fp32) or `bf16`; the geometry is always fp32."""
    workers: Annotated[Whole, Field(ge=0)] = 0
    """Processes that prepare batches beside each training process; 0: it prepares its own."""
    checkpoint_steps: Annotated[Whole, Field(ge=0)] = 0
    """Steps between checkpoints within an epoch, whose end always writes one; 0: only there."""
    threads: Annotated[Whole, Field(ge=0)] = 0
    """CPU threads, 0 for all. The tiny preset uses one, so that its numbers do not depend on the
    number of cores."""

    @classmethod
    def create(cls, preset: str = DEFAULT_PRESET, **parameters: Any) -> RunConfig:
        """A checked configuration.

        Raises:
            ValueError: one sentence naming the parameter, the value given and what is allowed.
        """
        if preset not in list(PRESETS):
            raise ValueError(must_be("preset", preset, allowed(PARAMETERS["preset"])))
        refuse_unknown(sorted(parameters), PARAMETERS, "a run")
        given = {name: value for name, value in parameters.items() if value is not None}
        if "epochs" in given:
            given.setdefault("steps", 0)
        recipe = given.get("recipe", "paper")
        if recipe not in list(RECIPES):
            raise ValueError(must_be("recipe", recipe, allowed(PARAMETERS["recipe"])))
        filled = {**PRESETS[preset], **RECIPES[recipe].of(preset), **given}
        config = cls.from_dict({"preset": preset, **filled})
        if config.space == "euclidean":
            return replace(config, **euclidean_values(PARAMETERS))
        # Radii that are given are given in units of 1/sqrt(c): a learned c would be a change of
        # units.
        return (
            replace(config, learn_curvature=False, scale_with_curvature=False)
            if config.nested
            else config
        )

    @classmethod
    def from_notebook(
        cls, namespace: dict[str, Any], *, space: str, also: tuple[str, ...] = ()
    ) -> RunConfig:
        """The configuration that a training notebook's variables give. A variable that has a
        parameter's name is that parameter; None leaves it to the recipe or the preset.

        Args:
            namespace: the notebook's `globals()`. space: the space that the notebook trains in.
            also: the notebook's own parameters, which are none of a run.

        Raises:
            ValueError: one sentence naming the parameter, what is allowed, and the nearest name
            where there is no such parameter; or that the device is not there.
        """
        known = [name for name in PARAMETERS if name != "space"]
        own, injected = notebook_parameters(namespace)
        refuse_unknown([*own, *injected], [*known, *also], "this notebook")
        given = {name: namespace[name] for name in known if namespace.get(name) is not None}
        config = cls.create(given.pop("preset", DEFAULT_PRESET), **{**in_space(space), **given})
        require_device(config.device)
        return config

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> RunConfig:
        """The configuration that `to_dict` gave, as a run's `config.yaml` holds it.

        Raises:
            ValueError: one sentence naming the parameter, the value given and what is allowed.
        """
        try:
            return cls(**values)
        except ValidationError as error:
            raise ValueError(first_sentence(error, PARAMETERS)) from None

    @model_validator(mode="after")
    def _fits_together(self) -> RunConfig:
        require_agreement(self)
        return self

    @property
    def aligns(self) -> bool:
        """Whether barcodes are aligned to a profile before they are read."""
        return self.align_barcodes or self.dna_encoder == ALIGNED

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


PARAMETERS = RunConfig.__pydantic_fields__
"""By name: a parameter's limits, default and documentation."""


def in_space(space: str) -> dict[str, Any]:
    """The parameters that a space fixes: in Euclidean space there are no cones."""
    return {"space": space, **({"entailment": "none"} if space == "euclidean" else {})}


RunConfig.__doc__ = f"{RunConfig.__doc__}\n    Parameters:\n{documented(PARAMETERS)}\n"
