"""Photographs of simulated insects: a scene seen from a random side, lit, blurred and compressed as by the camera."""

from __future__ import annotations

import io

import aggdraw
import numpy as np
from PIL import Image, ImageFilter

from hypertax.data.simulate_insect import Ellipsoid, Insect, Stroke, Wing, insect
from hypertax.data.simulate_traits import specimen_traits
from hypertax.data.simulate_well import well

SHORT_SIDE = 256
"""Pixels, as in BIOSCAN-1M's `cropped_256`."""
ASPECTS = (0.85, 1.6)
"""Lowest and highest ratio of width to height of a cropped photograph."""


def photograph(species_traits: np.ndarray, seed: tuple[int, ...]) -> bytes:
    """A JPEG file of one specimen.

    Args:
        species_traits: (traits,) the specimen's species, as `species_traits` returns it.
        seed: of this specimen; pose, side, light and background depend on it alone.
    """
    looks, scene, camera = (np.random.default_rng([*seed, k]) for k in range(3))
    animal = insect(specimen_traits(species_traits, looks), scene)
    view = _view(scene)
    points = np.concatenate([_outline(animal), np.zeros((1, 3))]) @ view.T
    low, high = points[:, :2].min(0), points[:, :2].max(0)
    margin = scene.uniform(1.15, 1.5, 2)
    wide, tall = (high - low) * margin
    aspect = float(np.clip(wide / tall, *ASPECTS))
    width, height = (round(SHORT_SIDE * aspect), SHORT_SIDE) if aspect >= 1 else (SHORT_SIDE, round(SHORT_SIDE / aspect))
    scale = min(width / wide, height / tall)
    slack = np.array([width, height]) - (high - low) * scale
    origin = -low * scale + slack * scene.uniform(0.3, 0.7, 2)

    picture = well(width, height, camera)
    picture = _paint(picture, animal, view, scale, origin, camera)
    return _exposed(picture, camera)


def _view(rng: np.random.Generator) -> np.ndarray:
    """(3, 3) rotation from the body's axes to the picture's (x right, y down, z to the camera): any angle, most often from above
    or from the side, seldom from below."""
    roll = rng.choice([0.0, np.pi / 2, -np.pi / 2, np.pi], p=[0.42, 0.23, 0.23, 0.12]) + rng.normal(0, 0.35)
    pitch, yaw = rng.normal(0, 0.22), rng.uniform(0, 2 * np.pi)
    about_x = np.array([[1, 0, 0], [0, np.cos(roll), -np.sin(roll)], [0, np.sin(roll), np.cos(roll)]])
    about_y = np.array([[np.cos(pitch), 0, np.sin(pitch)], [0, 1, 0], [-np.sin(pitch), 0, np.cos(pitch)]])
    about_z = np.array([[np.cos(yaw), -np.sin(yaw), 0], [np.sin(yaw), np.cos(yaw), 0], [0, 0, 1]])
    return about_z @ about_y @ about_x


def _outline(animal: Insect) -> np.ndarray:
    """Points that the frame must hold: (N, 3)."""
    ends = [part.centre + sign * part.axes[:, k] * part.radii[k] for part in animal.body for k in range(3) for sign in (-1, 1)]
    lines = [stroke.points for stroke in animal.limbs]
    return np.concatenate([np.stack(ends), *lines, *(wing.sheets[0].points for wing in animal.wings)])


def _paint(picture: Image.Image, animal: Insect, view: np.ndarray, scale: float, origin: np.ndarray, rng: np.random.Generator) -> Image.Image:
    """Far limbs and wings, then the body, then the near ones."""
    height = rng.uniform(0.55, 1.0)
    side = rng.uniform(0, 2 * np.pi)
    light = np.array([np.cos(side), np.sin(side), 1.6 * height])
    light /= np.linalg.norm(light)
    drawn = [(_depth(stroke.points, view), stroke) for stroke in animal.limbs]
    drawn += [(_depth(wing.sheets[0].points, view), wing) for wing in animal.wings]
    drawn.sort(key=lambda item: item[0])
    for near in (False, True):
        canvas = aggdraw.Draw(picture)
        for depth, thing in drawn:
            if (depth > 0) is near:
                (_draw_wing if isinstance(thing, Wing) else _draw_stroke)(canvas, thing, view, scale, origin, light)
        canvas.flush()
        if not near:
            picture = _body(picture, animal.body, view, scale, origin, light, rng)
    return picture


def _depth(points: np.ndarray, view: np.ndarray) -> float:
    return float((points @ view[2]).mean())


def _project(points: np.ndarray, view: np.ndarray, scale: float, origin: np.ndarray) -> np.ndarray:
    return points @ view[:2].T * scale + origin


def _rgb(colour, gain: float = 1.0) -> tuple[int, int, int]:
    return tuple(int(min(255.0, max(0.0, 255.0 * gain * value))) for value in colour)


def _draw_stroke(canvas: aggdraw.Draw, stroke: Stroke, view, scale, origin, light) -> None:
    points = _project(stroke.points, view, scale, origin)
    widths = np.maximum(stroke.widths * scale, 0.7)
    opacity = int(255 * stroke.opacity)
    edge, fill = _rgb(stroke.colour, 0.62), _rgb(stroke.colour, 0.95)
    if widths.max() < 2.0:
        canvas.line(points.ravel().tolist(), aggdraw.Pen(edge, float(widths.mean()), opacity))
        return
    _ribbon(canvas, points, widths, edge, opacity)
    if widths.max() > 2.2:
        # The lit side: a narrower ribbon moved towards the light.
        _ribbon(canvas, points - light[:2] * 0.0 + light[:2] * widths[:, None] * 0.14, widths * 0.62, fill, opacity)


def _ribbon(canvas: aggdraw.Draw, points: np.ndarray, widths: np.ndarray, colour, opacity: int) -> None:
    brush = aggdraw.Brush(colour, opacity)
    steps = np.diff(points, axis=0)
    across = np.stack([-steps[:, 1], steps[:, 0]], 1) / np.maximum(np.hypot(steps[:, 0], steps[:, 1]), 1e-6)[:, None]
    half = 0.5 * widths[:, None]
    a, b = points[:-1] + across * half[:-1], points[1:] + across * half[1:]
    c, d = points[1:] - across * half[1:], points[:-1] - across * half[:-1]
    for corners in np.concatenate([a, b, c, d], 1).tolist():
        canvas.polygon(corners, brush)
    for (x, y), r in zip(points.tolist(), (0.5 * widths).tolist()):
        canvas.ellipse((x - r, y - r, x + r, y + r), brush)


def _draw_wing(canvas: aggdraw.Draw, wing: Wing, view, scale, origin, light) -> None:
    membrane = wing.sheets[0].points
    normal = np.cross(membrane[5] - membrane[0], membrane[-6] - membrane[0]) @ view.T
    facing = abs(normal @ light) / max(float(np.linalg.norm(normal)), 1e-9)
    for sheet in wing.sheets:
        if sheet.opacity > 0:
            brush = aggdraw.Brush(_rgb(sheet.colour, 0.72 + 0.36 * facing), int(255 * sheet.opacity))
            canvas.polygon(_project(sheet.points, view, scale, origin).ravel().tolist(), brush)
    for vein in wing.veins:
        pen = aggdraw.Pen(_rgb(vein.colour), max(0.6, float(vein.widths[0]) * scale), int(255 * vein.opacity))
        canvas.line(_project(vein.points, view, scale, origin).ravel().tolist(), pen)


def _body(picture: Image.Image, parts: list[Ellipsoid], view, scale, origin, light, rng: np.random.Generator) -> Image.Image:
    """Shade the ellipsoids pixel by pixel, nearest on top."""
    pixels = np.asarray(picture).astype(np.float32) / 255
    height, width = pixels.shape[:2]
    depth = np.full((height, width), -np.inf, dtype=np.float32)
    coarse = rng.uniform(0, 255, (height // 5, width // 5)).astype(np.uint8)
    mottle = np.asarray(Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC), dtype=np.float32) / 255
    for part in sorted(parts, key=lambda part: part.centre @ view[2]):
        _shade(pixels, depth, mottle, part, view, scale, origin, light.astype(np.float32))
    return Image.fromarray((pixels.clip(0, 1) * 255).astype(np.uint8))


def _shade(pixels, depth, mottle, part: Ellipsoid, view, scale, origin, light) -> None:
    axes = view @ part.axes
    centre = view @ part.centre
    shape = axes * part.radii**2 @ axes.T
    x0, y0 = centre[:2] * scale + origin
    reach_x, reach_y = np.sqrt(shape[0, 0]) * scale + 1, np.sqrt(shape[1, 1]) * scale + 1
    height, width = depth.shape
    left, right = max(0, int(x0 - reach_x)), min(width, int(x0 + reach_x) + 2)
    top, bottom = max(0, int(y0 - reach_y)), min(height, int(y0 + reach_y) + 2)
    if left >= right or top >= bottom:
        return
    x = ((np.arange(left, right, dtype=np.float32) + 0.5 - x0) / scale).astype(np.float32)[None]
    y = ((np.arange(top, bottom, dtype=np.float32) + 0.5 - y0) / scale).astype(np.float32)[:, None]
    a = (axes / part.radii**2 @ axes.T).astype(np.float32)
    b = a[0, 2] * x + a[1, 2] * y
    inside = (b * b - a[2, 2] * (a[0, 0] * x * x + 2 * a[0, 1] * x * y + a[1, 1] * y * y - 1)) / a[2, 2]
    z = (np.sqrt(np.maximum(inside, 0) * a[2, 2]) - b) / a[2, 2]
    edge = np.sqrt(np.maximum(1 - inside, 0))
    # Pixels of the rim are covered in part: the distance to it, in pixels, along the narrower axis.
    narrow = np.sqrt(max(np.linalg.eigvalsh(shape[:2, :2])[0], 1e-9)) * scale
    cover = ((1 - edge) * narrow + 0.5).clip(0, 1)
    here = (slice(top, bottom), slice(left, right))
    cover = cover * (z + centre[2] > depth[here])

    nx = a[0, 0] * x + a[0, 1] * y + a[0, 2] * z
    ny = a[0, 1] * x + a[1, 1] * y + a[1, 2] * z
    nz = a[0, 2] * x + a[1, 2] * y + a[2, 2] * z
    norm = 1 / np.sqrt(nx * nx + ny * ny + nz * nz + 1e-12)
    nx, ny, nz = nx * norm, ny * norm, nz * norm
    toward = nx * light[0] + ny * light[1] + nz * light[2]
    halfway = light + np.array([0, 0, 1], dtype=np.float32)
    halfway /= np.linalg.norm(halfway)
    shine = np.maximum(nx * halfway[0] + ny * halfway[1] + nz * halfway[2], 0)
    colour = _marked(part, axes, x, y, z)
    diffuse = (0.42 + 0.62 * np.maximum(0.25 + 0.75 * toward, 0)) * (0.72 + 0.28 * nz) * (0.80 + 0.4 * mottle[here])
    glint = part.gloss * (0.10 * shine**8 + 0.34 * shine**40)
    lit = colour * diffuse[..., None] + glint[..., None]
    pixels[here] += (lit - pixels[here]) * cover[..., None]
    depth[here] = np.where(cover > 0.5, z + centre[2], depth[here])


def _marked(part: Ellipsoid, axes, x, y, z) -> np.ndarray:
    """The part's own colours at each pixel, (h, w, 3) or (1, 1, 3)."""
    colour = np.array(part.colour, dtype=np.float32).reshape(1, 1, 3)
    strong = [mark for mark in part.marks if mark[2] > 0.05]
    if not strong:
        return colour
    u, v, w = (((axes[0, k] * x + axes[1, k] * y + axes[2, k] * z) / part.radii[k]).astype(np.float32) for k in range(3))
    for kind, over, strength in strong:
        if kind == "all":
            where = np.ones_like(u)
        elif kind == "band":
            where = ((-0.15 - u) * 6).clip(0, 1) * ((w + 0.75) * 3).clip(0, 1)
        elif kind == "belly":
            where = ((-0.15 - w) * 2.5).clip(0, 1)
        elif kind == "stripe":
            where = ((0.34 - np.abs(v)) * 7).clip(0, 1) * (w > 0)
        elif kind == "stripes":
            where = ((np.cos(v * 9.0) - 0.25) * 3).clip(0, 1) * ((w - 0.1) * 5).clip(0, 1)
        elif kind == "rows":
            where = 0.5 + 0.5 * np.cos(v * 17)
        elif kind == "spots":
            where = ((0.30 - np.hypot((u - 0.42) * 1.6, v - 0.1)) * 9).clip(0, 1) + ((0.30 - np.hypot((u + 0.38) * 1.6, v)) * 9).clip(0, 1)
        else:  # crossband
            where = ((0.17 - np.abs(u + 0.02)) * 10).clip(0, 1)
        share = (min(1.0, strength) * where)[..., None]
        colour = colour + (np.array(over, dtype=np.float32) - colour) * share
    return colour


def _exposed(picture: Image.Image, rng: np.random.Generator) -> bytes:
    """The camera: focus, exposure, white balance, noise, JPEG."""
    picture = picture.filter(ImageFilter.GaussianBlur(rng.uniform(0.45, 0.95)))
    pixels = np.asarray(picture).astype(np.float32)
    gain = rng.uniform(0.92, 1.07) * (1 + rng.normal(0, 0.012, 3))
    pixels *= gain.astype(np.float32)
    grain = rng.standard_normal(pixels.shape[:2], dtype=np.float32) * rng.uniform(1.0, 2.6)
    pixels += grain[..., None]
    buffer = io.BytesIO()
    Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(buffer, "JPEG", quality=int(rng.integers(76, 90)))
    return buffer.getvalue()
