"""Made-up specimens, embeddings and a reader of the explorer's page, for its tests."""

import json
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from hypertax.embeddings import Embeddings
from hypertax.explorer.page import write_explorer
from hypertax.taxonomy import RANKS, taxa

SPLITS = ("train_seen", "seen_keys", "test_seen")
NASTY = (
    "</script><img src=x onerror=\"document.title='broken'\">",
    '<!-- <script> & "it\'s"',
    "{{data}} \u2028 \\u003c",
)


def specimen_table(folder: Path) -> pd.DataFrame:
    """48 specimens of 16 species in 2 orders, with photographs in `folder`.

    Species of the genera Ab and Bb are unseen, Ad and Bd have no family, three names are nasty.
    """
    generator = np.random.default_rng(0)
    rows = []
    for order in "AB":
        for genus in "abcd":
            for species in "xy":
                for i in range(3):
                    number = len(rows)
                    path = folder / f"{number}.png"
                    Image.fromarray(generator.integers(0, 255, (40, 50, 3), dtype=np.uint8)).save(
                        path
                    )
                    name = f"{order}{genus}"
                    rows.append(
                        {
                            "sampleid": f"S{number:03d}",
                            "image": str(path),
                            "barcode": "".join(generator.choice(list("ACGTN"), 90)),
                            "order": f"{order}ptera",
                            "family": None if genus == "d" else f"{order}{genus}idae",
                            "genus": name,
                            "species": f"{name} {species}",
                            "split": "test_unseen" if genus == "b" else SPLITS[i],
                        }
                    )
    table = pd.DataFrame(rows)
    table.loc[table["species"] == "Aa x", "species"] = NASTY[0]
    table.loc[table["genus"] == "Bc", "genus"] = NASTY[1]
    table.loc[0, "sampleid"] = NASTY[2]
    return table


def embed(
    specimens: pd.DataFrame, space: str = "lorentz", modalities=("image", "dna")
) -> Embeddings:
    """Taxa and specimens in 6 dimensions, children beside their parents; the first order so near
    the origin that its cone is saturated."""
    generator = np.random.default_rng(1)
    directions, rows, vectors = {}, [], []
    for taxon in taxa(specimens).to_dict("records"):
        depth = RANKS.index(taxon["rank"])
        above = [directions[taxon[rank]] for rank in RANKS[:depth] if pd.notna(taxon[rank])]
        directions[taxon["name"]] = (above[-1] if above else 0) + generator.normal(
            size=6
        ) / 3**depth
        rows.append(
            {
                "id": taxon["name"],
                "modality": "text",
                "split": None,
                **{k: taxon[k] for k in ("rank", *RANKS)},
            }
        )
        size = 0.1 if taxon["name"] == "Aptera" else 0.4 + 0.4 * depth
        vectors.append(size * directions[taxon["name"]] / np.linalg.norm(directions[taxon["name"]]))
    for modality in modalities:
        for s in specimens.to_dict("records"):
            rows.append(
                {
                    "id": s["sampleid"],
                    "modality": modality,
                    "rank": None,
                    "split": s["split"],
                    **{r: s[r] for r in RANKS},
                }
            )
            vectors.append(
                2 * directions[s["species"]] / np.linalg.norm(directions[s["species"]])
                + 0.1 * generator.normal(size=6)
            )
    return Embeddings(
        pd.DataFrame(rows),
        np.array(vectors, dtype=np.float32),
        space,
        1.5 if space == "lorentz" else None,
    )


class Page(HTMLParser):
    """What a browser would make of a page: its elements, and the text in each script."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict]] = []
        self.scripts: list[str] = []
        self.title = ""
        self.feed(path.read_text(encoding="utf-8"))
        self.data = json.loads(self.scripts[0])
        self.points = pd.DataFrame(
            {
                name: self.data["points"][name]
                for name in ("name", "kind", "x", "y", "radius", "parent", "trained")
            }
        )

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag == "script":
            self.scripts.append("")

    def handle_data(self, data):
        if self.elements and self.elements[-1][0] == "script":
            self.scripts[-1] += data
        elif self.elements and self.elements[-1][0] == "title":
            self.title += data


def write_page(specimens: pd.DataFrame, path: Path) -> Path:
    """The page of `embed(specimens)` with everything that a caller may name."""
    return write_explorer(
        embed(specimens), specimens, path, title="A & <b>", dataset="made up", runs=["run-1"]
    )
