"""Training by divergence: what the term reads, where its scale begins, and that distances come nearer
to the divergence of reads never trained on, in both spaces and few dimensions."""

import numpy as np
import pandas as pd
import pytest
import torch

from hypertax.config.run_config import RunConfig
from hypertax.data.barcodes.divergence import pairwise_divergence
from hypertax.data.batches import loader
from hypertax.data.table import COLUMNS
from hypertax.data.taxon_index import TaxonIndex
from hypertax.losses.divergence import best_scale, divergence_loss
from hypertax.model.build import build_model
from hypertax.model.model import HypertaxModel
from hypertax.training.large_batch import LargeBatch
from hypertax.training.objective import Objective
from hypertax.training.optimizer import build_optimizer

SPACES = ("euclidean", "lorentz")


def related_reads(count=96, bases=400):
    """Barcodes of a tree: eight species in four genera, 4 % of the bases new at each of three
    branchings, and 1 % in each read."""
    rng = np.random.default_rng(5)

    def changed(read, share):
        return np.where(rng.random(bases) < share, rng.choice(list("ACGT"), bases), read)

    root = rng.choice(list("ACGT"), bases)
    genera = [changed(changed(root, 0.08), 0.05) for _ in range(4)]
    species = [changed(genera[s // 2], 0.05) for s in range(8)]
    rows = []
    for i in range(count):
        s = i % 8
        read = "".join(changed(species[s], 0.01))[: bases - i % 40]
        barcode = None if i % 17 == 3 else read
        lineage = ["O", f"F{s // 4}", f"G{s // 2}", f"G{s // 2} s{s}"]
        rows.append([f"{i}", None, barcode, *lineage, "train_seen"])
    return pd.DataFrame(rows, columns=COLUMNS).astype("str").replace("None", np.nan)


@pytest.fixture(scope="module")
def table():
    return related_reads()


@pytest.fixture(autouse=True)
def cache(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("HYPERTAX_DATA", str(tmp_path_factory.getbasetemp() / "divergence"))


def parts(table, space, **parameters):
    given = {"recipe": "divergence", "space": space, "embed_dim": 6, **parameters}
    config = RunConfig.create("laptop", **given)
    index = TaxonIndex(table)
    model = build_model(config, table, index, np.arange(len(table)) < 64)
    data = model.tensors(table, index)
    return model, Objective(config, index, model, reads=data.bases), data


def batches(data):
    return next(iter(loader(data, len(data))))


@pytest.mark.parametrize("space", SPACES)
def test_the_term_is_the_loss_of_the_barcodes_that_are_there(table, space):
    model, objective, data = parts(table, space)
    batch = batches(data)
    found = objective(model.eval(), batch)
    assert list(found) == ["loss", "divergence"]
    has = data.has_dna
    assert 0 < int(has.sum()) < len(has)
    distance = model.space.distances(model.tangent("dna", data.bases[has]))
    want = divergence_loss(
        distance,
        *pairwise_divergence(data.bases[has], data.bases[has]),
        model.space.log_divergence_scale.exp(),
    )
    torch.testing.assert_close(found["loss"], want)


def test_the_weight_counts_and_what_training_hides_does_not(table):
    model, objective, data = parts(table, "lorentz", divergence_weight=0.5)
    batch = batches(data)
    whole = objective(model.eval(), batch)
    assert float(whole["loss"]) == pytest.approx(0.5 * float(whole["divergence"]))
    texts = objective.texts(batch)
    tangents = model(batch, None)
    batch.dna.fill_(4)
    again = objective.terms(tangents, batch, texts)
    torch.testing.assert_close(again["divergence"], whole["divergence"])


@pytest.mark.parametrize("space", SPACES)
@pytest.mark.parametrize("width", [3, 300])
def test_the_scale_begins_where_the_start_fits_best(table, space, width):
    model, objective, data = parts(table, space, embed_dim=width)
    rows = np.flatnonzero(data.has_dna[:64].numpy())
    reads = data.bases[rows]
    distance = model.eval().space.distances(model.tangent("dna", reads))
    best = best_scale(distance, *pairwise_divergence(reads, reads))
    torch.testing.assert_close(model.divergence_scale, best.detach())
    assert float(model.divergence_scale.detach()) > 0


def test_other_models_have_no_such_scale(table):
    model = parts(table, "lorentz", recipe="paper", entailment="none")[0]
    assert not any("divergence" in name for name in model.state_dict())


@pytest.mark.parametrize("space", SPACES)
def test_training_brings_unseen_reads_nearer_to_their_divergence(table, space):
    """Trained on 64 reads, the error among 32 others falls by a third at least."""
    model, objective, data = parts(table, space)
    others = np.flatnonzero(data.has_dna.numpy() & (np.arange(len(data)) >= 64))
    divergence = pairwise_divergence(data.bases[others], data.bases[others])

    def error():
        model.eval()
        with torch.no_grad():
            distance = model.space.distances(model.tangent("dna", data.bases[others]))
            return float(divergence_loss(distance, *divergence, best_scale(distance, *divergence)))

    before = error()
    optimizer = build_optimizer(model, objective.config)
    step = LargeBatch(objective)
    torch.manual_seed(0)
    batch = batches(data).rows(slice(0, 64))
    for _ in range(60):
        optimizer.zero_grad()
        step.backward(model.train(), batch)
        optimizer.step()
        model.clamp_()
    assert error() < before * 2 / 3
    # Directions and radii are free: specimens are not held at one radius.
    radius = model.tangent("dna", data.bases[others]).norm(dim=1)
    assert float(radius.std()) > 0.01 * float(radius.mean())


@pytest.mark.parametrize("space", SPACES)
def test_micro_batches_have_the_gradients_of_the_whole(table, space):
    gradients = []
    for micro_batch in (0, 10):
        model, objective, data = parts(table, space)
        model.encoders["dna"].dropout = 0.0
        model.double()
        LargeBatch(objective, micro_batch=micro_batch).backward(model.train(), batches(data))
        gradients.append(
            {name: p.grad for name, p in model.named_parameters() if p.grad is not None}
        )
    assert "space.log_divergence_scale" in gradients[0]
    assert gradients[0].keys() == gradients[1].keys()
    for name, value in gradients[0].items():
        torch.testing.assert_close(value, gradients[1][name], rtol=1e-6, atol=1e-10)


def test_a_saved_model_keeps_its_scale(table, tmp_path):
    model = parts(table, "lorentz")[0]
    with torch.no_grad():
        model.space.log_divergence_scale.fill_(1.25)
    model.save_pretrained(tmp_path)
    loaded = HypertaxModel.from_pretrained(tmp_path)
    assert float(loaded.space.log_divergence_scale) == 1.25


def test_the_scale_stays_within_its_bounds(table):
    model = parts(table, "euclidean")[0]
    with torch.no_grad():
        model.space.log_divergence_scale.fill_(50.0)
    model.clamp_()
    assert float(model.space.log_divergence_scale) == 10
