"""Embeddings survive the file; selections keep rows and vectors together."""

import numpy as np
import pandas as pd
import pytest
import torch

from hypertax.embeddings import COLUMNS, Embeddings


@pytest.fixture
def embeddings():
    table = pd.DataFrame(
        [
            ["a", "image", None, "val_seen", "O", "F", "G", "S"],
            ["a", "dna", None, "val_seen", "O", "F", "G", "S"],
            ["b", "dna", None, "seen_keys", "O", None, None, None],
            ["O", "text", "order", None, "O", None, None, None],
            ["S", "text", "species", None, "O", "F", "G", "S"],
        ],
        columns=list(COLUMNS),
    )
    return Embeddings(
        table.astype("str"), np.arange(15, dtype=np.float32).reshape(5, 3), "lorentz", 0.7
    )


def test_a_file_gives_back_what_was_written(embeddings, tmp_path):
    embeddings.save(tmp_path / "e.parquet")
    again = Embeddings.load(tmp_path / "e.parquet")
    assert np.array_equal(again.tangent, embeddings.tangent)
    assert (again.space, again.curvature) == ("lorentz", 0.7)
    pd.testing.assert_frame_equal(again.table, embeddings.table[list(COLUMNS)], check_dtype=False)
    assert not list(tmp_path.glob(".*")), "no temporary file is left"


def test_selection(embeddings):
    assert embeddings.select("dna").tangent[:, 0].tolist() == [3, 6]
    assert list(embeddings.select("dna", ["seen_keys"]).table["id"]) == ["b"]
    assert list(embeddings.select("text", rank="species").table["id"]) == ["S"]
    assert embeddings.modalities == ["image", "dna"]


def test_rows_and_vectors_must_agree(embeddings):
    with pytest.raises(ValueError, match="5 rows but 4 vectors"):
        Embeddings(embeddings.table, embeddings.tangent[:4], "euclidean")


def test_points_lie_on_the_hyperboloid_at_their_radius(embeddings):
    # Half as far out: exp0 holds radii of more than 15 / sqrt(c).
    near = Embeddings(embeddings.table, embeddings.tangent / 2, "lorentz", 0.7)
    points = near.points()
    assert points.dtype == torch.float64 and points.shape == (5, 3)
    radius = np.arcsinh(np.sqrt(0.7) * points.norm(dim=1).numpy()) / np.sqrt(0.7)
    tangent = near.tangent.astype(float)
    np.testing.assert_allclose(radius, np.linalg.norm(tangent, axis=1), rtol=1e-12)
    unit = points / points.norm(dim=1, keepdim=True)
    np.testing.assert_allclose(unit, tangent / np.linalg.norm(tangent, axis=1)[:, None])
    assert torch.equal(near.points([3, 1]), points[[3, 1]])


def test_points_of_a_euclidean_space_are_unit_vectors_and_zero_stays_zero(embeddings):
    tangent = embeddings.tangent.copy()
    tangent[2] = 0
    points = Embeddings(embeddings.table, tangent, "euclidean").points()
    assert points[2].tolist() == [0, 0, 0]
    np.testing.assert_allclose(points[[0, 1, 3, 4]].norm(dim=1), 1, rtol=1e-15)
