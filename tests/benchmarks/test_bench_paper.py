"""What the planning benchmark compares is the same loss, written in two ways."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from benchmarks.broadcast import BroadcastObjective
from benchmarks.paper import BROADCAST, METHODS, invented, step_costs
from hypertax.config.run_config import RunConfig
from hypertax.data.check import check_specimens
from hypertax.data.taxon_index import TaxonIndex
from hypertax.model.build import build_model
from hypertax.training.objective import Objective


@pytest.mark.parametrize("curvature", [1.0, 3.0])
def test_the_losses_by_broadcasting_are_ours(curvature):
    table = invented(24)
    names = TaxonIndex(table)
    model = build_model(
        RunConfig.create("tiny", embed_dim=12, curvature=curvature),
        table,
        names,
        np.ones(24, dtype=bool),
    ).double()
    objective = Objective(model.config, names, model)
    data = model.tensors(table, names)
    # The losses read of the photographs only which specimens have one.
    batch = replace(data.__getitems__(list(range(24))), has_image=torch.arange(24) % 5 > 0)
    texts = objective.texts(batch)
    generator = torch.Generator().manual_seed(0)
    sizes = {"image": 24, "dna": 24, "text": len(texts)}

    taxon_text = torch.from_numpy(names.taxon_text)
    broadcast = BroadcastObjective(objective, model, taxon_text)

    def gradients(objective):
        leaves = {
            m: torch.randn(
                n, 12, generator=generator.manual_seed(n), dtype=torch.float64
            ).requires_grad_()
            for m, n in sizes.items()
        }
        terms = objective.terms(leaves, batch, texts)
        return terms, torch.autograd.grad(
            terms["loss"], [*leaves.values(), model.space.log_curvature, model.log_logit_scale]
        )

    terms, ours = gradients(objective)
    theirs_terms, theirs = gradients(broadcast)
    assert terms["intra"] > 0 and terms["inter"] > 0
    assert terms.keys() == theirs_terms.keys()
    for name, value in terms.items():
        torch.testing.assert_close(theirs_terms[name], value, rtol=1e-6, atol=1e-8)
    for a, b in zip(theirs, ours, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-7)


def test_invented_specimens_are_specimens():
    table = invented(400)
    check_specimens(table, source="invented", rows=range(400))
    assert 0.3 < table["species"].isna().mean() < 0.7 and table["order"].notna().all()


@pytest.mark.slow
def test_a_scaled_down_step_says_its_seconds_and_the_memory_of_its_own_process():
    table = step_costs([2], micro_batch=1, image_size=32, device=torch.device("cpu"), rounds=1)
    assert table["method"].tolist() == [*METHODS, BROADCAST] and (table["seconds"] > 0).all()
    # Weights, gradients and two moments of more than two hundred million parameters, in fp32; not
    # one more model per row.
    assert table["peak MiB"].between(16 * 200e6 / 2**20, 16 * 400e6 / 2**20).all()
    assert table["ratio"][0] == 1
