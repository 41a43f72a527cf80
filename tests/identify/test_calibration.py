"""Probabilities that are true where the truth is known, and thresholds that hold what they promise."""

import numpy as np
import pandas as pd
import pytest

from hypertax.identify.calibration import EVENTS, calibrate, consistent, reliability
from hypertax.identify.flags import broken_frames, coding_frame, stop_codons
from hypertax.identify.lineages import completed
from hypertax.taxonomy import RANKS


def made(species: int, seed: int):
    """Held-out specimens whose answers are right with a probability that their one feature tells."""
    rng = np.random.default_rng(seed)
    held, features = {}, {}
    for kind in ("specimen", "species", "genus"):
        x = rng.normal(size=(species, 1)) + (1.5 if kind == "specimen" else -1.5)
        p = 1 / (1 + np.exp(-3 * x[:, 0]))
        right = {
            f"right_{rank}": rng.random(species) < p ** (0.2 * (1 + depth))
            for depth, rank in enumerate(RANKS)
        }
        codes = np.arange(species)
        held[kind] = pd.DataFrame({"species": codes, "genus": codes // 2, **right})
        features[kind] = dict.fromkeys(RANKS, x)
    return held, features


def test_probabilities_are_true_of_others_than_those_they_were_learned_from():
    calibration = calibrate(*made(600, 0))
    held, features = made(4000, 1)
    for column, rank in enumerate(RANKS[:3]):
        p = np.concatenate(
            [calibration.probabilities(features[k])[:, column] for k in ("specimen", "species")]
        )
        right = np.concatenate([held[k][f"right_{rank}"] for k in ("specimen", "species")])
        assert reliability(p, right).error < 0.05


def test_a_threshold_holds_its_precision_in_nine_libraries_of_ten():
    failed = 0
    for seed in range(20):
        calibration = calibrate(*made(200, seed))
        threshold = calibration.thresholds(0.9)[0]["order"]
        held, features = made(2000, 100 + seed)
        p = np.concatenate(
            [calibration.probabilities(features[k])[:, 0] for k in ("specimen", "species")]
        )
        right = np.concatenate([held[k]["right_order"] for k in ("specimen", "species")])
        given = p >= threshold
        failed += bool(given.any() and right[given].mean() < 0.9)
    assert failed <= 5


def test_where_no_threshold_can_be_tested_the_probability_itself_must_reach_the_precision():
    thresholds, sure = calibrate(*made(30, 0)).thresholds(0.99)
    assert not sure and set(thresholds.values()) == {0.99}
    thresholds, sure = calibrate(*made(600, 0)).thresholds(0.7)
    assert "order" in sure and thresholds["order"] != 0.7


def test_too_few_species_give_no_number():
    calibration = calibrate(*made(10, 0))
    assert not calibration.usable and "10 species" in calibration.note
    assert np.isnan(calibration.probabilities(made(3, 1)[1]["species"])).all()


def test_probabilities_are_made_consistent():
    p = consistent(np.array([[0.5, 0.9, 0.2, 0.8, 0.9]]))
    assert p[0, :4] == pytest.approx([0.5, 0.5, 0.2, 0.1]) and len(EVENTS) == 5


def test_reliability_is_the_mean_distance_to_the_truth():
    found = reliability(np.array([0.1] * 10 + [0.9] * 10), np.array([0] * 10 + [1] * 5 + [0] * 5))
    assert found.error == pytest.approx(0.5 * 0.1 + 0.5 * 0.4)


def test_stops_and_broken_frames():
    codons = {"TAA": 1, "TAG": 1, "TGA": 0, "TAC": 0}
    for codon, stops in codons.items():
        codes = np.array([["ACGT".index(b) for b in "ACG" + codon + "CCC"]], dtype=np.uint8)
        assert stop_codons(codes, 0)[0] == stops
    read = np.ones((3, 90), dtype=np.uint8)
    read[1, 30:32], read[2, 30:33] = 5, 5
    assert broken_frames(read).tolist() == [False, True, False]
    assert coding_frame(np.ones((5, 30), dtype=np.uint8)) is None


def test_every_name_stands_under_one_parent():
    table = pd.DataFrame(
        [
            ["O", "F", "G", "G a"],
            ["O", None, "G", "G a"],
            ["O", "F", "G", "G b"],
            ["P", "H", "G", "G b"],
            [None, None, "G", None],
        ],
        columns=list(RANKS),
    )
    mended, changed = completed(table)
    assert set(map(tuple, mended[["order", "family", "genus"]].to_numpy())) == {("O", "F", "G")}
    assert changed.tolist() == [False, False, False, True, False]
