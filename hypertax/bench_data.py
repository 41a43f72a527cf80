"""What reading the data costs, beside the usual ways to read them in the same run.

    python -m hypertax.bench_data images
"""

from __future__ import annotations

import argparse
import os

import torch

from hypertax.files import ROOT
from hypertax.tables import frame_table, write_table

FOLDER = ROOT / "tables" / "benchmarks"


def images(arguments: argparse.Namespace) -> None:
    """Print the table `images` and write it to `tables/benchmarks`."""
    from hypertax.bench_images import bench_images

    frame, note = bench_images(arguments.count, tuple(arguments.workers), arguments.rounds)
    print(frame.round(2).to_string(index=False))
    note += (
        f" PyTorch {torch.__version__}, {os.cpu_count()} cores. Images a second depend on the machine; ratios are medians over the rounds."
    )
    write_table(
        frame_table(frame), "images", FOLDER, caption="Reading photographs for training", note=note, dataset="JPEGs of BIOSCAN's size"
    )


def main() -> None:
    """Run one of the benchmarks."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(required=True)
    command = commands.add_parser("images", help="photographs read, augmented and normalised a second")
    command.add_argument("--count", type=int, default=2000, help="files")
    command.add_argument("--rounds", type=int, default=5, help="passes over the files")
    command.add_argument("--workers", type=int, nargs="+", default=[0, 1, 2], help="numbers of reading processes")
    command.set_defaults(run=images)
    arguments = parser.parse_args()
    arguments.run(arguments)


if __name__ == "__main__":
    main()
