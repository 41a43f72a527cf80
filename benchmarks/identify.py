"""How good and how fast `hypertax identify` is, beside VSEARCH with fixed thresholds and SINTAX.

    python -m benchmarks.identify path/to/insect1k.tsv.gz

The test queries are asked without their labels, twice: of a library that knows every species
(`train_seen` and all keys), and of one that lacks half the queries' species (`train_seen` and
`seen_keys`). Precision and coverage are those of the answers given at a rank or below it. Intervals
draw species with replacement.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.metrics import roc_auc_score

from hypertax.data import TRAINING_SPLITS, data_set_name, load_specimens
from hypertax.data.barcodes import Profile, align
from hypertax.files import ROOT, resolve
from hypertax.identify import Identifier
from hypertax.identify.calibration import reliability
from hypertax.model.starts import profile_of
from hypertax.tables.table import frame_table, write_table
from hypertax.taxonomy import RANKS

LIBRARIES = {
    "all known": ("train_seen", "seen_keys", "val_unseen_keys", "test_unseen_keys"),
    "half new": ("train_seen", "seen_keys"),
}
QUERIES = ("test_seen", "test_unseen")
IDENTITIES = {"species": 97.0, "genus": 95.0, "family": 90.0, "order": 85.0}
"""VSEARCH's thresholds in % identity: those that eDNA pipelines use."""
SINTAX_CUTOFF = 0.8
DRAWS = 1000
ALIGNED = 200


def given(names: pd.DataFrame, depth: np.ndarray) -> pd.DataFrame:
    """Names (Q, 4), NA below the depth of each answer, (Q,) from 0 to 4."""
    names = names.reset_index(drop=True).astype("object").copy()
    for place, rank in enumerate(RANKS):
        names.loc[depth <= place, rank] = None
    return names


def ours(library: pd.DataFrame, queries: pd.DataFrame, precision: float, profile: Profile):
    """Answers given, the whole table of answers, and seconds."""
    seconds = {}
    started = time.perf_counter()
    align(profile, queries["barcode"].iloc[:ALIGNED].tolist())
    seconds[f"align {ALIGNED} reads"] = time.perf_counter() - started
    started = time.perf_counter()
    identifier = Identifier.train(library, profile=profile)
    seconds["prepare"] = time.perf_counter() - started
    started = time.perf_counter()
    answers = identifier.identify(queries, precision=precision)
    seconds["identify"] = time.perf_counter() - started
    deepest = dict(zip(RANKS, range(1, 5), strict=True))
    depth = answers["taxonRank"].map(deepest).fillna(0).to_numpy(dtype=int)
    return given(answers[list(RANKS)], depth), answers, seconds


def _write(table: pd.DataFrame, path: Path, lineages: bool = False) -> None:
    with path.open("w", encoding="ascii") as file:
        for place, row in enumerate(table.to_dict("records")):
            tax = ",".join(f"{rank[0]}:{str(row[rank]).replace(' ', '_')}" for rank in RANKS)
            file.write(f">{place}{f';tax={tax};' if lineages else ''}\n{row['barcode']}\n")


def vsearch(library: pd.DataFrame, queries: pd.DataFrame, folder: Path):
    """Answers by fixed thresholds, the identity of the nearest (Q,), and seconds."""
    _write(library, folder / "library.fasta")
    _write(queries, folder / "queries.fasta")
    command = ["vsearch", "--usearch_global", "queries.fasta", "--db", "library.fasta"]
    command += ["--id", "0.5", "--maxaccepts", "8", "--maxrejects", "256", "--maxhits", "1"]
    command += ["--strand", "both", "--threads", "1", "--userout", "hits.tsv", "--quiet"]
    command += ["--userfields", "query+target+id"]
    started = time.perf_counter()
    subprocess.run(command, cwd=folder, check=True)
    seconds = time.perf_counter() - started
    hits = pd.read_csv(folder / "hits.tsv", sep="\t", names=["query", "target", "identity"])
    hits = hits.drop_duplicates("query").set_index("query").reindex(range(len(queries)))
    identity = hits["identity"].fillna(0).to_numpy()
    nearest = hits["target"].fillna(0).astype(int).to_numpy()
    depth = sum((identity >= IDENTITIES[rank]).astype(int) for rank in RANKS)
    return given(library[list(RANKS)].iloc[nearest], depth), identity, seconds


def sintax(library: pd.DataFrame, queries: pd.DataFrame, folder: Path):
    """Answers at a bootstrap of 0.8, and seconds."""
    _write(library, folder / "tax.fasta", lineages=True)
    _write(queries, folder / "queries.fasta")
    command = ["vsearch", "--sintax", "queries.fasta", "--db", "tax.fasta", "--strand", "both"]
    command += ["--tabbedout", "tax.tsv", "--sintax_cutoff", str(SINTAX_CUTOFF)]
    command += ["--threads", "1", "--randseed", "1", "--quiet"]
    started = time.perf_counter()
    subprocess.run(command, cwd=folder, check=True)
    seconds = time.perf_counter() - started
    found = pd.read_csv(folder / "tax.tsv", sep="\t", names=["q", "all", "strand", "kept"])
    found = found.set_index("q").reindex(range(len(queries)))["kept"].fillna("")
    rows = [
        {part[0]: part[2:].replace("_", " ") for part in text.split(",") if part[1:2] == ":"}
        for text in found
    ]
    names = pd.DataFrame([{rank: row.get(rank[0]) for rank in RANKS} for row in rows])
    return names.astype("object").where(names.notna(), None), seconds


def judged(names: pd.DataFrame, queries: pd.DataFrame, known: np.ndarray) -> Iterator[dict]:
    """Coverage and precision by rank of known and of new species."""
    for group, rows in (("known species", known), ("new species", ~known)):
        if not rows.any():
            continue
        species = queries["species"][rows].to_numpy()
        for rank in RANKS:
            said = names[rank][rows].notna().to_numpy()
            right = said & (names[rank][rows].to_numpy() == queries[rank][rows].to_numpy())
            low, high = _interval(said, right, species)
            yield {
                "queries": group,
                "rank": rank,
                "coverage": said.mean(),
                "precision": right.sum() / said.sum() if said.any() else np.nan,
                "low": low,
                "high": high,
                "answers": int(said.sum()),
            }


def _interval(said: np.ndarray, right: np.ndarray, species: np.ndarray) -> tuple[float, float]:
    codes = pd.factorize(species)[0]
    said, right = (np.bincount(codes, x.astype(float)) for x in (said, right))
    drawn = np.random.default_rng(0).integers(len(said), size=(DRAWS, len(said)))
    with np.errstate(invalid="ignore"):
        values = right[drawn].sum(axis=1) / said[drawn].sum(axis=1)
    if np.isnan(values).all():
        return np.nan, np.nan
    return tuple(np.nanquantile(values, [0.025, 0.975]))


def scores(answers: pd.DataFrame, queries: pd.DataFrame, known: np.ndarray) -> Iterator[dict]:
    """Calibration errors, known and new weighing the same, and how well new species are told."""
    if known.all():
        weight = np.ones(len(known))
    else:
        weight = np.where(known, 0.5 / known.sum(), 0.5 / (~known).sum())
    for rank in RANKS:
        p = answers[f"{rank}Probability"].fillna(0).to_numpy()
        right = (answers[rank].to_numpy() == queries[rank].to_numpy()).astype(float)
        error = reliability(p, right, weight).error
        yield {"quantity": f"expected calibration error, {rank}", "value": error}
    if not known.all():
        new = answers["newSpeciesProbability"].fillna(0.5).to_numpy()
        yield {"quantity": "new told from known, AUROC", "value": roc_auc_score(~known, new)}
        sure = new >= 0.9
        yield {"quantity": "new of those at 90 %", "value": (~known)[sure].mean()}
        yield {"quantity": "share at 90 %", "value": sure.mean()}
        share = answers["nearestDifference"].fillna(1).to_numpy()
        value = roc_auc_score(~known, share)
        yield {"quantity": "the same by the share of different bases, AUROC", "value": value}


def measured(table: pd.DataFrame, precision: float) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Both tables of the benchmark."""
    cells, facts = [], []
    own = table[table["split"].isin(TRAINING_SPLITS)]
    profile = profile_of(own["barcode"].tolist(), own["species"].tolist())
    table = table.astype("object").where(table.notna(), None)
    queries = table[table["split"].isin(QUERIES)].reset_index(drop=True)
    asked = queries.drop(columns=list(RANKS))
    for library_name, splits in LIBRARIES.items():
        library = table[table["split"].isin(splits)].reset_index(drop=True)
        known = queries["species"].isin(library["species"]).to_numpy()
        about = {"library": library_name}
        names, answers, seconds = ours(
            library.drop(columns="split"), asked, precision, profile
        )
        methods = {"hypertax": names}
        found = list(scores(answers, queries, known))
        found += [{"quantity": f"seconds, {step}", "value": s} for step, s in seconds.items()]
        facts += [{**about, "method": "hypertax", **one} for one in found]
        if shutil.which("vsearch"):
            with tempfile.TemporaryDirectory() as folder:
                names, identity, took = vsearch(library, queries, Path(folder))
                methods["VSEARCH 97/95/90/85"] = names
                found = [{"quantity": "seconds, identify", "value": took}]
                if not known.all():
                    value = roc_auc_score(~known, -identity)
                    found.append({"quantity": "new told from known, AUROC", "value": value})
                facts += [{**about, "method": "VSEARCH", **one} for one in found]
                names, took = sintax(library, queries, Path(folder))
                methods["SINTAX 0.8"] = names
                found = {"quantity": "seconds, identify", "value": took}
                facts.append({**about, "method": "SINTAX", **found})
        for method, names in methods.items():
            cells += [{**about, "method": method, **one} for one in judged(names, queries, known)]
    return pd.DataFrame(cells), pd.DataFrame(facts)


def main() -> None:
    """Print both tables and write them to `tables/benchmarks`."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("table", help="specimens with the splits of CLIBD")
    parser.add_argument("--precision", type=float, default=0.95)
    parser.add_argument("--output", type=Path, default=ROOT / "tables" / "benchmarks")
    options = parser.parse_args()
    cells, facts = measured(load_specimens(options.table), options.precision)
    print(cells.round(3).to_string(index=False))
    print(facts.round(4).to_string(index=False))
    output = resolve(options.output)
    note = "One processor; seconds depend on the machine and on what else it does."
    for name, frame, caption in (
        ("identify", cells, f"Answers at a wanted precision of {options.precision}"),
        ("identify_facts", facts, "Calibration, new species and seconds"),
    ):
        write_table(
            frame_table(frame.round(4)),
            name,
            output,
            caption=caption,
            note=note,
            dataset=data_set_name(options.table),
        )


if __name__ == "__main__":
    main()
