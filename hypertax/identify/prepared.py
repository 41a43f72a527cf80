"""An identifier for a library: read again where it was kept, made otherwise."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path

import pandas as pd

from hypertax.files import shown, write_text
from hypertax.identify.identifier import Identifier
from hypertax.identify.provenance import digest_of
from hypertax.identify.reference import Library
from hypertax.taxonomy import RANKS

START = "start"
"""The model that is none: the DNA start, untrained."""
PRESET, RECIPE = "laptop", "lineage"
SETTINGS: dict[str, object] = {}
"""What training changes of the preset."""
LEAST_TO_TRAIN = 10
"""Specimens of a species from which on the recipe of the split trains on it."""


def prepared(
    library: pd.DataFrame,
    *,
    kept: Path | None = None,
    model: str | Path | None = None,
    say: Callable[[str], None] = print,
    progress: bool = True,
) -> Identifier:
    """An identifier of a library.

    Without a model, a library with photographs has one trained on it; a library of barcodes alone
    takes the DNA start, which needs no training.

    Args:
        library: a table of `reading.read_specimens`.
        kept: the folder where it is kept; it is read where it was made of the same library and model.
        model: the folder of a saved identifier or of a run, an identifier's name on a hub, or `START`.
        say: tells what takes time.
    """
    source = {"library": _digest(library), "model": None if model is None else str(model)}
    if kept is not None and (kept / "source.json").is_file():
        if json.loads((kept / "source.json").read_text("utf-8")) == source:
            say(f"Using the identifier that is kept in {shown(kept)}.")
            return Identifier.load(kept)
    started = time.monotonic()
    run = model not in (None, START) and Path(model).expanduser().is_dir()
    if model not in (None, START) and not run:
        return _with_library(Identifier.from_pretrained(str(model)), library, progress)
    if run and (Path(model).expanduser() / "identifier.json").is_file():
        return _with_library(Identifier.load(Path(model).expanduser()), library, progress)
    if run:
        from hypertax.model.model import HypertaxModel

        trained = HypertaxModel.from_pretrained(Path(model).expanduser())
        marked = _marked(library, _trained_on(Path(model).expanduser()))
        identifier = Identifier.train(marked, model=trained, progress=progress)
        what = "Embedding and calibrating the library"
    elif model is None and library["image"].notna().any():
        say("No model is given: training one on the library.")
        where = None if kept is None else kept.with_name(kept.name + "-runs")
        identifier = _trained(library, where, progress)
        what = "Training on the library"
    else:
        say("No model is given: making the DNA start of the library.")
        identifier = Identifier.train(library, progress=progress)
        what = "The model"
    where = ""
    if kept is not None:
        identifier.save(kept)
        write_text(kept / "source.json", json.dumps(source))
        where = f"; it is kept in {shown(kept)}"
    say(f"{what} took {time.monotonic() - started:.0f} s{where}.")
    return identifier


def _with_library(identifier: Identifier, library: pd.DataFrame, progress: bool) -> Identifier:
    """A saved identifier's space with the references that are given now; itself where they are its own."""
    own = identifier.library.table
    learned = set(own.loc[own["trained"] == "yes", "sampleid"])
    further = Library.of(_marked(library, learned), identifier.embedder, progress)
    if further.fingerprint() == identifier.library.fingerprint():
        return identifier
    return Identifier(identifier.embedder, further)


def _trained(library: pd.DataFrame, runs: Path | None, progress: bool) -> Identifier:
    """Train `laptop` on a library split by CLIBD's recipe; what it did not train on calibrates."""
    import tempfile

    from hypertax.config.run_config import RunConfig
    from hypertax.data.split import TRAINING_SPLITS, clibd_split
    from hypertax.model.model import HypertaxModel
    from hypertax.training import train_here

    columns = ["sampleid", "image", "barcode", *RANKS]
    table = library[columns].astype("object")
    seen, named = (table[list(c)].notna().any(axis=1) for c in (("image", "barcode"), RANKS))
    table = table[seen & named & ~table["sampleid"].duplicated()].reset_index(drop=True)
    table = table.where(table.notna(), None).astype("str")
    table["split"] = clibd_split(table, 0)
    if (table["split"] == "train_seen").sum() < 2:
        raise ValueError(
            f"The library has too few specimens to train on: no species has {LEAST_TO_TRAIN}; give"
            " --model a trained run."
        )
    with tempfile.TemporaryDirectory() as temporary:
        config = RunConfig.create(PRESET, recipe=RECIPE, space="lorentz", **SETTINGS)
        run = train_here(config, table, output=runs or Path(temporary), progress=progress)
        model = HypertaxModel.from_pretrained(run.folder)
    learned = set(table.loc[table["split"].isin(TRAINING_SPLITS), "sampleid"])
    return Identifier.train(_marked(library, learned), model=model, progress=progress)


def _trained_on(run: Path) -> set[str]:
    """The specimens that a run was trained on, by its embeddings; none where it has none."""
    from hypertax.data.split import TRAINING_SPLITS

    path = run / "embeddings.parquet"
    if not path.is_file():
        return set()
    table = pd.read_parquet(path, columns=["id", "split"])
    return set(table.loc[table["split"].isin(TRAINING_SPLITS), "id"])


def _marked(library: pd.DataFrame, learned: set[str]) -> pd.DataFrame:
    """The library with the references that a model was trained on told in a column `trained`."""
    return library.assign(
        trained=["yes" if name in learned else None for name in library["sampleid"]]
    )


def _digest(library: pd.DataFrame) -> str:
    names = library[list(RANKS)].fillna("").astype(str).agg("|".join, axis=1)
    return digest_of(library) + digest_of(library.assign(barcode=names, image=None))
