"""`make bench`: what the losses and a training step cost, each as a ratio to its Euclidean
counterpart in the same run.

    python -m benchmarks.losses

Machines differ and are shared, so seconds are printed for orientation only; the candidates take
turns, and a ratio compares calls of one run.
"""

from __future__ import annotations

import argparse
import statistics
import threading
import time
from collections.abc import Callable

import numpy as np
import pandas as pd
import psutil
import torch
from torch import Tensor
from torch.nn import functional as F
from tqdm import tqdm

from hypertax.config.run_config import RunConfig
from hypertax.data.batches import loader
from hypertax.data.taxon_index import TaxonIndex
from hypertax.files import ROOT
from hypertax.geometry import lorentz as L
from hypertax.geometry.spaces import LorentzSpace
from hypertax.losses.contrastive import contrastive_loss, gram_of
from hypertax.losses.entailment import Cones, deepest_known_rank, stacked_entailment
from hypertax.losses.inputs import Parents, View
from hypertax.model.build import build_model
from hypertax.tables.table import frame_table, write_table
from hypertax.training.objective import Objective

WIDTH = 768
# About what a batch of 4,096 of BIOSCAN-1M's labelled specimens names
SPECIES, GENERA, FAMILIES, ORDERS = 900, 300, 90, 12
RADII, RADIUS = (0.3, 0.5, 0.7, 0.9), 1.2
"""Radii of taxa, order to species, and of specimens; c is 1."""
STEP = 0.1
"""How far a direction is from its parent's, before it is made a unit vector again."""
MiB = 2**20


def plain_euclidean(points: dict[str, Tensor], scale: Tensor) -> Tensor:
    """The loss everyone would write: cosine logits and two `cross_entropy` calls per pair of
    modalities, by autograd alone."""
    names = list(points)
    units = {name: F.normalize(value, dim=-1) for name, value in points.items()}
    target = torch.arange(len(units[names[0]]))
    terms = []
    for i, a in enumerate(names):
        for b in names[i + 1 :]:
            logits = scale * units[a] @ units[b].T
            terms.append((F.cross_entropy(logits, target) + F.cross_entropy(logits.T, target)) / 2)
    return torch.stack(terms).mean()


class LossBatch:
    """One batch of embeddings with lineages, and the two losses to compare on it.

    A taxon lies around its parent, further out, and specimens around their taxon: so that some
    specimens are in the cones of other taxa and of other specimens, as in a model that has learned.
    """

    def __init__(self, size: int) -> None:
        generator = torch.Generator().manual_seed(0)
        self.space = LorentzSpace(("image", "dna", "text"), WIDTH)
        species = torch.randint(SPECIES, (size,), generator=generator)
        genus, family, order = species % GENERA, species % FAMILIES, species % ORDERS
        codes = torch.stack(
            [
                order,
                ORDERS + family,
                ORDERS + FAMILIES + genus,
                ORDERS + FAMILIES + GENERA + species,
            ],
            dim=1,
        )
        # Labels stop anywhere, as BIOSCAN's do.
        stop = torch.randint(1, 5, (size, 1), generator=generator)
        codes = torch.where(torch.arange(4) < stop, codes, -1)
        known = codes >= 0
        taxa, positions = torch.unique(codes[known], return_inverse=True)
        self.lineage = codes.clone()
        self.lineage[known] = positions

        def around(directions: Tensor) -> Tensor:
            step = torch.randn(directions.shape, generator=generator)
            return F.normalize(directions + STEP * F.normalize(step, dim=-1), dim=-1)

        directions = torch.zeros(len(taxa), WIDTH)
        rank = torch.empty(len(taxa), dtype=torch.int64)
        above = torch.zeros(size, WIDTH)
        for r in range(4):
            rows = known[:, r]
            rank[self.lineage[rows, r]] = r
            directions[self.lineage[rows, r]] = above[rows]
            directions[rank == r] = around(directions[rank == r])
            above[rows] = directions[self.lineage[rows, r]]
        radius = torch.tensor(RADII)[rank, None] * WIDTH**0.5
        self.taxa = (radius * directions).requires_grad_()
        self.leaves = {
            m: (RADIUS * WIDTH**0.5 * around(above)).requires_grad_()
            for m in ("image", "dna", "text")
        }
        self.scale = torch.tensor(10.0, requires_grad=True)
        self.everyone = torch.ones(size, dtype=torch.bool)

    def active_share(self) -> float:
        """The share of the negative pairs whose hinge is above zero, over the two specimens' terms
        of taxa and the term of DNA and images."""
        views, taxa = self._points()
        depth = deepest_known_rank(self.lineage)
        taxon, index = torch.unique(
            self.lineage.gather(1, depth[:, None])[:, 0], return_inverse=True
        )
        rank = torch.zeros_like(taxon).scatter_(0, index, depth)
        species = self.lineage[:, 3]
        of_taxa = Parents(taxa[taxon], rank, taxon)
        of_dna = Parents(views["dna"].points, torch.full_like(species, 3), species)
        active = pairs = 0.0
        cones, c = Cones(), self.space.curvature
        for parents, name in ((of_taxa, "image"), (of_taxa, "dna"), (of_dna, "image")):
            theirs = self.lineage.T[parents.rank]
            negative = (theirs >= 0) & (parents.taxon[:, None] >= 0)
            negative &= theirs != parents.taxon[:, None]
            angle = L.pairwise_exterior_angle(parents.points, views[name].points, c)
            bound = L.half_aperture(parents.points, c, cones.aperture) + cones.margin
            active += float((negative & (angle < bound[:, None])).sum())
            pairs += float(negative.sum())
        return active / pairs

    def _points(self) -> tuple[dict[str, View], Tensor]:
        """The views' points and the taxa's (T, D)."""
        views = {
            m: View(self.space.lift(self.space.tangent(v, m)), self.everyone)
            for m, v in self.leaves.items()
        }
        return views, self.space.lift(self.space.tangent(self.taxa, "text"))

    def euclidean(self) -> None:
        plain_euclidean(self.leaves, self.scale).backward()

    def stacked(self) -> None:
        views, taxa = self._points()
        image, dna, c = views["image"], views["dna"], self.space.curvature
        gram = gram_of(self.space, image, dna)
        loss = contrastive_loss(self.space, views, self.scale, {("image", "dna"): gram})
        parts = stacked_entailment(taxa, self.lineage, image, dna, c, Cones(), gram)
        (loss + parts["intra"] + parts["inter"]).backward()


def extra_memory(work: Callable[[], None]) -> float:
    """Most resident memory above the start during the call, MiB, sampled a thousand times a
    second."""
    process = psutil.Process()
    done = threading.Event()
    peak = start = process.memory_info().rss

    def watch() -> None:
        nonlocal peak
        while not done.wait(0.001):
            peak = max(peak, process.memory_info().rss)

    watcher = threading.Thread(target=watch)
    watcher.start()
    work()
    done.set()
    watcher.join()
    return (peak - start) / MiB


def _in_turns(
    candidates: dict[str, Callable[[], None]],
    rounds: int,
    clock: Callable[[], float] = time.perf_counter,
) -> dict[str, list[float]]:
    """Seconds of each candidate's calls, taking turns after one unmeasured call."""
    seconds: dict[str, list[float]] = {name: [] for name in candidates}
    for work in candidates.values():
        work()
    for _ in range(rounds):
        for name, work in candidates.items():
            started = clock()
            work()
            seconds[name].append(clock() - started)
    return seconds


def loss_costs(sizes: tuple[int, ...] = (1024, 2048, 4096), rounds: int = 3) -> pd.DataFrame:
    """Contrastive + stacked entailment in the Lorentz space against a plain Euclidean contrastive
    loss: forward and backward, in the processor's seconds of one thread, so that other programs
    matter less. The ratio is the median of those of neighbouring calls."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    rows = []
    for size in tqdm(sizes, desc="losses"):
        losses = LossBatch(size)
        memory = {
            name: extra_memory(work)
            for name, work in (("stacked", losses.stacked), ("euclidean", losses.euclidean))
        }
        candidates = {"euclidean": losses.euclidean, "stacked": losses.stacked}
        seconds = _in_turns(candidates, rounds, time.process_time)
        ratios = [a / b for a, b in zip(seconds["stacked"], seconds["euclidean"], strict=True)]
        rows.append(
            {
                "batch": str(size),
                "active pairs, %": 100 * losses.active_share(),
                "Euclidean CL, s": statistics.median(seconds["euclidean"]),
                "CL + SEL, s": statistics.median(seconds["stacked"]),
                "time ratio": statistics.median(ratios),
                "lowest": min(ratios),
                "highest": max(ratios),
                "Euclidean CL, MiB": memory["euclidean"],
                "CL + SEL, MiB": memory["stacked"],
            }
        )
    torch.set_num_threads(threads)
    return pd.DataFrame(rows)


def step_costs(specimens: pd.DataFrame, rounds: int = 15) -> pd.DataFrame:
    """One training step of the tiny preset, the paper's objectives and the recipes against
    Euclidean CL.

    A step is forward, backward, optimiser, and what follows it: bounds and, where they nest, cones.
    specimens: training specimens; all their taxa count in the recipes that see every taxon at each
    step.
    """
    settings = {
        "Euclidean CL": {"space": "euclidean", "entailment": "none"},
        "hyperbolic CL": {"space": "lorentz", "entailment": "none"},
        "hyperbolic CL + SEL": {"space": "lorentz", "entailment": "stacked"},
        "Euclidean, lineage": {"space": "euclidean", "recipe": "lineage"},
        "hyperbolic, nested": {"space": "lorentz", "recipe": "nested"},
    }
    torch.set_num_threads(RunConfig.create("tiny").threads)
    names = TaxonIndex(specimens)
    steps = {}
    for label, setting in settings.items():
        config = RunConfig.create("tiny", **setting)
        model = build_model(config, specimens, names, np.ones(len(specimens), dtype=bool)).train()
        data = model.tensors(specimens, names, augment=True)
        batch = next(iter(loader(data, config.batch_size, shuffle_seed=0)))
        objective = Objective(config, names, model)
        optimizer = torch.optim.AdamW(model.parameters(), lr=1e-6)

        def step(batch=batch, objective=objective, optimizer=optimizer, model=model) -> None:
            optimizer.zero_grad()
            objective(model, batch)["loss"].backward()
            optimizer.step()
            model.clamp_()

        steps[label] = step
    seconds = {name: statistics.median(s) for name, s in _in_turns(steps, rounds).items()}
    reference = seconds["Euclidean CL"]
    return pd.DataFrame(
        [
            {"step": label, "seconds": value, "ratio": value / reference}
            for label, value in seconds.items()
        ]
    )


FOLDER = ROOT / "tables" / "benchmarks"
MACHINE = f"PyTorch {torch.__version__}, CPU, one thread."


def write_losses(rounds: int) -> None:
    """Print the table of the losses and write it to `tables/benchmarks`."""
    losses = loss_costs(rounds=rounds)
    print(losses.round(2).to_string(index=False))
    write_table(
        frame_table(losses),
        "losses",
        FOLDER,
        caption=f"Loss forward and backward, D = {WIDTH}",
        note=(
            f"{MACHINE} Seconds are the processor's, medians of {rounds} calls. The ratio is the"
            " median, with the lowest and the highest, of neighbouring calls."
        ),
        dataset="random embeddings around random taxa",
    )


def write_steps(rounds: int) -> None:
    """Print the table of training steps and write it to `tables/benchmarks`."""
    from hypertax.data import load_specimens

    specimens = load_specimens("simulated")
    training = specimens[specimens["split"].isin(["no_split", "train_seen"])].reset_index(drop=True)
    steps = step_costs(training, rounds)
    print(steps.round(3).to_string(index=False))
    write_table(
        frame_table(steps),
        "steps",
        FOLDER,
        caption="One training step, tiny preset, one thread",
        note=f"{MACHINE} Seconds depend on the machine; ratios compare medians of one run.",
        dataset="simulated",
    )


def main() -> None:
    """Print both tables and write them to `tables/benchmarks`."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3, help="measured calls of each loss")
    rounds = parser.parse_args().rounds
    write_losses(rounds)
    write_steps(rounds=5 * rounds)


if __name__ == "__main__":
    main()
