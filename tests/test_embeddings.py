"""Embeddings survive the file; selections keep rows and vectors together."""

import json
import os

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
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


def stored(path, change=None, meta=None):
    """Write the file anew with another table or other metadata."""
    table = pq.read_table(path)
    kept = table.schema.metadata if meta is None else meta
    table = change(table) if change else table
    pq.write_table(table.replace_schema_metadata(kept), path)


def said(**meta):
    return lambda path: stored(path, meta={"hypertax": json.dumps(meta)})


def column(name, values):
    def change(table):
        at = table.schema.get_field_index(name)
        return table.set_column(at, name, values)

    return lambda path: stored(path, change)


def flip(path):
    data = bytearray(path.read_bytes())
    data[60] ^= 255
    path.write_bytes(data)


def vectors(values, width=3, kind=pa.float32()):
    return pa.FixedSizeListArray.from_arrays(pa.array(values, kind), width)


def pipe(path):
    path.unlink()
    os.mkfifo(path)


def folder(path):
    path.unlink()
    path.mkdir()


HARMS = {
    "empty": lambda path: path.write_bytes(b""),
    "text": lambda path: path.write_text("id,modality"),
    "cut": lambda path: path.write_bytes(path.read_bytes()[:300]),
    "flipped": flip,
    "a folder": folder,
    "a pipe": pipe,
    "no metadata": lambda path: stored(path, meta={}),
    "metadata no JSON": lambda path: stored(path, meta={"hypertax": "{"}),
    "metadata a list": lambda path: stored(path, meta={"hypertax": "[]"}),
    "metadata deep": lambda path: stored(path, meta={"hypertax": "[" * 100_000}),
    "no curvature": said(space="lorentz"),
    "curvature none": said(space="lorentz", curvature=None),
    "curvature 0": said(space="lorentz", curvature=0),
    "curvature negative": said(space="lorentz", curvature=-1.0),
    "curvature NaN": said(space="lorentz", curvature=float("nan")),
    "curvature vast": said(space="lorentz", curvature=1e9),
    "curvature true": said(space="lorentz", curvature=True),
    "curvature a text": said(space="lorentz", curvature="1"),
    "euclidean with curvature": said(space="euclidean", curvature=1.0),
    "space unknown": said(space="spherical", curvature=1.0),
    "space a list": said(space=["lorentz"], curvature=1.0),
    "column missing": lambda path: stored(path, lambda t: t.drop_columns(["genus"])),
    "column more": lambda path: stored(path, lambda t: t.append_column("x", [["a"] * 5])),
    "numbers as names": column("genus", pa.array(range(5))),
    "modality unknown": column("modality", pa.array(["sound"] * 5)),
    "modality missing": column("modality", pa.array(["dna", None, "dna", "text", "text"])),
    "rank unknown": column("rank", pa.array(["tribe"] * 5)),
    "id missing": column("id", pa.array(["a", None, "b", "O", "S"])),
    "vectors in fp64": column("tangent", vectors(range(15), kind=pa.float64())),
    "vectors lists": column("tangent", pa.array([[1.0], [2.0], [1.0], [2.0], [3.0]])),
    "vectors numbers": column("tangent", pa.array([1.0] * 5, pa.float32())),
    "vectors NaN": column("tangent", vectors([float("nan")] * 15)),
    "vectors infinite": column("tangent", vectors([float("inf")] * 15)),
    "a number missing": column("tangent", vectors([None] * 15)),
    "a vector missing": column(
        "tangent", pa.array([[0.0] * 3, None, *[[0.0] * 3] * 3], pa.list_(pa.float32(), 3))
    ),
}


@pytest.mark.parametrize("name", HARMS)
def test_a_file_that_holds_no_embeddings_is_refused_in_one_sentence(name, embeddings, tmp_path):
    path = tmp_path / "e.parquet"
    embeddings.save(path)
    HARMS[name](path)
    with pytest.raises(ValueError, match="e.parquet holds no embeddings: ") as error:
        Embeddings.load(path)
    assert str(error.value).isprintable()


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="There are no embeddings .*none.parquet"):
        Embeddings.load(tmp_path / "none.parquet")
