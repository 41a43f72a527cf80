"""A folder with a model, checked before and after it is read: a stranger's may hold anything.

Nothing is built larger than the weights that are there, no code of the folder runs, and no name in
it leads to a download of what is not known.
"""

from __future__ import annotations

import json
import math
import stat
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
import yaml
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from hypertax.config.presets import PRESETS
from hypertax.config.run_config import ALIGNED, TAXON_TABLE, RunConfig
from hypertax.model.encoders import checkpoint_model
from hypertax.model.lineage_vectors import TaxonTokens
from hypertax.model.pretrained_images import (
    LITE0,
    TINY_IMAGE_MODELS,
    EncoderUnavailable,
    image_backbone,
)
from hypertax.model.tokens import TextTokens, hub_name
from hypertax.records import ENVIRONMENT, damage
from hypertax.taxonomy import RANKS

LARGEST = {"config.yaml": 2**16, "tokenizer.json": 2**26, "model.safetensors": 2**34}
"""The files of a model, and the most bytes that each may have."""
OPTIONAL = {"profile.hmm": 2**26}
"""Files that a model may have beside them."""
_DEEPEST = 8
"""Levels of `config.yaml`."""
_NEEDED = ("space", "embed_dim", "image_size", "image_encoder", "dna_encoder", "text_encoder")
_OWN_NAMES = {
    "image": (*TINY_IMAGE_MODELS, LITE0),
    "dna": (ALIGNED, "cnn", "transformer"),
    "text": ("transformer", TAXON_TABLE),
}
_TENSORS = {"F64": torch.float64, "F32": torch.float32, "F16": torch.float16}
_TENSORS |= {"BF16": torch.bfloat16, "I64": torch.int64, "I32": torch.int32, "BOOL": torch.bool}
_TENSORS |= {"U8": torch.uint8, "I16": torch.int16, "I8": torch.int8}
_LARGEST_IMAGE = 4096
_LONGEST = 500


class ModelRefused(ValueError):
    """A folder that holds no usable model; says in one sentence what is wrong."""


@contextmanager
def refusing(folder: Path, name: str = "") -> Iterator[None]:
    """Say in one sentence that a folder's model cannot be used, whatever it fails with.

    Args:
        folder: of the model. name: of the file that the block reads.

    Raises:
        ModelRefused: the block raised anything but `FileNotFoundError` and `EncoderUnavailable`.
    """
    try:
        yield
    except (ModelRefused, FileNotFoundError, EncoderUnavailable):
        raise
    except Exception as error:
        raise _refused(folder, f"{name}: {error}" if name else error) from error
    except BaseException as error:
        # The tokenizers' library panics over some files, which is no `Exception`.
        if type(error).__name__ != "PanicException":
            raise
        raise _refused(folder, f"{name}: {error}" if name else error) from None


def _refused(folder: Path, what: object) -> ModelRefused:
    # What is quoted of a stranger's file may be long, and hold control characters.
    said = "".join(c if c.isprintable() else " " for c in str(what) or type(what).__name__)
    said = " ".join(said.split())
    said = said if len(said) <= 300 else f"{said[:300]} ..."
    return ModelRefused(f"{folder} holds no usable model: {said.rstrip('.')}.")


def check_files(folder: Path) -> None:
    """The model's files are there, regular, in the folder itself, of a likely size and, where a
    run's record is beside them, those that were written.

    Raises:
        FileNotFoundError: one is missing.
        ModelRefused: one is something else.
    """
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder} holds no trained model: it is no folder.")
    home = folder.resolve()
    for name, most in (LARGEST | OPTIONAL).items():
        path = folder / name
        try:
            found = path.stat()
        except OSError:
            if name in OPTIONAL and not path.is_symlink():
                continue
            raise FileNotFoundError(
                f"{folder} holds no trained model: {name} is missing."
            ) from None
        if not stat.S_ISREG(found.st_mode):
            raise _refused(folder, f"{name} is no regular file")
        if path.resolve().parent != home:
            raise _refused(folder, f"{name} leads to a file outside of it")
        if not 0 < found.st_size <= most:
            raise _refused(folder, f"{name} has {found.st_size:,} bytes, not 1 to {most:,}")
    if (folder / ENVIRONMENT).exists() and (wrong := damage(folder, LARGEST)):
        raise _refused(folder, wrong)


def read_config(folder: Path, trusted: Iterable[str]) -> tuple[RunConfig, tuple[str, ...]]:
    """The configuration and the modalities that `config.yaml` gives, checked.

    Args:
        folder: of the model. trusted: names of further checkpoints of a hub that it may name.

    Raises:
        ModelRefused: something in it is wrong.
    """
    text = (folder / "config.yaml").read_bytes().decode("utf-8")
    depth = 0
    for event in yaml.parse(text, Loader=yaml.SafeLoader):
        depth += isinstance(event, yaml.CollectionStartEvent)
        depth -= isinstance(event, yaml.CollectionEndEvent)
        if isinstance(event, yaml.AliasEvent) or depth > _DEEPEST:
            raise _refused(folder, "config.yaml is no plain list of parameters")
    description = yaml.safe_load(text)
    if not isinstance(description, dict) or not all(isinstance(key, str) for key in description):
        raise _refused(folder, "config.yaml is no list of parameters")
    if missing := [name for name in (*_NEEDED, "modalities") if name not in description]:
        raise _refused(folder, f"config.yaml does not say {missing[0]}")
    modalities = description.pop("modalities")
    if not (
        isinstance(modalities, list)
        and modalities
        and all(isinstance(m, str) and m in _OWN_NAMES for m in modalities)
        and len(set(modalities)) == len(modalities)
    ):
        raise _refused(folder, f"modalities must be some of {', '.join(_OWN_NAMES)}")
    # Embedding some specimens does not pay for compiling, and may happen where nothing can compile.
    config = RunConfig.from_dict(description | {"compile": False})
    if config.image_size > _LARGEST_IMAGE:
        raise _refused(folder, f"image_size must be at most {_LARGEST_IMAGE}")
    for modality in modalities:
        _check_encoder(folder, modality, getattr(config, f"{modality}_encoder"), trusted)
    return config, tuple(modalities)


def _check_encoder(folder: Path, modality: str, name: str, trusted: Iterable[str]) -> None:
    known = {*_OWN_NAMES[modality], *(p[f"{modality}_encoder"] for p in PRESETS.values()), *trusted}
    if name in known or hub_name(name)[0] in known or Path(name).is_dir():
        return
    if modality == "image":
        import timm

        if timm.is_model(name):
            return
    raise _refused(
        folder,
        f"{modality}_encoder {name!r} is neither a folder here nor known; where you trust it, give"
        " trusted=[its name]",
    )


def read_tokens(folder: Path, config: RunConfig) -> TextTokens | TaxonTokens:
    """What `tokenizer.json` says, checked: lineages of taxa, or a tokenizer.

    Raises:
        ModelRefused: something in it is wrong.
    """
    path = folder / "tokenizer.json"
    content = json.loads(path.read_text(encoding="utf-8"))
    if config.text_encoder == TAXON_TABLE:
        _check_lineages(folder, content)
        return TaxonTokens.load(path)
    if not isinstance(content, dict) or _patterns(content):
        raise _refused(folder, "tokenizer.json is no tokenizer of names")
    tokens = TextTokens.load(path)
    numbers = set(tokens.tokenizer.get_vocab().values())
    if tokens.padding is None or numbers != set(range(len(numbers))):
        raise _refused(folder, "tokenizer.json has no padding, or gaps in its numbers")
    return tokens


def _check_lineages(folder: Path, content: Any) -> None:
    seen = set()
    for lineage in content if isinstance(content, list) and content else [None]:
        if not (
            isinstance(lineage, list)
            and len(lineage) == len(RANKS)
            and all(n is None or (isinstance(n, str) and 0 < len(n) <= _LONGEST) for n in lineage)
            and any(lineage)
        ):
            raise _refused(folder, "tokenizer.json is no list of lineages")
        depth = max(i for i, name in enumerate(lineage) if name)
        if (depth, lineage[depth]) in seen:
            raise _refused(folder, f"tokenizer.json has the taxon {lineage[depth]!r} twice")
        seen.add((depth, lineage[depth]))


def _patterns(content: Any) -> bool:
    """Whether a tokenizer has regular expressions, which can take for ever."""
    todo = [content]
    while todo:
        one = todo.pop()
        if isinstance(one, dict):
            if "Regex" in one:
                return True
            todo += [value for key, value in one.items() if key != "vocab"]
        elif isinstance(one, list) and len(one) < 100:
            todo += one
    return False


def read_shapes(folder: Path) -> dict[str, tuple[torch.dtype | None, tuple[int, ...]]]:
    """Type and shape of every tensor of `model.safetensors`, from its header alone.

    Raises:
        ModelRefused: it is none.
    """
    try:
        with safe_open(folder / "model.safetensors", "pt") as file:
            parts = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118
            return {
                name: (_TENSORS.get(part.get_dtype()), tuple(part.get_shape()))
                for name, part in parts.items()
            }
    except SafetensorError as error:
        raise _refused(folder, f"model.safetensors cannot be read ({error})") from None


def check_sizes(
    folder: Path,
    config: RunConfig,
    modalities: tuple[str, ...],
    tokens: TextTokens | TaxonTokens,
    shapes: dict[str, tuple],
) -> None:
    """The configuration builds nothing that is larger than the weights that are there.

    Raises:
        ModelRefused: it would.
    """

    def size(prefix: str) -> int:
        return sum(math.prod(s) for name, (_, s) in shapes.items() if name.startswith(prefix))

    for modality in modalities:
        if modality == "text" and config.text_encoder == TAXON_TABLE:
            least = tokens.size * config.projected
        else:
            width = shapes.get(f"projections.{modality}.weight", (None, ()))[1]
            if not width or width[0] != config.projected:
                raise _refused(folder, f"embed_dim is not that of the weights of {modality}")
            least = 0
        if modality == "text" and isinstance(tokens, TextTokens):
            rows = shapes.get("encoders.text.backbone.embeddings.word_embeddings.weight")
            if not rows or not rows[1] or tokens.size > rows[1][0]:
                raise _refused(folder, "tokenizer.json has more words than the weights")
        name = getattr(config, f"{modality}_encoder")
        frozen = modality == "image" and config.cached_views
        own_names = (*_OWN_NAMES["dna"], *_OWN_NAMES["text"], "tiny-convnext", LITE0)
        if not frozen and name not in own_names:
            # Built without memory, to be counted.
            with torch.device("meta"):
                built = (
                    image_backbone(name, config.image_size, pretrained=False)
                    if modality == "image"
                    else checkpoint_model(f"{modality}_encoder", name, False)
                )
            least = sum(value.numel() for value in built.parameters())
        if least > size(f"encoders.{modality}."):
            raise _refused(folder, f"{modality}_encoder is larger than the weights that are there")


def check_weights(
    folder: Path, model: nn.Module, config: RunConfig, weights: dict[str, Tensor]
) -> None:
    """The weights are those of the model: names, types, shapes, and numbers within their bounds.

    Raises:
        ModelRefused: they are not.
    """
    own = model.state_dict()
    if set(own) != set(weights):
        name = min(set(own) ^ set(weights))
        what = "has no" if name in own else "has an unknown"
        raise _refused(folder, f"model.safetensors {what} {name}")
    for name, value in own.items():
        found = weights[name]
        if found.shape != value.shape or found.dtype != value.dtype:
            raise _refused(
                folder,
                f"{name} is {tuple(found.shape)} of {found.dtype}, not {tuple(value.shape)} of"
                f" {value.dtype}",
            )
        if found.is_floating_point() and not torch.isfinite(found).all():
            raise _refused(folder, f"{name} is not finite")
    _check_space(folder, config, weights)
    radii = weights.get("encoders.text.radii")
    if radii is not None and (radii < 0).any():
        raise _refused(folder, "encoders.text.radii has a radius below 0")


def _check_space(folder: Path, config: RunConfig, weights: dict[str, Tensor]) -> None:
    bounds = {"log_logit_scale": (-math.log(10.0), math.log(100.0))}
    bounds["space.log_divergence_scale"] = (-10.0, 10.0)
    if config.space == "lorentz":
        reach = math.log(10) if config.learn_curvature else 0.0
        c = math.log(config.curvature)
        bounds["space.log_curvature"] = (c - reach, c + reach)
        bounds["space.share"] = (0.0, 1.0)
        scales = [name for name in weights if name.startswith("space.log_scale.")]
        bounds |= dict.fromkeys(scales, (-100.0, 0.0))
    for name, (low, high) in bounds.items():
        if name in weights and not low - 1e-4 <= weights[name].item() <= high + 1e-4:
            raise _refused(folder, f"{name} is {weights[name].item():.4g}, out of its bounds")
