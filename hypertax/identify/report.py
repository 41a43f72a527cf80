"""One self-contained page about answers: summary, reliability, a table, photographs and alignments."""

from __future__ import annotations

import html
import re
from pathlib import Path

import numpy as np
import pandas as pd

from hypertax.explorer.page import script_json, thumbnails
from hypertax.files import write_text
from hypertax.identify.calibration import EVENTS, Calibration, reliability
from hypertax.identify.evidence import UNKNOWN
from hypertax.identify.flags import FLAGS
from hypertax.identify.identifier import Identifier
from hypertax.taxonomy import RANKS

MOST_ROWS = 20_000
"""Answers in the page; of more, those that are most likely new species."""
MOST_DIFFERENCES = 5_000
"""Answers with an alignment in the page."""
KINDS = {"specimen": "known species", "species": "new species", "genus": "new genus"}
_LETTERS = "ACGTN-"


def write_report(
    identifier: Identifier,
    queries: pd.DataFrame,
    answers: pd.DataFrame,
    path: Path,
    *,
    precision: float,
    rank: str,
) -> Path:
    """Write the page; it needs no network and no other file.

    Args:
        identifier: that answered. queries: N specimens. answers: its N answers. path: of the page.
        precision, rank: that were asked for.
    """
    order = answers["newSpeciesProbability"].fillna(-1).to_numpy().argsort(kind="stable")[::-1]
    order = order[:MOST_ROWS]
    shown, asked = (t.iloc[order].reset_index(drop=True) for t in (answers, queries))
    photographs = thumbnails([p if isinstance(p, str) else None for p in asked["image"]])
    facts = {
        "specimens": len(answers),
        "references": len(identifier.library),
        "model": identifier.embedder.name,
        "precision": precision,
        "deepest": rank,
        "ranks": list(RANKS),
        "counts": {r: int((answers["taxonRank"] == r).sum()) for r in RANKS},
        "new": int((answers["newSpeciesProbability"] >= 0.9).sum()),
        "note": identifier.note,
        "flags": FLAGS,
        "flagged": _flag_counts(answers),
        "reliability": {
            view: reliability_facts(one)
            for view, one in identifier.calibrations.items()
            if one.usable
        },
        "held_out": {
            view: held_out_table(one, precision)
            for view, one in identifier.calibrations.items()
            if one.usable
        },
        "columns": list(shown.columns),
        "rows": [
            [None if pd.isna(value) else value for value in row]
            for row in shown.itertuples(index=False, name=None)
        ],
        "photographs": photographs,
        "differences": differences(identifier, asked, shown),
    }
    folder = Path(__file__).parent
    parts = {
        "title": html.escape(f"Identification of {len(answers):,} specimens"),
        "style": (folder / "report.css").read_text(encoding="utf-8"),
        "script": (folder / "report.js").read_text(encoding="utf-8"),
        "data": script_json(facts),
    }
    template = (folder / "report.html").read_text(encoding="utf-8")
    write_text(path, re.sub(r"\{\{(\w+)\}\}", lambda place: parts[place[1]], template))
    return path


def reliability_facts(calibration: Calibration) -> dict[str, dict]:
    """By event the reliability of held-out references, known and new weighing the same."""
    held = calibration.held_out
    weight = held["weight"].to_numpy()
    return {
        event: reliability(
            held[f"p_{event}"].to_numpy(), held[f"right_{event}"].to_numpy(dtype=float), weight
        ).to_dict()
        for event in EVENTS
    }


def held_out_table(calibration: Calibration, precision: float) -> list[dict]:
    """Coverage and precision at the thresholds of held-out references by kind and rank."""
    held, thresholds = calibration.held_out, calibration.thresholds(precision)[0]
    rows = []
    for kind, name in KINDS.items():
        part = held[held["kind"] == kind]
        given = np.ones(len(part), dtype=bool)
        for rank in RANKS:
            given &= part[f"p_{rank}"].to_numpy() >= thresholds[rank]
            right = part[f"right_{rank}"].to_numpy(dtype=bool)
            rows.append(
                {
                    "queries": name,
                    "rank": rank,
                    "specimens": len(part),
                    "coverage": float(given.mean()) if len(part) else None,
                    "precision": float(right[given].mean()) if given.any() else None,
                }
            )
    return rows


def differences(
    identifier: Identifier, queries: pd.DataFrame, answers: pd.DataFrame
) -> list[list | None]:
    """Where each query differs from its nearest reference: pairs of a column (from 1) and two letters, and
    how many columns both have; None without an alignment."""
    found: list[list | None] = [None] * len(answers)
    codes = identifier.library.codes
    if not codes.shape[1]:
        return found
    few = queries.iloc[:MOST_DIFFERENCES]
    aligned = identifier.embedder.align(few, progress=False)
    place = {
        name: i
        for i, name in reversed(list(enumerate(identifier.library.table["sampleid"])))
    }
    for i, nearest in enumerate(answers["nearestReference"].iloc[: len(few)]):
        if not isinstance(nearest, str) or not aligned.aligned[i]:
            continue
        own, other = aligned.codes[i], codes[place[nearest]]
        both = (own < UNKNOWN) & (other < UNKNOWN)
        where = np.flatnonzero(both & (own != other))
        found[i] = [
            int(both.sum()),
            [[int(c) + 1, _LETTERS[own[c]] + _LETTERS[other[c]]] for c in where],
        ]
    return found


def _flag_counts(answers: pd.DataFrame) -> dict[str, int]:
    codes = answers["flags"].dropna().str.split(";").explode()
    return {str(code): int(n) for code, n in codes.value_counts().items()}
