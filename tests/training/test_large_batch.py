"""Gradients of a global batch in micro-batches and over processes are those of one pass in one
process.

In fp64 to rounding, each parameter by itself; in fp32, where a single weight's gradient has an
error of about 1e-4 of the largest however the batch is cut, to 1e-5 of the whole gradient's norm.
"""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from hypertax.config.run_config import RunConfig
from hypertax.data.batches import loader
from hypertax.data.taxon_index import TaxonIndex
from hypertax.files import ROOT
from hypertax.model.build import build_model
from hypertax.training.large_batch import LargeBatch
from hypertax.training.objective import Objective

OBJECTIVES = {
    "euclidean": {"space": "euclidean", "entailment": "none"},
    "pair": {"entailment": "pair"},
    "stacked": {"entailment": "stacked"},
    "stacked without text": {
        "entailment": "stacked",
        "full_text": False,
        "contrastive_weight": 0.5,
    },
    "taxa": {"recipe": "taxa"},
    "lineage": {"recipe": "lineage"},
    "nested": {"recipe": "nested"},
}
BATCH = 37


def specimens(folder):
    """40 specimens of 8 species; some lack the photograph, the barcode or the names below their
    order."""
    from PIL import Image

    rng = np.random.default_rng(0)
    rows = []
    for i in range(40):
        s = i % 8
        path = folder / f"{i}.png"
        Image.fromarray(rng.integers(0, 255, (40, 40, 3), dtype=np.uint8)).save(path)
        lineage = (
            [f"O{s // 4}", f"F{s // 2}", f"G{s // 2}", f"S{s}"]
            if i % 5
            else [f"O{s // 4}", None, None, None]
        )
        rows.append(
            [
                f"id{i}",
                None if i % 7 == 3 else str(path),
                None if i % 6 == 1 else "".join(rng.choice(list("ACGT"), 600)),
                *lineage,
                "train_seen",
            ]
        )
    names = ["sampleid", "image", "barcode", "order", "family", "genus", "species", "split"]
    return pd.DataFrame(rows, columns=names).astype("str").replace("None", np.nan)


def parts(table, dtype=torch.float64, dropout=False, **parameters):
    """Model, its objective and the specimens as it takes them; without dropout a pass has no random
    numbers."""
    config = RunConfig.create("tiny", image_size=32, embed_dim=24, **parameters)
    names = TaxonIndex(table)
    model = (
        build_model(config, table, names, np.ones(len(table), dtype=bool)).train(dropout).to(dtype)
    )
    return model, Objective(config, names, model), model.tensors(table, names)


def first_batch(data, size, model, share=(0, 1)):
    batch = next(iter(loader(data, size, share=share)))
    return replace(batch, image=batch.image.to(model.log_logit_scale.dtype))


def gradients(model):
    return {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}


def assert_equal_gradients(ours, reference, tell=""):
    assert ours.keys() == reference.keys()
    if next(iter(ours.values())).dtype == torch.float64:
        for name, g in reference.items():
            torch.testing.assert_close(
                ours[name],
                g,
                rtol=1e-8,
                atol=1e-10,
                msg=lambda text, name=name: f"{tell} {name}: {text}",
            )
    ours, reference = (
        torch.cat([g[name].flatten() for name in reference]) for g in (ours, reference)
    )
    assert (ours - reference).norm() < 1e-5 * reference.norm(), tell


@pytest.mark.parametrize("parameters", OBJECTIVES.values(), ids=OBJECTIVES)
@pytest.mark.parametrize("micro_batch", [1, 8, 0])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=["fp64", "fp32"])
def test_micro_batches_change_no_gradient(tmp_path, parameters, micro_batch, dtype):
    model, objective, data = parts(specimens(tmp_path), dtype, **parameters)
    batch = first_batch(data, BATCH, model)
    plain = objective(model, batch)
    plain["loss"].backward()
    reference = gradients(model)
    model.zero_grad()
    terms = LargeBatch(objective, micro_batch=micro_batch).backward(model, batch)
    assert terms.keys() == plain.keys() and all(
        torch.allclose(terms[name], plain[name], rtol=1e-5) for name in terms
    )
    assert_equal_gradients(gradients(model), reference)


def test_dropout_is_the_same_in_both_passes(tmp_path):
    """Against the micro-batches' outputs kept with their graphs, which need no second pass."""
    model, objective, data = parts(specimens(tmp_path), dropout=True)
    batch = first_batch(data, BATCH, model)
    large = LargeBatch(objective, micro_batch=8)
    texts = objective.texts(batch)
    torch.manual_seed(5)
    outputs = [one.run() for one in large.passes(model, batch, texts)]
    after = torch.get_rng_state()
    joined = {m: torch.cat([out[m] for out in outputs if m in out]) for m in model.modalities}
    objective.terms(joined, batch, texts)["loss"].backward()
    reference = gradients(model)
    model.zero_grad()
    torch.manual_seed(5)
    large.backward(model, batch)
    assert_equal_gradients(gradients(model), reference)
    assert torch.equal(torch.get_rng_state(), after), (
        "the second pass leaves the random numbers of the next step alone"
    )
    model.zero_grad()
    torch.manual_seed(6)
    large.backward(model, batch)
    with pytest.raises(AssertionError):
        assert_equal_gradients(gradients(model), reference)  # Dropout is on.


def test_memory_is_set_by_the_micro_batch(tmp_path):
    """Most bytes that autograd keeps at a time for the backward pass: those of a micro-batch,
    whatever the batch."""
    model, objective, data = parts(specimens(tmp_path), space="euclidean", entailment="none")
    batch = first_batch(data, 40, model)

    def kept(micro_batch, rows):
        live, most = 0, 0

        class Held:
            def __init__(self, tensor):
                nonlocal live, most
                self.tensor, self.size = tensor, tensor.nbytes
                live += self.size
                most = max(most, live)

            def __del__(self):
                nonlocal live
                live -= self.size

        model.zero_grad()
        with torch.autograd.graph.saved_tensors_hooks(Held, lambda held: held.tensor):
            LargeBatch(objective, micro_batch=micro_batch).backward(
                model, batch.rows(slice(0, rows))
            )
        return most

    assert kept(4, 40) < 1.2 * kept(4, 20) < kept(0, 40) / 3


WORKER = """
import sys
from pathlib import Path
import torch
from accelerate import Accelerator
sys.path.insert(0, sys.argv[1])
import test_large_batch as t
from hypertax.training.large_batch import LargeBatch

accelerator = Accelerator(cpu=True)
torch.set_num_threads(1)
table = t.specimens(Path(sys.argv[2]) / str(accelerator.process_index))
found = {}
for name, parameters in t.OBJECTIVES.items():
    for size in (37, 3):
        for micro_batch in (0, 5):
            model, objective, data = t.parts(table, **parameters)
            share = (accelerator.process_index, accelerator.num_processes)
            batch = t.first_batch(data, size, model, share)
            terms = LargeBatch(objective, accelerator, micro_batch).backward(model, batch)
            gradients = t.gradients(model)
            found[f"{name}/{size}/{micro_batch}"] = {"terms": terms, "gradients": gradients}
torch.save(found, Path(sys.argv[2]) / f"found{accelerator.process_index}.pt")
"""


def test_two_processes_are_one(tmp_path):
    (tmp_path / "worker.py").write_text(WORKER)
    for i in range(2):
        (tmp_path / str(i)).mkdir()
    command = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--standalone",
        "--nproc_per_node",
        "2",
    ]
    environment = {
        **os.environ,
        "OMP_NUM_THREADS": "1",
        "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]),
    }
    done = subprocess.run(
        [*command, str(tmp_path / "worker.py"), str(Path(__file__).parent), str(tmp_path)],
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    first, second = (torch.load(tmp_path / f"found{i}.pt", weights_only=True) for i in range(2))
    table = specimens(tmp_path)
    for key, theirs in first.items():
        name, size, _ = key.split("/")
        model, objective, data = parts(table, **OBJECTIVES[name])
        plain = objective(model, first_batch(data, int(size), model))
        plain["loss"].backward()
        for found in (theirs, second[key]):
            assert all(
                torch.allclose(found["terms"][term], value, rtol=1e-8)
                for term, value in plain.items()
            ), key
            assert_equal_gradients(found["gradients"], gradients(model), key)
