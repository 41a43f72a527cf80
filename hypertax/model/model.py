"""Encoders, projections and one space: the model, how it is made, saved and loaded."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pandas as pd
import torch
import yaml
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from hypertax.config.run_config import ALIGNED, RunConfig
from hypertax.data.barcodes.aligned import AlignedCodes
from hypertax.data.barcodes.alignment import Profile
from hypertax.data.barcodes.codes import BASES, KMER_LENGTH, KMER_SPECIALS, BarcodeCodes
from hypertax.data.barcodes.divergence import pairwise_divergence
from hypertax.data.batches import Batch, Specimens
from hypertax.data.taxon_index import TaxonIndex
from hypertax.files import atomic_path, write_text
from hypertax.geometry.nested_cones import nested_radii
from hypertax.geometry.spaces import CapSpace, EuclideanSpace, LorentzSpace
from hypertax.losses.divergence import best_scale
from hypertax.model import checked
from hypertax.model.encoders import build_encoders, prepare_encoder
from hypertax.model.lineage_vectors import UNKNOWN, TaxonTable, TaxonTokens
from hypertax.model.starts import (
    Starts,
    feature_width,
    features_of,
    projection_of,
    read_profile,
)
from hypertax.model.tokens import TextTokens

MODALITIES = ("image", "dna", "text")
MAX_LOGIT_SCALE = 100.0
LOG_DIVERGENCE_SCALES = (-10.0, 10.0)


class HypertaxModel(nn.Module):
    """One encoder and one linear projection per modality into a shared space, and the contrastive
    temperature.

    A `TaxonTable` needs no projection: its vectors are in the space already. `assemble_model` builds
    the encoders that a configuration names.

    Args:
        config: the space, its width, and the precision of the encoders.
        encoders: by `image`, `dna` and `text`, those that the data have: modules with `width` that
            map their inputs to (B, width).
        tokens: what the text encoder reads.
        profile: that barcodes are aligned to, None where the DNA encoder reads them as they are.
    """

    def __init__(
        self,
        config: RunConfig,
        encoders: dict[str, nn.Module],
        tokens: TextTokens | TaxonTokens,
        profile: Profile | None = None,
    ) -> None:
        super().__init__()
        self.config, self.profile = config, profile
        self.modalities = tuple(m for m in MODALITIES if m in encoders)
        self.tokens = tokens
        self.encoders = nn.ModuleDict({m: encoders[m] for m in self.modalities})
        self.projections = nn.ModuleDict(
            {
                m: projection_of(encoder, config.projected)
                for m, encoder in self.encoders.items()
                if not isinstance(encoder, TaxonTable)
            }
        )
        if config.space == "euclidean":
            self.space = EuclideanSpace(self.modalities, config.embed_dim)
        elif config.nested:
            self.space = CapSpace(config.embed_dim, config.curvature, config.specimen_radius)
        else:
            self.space = LorentzSpace(
                self.modalities,
                config.embed_dim,
                config.curvature,
                config.learn_curvature,
                config.scale_with_curvature,
                config.one_radius,
            )
        self.log_logit_scale = nn.Parameter(torch.tensor(1 / config.temperature).log())
        if config.divergence_weight:
            # Among the parameters of the space, which losses may read beside points.
            self.space.log_divergence_scale = nn.Parameter(torch.zeros(()))
        self.fit_cones()

    @property
    def logit_scale(self) -> Tensor:
        """The inverse of the contrastive temperature, 0-d, at most 100 [B][C]."""
        return self.log_logit_scale.exp()

    @property
    def divergence_scale(self) -> Tensor:
        """Distance of one substitution a site, 0-d; of models with a `divergence_weight`."""
        return self.space.log_divergence_scale.exp()

    @torch.no_grad()
    def begin_divergence(self, reads: Tensor) -> None:
        """Set the distance of one substitution a site to what suits the barcodes' first points.

        Args:
            reads: (N, L) aligned base codes.
        """
        was_training = self.training
        self.eval()
        distance = self.space.distances(self.tangent("dna", self.barcode_codes(reads)))
        self.train(was_training)
        scale = best_scale(distance, *pairwise_divergence(reads, reads))
        self.space.log_divergence_scale.copy_(scale.log())

    def tangent(self, modality: str, inputs: Tensor) -> Tensor:
        """Inputs of one modality to tangent vectors at the origin, (B, D) in fp32.

        Encoders may run in bf16, geometry never does [C].

        Args:
            modality: `image`, `dna` or `text`. inputs: images (B, 3, S, S), or codes or tokens (B,
            L).
        """
        bf16 = self.config.precision == "bf16"
        with torch.autocast(inputs.device.type, dtype=torch.bfloat16) if bf16 else nullcontext():
            features = self.encoders[modality](inputs)
            if modality in self.projections:
                features = self.projections[modality](features)
        return self.space.tangent(features, modality)

    def forward(self, batch: Batch, texts: Tensor | None) -> dict[str, Tensor]:
        """Tangent vectors by modality: (B, D) of the batch's images and barcodes, (U, D) of texts.

        Args:
            batch: its images and barcodes; a modality that it does not have is left out. texts: (U,
            L) tokens, None without any.
        """
        inputs = {"image": batch.image, "dna": batch.dna, "text": texts}
        return {
            m: self.tangent(m, inputs[m])
            for m in self.modalities
            if inputs[m] is not None and len(inputs[m])
        }

    @torch.no_grad()
    def clamp_(self) -> None:
        """Put the bounded scalars back within their bounds, and fit the cones anew; called after
        every optimiser step."""
        self.log_logit_scale.clamp_(max=float(np.log(MAX_LOGIT_SCALE)))
        if self.config.divergence_weight:
            self.space.log_divergence_scale.clamp_(*LOG_DIVERGENCE_SCALES)
        self.space.clamp_()
        self.fit_cones()

    @torch.no_grad()
    def fit_cones(self) -> None:
        """Where the configuration nests cones: give every taxon the radius at which its cone holds
        those of its descendants."""
        config = self.config
        if not (config.nested and "text" in self.modalities):
            return
        table = self.encoders["text"]
        contraction, radii = nested_radii(
            table.directions(),
            table.ranks,
            table.parents,
            cone_angle=config.cone_angle,
            specimen_radius=config.specimen_radius,
            aperture=config.aperture,
            curvature=config.curvature,
        )
        self.space.contraction.copy_(contraction)
        table.radii.copy_(radii)

    def taxon_tokens(self, index: TaxonIndex) -> tuple[np.ndarray, np.ndarray]:
        """What the text encoder reads of every taxon, (T, L), and which taxa it can embed, (T,)
        bool.

        A text encoder can embed any taxon; a table of vectors those that it was trained on.
        """
        if isinstance(self.tokens, TaxonTokens):
            rows = self.tokens.taxa(index)
            return rows, (rows != UNKNOWN).all(axis=1)
        known = np.ones(len(index.taxa), dtype=bool)
        return self.tokens([index.texts[i] for i in index.taxon_text]), known

    @property
    def barcode_codes(self) -> BarcodeCodes | AlignedCodes:
        """How this model's DNA encoder reads bases.

        The vocabulary of a checkpoint ends with the k-mers: what is before them is special.
        """
        backbone = getattr(self.encoders["dna"], "backbone", None)
        specials = 0
        if backbone is not None:
            specials = backbone.config.vocab_size - len(BASES) ** KMER_LENGTH
        elif self.config.dna_encoder not in ("cnn", ALIGNED):
            specials = len(KMER_SPECIALS)
        return AlignedCodes(self.profile, specials) if self.profile else BarcodeCodes(specials)

    def tensors(
        self, specimens: pd.DataFrame, index: TaxonIndex, *, augment: bool = False
    ) -> Specimens:
        """A table as this model takes it.

        Args:
            specimens: N rows. index: of the same rows. augment: random views, for training.
        """
        codes = self.barcode_codes if "dna" in self.modalities else None
        size = self.config.image_size if "image" in self.modalities else 0
        features = None
        if size and self.config.cached_views:
            views = self.config.cached_views if augment else 1
            features = features_of(self.config, specimens, views)
        return Specimens(specimens, index, codes, size, augment, features)

    def parameter_counts(self) -> pd.DataFrame:
        """Parameters of each part and, last, of the whole: columns `part`, `parameters`,
        `trainable`.

        Adapters count among those of their encoder.
        """
        parts = {f"{m} encoder": list(self.encoders[m].parameters()) for m in self.modalities}
        parts |= {
            "projections": list(self.projections.parameters()),
            "space": list(self.space.parameters()),
        }
        parts |= {"temperature": [self.log_logit_scale], "all": list(self.parameters())}
        rows = [
            {
                "part": part,
                "parameters": sum(p.numel() for p in own),
                "trainable": sum(p.numel() for p in own if p.requires_grad),
            }
            for part, own in parts.items()
        ]
        return pd.DataFrame(rows)

    def save_pretrained(self, folder: Path) -> None:
        """Write `config.yaml`, `tokenizer.json` and `model.safetensors` into a folder."""
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        description = {**self.config.to_dict(), "modalities": list(self.modalities)}
        write_text(folder / "config.yaml", yaml.safe_dump(description, sort_keys=False))
        with atomic_path(folder / "tokenizer.json") as temporary:
            self.tokens.save(temporary)
        with atomic_path(folder / "model.safetensors") as temporary:
            save_file(
                {name: value.contiguous() for name, value in self.state_dict().items()}, temporary
            )
        if self.profile:
            with atomic_path(folder / "profile.hmm") as temporary:
                temporary.write_bytes(self.profile.to_bytes())

    @classmethod
    def from_pretrained(cls, folder: Path, *, trusted: Iterable[str] = ()) -> HypertaxModel:
        """Read what `save_pretrained` wrote; the model embeds exactly as the saved one.

        The folder may be a stranger's: all of it is checked (`hypertax.model.checked`).

        Args:
            folder: with the model's files.
            trusted: names of checkpoints of a hub that the model may name, beside the presets'.

        Raises:
            FileNotFoundError: a file of the model is missing.
            ModelRefused: a file is not what a model has; one sentence.
            EncoderUnavailable: a checkpoint that it names cannot be had.
        """
        folder = Path(folder)
        with checked.refusing(folder):
            checked.check_files(folder)
            with checked.refusing(folder, "config.yaml"):
                config, modalities = checked.read_config(folder, trusted)
            with checked.refusing(folder, "tokenizer.json"):
                tokens = checked.read_tokens(folder, config)
            shapes = checked.read_shapes(folder)
            checked.check_sizes(folder, config, modalities, tokens, shapes)
            with checked.refusing(folder, "profile.hmm"):
                profile = read_profile(folder, config, modalities)
            starts = Starts(profile, features=feature_width(config))
            model = assemble_model(config, modalities, tokens, pretrained=False, starts=starts)
            weights = load_file(folder / "model.safetensors")
            checked.check_weights(folder, model, config, weights)
            model.load_state_dict(weights)
        return model.eval()


def assemble_model(
    config: RunConfig,
    modalities: tuple[str, ...],
    tokens: TextTokens | TaxonTokens,
    *,
    pretrained: bool,
    starts: Starts = Starts(),
) -> HypertaxModel:
    """A model with the encoders that a configuration names, drawn from PyTorch's global generator.

    Args:
        config: the whole configuration.
        modalities: those of `image`, `dna` and `text` that the data have.
        tokens: what the text encoder reads.
        pretrained: load the checkpoints that the configuration names; False where weights are
            loaded afterwards.
        starts: what encoders begin with that need no training.
    """
    ordered = tuple(m for m in MODALITIES if m in modalities)
    encoders = build_encoders(config, ordered, tokens, pretrained=pretrained, starts=starts)
    profile = starts.profile if "dna" in ordered else None
    model = HypertaxModel(config, encoders, tokens, profile)
    # Last, so that everything else is drawn as without adapters.
    for modality, encoder in model.encoders.items():
        prepare_encoder(modality, encoder, config)
    return model
