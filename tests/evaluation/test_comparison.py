"""Predictions against `evaluate`, the bootstrap against literal loops and against known truths, and
what the sentences may say."""

from itertools import product
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from comparison_cases import cells, shifted
from random_embeddings import random_embeddings

from hypertax.embeddings import Embeddings
from hypertax.evaluation.accuracy import METRICS, accuracy, evaluate, harmonic_mean
from hypertax.evaluation.answers import SEEDLESS
from hypertax.evaluation.bootstrap import (
    BETTER,
    FEW,
    FEWEST,
    NEITHER,
    WORSE,
    draws,
    species_units,
)
from hypertax.evaluation.comparison import compare, sentences
from hypertax.evaluation.label_transfer import predictions
from hypertax.evaluation.members import each_run, study_predictions
from hypertax.evaluation.protocol import PAIRINGS
from hypertax.taxonomy import RANKS


def answers(
    correct: dict[str, list],
    classes,
    *,
    protocol="standard",
    pairing="DNA to DNA",
    split="unseen",
    species=None,
) -> pd.DataFrame:
    """Predictions whose species, the only rank with a name, is right or wrong as told: per method
    one list of 0 and 1 per seed.

    species: what the draws are of, by default the classes.
    """
    parts = []
    for method, seeds in correct.items():
        for seed, right in enumerate(seeds):
            part = pd.DataFrame(
                {"gt_species": classes, "pred_species": np.where(right, classes, "other")},
                dtype=object,
            )
            part["query"] = [f"q{i}" for i in range(len(part))]
            part["species"] = classes if species is None else species
            about = {
                "method": method,
                "run": f"{method}-{seed}",
                "seed": seed,
                "protocol": protocol,
                "pairing": pairing,
                "split": split,
            }
            parts.append(
                part.assign(
                    **about,
                    **{f"{side}_{rank}": None for side in ("gt", "pred") for rank in RANKS[:3]},
                )
            )
    return pd.concat(parts, ignore_index=True)


def only(frame: pd.DataFrame, **wanted) -> pd.Series:
    """The one row with the wanted values."""
    mask = pd.Series(True, index=frame.index)
    for column, value in wanted.items():
        mask &= frame[column] == value
    assert mask.sum() == 1
    return frame[mask].iloc[0]


@pytest.mark.parametrize("space", ["lorentz", "euclidean"])
@pytest.mark.parametrize("stage", ["val", "test"])
def test_accuracies_of_the_predictions_are_those_of_evaluate(space, stage):
    embeddings = random_embeddings(space, seed=3)
    found = predictions(embeddings, stage)
    expected = evaluate(embeddings, stage, ks=(1,), rankings=("distance",))
    expected = expected[expected["split"] != "harmonic"]
    keys = ["protocol", "pairing", "split", "rank", "average"]
    ours = []
    for key, part in found.groupby(keys[:3]):
        for rank, average in product(RANKS, METRICS):
            true = part[f"gt_{rank}"]
            if true.notna().any():
                value = accuracy(true, part[f"pred_{rank}"], average=average)
                ours.append((*key, rank, average, value, true.count(), true.nunique()))
    ours = pd.DataFrame(ours, columns=[*keys, "value", "queries", "classes"])
    ours = ours.set_index(keys).sort_index()
    theirs = expected.set_index(keys)[["value", "queries", "classes"]].sort_index()
    assert len(theirs) == 3 * (4 * 2 + 3) * 2
    # Macro means sum the classes in another order.
    pd.testing.assert_frame_equal(ours, theirs, rtol=0, atol=1e-12, check_dtype=False)


def test_predictions_name_the_key_and_leave_out_what_does_not_count():
    embeddings = random_embeddings(modalities=("dna",), seed=1)
    # A genus of which no seen species is: it has no key in the novel protocol.
    table = embeddings.table
    elsewhere = table["species"].isin(["s18", "s19", "s20"]) & table["split"].str.startswith(
        "test_unseen"
    )
    table.loc[elsewhere & table["genus"].notna(), "genus"] = "Elsewhere"
    found = predictions(embeddings)
    assert list(found["pairing"].unique()) == ["DNA to DNA"] and list(
        found["protocol"].unique()
    ) == ["standard", "novel"]
    table = table.set_index("id")
    seen_keys = table[table["split"] == "seen_keys"]
    for row in found.to_dict("records"):
        assert table.loc[row["query"], "split"] == f"test_{row['split']}"
        for rank in RANKS:
            key, own = table.loc[row["key"], rank], table.loc[row["query"], rank]
            assert (pd.isna(row[f"pred_{rank}"]) and pd.isna(key)) or row[f"pred_{rank}"] == key
            counts = row["protocol"] == "standard" or (
                rank != "species" and own in set(seen_keys[rank])
            )
            assert (
                pd.isna(row[f"gt_{rank}"])
                if pd.isna(own) or not counts
                else row[f"gt_{rank}"] == own
            )
        assert row["protocol"] == "standard" or row["key"] in seen_keys.index
    placed = {protocol: part["gt_genus"] for protocol, part in found.groupby("protocol")}
    assert (
        "Elsewhere" in set(placed["standard"])
        and "Elsewhere" not in set(placed["novel"])
        and placed["novel"].notna().any()
    )
    nothing = Embeddings(embeddings.table.iloc[:0], embeddings.tangent[:0], "lorentz", 1.0)
    assert list(predictions(nothing).columns) == list(found.columns) and predictions(nothing).empty
    with pytest.raises(ValueError, match="'val' or 'test', not 'train'"):
        predictions(embeddings, "train")


def test_differences_by_hand():
    # Class a: 3 queries, class b: 1. New: seed 0 all of a, seed 1 all. Old: seed 0 two of a, seed 1
    # b alone.
    classes = ["a", "a", "a", "b"]
    told = answers(
        {"old": [[1, 1, 0, 0], [0, 0, 0, 1]], "new": [[1, 1, 1, 0], [1, 1, 1, 1]]}, classes
    )
    frame = compare(told, "old", resamples=50)
    micro, macro = only(frame, average="micro"), only(frame, average="macro")
    assert micro["difference"] == pytest.approx(((3 - 2) / 4 + (4 - 1) / 4) / 2)
    assert macro["difference"] == pytest.approx(((1 / 2 - 1 / 3) + (1 - 1 / 2)) / 2)
    assert (macro["queries"], macro["seeds"], macro["seeds_agreeing"]) == (4, 2, 2)
    back = only(compare(told, "new", resamples=50), average="macro")
    assert back["difference"] == -macro["difference"] and back["seeds_agreeing"] == 2
    assert (macro["method"], macro["reference"], macro["rank"], macro["split"]) == (
        "new",
        "old",
        "species",
        "unseen",
    )


def test_differences_are_those_of_evaluate_averaged_over_seeds():
    study = [
        SimpleNamespace(method=label, seed=seed, name=f"{label}-{seed}", embeddings=embeddings)
        for label, space in (("flat", "euclidean"), ("curved", "lorentz"))
        for seed in range(2)
        for embeddings in [shifted(random_embeddings(space, seed=5), seed)]
    ]
    frame = compare(study_predictions(study), "flat", resamples=20)
    scores = each_run(
        study, lambda member: evaluate(member.embeddings, ks=(1,), rankings=("distance",))
    )
    keys = ["protocol", "pairing", "rank", "split", "average"]
    mean = scores.groupby(["method", *keys])["value"].mean()
    expected = (mean["curved"] - mean["flat"]).sort_index()
    assert len(expected) == 3 * (4 * 3 + 3) * 2 and set(frame["pairing"]) == set(PAIRINGS)
    pd.testing.assert_series_equal(
        frame.set_index(keys)["difference"].sort_index(),
        expected,
        check_names=False,
        rtol=0,
        atol=1e-11,
    )
    assert expected.abs().max() > 0.01


def test_interval_is_that_of_a_literal_bootstrap_of_species():
    rng = np.random.default_rng(0)
    species = np.repeat([f"s{i:02}" for i in range(14)], rng.integers(1, 6, 14))
    classes = np.array([f"c{int(name[1:]) // 2}" for name in species])  # Two species a class
    likely = dict(zip(np.unique(species), rng.random(14), strict=True))
    share = np.array([likely[name] for name in species])
    one, other = (rng.random((2, len(species))) < power for power in (share**0.5, share))
    told = answers({"one": list(one), "other": list(other)}, classes, species=species)
    frame = compare(told, "other", resamples=4000)
    size = {name: (classes == name).sum() for name in classes}
    rows_of = [np.flatnonzero(species == name) for name in np.unique(species)]
    micro, macro = [], []
    for _ in range(4000):
        chosen = np.concatenate([rows_of[i] for i in rng.integers(14, size=14)])
        weight = np.array([1 / size[classes[i]] for i in chosen])
        gap = np.mean([one[s][chosen].astype(float) - other[s][chosen] for s in range(2)], axis=0)
        micro.append(gap.mean())
        macro.append((weight * gap).sum() / weight.sum())
    for average, draws in (("micro", micro), ("macro", macro)):
        row = only(frame, average=average)
        # Two independent sets of 4,000 draws: quantiles agree to a few of their standard errors
        # (about 0.005).
        assert [row["low"], row["high"]] == pytest.approx(
            np.quantile(draws, [0.025, 0.975]), abs=0.02
        )
        assert row["species"] == 14 and row["queries"] == len(species)


def test_a_class_that_is_not_drawn_leaves_the_mean():
    # Every query of every class is right or every one wrong for all: had an absent class counted as
    # 0, a draw would fall below 1.
    classes = list("abcdefg")
    frame = compare(answers({"all": [[1] * 7], "none": [[0] * 7]}, classes), "none", resamples=300)
    assert frame[["low", "high"]].to_numpy() == pytest.approx(1)


def test_draws_keep_a_species_together_and_kinds_apart():
    species = np.array(["a", "b", "a", "c", None, "d", None, "d", "d"], dtype=object)
    seen = np.array([1, 1, 1, 1, 1, 0, 0, 0, 0], dtype=bool)
    units = species_units(species)
    assert len(np.unique(units)) == 6 and units[0] == units[2] and units[4] != units[6]
    times = draws(units, [seen, ~seen], 500, np.random.default_rng(0))
    assert (times[:, 0] == times[:, 2]).all() and (times[:, [5, 7]] == times[:, [7, 8]]).all()
    # a, b, c and the unnamed one are four draws of four species; d and the other two of two.
    assert (times[:, [0, 1, 3, 4]].sum(axis=1) == 4).all()
    assert (times[:, [5, 6]].sum(axis=1) == 2).all()
    assert times.mean(axis=0) == pytest.approx(1, abs=0.2) and times.var(axis=0).min() > 0.3


def test_intervals_by_species_hold_the_truth_where_those_by_query_do_not():
    """Species differ in how hard they are for either method, and their queries share that."""
    rng = np.random.default_rng(5)
    species = np.repeat([f"s{i:02}" for i in range(30)], 8)
    by_query = np.array([f"q{i}" for i in range(len(species))])
    held = {"species": 0, "query": 0}
    for trial in range(60):
        # The truth is no difference: over all species that there could be, both are right as often.
        one, other = (
            rng.random(len(species)) < np.repeat(rng.beta(0.3, 0.3, 30), 8) for _ in range(2)
        )
        for name, units in (("species", species), ("query", by_query)):
            told = answers({"one": [one], "other": [other]}, species, species=units)
            options = {"averages": ("macro",), "resamples": 150, "seed": trial}
            row = compare(told, "other", **options).iloc[0]
            held[name] += row["low"] <= 0 <= row["high"]
    # 57 of 60 with a standard deviation of 1.7; by query the intervals are 2.5 times too narrow.
    assert held["species"] >= 52 and held["query"] <= 45


def test_too_few_species_give_a_difference_and_no_verdict():
    classes = list("aabbccddee")
    told = answers({"all": [[1] * 10], "none": [[0] * 10]}, classes)
    row = only(compare(told, "none", resamples=50), average="macro")
    assert row["species"] == FEWEST - 1 and row["verdict"] == FEW and row["difference"] == 1
    assert np.isnan(row["low"]) and np.isnan(row["high"])
    said = " ".join(sentences(compare(told, "none", resamples=50)))
    assert "too few species in 1" in said and "+100.0 points, fewer than 6 species" in said
    more = answers({"all": [[1] * 12], "none": [[0] * 12]}, [*classes, "f", "f"])
    assert only(compare(more, "none", resamples=50), average="macro")["verdict"] == BETTER


def test_a_method_without_a_seed_stands_beside_every_seed():
    classes = list("aabbccddeeff")
    told = answers({"search": [[0, 1] * 6], "learned": [[1] * 12, [0] * 12]}, classes)
    told.loc[told["method"] == "search", "seed"] = SEEDLESS
    row = only(compare(told, "search", resamples=50), average="micro")
    assert row["seeds"] == 2 and row["difference"] == pytest.approx((0.5 - 0.5) / 2)
    assert row["seeds_agreeing"] == 0
    back = only(compare(told, "learned", resamples=50), average="micro")
    assert back["seeds"] == 2 and (back["low"], back["high"]) == (-row["high"], -row["low"])


def test_harmonic_difference_is_of_the_harmonic_means():
    classes = np.repeat(list("abcdef"), 2)
    seen = answers({"x": [[1, 1, 1, 0] * 3], "y": [[1, 1, 0, 0] * 3]}, classes, split="seen")
    unseen = answers({"x": [[1, 0, 0, 0] * 3], "y": [[1, 0, 1, 0] * 3]}, classes)
    row = only(compare(pd.concat([seen, unseen]), "y", averages=("macro",)), split="harmonic")
    assert row["difference"] == pytest.approx(harmonic_mean(0.75, 0.25) - harmonic_mean(0.5, 0.5))
    assert row["low"] < row["difference"] < row["high"]
    assert (row["queries"], row["species"]) == (24, 6)


def test_verdict_needs_an_interval_off_zero():
    classes = np.repeat(list("abcdefghij"), 4)
    rng = np.random.default_rng(1)
    some = rng.random(40) < 0.5
    swapped = some.copy()
    swapped[[0, 1]] = ~some[[0, 1]]
    frame = compare(
        answers(
            {
                "base": [some],
                "same": [some],
                "nearly": [swapped],
                "all": [np.ones(40)],
                "nothing": [np.zeros(40)],
            },
            classes,
        ),
        "base",
    )
    verdicts = {method: set(part["verdict"]) for method, part in frame.groupby("method")}
    assert verdicts == {"same": {NEITHER}, "nearly": {NEITHER}, "all": {BETTER}, "nothing": {WORSE}}
    excludes = (frame["low"] > 0) | (frame["high"] < 0)
    assert (excludes == (frame["verdict"] != NEITHER)).all()
    assert (frame.loc[frame["method"] == "same", ["difference", "low", "high"]] == 0).all(axis=None)


def test_pairing_counts():
    # Two methods that differ on 6 of 60 queries, always the same way, though both are right on
    # about half of them: unpaired draws could not tell.
    rng = np.random.default_rng(2)
    base = rng.random(60) < 0.5
    more = base.copy()
    more[np.flatnonzero(~base)[:6]] = True
    row = only(
        compare(answers({"base": [base], "more": [more]}, [f"s{i}" for i in range(60)]), "base"),
        average="micro",
    )
    assert (
        row["verdict"] == BETTER and row["high"] - row["low"] < 0.17
    )  # 1.96 * sqrt(2 * 0.25 / 60) * 2 = 0.36 if they were unpaired


def test_intervals_hold_the_true_difference():
    rng = np.random.default_rng(3)
    sizes = np.concatenate([np.ones(20, int), rng.integers(2, 9, 20)])
    classes = np.repeat([f"s{i:02}" for i in range(40)], sizes)
    effect = np.where(
        sizes > 2, 0.3, -0.2
    )  # of the class's size: what class means of the drawn queries would get wrong
    held = 0
    for trial in range(120):
        one, other = (
            rng.random(len(classes)) < np.repeat(0.5 + sign * effect / 2, sizes) for sign in (1, -1)
        )
        row = compare(
            answers({"one": [one], "other": [other]}, classes),
            "other",
            averages=("macro",),
            resamples=300,
            seed=trial,
        ).iloc[0]
        held += row["low"] <= effect.mean() <= row["high"]
    # Binomial: 95 % of 120 is 114, with a standard deviation of 2.4; class means of the drawn
    # queries hold it about 90 times.
    assert held >= 105


def test_same_arguments_give_the_same_bytes_whatever_else_is_compared():
    rng = np.random.default_rng(4)
    classes = np.repeat(list("abcdefgh"), 5)
    frame = answers({name: list(rng.random((3, 40)) < 0.6) for name in ("p", "q", "r")}, classes)
    first = compare(frame, "p", resamples=200).to_csv(index=False)
    assert compare(frame, "p", resamples=200).to_csv(index=False) == first
    assert (
        compare(
            frame.sample(frac=1, random_state=0), "p", methods=["q", "r"], resamples=200
        ).to_csv(index=False)
        == first
    )
    alone = compare(frame[frame["method"] != "r"], "p", resamples=200)
    pd.testing.assert_frame_equal(
        alone, compare(frame, "p", methods=["q"], resamples=200), check_exact=True
    )
    assert compare(frame, "p", resamples=200, seed=1).to_csv(index=False) != first
    # The other way round: every sign turns, and a harmonic or macro mean is no exception.
    back = compare(frame, "q", methods=["p"], resamples=200)
    np.testing.assert_allclose(
        back[["difference", "low", "high"]], -alone[["difference", "high", "low"]], atol=1e-12
    )


def test_only_seeds_that_both_have_and_the_same_queries():
    frame = answers({"p": [[1, 0], [1, 1], [1, 1]], "q": [[1, 1], [0, 0]]}, ["a", "b"])
    row = compare(frame, "p", resamples=20).iloc[0]
    assert (
        row["seeds"] == 2
        and row["difference"] == pytest.approx((0.5 - 1) / 2)
        and row["seeds_agreeing"] == 1
    )
    assert compare(frame, "q", methods=["p"], resamples=20).iloc[0][
        ["seeds", "difference"]
    ].tolist() == [2, -row["difference"]]
    with pytest.raises(ValueError, match="'q' and 'p' have no seed in common"):
        compare(
            frame.assign(seed=np.where(frame["method"] == "q", frame["seed"] + 10, frame["seed"])),
            "p",
        )
    with pytest.raises(ValueError, match="did not answer the same queries"):
        compare(frame[(frame["method"] != "q") | (frame["query"] != "q0")], "p")
    with pytest.raises(ValueError, match="no predictions of 'z'; the methods are 'p', 'q'"):
        compare(frame, "z")


def test_a_run_without_a_modality_is_compared_where_it_has_answers():
    classes = list("aabb")
    rows = [
        answers(
            {"E": [[1, 0, 1, 0]], "H": [[1, 1, 1, 0]], "image": [[1, 1, 1, 1]]},
            classes,
            pairing="image to image",
        )
    ]
    rows.append(answers({"E": [[1, 0, 1, 0]], "H": [[1, 1, 1, 1]]}, classes))
    found = compare(pd.concat(rows, ignore_index=True), "E", resamples=50)
    assert set(found.loc[found["method"] == "image", "pairing"]) == {"image to image"}
    assert set(found.loc[found["method"] == "H", "pairing"]) == {"image to image", "DNA to DNA"}
    assert only(found, method="image", rank="species", average="macro")[
        "difference"
    ] == pytest.approx(0.5)


def test_sentences_word_by_word():
    frame = cells(
        [
            ("standard", "DNA to DNA", "unseen", "species", BETTER),
            ("standard", "DNA to DNA", "harmonic", "species", BETTER),
            ("standard", "image to DNA", "seen", "genus", WORSE),
            ("novel", "image to image", "unseen", "family", NEITHER),
        ]
    )
    assert sentences(frame) == [
        "Against Old, macro top-1, 3 seeds, 3 cells (pairing, species seen, unseen or novel,"
        " rank): 95 % intervals from a paired bootstrap over"
        " the species, each with all its queries, not corrected for the number of cells: of 3,"
        " about 0.1 would exclude zero by chance alone.",
        "New: better in 1, worse in 1, no difference shown in 1. Better in DNA to DNA, unseen"
        " (species). Worse in image to DNA, seen (genus)."
        " Unseen species from DNA, the claim of the abstract: better than Old (+5.0 points, +1.0"
        " to +9.0; 3 of 3 seeds the same way).",
    ]


def test_ranks_of_one_pairing_are_said_together():
    cell = [("standard", "DNA to DNA", "seen", rank, WORSE) for rank in ("family", "genus")]
    said = sentences(
        cells(
            [
                *cell,
                ("novel", "DNA to DNA", "unseen", "genus", WORSE),
                ("standard", "DNA to DNA", "seen", "order", NEITHER),
            ]
        )
    )
    assert "Worse in DNA to DNA, seen (family, genus); DNA to DNA, novel (genus)." in said[1]


@pytest.mark.parametrize("verdict", [WORSE, NEITHER])
def test_better_is_not_said_where_no_interval_says_it(verdict):
    frame = cells(
        [
            ("standard", "DNA to DNA", "unseen", "species", verdict),
            ("standard", "DNA to DNA", "seen", "order", verdict),
        ]
    )
    text = " ".join(sentences(frame))
    assert "better" not in text and "the claim of the abstract" in text
    assert ("worse than Old (-5.0" in text) == (verdict == WORSE)
    assert ("no difference to Old is shown (+0.2" in text) == (verdict == NEITHER)


def test_accuracy_agrees_with_the_undrawn_row():
    # `accuracy` is the library's own macro average; the bootstrap's must be the same function of
    # the same answers.
    rng = np.random.default_rng(6)
    classes = rng.choice(list("abcdef"), 40)
    right = rng.random(40) < 0.6
    frame = answers({"zero": [np.zeros(40)], "some": [right]}, classes)
    for average in ("micro", "macro"):
        row = only(compare(frame, "zero", resamples=10), average=average)
        assert row["difference"] == pytest.approx(
            accuracy(classes, np.where(right, classes, "x"), average=average)
        )
