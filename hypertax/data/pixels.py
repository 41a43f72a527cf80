"""Pixels of a picture as people see them: upright, 8 bits, red, green and blue, nothing transparent.

Of several frames or pages it is the first one.
"""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageOps

BACKGROUND = (255, 255, 255)
"""What is behind transparent pixels: white, as behind most specimens that were cut out."""
_WHITE_IS_ZERO = 0
_PHOTOMETRIC = 262
"""TIFF's tag that says whether zero is white."""


def as_rgb(image: Image.Image) -> Image.Image:
    """A picture of mode RGB, turned as its EXIF orientation says.

    Integers of 16 bits are scaled from 0 to 65,535. Integers of 32 bits are so, too, unless one is
    larger: then from 0 to 2^31. The scale of floats is told by their maximum: up to 1, 255 or
    65,535, each with as much again for overshooting, otherwise the maximum itself.

    Args:
        image: an image file of Pillow's, opened.

    Raises:
        Exception: whatever Pillow raises of a broken file.
    """
    image.load()
    _turn(image)
    if image.mode in ("I", "F") or image.mode.startswith("I;"):
        grey = _eight_bits(np.asarray(image))
        tags = getattr(image, "tag_v2", {})
        if image.mode != "F" and tags.get(_PHOTOMETRIC) == _WHITE_IS_ZERO:
            grey = 255 - grey
        return Image.fromarray(grey).convert("RGB")
    if image.has_transparency_data:
        picture = image.convert("RGBA")
        behind = Image.new("RGBA", picture.size, (*BACKGROUND, 255))
        return Image.alpha_composite(behind, picture).convert("RGB")
    return image if image.mode == "RGB" else image.convert("RGB")


def _turn(image: Image.Image) -> None:
    try:
        ImageOps.exif_transpose(image, in_place=True)
    # A picture whose EXIF block is broken is still a picture.
    except Exception:
        return


def _eight_bits(values: np.ndarray) -> np.ndarray:
    """Grey values (H, W) of 16 or 32 bits, or floats, as bytes."""
    if values.dtype.kind == "f":
        values = np.nan_to_num(values.astype(np.float32), nan=0, posinf=0, neginf=0)
        top = values.max()
        scale = next((most for most in (1, 255, 65535) if top <= 2 * most), top)
        return np.clip(np.rint(values * np.float32(255 / scale)), 0, 255).astype(np.uint8)
    bits = 16 if values.max() < 2**16 else 31
    # The higher byte: right for values that were multiplied by 256 as well as by 257.
    return (np.clip(values, 0, None) >> (bits - 8)).astype(np.uint8)
