"""A simulated data set in BIOSCAN-1M's own layout: barcodes and photographs that descend from one
known species tree."""

# ruff: noqa: SIM905 (column names read better as words)

from __future__ import annotations

import sys
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing import get_context
from os import getpid
from pathlib import Path
from statistics import NormalDist
from types import ModuleType
from zlib import crc32

import numpy as np
import pandas as pd

from hypertax.data.bioscan1m.reader import METADATA
from hypertax.data.progress import progress_bar
from hypertax.data.simulation.barcodes import barcodes
from hypertax.data.simulation.images import photograph
from hypertax.data.simulation.traits import species_traits
from hypertax.data.simulation.tree import lineages, species_tree
from hypertax.data.split import KEY_SPLITS, SPLITS, TRAINING_SPLITS, clibd_split
from hypertax.data.workers import end_with_parent
from hypertax.files import NotWritten, atomic_path, processors, shown
from hypertax.taxonomy import RANKS

TREE = "true_tree.nwk"
ABUNDANCE_SPREAD = 1.4
"""Standard deviation of the logarithm of the specimens per species: most species are rare, some
common."""
UNLABELLED_STOPS = {"order": 0.2, "family": 0.45, "genus": 0.35}
"""Where the labels of `no_split` specimens stop, and how often."""

_UNIONS = {"all_keys": KEY_SPLITS, "no_split_and_seen_train": TRAINING_SPLITS}
METADATA_COLUMNS = (
    "sampleid processid uri name phylum class order family subfamily tribe genus species"
    " subspecies nucraw image_file"
    " large_diptera_family medium_diptera_family small_diptera_family large_insect_order"
    " medium_insect_order small_insect_order"
    " chunk_number copyright_license copyright_holder copyright_institution copyright_contact"
    " photographer author"
).split()
"""Columns of BIOSCAN-1M's metadata, in its order."""
_UNKNOWN = "not_classified"
_PER_PART, _CHUNK = 1000, 40


def simulate(
    folder: Path,
    *,
    seed: int = 0,
    progress: bool = True,
    orders: int = 7,
    families: int = 25,
    genera: int = 80,
    species: int = 300,
    specimens: int = 2400,
    unlabelled: int = 1600,
    processes: int | None = None,
) -> None:
    """Write a data set in BIOSCAN-1M's layout into a folder.

    The folder appears when it is complete; an older one is replaced. It is the `root` that
    `bioscan_dataset.BIOSCAN1M` takes. It also gets `true_tree.nwk`, the species tree in Newick
    format: branch lengths in million years, inner nodes labelled with the orders, families and
    genera. One seed gives the same bytes whatever the number of processes.

    Args:
        folder: the folder to make.
        seed: the seed of everything.
        progress: show a progress bar.
        orders, families, genera, species: the number of taxa of each rank.
        specimens: specimens with a species, split as CLIBD does.
        unlabelled: further specimens of the same species, whose labels stop at order, family or
            genus (`no_split`).
        processes: how many draw the photographs; by default one per processor, 8 at most.

    Raises:
        ValueError: numbers that make no data set.
        OSError: a folder that cannot be written.
    """
    _check(seed, orders, families, genera, species, specimens, unlabelled)
    folder = Path(folder)
    try:
        with atomic_path(folder) as temporary:
            rng = np.random.default_rng([seed, 0])
            tree = species_tree(
                rng, orders=orders, families=families, genera=genera, species=species
            )
            taxonomy = pd.DataFrame(lineages(tree))
            table, of_species = _specimens(taxonomy, specimens, unlabelled, seed, rng)
            table["nucraw"] = barcodes(tree, of_species, seed=seed)
            base = temporary / "bioscan1m"
            base.mkdir(parents=True)
            (temporary / TREE).write_text(tree.newick(), encoding="utf-8")
            _write_metadata(base / METADATA, table)
            _write_splits(base / "CLIBD_partitioning", table)
            traits = species_traits(tree, seed=seed)[of_species]
            _write_images(base / "images" / "cropped_256", table, traits, seed, progress, processes)
    except NotWritten:
        raise
    except OSError as error:
        reason = (error.strerror or str(error)).rstrip(".")
        raise OSError(
            f"The simulated data set could not be written to {shown(folder)}: {reason}."
        ) from error


def _check(
    seed: int,
    orders: int,
    families: int,
    genera: int,
    species: int,
    specimens: int,
    unlabelled: int,
) -> None:
    if seed < 0:
        raise ValueError(f"seed must be a whole number of at least 0, not {seed}.")
    if not 1 <= orders <= families <= genera <= species:
        raise ValueError(
            "A simulated data set needs at least one order and no fewer taxa at a lower rank"
            " than at a higher one,"
            f" not {orders} orders, {families} families, {genera} genera and {species} species."
        )
    if species < 20 or specimens < 5 * species:
        raise ValueError(
            "A simulated data set needs at least 20 species and 5 specimens per species for"
            " CLIBD's splits,"
            f" not {species} species and {specimens} specimens."
        )
    if unlabelled < 1:
        raise ValueError(
            f"unlabelled must be at least 1, not {unlabelled}: no_split may not be empty."
        )


def _specimens(
    taxonomy: pd.DataFrame, specimens: int, unlabelled: int, seed: int, rng: np.random.Generator
):
    """The metadata but for the barcodes, in BIOSCAN-1M's columns with `split` added, and each
    specimen's species (an index)."""
    counts = _abundances(len(taxonomy), specimens, rng)
    of_species = np.repeat(np.arange(len(taxonomy)), counts)
    hidden = rng.choice(len(taxonomy), unlabelled, p=counts / counts.sum())
    labelled = np.arange(len(of_species) + unlabelled) < len(of_species)
    of_species = np.concatenate([of_species, hidden])
    shuffled = rng.permutation(len(of_species))
    of_species, labelled = of_species[shuffled], labelled[shuffled]

    plates, wells = np.divmod(np.arange(len(of_species)), 95)
    samples = [
        f"SIM{plate:05d}-{'ABCDEFGH'[k // 12]}{k % 12 + 1:02d}" for plate, k in zip(plates, wells)
    ]
    table = taxonomy.iloc[of_species].reset_index(drop=True)
    stops = rng.choice(len(UNLABELLED_STOPS), len(table), p=list(UNLABELLED_STOPS.values()))
    for depth, rank in enumerate(RANKS[1:]):
        table.loc[~labelled & (stops <= depth), rank] = pd.NA
    table["sampleid"] = samples
    known = table[labelled]
    split = clibd_split(known[["sampleid", *RANKS]].reset_index(drop=True), seed)
    table["split"] = "no_split"
    table.loc[labelled, "split"] = np.asarray(split)
    missing = sorted(set(SPLITS) - set(table["split"]))
    if missing:
        raise ValueError(
            f"The simulated data set is too small: {', '.join(missing)} would be empty; ask for"
            " more species and specimens."
        )

    table["processid"] = [f"SIMUL{number:05d}-26" for number in range(len(table))]
    bins = (
        rng.permutation(17576)[: len(taxonomy)]
        if len(taxonomy) <= 17576
        else np.arange(len(taxonomy))
    )
    table["uri"] = [f"BOLD:S{_letters(bins[k] // 100)}{1000 + bins[k] % 9000}" for k in of_species]
    table["name"] = table[list(RANKS)].ffill(axis=1)["species"]
    table["image_file"] = table["sampleid"] + ".jpg"
    table["chunk_number"] = np.arange(len(table)) // _PER_PART + 1
    fixed = {
        "phylum": "Arthropoda",
        "class": "Insecta",
        "copyright_license": "CC0",
        "copyright_holder": "none",
        "copyright_institution": "none",
        "copyright_contact": "none",
        "photographer": "hypertax",
        "author": "hypertax",
    }
    # The subfamily of the type genus, not always given: the package can read neither a table
    # without subfamilies nor a complete one.
    given = table["genus"].notna() & (np.arange(len(table)) % 4 > 0)
    subfamily = (table["family"].str.removesuffix("idae") + "inae").where(given, _UNKNOWN)
    table = table.assign(**fixed, subfamily=subfamily, tribe=_UNKNOWN, subspecies=_UNKNOWN)
    for column in (c for c in METADATA_COLUMNS if c.startswith(("large_", "medium_", "small_"))):
        table[column] = "no_split"
    return table, of_species


def _abundances(species: int, specimens: int, rng: np.random.Generator) -> np.ndarray:
    """Specimens per species, at least 1 each, `specimens` in all: the quantiles of a log-normal, in
    random order.

    Quantiles, not draws, keep the share of common, rare and single species the same from seed to
    seed.
    """
    ranks = np.array([NormalDist().inv_cdf((k + 0.5) / species) for k in range(species)])
    shape = np.exp(ABUNDANCE_SPREAD * ranks)
    low, high = 0.0, float(specimens)
    for _ in range(60):
        scale = 0.5 * (low + high)
        low, high = (
            (low, scale)
            if np.maximum(1, np.round(scale * shape)).sum() > specimens
            else (scale, high)
        )
    counts = np.maximum(1, np.round(low * shape)).astype(int)
    counts[-1] += specimens - counts.sum()
    return rng.permutation(counts)


def _letters(number: int) -> str:
    return chr(65 + number // 26 % 26) + chr(65 + number % 26)


def _write_metadata(path: Path, table: pd.DataFrame) -> None:
    table[METADATA_COLUMNS].fillna(dict.fromkeys(RANKS, _UNKNOWN)).to_csv(
        path, sep="\t", index=False, lineterminator="\n"
    )


def _write_splits(folder: Path, table: pd.DataFrame) -> None:
    folder.mkdir()
    for name in [*SPLITS, *_UNIONS]:
        members = table.loc[table["split"].isin(_UNIONS.get(name, [name])), "sampleid"]
        (folder / f"{name}.txt").write_text(
            "".join(f"{sample}\n" for sample in members), encoding="utf-8"
        )


def _write_images(
    folder: Path,
    table: pd.DataFrame,
    traits: np.ndarray,
    seed: int,
    progress: bool,
    processes: int | None,
) -> None:
    for part in table["chunk_number"].unique():
        (folder / f"part{part}").mkdir(parents=True)
    paths = [
        str(folder / f"part{part}" / name)
        for part, name in zip(table["chunk_number"], table["image_file"])
    ]
    # Each photograph has a seed of its own: neither the order nor the number of processes matters.
    jobs = [
        (path, looks, (seed, 3, crc32(name.encode())))
        for path, looks, name in zip(paths, traits, table["sampleid"])
    ]
    chunks = [jobs[start : start + _CHUNK] for start in range(0, len(jobs), _CHUNK)]
    processes = min(processes or processors(), 8 if processes is None else processes, len(chunks))
    with progress_bar(
        total=len(jobs), desc="simulated photographs", unit=" images", disable=not progress
    ) as bar:
        if processes == 1:
            for chunk in chunks:
                bar.update(_photographs(chunk))
            return
        try:
            # A worker that waits for a photograph to draw does not notice that nobody is left.
            pool = ProcessPoolExecutor(
                processes, get_context("spawn"), initializer=end_with_parent, initargs=(getpid(),)
            )
            with pool:
                with _no_main_module():
                    futures = [pool.submit(_photographs, chunk) for chunk in chunks]
                try:
                    for future in as_completed(futures):
                        bar.update(future.result())
                except BaseException:
                    pool.shutdown(wait=True, cancel_futures=True)
                    raise
        except BrokenProcessPool:
            raise OSError(
                "a process that draws photographs was ended from outside, perhaps for lack of"
                " memory"
            ) from None


def _photographs(jobs: list[tuple[str, np.ndarray, tuple[int, ...]]]) -> int:
    for path, traits, seed in jobs:
        Path(path).write_bytes(photograph(traits, seed))
    return len(jobs)


@contextmanager
def _no_main_module() -> Iterator[None]:
    """Workers need this module only; without this, a new process would begin by running the
    caller's script again."""
    main = sys.modules["__main__"]
    sys.modules["__main__"] = ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main
