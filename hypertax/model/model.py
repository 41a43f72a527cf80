"""Encoders, projections and one space: the model, how it is saved, and how specimens are embedded
with it."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pandas as pd
import torch
import yaml
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from tqdm import tqdm

from hypertax.config.run_config import TAXON_TABLE, RunConfig
from hypertax.data.barcodes.codes import BASES, KMER_LENGTH, KMER_SPECIALS, BarcodeCodes
from hypertax.data.batches import Batch, Names, Specimens, loader
from hypertax.data.views import require_something_to_learn, views_of
from hypertax.embeddings import COLUMNS, Embeddings
from hypertax.files import atomic_path, write_text
from hypertax.geometry.nested_cones import nested_radii
from hypertax.geometry.spaces import CapSpace, EuclideanSpace, LorentzSpace
from hypertax.model.encoders import (
    ImageEncoder,
    barcode_encoder,
    prepare_encoder,
    pretrained_tokens,
    text_encoder,
)
from hypertax.model.lineage_vectors import UNKNOWN, TaxonTokens
from hypertax.model.tokens import TextTokens, kmer_tokenizer
from hypertax.taxonomy import RANKS

MODALITIES = ("image", "dna", "text")
MAX_LOGIT_SCALE = 100.0
EMBED_BATCH = 256


class HypertaxModel(nn.Module):
    """One encoder and one linear projection per modality into a shared space, and the contrastive
    temperature.

    modalities: those of `image`, `dna`, `text` that the data have. pretrained: load the checkpoints
    that the configuration names (False when weights are loaded afterwards).
    """

    def __init__(
        self,
        config: RunConfig,
        modalities: tuple[str, ...],
        tokens: TextTokens | TaxonTokens,
        *,
        pretrained: bool,
    ) -> None:
        super().__init__()
        self.config = config
        self.modalities = tuple(m for m in MODALITIES if m in modalities)
        self.tokens = tokens
        build = {
            "image": lambda: ImageEncoder(config, pretrained),
            "dna": lambda: barcode_encoder(config, pretrained),
            "text": lambda: text_encoder(config, tokens, pretrained),
        }
        self.encoders = nn.ModuleDict({m: build[m]() for m in self.modalities})
        projected = [
            m for m in self.modalities if m != "text" or config.text_encoder != TAXON_TABLE
        ]
        self.projections = nn.ModuleDict(
            {m: nn.Linear(self.encoders[m].width, config.projected) for m in projected}
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
            )
        self.log_logit_scale = nn.Parameter(torch.tensor(1 / config.temperature).log())
        # Last, so that everything else is drawn as without adapters.
        for modality, encoder in self.encoders.items():
            prepare_encoder(modality, encoder, config)
        self.fit_cones()

    @property
    def logit_scale(self) -> Tensor:
        """The contrastive temperature's inverse, 0-d; initially the configuration's, at most 100
        [B][C]."""
        return self.log_logit_scale.exp()

    def tangent(self, modality: str, inputs: Tensor) -> Tensor:
        """Inputs of one modality to tangent vectors at the origin, (B, D) in fp32; encoders may run
        in bf16, geometry never does [C]."""
        bf16 = self.config.precision == "bf16"
        with torch.autocast(inputs.device.type, dtype=torch.bfloat16) if bf16 else nullcontext():
            features = self.encoders[modality](inputs)
            if modality in self.projections:
                features = self.projections[modality](features)
        return self.space.tangent(features, modality)

    def forward(self, batch: Batch, texts: Tensor | None) -> dict[str, Tensor]:
        """Tangent vectors of the batch's images and barcodes (B, D), and of the given texts' tokens
        (U, L) as `text` (U, D)."""
        inputs = {"image": batch.image, "dna": batch.dna, "text": texts}
        return {
            m: self.tangent(m, inputs[m])
            for m in self.modalities
            if inputs[m] is not None and len(inputs[m])
        }

    @torch.no_grad()
    def clamp_(self) -> None:
        """Put the bounded scalars back within their bounds, and cones around their descendants';
        called after every optimiser step."""
        self.log_logit_scale.clamp_(max=float(np.log(MAX_LOGIT_SCALE)))
        self.space.clamp_()
        self.fit_cones()

    @torch.no_grad()
    def fit_cones(self) -> None:
        """Where the configuration nests cones: give every taxon the radius at which its cone is as
        wide as its descendants' need."""
        config = self.config
        if not (config.nested and "text" in self.modalities):
            return
        table = self.encoders["text"]
        share, radii = nested_radii(table.directions(), table.ranks, table.parents, config)
        self.space.share.copy_(share)
        table.radii.copy_(radii)

    def taxon_tokens(self, names: Names) -> tuple[np.ndarray, np.ndarray]:
        """What the text encoder reads of every taxon, (T, L), and which taxa it can embed, (T,)
        bool: of a table, those it was trained on."""
        if isinstance(self.tokens, TaxonTokens):
            rows = self.tokens.taxa(names)
            return rows, (rows != UNKNOWN).all(axis=1)
        return self.tokens([names.texts[i] for i in names.taxon_text]), np.ones(
            len(names.taxa), dtype=bool
        )

    @property
    def barcode_codes(self) -> BarcodeCodes:
        """How this model's DNA encoder reads bases; a checkpoint's vocabulary ends with the
        k-mers."""
        if self.config.dna_encoder == "cnn":
            return BarcodeCodes()
        backbone = self.encoders["dna"].backbone if "dna" in self.encoders else None
        return BarcodeCodes(
            len(KMER_SPECIALS)
            if backbone is None
            else backbone.config.vocab_size - len(BASES) ** KMER_LENGTH
        )

    def tensors(self, specimens: pd.DataFrame, names: Names, *, augment: bool = False) -> Specimens:
        """A table as this model takes it; `augment` for training."""
        codes = self.barcode_codes if "dna" in self.modalities else None
        size = self.config.image_size if "image" in self.modalities else 0
        return Specimens(specimens, names, codes, size, augment)

    def parameter_counts(self) -> pd.DataFrame:
        """Parameters of each part, adapters among their encoder's, and of the whole: columns
        `part`, `parameters` and `trainable`."""
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
        """Write `config.yaml`, `tokenizer.json`, `dna_tokenizer.json` where barcodes are read as
        k-mers, and `model.safetensors`."""
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        description = {**self.config.to_dict(), "modalities": list(self.modalities)}
        write_text(folder / "config.yaml", yaml.safe_dump(description, sort_keys=False))
        with atomic_path(folder / "tokenizer.json") as temporary:
            self.tokens.save(temporary)
        if "dna" in self.modalities and self.barcode_codes.specials:
            with atomic_path(folder / "dna_tokenizer.json") as temporary:
                kmer_tokenizer(self.barcode_codes.specials).save(str(temporary))
        with atomic_path(folder / "model.safetensors") as temporary:
            save_file(
                {name: value.contiguous() for name, value in self.state_dict().items()}, temporary
            )

    @classmethod
    def from_pretrained(cls, folder: Path) -> HypertaxModel:
        """Read what `save_pretrained` wrote; the model embeds exactly as the saved one.

        Raises:
            FileNotFoundError: a file of the model is missing.
        """
        folder = Path(folder)
        for name in ("config.yaml", "tokenizer.json", "model.safetensors"):
            if not (folder / name).is_file():
                raise FileNotFoundError(f"{folder} holds no trained model: {name} is missing.")
        description = yaml.safe_load((folder / "config.yaml").read_text(encoding="utf-8"))
        modalities = tuple(description.pop("modalities"))
        # Embedding some specimens does not pay for compiling, and may happen where nothing can
        # compile.
        description["compile"] = False
        kind = TaxonTokens if description["text_encoder"] == TAXON_TABLE else TextTokens
        model = cls(
            RunConfig.from_dict(description),
            modalities,
            kind.load(folder / "tokenizer.json"),
            pretrained=False,
        )
        model.load_state_dict(load_file(folder / "model.safetensors"))
        return model.eval()


def build_model(
    config: RunConfig, specimens: pd.DataFrame, names: Names, training: np.ndarray
) -> HypertaxModel:
    """A new model for a table: the modalities it has, a tokenizer of its training specimens' names,
    weights from `config.seed`.

    training: (N,) bool, the specimens whose names may be used.

    Raises:
        ValueError: the data leave nothing to learn from, or an encoder cannot be had as it is
        configured.
    """
    views = views_of(specimens)
    require_something_to_learn(config, views)
    modalities = [m for m in config.views.split("+") if m in views]
    if len(names.taxa):
        modalities.append("text")
    if config.text_encoder == TAXON_TABLE:
        tokens = TaxonTokens.train(names, training)
    elif config.text_encoder == "transformer":
        seen = np.unique(names.full_text[training])
        tokens = TextTokens.train([names.texts[i] for i in seen if i >= 0])
    else:
        tokens = pretrained_tokens(config.text_encoder)
    torch.manual_seed(config.seed)
    return HypertaxModel(config, tuple(modalities), tokens, pretrained=config.preset == "paper")


def embed(
    model: HypertaxModel,
    specimens: pd.DataFrame,
    *,
    data: Specimens | None = None,
    names: Names | None = None,
    progress: bool = False,
) -> Embeddings:
    """Embed every specimen's image and barcode, and every named taxon, without augmentation.

    specimens: a table as `hypertax.data` gives it (a new one too). data, names: what `Specimens`
    and `Names` made of this table, if at hand. A photograph that cannot be read has no embedding.
    """
    device = next(model.parameters()).device
    names = names or Names(specimens, cumulative=model.config.entailment_text == "cumulative")
    data = data or model.tensors(specimens, names)
    was_training = model.training
    model.eval()
    vectors: dict[str, list[Tensor]] = {"image": [], "dna": []}
    batches = loader(data, EMBED_BATCH, workers=model.config.workers)
    with torch.inference_mode():
        for batch in tqdm(
            batches, desc="embedding", leave=False, disable=not progress, mininterval=1
        ):
            data.note(batch)
            batch = batch.to(device)
            for modality, inputs, has in (
                ("image", batch.image, batch.has_image),
                ("dna", batch.dna, batch.has_dna),
            ):
                if modality in model.modalities and inputs is not None and has.any():
                    vectors[modality].append(model.tangent(modality, inputs[has]).cpu())
        tables = []
        for modality, has in (("image", data.has_image), ("dna", data.has_dna)):
            if vectors[modality]:
                part = specimens[has.numpy()].reset_index(drop=True)
                tables.append(
                    part.rename(columns={"sampleid": "id"}).assign(modality=modality, rank=None)[
                        list(COLUMNS)
                    ]
                )
        if "text" in model.modalities and len(names.taxa):
            tokens, known = model.taxon_tokens(names)
            tables.append(
                names.taxa[known]
                .rename(columns={"name": "id"})
                .assign(modality="text", split=None)[list(COLUMNS)]
            )
            tokens = torch.from_numpy(tokens[known]).to(device)
            vectors["text"] = [
                model.tangent("text", part).cpu() for part in tokens.split(EMBED_BATCH)
            ]
        c = None if model.space.curvature is None else model.space.curvature.item()
    model.train(was_training)
    table = pd.concat(tables, ignore_index=True)
    table[["rank", "split", *RANKS]] = table[["rank", "split", *RANKS]].astype("str")
    tangent = torch.cat([part for m in MODALITIES for part in vectors.get(m, [])]).numpy()
    return Embeddings(table, tangent, model.space.name, c)
