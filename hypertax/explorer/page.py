"""An interactive page of one run's embeddings: the Poincare disk (or the plane) to zoom, search and
point at, in one HTML file.

The page is `page.html` with the style, the scripts and the data put into it, so that it opens from
disk and loads nothing else: `draw.js` has the geometry and the painting, `page.js` the colours and
the side panel, `input.js` pointer, keys and search.
"""

from __future__ import annotations

import base64
import html
import io
import json
import os
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from PIL import Image

from hypertax.embeddings import Embeddings
from hypertax.figures.disk import project
from hypertax.figures.style import BASE_COLOURS, FAINT, PALETTE, order_colours, photograph
from hypertax.files import write_text
from hypertax.geometry import lorentz as L
from hypertax.geometry.poincare import ring_distances
from hypertax.taxonomy import RANKS, parent_rows, taxa

KINDS = (*RANKS, "dna", "image")
"""What a point can be: a taxon of one of the ranks (its text), or a specimen's DNA or image."""
SCRIPTS = ("draw", "page", "input")
LARGEST_PAGE = 10_000_000
"""Bytes a page may have."""
PHOTOGRAPHS = 6_000_000
"""Bytes of the page kept for photographs; specimens beyond it show their barcode alone."""
THUMBNAIL_SIZES = (112, 64)
"""Pixels of a photograph's side: the first at which all of them fit."""
# A training set is what names were learnt from; `no_split` holds the specimens without a species.
_TRAINED = ("train_seen", "no_split")


def write_explorer(
    embeddings: Embeddings,
    specimens: pd.DataFrame,
    path: str | os.PathLike,
    *,
    colours: dict[str, str] | None = None,
    aperture: float = 0.1,
    title: str = "Explorer of the embedding space",
    dataset: str | None = None,
    sample: int = 600,
    seed: int = 0,
    runs: Sequence[str] = (),
) -> Path:
    """Write the page of `embeddings` to `path` (one HTML file of at most 10 MB, no network) and
    return the path.

    All taxa are shown, and the DNA and images of `sample` specimens, drawn with `seed` so that
    every species has about equally many. Positions are those of `hypertax.figures.disk.project` for
    all rows of the embeddings, the same as in the figures.

    specimens: the data set's table, for photographs, barcodes and counts; ids of the embeddings
    that it lacks show neither. colours: order -> colour (default: `order_colours` of the
    specimens). aperture: the constant K of the cones. dataset, runs: names that the page states.
    Raises ValueError where the page would be larger than 10 MB.
    """
    shown = sample_rows(embeddings, sample, seed)
    facts = {
        "title": title,
        "dataset": dataset,
        "runs": list(runs),
        "space": embeddings.space,
        "curvature": embeddings.curvature,
        "dimensions": int(embeddings.tangent.shape[1]),
        "aperture": aperture,
        "ranks": list(RANKS),
        "kinds": list(KINDS),
        "colours": colours or order_colours(specimens["order"]),
        "palette": list(PALETTE),
        "bases": BASE_COLOURS,
        "noBase": FAINT,
        "specimensInAll": int(
            embeddings.table.loc[embeddings.table["modality"] != "text", "id"].nunique()
        ),
        **_points(embeddings, specimens, shown, aperture),
    }
    page = fill_template(title, facts)
    size = len(page.encode())
    if size > LARGEST_PAGE:
        limit = f"{size / 1e6:.1f} MB, more than {LARGEST_PAGE / 1e6:.0f}"
        raise ValueError(
            f"The explorer's page would have {limit}: show fewer specimens (`sample`)."
        )
    write_text(path, page)
    return Path(path)


def sample_rows(embeddings: Embeddings, sample: int, seed: int) -> np.ndarray:
    """Rows of the table to show, from order to species, then DNA, then images: all taxa, and all
    rows of `sample` specimens.

    Specimens are drawn in rounds, one per species and round, so that rare species are there to be
    looked at.
    """
    table = embeddings.table.reset_index(drop=True)
    specimens = table[table["modality"] != "text"].drop_duplicates("id")
    mixed = specimens.sample(frac=1, random_state=seed)
    taken = mixed.assign(round=mixed.groupby("species", dropna=False).cumcount()).sort_values(
        "round", kind="stable"
    )["id"][:sample]
    kind = table["rank"].where(table["modality"] == "text", table["modality"])
    keep = (table["modality"] == "text") | table["id"].isin(set(taken))
    place = kind.map(KINDS.index)[keep]
    return place.sort_values(kind="stable").index.to_numpy()


def _points(
    embeddings: Embeddings, specimens: pd.DataFrame, shown: np.ndarray, aperture: float
) -> dict:
    """The columns of the points shown (`points`), what is known of their specimens, and the
    picture's frame."""
    table, plane = embeddings.table.reset_index(drop=True), project(embeddings)
    lorentz = embeddings.space == "lorentz"
    places = plane.points
    if not lorentz:
        # The plane has no rim: centre it and make the furthest point's distance 1.
        places = places - (places.min(axis=0) + places.max(axis=0)) / 2
        places = places / max(np.linalg.norm(places, axis=1).max(), 1e-12)
    reach = float(np.linalg.norm(places[shown], axis=1).max(initial=1e-6))
    view = 1.0 if lorentz and reach > 0.6 else 1.08 * reach
    own = table.loc[shown]
    above = parent_rows(table, table, skip_absent=True)[shown]
    position = {row: i for i, row in enumerate(shown)}
    taxon = (own["modality"] == "text").to_numpy()
    known = taxa(specimens)
    count = dict(
        zip(zip(known["rank"], known["name"], strict=True), known["specimens"], strict=True)
    )
    learnt = taxa(specimens[specimens["split"].isin(_TRAINED)])
    trained = set(zip(learnt["rank"], learnt["name"], strict=True))
    number, record = _records(own[~taxon], specimens)
    points = {
        "name": own["id"].tolist(),
        "kind": [
            KINDS.index(rank if text else modality)
            for text, rank, modality in zip(taxon, own["rank"], own["modality"], strict=True)
        ],
        "x": places[shown, 0].round(6).tolist(),
        "y": places[shown, 1].round(6).tolist(),
        "radius": np.linalg.norm(embeddings.tangent[shown].astype(np.float64), axis=1)
        .round(4)
        .tolist(),
        "parent": [position.get(row, -1) for row in above.tolist()],
        "specimens": [
            int(count.get(key, 0)) for key in zip(own["rank"][taxon], own["id"][taxon], strict=True)
        ],
        "trained": [
            int(key in trained) for key in zip(own["rank"][taxon], own["id"][taxon], strict=True)
        ],
        "specimen": [
            -1 if text else number[name] for text, name in zip(taxon, own["id"], strict=True)
        ],
    }
    # A specimen's species was learnt or not whatever split the specimen itself is in; without a
    # species nothing is said.
    points["trained"] += [
        None if pd.isna(name) else int(("species", name) in trained)
        for name in own["species"][~taxon]
    ]
    if lorentz:
        points |= _cones(embeddings, shown, places, above, aperture)
    return {
        "points": points,
        "records": record,
        "share": round(plane.share, 4),
        "view": round(view, 6),
        "rings": ring_distances(view, embeddings.curvature) if lorentz else [],
    }


def _cones(
    embeddings: Embeddings,
    shown: np.ndarray,
    places: np.ndarray,
    above: np.ndarray,
    aperture: float,
) -> dict[str, list]:
    """Per point its half-aperture and its exterior angle at its parent, in the full space
    (degrees); per taxon its cone's sides, drawn."""
    c = embeddings.curvature
    half = L.half_aperture(embeddings.points(shown), c, aperture)
    has_parent = above >= 0
    angle = np.full(len(shown), np.nan)
    if has_parent.any():
        angle[has_parent] = L.exterior_angle(
            embeddings.points(above[has_parent]), embeddings.points(shown[has_parent]), c
        )
    taxon = (embeddings.table["modality"] == "text").to_numpy()[shown]
    sides = cone_sides(places[shown[taxon]], half[torch.from_numpy(taxon)].numpy())
    return {
        "aperture": np.rad2deg(half.numpy()).round(3).tolist(),
        "angle": [None if np.isnan(a) else round(float(np.rad2deg(a)), 3) for a in angle],
        "sides": [None if np.isnan(pair).any() else pair.round(5).tolist() for pair in sides],
    }


def cone_sides(apex: np.ndarray, half_aperture: np.ndarray) -> np.ndarray:
    """Where the two sides of entailment cones meet the rim of the unit disk: angles (M, 2),
    radians, the cone anticlockwise between them.

    apex: (M, 2) in the unit disk, half_aperture: (M,) radians. In two dimensions the points at an
    exterior angle of at most the half-aperture are those between two geodesics that leave the apex
    at that angle to the outward direction; at pi/2 they are one geodesic, and the cone is a
    half-space. NaN for an apex at the origin, which has no outward direction.
    """
    place = apex[:, 0] + 1j * apex[:, 1]
    distance = np.abs(place)[:, None]
    outward = np.where(distance > 1e-9, place[:, None] / np.maximum(distance, 1e-9), np.nan)
    # The Moebius map that takes the origin to the apex keeps directions there and the rim.
    leaving = outward * np.exp(1j * half_aperture[:, None] * np.array([-1, 1]))
    turn = np.angle((leaving + place[:, None]) / (1 + np.conj(place)[:, None] * leaving) / outward)
    return np.angle(outward) + turn


def _records(rows: pd.DataFrame, specimens: pd.DataFrame) -> tuple[dict[str, int], dict[str, list]]:
    """Every specimen of the rows once: id -> number, and the columns id, split, barcode and image
    (a JPEG data URI) in that order."""
    own = rows.drop_duplicates("id")
    details = specimens.drop_duplicates("sampleid").set_index("sampleid").reindex(own["id"])
    paths, barcodes = (details.get(column, [None] * len(own)) for column in ("image", "barcode"))
    record = {
        "id": own["id"].tolist(),
        "split": [None if pd.isna(split) else split for split in own["split"]],
        "barcode": [None if pd.isna(barcode) else str(barcode) for barcode in barcodes],
        "image": thumbnails([None if pd.isna(path) else path for path in paths]),
    }
    return {name: i for i, name in enumerate(own["id"])}, record


def thumbnails(paths: list) -> list[str | None]:
    """Photographs as data URIs of small JPEG files, together within `PHOTOGRAPHS` bytes; None where
    there is none, or no room left."""
    for pixels in THUMBNAIL_SIZES:
        pictures = [_thumbnail(path, pixels) if path is not None else None for path in paths]
        sizes = np.cumsum([len(picture or "") for picture in pictures])
        if not len(sizes) or sizes[-1] <= PHOTOGRAPHS:
            return pictures
    return [
        picture if size <= PHOTOGRAPHS else None
        for picture, size in zip(pictures, sizes, strict=True)
    ]


def _thumbnail(path: str | os.PathLike, pixels: int) -> str | None:
    if not Path(path).is_file():
        return None
    buffer = io.BytesIO()
    Image.fromarray(photograph(path, pixels)).save(buffer, "JPEG", quality=78, optimize=True)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()


def fill_template(title: str, facts: dict) -> str:
    """`page.html` with the title, the style, the scripts and the facts in their places, each
    escaped for where it stands."""
    folder = Path(__file__).parent
    parts = {
        "title": html.escape(title),
        "style": (folder / "page.css").read_text(encoding="utf-8"),
        "script": "".join((folder / f"{name}.js").read_text(encoding="utf-8") for name in SCRIPTS),
        "data": script_json(facts),
    }
    template = (folder / "page.html").read_text(encoding="utf-8")
    # All at once: a name in the data that looks like a place of the template stays what it is.
    return re.sub(r"\{\{(\w+)\}\}", lambda place: parts[place[1]], template)


def script_json(value: object) -> str:
    """JSON that may stand inside a <script> element: no character of it can end the element or open
    a comment."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return re.sub("[<>&\u2028\u2029]", lambda character: f"\\u{ord(character[0]):04x}", text)
