"""experiments.yaml: how rows look, and what groups sweep."""

import re

import pytest

from hypertax.figures.looks import MARKERS, Look
from hypertax.study.rows import Row, load_groups, load_rows, load_sweep, of_one_view, row_looks

GROUPS = load_groups()


@pytest.mark.parametrize("group", GROUPS)
def test_every_row_has_a_look_that_no_other_row_of_its_group_has(group):
    looks = [row.look for row in GROUPS[group]]
    assert all(re.fullmatch("#[0-9A-F]{6}", look.colour) for look in looks)
    assert all(look.marker in MARKERS for look in looks)
    assert len({look.colour for look in looks}) == len(looks)


def test_a_row_has_one_look_in_all_groups():
    looks: dict[str, Look] = {}
    for row in (row for rows in GROUPS.values() for row in rows):
        assert looks.setdefault(row.label, row.look) == row.look


def test_euclidean_and_hyperbolic_rows_are_told_apart_by_their_markers():
    space = {"euclidean": set(), "lorentz": set()}
    for row in (row for rows in GROUPS.values() for row in rows if row.notebook):
        space[row.config().space].add(row.look.marker)
    assert space["euclidean"] <= {"s", "D", "d"} and not space["euclidean"] & space["lorentz"]


def test_a_look_has_no_part_in_what_a_row_is():
    plain = Row("a", "A", "02_train_euclidean")
    drawn = Row("a", "A", "02_train_euclidean", look=Look("#000000", "o"))
    assert plain == drawn and hash(plain) == hash(drawn) and plain.config() == drawn.config()
    looks = row_looks([plain, Row("b", "B", look=Look("#0072B2", "o"))])
    assert looks["B"] == Look("#0072B2", "o")
    assert looks["A"].colour != "#0072B2" and looks["A"].marker != "o"


def test_what_a_group_sweeps_is_read_from_its_entry():
    width = load_sweep("width")
    assert width.parameter == "embed_dim" and width.axis == "dimensions"
    settings = width.settings(load_rows("width"))
    assert settings["Hyperbolic CL, 8 dimensions"] == ("Hyperbolic CL", 8)
    assert settings["Euclidean CL"] == ("Euclidean CL", 256)
    assert {value for _, value in settings.values()} == {8, 16, 32, 64, 128, 256}
    core = {row.label: row.look for row in load_rows("core")}
    assert width.looks() == {name: core[name] for name in ("Euclidean CL", "Hyperbolic CL")}
    curvature = load_sweep("curvature")
    settings = curvature.settings(load_rows("curvature"))
    assert curvature.parameter == "curvature" and "Euclidean CL" not in settings
    assert settings["CL + SEL, c = 4, scaled"] == ("c held, scaled", 4.0)
    assert settings["Hyperbolic CL + SEL"] == ("c learned", 1.0)
    # Every swept row is on a line; only those asked for are given.
    assert set(settings) == {row.label for row in load_rows("curvature")} - {"Euclidean CL"}
    assert len(curvature.settings(load_rows("curvature")[:3])) == 2
    assert load_sweep("core") is None


ROWS = "a: {label: A, notebook: 03_train_hyperbolic, colour: '#000000', marker: o}"
SWEEP = "sweep: {parameter: curvature, axis: c, lines: {x: [a]}}"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "g: {a: {label: A, colour: blue, marker: o}}",
            'g, a: colour must be .*"#0072B2", not .bl',
        ),
        ("g: {a: {label: A, colour: '#00ff00'}}", "g, a: marker must be one of o s .*, not None"),
        ("g: {a: {label: A, colour: '#00ff00', marker: q}}", "marker must be one of .*, not 'q'"),
        (
            f"g: {{{ROWS}, b: {{label: B, colour: '#000000', marker: s}}}}",
            "g, b has the colour of a",
        ),
        (
            f"g: {{{ROWS}}}\nh: {{{ROWS.replace('marker: o', 'marker: s')}}}",
            "two different rows named a",
        ),
        (
            f"g: {{{SWEEP.replace('x: [a]', 'x: [b]')}, {ROWS}}}",
            "g, sweep, x: 'b' is not a trained",
        ),
        (f"g: {{{SWEEP.replace('x: [a]', 'x: [a], y: [a]')}, {ROWS}}}", "y: a is on two lines"),
        (f"g: {{{SWEEP.replace('curvature', 'curvatur')}, {ROWS}}}", "'curvatur' is not a param"),
        (f"g: {{sweep: {{lines: {{}}}}, {ROWS}}}", "g, sweep must have parameter, axis and lines"),
    ],
)
def test_what_is_wrong_with_looks_and_sweeps_is_said_in_one_sentence(tmp_path, text, message):
    path = tmp_path / "rows.yaml"
    path.write_text(text)
    with pytest.raises(ValueError, match=message) as caught:
        load_groups(path)
    assert "\n" not in str(caught.value)


def test_a_row_of_both_views_is_found_beside_the_same_row_of_one_view():
    pairs = {(joint.name, single.name) for joint, single in of_one_view(load_rows("modalities"))}
    rows = ("euclidean-cl", "hyperbolic-cl-sel", "euclidean-lineage", "hyperbolic-nested")
    assert pairs == {(row, f"{row}-{view}") for row in rows for view in ("image", "dna")}
    assert not of_one_view(load_rows("core"))
