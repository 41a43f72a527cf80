"""Nearest keys against literal loops, ties, block sizes, radii at which fp32 fails."""

import math

import mpmath
import numpy as np
import pytest
import torch

from hypertax.evaluation.retrieval import nearest_vectors
from hypertax.geometry import lorentz as L


def brute_force(queries, keys, *, space, curvature, k, by):
    """One query and one key at a time, from the definitions."""
    queries, keys = queries.astype(np.float64), keys.astype(np.float64)
    indices, values = [], []
    for q in queries:
        row = []
        for key in keys:
            if space == "lorentz" and by == "distance":
                root = math.sqrt(curvature)
                points = []
                for v in (q, key):
                    r = np.linalg.norm(v)
                    points.append(v * (math.sinh(root * r) / (root * r) if r else 1.0))
                times = [math.sqrt(1 / curvature + p @ p) for p in points]
                row.append(points[0] @ points[1] - times[0] * times[1])
            else:
                norms = np.linalg.norm(q) * np.linalg.norm(key)
                row.append(q @ key / norms if norms else 0.0)
        order = sorted(range(len(keys)), key=lambda i: (-round(row[i], 9), i))[:k]
        indices.append(order)
        values.append([row[i] for i in order])
    return np.array(indices), np.array(values)


CASES = [
    ("euclidean", None, "distance"),
    ("lorentz", 0.3, "distance"),
    ("lorentz", 4.0, "distance"),
    ("lorentz", 1.0, "angle"),
]


@pytest.mark.parametrize(("space", "curvature", "by"), CASES)
@pytest.mark.parametrize("chunk", [7, 1024])
def test_agrees_with_literal_loops(space, curvature, by, chunk):
    rng = np.random.default_rng(0)
    queries, keys = (
        rng.normal(size=(23, 5)).astype(np.float32),
        rng.normal(size=(61, 5)).astype(np.float32),
    )
    options = {"space": space, "curvature": curvature, "k": 4, "by": by}
    indices, similarity = nearest_vectors(queries, keys, chunk=chunk, **options)
    expected, values = brute_force(queries, keys, **options)
    assert indices.dtype == torch.int64
    np.testing.assert_array_equal(indices.numpy(), expected)
    np.testing.assert_allclose(similarity.numpy(), values, rtol=1e-9, atol=1e-12)


def test_similarity_is_the_lorentz_inner_product_of_the_lifted_points():
    rng = np.random.default_rng(1)
    queries, keys = torch.tensor(rng.normal(size=(6, 4))), torch.tensor(rng.normal(size=(9, 4)))
    indices, similarity = nearest_vectors(queries, keys, space="lorentz", curvature=0.7, k=3)
    gram = L.pairwise_inner(L.exp0(queries, 0.7), L.exp0(keys, 0.7), 0.7)
    torch.testing.assert_close(similarity, gram.gather(1, indices))
    torch.testing.assert_close(similarity, gram.topk(3).values)


def test_distance_and_angle_differ_where_a_hub_sits_at_the_origin():
    queries = np.array([[3.0, 0.0]], dtype=np.float32)
    keys = np.array([[-0.1, 0.1], [1.5, 2.6]], dtype=np.float32)
    by_distance, _ = nearest_vectors(queries, keys, space="lorentz", curvature=1.0, k=1)
    by_angle, _ = nearest_vectors(queries, keys, space="lorentz", curvature=1.0, k=1, by="angle")
    assert (by_distance.item(), by_angle.item()) == (0, 1)


@pytest.mark.parametrize("chunk", [1, 3, 64])
@pytest.mark.parametrize(("space", "curvature", "by"), CASES)
def test_equal_keys_come_in_the_order_of_their_index(space, curvature, by, chunk):
    rng = np.random.default_rng(2)
    distinct = rng.normal(size=(4, 33)).astype(np.float32)
    which = rng.integers(0, 4, size=50)
    queries = distinct + rng.normal(size=(4, 33)).astype(np.float32) * 0.01
    indices, similarity = nearest_vectors(
        queries, distinct[which], space=space, curvature=curvature, k=6, by=by, chunk=chunk
    )
    for q in range(4):
        assert indices[q].tolist() == np.flatnonzero(which == q)[:6].tolist()
        assert similarity[q].unique().numel() == 1


def test_different_keys_at_one_distance_are_a_tie():
    # 11 directions at radius 2, the later nearer by as little as rounding errors; 8 parallel keys
    # for the cosine.
    angle = np.linspace(0, 6, 11)
    ring = (2 - 1e-13 * np.arange(11))[:, None] * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    indices, _ = nearest_vectors(
        np.zeros((1, 2)), ring, space="lorentz", curvature=1.0, k=3, chunk=4
    )
    assert indices.tolist() == [[0, 1, 2]]
    parallel = np.arange(1, 9)[:, None] * np.array([[1.0, 1.0, 0.3]])
    assert nearest_vectors(parallel[:1], parallel, space="euclidean", k=8)[0].tolist() == [
        list(range(8))
    ]


def test_more_ties_than_candidates_still_start_at_the_lowest_index():
    """A zero query has cosine 0 with every key: 300 exact ties, over several blocks."""
    keys = np.random.default_rng(3).normal(size=(300, 8)).astype(np.float32)
    for chunk in (20, 300):
        indices, similarity = nearest_vectors(
            np.zeros((2, 8), np.float32), keys, space="euclidean", k=5, chunk=chunk
        )
        assert indices.tolist() == [[0, 1, 2, 3, 4]] * 2
        assert similarity.abs().max() == 0


def test_same_ranking_whatever_the_block_size():
    rng = np.random.default_rng(4)
    queries, keys = (
        rng.normal(size=(40, 96)).astype(np.float32),
        rng.normal(size=(257, 96)).astype(np.float32),
    )
    runs = [
        nearest_vectors(queries, keys, space="lorentz", curvature=1.0, k=5, chunk=chunk)
        for chunk in (5, 32, 100, 4096)
    ]
    for indices, similarity in runs[1:]:
        assert torch.equal(indices, runs[0][0])
        torch.testing.assert_close(similarity, runs[0][1], rtol=1e-14, atol=0)


def test_ranking_at_radius_eleven_where_fp32_cannot_tell():
    """Keys around the query at distances 0.05 to 0.5, all at radius 11: the order is mpmath's, to
    60 digits."""
    rng = np.random.default_rng(5)
    query = np.zeros(3)
    query[0] = 11.0
    keys = []
    for step in rng.permutation(np.linspace(0.05, 0.5, 20)):
        turn = 2 * math.asin(math.sinh(step / 2) / math.sinh(11.0))
        keys.append([11.0 * math.cos(turn), 11.0 * math.sin(turn), 0.0])
    keys = np.array(keys)
    with mpmath.workdps(60):

        def inner(p, q):
            points = []
            for v in (p, q):
                v = [mpmath.mpf(float(x)) for x in v]
                r = mpmath.sqrt(sum(x * x for x in v))
                points.append([mpmath.sinh(r) / r * x for x in v] + [mpmath.cosh(r)])
            return (
                sum(a * b for a, b in zip(points[0][:-1], points[1][:-1], strict=True))
                - points[0][-1] * points[1][-1]
            )

        exact = [inner(query, key) for key in keys]
        expected = sorted(range(len(keys)), key=lambda i: -exact[i])
    indices, similarity = nearest_vectors(query[None], keys, space="lorentz", curvature=1.0, k=20)
    assert indices[0].tolist() == expected
    np.testing.assert_allclose(
        similarity[0].numpy(), [float(exact[i]) for i in expected], rtol=1e-7
    )
    x, y = (L.exp0(torch.tensor(v, dtype=torch.float32), 1.0) for v in (query[None], keys))
    assert L.pairwise_inner(x, y, 1.0)[0].argsort(descending=True).tolist() != expected


def test_fewer_keys_than_k_no_queries_no_keys():
    keys = np.eye(3, dtype=np.float32)
    for space, curvature in (("euclidean", None), ("lorentz", 1.0)):
        options = {"space": space, "curvature": curvature, "k": 5}
        assert nearest_vectors(keys[1:], keys, **options)[0].tolist() == [[1, 0, 2], [2, 0, 1]]
        assert nearest_vectors(keys[:0], keys, **options)[0].shape == (0, 3)
        indices, similarity = nearest_vectors(keys, keys[:0], **options)
        assert indices.shape == similarity.shape == (3, 0)


def test_input_is_left_as_it_is_and_carries_no_gradient():
    queries = torch.randn(4, 3, generator=torch.Generator().manual_seed(0), requires_grad=True)
    before = queries.detach().clone()
    _, similarity = nearest_vectors(queries, queries, space="lorentz", curvature=1.0, k=1)
    assert not similarity.requires_grad
    assert torch.equal(queries.detach(), before)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"space": "sphere"}, "space must be"),
        ({"by": "time"}, "by must be"),
        ({"k": 0}, "k must be"),
        ({"curvature": None}, "curvature must be"),
        ({"keys": np.zeros((2, 4))}, "same width"),
        ({"keys": np.full((2, 3), np.nan)}, "keys are not finite"),
    ],
)
def test_errors_name_what_is_wrong(change, says):
    given = {
        "queries": np.zeros((1, 3)),
        "keys": np.ones((2, 3)),
        "space": "lorentz",
        "curvature": 1.0,
    } | change
    with pytest.raises(ValueError, match=says):
        nearest_vectors(given.pop("queries"), given.pop("keys"), **given)
