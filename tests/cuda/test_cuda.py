"""What runs on a GPU computes what the CPU does in fp64. Each check also runs on the CPU, so that it
cannot rot where there is no GPU; `benchmarks/gpu.sh` runs those marked `cuda`.

Tolerances: geometry and losses in fp32, 1e-4 of the largest value and 1e-3 of a gradient's norm;
gradient caching, 1e-4 of the norm; bf16 encoders, 5 percent of the loss.
"""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from small_lineages import LINEAGE
from small_reads import small_reads
from torch.nn import functional as F

from benchmarks.gpu.steps import TOY, TOY_PARAMETERS
from benchmarks.paper import PaperStep
from hypertax.config.run_config import RunConfig
from hypertax.data.batches import loader
from hypertax.data.taxon_index import TaxonIndex
from hypertax.geometry import lorentz as L
from hypertax.geometry.spaces import EuclideanSpace, LorentzSpace
from hypertax.losses.contrastive import contrastive_loss
from hypertax.losses.entailment import Cones, stacked_entailment
from hypertax.losses.inputs import View
from hypertax.model.build import build_model
from hypertax.training.large_batch import LargeBatch
from hypertax.training.objective import Objective
from hypertax.training.runs import Run

ON_GPU = pytest.param(
    "cuda",
    marks=[
        pytest.mark.cuda,
        pytest.mark.skipif(
            not torch.cuda.is_available(), reason="PyTorch sees no GPU of NVIDIA's here"
        ),
    ],
)
EACH_DEVICE = pytest.mark.parametrize("device", ["cpu", ON_GPU])
VALUES, GRADIENTS, CACHED, BF16 = 1e-4, 1e-3, 1e-4, 0.05
WIDTH = 64
FUNCTIONS = {
    "radius": lambda x, y, c: L.radius(L.exp0(x, c), c),
    "there and back": lambda x, y, c: L.log0(L.exp0(x, c), c),
    "distance": lambda x, y, c: L.distance(L.exp0(x, c), L.exp0(y, c), c),
    "angle": lambda x, y, c: L.exterior_angle(L.exp0(x, c), L.exp0(y, c), c),
    "aperture": lambda x, y, c: L.half_aperture(L.exp0(x, c), c),
    "inner": lambda x, y, c: L.pairwise_inner(L.exp0(x, c), L.exp0(y, c), c),
    "distances": lambda x, y, c: L.pairwise_distance(L.exp0(x, c), L.exp0(y, c), c),
    "angles": lambda x, y, c: L.pairwise_exterior_angle(L.exp0(x, c), L.exp0(y, c), c),
}


def directions(count, seed):
    generator = torch.Generator().manual_seed(seed)
    return F.normalize(torch.randn(count, WIDTH, generator=generator, dtype=torch.float64), dim=-1)


def value_and_gradients(function, inputs, device, dtype):
    """A function's values and gradients on a device, as the CPU's fp64 tensors."""
    leaves = [x.to(device, dtype).requires_grad_() for x in inputs]
    value = function(*leaves)
    weight = torch.linspace(0.5, 1.5, value.numel(), dtype=torch.float64).to(device, dtype)
    grads = torch.autograd.grad((value * weight.view_as(value)).sum(), leaves, allow_unused=True)
    found = [value.detach(), *(torch.zeros(()) if g is None else g for g in grads)]
    return [t.cpu().double() for t in found]


def assert_near(got, want):
    """The value to `VALUES` of its largest, each gradient to `GRADIENTS` of its norm, or of a
    hundredth of the largest norm where it is smaller."""
    assert all(torch.isfinite(t).all() for t in got)
    assert (got[0] - want[0]).abs().max() <= VALUES * (1 + want[0].abs().max())
    floor = 0.01 * max(float(other.norm()) for other in want[1:])
    for one, other in zip(got[1:], want[1:], strict=True):
        assert (one - other).norm() <= GRADIENTS * max(float(other.norm()), floor)


@EACH_DEVICE
@pytest.mark.parametrize("radius", [0.1, 1.0, 5.0])
@pytest.mark.parametrize("name", FUNCTIONS)
def test_geometry_in_fp32_is_that_of_fp64(device, name, radius):
    inputs = [radius * directions(40, 0), 1.2 * radius * directions(40, 1), torch.tensor(1.3)]
    want = value_and_gradients(FUNCTIONS[name], inputs, "cpu", torch.float64)
    assert_near(value_and_gradients(FUNCTIONS[name], inputs, device, torch.float32), want)


@EACH_DEVICE
@pytest.mark.parametrize("name", ["inner", "distances", "angles"])
def test_reduced_precision_of_products_changes_no_digit(device, name):
    """TF32 on a GPU, bfloat16 on a CPU that multiplies in it; autocast around everything."""
    backend, reduced = {
        "cuda": (torch.backends.cuda.matmul, "tf32"),
        "cpu": (torch.backends.mkldnn.matmul, "bf16"),
    }[device]
    inputs = [5 * directions(40, 2), 5 * directions(40, 3), torch.tensor(1.0)]
    want = value_and_gradients(FUNCTIONS[name], inputs, device, torch.float32)
    before = backend.fp32_precision
    try:
        backend.fp32_precision = reduced
        with torch.autocast(device, torch.bfloat16):
            got = value_and_gradients(FUNCTIONS[name], inputs, device, torch.float32)
        assert backend.fp32_precision == reduced
    finally:
        backend.fp32_precision = before
    assert all(torch.equal(one, other) for one, other in zip(got, want, strict=True))


@EACH_DEVICE
@pytest.mark.parametrize("name", ["euclidean", "lorentz"])
def test_losses_in_fp32_are_those_of_fp64(device, name):
    def losses(image, dna, taxa, scale, log_c):
        kind = {"euclidean": EuclideanSpace, "lorentz": LorentzSpace}[name]
        space = kind(("image", "dna"), WIDTH).to(image.device)
        everyone = torch.ones(8, dtype=torch.bool, device=image.device)
        if name == "euclidean":
            views = {"image": View(space.lift(image), everyone)}
            views["dna"] = View(space.lift(dna), everyone)
            return contrastive_loss(space, views, scale)
        del space.log_curvature
        space.log_curvature = log_c
        views = {"image": View(space.lift(image), everyone), "dna": View(space.lift(dna), everyone)}
        lineage = LINEAGE.to(image.device)
        # A wide margin: negative pairs count too.
        parts = stacked_entailment(
            space.lift(taxa), lineage, *views.values(), space.curvature, Cones(margin=2.0)
        )
        return contrastive_loss(space, views, scale) + parts["intra"] + parts["inter"]

    inputs = [directions(8, 4), 1.1 * directions(8, 5), 0.6 * directions(11, 6)]
    inputs += [torch.tensor(10.0), torch.tensor(0.1)]
    want = value_and_gradients(losses, inputs, "cpu", torch.float64)
    assert_near(value_and_gradients(losses, inputs, device, torch.float32), want)


@EACH_DEVICE
def test_gradient_caching_is_one_pass(device):
    table = small_reads(4, ("train_seen",))
    config = RunConfig.create("tiny", embed_dim=24)
    names = TaxonIndex(table)
    model = build_model(config, table, names, np.ones(len(table), dtype=bool)).eval().to(device)
    batch = next(iter(loader(model.tensors(table, names), 32, shuffle_seed=0))).to(device)
    gradients = []
    for micro_batch in (0, 5):
        model.zero_grad()
        objective = Objective(config, names, model, torch.device(device))
        LargeBatch(objective, micro_batch=micro_batch).backward(model, batch)
        own = [p.grad.flatten() for p in model.parameters() if p.grad is not None]
        gradients.append(torch.cat(own))
    assert (gradients[1] - gradients[0]).norm() < CACHED * gradients[0].norm()
    assert gradients[0].norm() > 0


@EACH_DEVICE
def test_encoders_in_bf16_geometry_in_fp32(device):
    losses = {}
    for precision in ("no", "bf16"):
        parameters = {**TOY_PARAMETERS, "precision": precision}
        step = PaperStep(
            "hyperbolic CL + SEL", 8, 4, 160, torch.device(device), TOY, **parameters
        )
        step.model.eval()
        terms = step.large.backward(step.model, step.batch)
        tangents = step.model(step.batch, None)
        assert {v.dtype for v in tangents.values()} == {torch.float32}
        assert {p.dtype for p in step.model.parameters()} == {torch.float32}
        assert all(
            torch.isfinite(p.grad).all() for p in step.model.parameters() if p.grad is not None
        )
        losses[precision] = float(terms["loss"])
    assert losses["no"] != losses["bf16"]
    assert losses["bf16"] == pytest.approx(losses["no"], rel=BF16)


COLLECTIVES = """
import sys
import torch
import torch.distributed as dist
device, backend, store = sys.argv[1:]
dist.init_process_group(backend, init_method=f"file://{store}", rank=0, world_size=1)
own = torch.arange(5.0, device=device)
parts = [torch.empty_like(own)]
dist.all_gather(parts, own)
total = own.clone()
dist.all_reduce(total)
dist.broadcast(total, 0)
assert torch.equal(parts[0], own) and torch.equal(total, own)
assert dist.get_backend() == backend
dist.destroy_process_group()
"""


@EACH_DEVICE
def test_one_process_exchanges_with_itself(device, tmp_path):
    """By NCCL on a GPU, by Gloo on a CPU."""
    backend = {"cuda": "nccl", "cpu": "gloo"}[device]
    arguments = [device, backend, str(tmp_path / "store")]
    done = subprocess.run(
        [sys.executable, "-c", COLLECTIVES, *arguments], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr[-2000:]


TRAIN = """
import sys
sys.path.insert(0, sys.argv[2])
from small_reads import small_reads
from hypertax.config.run_config import RunConfig
from hypertax.training.trainer import train_here
table = small_reads(40, ("train_seen", "train_seen", "seen_keys", "val_seen"))
config = RunConfig.create(
    "tiny", epochs=30, batch_size=16, checkpoint_steps=2, device=sys.argv[3]
)
train_here(config, table, output=sys.argv[1], progress=False)
"""


@pytest.mark.parametrize("device", [pytest.param("cpu", marks=pytest.mark.slow), ON_GPU])
def test_a_killed_run_goes_on(device, tmp_path):
    tests = str(Path(__file__).parents[1])
    command = [sys.executable, "-c", TRAIN, str(tmp_path), tests, device]
    running = subprocess.Popen(command, env={**os.environ, "OMP_NUM_THREADS": "1"})
    until = time.monotonic() + 60
    while not list(tmp_path.glob("*/checkpoint.pt")) and time.monotonic() < until:
        assert running.poll() is None, "the run ended before it could be killed"
        time.sleep(0.01)
    running.send_signal(signal.SIGKILL)
    running.wait(timeout=30)
    (checkpoint,) = tmp_path.glob("*/checkpoint.pt")
    reached = torch.load(checkpoint, weights_only=True)
    assert reached["epoch"] < 30
    subprocess.run(command, check=True, timeout=100)
    history = Run(checkpoint.parent).history
    assert history["epoch"].tolist() == list(range(31))
    assert history["loss"].iloc[1:].notna().all()
    assert not checkpoint.exists()
