"""An insect in three dimensions from its traits: ellipsoids for the body, lines for limbs, flat outlines for wings.

The body's own axes: x towards the head, y to the left, z to the back; the thorax is about one unit long.
"""

from __future__ import annotations

import colorsys
from dataclasses import dataclass, field

import numpy as np

Colour = tuple[float, float, float]


@dataclass
class Ellipsoid:
    """A part of the body. `marks` are colour rules, (kind, colour, strength), painted over `colour` in the part's own coordinates."""

    centre: np.ndarray
    axes: np.ndarray
    radii: np.ndarray
    colour: Colour
    gloss: float
    marks: list[tuple[str, Colour, float]] = field(default_factory=list)


@dataclass
class Stroke:
    """A line of given widths at its points (body units): a leg's segment, an antenna, a hair."""

    points: np.ndarray
    widths: np.ndarray
    colour: Colour
    opacity: float = 1.0


@dataclass
class Sheet:
    """A flat polygon: a wing's membrane, or a mark on it."""

    points: np.ndarray
    colour: Colour
    opacity: float


@dataclass
class Wing:
    """One wing, painted in this order."""

    sheets: list[Sheet]
    veins: list[Stroke]


@dataclass
class Insect:
    body: list[Ellipsoid]
    limbs: list[Stroke]
    wings: list[Wing]


def hsl(hue: float, saturation: float, lightness: float) -> Colour:
    """An RGB colour, each 0-1."""
    return colorsys.hls_to_rgb(hue % 1.0, float(np.clip(lightness, 0, 1)), float(np.clip(saturation, 0, 1)))


def mixed(first: Colour, second: Colour, share: float) -> Colour:
    """`first` with a share (0-1) of `second`."""
    return tuple(a + (b - a) * share for a, b in zip(first, second))


def insect(traits: dict[str, float], rng: np.random.Generator) -> Insect:
    """One specimen, in a pose drawn from `rng`: limbs and wings lie as they fell."""
    t = traits
    colours = _colours(t)
    body, tip, tip_direction, ground = _body(t, colours, rng)
    limbs = [*_legs(t, colours, rng), *_antennae(t, colours, rng), *_tail(t, colours, tip, tip_direction, rng)]
    limbs += _bristles(t, colours, ground, rng)
    return Insect(body, limbs, _wings(t, colours, rng))


def _colours(t: dict[str, float]) -> dict[str, Colour]:
    # Metallic sheen pulls hues towards blue-green, as structural colours do.
    shift = 0.42 * max(0.0, t["metallic"] - 0.45)
    thorax = hsl(t["thorax_hue"] + shift, t["thorax_saturation"], t["thorax_lightness"])
    abdomen = hsl(t["abdomen_hue"] + shift, t["abdomen_saturation"], t["abdomen_lightness"])
    return {
        "thorax": thorax,
        "abdomen": abdomen,
        "head": hsl(t["thorax_hue"] + shift, 0.8 * t["thorax_saturation"], 0.45 * t["head_lightness"] + 0.55 * t["thorax_lightness"]),
        "leg": hsl(t["thorax_hue"], 0.75 * t["thorax_saturation"], t["leg_lightness"]),
        "eye": mixed((0.05, 0.04, 0.04), (0.42, 0.07, 0.05), t["eye_red"] ** 2),
        "dark": (0.10, 0.07, 0.055),
        "pale": hsl(t["abdomen_hue"], 0.5, 0.72),
        "wing": hsl(t["wing_hue"], 0.12 + 0.3 * t["wing_opacity"], t["wing_lightness"]),
        "wing_mark": hsl(t["wing_hue"], 0.35, 0.14 if t["wing_lightness"] > 0.32 else 0.72),
    }


def _turn(axis: int, angle: float) -> np.ndarray:
    c, s = np.cos(angle), np.sin(angle)
    matrix = np.eye(3)
    i, j = [(1, 2), (2, 0), (0, 1)][axis]
    matrix[i, i] = matrix[j, j] = c
    matrix[i, j], matrix[j, i] = -s, s
    return matrix


def _body(t: dict[str, float], colours: dict[str, Colour], rng: np.random.Generator):
    eye, gloss = np.eye(3), t["gloss"]
    width, height = 0.5 * t["thorax_width"], 0.5 * t["thorax_height"]
    thorax_marks = [("stripes", colours["dark"], t["thorax_stripes"] ** 1.5), ("belly", colours["pale"], 0.5 * t["belly_pale"])]
    parts = [Ellipsoid(np.zeros(3), eye, np.array([0.52, width, height]), colours["thorax"], gloss, thorax_marks)]
    scutellum = np.array([-0.4, 0.0, 0.52 * height])
    parts.append(Ellipsoid(scutellum, eye, np.array([0.2, 0.55 * width, 0.42 * height]), mixed(colours["thorax"], colours["dark"], 0.12), gloss))

    # Front: pronotum, then the head, bent down a little.
    reach = 0.42 + 0.42 * t["pronotum"]
    front = np.array([0.30 + 0.26 * t["pronotum"], 0.0, -0.04])
    parts.append(Ellipsoid(front, eye, np.array([0.2 + 0.3 * t["pronotum"], width * (0.68 + 0.42 * t["pronotum"]), height * 0.72]), mixed(colours["thorax"], colours["head"], 0.4), gloss, thorax_marks[1:]))
    nod = _turn(1, rng.normal(0.35, 0.2))
    r = 0.5 * t["head_size"]
    head = np.array([reach + 0.3 + 0.55 * r, 0.0, -0.10 * t["thorax_height"]])
    parts.append(Ellipsoid(head, nod, np.array([0.72 * r, 0.98 * r, 0.86 * r]), colours["head"], gloss))
    for side in (-1, 1):
        size = r * (0.34 + 0.5 * t["eye_size"])
        place = head + nod @ np.array([0.18 * r, side * 0.66 * r, 0.2 * r])
        parts.append(Ellipsoid(place, _turn(2, side * 0.35), np.array([0.85, 0.62, 1.05]) * size, colours["eye"], 0.9))

    # Abdomen: overlapping rings along an arc that bends down (or up) in the pose.
    rings, waist = 8, t["waist"]
    bend = rng.normal(0.06, 0.055)
    sway = rng.normal(0.0, 0.035)
    step = t["abdomen_length"] / rings
    at = np.array([-0.42 - 0.10 * waist, 0.0, -0.10 * t["thorax_height"]])
    direction = np.array([-1.0, 0.0, 0.0])
    rest = _turn(1, rng.normal(0.0, 0.12) - 0.12)
    direction = rest @ direction
    frame = rest
    ground = []
    for k in range(rings):
        turn = _turn(1, -bend) @ _turn(2, sway)
        direction, frame = turn @ direction, turn @ frame
        along = (k + 0.5) / rings
        fullness = np.sin(np.pi * np.clip(0.18 + 0.80 * along, 0, 1)) ** 0.55
        taper = 1 - (0.15 + 0.72 * t["abdomen_point"]) * max(0.0, along - 0.35) / 0.65
        stalk = 1 - waist * 0.86 * np.exp(-((along / (0.10 + 0.12 * waist)) ** 2))
        radius = 0.5 * t["abdomen_width"] * fullness * taper * stalk
        radius = max(radius, 0.05)
        length = step * (0.74 if k else 0.95)
        marks = [
            ("band", colours["dark"], t["abdomen_bands"] ** 1.3),
            ("belly", colours["pale"], 0.8 * t["belly_pale"]),
            ("stripe", colours["dark"], t["abdomen_stripe"] ** 1.5),
        ]
        if k >= rings - 3:
            marks.append(("all", colours["dark"], t["abdomen_tip_dark"] ** 1.5 * (k - rings + 4) / 3))
        at = at + direction * step * 0.5
        parts.append(Ellipsoid(at, frame, np.array([max(length, 0.55 * radius), radius, 0.86 * radius]), colours["abdomen"], 0.8 * gloss, marks))
        ground.append((at, radius))
        at = at + direction * step * 0.5
    if t["elytra"] > 0.5:
        parts += _elytra(t, colours, rng)
    if t["rostrum"] > 0.2:
        beak = head + nod @ np.array([0.6 * r, 0, -0.35 * r])
        aim = nod @ np.array([0.75, 0, -0.66])
        parts.append(Ellipsoid(beak + aim * 0.4 * t["rostrum"], nod @ _turn(1, 0.72), np.array([0.45 * t["rostrum"], 0.07, 0.07]), mixed(colours["head"], colours["dark"], 0.3), gloss))
    return parts, at, direction, ground


def _elytra(t: dict[str, float], colours: dict[str, Colour], rng: np.random.Generator) -> list[Ellipsoid]:
    length = t["abdomen_length"] + 0.22
    width = 0.5 * max(t["abdomen_width"], t["thorax_width"]) * 1.06
    height = 0.55 * max(t["abdomen_width"], t["thorax_width"])
    gape = 0.0 if rng.random() < 0.75 else rng.uniform(0.05, 0.45)
    marks = [
        ("rows", colours["dark"], 0.22),
        ("spots", colours["wing_mark"], t["elytra_spots"] ** 1.5),
        ("crossband", colours["wing_mark"], t["elytra_band"] ** 1.5),
    ]
    hard = []
    for side in (-1, 1):
        axes = _turn(2, -side * gape) @ _turn(1, -0.3 * gape)
        centre = np.array([-0.3, side * 0.46 * width, 0.03]) + axes @ np.array([-0.5 * length, 0.0, 0.06])
        hard.append(Ellipsoid(centre, axes, np.array([0.54 * length, 0.56 * width, height * 0.72]), colours["abdomen"], t["gloss"], marks))
    return hard


def _toward(azimuth: float, elevation: float, side: int) -> np.ndarray:
    return np.array([np.cos(azimuth) * np.cos(elevation), side * np.sin(azimuth) * np.cos(elevation), np.sin(elevation)])


def _legs(t: dict[str, float], colours: dict[str, Colour], rng: np.random.Generator) -> list[Stroke]:
    strokes = []
    curl = rng.beta(1.2, 1.6)
    thick = t["leg_thickness"]
    dark = mixed(colours["leg"], colours["dark"], 0.75)
    for pair, (x, azimuth, share) in enumerate(((0.3, 0.65, 0.78), (0.02, 1.5, 0.92), (-0.26, 2.35, 1.22))):
        for side in (-1, 1):
            if rng.random() < 0.03:
                continue  # Legs break off.
            length = t["leg_length"] * share
            at = np.array([x, side * 0.22 * t["thorax_width"], -0.36 * t["thorax_height"]])
            heading = azimuth + rng.normal(0, 0.25)
            femur = at + 0.40 * length * _toward(heading, 0.25 - 1.2 * curl + rng.normal(0, 0.25), side)
            fold = heading + (2.3 * curl if pair == 0 else -1.6 * curl + 0.3) + rng.normal(0, 0.35)
            tibia = femur + 0.40 * length * _toward(fold, -0.75 + rng.normal(0, 0.35), side)
            toe = fold + rng.normal(0.2, 0.4)
            tarsus = [tibia + 0.3 * length * s * _toward(toe + 0.5 * s, -0.35 + rng.normal(0, 0.15), side) for s in (0.35, 0.7, 1.0)]
            swell = 1 + (1.7 * t["hind_femur"] if pair == 2 else 0.25)
            middle = 0.5 * (at + femur)
            strokes.append(Stroke(np.stack([at, middle, femur]), thick * np.array([1.0, 1.25 * swell, 0.8]), colours["leg"]))
            knee = femur + 0.12 * (tibia - femur)
            ring = mixed(colours["leg"], dark, t["leg_rings"])
            strokes.append(Stroke(np.stack([femur, knee, tibia]), thick * np.array([0.72, 0.62, 0.6]), colours["leg"]))
            strokes.append(Stroke(np.stack([femur + 0.72 * (tibia - femur), tibia]), thick * np.array([0.62, 0.66]), ring))
            strokes.append(Stroke(np.stack([tibia, *tarsus]), thick * np.array([0.5, 0.46, 0.42, 0.4]), ring))
    return strokes


def _antennae(t: dict[str, float], colours: dict[str, Colour], rng: np.random.Generator) -> list[Stroke]:
    strokes = []
    r = 0.5 * t["head_size"]
    start = np.array([0.72 + 0.42 * t["pronotum"] + 1.1 * r, 0.0, 0.05])
    colour = mixed(colours["head"], colours["dark"], 0.35)
    joints = 9
    for side in (-1, 1):
        azimuth, elevation = rng.uniform(0.25, 0.9), rng.normal(0.35, 0.35)
        curl, droop = rng.normal(0.12, 0.1), rng.normal(-0.1, 0.1)
        at = start + np.array([-0.25 * r, side * 0.3 * r, 0.0])
        points = [at]
        for _ in range(joints):
            at = at + t["antenna_length"] / joints * _toward(azimuth, elevation, side)
            points.append(at)
            azimuth, elevation = azimuth + curl, elevation + droop
        points = np.stack(points)
        along = np.linspace(0, 1, joints + 1)
        widths = t["antenna_thickness"] * (1 + 2.4 * t["antenna_club"] * (along > 0.68) - 0.35 * (1 - t["antenna_club"]) * along)
        strokes.append(Stroke(points, widths, colour))
        if t["antenna_plume"] > 0.25:
            for k in range(2, joints):
                for _ in range(2):
                    hair = points[k] + 0.34 * t["antenna_plume"] * _unit(rng.normal(size=3) + 0.8 * (points[k] - points[k - 1]))
                    strokes.append(Stroke(np.stack([points[k], hair]), np.array([0.012, 0.006]), colour, 0.6))
    return strokes


def _tail(t: dict[str, float], colours: dict[str, Colour], tip: np.ndarray, direction: np.ndarray, rng: np.random.Generator) -> list[Stroke]:
    if t["tail"] < 0.15:
        return []
    strokes = []
    for side in (-1, 1):
        end = tip + t["tail"] * _unit(direction + np.array([0, side * 0.18, 0]) + rng.normal(0, 0.08, 3))
        strokes.append(Stroke(np.stack([tip - 0.1 * direction, end]), np.array([0.05, 0.02]), mixed(colours["abdomen"], colours["dark"], 0.6)))
    return strokes


def _bristles(t: dict[str, float], colours: dict[str, Colour], rings: list, rng: np.random.Generator) -> list[Stroke]:
    strokes = []
    size = np.array([0.52, 0.5 * t["thorax_width"], 0.5 * t["thorax_height"]])
    for _ in range(int(34 * max(0.0, t["bristles"] - 0.15))):
        outward = _unit(rng.normal(size=3) + np.array([-0.2, 0, 0.7]))
        if rng.random() < 0.5:
            root = outward * size * 0.98
        else:
            centre, radius = rings[rng.integers(len(rings))]
            root = centre + outward * radius * 0.9
        hair = root + rng.uniform(0.1, 0.3) * (0.4 + 0.6 * t["bristles"]) * _unit(outward + np.array([-0.7, 0, 0.2]))
        strokes.append(Stroke(np.stack([root, hair]), np.array([0.022, 0.008]), colours["dark"], 0.85))
    return strokes


def _unit(vector: np.ndarray) -> np.ndarray:
    return vector / max(float(np.linalg.norm(vector)), 1e-9)


def _wings(t: dict[str, float], colours: dict[str, Colour], rng: np.random.Generator) -> list[Wing]:
    hard = t["elytra"] > 0.5
    if hard and rng.random() < 0.6:
        return []
    rest = float(np.clip(t["wing_spread"] + rng.normal(0, 0.22), 0, 1.1))
    lift = rng.uniform(-0.05, 0.75) * (0.35 + 0.65 * min(rest, 1.0))
    twist = rng.uniform(-0.7, 0.5) - 0.25 * (1 - min(rest, 1.0))
    wings = []
    for side in (-1, 1):
        if rng.random() < 0.04:
            continue
        spread, up = rest + rng.normal(0, 0.08), lift + rng.normal(0, 0.12)
        if t["hind_wing"] > 0.3:
            hinge = np.array([-0.18, side * 0.42 * t["thorax_width"], 0.2 * t["thorax_height"]])
            shape = dict(length=t["wing_length"] * (0.5 + 0.35 * t["hind_wing"]), width=t["wing_width"] * 1.2, point=0.6 * t["wing_point"])
            wings.append(_wing(t, colours, hinge, 0.1 + 1.25 * spread, up - 0.06, twist, side, **shape, marked=0.5))
        hinge = np.array([0.12, side * 0.42 * t["thorax_width"], 0.28 * t["thorax_height"]])
        shape = dict(length=t["wing_length"], width=t["wing_width"], point=t["wing_point"])
        wings.append(_wing(t, colours, hinge, 0.12 + 1.65 * spread, up, twist, side, **shape, marked=1.0))
    return wings


def _wing(t, colours, hinge, angle, lift, twist, side, *, length, width, point, marked) -> Wing:
    """`angle` from straight back to straight out (radians), `lift` above the plane of the body, `twist` about the wing's own axis."""
    out = np.array([-np.cos(angle) * np.cos(lift), side * np.sin(angle) * np.cos(lift), np.sin(lift)])
    ahead = np.array([np.sin(angle), side * np.cos(angle), 0.0])
    ahead = ahead * np.cos(twist) + np.cross(out, ahead) * np.sin(twist) * side
    rise, fall = 0.42 + 0.75 * t["wing_opacity"] * t["hind_wing"], 0.28 + 0.6 * point
    peak = rise / (rise + fall)
    top = peak**rise * (1 - peak) ** fall

    def place(s: np.ndarray, across: np.ndarray) -> np.ndarray:
        """Points of the wing: s along it from 0 to 1, `across` from -1 (hind margin) to 1 (front margin)."""
        chord = width * s**rise * (1 - s) ** fall / top
        offset = np.where(across > 0, 0.36 * across, 0.64 * across) * chord + 0.05 * np.sin(np.pi * s)
        return hinge + length * (s[:, None] * out + offset[:, None] * ahead)

    def patch(low: float, high: float, steps: int = 12) -> np.ndarray:
        s = low + (high - low) * (0.5 - 0.5 * np.cos(np.pi * np.linspace(0, 1, steps)))
        ones = np.ones(steps)
        return np.concatenate([place(s, ones), place(s[::-1], -ones)])

    opacity = 0.10 + 0.86 * t["wing_opacity"] ** 1.2
    clear = mixed(colours["wing"], (0.62, 0.60, 0.56), 0.7 * (1 - t["wing_opacity"]))
    vein = mixed(clear, colours["dark"], 0.45 + 0.4 * t["vein_strength"])
    sheets = [Sheet(patch(0.0, 1.0, 22), clear, opacity)]
    band, mark = 0.25 + 0.75 * t["wing_opacity"], colours["wing_mark"]
    where = t["wing_band_place"]
    for strength, low, high in (
        (t["wing_bands"], where - 0.07, where + 0.07),
        (0.8 * t["wing_bands"] if where > 0.45 else 0.0, where - 0.36, where - 0.26),
        (t["wing_tip_dark"], 0.84, 1.0),
    ):
        if strength > 0.3:
            sheets.append(Sheet(patch(max(low, 0.02), min(high, 1.0)), mark, marked * band * min(1.0, 1.6 * (strength - 0.25))))
    if t["wing_spots"] > 0.35:
        turn = np.linspace(0, 2 * np.pi, 11)[:-1]
        for s, across in ((0.45, 0.3), (0.68, -0.25), (0.8, 0.35)):
            size = 0.05 + 0.05 * t["wing_spots"]
            spot = place(np.clip(s + size * np.cos(turn), 0.01, 0.99), np.clip(across + 2.2 * size * np.sin(turn) / (width + 0.2), -0.95, 0.95))
            sheets.append(Sheet(spot, mark, marked * band * min(1.0, 1.8 * (t["wing_spots"] - 0.3))))
    sheets.append(Sheet(patch(0.55, 0.72, 6)[:6], vein, 0.0))
    veins = []
    fine = 0.014 + 0.010 * t["vein_strength"]
    faint = 0.3 + 0.5 * t["vein_strength"]
    s = np.linspace(0.0, 1.0, 9)
    for across, end in ((0.55, 0.96), (0.15, 0.99), (-0.2, 0.95), (-0.6, 0.8), (-0.85, 0.55)):
        bow = across * np.minimum(1.0, 1.7 * s) ** 0.8
        veins.append(Stroke(place(0.02 + (end - 0.02) * s, bow), np.full(9, fine), vein, faint))
    if t["vein_strength"] > 0.55:
        for s_cross, a, b in ((0.35, 0.5, 0.1), (0.5, 0.12, -0.2), (0.42, -0.2, -0.6), (0.66, 0.14, -0.2), (0.62, -0.2, -0.58)):
            veins.append(Stroke(place(np.array([s_cross, s_cross + 0.03]), np.array([a, b])), np.full(2, fine), vein, faint))
    rim = place(np.concatenate([s, s[::-1]]), np.concatenate([np.ones(9), -np.ones(9)]))
    veins.append(Stroke(rim, np.full(18, fine), vein, 0.9 * faint))
    front = np.linspace(0.0, 0.75, 7)
    veins.append(Stroke(place(front, np.ones(7)), np.full(7, 2.2 * fine), vein, 0.5 + 0.4 * faint))
    return Wing(sheets, veins)
