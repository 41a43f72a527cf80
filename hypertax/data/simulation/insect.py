"""A simulated insect from its traits: body, limbs and wings in three dimensions, in the pose in
which they fell."""

from __future__ import annotations

import numpy as np

from hypertax.data.simulation.shapes import (
    Colour,
    Ellipsoid,
    Insect,
    Stroke,
    hsl,
    mixed,
    toward,
    turn,
    unit,
)
from hypertax.data.simulation.wings import wings


def insect(traits: dict[str, float], rng: np.random.Generator) -> Insect:
    """One specimen, in a pose drawn from `rng`: limbs and wings lie as they fell."""
    t = traits
    colours = _colours(t)
    body, brow, tip, tip_direction, ground = _body(t, colours, rng)
    limbs = [
        *_legs(t, colours, rng),
        *_antennae(t, colours, brow, rng),
        *_tail(t, colours, tip, tip_direction, rng),
    ]
    limbs += _bristles(t, colours, ground, rng)
    return Insect(body, limbs, wings(t, colours, rng))


def _colours(t: dict[str, float]) -> dict[str, Colour]:
    # Metallic sheen pulls hues towards blue-green, as structural colours do.
    shift = 0.42 * max(0.0, t["metallic"] - 0.45)
    thorax = hsl(t["thorax_hue"] + shift, t["thorax_saturation"], t["thorax_lightness"])
    abdomen = hsl(t["abdomen_hue"] + shift, t["abdomen_saturation"], t["abdomen_lightness"])
    return {
        "thorax": thorax,
        "abdomen": abdomen,
        "head": hsl(
            t["thorax_hue"] + shift,
            0.8 * t["thorax_saturation"],
            0.45 * t["head_lightness"] + 0.55 * t["thorax_lightness"],
        ),
        "leg": hsl(t["thorax_hue"], 0.75 * t["thorax_saturation"], t["leg_lightness"]),
        "eye": mixed((0.05, 0.04, 0.04), (0.42, 0.07, 0.05), t["eye_red"] ** 2),
        "dark": (0.10, 0.07, 0.055),
        "pale": hsl(t["abdomen_hue"], 0.5, 0.72),
        "wing": hsl(t["wing_hue"], 0.12 + 0.3 * t["wing_opacity"], t["wing_lightness"]),
        "wing_mark": hsl(t["wing_hue"], 0.35, 0.14 if t["wing_lightness"] > 0.32 else 0.72),
    }


def _body(t: dict[str, float], colours: dict[str, Colour], rng: np.random.Generator):
    eye, gloss = np.eye(3), t["gloss"]
    width, height = 0.5 * t["thorax_width"], 0.5 * t["thorax_height"]
    thorax_marks = [
        ("stripes", colours["dark"], t["thorax_stripes"] ** 1.5),
        ("belly", colours["pale"], 0.5 * t["belly_pale"]),
    ]
    parts = [
        Ellipsoid(
            np.zeros(3),
            eye,
            np.array([0.52, width, height]),
            colours["thorax"],
            gloss,
            thorax_marks,
        )
    ]
    scutellum = np.array([-0.4, 0.0, 0.52 * height])
    parts.append(
        Ellipsoid(
            scutellum,
            eye,
            np.array([0.2, 0.55 * width, 0.42 * height]),
            mixed(colours["thorax"], colours["dark"], 0.12),
            gloss,
        )
    )

    # Front: pronotum, then the head, bent down a little.
    front = np.array([0.30 + 0.26 * t["pronotum"], 0.0, -0.04])
    parts.append(
        Ellipsoid(
            front,
            eye,
            np.array(
                [0.2 + 0.3 * t["pronotum"], width * (0.68 + 0.42 * t["pronotum"]), height * 0.72]
            ),
            mixed(colours["thorax"], colours["head"], 0.4),
            gloss,
            thorax_marks[1:],
        )
    )
    nod = turn(1, rng.normal(0.35, 0.2))
    r = 0.5 * t["head_size"]
    head = np.array([0.46 + 0.5 * t["pronotum"] + 0.5 * r, 0.0, -0.10 * t["thorax_height"]])
    parts.append(
        Ellipsoid(head, nod, np.array([0.72 * r, 0.98 * r, 0.86 * r]), colours["head"], gloss)
    )
    for side in (-1, 1):
        size = r * (0.34 + 0.5 * t["eye_size"])
        place = head + nod @ np.array([0.18 * r, side * 0.66 * r, 0.2 * r])
        parts.append(
            Ellipsoid(
                place,
                turn(2, side * 0.35),
                np.array([0.85, 0.62, 1.05]) * size,
                colours["eye"],
                0.9,
            )
        )

    # Abdomen: overlapping rings along an arc that bends down (or up) in the pose.
    rings, waist = 7, t["waist"]
    hard = t["elytra"] > 0.5
    stiff = 0.25 if hard else 1.0
    bend, sway = stiff * rng.normal(0.06, 0.055), stiff * rng.normal(0.0, 0.035)
    step = t["abdomen_length"] / rings
    at = np.array([-0.42 - 0.10 * waist, 0.0, -0.10 * t["thorax_height"]])
    direction = np.array([-1.0, 0.0, 0.0])
    rest = turn(1, stiff * (rng.normal(0.0, 0.12) - 0.12))
    direction = rest @ direction
    frame = rest
    ground = []
    for k in range(rings):
        bent = turn(1, -bend) @ turn(2, sway)
        direction, frame = bent @ direction, bent @ frame
        along = (k + 0.5) / rings
        fullness = np.sin(np.pi * np.clip(0.18 + 0.80 * along, 0, 1)) ** 0.55
        taper = 1 - (0.15 + 0.72 * t["abdomen_point"]) * max(0.0, along - 0.35) / 0.65
        stalk = 1 - waist * 0.86 * np.exp(-((along / (0.10 + 0.12 * waist)) ** 2))
        radius = 0.5 * t["abdomen_width"] * fullness * taper * stalk
        radius = max(0.8 * radius if hard else radius, 0.05)
        length = 1.25 * step
        marks = [
            ("seam", colours["dark"], 0.22),
            ("band", colours["dark"], t["abdomen_bands"] ** 1.3),
            ("belly", colours["pale"], 0.8 * t["belly_pale"]),
            ("stripe", colours["dark"], t["abdomen_stripe"] ** 1.5),
        ]
        if k >= rings - 3:
            marks.append(
                ("all", colours["dark"], t["abdomen_tip_dark"] ** 1.5 * (k - rings + 4) / 3)
            )
        at = at + direction * step * 0.5
        parts.append(
            Ellipsoid(
                at,
                frame,
                np.array([max(length, 0.6 * radius), radius, 0.86 * radius]),
                colours["abdomen"],
                0.8 * gloss,
                marks,
            )
        )
        ground.append((at, radius))
        at = at + direction * step * 0.5
    if hard:
        parts += _elytra(t, colours, rng)
    if t["rostrum"] > 0.2:
        beak = head + nod @ np.array([0.6 * r, 0, -0.35 * r])
        aim = nod @ np.array([0.75, 0, -0.66])
        parts.append(
            Ellipsoid(
                beak + aim * 0.4 * t["rostrum"],
                nod @ turn(1, 0.72),
                np.array([0.45 * t["rostrum"], 0.07, 0.07]),
                mixed(colours["head"], colours["dark"], 0.3),
                gloss,
            )
        )
    brow = head + nod @ np.array([0.55 * r, 0.0, 0.25 * r])
    return parts, brow, at, direction, ground


def _elytra(
    t: dict[str, float], colours: dict[str, Colour], rng: np.random.Generator
) -> list[Ellipsoid]:
    length = t["abdomen_length"] + 0.62
    width = 0.54 * max(t["abdomen_width"], t["thorax_width"])
    height = 0.42 * max(t["abdomen_width"], t["thorax_height"])
    gape = 0.0 if rng.random() < 0.75 else rng.uniform(0.05, 0.45)
    marks = [
        ("rows", colours["dark"], 0.22),
        ("spots", colours["wing_mark"], t["elytra_spots"] ** 1.5),
        ("crossband", colours["wing_mark"], t["elytra_band"] ** 1.5),
    ]
    hard = []
    for side in (-1, 1):
        axes = turn(2, -side * gape) @ turn(1, -0.3 * gape)
        centre = np.array([0.28, side * 0.44 * width, 0.02]) + axes @ np.array(
            [-0.5 * length, 0.0, 0.0]
        )
        hard.append(
            Ellipsoid(
                centre,
                axes,
                np.array([0.54 * length, 0.58 * width, height]),
                colours["abdomen"],
                t["gloss"],
                marks,
            )
        )
    return hard


def _legs(
    t: dict[str, float], colours: dict[str, Colour], rng: np.random.Generator
) -> list[Stroke]:
    strokes = []
    curl = rng.beta(1.2, 1.6)
    thick = t["leg_thickness"]
    dark = mixed(colours["leg"], colours["dark"], 0.75)
    for pair, (x, azimuth, share) in enumerate(
        ((0.3, 0.65, 0.78), (0.02, 1.5, 0.92), (-0.26, 2.35, 1.22))
    ):
        for side in (-1, 1):
            if rng.random() < 0.03:
                continue  # Legs break off.
            length = t["leg_length"] * share
            at = np.array([x, side * 0.22 * t["thorax_width"], -0.36 * t["thorax_height"]])
            heading = azimuth + rng.normal(0, 0.25)
            femur = at + 0.40 * length * toward(
                heading, 0.25 - 1.2 * curl + rng.normal(0, 0.25), side
            )
            fold = heading + (2.3 * curl if pair == 0 else -1.6 * curl + 0.3) + rng.normal(0, 0.35)
            tibia = femur + 0.40 * length * toward(fold, -0.75 + rng.normal(0, 0.35), side)
            toe = fold + rng.normal(0.2, 0.4)
            tarsus = [
                tibia + 0.3 * length * s * toward(toe + 0.5 * s, -0.35 + rng.normal(0, 0.15), side)
                for s in (0.35, 0.7, 1.0)
            ]
            swell = 1 + (1.7 * t["hind_femur"] if pair == 2 else 0.25)
            middle = 0.5 * (at + femur)
            strokes.append(
                Stroke(
                    np.stack([at, middle, femur]),
                    thick * np.array([1.0, 1.25 * swell, 0.8]),
                    colours["leg"],
                )
            )
            knee = femur + 0.12 * (tibia - femur)
            ring = mixed(colours["leg"], dark, t["leg_rings"])
            strokes.append(
                Stroke(
                    np.stack([femur, knee, tibia]),
                    thick * np.array([0.72, 0.62, 0.6]),
                    colours["leg"],
                )
            )
            strokes.append(
                Stroke(
                    np.stack([femur + 0.72 * (tibia - femur), tibia]),
                    thick * np.array([0.62, 0.66]),
                    ring,
                )
            )
            strokes.append(
                Stroke(np.stack([tibia, *tarsus]), thick * np.array([0.5, 0.46, 0.42, 0.4]), ring)
            )
    return strokes


def _antennae(
    t: dict[str, float], colours: dict[str, Colour], brow: np.ndarray, rng: np.random.Generator
) -> list[Stroke]:
    strokes = []
    r = 0.5 * t["head_size"]
    colour = mixed(colours["head"], colours["dark"], 0.35)
    joints = 9
    for side in (-1, 1):
        azimuth, elevation = rng.uniform(0.25, 0.9), rng.normal(0.35, 0.35)
        curl, droop = rng.normal(0.12, 0.1), rng.normal(-0.1, 0.1)
        at = brow + np.array([0.0, side * 0.28 * r, 0.0])
        points = [at]
        for _ in range(joints):
            at = at + t["antenna_length"] / joints * toward(azimuth, elevation, side)
            points.append(at)
            azimuth, elevation = azimuth + curl, elevation + droop
        points = np.stack(points)
        along = np.linspace(0, 1, joints + 1)
        widths = t["antenna_thickness"] * (
            1 + 2.4 * t["antenna_club"] * (along > 0.68) - 0.35 * (1 - t["antenna_club"]) * along
        )
        strokes.append(Stroke(points, widths, colour))
        if t["antenna_plume"] > 0.25:
            for k in range(2, joints):
                for _ in range(2):
                    hair = points[k] + 0.34 * t["antenna_plume"] * unit(
                        rng.normal(size=3) + 0.8 * (points[k] - points[k - 1])
                    )
                    strokes.append(
                        Stroke(np.stack([points[k], hair]), np.array([0.012, 0.006]), colour, 0.6)
                    )
    return strokes


def _tail(
    t: dict[str, float],
    colours: dict[str, Colour],
    tip: np.ndarray,
    direction: np.ndarray,
    rng: np.random.Generator,
) -> list[Stroke]:
    if t["tail"] < 0.15:
        return []
    strokes = []
    for side in (-1, 1):
        end = tip + t["tail"] * unit(
            direction + np.array([0, side * 0.18, 0]) + rng.normal(0, 0.08, 3)
        )
        strokes.append(
            Stroke(
                np.stack([tip - 0.1 * direction, end]),
                np.array([0.05, 0.02]),
                mixed(colours["abdomen"], colours["dark"], 0.6),
            )
        )
    return strokes


def _bristles(
    t: dict[str, float], colours: dict[str, Colour], rings: list, rng: np.random.Generator
) -> list[Stroke]:
    strokes = []
    size = np.array([0.52, 0.5 * t["thorax_width"], 0.5 * t["thorax_height"]])
    for _ in range(int(34 * max(0.0, t["bristles"] - 0.15))):
        outward = unit(rng.normal(size=3) + np.array([-0.2, 0, 0.7]))
        if rng.random() < 0.5:
            root = outward * size * 0.98
        else:
            centre, radius = rings[rng.integers(len(rings))]
            root = centre + outward * radius * 0.9
        hair = root + rng.uniform(0.1, 0.3) * (0.4 + 0.6 * t["bristles"]) * unit(
            outward + np.array([-0.7, 0, 0.2])
        )
        strokes.append(
            Stroke(np.stack([root, hair]), np.array([0.022, 0.008]), colours["dark"], 0.85)
        )
    return strokes
