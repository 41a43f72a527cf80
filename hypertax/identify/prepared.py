"""An identifier for a library: read again where it was kept, made otherwise."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path

import pandas as pd

from hypertax.identify.identifier import Identifier
from hypertax.identify.provenance import digest_of
from hypertax.taxonomy import RANKS


def prepared(
    library: pd.DataFrame,
    *,
    kept: Path | None = None,
    model: str | Path | None = None,
    say: Callable[[str], None] = print,
    progress: bool = True,
) -> Identifier:
    """An identifier of a library.

    Args:
        library: a table of `reading.read_specimens`.
        kept: the folder where it is kept, read where it was made of the same library.
        model: a folder with a saved identifier.
        say: tells what takes time.
    """
    source = digest_of(library) + digest_of(
        library[["sampleid"]].assign(
            barcode=library[list(RANKS)].fillna("").agg("|".join, axis=1), image=None
        )
    )
    if model is not None:
        return Identifier.from_pretrained(model)
    if kept is not None and (kept / "source.json").is_file():
        if json.loads((kept / "source.json").read_text("utf-8")) == source:
            say(f"Using the identifier that is kept in {kept}.")
            return Identifier.from_pretrained(kept)
    say("No model is given: making one of the library.")
    started = time.monotonic()
    identifier = Identifier.train(library, progress=progress)
    where = ""
    if kept is not None:
        identifier.save(kept)
        (kept / "source.json").write_text(json.dumps(source), encoding="utf-8")
        where = f", kept in {kept}"
    say(f"The model took {time.monotonic() - started:.0f} s{where}.")
    return identifier
