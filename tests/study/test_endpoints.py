"""The endpoints: which cells answer them, and what is said of how many there are."""

import pandas as pd
import pytest

from hypertax.evaluation.accuracy import METRICS
from hypertax.evaluation.open_world.comparison import COMPARED
from hypertax.evaluation.open_world.curves import GROUPS
from hypertax.evaluation.protocol import PAIRINGS
from hypertax.files import ROOT
from hypertax.study import endpoint_differences, endpoints_in_words, load_rows
from hypertax.study.baselines import load_baselines
from hypertax.study.endpoints import ACCURACY, BASELINES, ENDPOINTS, ROWS
from hypertax.tables import endpoint_table
from hypertax.taxonomy import RANKS

COUNTS = {"queries": 40, "species": 20, "seeds": 2, "seeds_agreeing": 2}


def accuracy(protocol, split, rank, verdict, average="macro", pairing="DNA to DNA"):
    cell = {"protocol": protocol, "split": split, "rank": rank, "average": average}
    numbers = {"difference": 0.02, "low": 0.01, "high": 0.03, "verdict": verdict}
    return {"method": "New", "reference": "Old", "pairing": pairing, **cell, **numbers, **COUNTS}


def open_world(measure, rank, group, verdict):
    cell = {"pairing": "DNA to DNA", "measure": measure, "rank": rank, "group": group}
    numbers = {"difference": -0.02, "low": -0.03, "high": -0.01, "verdict": verdict}
    return {"method": "New", "reference": "Old", **cell, **numbers, **COUNTS}


def found():
    accuracies = pd.DataFrame(
        [
            accuracy("novel", "unseen", "genus", "better"),
            accuracy("standard", "unseen", "species", "no difference shown"),
            accuracy("standard", "unseen", "species", "better", average="micro"),
            accuracy("standard", "unseen", "genus", "worse"),
        ]
    )
    worlds = pd.DataFrame(
        [
            open_world("AUROC", "species", "all", "worse"),
            open_world("area", "genus", "novel", "worse"),
            open_world("coverage", "genus", "novel placeable", "too few species"),
        ]
    )
    return endpoint_differences(accuracies, worlds)


def test_only_the_cells_of_the_endpoints_are_taken_in_their_order():
    frame = found()
    assert list(zip(frame["question"], frame["verdict"], strict=True)) == [
        ("unseen species", "no difference shown"),
        ("genus of novel species", "better"),
        ("seen told from unseen species", "worse"),
        ("coverage, genus of novel species", "too few species"),
    ]
    shown = endpoint_table(frame).tidy["shown"].tolist()
    assert shown[1:] == ["+2.0 [+1.0, +3.0] *", "−2.0 [−3.0, −1.0] *", "−2.0 [–]"]


def test_how_many_there_are_is_said_with_what_chance_would_give():
    assert endpoints_in_words(found()) == (
        "3 comparisons: better in 1, worse in 1, no difference shown in 1. Chance alone would mark"
        " about 0.2, if they were independent. 1 more have too few species for an interval."
    )


@pytest.mark.parametrize("endpoint", ENDPOINTS, ids=lambda endpoint: endpoint.question)
def test_every_endpoint_is_a_cell_that_exists_and_is_written_down(endpoint):
    assert endpoint.pairing in PAIRINGS and endpoint.rank in RANKS and "macro" in METRICS
    if endpoint.measure == ACCURACY:
        assert endpoint.group in ("seen", "unseen", "novel")
    else:
        assert endpoint.measure in COMPARED and endpoint.group in GROUPS
    text = " ".join((ROOT / "docs" / "endpoints.md").read_text(encoding="utf-8").split())
    assert f"{endpoint.pairing}: {endpoint.question}" in text


def test_the_rows_and_baselines_that_are_asked_exist():
    assert set(ROWS) <= {row.name for row in load_rows("beyond")}
    assert set(ROWS[:2]) <= {row.name for row in load_rows("beyond-short")}
    assert set(BASELINES) <= {row.name for row in load_baselines()}
