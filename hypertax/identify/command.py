"""The command `hypertax identify`: it reads its arguments before anything heavy is imported."""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import re
import sys
import time
from pathlib import Path

RANKS = ("order", "family", "genus", "species")
MODEL_SUFFIX = ".hypertax"


def parser() -> argparse.ArgumentParser:
    """The command line."""
    main_parser = argparse.ArgumentParser(
        prog="hypertax", description="Names for specimens, from photographs and DNA barcodes."
    )
    commands = main_parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    one = commands.add_parser(
        "identify",
        help="identify specimens by a library of references",
        description="Identify specimens by a library of references, with a probability a rank.",
        epilog="QUERIES and LIBRARY: tables (.tsv, .csv, .parquet), FASTA files (.fasta, .fa,"
        " also .gz) or folders of photographs. Lineages stand in the table's columns or in FASTA"
        " headers (;tax=o:Diptera,f:... or |).",
    )
    one.add_argument("queries", nargs="+", metavar="QUERIES", help="what is to be identified")
    one.add_argument(
        "--reference", nargs="+", required=True, metavar="LIBRARY", help="references with names"
    )
    one.add_argument(
        "--model",
        metavar="FOLDER",
        help="a run's folder, a saved identifier's, its name on a hub (OWNER/NAME), or 'start'"
        " (untrained); made without one",
    )
    one.add_argument(
        "--output", default="answers.tsv", metavar="FILE", help="answers (.tsv, .csv, .parquet)"
    )
    one.add_argument("--report", metavar="FILE", help="also write a page (.html)")
    one.add_argument(
        "--precision", type=_precision, default=0.95, help="wanted share of right answers (0.95)"
    )
    one.add_argument("--within", metavar="TAXON", help="only references of this taxon may answer")
    one.add_argument(
        "--rank", choices=RANKS, default="species", help="answer no deeper than this rank"
    )
    one.add_argument("--quiet", action="store_true", help="say nothing but errors")
    return main_parser


def _precision(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"must be a number, not {text!r}") from None
    if not 0.5 <= value < 1:
        raise argparse.ArgumentTypeError(f"must be from 0.5 to below 1, not {text}")
    return value


def _early(arguments: argparse.Namespace) -> str | None:
    """What is wrong that can be seen without reading anything; None where nothing is."""
    for path in (*arguments.queries, *arguments.reference):
        if not os.path.exists(os.path.expanduser(path)):
            return f"{path} was not found: give a table, a FASTA file or a folder of photographs."
    if not arguments.output.lower().endswith((".tsv", ".csv", ".parquet")):
        return f"--output must end in .tsv, .csv or .parquet, not {arguments.output}."
    if arguments.report and not arguments.report.lower().endswith((".html", ".htm")):
        return f"--report must end in .html, not {arguments.report}."
    model = arguments.model
    if model and model != "start" and not os.path.isdir(os.path.expanduser(model)):
        # What is no folder may be a name on a hub, OWNER/NAME.
        if not re.fullmatch(r"[\w-][\w.-]*/[\w.-]+", model):
            return f"--model: {model} is no folder: give a run's or a saved identifier's."
    return None


def main(arguments: list[str] | None = None) -> int:
    """The command line; returns the exit code: 0, or 2 with one sentence on stderr."""
    given = parser().parse_args(arguments)
    if wrong := _early(given):
        print(wrong, file=sys.stderr)
        return 2
    try:
        return _identify(given)
    except ValueError as error:
        print(error, file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("Interrupted; the same command goes on where it was.", file=sys.stderr)
        return 130


def _identify(given: argparse.Namespace) -> int:
    def say(text: str) -> None:
        if not given.quiet:
            print(text, file=sys.stderr, flush=True)

    from hypertax.identify.provenance import write_answers
    from hypertax.identify.prepared import prepared
    from hypertax.identify.reading import read_specimens

    started = time.monotonic()
    with contextlib.redirect_stderr(io.StringIO() if given.quiet else sys.stderr):
        queries = read_specimens(given.queries)
        library = read_specimens(given.reference)
    say(f"{len(queries):,} queries, {len(library):,} references.")
    seconds = {"read": round(time.monotonic() - started, 2)}
    started = time.monotonic()
    identifier = prepared(
        library,
        kept=_kept_beside(given.reference[0]),
        model=given.model,
        say=say,
        progress=not given.quiet,
    )
    if given.within:
        identifier = identifier.within(given.within)
    seconds["prepare"] = round(time.monotonic() - started, 2)
    if identifier.note:
        say(identifier.note)
    wishes = {"precision": given.precision, "rank": given.rank}
    answers = write_answers(
        identifier,
        queries,
        Path(given.output),
        **wishes,
        parameters={**wishes, "within": given.within},
        seconds=seconds,
        progress=not given.quiet,
    )
    if given.report:
        from hypertax.identify.report import write_report

        write_report(identifier, queries, answers, Path(given.report), **wishes)
        say(f"The report is in {given.report}.")
    named = answers["taxonRank"].value_counts()
    told = ", ".join(f"{named.get(rank, 0):,} to {rank}" for rank in reversed(RANKS))
    say(f"{len(answers):,} answers are in {given.output}: {told}.")
    return 0


def _kept_beside(reference: str) -> Path:
    path = Path(reference).expanduser()
    return path.with_name(path.name + MODEL_SUFFIX)


if __name__ == "__main__":
    sys.exit(main())
