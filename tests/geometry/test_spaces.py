"""The space whose points lie in a cap: what drawing directions together changes, and what it leaves
as it is."""

import math

import pytest
import torch
from torch.nn import functional as F

from hypertax.geometry import lorentz as L
from hypertax.geometry.spaces import CapSpace

DIM = 8
CONTRACTIONS = [1 / 128, 0.2, 0.7, 1.0]
CURVATURES = [0.3, 1.0, 5.0]


def cap(curvature=1.0, contraction=1.0, specimen_radius=4.0, dtype=torch.float64):
    space = CapSpace(DIM, curvature, specimen_radius).to(dtype)
    space.contraction.fill_(contraction)
    return space


def vectors(n=60, seed=0, dtype=torch.float64):
    """Vectors of lengths from a tenth to ten."""
    generator = torch.Generator().manual_seed(seed)
    lengths = 10 ** (2 * torch.rand(n, 1, generator=generator, dtype=torch.float64) - 1)
    return (
        lengths
        * F.normalize(torch.randn(n, DIM - 1, generator=generator, dtype=torch.float64), dim=1)
    ).to(dtype)


def chords(a, b):
    return (a[:, None] - b).norm(dim=-1)


@pytest.mark.parametrize("curvature", CURVATURES)
@pytest.mark.parametrize("contraction", CONTRACTIONS)
def test_chords_between_directions_are_those_of_the_unit_vectors_times_s(contraction, curvature):
    space, specimens, names = cap(curvature, contraction), vectors(), vectors(40, seed=1)
    u = F.normalize(torch.cat([specimens, names]), dim=1)
    tangent = torch.cat([space.tangent(specimens, "dna"), space.tangent(names, "text")])
    assert tangent.shape == (100, DIM)
    # The lift keeps the direction: of points it is the same.
    for of in (tangent, space.lift(tangent)):
        direction = F.normalize(of, dim=1)
        torch.testing.assert_close(
            chords(direction, direction), contraction * chords(u, u), rtol=1e-9, atol=1e-12
        )
        # All as far from the root's axis, the first.
        torch.testing.assert_close(
            direction[:, 0], torch.full((100,), math.sqrt(1 - contraction**2), dtype=torch.float64)
        )
        torch.testing.assert_close(direction[:, 1:], contraction * u)


@pytest.mark.parametrize("curvature", CURVATURES)
@pytest.mark.parametrize("contraction", CONTRACTIONS)
@pytest.mark.parametrize("modality", ["image", "dna"])
def test_specimens_have_one_radius_and_names_their_own(contraction, curvature, modality):
    space, v = cap(curvature, contraction, specimen_radius=3.0), vectors()
    assert space.tangent(v, modality).norm(dim=1).numpy() == pytest.approx(3 / math.sqrt(curvature))
    short = v / 10
    torch.testing.assert_close(space.tangent(short, "text").norm(dim=1), short.norm(dim=1))
    c = space.curvature
    assert L.radius(space.lift(space.tangent(v, modality)), c).detach().numpy() == pytest.approx(
        3 / math.sqrt(curvature), rel=1e-6
    )
    torch.testing.assert_close(
        L.radius(space.lift(space.tangent(short, "text")), c), short.norm(dim=1), rtol=1e-6, atol=0
    )


@pytest.mark.parametrize("curvature", CURVATURES)
@pytest.mark.parametrize("contraction", CONTRACTIONS)
def test_the_nearest_are_those_with_the_greatest_cosine(contraction, curvature):
    """Distance and the angle between vectors give specimens the same neighbours, whatever s is."""
    space, v = cap(curvature, contraction), vectors()
    points = space.lift(space.tangent(v, "dna"))
    similarity = space.similarity(
        space.gram(points[:30], points[30:], space.curvature), space.curvature
    )
    u = F.normalize(v, dim=1)
    assert torch.equal(similarity.argsort(dim=1), (u[:30] @ u[30:].T).argsort(dim=1))
    # At one radius, sinh(d / 2) is sinh(R) times half the chord: with s, distances shrink in the
    # same order.
    want = (
        2
        * torch.asinh(math.sinh(4.0) * contraction * chords(u[:30], u[30:]) / 2)
        / math.sqrt(curvature)
    )
    torch.testing.assert_close(-similarity.detach(), want, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["fp32", "fp64"])
@pytest.mark.parametrize("curvature", CURVATURES)
@pytest.mark.parametrize("contraction", CONTRACTIONS)
def test_the_cosine_is_that_of_the_vectors_whatever_s_is(contraction, curvature, dtype):
    space = cap(curvature, contraction, dtype=dtype)
    specimens, names = vectors(dtype=dtype), vectors(40, seed=1, dtype=dtype) / 10
    a, b = space.lift(space.tangent(specimens, "image")), space.lift(space.tangent(names, "text"))
    tolerance = 1e-5 if dtype == torch.float32 else 1e-10
    torch.testing.assert_close(
        space.cosine(a, b),
        F.normalize(specimens, dim=1) @ F.normalize(names, dim=1).T,
        rtol=0,
        atol=tolerance,
    )


@pytest.mark.parametrize("contraction", CONTRACTIONS)
@pytest.mark.parametrize("modality", ["dna", "text"])
def test_tangents_and_cosines_have_their_gradients(contraction, modality):
    space, v = cap(2.0, contraction), vectors(4) / 3
    assert torch.autograd.gradcheck(lambda x: space.tangent(x, modality), v.requires_grad_())
    taxa = space.lift(space.tangent(vectors(3, seed=1), "text")).detach()
    assert torch.autograd.gradcheck(
        lambda x: space.cosine(space.lift(space.tangent(x, modality)), taxa), v
    )


@pytest.mark.parametrize("modality", ["dna", "text"])
@pytest.mark.parametrize("contraction", [0.5, 1.0])
def test_a_vector_of_zeros_has_finite_values_and_gradients(modality, contraction):
    space = cap(contraction=contraction)
    v = torch.zeros(2, DIM - 1, dtype=torch.float64, requires_grad=True)
    tangent = space.tangent(v, modality)
    assert tangent.isfinite().all() and (modality == "dna" or (tangent == 0).all()), (
        "a name without a vector is the origin"
    )
    space.lift(tangent).sum().backward()
    assert v.grad.isfinite().all()


def test_narrow_vectors_become_fp32_and_fp64_stays():
    for dtype, want in (
        (torch.bfloat16, torch.float32),
        (torch.float16, torch.float32),
        (torch.float64, torch.float64),
    ):
        space = cap(dtype=want)
        assert all(
            space.tangent(vectors(3, dtype=dtype), modality).dtype == want
            for modality in ("dna", "text")
        )


def test_nothing_of_it_is_learned_and_s_is_part_of_its_state():
    space = cap(curvature=2.0, contraction=0.25)
    assert not [name for name, p in space.named_parameters() if p.requires_grad], (
        "c is held, and there are no scales"
    )
    space.clamp_()
    assert float(space.curvature.detach()) == pytest.approx(2) and float(space.contraction) == 0.25
    again = CapSpace(DIM, 2.0, 4.0)
    assert float(again.contraction) == 1
    again.load_state_dict(space.state_dict())
    assert float(again.contraction) == 0.25


def test_files_call_s_share_as_those_of_all_runs_do():
    space = cap(curvature=2.0, contraction=0.25)
    for prefix in ("", "space."):
        again = CapSpace(DIM, 2.0, 4.0)
        owner, saved = again, space
        if prefix:
            owner, saved = (torch.nn.ModuleDict({"space": part}) for part in (again, space))
        state = saved.state_dict()
        assert set(state) == {prefix + "log_curvature", prefix + "share"}
        owner.load_state_dict(state)
        assert float(again.contraction) == 0.25
        assert prefix + "share" in state, "what is read stays as it was"
        del state[prefix + "share"]
        with pytest.raises(RuntimeError, match="contraction"):
            owner.load_state_dict(state)
