"""Models whose text encoder is a table of taxa: what a step sees and minimises, what is embedded, what is saved."""

import math

import numpy as np
import pandas as pd
import pytest
import torch
from small_reads import small_reads
from torch.nn import functional as F

from hypertax.config import RunConfig
from hypertax.data.batches import Names, loader
from hypertax.losses import Cones, cone_loss, taxon_contrastive_loss
from hypertax.model import HypertaxModel, build_model, embed
from hypertax.nesting import nesting
from hypertax.objective import Objective
from hypertax.taxonomy import RANKS

TABLES = {"lineage": "lineage", "tree": "nested"}
SPACES = {"lorentz": {}, "euclidean": {"space": "euclidean", "entailment": "none"}}


def specimens():
    """Of eight species; the first two, and with them the genus G0, are not for training; some lack names, below or in the middle."""
    table = small_reads(4, ("train_seen",))
    species = table["sampleid"].str[0].astype(int)
    table.loc[species < 2, "split"] = "test_unseen"
    table.loc[table["sampleid"].isin(["2-1", "5-0"]), ["genus", "species"]] = None
    table.loc[table["sampleid"] == "6-3", ["order", "family", "genus", "species"]] = None
    table.loc[species >= 6, "family"] = None
    return table


TRAINED = {
    *(("order", "O"), ("family", "F0"), ("family", "F1"), ("genus", "G1"), ("genus", "G2"), ("genus", "G3")),
    *(("species", f"G{s // 2} s{s}") for s in range(2, 8)),
}


def parts(encoder, table=None, **parameters):
    """A model of barcodes and taxa, its objective, and the training specimens as it takes them."""
    table = specimens() if table is None else table
    config = RunConfig.create("tiny", recipe=TABLES[encoder], embed_dim=16, **parameters)
    names = Names(table)
    training = (table["split"] == "train_seen").to_numpy()
    model = build_model(config, table, names, training)
    # In evaluation: a pass has no random numbers.
    data = model.tensors(table[training].reset_index(drop=True), names.take(np.flatnonzero(training)))
    return model.eval(), Objective(config, names, model), data


def first_batch(data, size):
    return next(iter(loader(data, size)))


@pytest.mark.parametrize("encoder", TABLES)
@pytest.mark.parametrize("space", SPACES)
def test_a_step_has_finite_gradients(encoder, space):
    model, objective, data = parts(encoder, **SPACES[space])
    terms = objective(model, first_batch(data, 24))
    wanted = {"loss", "taxon_contrastive"} | ({"inside", "outside", "axis"} if (encoder, space) == ("tree", "lorentz") else set())
    assert terms.keys() == wanted
    terms["loss"].backward()
    given = {name: p.grad for name, p in model.named_parameters() if p.grad is not None}
    assert all(torch.isfinite(grad).all() for grad in given.values())
    vectors = given["encoders.text.vectors.weight"]
    assert len(vectors) == len(TRAINED) + 1
    assert (vectors[1:].norm(dim=1) > 0).all() and vectors[0].norm() == 0
    assert all(given[name].norm() > 0 for name, _ in model.named_parameters() if name.startswith("encoders.dna"))


@pytest.mark.parametrize("encoder", TABLES)
def test_a_step_sees_every_trained_taxon_and_each_specimen_its_own(encoder):
    """The terms from vectors looked up by name: taxa that are not trained lie between those that are, and every rank has its own scale."""
    model, objective, data = parts(encoder, taxon_weight=0.7, entailment="cones", entailment_weight=0.3, axis_weight=2.0)
    batch = first_batch(data, 5)
    with torch.no_grad():
        found = objective(model, batch)
        embedded = embed(model, specimens()).select("text")
        place = {taxon: i for i, taxon in enumerate(zip(embedded.table["rank"], embedded.table["id"], strict=True))}
        assert place.keys() == TRAINED
        labels = specimens().query("split == 'train_seen'").iloc[batch.index.tolist()]
        lineage = torch.tensor([[place.get((rank, row[rank]), -1) for rank in RANKS] for _, row in labels.iterrows()])
        assert (lineage >= 0).sum() == labels[list(RANKS)].notna().to_numpy().sum() > 8
        own = {"dna": (model.space.lift(model.tangent("dna", batch.dna)), batch.has_dna)}
        taxa, rank = model.space.lift(torch.from_numpy(embedded.tangent)), torch.tensor([RANKS.index(r) for r in embedded.table["rank"]])
        config = model.config
        contrast = taxon_contrastive_loss(model.space, own, taxa, rank, lineage, objective.scales)
        parts_of = cone_loss(own, taxa, rank, lineage, model.space.curvature, Cones(config.aperture, config.entailment_margin))
    for name, value in {"taxon_contrastive": contrast, **parts_of}.items():
        assert float(found[name]) == pytest.approx(float(value), rel=1e-5), name
    total = 0.7 * contrast + 0.3 * (parts_of["inside"] + parts_of["outside"] + 2 * parts_of["axis"])
    assert float(found["loss"]) == pytest.approx(float(total), rel=1e-5)


def test_the_scale_is_the_log_odds_against_a_sibling():
    """A specimen on its taxon's axis, a sibling at the same turn to a side of its own."""
    table = small_reads(1, ("train_seen",))
    model, objective, _ = parts("tree", table, taxon_scale=3.5)
    rows = len(model.encoders["text"].vectors.weight)
    with torch.no_grad():
        # No taxon has anything of another one's vector: every side is orthogonal to every other.
        model.encoders["text"].vectors.weight.copy_(torch.eye(rows, rows))
        embedded = embed(model, table).select("text")
    direction = F.normalize(torch.from_numpy(embedded.tangent), dim=1)
    log_odds = {"family": [("F0", "F1")], "genus": [("G0", "G1"), ("G2", "G3")], "species": [("G0 s0", "G0 s1"), ("G3 s6", "G3 s7")]}
    place = {name: i for i, name in enumerate(embedded.table["id"])}
    for scale, rank in zip(objective.scales[1:].tolist(), RANKS[1:], strict=True):
        for one, other in log_odds[rank]:
            cosine = float(direction[place[one]] @ direction[place[other]])
            assert scale * (1 - cosine) == pytest.approx(3.5, rel=1e-4)
    assert objective.scales[0] == 3.5
    assert parts("lineage", table, taxon_scale=3.5)[1].scales.tolist() == [3.5] * 4


@pytest.mark.parametrize("curvature", [1.0, 4.0])
def test_specimens_of_a_tree_have_one_radius_and_taxa_their_own(curvature):
    model, _, _ = parts("tree", curvature=curvature, specimen_radius=5.0)
    embedded = embed(model, specimens())
    radius = math.sqrt(curvature) * np.linalg.norm(embedded.tangent, axis=1)
    of_taxa = (embedded.table["modality"] == "text").to_numpy()
    assert radius[~of_taxa] == pytest.approx(5.0, rel=1e-5)
    by_rank = pd.Series(radius[of_taxa]).groupby(embedded.table.loc[of_taxa, "rank"].to_numpy())
    assert by_rank.max()["order"] < by_rank.min()["family"] and by_rank.max()["family"] < by_rank.min()["genus"]
    assert by_rank.max()["genus"] < by_rank.min()["species"] and by_rank.max()["species"] < 5
    found = nesting(embedded, aperture=model.config.aperture)
    assert (found["sampled_whole"] == 1).all() and (found["edges"] == found["unsaturated"]).all() and found["edges"].sum() == 11


@pytest.mark.parametrize("encoder", TABLES)
def test_taxa_that_were_not_trained_are_not_embedded(encoder):
    table = specimens()
    model, objective, _ = parts(encoder)
    embedded = embed(model, table)
    text = embedded.select("text").table
    assert set(zip(text["rank"], text["id"], strict=True)) == TRAINED and len(text) == len(TRAINED)
    assert len(embedded.select("dna")) == len(table), "specimens are embedded, whatever their taxa"
    untrained = set(zip(Names(table).taxa["rank"], Names(table).taxa["name"], strict=True)) - TRAINED
    assert untrained == {("genus", "G0"), ("species", "G0 s0"), ("species", "G0 s1")}
    taxa = Names(table).taxa.iloc[objective.trained.tolist()]
    assert set(zip(taxa["rank"], taxa["name"], strict=True)) == TRAINED
    # A table without a single trained taxon has specimens alone.
    others = table[table["split"] == "test_unseen"].assign(order=None, family=None).reset_index(drop=True)
    assert set(embed(model, others).table["modality"]) == {"dna"}


@pytest.mark.parametrize("encoder", TABLES)
@pytest.mark.parametrize("space", SPACES)
def test_a_saved_model_embeds_exactly_as_before(tmp_path, encoder, space):
    model, objective, data = parts(encoder, curvature=2.0, **SPACES[space])
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.01)
    for _ in range(2):
        optimizer.zero_grad()
        objective(model, first_batch(data, 24))["loss"].backward()
        optimizer.step()
    model.save_pretrained(tmp_path)
    again = HypertaxModel.from_pretrained(tmp_path)
    before, after = embed(model, specimens()), embed(again, specimens())
    assert np.array_equal(before.tangent, after.tangent)
    assert (before.space, before.curvature) == (after.space, after.curvature) and again.config == model.config
    pd.testing.assert_frame_equal(before.table, after.table)
    assert set(before.select("text").table["id"]) == {name for _, name in TRAINED}
    untrained = parts(encoder, curvature=2.0, **SPACES[space])[0]
    assert not np.array_equal(embed(untrained, specimens()).tangent, before.tangent)
