"""The stages that `benchmarks.kills` kills, each in a process of its own.

python -m benchmarks.kills_steps training folder
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import numpy as np
import pandas as pd

from hypertax.config.run_config import RunConfig
from hypertax.data.table import COLUMNS
from hypertax.files import ROOT

SPLITS = ("train_seen", "train_seen", "train_seen", "seen_keys", "val_seen", "test_seen")
UNSEEN = ("val_unseen_keys", "val_unseen", "test_unseen_keys", "test_unseen")


def small_table() -> pd.DataFrame:
    """96 reads of eight made species of two orders; every fourth species is unseen."""
    rng = np.random.default_rng(0)
    rows = []
    for s in range(8):
        bases = rng.choice(list("ACGT"), 600)
        splits = UNSEEN if s % 4 == 3 else SPLITS
        for i in range(12):
            read = bases.copy()
            read[rng.integers(0, 600, 12)] = "A"
            names = [f"Order{s // 4}", f"Family{s // 2}", f"Genus{s}", f"Genus{s} alba"]
            rows.append([f"{s}-{i}", None, "".join(read), *names, splits[i % len(splits)]])
    return pd.DataFrame(rows, columns=COLUMNS)


def data(folder: Path) -> None:
    """Simulate a small data set."""
    from hypertax.data.simulation.dataset import simulate

    target = folder / "simulated"
    if not target.is_dir():
        sizes = {"orders": 2, "families": 4, "genera": 8, "species": 24}
        simulate(target, seed=0, **sizes, specimens=200, unlabelled=60)


def training(folder: Path) -> object:
    """Train a small run; the run."""
    from hypertax.training.trainer import train_here

    config = RunConfig.create("tiny", epochs=4, batch_size=16, embed_dim=16, checkpoint_steps=2)
    return train_here(config, small_table(), output=folder)


def evaluation(folder: Path) -> None:
    """Train, and write a table of accuracies."""
    from hypertax.evaluation.accuracy import evaluate
    from hypertax.tables import main_table, write_table

    run = training(folder)
    scores = evaluate(run.embeddings(), "val").assign(method="run", run=run.name, seed=0)
    for name in ("one", "two", "three"):
        write_table(main_table(scores), name, folder / "tables", caption=name, dataset="made")


def figures(folder: Path) -> None:
    """Train, and draw."""
    from hypertax.figures import order_colours, poincare_disk, radius_by_rank, save_figure

    run = training(folder)
    embeddings = run.embeddings()
    colours = order_colours(small_table()["order"])
    for name, figure in (
        ("disk", lambda: poincare_disk(embeddings, colours)),
        ("radius", lambda: radius_by_rank({"run": embeddings})),
    ):
        save_figure(figure(), name, folder / "figures", runs=[run.name])


def pipeline(folder: Path) -> None:
    """Run `make paper` in a copy of the repository, on the small table and two rows."""
    if not (folder / "Snakefile").is_file():
        for name in ("hypertax", "notebooks"):
            ignored = shutil.ignore_patterns("__pycache__", ".*")
            shutil.copytree(ROOT / name, folder / name, ignore=ignored, dirs_exist_ok=True)
        small_table().to_csv(folder / "made.tsv", sep="\t", index=False)
        rows = "core:\n  none: {label: None}\n  a: {label: A, notebook: 03_train_hyperbolic,"
        rows += " parameters: {epochs: 3, batch_size: 16, embed_dim: 16}}\n"
        (folder / "experiments.yaml").write_text(rows)
        shutil.copy(ROOT / "Snakefile", folder)
    sys.path.insert(0, str(folder))
    import os

    command = [sys.executable, "-m", "hypertax.study.pipeline", "paper", "--dataset", "made.tsv"]
    environment = {**os.environ, "PYTHONPATH": str(folder)}
    os.chdir(folder)
    os.execve(sys.executable, [*command, "--preset", "tiny", "--seeds", "1"], environment)


def main() -> None:
    """Do one stage."""
    stage, folder = sys.argv[1], Path(sys.argv[2]).absolute()
    folder.mkdir(parents=True, exist_ok=True)
    globals()[stage](folder)


if __name__ == "__main__":
    main()
