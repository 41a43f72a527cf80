"""Identifiers on a hub: what is downloaded, and the card that says what one was made of, how good it is,
what it cannot do, and how to use it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from hypertax.identify.calibration import EVENTS, reliability
from hypertax.taxonomy import RANKS

if TYPE_CHECKING:
    from huggingface_hub import ModelCard

KINDS = {
    "specimen": "known species",
    "species": "new species",
    "genus": "specimens whose genus was held out",
}


FILES = ("*.json", "*.parquet", "*.safetensors", "*.hmm", "model/config.yaml")
"""What is downloaded: tables and numbers, no code."""


def downloaded(name: str, **options) -> Path:
    """The folder of an identifier of a hub, from its cache where it is there.

    Args:
        name: OWNER/NAME. options: of `huggingface_hub.snapshot_download`.

    Raises:
        ValueError: it cannot be had (one sentence).
    """
    import httpx
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import (
        EntryNotFoundError,
        HfHubHTTPError,
        HFValidationError,
    )

    try:
        return Path(snapshot_download(name, allow_patterns=list(FILES), **options))
    except (
        EntryNotFoundError,
        HfHubHTTPError,
        HFValidationError,
        httpx.HTTPError,
        OSError,
    ) as error:
        reason = " ".join(str(error).split())[:120].rstrip(".")
        raise ValueError(
            f"{name} is no folder, and it could not be had from the hub ({reason}): check the name."
        ) from None


def model_card(
    identifier, *, data: str = "", licence: str = "", precision: float = 0.95
) -> ModelCard:
    """A card in Markdown, with the metadata that the hub reads.

    Args:
        identifier: what it describes.
        data: where the references come from, in a sentence.
        licence: of the references, as the hub names it, such as "cc-by-4.0".
        precision: of the table of results.
    """
    from huggingface_hub import ModelCard, ModelCardData

    about = ModelCardData(
        library_name="hypertax",
        license=licence.lower() or None,
        tags=["dna-barcoding", "insects", "taxonomy"],
    )
    table = identifier.library.table
    counts = ", ".join(f"{table[rank].nunique():,} {_plural(rank)}" for rank in reversed(RANKS))
    parts = [
        "# Names for specimens, with a probability at each rank",
        f"A library of {len(table):,} references ({counts}) that `hypertax` identifies specimens"
        f" by. The space is that of: {identifier.embedder.name}.",
        "## Data",
        data or "The publisher did not say where the references come from.",
        f"Licence of the data: {licence or 'not told: ask the publisher before you use it'}.",
        "## Results",
        *_results(identifier, precision),
        "## Calibration",
        *_calibration(identifier),
        "## Limits",
        "- A name can only be one of the library's. A species that it lacks is told as probably"
        " new.\n"
        "- The figures are of the library's own references, held out. Queries of another region,"
        " marker or camera may fare worse.\n"
        "- Barcodes must be of the library's marker. Other reads are not used, and the answer says"
        " so.",
        "## Use",
        "```python\nfrom hypertax.identify import Identifier\nfrom hypertax.identify.reading import"
        ' read_specimens\n\nidentifier = Identifier.from_pretrained("OWNER/NAME")\nanswers ='
        ' identifier.identify(read_specimens("queries.fasta"))\n```',
        "It holds tables, numbers and a profile, and no code.",
    ]
    return ModelCard(f"---\n{about.to_yaml()}\n---\n\n" + "\n\n".join(parts) + "\n")


def _plural(rank: str) -> str:
    return {"family": "families", "genus": "genera", "species": "species"}.get(rank, rank + "s")


def _results(identifier, precision: float) -> list[str]:
    """By what speaks a table: held-out references by kind, how many were named and how many rightly."""
    found = []
    for view, one in identifier.calibrations.items():
        if not one.usable:
            continue
        thresholds = one.thresholds(precision)[0]
        lines = ["| held out | rank | named, % | right of those, % |"]
        lines.append("| --- | --- | ---: | ---: |")
        for kind, name in KINDS.items():
            part = one.held_out[one.held_out["kind"] == kind]
            given = True
            for rank in RANKS:
                given = given & (part[f"p_{rank}"] >= max(thresholds[rank], 0.5)).to_numpy()
                if not len(part) or not given.any():
                    continue
                right = part[f"right_{rank}"].to_numpy(dtype=bool)[given].mean()
                lines.append(f"| {name} | {rank} | {100 * given.mean():.1f} | {100 * right:.1f} |")
        if len(lines) == 2:
            lines = ["Nothing could be named so surely."]
        found += [f"By {view}, at a wanted precision of {precision}:", "\n".join(lines)]
    return found or ["The library is too small to be measured on itself."]


def _calibration(identifier) -> list[str]:
    lines = []
    for view, one in identifier.calibrations.items():
        if not one.usable:
            lines.append(f"- {view}: {one.note}")
            continue
        errors = []
        for event in EVENTS:
            p, right = one.held_out[f"p_{event}"], one.held_out[f"right_{event}"]
            weight = one.held_out["weight"].to_numpy()
            error = reliability(p.to_numpy(), right.to_numpy(dtype=float), weight).error
            errors.append(f"{event} {error:.3f}")
        lines.append(f"- {view}: expected calibration error {', '.join(errors)}.")
    return [
        "Known and new species weigh the same, and so does every species. The probabilities come"
        " from folds that did not hold the genus.",
        "\n".join(lines),
    ]
