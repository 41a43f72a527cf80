"""Encoders that begin where no training is needed: aligned barcodes by a closed-form projection, and
photographs by the features of a frozen network [O].

What is learned begins at zero, or is small, so that training starts from what the start is worth.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional as F

from hypertax import sources
from hypertax.config.run_config import ALIGNED, RunConfig
from hypertax.data.barcodes.aligned import AlignedCodes
from hypertax.data.barcodes.alignment import Profile
from hypertax.data.barcodes.codes import BASES, UNKNOWN
from hypertax.data.barcodes.start import DnaStart, fit_start
from hypertax.data.features import FeatureViews
from hypertax.data.specimens import cache_folder
from hypertax.data.taxon_index import TaxonIndex
from hypertax.files import atomic_path
from hypertax.model.image_features import frozen_features
from hypertax.model.lineage_vectors import MISSING, TaxonTable, TaxonTokens
from hypertax.model.pretrained_images import image_backbone
from hypertax.taxonomy import RANKS

START_WIDTH = 256
"""Components of the closed-form projection: 128 and 512 were worse at novel genera."""
HIDDEN = 512
"""Units of the image head's hidden layer."""


@dataclass(frozen=True)
class Starts:
    """What a model's encoders begin with.

    Args:
        profile: that barcodes are aligned to, None where they are not.
        dna: the closed-form projection, None without one, or where weights are loaded afterwards.
        features: numbers that the frozen image encoder gives of a photograph, 0 without one.
    """

    profile: Profile | None = None
    dna: DnaStart | None = None
    features: int = 0


class AlignedBarcodeEncoder(nn.Module):
    """Aligned base codes (B, L) to (B, width): the closed-form start and what is learned beside it.

    The start is `hypertax.data.barcodes.start.DnaStart`, held. What is learned is another linear map
    of the same weighted bases, zero at first, and a hidden layer on the start whose last matrix is
    zero at first. The output is scaled so that its mean square over the training barcodes begins
    at 1, as after a layer normalisation.

    Args:
        columns: L, those of the profile.
        width: of the output.
        dropout: share of the columns that training hides beside what the loader hides.
    """

    def __init__(self, columns: int, width: int = START_WIDTH, dropout: float = 0.1) -> None:
        super().__init__()
        self.width = width
        bases = len(BASES)
        self.register_buffer("frequencies", torch.zeros(columns, bases))
        self.register_buffer("weights", torch.zeros(columns, bases))
        self.register_buffer("mean", torch.zeros(columns * bases))
        self.register_buffer("projection", torch.zeros(columns * bases, width))
        self.register_buffer("scale", torch.ones(()))
        self.change = nn.Linear(columns * bases, width, bias=False)
        self.hidden = nn.Linear(width, width)
        self.last = nn.Linear(width, width, bias=False)
        nn.init.zeros_(self.change.weight)
        nn.init.zeros_(self.last.weight)
        self.dropout = dropout

    def begin(self, start: DnaStart) -> None:
        """Take over a start, in place."""
        for name in ("frequencies", "weights", "mean", "projection"):
            getattr(self, name).copy_(torch.from_numpy(np.asarray(getattr(start, name))))
        self.scale.fill_(float(start.scale) * self.width**0.5)

    def forward(self, codes: Tensor) -> Tensor:
        known = codes < UNKNOWN
        if self.training and self.dropout:
            known = known & (torch.rand(known.shape, device=codes.device) >= self.dropout)
        onehot = F.one_hot(codes.long().clamp(max=UNKNOWN), UNKNOWN + 1)[..., :UNKNOWN]
        x = (onehot - self.frequencies) * known[..., None] * self.weights
        x = x.flatten(1) - self.mean
        start = self.scale * (x @ self.projection)
        return start + self.change(x) + self.last(F.gelu(self.hidden(start)))


class FeatureEncoder(nn.Module):
    """Features of a frozen image encoder (B, F) to (B, width): a linear map and, zero at first, a
    hidden layer beside it.

    It ends in a layer normalisation, so that the radius of a point is not the contrast of its
    features.

    Args:
        features: F. width: of the output. dropout: share of the hidden units that training drops.
    """

    def __init__(self, features: int, width: int = START_WIDTH, dropout: float = 0.2) -> None:
        super().__init__()
        self.width = width
        self.begin = nn.LayerNorm(features)
        self.linear = nn.Linear(features, width)
        self.hidden = nn.Linear(features, HIDDEN)
        self.dropout = nn.Dropout(dropout)
        self.last = nn.Linear(HIDDEN, width, bias=False)
        self.end = nn.LayerNorm(width)
        nn.init.zeros_(self.last.weight)

    def forward(self, features: Tensor) -> Tensor:
        x = self.begin(features)
        return self.end(self.linear(x) + self.last(self.dropout(F.gelu(self.hidden(x)))))


def profile_of(reads: list[str], species: list[str | None]) -> Profile:
    """The profile of training barcodes, from the cache where it was built before.

    Args:
        reads: the barcodes. species: of each, None where it is unknown.
    """
    version = sources.fingerprint("hypertax.data.barcodes.alignment")
    key = _key(version, *reads, *(name or "" for name in species))
    path = cache_folder("profiles") / f"{key}.hmm"
    try:
        return Profile.from_bytes(path.read_bytes())
    except (OSError, ValueError):
        pass
    profile = Profile.build(reads, species)
    with atomic_path(path) as temporary:
        temporary.write_bytes(profile.to_bytes())
    return profile


def start_of(codes: np.ndarray, genera: list[str | None]) -> DnaStart:
    """The closed-form projection of training barcodes, from the cache where it was fitted before.

    Args:
        codes: (N, L) aligned base codes. genera: of each, None where it is unknown.
    """
    version = sources.fingerprint("hypertax.data.barcodes.start")
    key = _key(version, str(codes.shape), codes.tobytes(), *(name or "" for name in genera))
    path = cache_folder("starts") / f"{key}.safetensors"
    names = [field.name for field in fields(DnaStart)]
    try:
        found = load_file(path)
        return DnaStart(**{n: found[n] if found[n].ndim else float(found[n]) for n in names})
    except (OSError, KeyError, SafetensorError):
        pass
    start = fit_start(codes, genera, START_WIDTH)
    with atomic_path(path) as temporary:
        save_file({n: np.array(getattr(start, n), np.float32, order="C") for n in names}, temporary)
    return start


def taxon_means(
    codes: np.ndarray, start: DnaStart, index: TaxonIndex, tokens: TaxonTokens, width: int
) -> Tensor:
    """Vectors of taxa at which each taxon lies at the mean direction of its own barcodes.

    A taxon's point is the sum of its lineage's vectors over the square root of their number
    (`TaxonTable`), so that a vector is sqrt(n) times its own mean less sqrt(n - 1) times its
    parent's, n the known ranks down to it. A taxon without a barcode begins at its parent's mean.

    Args:
        codes: (N, L) aligned base codes of training specimens. index: of the same specimens.
        start: gives their vectors. tokens: the taxa. width: of the vectors.

    Returns:
        (taxa + 1, width) fp32; row 0 stands for no taxon.
    """
    vectors = np.zeros((len(codes), width), np.float32)
    found = start(codes)[:, :width]
    vectors[:, : found.shape[1]] = found
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True).clip(1e-12)
    rows = tokens.taxa(index)
    lineage, places = index.lineage, tokens.rows()
    means = np.zeros((tokens.size + 1, width), np.float32)
    counts = np.zeros(tokens.size + 1, np.int64)
    for rank in range(len(RANKS)):
        own = lineage[:, rank]
        named = np.flatnonzero(own >= 0)
        row = rows[own[named], rank]
        kept = row > MISSING
        np.add.at(means, row[kept], vectors[named[kept]])
        np.add.at(counts, row[kept], 1)
    means /= np.maximum(counts, 1)[:, None]
    parents, depth = tokens.parents(), (places > MISSING).sum(axis=1)
    first = np.zeros_like(means)
    for row in np.argsort(depth, kind="stable"):
        parent = parents[row]
        if counts[row] == 0:
            means[row] = means[parent] if parent > 0 else 0
        above = np.sqrt(depth[row] - 1) * means[parent] if parent > 0 else 0
        first[row] = np.sqrt(max(depth[row], 1)) * means[row] - above
    first[MISSING] = 0
    return torch.from_numpy(first)


def feature_width(config: RunConfig) -> int:
    """The numbers that the frozen image encoder of a configuration gives of a photograph; 0 where
    none is frozen."""
    if not config.cached_views or "image" not in config.views.split("+"):
        return 0
    backbone = image_backbone(config.image_encoder, config.image_size, pretrained=False)
    return backbone.num_features


def read_starts(
    config: RunConfig, specimens: pd.DataFrame, training: np.ndarray, features: int
) -> tuple[Starts, np.ndarray | None]:
    """What a new model's encoders begin with, from training specimens alone.

    Args:
        config: of the run.
        specimens: N specimens.
        training: (N,) bool, the specimens that may be used.
        features: numbers that the frozen image encoder gives, 0 without one.

    Returns:
        the starts, and the aligned codes (M, L) of the M training barcodes, None without
        alignment.

    Raises:
        ValueError: no training specimen has a barcode.
    """
    if not config.aligns or "dna" not in config.views.split("+"):
        return Starts(features=features), None
    own = specimens[training & specimens["barcode"].notna().to_numpy()]
    if own.empty:
        if specimens["barcode"].notna().any():
            raise ValueError(
                "No training specimen has a barcode, so that none can be aligned: give dna_encoder"
                " 'cnn', or views 'image'."
            )
        return Starts(features=features), None
    named = [None if pd.isna(name) else name for name in own["species"]]
    profile = profile_of(own["barcode"].tolist(), named)
    codes, aligned = AlignedCodes(profile).read(own["barcode"])
    if config.dna_encoder != ALIGNED:
        return Starts(profile, features=features), codes
    genera = [None if pd.isna(name) else name for name in own["genus"]]
    kept = np.flatnonzero(aligned)
    start = start_of(codes[kept], [genera[i] for i in kept])
    return Starts(profile, start, features), codes


def begin_taxa(
    table: TaxonTable,
    tokens: TaxonTokens,
    start: DnaStart,
    codes: np.ndarray,
    index: TaxonIndex,
) -> None:
    """Let a table's vectors begin at the means of the taxa's barcodes, in place.

    Args:
        table: of the taxa. tokens: the same taxa. start, codes, index: as in `taxon_means`.
    """
    with torch.no_grad():
        table.vectors.weight.copy_(taxon_means(codes, start, index, tokens, table.width))


def _key(*parts: str | bytes) -> str:
    digest = hashlib.sha256()
    for part in parts:
        part = part if isinstance(part, bytes) else part.encode()
        digest.update(len(part).to_bytes(8, "big") + part)
    return digest.hexdigest()[:32]


def read_profile(
    folder: Path, config: RunConfig, modalities: tuple[str, ...]
) -> Profile | None:
    """The profile in a model's folder; None where the model aligns nothing.

    Raises:
        ValueError: the file is missing or broken.
    """
    if not config.aligns or "dna" not in modalities:
        return None
    path = folder / "profile.hmm"
    if not path.is_file():
        raise ValueError("it is missing, and the model reads aligned barcodes")
    return Profile.from_bytes(path.read_bytes())


def projection_of(encoder: nn.Module, width: int) -> nn.Linear:
    """A linear map into the shared space; of aligned barcodes at first the identity, which keeps
    their start."""
    projection = nn.Linear(encoder.width, width)
    if isinstance(encoder, AlignedBarcodeEncoder):
        nn.init.eye_(projection.weight)
        nn.init.zeros_(projection.bias)
    return projection


def features_of(config: RunConfig, specimens: pd.DataFrame, views: int) -> FeatureViews | None:
    """Features of a table's photographs; None where it has none."""
    paths = [path if isinstance(path, str) else None for path in specimens["image"]]
    if not any(paths):
        return None
    found = frozen_features(paths, config.image_encoder, config.image_size, views, progress=True)
    return FeatureViews(found.values, found.present, found.unreadable)
