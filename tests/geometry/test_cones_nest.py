"""Models whose cones nest, before anything is learned and whatever is learned: taxa in fp32 as
`embed` gives them, judged in fp64."""

import math
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from small_lineages import forest, names_and_tokens
from torch.nn import functional as F

from hypertax.config.run_config import RunConfig
from hypertax.embeddings import COLUMNS, Embeddings
from hypertax.evaluation.cones import ALL, specimens_in_cones
from hypertax.evaluation.nesting import cone_nesting
from hypertax.geometry.cone_angles import half_angle
from hypertax.geometry.nested_cones import SLACK, drawn_together, radius_of_cone
from hypertax.model.model import assemble_model
from hypertax.taxonomy import RANKS

SETTINGS = [
    {},
    {"curvature": 0.3},
    {"curvature": 25.0, "cone_angle": 8.0},
    {"aperture": 0.1, "cone_angle": 60.0},
    {"aperture": 0.5, "specimen_radius": 3.0},
    {"aperture": 0.001, "specimen_radius": 12.0, "cone_angle": 90.0},
    {"specimen_radius": 0.5, "cone_angle": 1.0},
    {"aperture": 0.8, "specimen_radius": 9.0, "curvature": 4.0},
]
LEARNED = ["nothing", "anything", "children far from parents", "children at their parents"]


def learn(model, what, seed):
    """Vectors as they may become: of any size, each taxon's the larger part of its sum or the
    smaller one."""
    weight = model.encoders["text"].vectors.weight
    generator = torch.Generator().manual_seed(seed)
    drawn = torch.randn(weight.shape, generator=generator)
    depth = (model.encoders["text"].lineages > 0).sum(dim=1, keepdim=True)
    with torch.no_grad():
        if what == "anything":
            weight.copy_(drawn * 10 ** (2 * torch.rand(len(weight), 1, generator=generator) - 1))
        elif what != "nothing":
            weight.copy_(
                drawn
                * {"children far from parents": 8.0, "children at their parents": 0.05}[what]
                ** depth
            )
    model.clamp_()


def taxa(lineages, seed=0, learned="nothing", dim=24, **parameters):
    """A model of names alone, and its taxa by row, each with the names of its row's ancestors."""
    config = RunConfig.create("tiny", recipe="nested", embed_dim=dim, **parameters)
    _, tokens = names_and_tokens(lineages)
    torch.manual_seed(seed)
    model = assemble_model(config, ("text",), tokens, pretrained=False)
    learn(model, learned, seed)
    return model, embedded(model)


def embedded(model):
    tokens, rows = model.tokens, model.tokens.rows()
    with torch.no_grad():
        tangent = model.tangent("text", torch.from_numpy(rows[1:])).numpy()
    assert tangent.dtype == np.float32
    own = [
        [rank for rank in RANKS if lineage[RANKS.index(rank)] is not None][-1]
        for lineage in tokens.lineages
    ]
    name = [
        None,
        *(lineage[RANKS.index(rank)] for lineage, rank in zip(tokens.lineages, own, strict=True)),
    ]
    table = [
        (name[i], "text", own[i - 1], None, *(name[row] for row in rows[i]))
        for i in range(1, len(rows))
    ]
    return Embeddings(
        pd.DataFrame(table, columns=list(COLUMNS)), tangent, "lorentz", model.config.curvature
    )


def assert_all_nest(found):
    assert (found["unsaturated"] == found["edges"]).all(), "no cone is a half-space"
    assert (found["nested"] == 1).all() and (found["sampled_whole"] == 1).all()


@pytest.mark.parametrize("parameters", SETTINGS, ids=str)
@pytest.mark.parametrize("learned", LEARNED)
def test_all_whole_cones_nest(learned, parameters):
    for seed in range(2):
        model, run = taxa(forest(seed), seed, learned, **parameters)
        found = cone_nesting(run, aperture=model.config.aperture).set_index("rank")
        assert list(found.index) == ["family", "genus", "species"] and (found["edges"] > 3).all()
        assert found["edges"].sum() == (model.encoders["text"].parents >= 0).sum()
        assert_all_nest(found)
        config, table = model.config, model.encoders["text"]
        radius = table.radii * math.sqrt(config.curvature)
        assert (radius > math.asinh(2 * config.aperture)).all() and (
            radius < config.specimen_radius
        ).all(), "nor is any without a parent"
        assert run.tangent.shape[1] == 24


def test_directions_are_drawn_together_only_where_cones_need_it():
    def contraction(learned, **parameters):
        return float(taxa(forest(0), learned=learned, **parameters)[0].space.contraction)

    assert (
        contraction("children at their parents")
        == 1
        > contraction("nothing")
        > contraction("children far from parents")
        > 0.1
    )
    assert contraction("nothing", cone_angle=5.0) > contraction("nothing", cone_angle=60.0)


@pytest.mark.parametrize(
    "lineage",
    [("O1", None, "G1", "S2"), ("O1", "F2", "G1", "S2")],
    ids=["skips what its genus has", "has another family than its genus"],
)
def test_cones_nest_where_specimens_disagree_about_the_ranks_above(lineage):
    model, run = taxa([("O1", "F1", "G1", "S1"), lineage, ("O1", "F2", "G2", "S3")])
    found = cone_nesting(run, aperture=model.config.aperture)
    assert found["edges"].sum() == 7
    assert_all_nest(found)


@pytest.mark.parametrize("rank", RANKS[:3])
def test_a_parent_narrower_by_more_than_the_slack_does_not_hold_its_widest_child(rank):
    """No cone is wider than it must be; nothing but the radii nests them."""
    model, run = taxa(forest(0))
    config, table = model.config, model.encoders["text"]
    angle = half_angle(table.radii.numpy(), config.specimen_radius, config.aperture)
    parents = (table.ranks == RANKS.index(rank)) & torch.isin(
        torch.arange(len(table.ranks)), table.parents
    )
    fitted = table.radii.clone()
    for narrower, all_nested in ((SLACK - 0.05, True), (SLACK + 0.05, False)):
        less = torch.from_numpy(angle - math.radians(narrower)).float()
        table.radii.copy_(
            torch.where(
                parents, radius_of_cone(less, config.specimen_radius, config.aperture), fitted
            )
        )
        found = cone_nesting(embedded(model), aperture=config.aperture)
        assert ((found["nested"] == 1) & (found["sampled_whole"] == 1)).all() == all_nested
        out = sum((1 - found["nested"]) * found["edges"])
        # Of every parent the widest child alone.
        assert out == pytest.approx(0 if all_nested else int(parents.sum()))


# Specimens


def around(model, share, seed, per_taxon=6):
    """Specimens of every taxon, whose vectors lie at a share of `cone_angle` from that of their
    deepest known taxon, in any direction."""
    generator = torch.Generator().manual_seed(seed)
    axis = model.encoders["text"].directions()[1:].double().repeat_interleave(per_taxon, dim=0)
    side = torch.randn(axis.shape, generator=generator, dtype=torch.float64)
    side = F.normalize(side - (side * axis).sum(dim=1, keepdim=True) * axis, dim=1)
    angle = share * math.radians(model.config.cone_angle)
    with torch.no_grad():
        tangent = model.space.tangent(
            (math.cos(angle) * axis + math.sin(angle) * side).float(), "dna"
        ).numpy()
    run = embedded(model)
    table = run.table.loc[np.repeat(np.arange(len(run)), per_taxon)].assign(
        modality="dna", rank=None, split="test_seen"
    )
    table["id"] = [f"x{i}" for i in range(len(table))]
    return Embeddings(
        pd.concat([run.table, table], ignore_index=True),
        np.vstack([run.tangent, tangent]),
        "lorentz",
        run.curvature,
    )


@pytest.mark.parametrize("parameters", SETTINGS, ids=str)
@pytest.mark.parametrize("learned", ["nothing", "anything"])
def test_specimens_within_the_cone_angle_of_their_taxon_are_in_all_its_ancestors_cones(
    learned, parameters
):
    model, run = taxa(forest(1), 1, learned, **parameters)
    for share in (0.0, 0.5, 0.998):
        found = specimens_in_cones(
            around(model, share, 1), aperture=model.config.aperture
        ).set_index("rank")
        assert list(found.index) == [*RANKS, ALL] and found.loc[ALL, "specimens"] == 6 * len(run)
        assert (found["inside"] == 1).all() and (found["saturated"].dropna() == 0).all()
    # Beyond it they are out of their species' cone, which is no wider.
    if model.config.cone_angle < 90:
        found = specimens_in_cones(
            around(model, 1.002, 1), aperture=model.config.aperture
        ).set_index("rank")
        assert found.loc["species", "inside"] == 0 and found.loc["order", "inside"] > 0


def test_the_cone_of_a_species_is_the_cone_angle_drawn_together():
    model, _ = taxa(forest(0), cone_angle=30.0, curvature=2.0)
    config, table = model.config, model.encoders["text"]
    leaves = ~torch.isin(torch.arange(len(table.ranks)), table.parents)
    angle = half_angle(
        math.sqrt(2) * table.radii[leaves].double().numpy(), config.specimen_radius, config.aperture
    )
    want = float(
        drawn_together(
            torch.tensor(math.radians(30), dtype=torch.float64), model.space.contraction.double()
        )
    )
    assert angle == pytest.approx(want, rel=1e-4) and 0 < want < math.radians(30)
    # What counts is how many times sqrt(c), not where.
    other = assemble_model(
        replace(config, curvature=8.0), ("text",), model.tokens, pretrained=False
    )
    other.encoders["text"].vectors.load_state_dict(table.vectors.state_dict())
    other.clamp_()
    torch.testing.assert_close(2 * other.encoders["text"].radii, table.radii)
