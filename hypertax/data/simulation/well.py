"""The background of a photograph: the bottom of a white well in soft light. It knows nothing of the
insect."""

from __future__ import annotations

import aggdraw
import numpy as np
from PIL import Image

_COARSE = 5
"""Soft light is drawn at this fraction of the resolution and enlarged: 25 times faster, and it
looks the same."""


def well(width: int, height: int, rng: np.random.Generator) -> Image.Image:
    """An RGB picture of an empty well: grey-blue, concentric soft reflections, vignetting,
    scratches, dust."""
    w, h = width // _COARSE + 2, height // _COARSE + 2
    y, x = np.mgrid[0:h, 0:w].astype(np.float32)
    centre_x, centre_y = w * rng.normal(0.5, 0.16), h * rng.normal(0.5, 0.16)
    dx, dy = x - centre_x, y - centre_y
    distance = np.hypot(dx, dy) / (0.5 * min(w, h))
    angle = np.arctan2(dy, dx)

    light = np.zeros((h, w), dtype=np.float32)
    radius = rng.uniform(0.3, 0.7)
    for _ in range(rng.integers(2, 5)):
        # A ring is brightest on the sides that face the lamps.
        facing = 0.55 + 0.45 * np.cos(rng.integers(1, 4) * (angle - rng.uniform(0, 2 * np.pi)))
        light += (
            rng.uniform(8, 34)
            * facing
            * np.exp(-(((distance - radius) / rng.uniform(0.05, 0.2)) ** 2))
        )
        radius += rng.uniform(0.2, 0.6)
    light -= rng.uniform(4, 16) * np.exp(-((distance / rng.uniform(0.3, 0.8)) ** 2))
    for _ in range(rng.integers(3, 8)):
        # Broad pale patches: the walls of the well seen out of focus.
        px, py, turn = rng.uniform(0, w), rng.uniform(0, h), rng.uniform(0, np.pi)
        along = (x - px) * np.cos(turn) + (y - py) * np.sin(turn)
        across = (y - py) * np.cos(turn) - (x - px) * np.sin(turn)
        light += rng.uniform(-6, 22) * np.exp(
            -((along / (w * rng.uniform(0.1, 0.4))) ** 2)
            - (across / (w * rng.uniform(0.04, 0.12))) ** 2
        )
    tilt = rng.uniform(-9, 9, 2)
    light += tilt[0] * (x / w - 0.5) + tilt[1] * (y / h - 0.5)
    vignette = ((x / w - 0.5) ** 2 + (y / h - 0.5) ** 2) * rng.uniform(0, 26)

    grey, blue = rng.uniform(178, 201), rng.uniform(1, 16)
    base = np.array(
        [grey - 0.55 * blue, grey + rng.uniform(-2.0, 4.0), grey + 0.6 * blue], dtype=np.float32
    )
    coarse = base + (light - vignette)[..., None] * np.array([1.0, 0.98, 0.93], dtype=np.float32)
    picture = Image.fromarray(coarse.clip(0, 255).astype(np.uint8)).resize(
        (width, height), Image.Resampling.BILINEAR
    )
    scale = _COARSE
    return _marks(picture, centre_x * scale, centre_y * scale, rng)


def _marks(
    picture: Image.Image, centre_x: float, centre_y: float, rng: np.random.Generator
) -> Image.Image:
    """Sharp things: rims of reflections, scratches, glitter, dust and fibres."""
    width, height = picture.size
    side = min(width, height)
    canvas = aggdraw.Draw(picture)
    for _ in range(rng.integers(1, 4)):
        radius = side * rng.uniform(0.25, 0.75)
        start, span = rng.uniform(0, 360), rng.uniform(40, 200)
        box = (centre_x - radius, centre_y - radius, centre_x + radius, centre_y + radius)
        for line_width, opacity in ((3.2, 16), (1.1, 42)):
            canvas.arc(
                box,
                start,
                start + span,
                aggdraw.Pen(
                    (244, 247, 252),
                    line_width * rng.uniform(0.6, 1.2),
                    int(opacity * rng.uniform(0.4, 1.2)),
                ),
            )
    for _ in range(rng.integers(3, 10)):
        x, y, turn = rng.uniform(0, width), rng.uniform(0, height), rng.uniform(0, 2 * np.pi)
        length = side * rng.uniform(0.05, 0.4)
        pen = aggdraw.Pen((240, 243, 250), rng.uniform(0.5, 1.4), int(rng.uniform(20, 80)))
        canvas.line((x, y, x + length * np.cos(turn), y + length * np.sin(turn)), pen)
    for _ in range(rng.integers(0, 5)):
        # Glitter where a lamp's edge is reflected, split into colours by the plastic.
        turn, radius = rng.uniform(0, 2 * np.pi), side * rng.uniform(0.5, 0.75)
        for _ in range(rng.integers(4, 12)):
            colour = ((255, 252, 240), (252, 236, 214), (232, 240, 255))[rng.integers(3)]
            start, reach = turn + rng.normal(0, 0.09), radius + rng.normal(0, side * 0.012)
            x, y = centre_x + reach * np.cos(start), centre_y + reach * np.sin(start)
            length = rng.uniform(0.6, 5.0)
            end = (x - length * np.sin(start), y + length * np.cos(start))
            canvas.line(
                (x, y, *end), aggdraw.Pen(colour, rng.uniform(0.6, 1.8), int(rng.uniform(60, 210)))
            )
    for _ in range(rng.integers(0, 7)):
        x, y, size = rng.uniform(0, width), rng.uniform(0, height), rng.uniform(0.4, 1.6)
        canvas.ellipse(
            (x - size, y - size, x + size, y + size),
            aggdraw.Brush((70, 66, 64), int(rng.uniform(50, 170))),
        )
    for _ in range(rng.integers(0, 4)):
        x, y, turn, length = (
            rng.uniform(0, width),
            rng.uniform(0, height),
            rng.uniform(0, 2 * np.pi),
            rng.uniform(4, 22),
        )
        bend = rng.normal(0, 3, 2)
        points = (
            x,
            y,
            x + 0.5 * length * np.cos(turn) + bend[0],
            y + 0.5 * length * np.sin(turn) + bend[1],
        )
        canvas.line(
            (*points, x + length * np.cos(turn), y + length * np.sin(turn)),
            aggdraw.Pen((88, 82, 80), rng.uniform(0.5, 1.2), int(rng.uniform(60, 160))),
        )
    canvas.flush()
    return picture
