"""Low-rank adapters (LoRA, Hu et al. 2022) by peft: an encoder's own weights stay as loaded, small
matrices beside them learn."""

from __future__ import annotations

from torch import nn


def add_adapters(parameter: str, encoder: nn.Module, rank: int) -> None:
    """Freeze an encoder and put adapters of `rank` on its attention layers, in place.

    The adapted layers are query and value of a BERT, as in CLIBD [B], and the fused projection
    `qkv` of a timm vision transformer, whose keys are therefore adapted too [O]. An adapter is
    added unscaled (alpha = rank), as in CLIBD [B], and is zero at first: the encoder maps to what
    it did without. Its other matrix is drawn from PyTorch's global generator. The adapters belong
    to the encoder's state dict.

    parameter: the name of the configuration's field that chose the encoder. encoder: has a
    `backbone`, or no attention.

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
