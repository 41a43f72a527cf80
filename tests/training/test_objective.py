"""The objective as a list of terms: what each adds to the loss, and that figures know its columns."""

import numpy as np
import pytest
import torch
from small_reads import small_reads

from hypertax.config.run_config import RunConfig
from hypertax.data.batches import loader
from hypertax.data.taxon_index import TaxonIndex
from hypertax.losses.terms import TERM_LABELS
from hypertax.model.build import build_model
from hypertax.training.objective import Objective

OBJECTIVES = {
    "euclidean": ({"space": "euclidean", "entailment": "none"}, ["contrastive"]),
    "pair": ({"entailment": "pair"}, ["contrastive", "pair_entailment"]),
    "stacked": ({"entailment": "stacked"}, ["contrastive", "intra", "inter"]),
    "stacked alone": ({"contrastive_weight": 0.0}, ["intra", "inter"]),
    # Without text in the contrastive loss, barcodes alone have nothing to be contrasted with.
    "taxa": ({"recipe": "taxa"}, ["taxon_contrastive"]),
    "lineage": ({"recipe": "lineage"}, ["taxon_contrastive"]),
    "nested": ({"recipe": "nested"}, ["taxon_contrastive", "inside", "axis"]),
    "divergence": ({"recipe": "divergence"}, ["divergence"]),
}


def parts(**parameters):
    table = small_reads(8, ("train_seen", "train_seen", "train_seen"))
    config = RunConfig.create("tiny", embed_dim=12, **parameters)
    index = TaxonIndex(table)
    model = build_model(config, table, index, np.ones(len(table), dtype=bool)).eval()
    data = model.tensors(table, index)
    objective = Objective(config, index, model, reads=data.bases)
    batch = next(iter(loader(data, 12)))
    return model, objective, batch


@pytest.mark.parametrize(("parameters", "columns"), OBJECTIVES.values(), ids=OBJECTIVES)
def test_every_column_of_a_loss_has_a_label(parameters, columns):
    model, objective, batch = parts(**parameters)
    assert list(objective(model, batch)) == ["loss", *columns]
    declared = [name for term in objective.loss_terms for name in term.parts]
    assert set(columns) <= set(declared) <= set(TERM_LABELS)


def test_every_label_is_a_column_of_some_objective():
    declared = {"loss"}
    for parameters, _ in OBJECTIVES.values():
        declared |= {name for term in parts(**parameters)[1].loss_terms for name in term.parts}
    assert declared == set(TERM_LABELS)


def test_the_loss_is_the_weighted_sum_of_its_parts():
    weights = {"contrastive_weight": 0.7, "entailment_weight": 0.3}
    model, objective, batch = parts(entailment="stacked", **weights)
    found = {name: float(value.detach()) for name, value in objective(model, batch).items()}
    total = 0.7 * found["contrastive"] + 0.3 * (found["intra"] + found["inter"])
    assert found["loss"] == pytest.approx(total, rel=1e-6) and found["inter"] > 0
    given = {"taxon_weight": 0.5, "entailment_weight": 0.3, "axis_weight": 2.0}
    model, objective, batch = parts(recipe="nested", **given)
    found = {name: float(value.detach()) for name, value in objective(model, batch).items()}
    total = 0.5 * found["taxon_contrastive"] + 0.3 * (found["inside"] + 2 * found["axis"])
    assert found["loss"] == pytest.approx(total, rel=1e-6) and found["axis"] > 0


@pytest.mark.parametrize("recipe", ["paper", "lineage", "nested"])
def test_a_batch_without_labels_reads_no_text(recipe):
    """The terms that need a text stay away, and what is left has finite gradients."""
    model, objective, batch = parts(recipe=recipe)
    if objective.trained is not None:
        objective.trained = objective.trained[:0]
    batch.lineage.fill_(-1), batch.full_text.fill_(-1)
    texts = objective.texts(batch)
    assert len(texts) == 0 and objective.tokens_of(texts) is None
    terms = objective(model, batch)
    assert set(terms) <= {"loss", "contrastive"} and torch.isfinite(terms["loss"])
