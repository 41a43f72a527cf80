"""`python -m benchmarks.identify real PATH`, `simulated`, `large`."""

from __future__ import annotations

import argparse
from pathlib import Path


def main(arguments: list[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.identify")
    kinds = parser.add_subparsers(dest="kind", required=True)
    one = kinds.add_parser("real", help="beside VSEARCH and SINTAX, on real barcodes")
    one.add_argument("table", help="specimens with the splits of CLIBD")
    two = kinds.add_parser("simulated", help="photographs, barcodes, both, by a trained run")
    two.add_argument("--model", required=True, metavar="RUN", help="a run of simulated data")
    for kind in (one, two):
        kind.add_argument("--stage", choices=("test", "val"), default="test")
        kind.add_argument("--precision", type=float, default=0.95)
        kind.add_argument("--output", type=Path, help="a folder; tables/ and figures/ without it")
    three = kinds.add_parser("large", help="many barcodes: seconds and memory, VSEARCH beside it")
    three.add_argument("table", help="barcodes with names, of which others are made")
    three.add_argument("--references", type=int, default=20_000)
    three.add_argument("--queries", type=int, nargs="+", default=[10_000, 100_000])
    three.add_argument("--output", type=Path, help="a folder; tables/benchmarks without it")
    given = vars(parser.parse_args(arguments))
    kind = given.pop("kind")
    if kind == "real":
        from benchmarks.identify import real as module
    elif kind == "simulated":
        from benchmarks.identify import simulated as module
    else:
        from benchmarks.identify import large as module
    module.main(*given.values())


if __name__ == "__main__":
    main()
