"""The wings of a simulated insect: outline, pattern and veins, and how they lie."""

from __future__ import annotations

import numpy as np

from hypertax.data.simulation.shapes import Colour, Sheet, Stroke, Wing, cross, mixed


def wings(t: dict[str, float], colours: dict[str, Colour], rng: np.random.Generator) -> list[Wing]:
    """The wings of one specimen, none under closed wing cases; how they lie is drawn from `rng`."""
    hard = t["elytra"] > 0.5
    if hard and rng.random() < 0.6:
        return []
    rest = float(np.clip(t["wing_spread"] + rng.normal(0, 0.22), 0, 1.1))
    lift = rng.uniform(-0.05, 0.75) * (0.35 + 0.65 * min(rest, 1.0))
    twist = rng.uniform(-0.7, 0.5) - 0.25 * (1 - min(rest, 1.0))
    found = []
    for side in (-1, 1):
        if rng.random() < 0.04:
            continue
        spread, up = rest + rng.normal(0, 0.08), lift + rng.normal(0, 0.12)
        if t["hind_wing"] > 0.3:
            hinge = np.array([-0.18, side * 0.42 * t["thorax_width"], 0.2 * t["thorax_height"]])
            size = (
                t["wing_length"] * (0.5 + 0.35 * t["hind_wing"]),
                t["wing_width"] * 1.2,
                0.6 * t["wing_point"],
            )
            found.append(
                _wing(t, colours, hinge, 0.1 + 1.25 * spread, up - 0.06, twist, side, size, 0.5)
            )
        hinge = np.array([0.12, side * 0.42 * t["thorax_width"], 0.28 * t["thorax_height"]])
        size = t["wing_length"], t["wing_width"], t["wing_point"]
        found.append(_wing(t, colours, hinge, 0.12 + 1.65 * spread, up, twist, side, size, 1.0))
    return found


def _wing(t, colours, hinge, angle, lift, twist, side, size, marked) -> Wing:
    """One wing: `angle` from straight back to straight out (radians), `lift` above the plane of the
    body, `twist` about its own axis, `size` its length, width and pointedness, `marked` the
    strength of its pattern."""
    length, width, point = size
    out = np.array(
        [-np.cos(angle) * np.cos(lift), side * np.sin(angle) * np.cos(lift), np.sin(lift)]
    )
    ahead = np.array([np.sin(angle), side * np.cos(angle), 0.0])
    ahead = ahead * np.cos(twist) + cross(out, ahead) * np.sin(twist) * side
    rise, fall = 0.42 + 0.75 * t["wing_opacity"] * t["hind_wing"], 0.28 + 0.6 * point
    peak = rise / (rise + fall)
    top = peak**rise * (1 - peak) ** fall

    def place(s: np.ndarray, across: np.ndarray) -> np.ndarray:
        """Points of the wing: s along it from 0 to 1, `across` from -1 (hind margin) to 1 (front
        margin)."""
        chord = width * s**rise * (1 - s) ** fall / top
        offset = np.where(across > 0, 0.36 * across, 0.64 * across) * chord + 0.05 * np.sin(
            np.pi * s
        )
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
            sheets.append(
                Sheet(
                    patch(max(low, 0.02), min(high, 1.0)),
                    mark,
                    marked * band * min(1.0, 1.6 * (strength - 0.25)),
                )
            )
    if t["wing_spots"] > 0.35:
        turn = np.linspace(0, 2 * np.pi, 11)[:-1]
        for s, across in ((0.45, 0.3), (0.68, -0.25), (0.8, 0.35)):
            size = 0.05 + 0.05 * t["wing_spots"]
            spot = place(
                np.clip(s + size * np.cos(turn), 0.01, 0.99),
                np.clip(across + 2.2 * size * np.sin(turn) / (width + 0.2), -0.95, 0.95),
            )
            sheets.append(
                Sheet(spot, mark, marked * band * min(1.0, 1.8 * (t["wing_spots"] - 0.3)))
            )
    veins = []
    fine = 0.014 + 0.010 * t["vein_strength"]
    faint = 0.3 + 0.5 * t["vein_strength"]
    s = np.linspace(0.0, 1.0, 9)
    for across, end in ((0.55, 0.96), (0.15, 0.99), (-0.2, 0.95), (-0.6, 0.8), (-0.85, 0.55)):
        bow = across * np.minimum(1.0, 1.7 * s) ** 0.8
        veins.append(Stroke(place(0.02 + (end - 0.02) * s, bow), np.full(9, fine), vein, faint))
    if t["vein_strength"] > 0.55:
        for s_cross, a, b in (
            (0.35, 0.5, 0.1),
            (0.5, 0.12, -0.2),
            (0.42, -0.2, -0.6),
            (0.66, 0.14, -0.2),
            (0.62, -0.2, -0.58),
        ):
            veins.append(
                Stroke(
                    place(np.array([s_cross, s_cross + 0.03]), np.array([a, b])),
                    np.full(2, fine),
                    vein,
                    faint,
                )
            )
    rim = place(np.concatenate([s, s[::-1]]), np.concatenate([np.ones(9), -np.ones(9)]))
    veins.append(Stroke(rim, np.full(18, fine), vein, 0.9 * faint))
    front = np.linspace(0.0, 0.75, 7)
    veins.append(Stroke(place(front, np.ones(7)), np.full(7, 2.2 * fine), vein, 0.5 + 0.4 * faint))
    return Wing(sheets, veins)
