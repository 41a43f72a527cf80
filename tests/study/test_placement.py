"""Euclidean embeddings placed in a Lorentz space: nobody's neighbours change, all cones nest; the
study's rows that say so."""

import numpy as np
import pandas as pd
import pytest

from hypertax.config.run_config import RunConfig
from hypertax.embeddings import COLUMNS, Embeddings
from hypertax.evaluation.accuracy import evaluate
from hypertax.evaluation.cones import specimens_in_cones
from hypertax.evaluation.nesting import cone_nesting
from hypertax.study.placement import place_in_cones
from hypertax.study.recipes import placed_runs
from hypertax.study.rows import Row
from hypertax.study.runs import StudyRun
from hypertax.taxonomy import RANKS

RULES = RunConfig.create(recipe="nested")
SPLITS = ("seen_keys", "test_seen", "val_seen")


def embeddings(seed=0, dim=12, spread=0.3):
    """Two orders of two families each, and so on; taxa as sums along the lineage, specimens beside
    their species; lengths at random."""
    rng = np.random.default_rng(seed)
    own = {}
    rows, vectors = [], []
    for leaf in range(16):
        names = [f"{rank[0]}{leaf >> (3 - depth)}" for depth, rank in enumerate(RANKS)]
        for depth, rank in enumerate(RANKS):
            if (rank, names[depth]) not in own:
                own[rank, names[depth]] = rng.normal(size=dim)
                lineage = [*names[: depth + 1], *[None] * (3 - depth)]
                rows.append([names[depth], "text", rank, None, *lineage])
                vectors.append(
                    sum(own[r, n] for r, n in zip(RANKS[: depth + 1], names, strict=False))
                )
        for split in SPLITS:
            rows += [[f"{leaf}{split}{i}", "dna", None, split, *names] for i in range(3)]
            species = sum(own[rank, name] for rank, name in zip(RANKS, names, strict=True))
            vectors += [species + spread * rng.normal(size=dim) for _ in range(3)]
    scale = rng.uniform(0.2, 5, (len(rows), 1))
    return Embeddings(
        pd.DataFrame(rows, columns=list(COLUMNS)),
        (scale * np.array(vectors)).astype(np.float32),
        "euclidean",
    )


def scores(found):
    found = evaluate(found, "test")
    found = found[found["ranking"] == "distance"]
    return found.drop(columns="ranking").reset_index(drop=True)


@pytest.mark.parametrize(
    "config",
    [RULES, RunConfig.create(recipe="nested", curvature=3.0, aperture=0.1, cone_angle=50.0)],
    ids=str,
)
def test_placed_embeddings_keep_their_neighbours_and_their_cones_nest(config):
    before = embeddings()
    after = place_in_cones(before, config)
    assert (
        after.space == "lorentz"
        and after.curvature == config.curvature
        and after.tangent.dtype == np.float32
    )
    pd.testing.assert_frame_equal(after.table, before.table)
    pd.testing.assert_frame_equal(scores(after), scores(before))
    found = cone_nesting(after, aperture=config.aperture)
    assert found["edges"].tolist() == [4, 8, 16] and (found["unsaturated"] == found["edges"]).all()
    assert (found["nested"] == 1).all() and (found["sampled_whole"] == 1).all()
    inside = specimens_in_cones(after, aperture=config.aperture).set_index("rank")["inside"]
    assert inside["all"] == inside["species"] > 0.9


def test_a_narrower_cone_holds_fewer_specimens():
    shares = []
    for angle in (36.0, 9.0, 5.0):
        placed = place_in_cones(embeddings(), RunConfig.create(recipe="nested", cone_angle=angle))
        shares.append(
            specimens_in_cones(placed, aperture=RULES.aperture).set_index("rank")["inside"][
                "species"
            ]
        )
    assert shares[0] > shares[1] > shares[2]


def test_what_cannot_be_placed_is_named():
    placed = place_in_cones(embeddings(), RULES)
    with pytest.raises(ValueError, match="Only Euclidean embeddings can be placed"):
        place_in_cones(placed, RULES)
    specimens = embeddings()
    with pytest.raises(ValueError, match="There are no taxa to place"):
        place_in_cones(specimens.where(specimens.table["modality"] == "dna"), RULES)


class FakeRun:
    def __init__(self, name, config, found):
        self.name, self.config, self._found = name, config, found

    def embeddings(self):
        return self._found


def test_the_euclidean_lineages_of_a_study_are_placed():
    euclidean = embeddings()
    members = [
        ("Euclidean CL", RunConfig.create(space="euclidean", entailment="none"), euclidean),
        ("Euclidean, lineage", RunConfig.create(space="euclidean", recipe="lineage"), euclidean),
        ("Hyperbolic, lineage", RunConfig.create(recipe="lineage"), euclidean),
        ("Hyperbolic, nested", RULES, place_in_cones(embeddings(1), RULES)),
    ]
    study = [
        StudyRun(Row("row", label), 3, FakeRun(f"run{i}", config, found))
        for i, (label, config, found) in enumerate(members)
    ]
    (placed,) = placed_runs(study)
    assert (placed.row.label, placed.seed, placed.run.name) == (
        "Euclidean, lineage, placed",
        3,
        "run1",
    )
    assert placed.aperture == RULES.aperture != study[1].aperture
    assert np.array_equal(placed.embeddings.tangent, place_in_cones(euclidean, RULES).tangent)
    found = cone_nesting(placed.embeddings, aperture=placed.aperture)
    assert (found["nested"] == 1).all()
