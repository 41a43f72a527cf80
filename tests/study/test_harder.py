"""Rows asked with harder reads: queries alone are embedded anew, and a missing run is named."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from figure_checks import assert_readable, texts
from small_reads import small_reads

from hypertax.config.run_config import RunConfig
from hypertax.data.taxon_index import TaxonIndex
from hypertax.evaluation.harder_reads import HARDER, MEASURES, read_differences, read_scores
from hypertax.figures.harder_reads import scores_of_harder_reads
from hypertax.model.build import build_model
from hypertax.model.embedding import embed
from hypertax.study import collect, harder
from hypertax.study.rows import Row, load_rows
from hypertax.tables.harder_reads import harder_differences_table, harder_reads_table

SPLITS = ("train_seen", "train_seen", "seen_keys", "test_seen")


def specimens() -> pd.DataFrame:
    """Eight species, two of them unseen."""
    table = small_reads(4, SPLITS)
    unseen = table["sampleid"].str[0].astype(int) >= 6
    half = np.where(table["sampleid"].str[-1].astype(int) < 2, "test_unseen", "test_unseen_keys")
    return table.assign(split=table["split"].mask(unseen, pd.Series(half, table.index)))


@pytest.fixture(scope="module")
def member(tmp_path_factory):
    """A run as it is kept: a model that was not trained, and its embeddings."""
    table = specimens()
    config = RunConfig.create("tiny", recipe="lineage", embed_dim=16, views="dna")
    index = TaxonIndex(table)
    training = (table["split"] == "train_seen").to_numpy()
    model = build_model(config, table, index, training).eval()
    folder = tmp_path_factory.mktemp("run")
    model.save_pretrained(folder)
    kept = embed(model, table)
    run = SimpleNamespace(folder=folder)
    return SimpleNamespace(method="model", name="model-0", seed=0, run=run, embeddings=kept)


def test_whole_queries_score_as_the_run_does(member):
    found = harder.ask_harder([member], [], specimens(), kinds=["whole"], progress=False).scores
    expected = read_scores(member.embeddings)
    pd.testing.assert_series_equal(found["value"], expected["value"])
    assert tuple(found["measure"]) == MEASURES and set(found["run"]) == {"model-0"}


def test_keys_stay_and_harder_queries_move(member):
    table = specimens()
    asked = table["split"].isin(["test_seen", "test_unseen"])
    queries = table[asked].assign(barcode=table.loc[asked, "barcode"].str.slice(200))
    model = harder.HypertaxModel.from_pretrained(member.run.folder)
    found = harder.asked_again(model, member.embeddings, queries)
    keys = found.table["split"].isin(["seen_keys", "test_unseen_keys"]).to_numpy()
    old = member.embeddings.select("dna", ["seen_keys", "test_unseen_keys"])
    assert np.array_equal(found.tangent[keys], old.tangent)
    before = member.embeddings.select("dna", ["test_seen", "test_unseen"])
    assert list(found.table["id"][~keys]) == list(before.table["id"])
    assert (found.tangent[~keys] != before.tangent).any(axis=1).all()


def test_baselines_answer_beside_runs(member):
    row = Row("6-mers", "6-mer cosine")
    kinds = ["whole", "130 bases"]
    both = harder.ask_harder([member], [row], specimens(), kinds=kinds, progress=False)
    found = both.scores
    assert list(dict.fromkeys(found["method"])) == ["6-mer cosine", "model"]
    cells = found.groupby(["method", "reads"])["measure"].nunique()
    assert len(cells) == 4 and (cells == len(MEASURES)).all()
    whole = found[(found["method"] == "6-mer cosine") & (found["reads"] == "whole")]
    assert whole.set_index("measure")["value"]["seen species"] == 1
    differences = read_differences(both.answers, "6-mer cosine", resamples=50)
    own = found[found["method"] == "model"].set_index(["reads", "measure"])["value"]
    other = found[found["method"] == row.label].set_index(["reads", "measure"])["value"]
    gaps = differences.set_index(["reads", "measure"])["difference"]
    expected = (own - other)[gaps.index]
    assert np.allclose(gaps, expected) and set(differences["method"]) == {"model"}
    table = harder_differences_table(differences, runs=["model-0"])
    assert set(table.tidy["reads"]) == set(kinds) and "minus that of 6-mer cosine" in table.note


def test_a_missing_program_is_said(monkeypatch):
    monkeypatch.setattr(harder.vsearch, "installed", lambda: False)
    with pytest.raises(ValueError, match="VSEARCH is not installed"):
        harder.ask_harder([], [Row("vsearch", "VSEARCH")], specimens(), progress=False)


def test_a_missing_run_is_named_and_none_is_trained(tmp_path, monkeypatch):
    monkeypatch.setattr(collect, "train_here", lambda *_, **__: pytest.fail("it trains"))
    (row,) = (row for row in load_rows("core") if row.name == "euclidean-cl")
    with pytest.raises(ValueError, match=r"run euclidean-cl-seed0-\w{8} of Euclidean CL, seed 0"):
        collect.finished_runs([row], specimens(), dataset="simulated", output=str(tmp_path))


def scores() -> pd.DataFrame:
    rows = [
        (method, f"{method}-0", 0, kind, measure, 0.9 - 0.02 * i - 0.1 * m, 50, 9)
        for m, method in enumerate(("one", "two"))
        for i, kind in enumerate(HARDER)
        for measure in MEASURES
    ]
    columns = ["method", "run", "seed", "reads", "measure", "value", "queries", "species"]
    return pd.DataFrame(rows, columns=columns)


def test_the_table_has_a_column_for_each_kind_and_marks_the_best():
    table = harder_reads_table(scores())
    lines = table.markdown().splitlines()
    assert lines[0].split(" | ")[2:] == [*list(HARDER)[:-1], "reversed |"]
    assert lines[2].startswith("| seen species | one | **90.0** | **88.0** |")
    assert "novel genus 50 of 9 species" in table.note and len(lines) == 12


def test_the_figure_shows_every_kind_and_measure():
    figure = scores_of_harder_reads(scores(), title="What it shows")
    assert_readable(figure)
    shown = texts(figure)
    assert {*HARDER, *MEASURES, "one", "two", "What it shows"} <= set(shown)
    drawn = figure.axes[0].get_lines()
    heights = np.concatenate([line.get_ydata() for line in drawn[: len(drawn) // 2]])
    assert heights == pytest.approx(100 * (0.9 - 0.02 * np.arange(len(HARDER))))


def test_a_figure_of_nothing_is_refused():
    with pytest.raises(ValueError, match="no scores of harder reads"):
        scores_of_harder_reads(scores().assign(value=np.nan))


def test_the_command_asks_the_rows_that_are_in_the_file():
    from benchmarks.harder_reads import BASELINES, ROWS, sampled

    assert set(ROWS) <= {row.name for row in load_rows("core")}
    assert set(BASELINES) <= set(harder.BASELINES)
    part = sampled(specimens(), 2)
    counts = part["split"].value_counts()
    assert counts["test_seen"] == counts["test_unseen"] == 2 and counts["train_seen"] == 12
