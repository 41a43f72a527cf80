"""Photographs of simulated insects: a scene seen from a random side, lit, blurred and compressed as
by the camera."""

from __future__ import annotations

import io
from math import hypot

import aggdraw
import numpy as np
from PIL import Image, ImageChops

from hypertax.data.simulation.insect import insect
from hypertax.data.simulation.shading import shade_body
from hypertax.data.simulation.shapes import Insect, Stroke, Wing, cross
from hypertax.data.simulation.traits import specimen_traits
from hypertax.data.simulation.well import well

SHORT_SIDE = 256
"""Pixels, as in BIOSCAN-1M's `cropped_256`."""
ASPECTS = (0.85, 1.6)
"""Lowest and highest ratio of width to height of a cropped photograph."""
_GRAIN = Image.merge(
    "RGB",
    [
        Image.fromarray(
            (128 + np.random.default_rng(1).normal(0, 1.8, (512, 640))).round().astype(np.uint8)
        )
    ]
    * 3,
)
"""Noise of the sensor, 128 standing for none; each picture takes a random piece."""


def photograph(species_traits: np.ndarray, seed: tuple[int, ...]) -> bytes:
    """A JPEG file of one specimen.

    Args:
        species_traits: (traits,) the specimen's species, as `species_traits` returns it.
        seed: of this specimen; pose, side, light and background depend on it alone.
    """
    looks, scene, camera = (np.random.default_rng([*seed, k]) for k in range(3))
    animal = insect(specimen_traits(species_traits, looks), scene)
    view = _view(scene)
    points = _outline(animal) @ view[:2].T
    low, high = points.min(0), points.max(0)
    margin = scene.uniform(1.15, 1.5, 2)
    wide, tall = (high - low) * margin
    aspect = float(np.clip(wide / tall, *ASPECTS))
    width, height = (
        (round(SHORT_SIDE * aspect), SHORT_SIDE)
        if aspect >= 1
        else (SHORT_SIDE, round(SHORT_SIDE / aspect))
    )
    scale = min(width / wide, height / tall)
    slack = np.array([width, height]) - (high - low) * scale
    origin = -low * scale + slack * scene.uniform(0.3, 0.7, 2)

    picture = well(width, height, camera)
    _paint(picture, animal, view, scale, origin, camera)
    return _exposed(picture, camera)


def _view(rng: np.random.Generator) -> np.ndarray:
    """(3, 3) rotation from the body's axes to the picture's (x right, y down, z to the camera): any
    angle, most often from above or from the side, seldom from below."""
    roll = rng.choice(
        [0.0, np.pi / 2, -np.pi / 2, np.pi], p=[0.9, 0.045, 0.045, 0.01]
    ) + rng.normal(0, 0.2)
    pitch, yaw = rng.normal(0, 0.16), rng.uniform(0, 2 * np.pi)
    about_x = np.array(
        [[1, 0, 0], [0, np.cos(roll), -np.sin(roll)], [0, np.sin(roll), np.cos(roll)]]
    )
    about_y = np.array(
        [[np.cos(pitch), 0, np.sin(pitch)], [0, 1, 0], [-np.sin(pitch), 0, np.cos(pitch)]]
    )
    about_z = np.array([[np.cos(yaw), -np.sin(yaw), 0], [np.sin(yaw), np.cos(yaw), 0], [0, 0, 1]])
    return about_z @ about_y @ about_x


def _outline(animal: Insect) -> np.ndarray:
    """Points that the frame must hold: (N, 3)."""
    centres = np.stack([part.centre for part in animal.body])[:, None]
    reach = np.stack([(part.axes * part.radii).T for part in animal.body])
    ends = np.concatenate([centres + reach, centres - reach]).reshape(-1, 3)
    # Thin ends of limbs may leave the frame: it is set around what is conspicuous.
    lines = [0.8 * stroke.points for stroke in animal.limbs]
    return np.concatenate([ends, *lines, *(wing.sheets[0].points for wing in animal.wings)])


def _paint(
    picture: Image.Image,
    animal: Insect,
    view: np.ndarray,
    scale: float,
    origin: np.ndarray,
    rng: np.random.Generator,
) -> None:
    """Far limbs and wings, then the body, then the near ones."""
    side = rng.uniform(0, 2 * np.pi)
    light = np.array([np.cos(side), np.sin(side), rng.uniform(0.9, 1.7)])
    light /= np.linalg.norm(light)
    drawn = [(_depth(stroke.points, view), stroke) for stroke in animal.limbs]
    drawn += [(_depth(wing.sheets[0].points, view), wing) for wing in animal.wings]
    drawn.sort(key=lambda item: item[0])
    for near in (False, True):
        canvas = aggdraw.Draw(picture)
        for depth, thing in drawn:
            if (depth > 0) is near:
                (_draw_wing if isinstance(thing, Wing) else _draw_stroke)(
                    canvas, thing, view, scale, origin, light
                )
        canvas.flush()
        if not near:
            shade_body(picture, animal.body, view, scale, origin, light, rng)


def _depth(points: np.ndarray, view: np.ndarray) -> float:
    return float(points.sum(0) @ view[2])


def _rgb(colour, gain: float = 1.0) -> tuple[int, int, int]:
    return tuple(int(min(255.0, max(0.0, 255.0 * gain * value))) for value in colour)


def _draw_stroke(canvas: aggdraw.Draw, stroke: Stroke, view, scale, origin, light) -> None:
    points = stroke.points @ view[:2].T * scale + origin
    widths = stroke.widths * scale
    broadest = widths.max()
    opacity = int(255 * stroke.opacity)
    edge = _rgb(stroke.colour, 0.62)
    if broadest < 2.0:
        canvas.line(
            points.ravel().tolist(), aggdraw.Pen(edge, max(0.7, 0.8 * float(broadest)), opacity)
        )
        return
    _ribbon(canvas, points, widths, aggdraw.Brush(edge, opacity))
    if broadest > 2.5:
        # The lit side: a narrower ribbon moved towards the light.
        lit = aggdraw.Brush(_rgb(stroke.colour, 0.95), opacity)
        _ribbon(canvas, points + light[:2] * widths[:, None] * 0.14, widths * 0.62, lit)


def _ribbon(
    canvas: aggdraw.Draw, points: np.ndarray, widths: np.ndarray, brush: aggdraw.Brush
) -> None:
    """A band of changing width with round joints."""
    places, halves = points.tolist(), (0.5 * widths).tolist()
    for (x, y), (u, v), r, q in zip(places, places[1:], halves, halves[1:]):
        length = max(hypot(u - x, v - y), 1e-6)
        across, down = (y - v) / length, (u - x) / length
        corners = (
            x + across * r,
            y + down * r,
            u + across * q,
            v + down * q,
            u - across * q,
            v - down * q,
            x - across * r,
            y - down * r,
        )
        canvas.polygon(corners, brush)
    for (x, y), r in zip(places, halves):
        canvas.ellipse((x - r, y - r, x + r, y + r), brush)


def _draw_wing(canvas: aggdraw.Draw, wing: Wing, view, scale, origin, light) -> None:
    membrane = wing.sheets[0].points
    normal = cross(membrane[5] - membrane[0], membrane[-6] - membrane[0]) @ view.T
    flat = view[:2].T * scale
    facing = abs(normal @ light) / max(float(np.linalg.norm(normal)), 1e-9)
    for sheet in wing.sheets:
        if sheet.opacity > 0:
            brush = aggdraw.Brush(
                _rgb(sheet.colour, 0.72 + 0.36 * facing), int(255 * sheet.opacity)
            )
            canvas.polygon((sheet.points @ flat + origin).ravel().tolist(), brush)
    for vein in wing.veins:
        pen = aggdraw.Pen(
            _rgb(vein.colour), max(0.6, float(vein.widths[0]) * scale), int(255 * vein.opacity)
        )
        canvas.line((vein.points @ flat + origin).ravel().tolist(), pen)


def _exposed(picture: Image.Image, rng: np.random.Generator) -> bytes:
    """The camera: exposure, white balance, noise, JPEG."""
    gain = rng.uniform(0.95, 1.06) * (1 + rng.normal(0, 0.01, 3))
    picture = picture.point(
        np.minimum(np.arange(256) * gain[:, None], 255).astype(np.uint8).ravel().tolist()
    )
    width, height = picture.size
    across, down = (
        rng.integers(0, _GRAIN.width - width + 1),
        rng.integers(0, _GRAIN.height - height + 1),
    )
    picture = ImageChops.add(
        picture, _GRAIN.crop((across, down, across + width, down + height)), offset=-128
    )
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=int(rng.integers(74, 86)))
    return buffer.getvalue()
