"""The number that picks an epoch: the novel-species protocol counts, and small cells do not."""

import math

import numpy as np
import pytest
from random_embeddings import random_embeddings

from hypertax.evaluation import epoch_choice
from hypertax.evaluation.accuracy import evaluate
from hypertax.evaluation.epoch_choice import selection_cells, selection_score, selection_words

PAIRINGS = {"dna": "DNA to DNA", "image": "image to image", "cross": "image to DNA"}


def _accuracy(scores, pairing, protocol, split, rank):
    wanted = {"pairing": pairing, "protocol": protocol, "split": split, "rank": rank}
    wanted |= {"average": "macro", "k": 1, "ranking": "distance"}
    for column, value in wanted.items():
        scores = scores[scores[column] == value]
    (row,) = scores.to_dict("records")
    return row["value"], row["classes"]


@pytest.mark.parametrize("space", ["lorentz", "euclidean"])
def test_it_is_the_mean_of_the_cells_by_the_root_of_their_classes(space, monkeypatch):
    monkeypatch.setattr(epoch_choice, "LEAST_CLASSES", 5)
    embeddings = random_embeddings(space)
    scores, summary = evaluate(embeddings, "val"), selection_score(embeddings)
    total = weights = 0.0
    for name, pairing in PAIRINGS.items():
        for cell, protocol, split, rank in (
            ("seen", "standard", "seen", "species"),
            ("unseen", "standard", "unseen", "species"),
            ("novel_family", "novel", "unseen", "family"),
            ("novel_genus", "novel", "unseen", "genus"),
        ):
            value, classes = _accuracy(scores, pairing, protocol, split, rank)
            assert summary[f"val_{name}_{cell}"] == pytest.approx(value)
            if classes >= 5:
                total, weights = total + math.sqrt(classes) * value, weights + math.sqrt(classes)
    assert 0 < weights
    assert summary["selection"] == pytest.approx(total / weights)


def test_a_cell_of_few_classes_does_not_count_and_is_named():
    embeddings = random_embeddings()
    cells = selection_cells(embeddings).set_index("name")
    small = cells["classes"] < 10
    assert small.any() and not small.all()
    assert (cells.loc[small, "weight"] == 0).all() and (cells.loc[~small, "weight"] > 0).all()
    assert "dna novel family (4)" in selection_words(embeddings)


def test_where_all_are_small_they_count_all_the_same(monkeypatch):
    monkeypatch.setattr(epoch_choice, "LEAST_CLASSES", 100)
    embeddings = random_embeddings()
    assert not math.isnan(selection_score(embeddings)["selection"])
    assert "says little" in selection_words(embeddings)


def test_without_images_their_cells_are_missing():
    summary = selection_score(random_embeddings(modalities=("dna",)))
    assert np.isnan(summary["val_image_seen"]) and np.isnan(summary["val_cross_novel_genus"])
    assert 0 < summary["selection"] < 1


def test_without_queries_there_is_no_number():
    embeddings = random_embeddings()
    training = embeddings.where((embeddings.table["split"] == "train_seen").to_numpy())
    assert math.isnan(selection_score(training)["selection"])
    assert selection_words(training) == "There is nothing to validate on: the last epoch is taken."
