"""A new model for a table of specimens: its tokenizer, its starts and its first weights."""

from __future__ import annotations

import numpy as np
import pandas as pd
import torch

from hypertax.config.run_config import TAXON_TABLE, RunConfig
from hypertax.data.barcodes.aligned import AlignedCodes
from hypertax.data.split import TRAINING_SPLITS
from hypertax.data.taxon_index import TaxonIndex
from hypertax.data.views import require_something_to_learn, views_of
from hypertax.model.encoders import pretrained_tokens
from hypertax.model.lineage_vectors import TaxonTokens
from hypertax.model.model import HypertaxModel, assemble_model
from hypertax.model.starts import begin_taxa, feature_width, features_of, read_starts
from hypertax.model.tokens import TextTokens

PAIRED = 512
"""Training barcodes whose pairs say what distance of a new model stands for which divergence."""


def build_model(
    config: RunConfig, specimens: pd.DataFrame, index: TaxonIndex, training: np.ndarray
) -> HypertaxModel:
    """A new model for a table: the modalities it has, a tokenizer of its training specimens' names,
    weights from `config.seed`.

    Args:
        config: the whole configuration.
        specimens: N specimens.
        index: of the same specimens.
        training: (N,) bool, the specimens whose names may be used.

    Raises:
        ValueError: the data leave nothing to learn from, or an encoder cannot be had as it is
        configured.
    """
    views = views_of(specimens)
    require_something_to_learn(config, views)
    modalities = [m for m in config.views.split("+") if m in views]
    if len(index.taxa):
        modalities.append("text")
    if config.text_encoder == TAXON_TABLE:
        tokens = TaxonTokens.train(index, training)
    elif config.text_encoder == "transformer":
        seen = np.unique(index.full_text[training])
        tokens = TextTokens.train([index.texts[i] for i in seen if i >= 0])
    else:
        tokens = pretrained_tokens(config.text_encoder)
    starts, codes = read_starts(config, specimens, training, feature_width(config))
    torch.manual_seed(config.seed)
    model = assemble_model(
        config, tuple(modalities), tokens, pretrained=config.preset == "paper", starts=starts
    )
    if starts.dna and isinstance(tokens, TaxonTokens):
        own = np.flatnonzero(training & specimens["barcode"].notna().to_numpy())
        begin_taxa(model.encoders["text"], tokens, starts.dna, codes, index.take(own))
        model.fit_cones()
    if config.divergence_weight and codes is not None:
        some = np.linspace(0, len(codes) - 1, min(len(codes), PAIRED)).round().astype(int)
        model.begin_divergence(torch.from_numpy(codes[some]))
    return model


def compute_starts(config: RunConfig, specimens: pd.DataFrame) -> None:
    """Align a table's barcodes and compute its photographs' features, with progress: what is kept
    on disk, runs that follow take from there.

    Args:
        config: of a run. specimens: N specimens, with splits.
    """
    training = specimens["split"].isin(TRAINING_SPLITS).to_numpy()
    starts, _ = read_starts(config, specimens, training, 0)
    if starts.profile:
        AlignedCodes(starts.profile).read(specimens["barcode"])
    if config.cached_views and "image" in config.views.split("+"):
        features_of(config, specimens[training], config.cached_views)
        features_of(config, specimens, 1)
