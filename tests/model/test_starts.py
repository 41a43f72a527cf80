"""The encoders that begin where no training is needed: what they compute before the first step, what
they learn, and what is saved with a model."""

import numpy as np
import pandas as pd
import pytest
import torch
from torch.nn import functional as F

from hypertax.config.run_config import RunConfig, in_space
from hypertax.data.barcodes.codes import UNKNOWN
from hypertax.data.barcodes.start import fit_start
from hypertax.data.features import FeatureViews
from hypertax.data.taxon_index import TaxonIndex
from hypertax.model.build import build_model
from hypertax.model.embedding import embed
from hypertax.model.model import HypertaxModel
from hypertax.model.starts import AlignedBarcodeEncoder, FeatureEncoder, taxon_means
from hypertax.training.optimizer import build_optimizer


def _barcodes(count=48, length=300, seed=0):
    """Barcodes of four species in two genera, a few substitutions apart."""
    rng = np.random.default_rng(seed)
    root = rng.choice(list("ACGT"), length)
    genera = [root.copy() for _ in range(2)]
    for genus in genera:
        genus[rng.choice(length, 40, replace=False)] = rng.choice(list("ACGT"), 40)
    rows = []
    for i in range(count):
        species = i % 4
        read = genera[species // 2].copy()
        own = np.random.default_rng(100 + species)
        read[own.choice(length, 15, replace=False)] = own.choice(list("ACGT"), 15)
        read[rng.choice(length, 3, replace=False)] = rng.choice(list("ACGT"), 3)
        rows.append(
            {
                "sampleid": f"s{i}",
                "image": None,
                "barcode": "".join(read),
                "order": "Diptera",
                "family": "Culicidae",
                "genus": f"Genus{species // 2}",
                "species": f"Genus{species // 2} species{species}",
                "split": "train_seen" if i < 32 else "seen_keys",
            }
        )
    return pd.DataFrame(rows).astype({"image": "str"}).replace({"image": {"None": None}})


@pytest.fixture
def table(tmp_path, monkeypatch):
    monkeypatch.setenv("HYPERTAX_DATA", str(tmp_path / "data"))
    return _barcodes()


def _model(table, space="euclidean", **parameters):
    given = {"embed_dim": 16, "recipe": "lineage", **in_space(space), **parameters}
    config = RunConfig.create("laptop", **given)
    index = TaxonIndex(table)
    training = (table["split"] == "train_seen").to_numpy()
    return build_model(config, table, index, training).eval(), index


def test_a_model_begins_with_the_closed_form(table):
    model, index = _model(table)
    data = model.tensors(table, index)
    training = (table["split"] == "train_seen").to_numpy()
    genera = table.loc[training, "genus"].tolist()
    start = fit_start(data.bases.numpy()[training], genera)
    with torch.no_grad():
        found = model.tangent("dna", data.bases)
    expected = 16 * torch.from_numpy(start(data.bases.numpy()))[:, :16]
    assert torch.allclose(found, expected, atol=1e-4)
    assert found.square().sum(dim=1).mean() > 1


def test_the_first_step_learns_beside_the_start(table):
    model, index = _model(table)
    encoder = model.encoders["dna"]
    trained = {name for name, p in encoder.named_parameters() if p.requires_grad}
    assert trained == {"change.weight", "hidden.weight", "hidden.bias", "last.weight"}
    codes = model.tensors(table, index).bases
    encoder.train()
    encoder(codes).square().sum().backward()
    assert encoder.change.weight.grad.abs().max() > 0 and encoder.last.weight.grad.abs().max() > 0
    assert encoder.hidden.weight.grad.abs().max() == 0


def test_unknown_bases_and_gaps_say_nothing():
    encoder = AlignedBarcodeEncoder(5, width=3)
    encoder.weights.fill_(2.0)
    encoder.projection.normal_()
    encoder.eval()
    codes = torch.tensor([[0, 1, UNKNOWN, 3, UNKNOWN + 1]])
    zeros = encoder.frequencies[None]
    by_hand = F.one_hot(codes, 6)[..., :4] - zeros
    by_hand[:, [2, 4]] = 0
    expected = (2 * by_hand).flatten(1) @ encoder.projection
    assert torch.allclose(encoder(codes), expected)


@pytest.mark.parametrize("space", ["euclidean", "lorentz"])
def test_a_saved_model_aligns_as_it_did(table, tmp_path, space):
    recipe = "lineage" if space == "euclidean" else "nested"
    model, _ = _model(table, space, recipe=recipe)
    with torch.no_grad():
        model.encoders["dna"].change.weight.normal_(std=0.01)
    before = embed(model, table)
    model.save_pretrained(tmp_path / "model")
    again = HypertaxModel.from_pretrained(tmp_path / "model")
    assert again.profile.fingerprint == model.profile.fingerprint
    assert np.array_equal(embed(again, table).tangent, before.tangent)
    (tmp_path / "model" / "profile.hmm").unlink()
    with pytest.raises(ValueError, match=r"profile.hmm: it is missing"):
        HypertaxModel.from_pretrained(tmp_path / "model")


def test_taxa_begin_at_the_means_of_their_barcodes(table):
    model, index = _model(table)
    training = (table["split"] == "train_seen").to_numpy()
    vectors = embed(model, table)
    taxa, dna = vectors.select("text"), vectors.select("dna")
    kept = dna.where((dna.table["split"] == "train_seen").to_numpy())
    units = kept.tangent / np.linalg.norm(kept.tangent, axis=1, keepdims=True)
    for rank in ("order", "family", "genus", "species"):
        for row in np.flatnonzero((taxa.table["rank"] == rank).to_numpy()):
            own = (kept.table[rank] == taxa.table["id"][row]).to_numpy()
            assert own.any()
            assert np.allclose(taxa.tangent[row], units[own].mean(axis=0), atol=1e-4)
    assert training.sum() == 32


def test_a_taxon_without_a_barcode_begins_where_its_parent_is(table):
    new = table.iloc[[0]].assign(sampleid="new", barcode=None, species="Genus0 other")
    table = pd.concat([table, new], ignore_index=True)
    model, index = _model(table)
    codes = model.tensors(table, index).bases.numpy()
    has = table["barcode"].notna().to_numpy()
    start = fit_start(codes[has], table["genus"][has].tolist())
    first = taxon_means(codes[has], start, index.take(np.flatnonzero(has)), model.tokens, 8)
    rows = model.tokens.rows()
    sums = {
        name: first[rows[row]].sum(0) / np.sqrt((rows[row] > 0).sum())
        for row, name in enumerate([None, *(l[-1] or l[-2] or "" for l in model.tokens.lineages)])
        if name
    }
    assert torch.allclose(sums["Genus0 other"], sums["Genus0"], atol=1e-5)


def test_the_dna_side_learns_at_its_own_rate(table):
    model, _ = _model(table, dna_rate=0.25, learning_rate=0.01)
    rate_of = {
        id(p): group["lr"]
        for group in build_optimizer(model, model.config).param_groups
        for p in group["params"]
    }
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            slow = name.startswith(("encoders.dna.", "projections.dna."))
            fast = name.startswith("encoders.text.")
            expected = 0.0025 if slow else 0.1 if fast else 0.01
            assert rate_of[id(parameter)] == pytest.approx(expected), name


def test_specimens_of_a_modality_lie_at_one_radius(table):
    model, index = _model(table, "lorentz", recipe="paper", entailment="none")
    with torch.no_grad():
        radii = model.tangent("dna", model.tensors(table, index).bases).norm(dim=1)
        model.space.one_radius = False
        free = model.tangent("dna", model.tensors(table, index).bases).norm(dim=1)
    assert torch.allclose(radii, torch.ones_like(radii), atol=1e-5)
    assert free.std() > 1e-3


def test_a_barcode_of_another_marker_is_not_embedded(table):
    rng = np.random.default_rng(9)
    table.loc[3, "barcode"] = "".join(rng.choice(list("ACGT"), 300))
    model, _ = _model(table)
    ids = embed(model, table).select("dna").table["id"].tolist()
    assert "s3" not in ids and len(ids) == len(table) - 1


def test_without_a_training_barcode_nothing_can_be_aligned(table):
    table.loc[table["split"] == "train_seen", "barcode"] = None
    with pytest.raises(ValueError, match="No training specimen has a barcode"):
        _model(table)


def test_features_of_a_random_view_in_training_of_the_first_otherwise():
    values = np.arange(2 * 3 * 4, dtype=np.float16).reshape(2, 3, 4)
    views = FeatureViews(values, np.array([True, False]), ["b.jpg"])
    rows = torch.tensor([1, 0, 0])
    found, present = views.view(rows, augment=False)
    assert np.array_equal(found.numpy(), values[[1, 0, 0], 0])
    assert present.tolist() == [False, True, True] and views.unreadable() == ["b.jpg"]
    drawn = torch.cat([views.view(torch.zeros(64, dtype=torch.int64), augment=True)[0]])
    assert {tuple(row) for row in drawn.tolist()} == {tuple(v) for v in values[0].tolist()}


def test_the_image_head_is_linear_at_first():
    head = FeatureEncoder(20, width=6).eval()
    x, y = torch.randn(3, 20), torch.randn(3, 20)

    def before_norm(z):
        return head.linear(head.begin(z))

    assert torch.allclose(head(x), head.end(before_norm(x)))
    assert not torch.allclose(head(x), head(y))
