"""The figure of nested cones: what is drawn has the true radii and angles, and says of whom it is
true that he lies in his taxa's cones."""

import math

import matplotlib
import numpy as np
import pandas as pd
import pytest
import torch
from matplotlib.patches import Polygon
from matplotlib.path import Path

matplotlib.use("Agg")

from figure_checks import assert_readable, texts

from hypertax import figures
from hypertax.embeddings import Embeddings
from hypertax.evaluation.unfolding import Clades, Members, unfold
from hypertax.figures.nested import Stretch
from hypertax.geometry import lorentz as L
from hypertax.geometry.cone_angles import half_angle, widest_cone
from hypertax.geometry.nested_cones import WIDEST, fit_cones, radius_of_cone
from hypertax.taxonomy import RANKS

WIDTH = 24
NESTED, PAPER = 0.02, 0.1
CURVATURE = 0.49


def lineages(shape=(2, 2, 2, 2)) -> list[tuple[str, ...]]:
    return [
        (f"O{o}", f"F{o}{f}", f"G{o}{f}{g}", f"Genus{o}{f}{g} epi{s}")
        for o in range(shape[0])
        for f in range(shape[1])
        for g in range(shape[2])
        for s in range(shape[3])
    ]


def turned(axis: np.ndarray, angle: float, rng) -> np.ndarray:
    """The unit vector at an angle from an axis, in a random direction."""
    axis = axis / np.linalg.norm(axis)
    side = rng.normal(size=len(axis))
    side -= side @ axis * axis
    return math.cos(angle) * axis + math.sin(angle) * side / np.linalg.norm(side)


def taxa(known=None) -> tuple[pd.DataFrame, np.ndarray]:
    """A row per taxon of the lineages, parents first, and the parents' rows."""
    rows, place = [], {}
    for lineage in known or lineages():
        for depth, rank in enumerate(RANKS):
            if (rank, lineage[depth]) not in place:
                place[rank, lineage[depth]] = len(rows)
                names = {r: lineage[i] if i <= depth else None for i, r in enumerate(RANKS)}
                rows.append(
                    {"id": lineage[depth], "modality": "text", "rank": rank, "split": None, **names}
                )
    parents = [
        place.get(
            (RANKS[RANKS.index(row["rank"]) - 1], row[RANKS[RANKS.index(row["rank"]) - 1]]), -1
        )
        if row["rank"] != "order"
        else -1
        for row in rows
    ]
    return pd.DataFrame(rows), np.array(parents)


def embed(*, nested: bool, known=None, count=lambda i: 3 + i % 4) -> Embeddings:
    """Taxa drawn together so that their cones fit (or left where they are, at random radii) and
    specimens at one radius.

    Before all are drawn together, specimens lie about 26 degrees from their species' axis, and its
    cone is 30 wide.
    """
    rng = np.random.default_rng(4)
    table, parents = taxa(known)
    ranks = np.array([RANKS.index(rank) for rank in table["rank"]])
    units = np.zeros((len(table), WIDTH))
    for i, parent in enumerate(parents):
        turn = math.radians(rng.uniform(50, 60))
        units[i] = (
            turned(units[parent], turn, rng)
            if parent >= 0
            else turned(rng.normal(size=WIDTH), 0.0, rng)
        )
    share, radii = 1.0, rng.uniform(0.5, 0.9, len(table))
    if nested:
        fitted = torch.from_numpy(units), torch.from_numpy(ranks), torch.from_numpy(parents)
        found, angle = fit_cones(*fitted, math.radians(30), WIDEST * widest_cone(4.0, NESTED))
        share, radii = float(found), radius_of_cone(angle, 4.0, NESTED).numpy()
    rows, vectors, lengths = [], list(units), list(radii)
    for i in np.flatnonzero(ranks == 3):
        lineage = table.loc[i, list(RANKS)].to_dict()
        for j in range(count(i)):
            for modality in ("image", "dna"):
                rows.append(
                    {
                        "id": f"S{i}-{j}",
                        "modality": modality,
                        "rank": None,
                        "split": "test_seen",
                        **lineage,
                    }
                )
                vectors.append(turned(units[i], math.radians(rng.normal(26, 7)), rng))
                lengths.append(4.0 if nested else 1.5)
    root = np.full((len(vectors), 1), math.sqrt(1 - share**2))
    tangent = (
        np.array(lengths)[:, None] * np.hstack([root, share * np.array(vectors)]) / CURVATURE**0.5
    )
    return Embeddings(
        pd.concat([table, pd.DataFrame(rows)], ignore_index=True),
        tangent.astype(np.float32),
        "lorentz",
        CURVATURE,
    )


@pytest.fixture(scope="module")
def panels() -> dict:
    return {"Nested": (embed(nested=True), NESTED), "Paper": (embed(nested=False), PAPER)}


@pytest.fixture(scope="module")
def drawn(panels):
    return figures.nested_cones(panels, ("order", "O0"))


def outlines(ax) -> dict[str, np.ndarray]:
    return {patch.get_label(): patch.get_xy() for patch in ax.patches if isinstance(patch, Polygon)}


def apexes(ax) -> np.ndarray:
    return np.concatenate([line.get_xydata() for line in ax.lines if line.get_marker() == "o"])


def dots(ax, modality: str) -> dict[bool, np.ndarray]:
    return {
        inside: next(
            c for c in ax.collections if c.get_label() == f"{modality} {inside}"
        ).get_offsets()
        for inside in (True, False)
    }


def vector(run: Embeddings, name: str) -> np.ndarray:
    return run.tangent[(run.table["id"] == name).to_numpy().argmax()].astype(float)


def degrees_between(x, y) -> float:
    return math.degrees(math.acos(x @ y / np.linalg.norm(x) / np.linalg.norm(y)))


def above(name: str) -> str:
    return (
        {"F": f"O{name[1]}", "G": f"F{name[1:3]}"}[name[0]] if " " not in name else f"G{name[5:8]}"
    )


@pytest.mark.parametrize(
    "aperture, apex", [(0.02, 0.041), (0.02, 0.3), (0.1, 0.7), (0.1, 0.15), (0.4, 0.05)]
)
def test_a_cones_sides_are_where_exterior_angle_and_half_aperture_are_equal(aperture, apex):
    radius = np.array([1.0001, 1.1, 2, 5, 20]) * apex
    half = half_angle(apex, radius, aperture)
    c = 2.0
    sides = torch.from_numpy(
        np.stack([np.sinh(radius) * np.cos(half), np.sinh(radius) * np.sin(half)], axis=1) / c**0.5
    )
    top = torch.tensor([[math.sinh(apex) / c**0.5, 0.0]], dtype=torch.float64).expand_as(sides)
    np.testing.assert_allclose(
        L.exterior_angle(top, sides, c), L.half_aperture(top, c, aperture), atol=1e-7
    )


def test_every_child_is_drawn_at_its_true_angle_and_radius(panels, drawn):
    assert_readable(drawn)
    for ax, (run, aperture) in zip(drawn.axes, panels.values(), strict=True):
        names = list(outlines(ax))
        assert [name[0] for name in names] == list("OFFGG") + ["G", "G"] and names[0] == "O0"
        points = dict(zip(names, apexes(ax), strict=True))
        turn = {name: math.degrees(math.atan2(x, y)) for name, (x, y) in points.items()}
        assert turn["O0"] == pytest.approx(0, abs=1e-6)
        for name in names[1:]:
            angle = abs((turn[name] - turn[above(name)] + 180) % 360 - 180)
            assert angle == pytest.approx(
                degrees_between(vector(run, name), vector(run, above(name))), abs=1e-3
            ), name
        for first, second in ((1, 2), (3, 4), (5, 6)):
            side = [
                (turn[names[i]] - turn[above(names[i])] + 180) % 360 - 180 for i in (first, second)
            ]
            assert side[0] * side[1] < 0
        branches = Clades([run for run, _ in panels.values()], ["test_seen"]).unfold(
            ("order", "O0"), 2, (1, 1, 1)
        )
        own = unfold(run, Members.find(run, aperture, ("order", "O0"), ["test_seen"]), branches)
        stretch = Stretch(own, np.array([branch.rank for branch in branches]))
        radii = stretch.inverse(np.linalg.norm(list(points.values()), axis=1))
        np.testing.assert_allclose(
            radii, [CURVATURE**0.5 * np.linalg.norm(vector(run, name)) for name in names], rtol=1e-6
        )
        ticks = [float(label.get_text().split()[-1]) for label in ax.get_xticklabels()]
        np.testing.assert_allclose(ticks[1:], stretch.inverse(ax.get_xticks()[1:]), rtol=0.05)


def test_titles_say_whether_the_drawn_cones_nest_and_taxa_are_named_beside_their_apex(drawn):
    titles = [ax.get_title(loc="left").splitlines() for ax in drawn.axes]
    assert titles[0] == ["Nested", "nested: 6 of 6 cones lie in their parent's"]
    assert titles[1] == ["Paper", "not nested: 0 of 6 cones lie in their parent's"]
    for ax in drawn.axes:
        names = [name for name in outlines(ax)]
        places = {text.get_text(): np.array(text.get_position()) for text in ax.texts}
        assert len(places) == len(names) == 7
        for name, apex in zip(names, apexes(ax), strict=True):
            shown = name if " " not in name else f"{name[0]}. {name.split()[1]}"
            assert np.linalg.norm(places[shown] - apex) < 0.6, name
        boxes = [text.get_window_extent() for text in ax.texts]
        overlaps = [(a, b) for i, a in enumerate(boxes) for b in boxes[:i] if a.overlaps(b)]
        assert not overlaps


def test_radii_keep_their_order_on_paper(panels):
    run, aperture = panels["Paper"]
    branches = Clades([run], ["test_seen"]).unfold(("order", "O0"), 2, (1, 1, 1))
    own = unfold(run, Members.find(run, aperture, ("order", "O0"), ["test_seen"]), branches)
    stretch = Stretch(own, np.array([branch.rank for branch in branches]))
    radii = np.geomspace(1e-3, 1.6, 500)
    places = stretch(radii)
    assert (np.diff(places) > 0).all() and places[-1] < 1
    np.testing.assert_allclose(stretch.inverse(places), radii, rtol=1e-9)


def test_cones_that_nest_are_drawn_within_each_other_and_others_are_not(drawn):
    for ax, nest in zip(drawn.axes, (True, False), strict=True):
        cones = outlines(ax)
        within = [
            Path(cones[above(name)]).contains_points(0.9999 * cones[name]).all()
            for name in list(cones)[1:]
        ]
        assert all(within) if nest else not any(within)


def test_a_dot_is_filled_where_the_specimen_is_in_all_its_cones_in_the_full_space(panels, drawn):
    for ax, (run, aperture) in zip(drawn.axes, panels.values(), strict=True):
        points = L.exp0(torch.from_numpy(run.tangent.astype(float)), CURVATURE)
        species = [name for name in outlines(ax) if " " in name]
        apex = dict(zip(outlines(ax), apexes(ax), strict=True))
        for modality in ("dna", "image"):
            expected: dict[bool, list[float]] = {True: [], False: []}
            shares = []
            for i, row in run.table[
                (run.table["modality"] == modality) & (run.table["order"] == "O0")
            ].iterrows():
                inside = True
                for rank in RANKS:
                    taxon = L.exp0(torch.from_numpy(vector(run, row[rank])), CURVATURE)
                    inside &= bool(
                        L.exterior_angle(taxon, points[i], CURVATURE)
                        <= L.half_aperture(taxon, CURVATURE, aperture)
                    )
                shares.append(inside)
                if row["species"] in species:
                    expected[inside].append(
                        degrees_between(run.tangent[i].astype(float), vector(run, row["species"]))
                    )
            for inside, places in dots(ax, modality).items():
                assert len(places) == len(expected[inside])
                # Of which species a dot is, its angle tells: every true one must be found from one
                # of the two.
                angles = np.array(
                    [[degrees_between(place, apex[name]) for name in species] for place in places]
                ).reshape(-1, 2)
                for angle in expected[inside]:
                    assert np.abs(angles - angle).min() < 1e-3
            label = {"dna": "DNA", "image": "image"}[modality]
            drawn_now = f"{label} {len(expected[True])} of {sum(map(len, expected.values()))} drawn"
            assert (
                f"{drawn_now}, {100 * np.mean(shares):.0f} % of the clade's {len(shares)}"
                in ax.get_xlabel()
            )
        if aperture == NESTED:
            assert len(dots(ax, "dna")[True]) and 0 < np.mean(shares) < 1


def test_saturated_cones_are_half_spaces_and_said_to_be(panels):
    run, _ = panels["Paper"]
    fig = figures.nested_cones({"Wide": (run, 0.6)}, ("family", "F00"))
    assert_readable(fig)
    assert (
        "half-spaces: 5 of 5 cones" in fig.axes[0].get_xlabel()
        and "in all 3 of" in fig.axes[0].get_xlabel()
    )
    assert half_angle(0.5, np.array([20.0]), 0.6) == pytest.approx(
        math.acos(math.tanh(0.5)), abs=1e-6
    )


def test_the_default_clade_branches_in_all_runs_and_has_most_specimens():
    # O1 has most specimens, but one of its ranks has a single child everywhere; of the others, O2
    # has most.
    known = [
        name for name in lineages((3, 2, 2, 2)) if not (name[0] == "O1" and name[3].endswith("1"))
    ]
    table, _ = taxa(known)
    more = {"O0": 2, "O1": 9, "O2": 4}
    run = embed(nested=True, known=known, count=lambda i: more[table["order"][i]])
    assert Clades([run], ["test_seen"]).default(2) == ("order", "O2")
    assert Clades([run], ["test_seen"]).default(1) == ("order", "O1")
    assert "O2 unfolded" in " ".join(texts(figures.nested_cones({"Run": (run, NESTED)}))).replace(
        "\n", " "
    )
    other = run.where(run.table["id"] != "Genus200 epi1")
    assert Clades([run, other], ["test_seen"]).default(2) == ("order", "O2")
    fewer = run.where(~run.table["id"].isin([f"Genus2{f}{g} epi1" for f in (0, 1) for g in (0, 1)]))
    assert Clades([run, fewer], ["test_seen"]).default(2) == ("order", "O0")
    one_family = run.where(~run.table["family"].isin(["F00", "F10", "F20"]))
    assert Clades([one_family], ["test_seen"]).default(2) == ("family", "F21")
    with pytest.raises(ValueError, match="name a clade"):
        Clades([run], ["val_seen"]).default(2)


def test_what_cannot_be_drawn_is_refused(panels):
    run, _ = panels["Nested"]
    flat = Embeddings(run.table, run.tangent, "euclidean")
    with pytest.raises(ValueError, match="hyperbolic run"):
        figures.nested_cones({"Flat": (flat, 0.1)})
    with pytest.raises(ValueError, match="'O9' of rank 'order' in the embeddings of Nested, Paper"):
        figures.nested_cones(panels, ("order", "O9"))
    without = run.where(run.table["id"] != "O0")
    with pytest.raises(ValueError, match="'O0' of rank 'order' in the embeddings of Second"):
        figures.nested_cones({"First": (run, NESTED), "Second": (without, NESTED)}, ("order", "O0"))
    with pytest.raises(ValueError, match="children=3"):
        figures.nested_cones(panels, children=3)
    assert len(figures.nested_cones({"Flat": (flat, 0.1), "Nested": (run, NESTED)}).axes) == 1
