"""Features of photographs from a pretrained model that is not trained, computed once and kept.

A photograph is known by its file's content, so that copies, other names and other tables share what
was computed. What is kept depends on the model's weights, the size of the views and the code.
"""

from __future__ import annotations

import hashlib
import re
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file
from torch import Tensor

from hypertax import sources
from hypertax.data.images import (
    central_view,
    mapped_view,
    middle_square,
    random_affine,
    square_side,
)
from hypertax.data.photograph_files import UnreadablePhotograph, content_digest, read_photograph
from hypertax.data.progress import progress_bar
from hypertax.data.specimens import cache_folder
from hypertax.files import atomic_path, processors
from hypertax.model.pretrained_images import FrozenEncoder, frozen_encoder

SHARD = 512
"""Photographs whose features go into one file: what a killed process loses at most."""
BATCH = 16
"""Photographs at a time: larger batches are slower on CPUs. The last one is filled up, as the
rounding of one photograph's features may depend on how many are computed with it."""
IN_MEMORY = 2**30
"""Larger arrays of features, bytes, are kept in a temporary file."""
_WITHOUT_EFFECT = (
    "hypertax.data.progress",
    "hypertax.data.specimens",
    "hypertax.files",
    "hypertax.sources",
)


@dataclass(frozen=True)
class ImageFeatures:
    """Features of the photographs of N specimens.

    Attributes:
        values: (N, V, F) float16, of V views each; zero where there is no photograph.
        present: (N,) bool, whether there is a photograph that could be read.
        unreadable: the files that could not be read, each once, in their order.
    """

    values: np.ndarray
    present: np.ndarray
    unreadable: list[str]


def frozen_features(
    paths: Sequence[str | None],
    encoder: str,
    size: int,
    views: int,
    *,
    folder: Path | None = None,
    device: str | torch.device = "cpu",
    progress: bool = False,
) -> ImageFeatures:
    """Features of photographs from a pretrained model that is not trained.

    The first view is the photograph's middle, for evaluation. The others are turned by up to 45
    degrees, flipped and shifted, always in the same way for the same content.

    Args:
        paths: a file per specimen, None where it has none.
        encoder: `efficientnet_lite0`, a local folder with a timm model, or a name of timm's.
        size: side S of the views, pixels.
        views: V of each photograph, at least 1.
        folder: where features are kept; by default `cache/image-features` beside the data sets.
        device: where they are computed.
        progress: show a bar.

    Raises:
        EncoderUnavailable: the model's weights cannot be had.
        ValueError: `views` or the model's name is wrong, or the model's features are not finite.
    """
    if views < 1:
        raise ValueError(f"views must be at least 1, not {views}.")
    model = frozen_encoder(encoder, size, device)
    kept = _Kept(Path(folder or cache_folder("image-features")), encoder, model, size)
    digests = _digests(paths, progress)
    first: dict[str, int] = {}
    for row, digest in enumerate(digests):
        if digest is not None:
            first.setdefault(digest, row)
    values = _zeros((len(paths), views, model.width), kept.folder)
    done = kept.load(first, values)
    broken = _compute(paths, first, values, done, model, size, kept, device, progress)
    rows = np.array([-1 if digest is None else first[digest] for digest in digests], dtype=int)
    present = (rows >= 0) & ~np.isin(rows, broken)
    for row in np.flatnonzero((rows >= 0) & (rows != np.arange(len(rows)))):
        values[row] = values[rows[row]]
    lost = [paths[row] for row in np.flatnonzero(~present) if paths[row] is not None]
    return ImageFeatures(values, present, list(dict.fromkeys(lost)))


def view_maps(digests: Sequence[str], view: int, size: int) -> Tensor:
    """(B, 2, 3) maps of `mapped_view` for a view's number, at least 1, drawn from the photographs'
    content alone."""
    maps = []
    for digest in digests:
        generator = torch.Generator().manual_seed(int(digest[:12], 16) + view)
        maps.append(random_affine(1, square_side(size), size, generator))
    return torch.cat(maps)


def _digests(paths: Sequence[str | None], progress: bool) -> list[str | None]:
    with ThreadPoolExecutor(processors()) as pool:
        found = pool.map(lambda path: None if path is None else content_digest(path), paths)
        return list(_bar(found, len(paths), "reading photographs", progress))


def _bar(steps, total: int, what: str, shown: bool):
    return progress_bar(
        steps,
        total=total,
        desc=what,
        unit=" images",
        leave=False,
        mininterval=1,
        delay=2,
        disable=not shown,
    )


def _zeros(shape: tuple[int, ...], folder: Path) -> np.ndarray:
    if 2 * np.prod(shape, dtype=np.int64) <= IN_MEMORY:
        return np.zeros(shape, dtype=np.float16)
    folder.mkdir(parents=True, exist_ok=True)
    # Without a name: it is gone with the process, however that ends.
    with tempfile.TemporaryFile(dir=folder) as file:
        return np.memmap(file, dtype=np.float16, mode="w+", shape=shape)


def _compute(
    paths: Sequence[str | None],
    first: dict[str, int],
    values: np.ndarray,
    done: np.ndarray,
    model: FrozenEncoder,
    size: int,
    kept: _Kept,
    device: str | torch.device,
    progress: bool,
) -> np.ndarray:
    """Fill in and keep the views that are not `done`, (N, V) bool; the rows that cannot be
    decoded."""
    todo = [(digest, row) for digest, row in first.items() if not done[row].all()]
    broken: list[int] = []
    parts = [todo[start : start + SHARD] for start in range(0, len(todo), SHARD)]
    bar = _bar(None, len(todo), "image features", progress)
    with ThreadPoolExecutor(processors()) as pool:

        def decode(part: list[tuple[str, int]]) -> list:
            return [pool.submit(_square, paths[row], square_side(size)) for _, row in part]

        coming = decode(parts[0]) if parts else []
        for number, part in enumerate(parts):
            squares = [future.result() for future in coming]
            # The next ones are decoded while these are computed.
            coming = decode(parts[number + 1]) if number + 1 < len(parts) else []
            broken += [row for (_, row), one in zip(part, squares, strict=True) if one is None]
            whole = [(*key, one) for key, one in zip(part, squares, strict=True) if one is not None]
            for view in range(values.shape[1]):
                missing = [item for item in whole if not done[item[1], view]]
                for start in range(0, len(missing), BATCH):
                    batch = missing[start : start + BATCH]
                    rows = [row for _, row, _ in batch]
                    values[rows, view] = _features(model, batch, view, size, device)
                if missing:
                    names, rows = [item[0] for item in missing], [item[1] for item in missing]
                    kept.save(names, view, values[rows, view])
            bar.update(len(part))
    bar.close()
    return np.array(broken, dtype=int)


def _square(path: str, side: int) -> Tensor | None:
    try:
        return middle_square(path, read_photograph(path), side)
    except UnreadablePhotograph:
        return None


def _features(
    model: FrozenEncoder, batch: list, view: int, size: int, device: str | torch.device
) -> np.ndarray:
    """(B, F) float16 of a view of B photographs: their digests, rows and squares."""
    squares = torch.stack([square for _, _, square in batch])
    if view == 0:
        pixels = central_view(squares, size)
    else:
        maps = view_maps([digest for digest, _, _ in batch], view, size)
        pixels = mapped_view(squares.float(), maps, size)
    padding = torch.zeros(BATCH - len(batch), *pixels.shape[1:], dtype=pixels.dtype)
    features = model(torch.cat([pixels, padding]).to(device))[: len(batch)].half()
    if not torch.isfinite(features).all():
        raise ValueError(
            "The image encoder's features are not finite as 16-bit numbers: choose another encoder."
        )
    return features.cpu().numpy()


class _Kept:
    """The features that are on disk, for one model, size and code: a folder with files of many
    photographs and one view each."""

    def __init__(self, folder: Path, encoder: str, model: FrozenEncoder, size: int) -> None:
        said = "\0".join([model.digest, str(size), str(model.mean), str(model.std), _code()])
        key = hashlib.sha256(said.encode()).hexdigest()[:16]
        name = re.sub(r"[^\w.-]+", "-", Path(encoder).name)[:40]
        self.folder = folder / f"{name}-{size}-{key}"
        self.width = model.width

    def load(self, first: dict[str, int], values: np.ndarray) -> np.ndarray:
        """Fill in what is there, of the rows that `first` names by digest; (N, V) bool, where."""
        done = np.zeros(values.shape[:2], dtype=bool)
        for view in range(values.shape[1]):
            for digests, features in self._files(view):
                rows = np.array([first.get(digest, -1) for digest in digests], dtype=int)
                here = rows >= 0
                values[rows[here], view] = features[here]
                done[rows[here], view] = True
        return done

    def _files(self, view: int) -> Iterator[tuple[list[str], np.ndarray]]:
        for path in sorted((self.folder / f"view{view}").glob("*.safetensors")):
            try:
                with safe_open(path, "numpy") as file:
                    content = {name: file.get_tensor(name) for name in ("digests", "features")}
                    said = (file.metadata() or {}).get("sha256")
                whole = said == _checksum(content) and content["features"].shape[1] == self.width
            except (OSError, SafetensorError):
                whole = False
            if whole:
                yield [row.tobytes().hex() for row in content["digests"]], content["features"]
            else:
                # It is made again, and may not get the same name.
                with suppress(OSError):
                    path.unlink()

    def save(self, digests: list[str], view: int, features: np.ndarray) -> None:
        """Write (B, F) float16 features of a view of B photographs."""
        rows = np.frombuffer(bytes.fromhex("".join(digests)), dtype=np.uint8).reshape(-1, 32)
        content = {"digests": rows, "features": np.ascontiguousarray(features)}
        name = hashlib.sha256(rows.tobytes()).hexdigest()[:24]
        with atomic_path(self.folder / f"view{view}" / f"{name}.safetensors") as temporary:
            save_file(content, temporary, metadata={"sha256": _checksum(content)})


def _checksum(content: dict[str, np.ndarray]) -> str:
    digest = hashlib.sha256()
    for name in ("digests", "features"):
        digest.update(f"{content[name].dtype} {content[name].shape}\0".encode())
        digest.update(np.ascontiguousarray(content[name]).data)
    return digest.hexdigest()


@cache
def _code() -> str:
    """What tells versions of the code that computes features apart: ours and timm's."""
    import timm

    code = sources.fingerprint("hypertax.model.image_features", without=_WITHOUT_EFFECT)
    return f"{code} timm {timm.__version__}"
