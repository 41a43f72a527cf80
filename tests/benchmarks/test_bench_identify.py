"""The benchmark of identification: what it says of answers whose truth is known."""

import shutil

import numpy as np
import pandas as pd
import pytest
from identify_cases import records

from benchmarks.identify import judging, large, real, simulated
from benchmarks.identify.asking import NEAREST, OURS, SINTAX, Answered
from benchmarks.identify.picture import picture
from hypertax.taxonomy import RANKS


def made(names, score, given):
    """Answers of four specimens whose ranks are all alike."""
    names, score, given = (
        np.repeat(np.array(x, dtype=kind)[:, None], len(RANKS), axis=1)
        for x, kind in ((names, object), (score, float), (given, bool))
    )
    return Answered(names, score, given, 1 - score[:, 0], 1.0, 1.0, 1.0)


@pytest.fixture()
def case():
    truth = pd.DataFrame({rank: ["a", "a", "b", "b"] for rank in RANKS})
    answered = made(["a", "a", "x", "b"], [0.9, 0.8, 0.7, 0.2], [True, True, True, False])
    return answered, truth, np.array([True, True, False, False])


def test_known_and_new_weigh_the_same(case):
    answered, truth, known = case
    found = {(c["queries"], c["rank"]): c for c in judging.cells(answered, truth, known)}
    one = found["known species", "genus"]
    assert (one["coverage"], one["precision"], one["right"]) == (1, 1, 1)
    one = found["new species", "genus"]
    assert (one["coverage"], one["precision"], one["right"]) == (0.5, 0, 0.5)
    one = found["both alike", "genus"]
    assert one["coverage"] == 0.75 and one["precision"] == pytest.approx(2 / 3)
    # Few new ones count as much as many known ones.
    weight = judging.weights(np.array([True] * 9 + [False]))
    assert weight[-1] == 0.5 and weight[:9].sum() == pytest.approx(0.5)


def test_coverage_at_a_precision_is_the_largest(case):
    answered, truth, known = case
    at = {p: judging.coverage_at(p, answered, truth, known, 2) for p in (1.0, 0.75, 0.7)}
    assert at == {1.0: 0.5, 0.75: 1.0, 0.7: 1.0}
    assert judging.coverage_at(1.01, answered, truth, known, 2) == 0


def test_a_calibration_error_beside_what_chance_gives(case):
    answered, truth, known = case
    found = {f["measure"]: f["value"] for f in judging.calibration(answered, truth, known)}
    # Bins of 0.9, 0.8, 0.7 and 0.2: |0.9-1|, |0.8-1|, |0.7-0| and |0.2-1|, a quarter each.
    assert found["calibration error, genus"] == pytest.approx(0.45)
    sure = judging.chance_error(np.ones(4), np.full(4, 0.25), truth["species"])
    doubtful = judging.chance_error(np.full(4, 0.5), np.full(4, 0.25), truth["species"])
    assert sure == 0 and doubtful > 0.1


def test_both_together_are_compared_with_the_better():
    right = {"photographs": [0.5, 1.0], "barcodes": [0.75, 1.0], "both": [0.7, 1.0]}
    cells = pd.DataFrame(
        {"library": "a", "queries": "q", "rank": rank, "given": given, "right": values[place]}
        for given, values in right.items()
        for place, rank in enumerate(("genus", "family"))
    )
    assert simulated.compared(cells) == {"cells": 2, "worse": 1, "better": 0, "with room": 1}


@pytest.mark.skipif(not shutil.which("vsearch"), reason="VSEARCH is not installed")
def test_the_command_vsearch_and_sintax_are_asked_the_same():
    table = records().drop(columns="image")
    # Every tenth species is known by its keys alone.
    unseen = table["species"].isin(sorted(table["species"].unique())[::10])
    last = table["number"] == 4
    table["split"] = np.select(
        [unseen & last, unseen, last], ["val_unseen", "val_unseen_keys", "val_seen"], "train_seen"
    )
    found = real.ask(table, "val", 0.9)
    assert list(found) == list(real.LIBRARIES)
    answered, truth, known = found["half new"]
    assert 0 < known.sum() < len(known) and found["all known"][2].all()
    assert list(answered) == [OURS, NEAREST, SINTAX]
    for method, one in answered.items():
        right = judging.right_names(one, truth)
        assert right[known, 3].mean() > 0.9, method
        assert one.seconds > 0 and one.mebibytes > 1
        assert one.new[~known].mean() > one.new[known].mean()
    cells, facts = real.measured(found)
    assert cells["coverage"].between(0, 1).all() and cells["precision"].dropna().between(0, 1).all()
    compared = cells[(cells["method"] != OURS) & (cells["queries"] == "both alike")]
    assert compared["same"].notna().all()
    assert {"seconds", "new told from known, AUROC"} <= set(facts["measure"])
    assert len(picture(answered, truth, known, "Validation").get_axes()) == 8


def test_made_barcodes_are_near_their_own_and_some_are_turned_or_cut():
    table = records(length=600)
    library, queries = large.made(table, 200, 0), large.made(table, 200, 0, harder=True)
    own = dict(zip(table["species"] + table["number"].astype(str), table["barcode"], strict=True))
    different = [
        sum(a != b for a, b in zip(row["barcode"], own[row["species"] + str(row["number"])]))
        for row in library.to_dict("records")
    ]
    assert 0 < np.mean(different) < 0.008 * 600 and library["sampleid"].is_unique
    assert (queries["barcode"].str.len() == large.SHORT).sum() == 20
    assert queries["barcode"][0] == large.reverse_complement(library["barcode"][0])
