"""The insect's body in light: ellipsoids, shaded pixel by pixel."""

from __future__ import annotations

import numpy as np
from PIL import Image

from hypertax.data.simulation.shapes import Ellipsoid

_BANK = 640
"""Side in pixels of the texture from which each picture takes a random piece."""


def _mottle() -> np.ndarray:
    """(side, side) smooth noise around 1: cuticle is never one flat colour. The same in every
    process."""
    rng = np.random.default_rng(0)
    total = np.ones((_BANK, _BANK), dtype=np.float32)
    for cell, strength in ((14, 0.16), (5, 0.14), (2, 0.08)):
        coarse = Image.fromarray(rng.uniform(0, 255, (_BANK // cell + 1,) * 2).astype(np.uint8))
        fine = coarse.resize((_BANK, _BANK), Image.Resampling.BICUBIC)
        total += strength * (np.asarray(fine, dtype=np.float32) / 127.5 - 1)
    return total


_MOTTLE = _mottle()


def shade_body(
    picture: Image.Image,
    parts: list[Ellipsoid],
    view: np.ndarray,
    scale: float,
    origin: np.ndarray,
    light: np.ndarray,
    rng: np.random.Generator,
) -> None:
    """Draw the parts into the picture, the nearer ones over the farther.

    view: (3, 3) rotation from the body's axes to the picture's. scale: pixels per body unit.
    origin: (2,) the thorax, pixels. light: (3,) unit vector towards the lamp, in the picture's
    axes.
    """
    centres = np.stack([part.centre for part in parts]) @ view.T
    reach = np.stack(
        [np.sqrt(((view[:2] @ part.axes) ** 2 * part.radii**2).sum(1)) for part in parts]
    )
    low = np.maximum(((centres[:, :2] - reach).min(0) * scale + origin - 2).astype(int), 0)
    high = np.minimum(
        ((centres[:, :2] + reach).max(0) * scale + origin + 3).astype(int), picture.size
    )
    if (high <= low).any():
        return
    box = (*low.tolist(), *high.tolist())
    pixels = np.asarray(picture.crop(box)).astype(np.float32) / 255
    depth = np.full(pixels.shape[:2], -np.inf, dtype=np.float32)
    across, down = (
        rng.integers(0, _BANK - high[0] + low[0] + 1),
        rng.integers(0, _BANK - high[1] + low[1] + 1),
    )
    mottle = _MOTTLE[down : down + pixels.shape[0], across : across + pixels.shape[1]]
    light = light.astype(np.float32)
    for k in np.argsort(centres[:, 2], kind="stable"):
        _shade(
            pixels,
            depth,
            mottle,
            parts[k],
            view @ parts[k].axes,
            centres[k],
            reach[k],
            scale,
            origin - low,
            light,
        )
    picture.paste(
        Image.fromarray((np.minimum(np.maximum(pixels, 0), 1) * 255).astype(np.uint8)), box[:2]
    )


def _shade(pixels, depth, mottle, part, axes, centre, reach, scale, origin, light) -> None:
    x0, y0 = centre[:2] * scale + origin
    height, width = depth.shape
    left, right = max(0, int(x0 - reach[0] * scale - 1)), min(width, int(x0 + reach[0] * scale) + 3)
    top, bottom = (
        max(0, int(y0 - reach[1] * scale - 1)),
        min(height, int(y0 + reach[1] * scale) + 3),
    )
    if left >= right or top >= bottom:
        return
    here = (slice(top, bottom), slice(left, right))
    x = ((np.arange(left, right) + 0.5 - x0) / scale).astype(np.float32)[None]
    y = ((np.arange(top, bottom) + 0.5 - y0) / scale).astype(np.float32)[:, None]

    # The surface is p'Ap = 1; its outline in the picture is the ellipse q'Bq = 1.
    a = (axes / part.radii**2 @ axes.T).astype(np.float32)
    b = np.linalg.inv((axes[:2] * part.radii**2) @ axes[:2].T).astype(np.float32)
    inside = 1 - (b[0, 0] * x * x + b[1, 1] * y * y + (2 * b[0, 1] * x) * y)
    positive = np.maximum(inside, 0)
    z = np.sqrt(positive / a[2, 2]) - (a[0, 2] / a[2, 2] * x + a[1, 2] / a[2, 2] * y)
    # Pixels of the outline are covered in part: their distance to it, in pixels, along the narrower
    # axis.
    narrow = scale / np.sqrt(
        0.5 * (b[0, 0] + b[1, 1]) + np.hypot(0.5 * (b[0, 0] - b[1, 1]), b[0, 1])
    )
    cover = np.minimum(np.maximum((1 - np.sqrt(1 - np.minimum(inside, 1))) * narrow + 0.5, 0), 1)
    z_there = z + centre[2]
    cover *= z_there > depth[here]
    if not cover.any():
        return  # Hidden by nearer parts.

    normal = [(a[0, k] * x + a[1, k] * y) + a[2, k] * z for k in range(3)]
    shrink = 1 / np.sqrt(
        normal[0] * normal[0] + normal[1] * normal[1] + normal[2] * normal[2] + 1e-9
    )
    halfway = light + np.array([0, 0, 1], dtype=np.float32)
    halfway /= np.linalg.norm(halfway)
    toward = (normal[0] * light[0] + normal[1] * light[1] + normal[2] * light[2]) * shrink
    shine = np.maximum(
        (normal[0] * halfway[0] + normal[1] * halfway[1] + normal[2] * halfway[2]) * shrink, 0
    )
    facing = np.maximum(normal[2] * shrink, 0)
    # Light wraps around the body: a well is bright on all sides.
    diffuse = (0.70 + 0.42 * np.maximum(toward, -0.5)) * (0.74 + 0.30 * facing) * mottle[here]
    soft = shine * shine
    soft *= soft
    sharp = soft * soft
    sharp *= sharp * sharp
    sharp *= sharp
    glint = (0.15 * part.gloss) * soft + (0.6 * part.gloss) * sharp
    lit = _marked(part, axes, x, y, z) * diffuse[..., None]
    lit += glint[..., None]
    patch = pixels[here]
    lit -= patch
    lit *= cover[..., None]
    patch += lit
    np.copyto(depth[here], z_there, where=cover > 0.5)


def _marked(part: Ellipsoid, axes, x, y, z) -> np.ndarray:
    """The part's own colours at each pixel, (h, w, 3) or (1, 1, 3)."""
    colour = np.array(part.colour, dtype=np.float32).reshape(1, 1, 3)
    strong = [mark for mark in part.marks if mark[2] > 0.05]
    if not strong:
        return colour
    # Coordinates in which the part is the unit ball: forward, left, up.
    scaled = (axes / part.radii).astype(np.float32)
    u, v, w = ((scaled[0, k] * x + scaled[1, k] * y) + scaled[2, k] * z for k in range(3))
    for kind, over, strength in strong:
        share = (min(1.0, strength) * np.minimum(np.maximum(_MARKS[kind](u, v, w), 0), 1))[
            ..., None
        ]
        colour = colour + (np.array(over, dtype=np.float32) - colour) * share
    return colour


_MARKS = {
    "all": lambda u, v, w: np.ones_like(u),
    "band": lambda u, v, w: np.minimum((-0.10 - u) * 9, (w + 0.75) * 3),
    "seam": lambda u, v, w: 1 - np.abs(u + 0.38) * 12,
    "belly": lambda u, v, w: (-0.15 - w) * 2.5,
    "stripe": lambda u, v, w: np.minimum((0.34 - np.abs(v)) * 7, w * 5),
    "stripes": lambda u, v, w: np.minimum((np.cos(v * 9) - 0.25) * 3, (w - 0.1) * 5),
    "rows": lambda u, v, w: 0.5 + 0.5 * np.cos(v * 17),
    "spots": lambda u, v, w: (
        (0.30 - np.minimum(np.hypot((u - 0.42) * 1.6, v - 0.1), np.hypot((u + 0.38) * 1.6, v))) * 9
    ),
    "crossband": lambda u, v, w: (0.17 - np.abs(u + 0.02)) * 10,
}
"""Strength of each kind of mark at a place of the unit ball; below 0 and above 1 are cut."""
