"""The way from a specimen to the root: which taxa are nearest on the geodesic to the origin of the
hyperboloid."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.patches import Patch, Rectangle
from matplotlib.textpath import TextPath

from hypertax.data.split import QUERY_SPLITS
from hypertax.embeddings import Embeddings
from hypertax.evaluation.walk import bands, taxa_on_the_way
from hypertax.figures.style import (
    INK,
    MODALITY_NAMES,
    MUTED,
    RANK_COLOURS,
    SMALL,
    TEXT,
    barcode_pixels,
    draw_pixels,
    finish,
    new_figure,
    photograph,
    shade,
    style,
    tint,
)
from hypertax.taxonomy import RANKS, known_ranks

SIGNS = {"own": "\u2713", "other": "\u2717", "unknown": "?"}
HATCHES = {"own": "", "other": "/////", "unknown": "....."}


def _choose(embeddings: Embeddings, n: int, seed: int) -> list[str]:
    """Test specimens at random, half of seen and half of unseen species, as far as there are so
    many."""
    generator = np.random.default_rng(seed)
    table = embeddings.table[
        (embeddings.table["modality"] != "text").to_numpy() & embeddings.table["species"].notna()
    ]
    ids = {
        split: sorted(table.loc[table["split"] == name, "id"].unique())
        for split, name in QUERY_SPLITS["test"].items()
    }
    drawn = {split: list(generator.permutation(own)) for split, own in ids.items()}
    unseen = min(n // 2, len(drawn["unseen"]))
    seen = min(n - unseen, len(drawn["seen"]))
    return [str(name) for name in drawn["seen"][:seen] + drawn["unseen"][: n - seen]]


def walk_to_root(
    embeddings: Embeddings,
    specimens: pd.DataFrame,
    *,
    ids: list[str] | None = None,
    n: int = 4,
    steps: int = 50,
    seed: int = 0,
) -> Figure:
    """Walks along the geodesic from specimens to the origin: a band per taxon that is the nearest
    one on the way, for image and DNA.

    Bands are coloured by the taxon's rank; a tick marks those of the specimen's own lineage,
    hatching and a cross those of another.

    Args:
        embeddings: of a Lorentz space. specimens: the specimen table, for photographs and barcodes.
        ids: `sampleid` of the specimens shown;
            default `n` test specimens drawn by `seed`, half of seen and half of unseen species.
            steps: points of a walk.

    Raises:
        ValueError: Euclidean embeddings (see `taxa_on_the_way`), no taxa, or an id without
        embeddings.
    """
    ids = _choose(embeddings, n, seed) if ids is None else list(ids)
    table = embeddings.table.reset_index(drop=True)
    rows = {
        (row.id, row.modality): place
        for place, row in zip(table.index, table[["id", "modality"]].itertuples(), strict=True)
    }
    absent = [
        name
        for name in ids
        if not any((name, modality) in rows for modality in embeddings.modalities)
    ]
    if absent or not ids:
        raise ValueError(
            f"There are no embeddings of {', '.join(map(repr, absent)) or 'test specimens'}:"
            " name specimens outside no_split."
        )
    walks = {
        name: {
            m: bands(taxa_on_the_way(embeddings, rows[name, m], steps=steps))
            for m in embeddings.modalities
            if (name, m) in rows
        }
        for name in ids
    }
    by_id = specimens.drop_duplicates("sampleid").set_index("sampleid")
    with style():
        fig = new_figure(TEXT, sum(0.52 * len(own) + 0.5 for own in walks.values()) + 0.75)
        axes = fig.subplots(
            len(ids),
            2,
            squeeze=False,
            width_ratios=[1, 4.2],
            height_ratios=[0.52 * len(own) + 0.5 for own in walks.values()],
        )
        for (left, right), name in zip(axes, ids, strict=True):
            place = rows[name, next(iter(walks[name]))]
            _portrait(left, by_id.loc[name] if name in by_id.index else None)
            radii = {
                m: float(np.linalg.norm(embeddings.tangent[rows[name, m]])) for m in walks[name]
            }
            _walks(right, walks[name], radii)
            _lineage_title(right, table.loc[place])
        for ax in axes[:-1, 1]:
            ax.set_xticklabels([])
        axes[-1, 1].set_xlabel(
            "way along the geodesic from the specimen to the origin (% of the distance)"
        )
        _legend(
            fig,
            {x for own in walks.values() for found in own.values() for x in found["lineage"]},
        )
        return finish(fig)


def _legend(fig: Figure, states: set[str]) -> None:
    """The ranks' colours, and the signs of the lineages that occur."""
    handles = [
        Patch(facecolor=tint(RANK_COLOURS[rank], 0.55), edgecolor=RANK_COLOURS[rank], label=rank)
        for rank in RANKS
    ]
    words = {"own": "own lineage", "other": "another lineage", "unknown": "rank not labelled"}
    handles += [
        Patch(facecolor="white", edgecolor=INK, hatch=HATCHES[s], label=f"{SIGNS[s]} {words[s]}")
        for s in SIGNS
        if s in states
    ]
    fig.legend(
        handles=handles,
        loc="outside lower center",
        ncols=len(handles),
        title="nearest taxon",
        title_fontsize=7,
    )


def _portrait(ax, specimen: pd.Series | None) -> None:
    """Photograph, or the barcode where there is none."""
    ax.axis("off")
    ax.set_aspect("equal", anchor="C")
    ax.set(xlim=(0, 1), ylim=(0, 1))
    if specimen is not None and pd.notna(specimen.get("image")):
        draw_pixels(
            ax, photograph(specimen["image"]), (0.02, 0.02, 0.96, 0.96), edge=INK, width=0.8
        )
    elif specimen is not None and pd.notna(specimen.get("barcode")):
        draw_pixels(
            ax,
            barcode_pixels(specimen["barcode"], 16),
            (0.02, 0.02, 0.96, 0.96),
            edge=INK,
            width=0.8,
        )
    ax.set_aspect("equal", anchor="C")


def _lineage_title(ax, specimen: pd.Series) -> None:
    """The specimen's own names over its bands."""
    names = [str(specimen[rank]) for rank in known_ranks(specimen)]
    kind = (
        "unseen"
        if specimen["split"] in {names["unseen"] for names in QUERY_SPLITS.values()}
        else "seen"
    )
    ax.set_title(" \u2192 ".join(reversed(names)) + f" ({kind} species)", fontsize=7)


def _walks(ax, walks: dict[str, pd.DataFrame], radii: dict[str, float]) -> None:
    """The bands of one specimen, a bar per modality."""
    ax.grid(False)
    ax.set(xlim=(0, 100), ylim=(len(walks) - 0.4, -0.5))
    ax.set_xticks(range(0, 101, 25))
    ax.set_yticks(range(len(walks)), [f"{MODALITY_NAMES[m]}\n(r = {radii[m]:.2f})" for m in walks])
    ax.tick_params(axis="y", length=0)
    ax.spines["left"].set_visible(False)
    for y, found in enumerate(walks.values()):
        narrow = []
        for band in found.to_dict("records"):
            left, width = 100 * band["start"], 100 * (band["end"] - band["start"])
            colour = RANK_COLOURS[band["rank"]]
            ax.add_patch(
                Rectangle(
                    (left, y - 0.17),
                    width,
                    0.4,
                    facecolor=tint(colour, 0.55),
                    edgecolor=colour,
                    linewidth=0.8,
                    hatch=HATCHES[band["lineage"]],
                )
            )
            words = f"{SIGNS[band['lineage']]} {band['taxon']}"
            if _width(words) < width - 1:
                ax.text(
                    left + width / 2,
                    y + 0.03,
                    words,
                    ha="center",
                    va="center",
                    fontsize=SMALL,
                    color=INK,
                    bbox={
                        "boxstyle": "round,pad=0.12",
                        "facecolor": "white",
                        "edgecolor": "none",
                        "alpha": 0.85,
                    },
                )
            else:
                narrow.append((left + width / 2, words, colour))
        _names_above(ax, y, narrow)


def _width(words: str) -> float:
    """A text's width in percent of the way, where the way is 4.9 inches long."""
    return 100 * TextPath((0, 0), words, size=SMALL).get_extents().width / 72 / 4.9


def _names_above(ax, y: float, narrow: list[tuple[float, str, str]]) -> None:
    """Names of bands too narrow for them, over the bar with a line to their band; moved aside where
    they would touch."""
    widths = np.array([_width(words) + 2 for _, words, _ in narrow])
    places = np.array([middle for middle, _, _ in narrow])
    if not len(places):
        return
    for _ in range(300):
        lack = np.maximum((widths[1:] + widths[:-1]) / 2 - np.diff(places), 0) / 2
        places[:-1] -= lack
        places[1:] += lack
        places = np.clip(places, widths / 2, 100 - widths / 2)
    for place, (middle, words, colour) in zip(places, narrow, strict=True):
        ax.plot([place, middle], [y - 0.25, y - 0.17], color=MUTED, linewidth=0.5, clip_on=False)
        ax.text(
            place, y - 0.26, words, ha="center", va="bottom", fontsize=SMALL, color=shade(colour)
        )
