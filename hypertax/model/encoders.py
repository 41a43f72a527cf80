"""The three encoders: images by timm, barcodes and names by transformers (or a small convolutional
network for barcodes).

A name with a slash, or a local folder, is a pretrained checkpoint loaded with the library's
ordinary call; the short names are models trained from scratch. Every encoder is a module with
`width` that maps its inputs to (B, width); `HypertaxModel` takes any such modules. None has batch
normalisation, so that a specimen's embedding does not depend on the batch it is in.

Sources: [B] CLIBD, [O] ours.
"""

from __future__ import annotations

import json
from pathlib import Path

import torch
from torch import Tensor, nn

from hypertax.config.run_config import ALIGNED, RunConfig
from hypertax.data.barcodes.codes import BASES, KMER_SPECIALS
from hypertax.data.images import MEAN, STD
from hypertax.model.convolutional import ConvolutionalBarcodeEncoder
from hypertax.model.lineage_vectors import TaxonTable, TaxonTokens
from hypertax.model.pretrained_images import (
    LITE0,
    EncoderUnavailable,
    image_backbone,
    own_scale,
    unavailable,
)
from hypertax.model.starts import AlignedBarcodeEncoder, FeatureEncoder, Starts
from hypertax.model.tokens import TextTokens, check_kmer_vocabulary, hub_name


class ImageEncoder(nn.Module):
    """A timm model without its classification head: normalised images (B, 3, S, S) to (B, width).

    `efficientnet_lite0` and the model of a local folder get pixels as they were trained with; other
    names of timm's get them normalised by ImageNet's mean and deviation, as in CLIBD [B].

    Args:
        config: names the model and the images' side S. pretrained: load the weights that belong to
        the name.
    """

    def __init__(self, config: RunConfig, pretrained: bool) -> None:
        super().__init__()
        name = config.image_encoder
        self.backbone = image_backbone(name, config.image_size, pretrained=pretrained)
        self.width = self.backbone.num_features
        own = name == LITE0 or Path(name).is_dir()
        mean, std = own_scale(self.backbone) if own else (MEAN, STD)
        for part, values in _rescaling(mean, std).items():
            # Not in the state dict: they belong to the model's name.
            self.register_buffer(part, values, persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        images = images.contiguous(memory_format=torch.channels_last)
        if self.factor is not None:
            images = images * self.factor + self.offset
        return self.backbone(images)


class TransformerEncoder(nn.Module):
    """A BERT-like model of transformers: token ids (B, L) to the mean of the last hidden states
    over the tokens that are not padding, (B, width).

    The mean of hidden states, never of a softmax over logits: CLIBD's published figures come from
    an encoder that did the latter, which its authors call a mistake (bioscan-ml/clibd issue 33).

    Args:
        backbone: a model of transformers without a head. padding: the token id that is no token.
    """

    def __init__(self, backbone: nn.Module, padding: int) -> None:
        super().__init__()
        self.backbone = backbone
        self.padding = padding
        self.width = backbone.config.hidden_size

    def forward(self, tokens: Tensor) -> Tensor:
        half = tokens.shape[1] // 2
        short = (tokens != self.padding).sum(1) <= half
        if not 8 <= short.sum() < len(tokens):
            return self._pooled(tokens)
        # Bare names beside full texts: padded to the longest, most of the work would be on padding.
        order = torch.cat([short.nonzero(), (~short).nonzero()])[:, 0]
        return torch.cat([self._pooled(tokens[short, :half]), self._pooled(tokens[~short])])[
            order.argsort()
        ]

    def _pooled(self, tokens: Tensor) -> Tensor:
        mask = tokens != self.padding
        # A row of padding alone would divide by zero: let it attend to its first position.
        mask[:, 0] = True
        hidden = self.backbone(
            input_ids=tokens.long().clamp(min=0), attention_mask=mask.long()
        ).last_hidden_state
        weight = mask[..., None].to(hidden.dtype)
        return (hidden * weight).sum(1) / weight.sum(1)


def image_encoder(
    config: RunConfig, pretrained: bool, starts: Starts = Starts()
) -> ImageEncoder | FeatureEncoder:
    """A timm model, or what is learned on the features that a frozen one gives."""
    if config.cached_views:
        return FeatureEncoder(starts.features)
    return ImageEncoder(config, pretrained)


def barcode_encoder(
    config: RunConfig, pretrained: bool, starts: Starts = Starts()
) -> nn.Module:
    """`aligned` on its closed-form start, `cnn` or `transformer` from scratch, otherwise BarcodeBERT
    or another BERT-like checkpoint."""
    if config.dna_encoder == ALIGNED:
        encoder = AlignedBarcodeEncoder(starts.profile.columns)
        if starts.dna:
            encoder.begin(starts.dna)
        return encoder
    if config.dna_encoder == "cnn":
        return ConvolutionalBarcodeEncoder()
    if config.dna_encoder == "transformer":
        return TransformerEncoder(
            _small_bert(vocabulary=4**5 + len(KMER_SPECIALS), hidden=128, layers=3, positions=132),
            padding=-1,
        )
    backbone = checkpoint_model("dna_encoder", config.dna_encoder, pretrained)
    check_kmer_vocabulary(Path(config.dna_encoder), backbone.config.vocab_size)
    return TransformerEncoder(backbone, padding=-1)


def text_encoder(
    config: RunConfig, tokens: TextTokens | TaxonTokens, pretrained: bool
) -> nn.Module:
    """`transformer` from scratch over the tokenizer's vocabulary, `lineage` for vectors of taxa,
    otherwise a BERT-like checkpoint."""
    if config.text_encoder == "lineage":
        return TaxonTable(tokens, config.projected, cones=config.nested)
    if config.text_encoder == "transformer":
        backbone = _small_bert(vocabulary=tokens.size, hidden=64, layers=2, positions=tokens.length)
    else:
        backbone = checkpoint_model("text_encoder", config.text_encoder, pretrained)
    return TransformerEncoder(backbone, padding=tokens.padding)


def build_encoders(
    config: RunConfig,
    modalities: tuple[str, ...],
    tokens: TextTokens | TaxonTokens,
    *,
    pretrained: bool,
    starts: Starts = Starts(),
) -> dict[str, nn.Module]:
    """A new encoder for each modality, in the order given, which is that of the random draws.

    Args:
        config: names the encoders.
        modalities: of `image`, `dna` and `text`.
        tokens: what the text encoder reads.
        pretrained: load the checkpoints that the configuration names; False where weights are
            loaded afterwards.
        starts: what encoders begin with that need no training.
    """
    build = {
        "image": lambda: image_encoder(config, pretrained, starts),
        "dna": lambda: barcode_encoder(config, pretrained, starts),
        "text": lambda: text_encoder(config, tokens, pretrained),
    }
    return {modality: build[modality]() for modality in modalities}


def prepare_encoder(modality: str, encoder: nn.Module, config: RunConfig) -> None:
    """Adapters, checkpointing of activations and compilation as configured, in place.

    The state dict's keys depend on adapters alone.

    Raises:
        ValueError: `lora_rank` is set for an encoder that has no attention layers.
    """
    if config.lora_rank:
        add_adapters(f"{modality}_encoder", encoder, config.lora_rank)
    backbone = getattr(encoder, "backbone", None)
    if config.gradient_checkpointing and backbone is not None:
        if modality == "image":
            backbone.set_grad_checkpointing()
        else:
            backbone.gradient_checkpointing_enable(
                gradient_checkpointing_kwargs={"use_reentrant": False}
            )
    if config.compile:
        # The backbone alone: how a batch of texts is cut depends on its values, which a graph
        # cannot hold.
        (encoder if backbone is None else backbone).compile()


def add_adapters(parameter: str, encoder: nn.Module, rank: int) -> None:
    """Freeze an encoder and put low-rank adapters (LoRA, Hu et al. 2022) on its attention layers,
    in place.

    The adapted layers are query and value of a BERT, as in CLIBD [B], and the fused projection
    `qkv` of a timm vision transformer, whose keys are therefore adapted too [O]. An adapter is
    added unscaled (alpha = rank), as in CLIBD [B], and is zero at first: the encoder maps to what
    it did without. Its other matrix is drawn from PyTorch's global generator. The adapters belong
    to the encoder's state dict.

    Args:
        parameter: the field of the configuration that chose the encoder. encoder: has a `backbone`,
        or no attention. rank: of the adapters.

    Raises:
        ValueError: the encoder has no attention layer to adapt.
    """
    # Importing peft takes seconds, which a run without adapters should not wait for.
    from peft import LoraConfig, inject_adapter_in_model

    backbone = getattr(encoder, "backbone", None)
    found = {
        name.rpartition(".")[2]
        for name, module in (backbone or nn.Module()).named_modules()
        if isinstance(module, nn.Linear)
    }
    targets = sorted(found & {"qkv", "query", "value"})
    if not targets:
        raise ValueError(
            f"lora_rank must be 0 with this {parameter}, which has no attention layers to adapt."
        )
    inject_adapter_in_model(
        LoraConfig(r=rank, lora_alpha=rank, target_modules=targets, lora_dropout=0.0, bias="none"),
        backbone,
    )


def pretrained_tokens(name: str) -> TextTokens:
    """The tokenizer that belongs to a pretrained text encoder."""
    try:
        return TextTokens.pretrained(name)
    except (OSError, ValueError) as error:
        raise unavailable("text_encoder", name, error) from error


def _small_bert(vocabulary: int, hidden: int, layers: int, positions: int) -> nn.Module:
    from transformers import BertConfig, BertModel

    shape = BertConfig(
        vocab_size=vocabulary,
        hidden_size=hidden,
        num_hidden_layers=layers,
        num_attention_heads=max(1, hidden // 32),
        intermediate_size=4 * hidden,
        max_position_embeddings=positions,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
    )
    return BertModel(shape, add_pooling_layer=False)


def checkpoint_model(parameter: str, name: str, pretrained: bool) -> nn.Module:
    """A BERT-like model of transformers without its pooler.

    Args:
        parameter: the field of the configuration that names it. name: a local folder, or a
        repository of the hub, with `@revision` where it must be that one. pretrained: load the
        weights too.

    Raises:
        EncoderUnavailable: it cannot be had.
    """
    from transformers import AutoConfig, AutoModel

    repository, revision = hub_name(name)
    # No code from a hub is run, whatever the folder's configuration asks for.
    safe = {"revision": revision or "main", "trust_remote_code": False}
    try:
        if pretrained:
            backbone = AutoModel.from_pretrained(repository, use_safetensors=True, **safe)
        else:
            backbone = AutoModel.from_config(
                AutoConfig.from_pretrained(repository, **safe), trust_remote_code=False
            )
    except (OSError, ValueError, json.JSONDecodeError) as error:
        raise unavailable(parameter, name, error) from error
    # The mean of the hidden states is taken: a pooler would be parameters without gradients.
    if getattr(backbone, "pooler", None) is not None:
        backbone.pooler = None
    return backbone


def _rescaling(mean: tuple[float, ...], std: tuple[float, ...]) -> dict[str, Tensor | None]:
    """What turns pixels normalised by ImageNet's mean and deviation into pixels normalised by
    others; None where these are the same."""
    if (mean, std) == (MEAN, STD):
        return {"factor": None, "offset": None}
    ours, own = (torch.tensor(pair, dtype=torch.float64) for pair in ((MEAN, STD), (mean, std)))
    values = {"factor": ours[1] / own[1], "offset": (ours[0] - own[0]) / own[1]}
    return {part: value.float()[:, None, None] for part, value in values.items()}
