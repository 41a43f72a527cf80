"""What validation chooses, the bootstrap against literal draws, and tables and figure of a small
study letter by letter, line by line."""

from types import SimpleNamespace

import matplotlib
import numpy as np
import pandas as pd
import pytest
from comparison_cases import shifted
from figure_checks import assert_readable, texts
from matplotlib.colors import to_hex
from open_world_cases import told, with_taxa
from random_embeddings import random_embeddings

from hypertax.evaluation.comparison import BETTER, NEITHER
from hypertax.evaluation.open_world.answers import study_answers
from hypertax.evaluation.open_world.comparison import (
    CHOSEN_BY,
    choose_scores,
    compare_open_world,
    open_world_scores,
)
from hypertax.evaluation.open_world.curves import (
    at_thresholds,
    deepest_ranks,
    precision_coverage,
    thresholds,
)
from hypertax.figures.looks import looks_of
from hypertax.figures.open_world import RANKS_SHOWN, STEPS, precision_against_coverage
from hypertax.tables.open_world import (
    all_scores_table,
    novelty_table,
    open_world_difference_table,
    trust_table,
    write_open_world_tables,
)
from hypertax.taxonomy import RANKS


def study(without: tuple[str, ...] = ()) -> list:
    """Two methods with two seeds each, on the same specimens; without the specimens of some
    splits."""
    members = []
    for label, space in (("flat", "euclidean"), ("curved", "lorentz")):
        embeddings = with_taxa(random_embeddings(space, seed=5))
        embeddings = embeddings.where(~embeddings.table["split"].isin(without))
        for seed in range(2):
            about = {"method": label, "seed": seed, "name": f"{label}-{seed}", "aperture": 0.1}
            members.append(SimpleNamespace(**about, embeddings=shifted(embeddings, seed)))
    return members


@pytest.fixture(scope="module")
def answered() -> tuple[pd.DataFrame, pd.DataFrame]:
    return tuple(study_answers(study(), stage) for stage in ("val", "test"))


def of_run(parts: dict[str, pd.DataFrame], method="m", seed=0) -> pd.DataFrame:
    """Answers of one run, from frames by score."""
    frame = pd.concat(
        [part.assign(score=score) for score, part in parts.items()], ignore_index=True
    )
    return frame.assign(method=method, run=f"{method}-{seed}", seed=seed)


def noisy(quality: float, seed: int, count=80) -> pd.DataFrame:
    """Answers at species whose confidence tells seen from unseen, and right from wrong, the better
    the higher `quality` is; 12 species each."""
    rng = np.random.default_rng(seed)
    right = np.random.default_rng(99).random(count) < 0.7  # The same queries are right in all
    split = np.where(np.arange(count) < count // 2, "seen", "unseen")
    right &= split == "seen"
    species = [f"s{i % 12:02}" for i in range(count)]
    return told(rng.normal(size=count) + quality * right, right, split, true=species)


def test_validation_alone_chooses():
    val = of_run({"distance": noisy(0.5, 0), "margin": noisy(3, 1)})
    good_on_test = of_run({"distance": noisy(9, 2), "margin": noisy(0, 3)})
    chosen = choose_scores(open_world_scores(val, good_on_test))
    judged = chosen[
        chosen["measure"].isin(["AUROC", "area", "coverage", "precision"])
        & (chosen["group"] != "novel")
    ]
    assert set(judged["score"]) == {"margin"} and len(judged) == 1 + 2 + 2 + 2
    again = choose_scores(
        open_world_scores(val, of_run({"distance": noisy(0, 4), "margin": noisy(0, 5)}))
    )
    pd.testing.assert_frame_equal(chosen, again)
    swapped = of_run({"distance": noisy(3, 1), "margin": noisy(0.5, 0)})
    assert set(
        choose_scores(open_world_scores(swapped, good_on_test)).loc[judged.index, "score"]
    ) == {"distance"}


def test_equal_scores_leave_the_first_and_coverage_chooses_in_all_groups(answered):
    same = of_run({"distance": noisy(1, 0), "margin": noisy(1, 0)})
    assert set(choose_scores(open_world_scores(same, same))["score"]) == {"distance"}
    scores = open_world_scores(*answered)
    chosen = choose_scores(scores).set_index(["method", "measure", "rank", "group"]).sort_index()
    assert set(scores["measure"]) == set(CHOSEN_BY)
    for method in ("flat", "curved"):
        for rank in RANKS:
            groups = chosen.loc[(method, "coverage", rank)]
            own = scores[
                (scores["method"] == method) & (scores["stage"] == "val") & (scores["rank"] == rank)
            ]
            means = (
                own[(own["measure"] == "coverage") & (own["group"] == "all")]
                .groupby("score")["value"]
                .mean()
            )
            assert groups["score"].nunique() == 1 and means[
                groups["score"].iloc[0]
            ] == pytest.approx(means.max())
            for group, row in chosen.loc[(method, "area", rank)].iterrows():
                means = (
                    own[(own["measure"] == "area") & (own["group"] == group)]
                    .groupby("score")["value"]
                    .mean()
                )
                assert row["value"] == pytest.approx(means.max()) and means[
                    row["score"]
                ] == pytest.approx(means.max())


def test_differences_are_those_of_the_chosen_scores_averaged_over_seeds(answered):
    scores = open_world_scores(*answered)
    chosen = choose_scores(scores)
    keys = ["method", "pairing", "measure", "rank", "group", "score"]
    mean = scores[scores["stage"] == "test"].groupby(keys)["value"].mean()
    frame = compare_open_world(*answered, "flat", resamples=20)
    assert (
        set(frame["measure"]) == {"AUROC", "area", "coverage", "two-stage H.M."}
        and (frame["seeds"] == 2).all()
    )
    assert not (
        (frame["group"] == "novel")
        & ((frame["measure"] == "coverage") | (frame["rank"] == "species"))
    ).any()
    best = chosen.set_index(keys[:-1])["score"]
    for row in frame.to_dict("records"):
        cell = tuple(row[name] for name in keys[1:-1])
        assert (row["score"], row["reference_score"]) == (
            best["curved", *cell],
            best["flat", *cell],
        )
        expected = mean["curved", *cell, row["score"]] - mean["flat", *cell, row["reference_score"]]
        assert row["difference"] == pytest.approx(expected, abs=1e-11)
    assert frame["difference"].abs().max() > 0.05
    back = compare_open_world(*answered, "curved", resamples=20)
    np.testing.assert_allclose(
        back[["difference", "low", "high"]], -frame[["difference", "high", "low"]], atol=1e-12
    )


def test_intervals_are_those_of_a_literal_bootstrap():
    one, other = noisy(1.5, 0, 60), noisy(0.5, 1, 60)
    answers = pd.concat([of_run({"distance": one}, "one"), of_run({"distance": other}, "other")])
    frame = compare_open_world(answers, answers, "other", resamples=3000).set_index(
        ["measure", "group"]
    )
    # Area and AUROC of repeated queries, of two independent sets of draws: quantiles agree to a few
    # of their standard errors (about 0.005).
    rng = np.random.default_rng(0)
    seen = (one["split"] == "seen").to_numpy()
    species = one["true"].to_numpy()
    of_kinds = [
        [np.flatnonzero(kind & (species == name)) for name in np.unique(species[kind])]
        for kind in (seen, ~seen)
    ]
    draws = {"AUROC": [], "area": []}
    for _ in range(3000):
        drawn = np.concatenate(
            [
                of_kind[i]
                for of_kind in of_kinds
                for i in rng.integers(len(of_kind), size=len(of_kind))
            ]
        )
        values = {"AUROC": [], "area": []}
        for part in (one, other):
            confidence, right, positive = (
                np.asarray(v)[drawn] for v in (part["confidence"], part["right"], seen)
            )
            pairs = confidence[positive][:, None] - confidence[~positive][None]
            values["AUROC"].append((pairs > 0).mean() + (pairs == 0).mean() / 2)
            confidence, right = confidence[positive], right[positive]
            reached = confidence[None] >= confidence[:, None]
            values["area"].append(
                (reached * right).sum(axis=1) @ (1 / reached.sum(axis=1)) / len(right)
            )
        for name, (mine, theirs) in values.items():
            draws[name].append(mine - theirs)
    for name, group in (("AUROC", "all"), ("area", "seen")):
        row = frame.loc[(name, group)]
        assert [row["low"], row["high"]] == pytest.approx(
            np.quantile(draws[name], [0.025, 0.975]), abs=0.02
        )
        assert row["high"] - row["low"] > 0.1


def test_a_method_does_not_differ_from_itself_and_pairing_counts():
    base = noisy(1, 0)
    nearly = base.assign(confidence=base["confidence"] + 0.3 * base["right"])
    answers = pd.concat(
        [
            of_run({"distance": part}, name)
            for name, part in (("base", base), ("same", base), ("nearly", nearly))
        ]
    )
    frame = compare_open_world(answers, answers, "base", resamples=200)
    same = frame[frame["method"] == "same"]
    assert (
        len(same) > 4
        and (same[["difference", "low", "high"]] == 0).all(axis=None)
        and set(same["verdict"]) == {NEITHER}
    )
    area = frame[
        (frame["method"] == "nearly") & (frame["measure"] == "area") & (frame["group"] == "seen")
    ].iloc[0]
    assert area["verdict"] == BETTER and area["high"] - area["low"] < 0.1


def test_same_arguments_give_the_same_bytes_whatever_else_is_compared(answered):
    val, test = answered
    first = compare_open_world(val, test, "flat", resamples=30).to_csv(index=False)
    assert (
        compare_open_world(val, test.sample(frac=1, random_state=0), "flat", resamples=30).to_csv(
            index=False
        )
        == first
    )
    more = [
        pd.concat([part, part[part["method"] == "flat"].assign(method="third")])
        for part in answered
    ]
    assert (
        compare_open_world(*more, "flat", methods=["curved"], resamples=30).to_csv(index=False)
        == first
    )
    assert compare_open_world(val, test, "flat", resamples=30, seed=1).to_csv(index=False) != first


def test_what_cannot_be_compared(answered):
    val, test = answered
    with pytest.raises(ValueError, match="no answers of 'z'; the methods are 'flat', 'curved'"):
        compare_open_world(val, test, "z")
    other = [
        frame.assign(seed=np.where(frame["method"] == "curved", frame["seed"] + 10, frame["seed"]))
        for frame in answered
    ]
    with pytest.raises(ValueError, match="no seed in common"):
        compare_open_world(*other, "flat")
    lacking = test[(test["method"] != "curved") | (test["query"] != test["query"].iloc[0])]
    with pytest.raises(ValueError, match="did not answer the same queries"):
        compare_open_world(val, lacking, "flat")
    with pytest.raises(ValueError, match="no answers to validation queries"):
        open_world_scores(val.iloc[:0], test)


@pytest.mark.parametrize(
    "without",
    [
        ("test_unseen",),
        ("val_unseen",),
        ("val_unseen", "test_unseen"),
        ("val_unseen_keys", "test_unseen_keys"),
    ],
)
def test_a_split_that_is_missing_leaves_holes_not_errors(without, tmp_path):
    val, test = (study_answers(study(without), stage) for stage in ("val", "test"))
    scores = open_world_scores(val, test)
    values = (
        scores[scores["stage"] == "test"]
        .groupby(["measure", "group"])["value"]
        .agg(lambda v: v.notna().any())
    )
    assert values["area", "seen"] and values["AUROC", "all"] == ("test_unseen" not in without)
    assert values["coverage", "all"] == (len(set(without) & {"val_unseen", "test_unseen"}) == 0)
    differences = compare_open_world(val, test, "flat", resamples=20)
    assert len(differences) and differences["difference"].notna().all()
    paths = write_open_world_tables(
        scores, differences, deepest_ranks(test, thresholds(val)), tmp_path / "simulated"
    )
    assert len(paths) == (12 if "val_unseen" in without else 15) and all(
        path.stat().st_size for path in paths
    )
    assert_readable(precision_against_coverage(val, test, groups=("all", "novel")))


def test_the_figures_precision_begins_below_its_lowest_line():
    """So that methods which are right nearly always can be told apart."""
    splits = ["seen", "unseen"] * 10
    val = of_run({"distance": told(range(20, 0, -1), [1] * 20, splits)})
    # The lowest is the wanted precision of 95 %, then the 25 % of all answers.
    for right, lowest in (([1] * 20, 95), ([1] * 5 + [0] * 15, 25)):
        fig = precision_against_coverage(val, val.assign(right=right), ranks=("species",))
        low, high = fig.axes[0].get_ylim()
        assert low == pytest.approx(100 - 1.12 * (100 - lowest)) and high > 100
        assert_readable(fig)


# Tables


def test_tables_letter_by_letter():
    val = of_run(
        {"distance": told([3, 2, 1, 0], [1, 1, 0, 0], ["seen", "unseen", "seen", "unseen"])}
    )
    test = val.assign(confidence=[3, 1, 2, 0])
    scores = open_world_scores(val, test, 0.9)
    # AUROC: of the pairs 3>1, 3>0, 2>1, 2>0. Two stages: no unseen key is ever right.
    assert novelty_table(scores).markdown().splitlines() == [
        "| Method | Score | DNA to DNA<br>AUROC | DNA to DNA<br>Seen | DNA to DNA<br>Unseen |"
        " DNA to DNA<br>H.M. |",
        "| --- | --- | ---: | ---: | ---: | ---: |",
        "| m | distance | 100.0 † | 50.0 | 50.0 | 50.0 † |",
    ]
    # The threshold is 2. Areas: all 1, 1/2, 2/3, 2/4; seen 1, 1/2; novel 1, 1/2.
    assert trust_table(scores).markdown().splitlines()[2:] == [
        "| m | species | all | 66.7 (distance) | 50.0 (distance) | 50.0 |",
        "|  |  | seen | 75.0 (distance) | 100.0 (distance) | 50.0 |",
        "|  |  | novel | 75.0 (distance) | 0.0 (distance) | – |",
    ]
    assert all_scores_table(scores).markdown().splitlines()[2:] == [
        "| m | species | distance | 66.7 † | 50.0 † | 50.0 |"
    ]


def test_difference_table_letter_by_letter():
    cell = {
        "method": "New",
        "reference": "Old",
        "pairing": "DNA to DNA",
        "queries": 9,
        "seeds": 3,
        "seeds_agreeing": 3,
    }
    rows = [
        {
            "measure": "AUROC",
            "rank": "species",
            "group": "all",
            "score": "cone",
            "reference_score": "distance",
            "verdict": BETTER,
        },
        {
            "measure": "area",
            "rank": "genus",
            "group": "novel",
            "score": "margin",
            "reference_score": "margin",
            "verdict": NEITHER,
        },
    ]
    numbers = (
        {"difference": 0.05, "low": 0.01, "high": 0.09},
        {"difference": -0.002, "low": -0.02, "high": 0.03},
    )
    frame = pd.DataFrame(
        [{**cell, **row, **number} for row, number in zip(rows, numbers, strict=True)]
    )
    assert open_world_difference_table(frame).markdown().splitlines() == [
        "| Method | Measure | Rank | Group | DNA to DNA |",
        "| --- | --- | --- | --- | ---: |",
        "| New | AUROC | species | all | +5.0 [+1.0, +9.0] \\* (cone / distance) |",
        "|  | area | genus | novel | −0.2 [−2.0, +3.0] (margin) |",
    ]
    assert len(open_world_difference_table(frame, "area").tidy) == 1
    with pytest.raises(ValueError, match="no differences of x"):
        open_world_difference_table(frame, "x")
    with pytest.raises(ValueError, match="several references"):
        open_world_difference_table(pd.concat([frame, frame.assign(reference="Older")]))


def test_tables_are_written_with_their_runs(answered, tmp_path):
    val, test = answered
    scores = open_world_scores(val, test)
    paths = write_open_world_tables(
        scores,
        compare_open_world(val, test, "flat", resamples=20),
        deepest_ranks(test, thresholds(val)),
        tmp_path,
    )
    names = {path.stem for path in paths}
    assert names == {
        f"open_world_{n}"
        for n in ("novelty", "depth", "differences", "trust_dna_to_dna", "scores_dna_to_dna")
    }
    tables = {path.stem: pd.read_csv(path) for path in paths if path.suffix == ".csv"}
    assert all(
        set(" ".join(t["runs"]).split()) == {"flat-0", "flat-1", "curved-0", "curved-1"}
        for t in tables.values()
    )
    mean = (
        scores[(scores["stage"] == "test") & (scores["measure"] == "AUROC")]
        .groupby(["method", "score"])["value"]
        .mean()
    )
    written = tables["open_world_novelty"]
    written = written[written["quantity"] == "AUROC"].set_index(["method", "score"])["mean"]
    assert (
        written.sort_index().to_numpy() == pytest.approx(mean.sort_index().to_numpy(), abs=1e-5)
        and len(written) == 7 + 5
    )
    shares = tables["open_world_depth"]
    totals = shares[shares["quantity"] == "share"].groupby(["method", "group"])["mean"].sum()
    assert totals.to_numpy() == pytest.approx(1, abs=1e-5) and len(totals) == 4


# Figure


def test_the_figure_draws_the_curves_of_the_chosen_scores(answered):
    val, test = answered
    fig = precision_against_coverage(val, test, groups=("all", "novel placeable"), precision=0.5)
    assert_readable(fig)
    words = texts(fig)
    assert {
        "family, seen and novel",
        "genus, novel, placeable",
        "flat",
        "curved",
        "precision 50 %",
        "no right answer",
    } <= set(words)
    chosen = choose_scores(open_world_scores(val, test, 0.5))
    chosen = chosen[chosen["measure"] == "area"].set_index(["method", "rank", "group"])["score"]
    curves = (
        precision_coverage(test)
        .set_index(["method", "rank", "group", "score", "seed"])
        .sort_index()
    )
    points = at_thresholds(test, thresholds(val, 0.5)).set_index(
        ["method", "rank", "group", "score"]
    )
    colours = {m: look.colour for m, look in looks_of(["flat", "curved"]).items()}
    marks = 0
    for i, group in enumerate(("all", "novel placeable")):
        for j, rank in enumerate(RANKS_SHOWN):
            ax, below = fig.axes[6 * i + j], fig.axes[6 * i + 3 + j]
            for method in ("flat", "curved"):
                drawn = [
                    line
                    for line in ax.get_lines()
                    if to_hex(line.get_color()).lower() == colours[method].lower()
                ]
                if (rank, group) == ("species", "novel placeable"):
                    assert not drawn
                    continue
                score = chosen[method, rank, group]
                line = next(line for line in drawn if len(line.get_xdata()) == STEPS)
                for step in (40, 100, 200):
                    coverage = step / STEPS
                    expected = []
                    for seed in range(2):
                        own = curves.loc[(method, rank, group, score, seed)].sort_values("coverage")
                        expected.append(
                            own.loc[own["coverage"] >= coverage - 1e-9, "precision"].iloc[0]
                        )
                    assert line.get_ydata()[step - 1] == pytest.approx(100 * np.mean(expected))
                given = points.loc[(method, rank, group, score)]
                given = given[given["coverage"] > 0]
                markers = [line for line in drawn if len(line.get_xdata()) == 1]
                assert len(markers) == (len(given) > 0)
                for marker in markers:
                    marks += 1
                    assert marker.get_xdata()[0] == pytest.approx(100 * given["coverage"].mean())
                    assert marker.get_ydata()[0] == pytest.approx(100 * given["precision"].mean())
                named = [t for t in ax.findobj(matplotlib.text.Text) if t.get_text() == score]
                assert named
            if (rank, group) != ("species", "novel placeable"):
                lines = {
                    to_hex(line.get_color()).lower(): line.get_ydata()
                    for line in below.get_lines()
                    if len(line.get_xdata()) == STEPS
                }
                upper = {
                    to_hex(line.get_color()).lower(): line.get_ydata()
                    for line in ax.get_lines()
                    if len(line.get_xdata()) == STEPS
                }
                one, other = (colours[m].lower() for m in ("flat", "curved"))
                np.testing.assert_allclose(lines[other], upper[other] - upper[one], atol=1e-9)
    assert marks >= 4
    with pytest.raises(ValueError, match="no answers of image to DNA"):
        precision_against_coverage(val, test, pairing="image to DNA")
    with pytest.raises(ValueError, match="no answers of 'other'"):
        precision_against_coverage(val, test, reference="other")
