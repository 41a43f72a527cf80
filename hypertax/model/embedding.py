"""Embedding a table of specimens with a model."""

from __future__ import annotations

import warnings

import pandas as pd
import torch
from torch import Tensor

from hypertax.data.batches import Specimens, loader
from hypertax.data.progress import progress_bar
from hypertax.data.taxon_index import TaxonIndex
from hypertax.embeddings import COLUMNS, Embeddings
from hypertax.files import shown
from hypertax.model.model import HypertaxModel
from hypertax.taxonomy import RANKS

EMBED_BATCH = 256
"""Specimens, or texts, embedded at a time."""


def embed(
    model: HypertaxModel,
    specimens: pd.DataFrame,
    *,
    data: Specimens | None = None,
    index: TaxonIndex | None = None,
    progress: bool = False,
) -> Embeddings:
    """Embed every specimen's image and barcode, and every named taxon, without augmentation.

    A photograph that cannot be read has no embedding; a warning names it.

    Args:
        model: on any device.
        specimens: a table as `hypertax.data` gives it, of training or a new one.
        data, index: what `HypertaxModel.tensors` and `TaxonIndex` made of this table, if at hand.
        progress: show a progress bar.
    """
    cumulative = model.config.entailment_text == "cumulative"
    index = index or TaxonIndex(specimens, cumulative=cumulative)
    data = data or model.tensors(specimens, index)
    was_training = model.training
    model.eval()
    with torch.inference_mode():
        vectors = _specimen_vectors(model, data, progress)
        _warn_of_unreadable(data)
        # Read only now: embedding tells which photographs could be read.
        present = {"image": data.has_image, "dna": data.has_dna}
        tables = [
            specimens[present[modality].numpy()]
            .reset_index(drop=True)
            .rename(columns={"sampleid": "id"})
            .assign(modality=modality, rank=None)[list(COLUMNS)]
            for modality in vectors
        ]
        if "text" in model.modalities and len(index.taxa):
            tokens, known = model.taxon_tokens(index)
            tables.append(
                index.taxa[known]
                .rename(columns={"name": "id"})
                .assign(modality="text", split=None)[list(COLUMNS)]
            )
            tokens = torch.from_numpy(tokens[known]).to(_device(model))
            vectors["text"] = [
                model.tangent("text", part).cpu() for part in tokens.split(EMBED_BATCH)
            ]
        c = None if model.space.curvature is None else model.space.curvature.item()
    model.train(was_training)
    table = pd.concat(tables, ignore_index=True)
    table[["rank", "split", *RANKS]] = table[["rank", "split", *RANKS]].astype("str")
    tangent = torch.cat([part for parts in vectors.values() for part in parts]).numpy()
    return Embeddings(table, tangent, model.space.name, c)


def _specimen_vectors(
    model: HypertaxModel, data: Specimens, progress: bool
) -> dict[str, list[Tensor]]:
    """Tangent vectors of the specimens that have a modality, by batches; without a modality that
    none has."""
    vectors: dict[str, list[Tensor]] = {"image": [], "dna": []}
    batches = progress_bar(
        loader(data, EMBED_BATCH, workers=model.config.workers),
        desc="embedding",
        unit=" batches",
        leave=False,
        disable=not progress,
        mininterval=1,
    )
    for batch in batches:
        data.note(batch)
        batch = batch.to(_device(model))
        for modality, inputs, has in (
            ("image", batch.image, batch.has_image),
            ("dna", batch.dna, batch.has_dna),
        ):
            if modality in model.modalities and inputs is not None and has.any():
                vectors[modality].append(model.tangent(modality, inputs[has]).cpu())
    return {modality: parts for modality, parts in vectors.items() if parts}


def _warn_of_unreadable(data: Specimens) -> None:
    files = data.photographs.unreadable() if data.photographs else []
    if files:
        with_one = int(data.has_image.sum()) + len(files)
        named = ", ".join(map(shown, files[:3])) + (", ..." if len(files) > 3 else "")
        warnings.warn(
            f"{len(files):,} of the {with_one:,} photographs cannot be read and have no"
            f" embedding: {named}",
            stacklevel=3,
        )


def _device(model: HypertaxModel) -> torch.device:
    return model.log_logit_scale.device
