"""Harder reads: what is changed, what stays, and scores against literal loops."""

import numpy as np
import pandas as pd
import pytest
from random_embeddings import random_embeddings
from small_reads import small_reads

from hypertax.embeddings import Embeddings
from hypertax.evaluation.harder_reads import (
    HARDER,
    MEASURES,
    NOVELTY,
    SERIES,
    harder,
    read_scores,
    scores_of_answers,
    unanswered_as_wrong,
)
from hypertax.evaluation.label_transfer import predictions

SPLITS = ("train_seen", "seen_keys", "test_seen", "test_unseen", "test_unseen_keys", "val_seen")


def table() -> pd.DataFrame:
    return small_reads(12, SPLITS)


def changed(name: str, **options) -> pd.DataFrame:
    """Reads before and after of the queries of the test."""
    before, after = table(), harder(table(), name, **options)
    asked = before["split"].isin(["test_seen", "test_unseen"])
    pd.testing.assert_frame_equal(before[~asked], after[~asked])
    others = [column for column in before if column != "barcode"]
    pd.testing.assert_frame_equal(before[others], after[others])
    return pd.DataFrame({"before": before["barcode"], "after": after["barcode"]})[asked]


def differences(row) -> int:
    return sum(a != b for a, b in zip(row.before, row.after, strict=True))


def distance(one: str, other: str) -> int:
    """Least insertions, deletions and replacements."""
    row = list(range(len(other) + 1))
    for i, a in enumerate(one, 1):
        before, row[0] = row[0], i
        for j, b in enumerate(other, 1):
            before, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, before + (a != b))
    return row[-1]


def test_whole_reads_stay_and_series_name_every_kind():
    found = changed("whole")
    assert (found["before"] == found["after"]).all() and len(found) == 32
    assert [kind for kinds in SERIES for kind in kinds] == list(HARDER)


def test_the_mini_barcode_is_the_3_end():
    for row in changed("313 bases, 3' end").itertuples():
        assert row.after == row.before[287:] and len(row.after) == 313


@pytest.mark.parametrize("count", [200, 130])
def test_windows_are_of_the_read_at_different_places(count):
    found = changed(f"{count} bases")
    assert set(found["after"].str.len()) == {count}
    places = [row.before.index(row.after) for row in found.itertuples()]
    assert len(set(places)) > 20 and min(places) < 100 and max(places) > 500 - count


@pytest.mark.parametrize("share", [1, 3, 5])
def test_as_many_bases_are_wrong_as_the_name_says(share):
    found = changed(f"{share} % wrong")
    counts = [differences(row) for row in found.itertuples()]
    # 32 reads of 600 bases: the standard deviation of the share is below 0.16 %.
    assert np.sum(counts) / (32 * 600) == pytest.approx(share / 100, abs=0.006)
    assert set("".join(found["after"])) == set("ACGT")


def test_unknown_letters_are_not_replaced():
    rng = np.random.default_rng(0)
    assert HARDER["5 % wrong"]("N" * 500, rng) == "N" * 500


def test_three_indels_are_three_edits_at_most_and_lengths_differ():
    found = changed("3 indels")
    lengths = found["after"].str.len() - found["before"].str.len()
    assert set(lengths) <= {-3, -1, 1, 3} and len(set(lengths)) > 2
    edits = [distance(row.before, row.after) for row in found.head(4).itertuples()]
    assert max(edits) <= 3 and min(edits) >= 1


def test_a_reversed_read_is_the_other_strand():
    row = changed("reversed").iloc[0]
    assert row["after"] == row["before"].translate(str.maketrans("ACGT", "TGCA"))[::-1]


def test_a_short_read_is_not_cut():
    rng = np.random.default_rng(0)
    for name in ("313 bases, 3' end", "200 bases", "130 bases"):
        assert HARDER[name]("ACGTA", rng) == "ACGTA"


def test_a_read_depends_on_its_id_and_the_seed_alone():
    whole = harder(table(), "130 bases")
    part = table().sample(frac=0.4, random_state=1)
    alone = harder(part, "130 bases")
    assert (alone["barcode"] == whole.loc[part.index, "barcode"]).all()
    other = changed("130 bases", seed=1)["after"]
    assert (other != changed("130 bases")["after"]).mean() > 0.9


def test_validation_and_missing_barcodes():
    given = table()
    given.loc[given.index[5], "barcode"] = None
    found = harder(given, "130 bases", stage="val")
    asked = (given["split"] == "val_seen") & given["barcode"].notna()
    assert set(found.loc[asked, "barcode"].str.len()) == {130}
    assert found.loc[~asked, "barcode"].equals(given.loc[~asked, "barcode"])


def test_what_does_not_exist_is_said():
    with pytest.raises(ValueError, match="name must be one of 'whole'.* not 'longer'"):
        harder(table(), "longer")
    with pytest.raises(ValueError, match="stage"):
        harder(table(), "whole", stage="train")


def test_scores_are_those_of_literal_loops():
    source = random_embeddings("euclidean")
    found = read_scores(source).set_index("measure")["value"]
    assert tuple(found.index) == MEASURES
    dna = source.table[source.table["modality"] == "dna"]
    points = source.points().numpy()

    def nearest(row, splits):
        keys = dna.index[dna["split"].isin(splits)]
        similarity = points[keys] @ points[row]
        return keys[similarity.argmax()], similarity.max()

    def macro(rank, rows, splits, placed=False):
        names = set(dna.loc[dna["split"].isin(splits), rank].dropna())
        by_class = {}
        for row in rows:
            name = dna.loc[row, rank]
            if isinstance(name, str) and (not placed or name in names):
                right = dna.loc[nearest(row, splits)[0], rank] == name
                by_class.setdefault(name, []).append(right)
        return np.mean([np.mean(answers) for answers in by_class.values()])

    every = ["seen_keys", "val_unseen_keys", "test_unseen_keys"]
    seen, unseen = (dna.index[dna["split"] == f"test_{kind}"] for kind in ("seen", "unseen"))
    assert found["seen species"] == pytest.approx(macro("species", seen, every))
    assert found["unseen species"] == pytest.approx(macro("species", unseen, every))
    for rank in ("genus", "family"):
        expected = macro(rank, unseen, ["seen_keys"], placed=True)
        assert found[f"novel {rank}"] == pytest.approx(expected)
    near, far = ([nearest(row, ["seen_keys"])[1] for row in rows] for rows in (seen, unseen))
    above = [(a > b) + 0.5 * (a == b) for a in near for b in far]
    assert found[NOVELTY] == pytest.approx(np.mean(above))


def test_no_queries_leave_nan():
    source = random_embeddings("lorentz")
    kept = source.where(~source.table["split"].isin(["test_seen", "test_unseen"]))
    found = read_scores(kept)
    assert isinstance(kept, Embeddings) and found["value"].isna().all()
    assert (found["queries"] == 0).all()


def test_a_read_that_one_method_cannot_answer_is_wrong_for_it():
    source = random_embeddings("euclidean")
    asked = source.table.index[source.table["split"] == "test_seen"][:2]
    fewer = source.where(~source.table["id"].isin(source.table.loc[asked, "id"]))
    both = {"whole": source, "fewer": fewer}
    about = {"seed": 0, "reads": "130 bases"}
    answers = [predictions(own).assign(method=m, run=m, **about) for m, own in both.items()]
    answers = [own[own["pairing"] == "DNA to DNA"] for own in answers]
    scores = [read_scores(own).assign(method=m, run=m, **about) for m, own in both.items()]
    filled = unanswered_as_wrong(pd.concat(answers, ignore_index=True))
    counts = filled.groupby(["method", "protocol", "split"]).size().unstack("method")
    assert (counts["whole"] == counts["fewer"]).all()
    lost = filled[filled["query"].isin(source.table.loc[asked, "id"])]
    lost = lost[lost["method"] == "fewer"]
    assert len(lost) and lost["pred_species"].isna().all() and lost["gt_species"].notna().any()
    found = scores_of_answers(pd.concat(scores, ignore_index=True), filled)
    own = found[found["measure"] == "seen species"].set_index("method")
    assert own.loc["whole", "value"] == scores[0].set_index("measure").loc["seen species", "value"]
    assert own.loc["fewer", "queries"] == own.loc["whole", "queries"]
    assert own.loc["fewer", "value"] <= own.loc["whole", "value"]
    assert set(found["measure"]) == set(MEASURES)
