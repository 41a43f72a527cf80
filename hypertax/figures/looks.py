"""One colour and one marker per method, the same in every figure.

This module needs no matplotlib, so that reading `experiments.yaml` stays quick.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

# Okabe & Ito's colours first (yellow darkened to hold on white), then Tol's muted set for data with
# more orders than that.
PALETTE = (
    "#0072B2",
    "#E69F00",
    "#009E73",
    "#D55E00",
    "#CC79A7",
    "#56B4E9",
    "#A68A00",
    "#332288",
    "#882255",
    "#44AA99",
    "#999933",
    "#AA4499",
    "#DDCC77",
    "#117733",
    "#CC6677",
    "#88CCEE",
)
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<", ">", "*", "d", "p", "h", "8", "H")
"""Matplotlib's filled markers that figures and `experiments.yaml` use."""


class Look(NamedTuple):
    """How a method is drawn."""

    colour: str
    """Hexadecimal, such as "#0072B2"."""
    marker: str
    """One of `MARKERS`."""


def looks_of(labels: Iterable[str], given: Mapping[str, Look] | None = None) -> dict[str, Look]:
    """A look for each label, in the order of the labels.

    Args:
        labels: names of methods; repeated ones count once.
        given: label -> look, such as `hypertax.study.rows.row_looks` reads them. A label that is
            not in it gets a colour and a marker that no other label shown has.
    """
    labels = list(dict.fromkeys(labels))
    found = {label: Look(*given[label]) for label in labels if given and label in given}
    colours = [
        c for c in (*PALETTE, "#000000") if c not in {look.colour for look in found.values()}
    ]
    markers = [m for m in MARKERS if m not in {look.marker for look in found.values()}] or MARKERS
    for i, label in enumerate(label for label in labels if label not in found):
        found[label] = Look(colours[i % len(colours)], markers[i % len(markers)])
    return {label: found[label] for label in labels}
