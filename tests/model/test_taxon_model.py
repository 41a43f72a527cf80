"""Models whose text encoder is a table of taxa: what a step sees and minimises, what is embedded,
what is saved."""

import math

import numpy as np
import pandas as pd
import pytest
import torch
from interrupted import train_whole_and_interrupted
from small_reads import small_reads
from torch.nn import functional as F

from hypertax.config.run_config import RunConfig
from hypertax.data.batches import loader
from hypertax.data.taxon_index import TaxonIndex
from hypertax.evaluation.nesting import cone_nesting
from hypertax.geometry.cone_angles import widest_cone
from hypertax.geometry.nested_cones import WIDEST, fit_cones, radius_of_cone
from hypertax.losses.contrastive import taxon_contrastive_loss
from hypertax.losses.entailment import Cones, cone_loss
from hypertax.losses.inputs import View
from hypertax.model.embedding import embed
from hypertax.model.build import build_model
from hypertax.model.model import HypertaxModel
from hypertax.taxonomy import RANKS
from hypertax.training.large_batch import LargeBatch
from hypertax.training.objective import Objective
from hypertax.training.trainer import Trainer

RECIPES = {
    "lineage": {"lorentz": {}, "euclidean": {"space": "euclidean"}},
    "nested": {"lorentz": {}, "euclidean": {"space": "euclidean", "entailment": "none"}},
}
CASES = [(recipe, space) for recipe, spaces in RECIPES.items() for space in spaces]


def specimens():
    """Reads of eight species. The first two, and with them the genus G0, are not for training.

    Some specimens lack names, below or in the middle.
    """
    table = small_reads(4, ("train_seen",))
    species = table["sampleid"].str[0].astype(int)
    table.loc[species < 2, "split"] = "test_unseen"
    table.loc[table["sampleid"].isin(["2-1", "5-0"]), ["genus", "species"]] = None
    table.loc[table["sampleid"] == "6-3", ["order", "family", "genus", "species"]] = None
    table.loc[species >= 6, "family"] = None
    return table


TRAINED = {
    *(
        ("order", "O"),
        ("family", "F0"),
        ("family", "F1"),
        ("genus", "G1"),
        ("genus", "G2"),
        ("genus", "G3"),
    ),
    *(("species", f"G{s // 2} s{s}") for s in range(2, 8)),
}


def parts(recipe, table=None, **parameters):
    """A model of barcodes and taxa, its objective, and the training specimens as it takes them."""
    table = specimens() if table is None else table
    config = RunConfig.create("tiny", recipe=recipe, **{"embed_dim": 16, **parameters})
    names = TaxonIndex(table)
    training = (table["split"] == "train_seen").to_numpy()
    model = build_model(config, table, names, training)
    # In evaluation: a pass has no random numbers.
    data = model.tensors(
        table[training].reset_index(drop=True), names.take(np.flatnonzero(training))
    )
    return model.eval(), Objective(config, names, model), data


def first_batch(data, size):
    return next(iter(loader(data, size)))


def trained(recipe, steps=3, **parameters):
    """The same after some steps at a high rate."""
    model, objective, data = parts(recipe, **parameters)
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.02)
    for _ in range(steps):
        optimizer.zero_grad()
        objective(model, first_batch(data, 24))["loss"].backward()
        optimizer.step()
        model.clamp_()
    return model, objective, data


def gradients(model):
    return {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}


@pytest.mark.parametrize(("recipe", "space"), CASES)
def test_a_step_has_finite_gradients(recipe, space):
    model, objective, data = parts(recipe, **RECIPES[recipe][space])
    terms = objective(model, first_batch(data, 24))
    wanted = {"loss", "taxon_contrastive"} | (
        {"inside", "axis"} if (recipe, space) == ("nested", "lorentz") else set()
    )
    assert terms.keys() == wanted
    terms["loss"].backward()
    given = gradients(model)
    assert all(torch.isfinite(grad).all() for grad in given.values())
    vectors = given["encoders.text.vectors.weight"]
    assert len(vectors) == len(TRAINED) + 1
    assert (vectors[1:].norm(dim=1) > 0).all() and vectors[0].norm() == 0
    assert all(
        given[name].norm() > 0
        for name, _ in model.named_parameters()
        if name.startswith("encoders.dna")
    )


def test_nested_points_have_a_dimension_more_than_what_encoders_are_projected_to():
    for recipe, width in (("nested", 15), ("lineage", 16)):
        model, _, data = parts(recipe)
        assert (
            model.projections["dna"].out_features == model.encoders["text"].width == width
            and "text" not in model.projections
        )
        assert embed(model, specimens()).tangent.shape[1] == 16
        assert model.tangent("dna", first_batch(data, 3).dna).shape == (3, 16)


@pytest.mark.parametrize("recipe", RECIPES)
def test_a_step_sees_every_trained_taxon_and_each_specimen_its_own(recipe):
    """The terms from vectors looked up by name: taxa that are not trained lie between those that
    are."""
    model, objective, data = parts(
        recipe, taxon_weight=0.7, taxon_scale=3.5, entailment_weight=0.3, axis_weight=2.0
    )
    batch = first_batch(data, 5)
    with torch.no_grad():
        found = objective(model, batch)
        embedded = embed(model, specimens()).select("text")
        place = {
            taxon: i
            for i, taxon in enumerate(
                zip(embedded.table["rank"], embedded.table["id"], strict=True)
            )
        }
        assert place.keys() == TRAINED
        labels = specimens().query("split == 'train_seen'").iloc[batch.index.tolist()]
        lineage = torch.tensor(
            [[place.get((rank, row[rank]), -1) for rank in RANKS] for _, row in labels.iterrows()]
        )
        assert (lineage >= 0).sum() == labels[list(RANKS)].notna().to_numpy().sum() > 8
        own = {"dna": View(model.space.lift(model.tangent("dna", batch.dna)), batch.has_dna)}
        taxa, rank = (
            model.space.lift(torch.from_numpy(embedded.tangent)),
            torch.tensor([RANKS.index(r) for r in embedded.table["rank"]]),
        )
        want = {
            "taxon_contrastive": taxon_contrastive_loss(model.space, own, taxa, rank, lineage, 3.5)
        }
        total = 0.7 * want["taxon_contrastive"]
        if recipe == "nested":
            want |= cone_loss(
                own, taxa, lineage, model.space.curvature, Cones(model.config.aperture)
            )
            total = total + 0.3 * (want["inside"] + 2 * want["axis"])
            assert float(want["inside"]) > 0
    assert found.keys() == {"loss", *want}
    for name, value in want.items():
        assert float(found[name]) == pytest.approx(float(value), rel=1e-5), name
    assert float(found["loss"]) == pytest.approx(float(total), rel=1e-5)


def assert_all_nest(model, embedded):
    found = cone_nesting(embedded, aperture=model.config.aperture)
    assert (found["sampled_whole"] == 1).all() and (found["nested"] == 1).all()
    assert (found["edges"] == found["unsaturated"]).all() and found["edges"].sum() == 11


@pytest.mark.parametrize("curvature", [1.0, 4.0])
@pytest.mark.parametrize("steps", [0, 3])
def test_nested_specimens_have_one_radius_and_taxa_their_own(curvature, steps):
    model, _, _ = trained("nested", steps, curvature=curvature, specimen_radius=5.0)
    embedded = embed(model, specimens())
    radius = math.sqrt(curvature) * np.linalg.norm(embedded.tangent, axis=1)
    of_taxa = (embedded.table["modality"] == "text").to_numpy()
    assert radius[~of_taxa] == pytest.approx(5.0, rel=1e-5)
    own = dict(
        zip(zip(embedded.table["rank"], embedded.table["id"], strict=True), radius, strict=True)
    )
    edges = 0
    for _, row in embedded.table[of_taxa].iterrows():
        known = [(rank, row[rank]) for rank in RANKS if pd.notna(row[rank])]
        assert known[-1] == (row["rank"], row["id"]) and own[known[-1]] < 5
        if len(known) > 1:
            assert own[known[-2]] < own[known[-1]], "a parent lies nearer to the origin"
            edges += 1
    assert edges == 11
    assert_all_nest(model, embedded)


# Cones that are fitted


def test_cones_are_fitted_again_after_every_step():
    """Vectors that change leave radii and s as they were, until `clamp_`."""
    model, _, data = parts("nested")
    table, before = model.encoders["text"], embed(model, specimens())
    radii, s = table.radii.clone(), model.space.contraction.clone()
    with torch.no_grad():
        # Children come nearer to their parents: all may be farther apart.
        table.vectors.weight.mul_(0.3 ** (table.lineages > 0).sum(dim=1, keepdim=True))
    assert torch.equal(table.radii, radii) and torch.equal(model.space.contraction, s)
    model.clamp_()
    assert not torch.equal(table.radii, radii) and model.space.contraction > s
    own, widest = math.radians(model.config.cone_angle), WIDEST * widest_cone(4.0, 0.02)
    want_s, angle = fit_cones(table.directions(), table.ranks, table.parents, own, widest)
    assert torch.equal(model.space.contraction, want_s) and torch.equal(
        table.radii, radius_of_cone(angle, 4.0, 0.02)
    )
    assert_all_nest(model, embed(model, specimens()))
    radii, s = table.radii.clone(), model.space.contraction.clone()
    model.clamp_()
    assert torch.equal(table.radii, radii) and torch.equal(model.space.contraction, s), (
        "once more changes nothing"
    )
    # Specimens move with s alone.
    after = embed(model, specimens())
    was, now = (
        F.normalize(torch.from_numpy(run.select("dna").tangent[:, 1:]), dim=1)
        for run in (before, after)
    )
    torch.testing.assert_close(was, now)


def test_other_models_fit_nothing():
    for recipe, parameters in (
        ("lineage", {}),
        ("nested", RECIPES["nested"]["euclidean"]),
        ("nested", {"entailment": "none"}),
    ):
        model, _, _ = parts(recipe, **parameters)
        before = {name: value.clone() for name, value in model.state_dict().items()}
        assert not [name for name in before if name.endswith(("radii", "share", "contraction"))]
        model.clamp_()
        assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_without_names_there_is_nothing_to_nest():
    """Specimens without a label have no taxa; nor does a model of barcodes alone have cones to
    fit."""
    table = specimens().assign(order=None, family=None, genus=None, species=None)
    model, objective, data = parts("nested", table)
    assert model.modalities == ("dna",) and float(model.space.contraction) == 1
    model.clamp_()
    assert objective(model, first_batch(data, 5)).keys() == {"loss"}
    assert embed(model, table).tangent.shape == (len(table), 16)


@pytest.mark.parametrize("recipe", RECIPES)
def test_taxa_that_were_not_trained_are_not_embedded(recipe):
    table = specimens()
    model, objective, _ = parts(recipe)
    embedded = embed(model, table)
    text = embedded.select("text").table
    assert set(zip(text["rank"], text["id"], strict=True)) == TRAINED and len(text) == len(TRAINED)
    assert len(embedded.select("dna")) == len(table), "specimens are embedded, whatever their taxa"
    untrained = (
        set(zip(TaxonIndex(table).taxa["rank"], TaxonIndex(table).taxa["name"], strict=True))
        - TRAINED
    )
    assert untrained == {("genus", "G0"), ("species", "G0 s0"), ("species", "G0 s1")}
    taxa = TaxonIndex(table).taxa.iloc[objective.trained.tolist()]
    assert set(zip(taxa["rank"], taxa["name"], strict=True)) == TRAINED
    # A table without a single trained taxon has specimens alone.
    others = (
        table[table["split"] == "test_unseen"]
        .assign(order=None, family=None)
        .reset_index(drop=True)
    )
    assert set(embed(model, others).table["modality"]) == {"dna"}


@pytest.mark.parametrize(("recipe", "space"), CASES)
def test_a_saved_model_embeds_exactly_as_before(tmp_path, recipe, space):
    parameters = {"curvature": 2.0, **RECIPES[recipe][space]}
    model, _, _ = trained(recipe, 2, **parameters)
    model.save_pretrained(tmp_path)
    again = HypertaxModel.from_pretrained(tmp_path)
    before, after = embed(model, specimens()), embed(again, specimens())
    assert np.array_equal(before.tangent, after.tangent)
    assert (before.space, before.curvature) == (
        after.space,
        after.curvature,
    ) and again.config == model.config
    pd.testing.assert_frame_equal(before.table, after.table)
    assert set(before.select("text").table["id"]) == {name for _, name in TRAINED}
    assert not np.array_equal(
        embed(parts(recipe, **parameters)[0], specimens()).tangent, before.tangent
    )


def test_radii_and_s_are_read_not_fitted_anew(tmp_path):
    """Elsewhere the same vectors may be fitted with another last digit: what was saved counts."""
    model, _, _ = trained("nested", 1)
    with torch.no_grad():
        model.space.contraction.fill_(0.123)
        model.encoders["text"].radii.mul_(1.01)
    model.save_pretrained(tmp_path)
    again = HypertaxModel.from_pretrained(tmp_path)
    assert float(again.space.contraction) == float(model.space.contraction)
    assert torch.equal(again.encoders["text"].radii, model.encoders["text"].radii)
    assert np.array_equal(embed(again, specimens()).tangent, embed(model, specimens()).tangent)


# Training


@pytest.mark.parametrize("recipe", RECIPES)
@pytest.mark.parametrize("micro_batch", [1, 5])
def test_micro_batches_change_no_gradient(recipe, micro_batch):
    """Nor does fitting the cones between two steps; taxa are cut into micro-batches too."""
    model, objective, data = parts(recipe, axis_weight=0.5)
    model.double()
    batch = first_batch(data, 13)
    plain = objective(model, batch)
    plain["loss"].backward()
    want = gradients(model)
    model.zero_grad()
    terms = LargeBatch(objective, micro_batch=micro_batch).backward(model, batch)
    assert terms.keys() == plain.keys() and all(
        torch.allclose(terms[name], plain[name], rtol=1e-9) for name in terms
    )
    found = gradients(model)
    assert found.keys() == want.keys()
    for name, gradient in want.items():
        torch.testing.assert_close(found[name], gradient, rtol=1e-8, atol=1e-10)


def training_of(recipe, **parameters):
    table = specimens()
    table.loc[table["sampleid"].str.endswith("-3") & (table["split"] == "train_seen"), "split"] = (
        "val_seen"
    )
    config = RunConfig.create(
        "tiny",
        recipe=recipe,
        **{"embed_dim": 16, "epochs": 2, "batch_size": 8, "views": "dna", **parameters},
    )
    return config, table


@pytest.mark.parametrize("recipe", RECIPES)
def test_vectors_of_taxa_learn_at_a_rate_of_their_own_and_nothing_learns_radii(recipe):
    config, table = training_of(recipe, learning_rate=1e-4, text_rate=7.0, weight_decay=0.1)
    training = Trainer(config, table, folder=None, data="", progress=False)
    peak = {
        id(p): (group["max_lr"], group["weight_decay"])
        for group in training.optimizer.param_groups
        for p in group["params"]
    }
    learned = {
        name: peak.pop(id(p)) for name, p in training.model.named_parameters() if p.requires_grad
    }
    assert not peak, "nothing else is in a group"
    assert learned["encoders.text.vectors.weight"] == pytest.approx((7e-4, 0.1))
    assert learned["projections.dna.weight"] == pytest.approx((1e-4, 0.1)) and learned[
        "projections.dna.bias"
    ] == pytest.approx((1e-4, 0.0))
    assert ("space.log_curvature" in learned) == (recipe == "lineage")
    assert not [name for name in learned if name.endswith(("radii", "share", "contraction"))]


def test_a_trained_run_nests_and_an_interrupted_one_ends_alike(tmp_path, monkeypatch):
    config, table = training_of("nested", checkpoint_steps=1)
    whole, _ = train_whole_and_interrupted(config, table, tmp_path, monkeypatch, stop=(1, 1))
    assert whole.history[["inside", "axis", "taxon_contrastive"]].iloc[1:].notna().all(axis=None)
    assert_all_nest(HypertaxModel.from_pretrained(whole.folder), whole.embeddings())
