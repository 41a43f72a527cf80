"""Answers: complete, in order, without contradictions, the same whatever else is asked; known species found
and new ones told apart."""

import numpy as np
import pandas as pd
import pytest
from identify_cases import library_and_queries, records

from hypertax.identify import ANSWER_COLUMNS, Identifier
from hypertax.taxonomy import RANKS


@pytest.fixture(scope="module")
def made():
    library, queries = library_and_queries()
    return Identifier.train(library, progress=False), library, queries


@pytest.fixture(scope="module")
def answers(made):
    identifier, _, queries = made
    return identifier.identify(queries.drop(columns=list(RANKS)), progress=False)


def test_every_query_has_its_row_in_the_order_given(made, answers):
    assert list(answers.columns) == list(ANSWER_COLUMNS)
    assert answers["materialSampleID"].tolist() == made[2]["sampleid"].tolist()


def test_known_species_are_named_and_new_ones_are_not(made, answers):
    _, library, queries = made
    known = queries["species"].isin(library["species"]).to_numpy()
    assert 20 < known.sum() < len(known)
    right = (answers["species"] == queries["species"]).to_numpy()
    assert right[known].mean() > 0.95
    to_species = (answers["taxonRank"] == "species").to_numpy()
    assert to_species[known].mean() > 0.9 and to_species[~known].mean() < 0.1
    new = answers["newSpeciesProbability"].to_numpy()
    assert new[~known].min() > np.median(new[known])


def test_lineages_and_probabilities_do_not_contradict_themselves(made, answers):
    lineages = set(made[1][list(RANKS)].itertuples(index=False, name=None))
    assert set(answers[list(RANKS)].itertuples(index=False, name=None)) <= lineages
    p = answers[[f"{rank}Probability" for rank in RANKS]].to_numpy()
    assert (np.diff(p, axis=1) <= 0).all() and (p >= 0).all() and (p <= 1).all()
    assert (p[:, 3] + answers["newSpeciesProbability"] <= 1.0001).all()
    for row in answers[answers["taxonRank"].notna()].to_dict("records"):
        assert row["scientificName"] == row[row["taxonRank"]]


def test_an_answer_does_not_depend_on_the_other_queries(made, answers):
    identifier, _, queries = made
    order = np.random.default_rng(1).permutation(len(queries))
    shuffled = identifier.identify(queries.iloc[order], progress=False)
    pd.testing.assert_frame_equal(shuffled, answers.iloc[order].reset_index(drop=True))
    alone = identifier.identify(queries.iloc[[7]], progress=False)
    pd.testing.assert_frame_equal(alone, answers.iloc[[7]].reset_index(drop=True))


def test_what_is_saved_answers_the_same(made, answers, tmp_path):
    identifier, _, queries = made
    read = Identifier.from_pretrained(identifier.save(tmp_path / "kept"))
    pd.testing.assert_frame_equal(read.identify(queries, progress=False), answers)


def test_nothing_deeper_than_asked_for(made):
    identifier, _, queries = made
    answered = identifier.identify(queries, rank="genus", progress=False)
    assert "species" not in set(answered["taxonRank"])
    assert (answered["taxonRank"] == "genus").any()


def test_a_stricter_precision_answers_less(made):
    identifier, _, queries = made
    loose, strict = (identifier.thresholds(p)["dna"] for p in (0.6, 0.98))
    assert all(strict[rank] >= loose[rank] for rank in RANKS)


def test_only_the_taxon_asked_for_answers(made):
    identifier, library, queries = made
    answered = identifier.within("Diptera").identify(queries, progress=False)
    assert set(answered["order"].dropna()) == {"Diptera"}
    with pytest.raises(ValueError, match="did you mean Diptera?"):
        identifier.within("Dipetra")


def test_further_references_make_a_species_known(made):
    identifier, library, queries = made
    new = ~queries["species"].isin(library["species"])
    further = identifier.add(queries[new], progress=False)
    answered = further.identify(queries[new], progress=False)
    assert (answered["species"].to_numpy() == queries[new]["species"].to_numpy()).mean() > 0.9


def test_a_library_too_small_says_so_instead_of_a_number():
    table = records()
    few = table[table["genus"] == table["genus"][0]]
    identifier = Identifier.train(few, progress=False)
    assert "3 species" in identifier.note
    answered = identifier.identify(few, progress=False)
    assert answered["newSpeciesProbability"].isna().all()
    assert answered["taxonRank"].isna().all()
    assert answered["flags"].str.contains("uncalibrated").all()
    assert (answered["species"] == few["species"].to_numpy()).all(), "the nearest is still told"


@pytest.mark.parametrize("wishes", [{"precision": 0.2}, {"precision": 1.0}, {"rank": "tribe"}])
def test_impossible_wishes_are_one_sentence(made, wishes):
    with pytest.raises(ValueError, match="must be") as error:
        made[0].identify(made[2], progress=False, **wishes)
    assert "\n" not in str(error.value)
