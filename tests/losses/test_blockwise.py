"""What the losses over pairs skip, share or keep changes no value and no gradient."""

import pytest
import torch
from small_lineages import LINEAGE

from hypertax.geometry import lorentz as L
from hypertax.geometry.spaces import EuclideanSpace, LorentzSpace
from hypertax.losses import blockwise, hinge
from hypertax.losses.contrastive import contrastive_loss, gram_of
from hypertax.losses.entailment import Cones, stacked_entailment
from hypertax.losses.inputs import Children, Parents, View

DIM, TAXA = 5, 11
ORDERS = ("dna-contains-image", "image-contains-dna")


def points(n, seed, spread=1.5):
    generator = torch.Generator().manual_seed(seed)
    return (spread * torch.randn(n, DIM, generator=generator, dtype=torch.float64)).requires_grad_()


def leaves(spread=1.0):
    log_c = torch.tensor(0.2, dtype=torch.float64, requires_grad=True)
    return [points(TAXA, 0, spread), points(8, 1, spread), points(8, 2, spread), log_c]


def objective(inputs, share, order=ORDERS[0], margin=0.6):
    """Contrastive + stacked loss; products of images and DNA made once, or by each term."""
    taxa, image, dna, log_c = inputs
    space = LorentzSpace(("image", "dna"), DIM).double()
    del space.log_curvature
    space.log_curvature = log_c
    has_image, has_dna = torch.arange(8) != 2, torch.arange(8) != 5
    views = {"image": View(image, has_image), "dna": View(dna, has_dna)}
    gram = gram_of(space, *views.values()) if share else None
    grams = {("image", "dna"): gram} if share else None
    loss = contrastive_loss(space, views, log_c.exp() * 3, grams)
    cones = Cones(aperture=0.2, margin=margin, dna_image=order)
    parts = stacked_entailment(taxa, LINEAGE, *views.values(), space.curvature, cones, gram)
    return loss + parts["intra"] + 2 * parts["inter"]


def value_and_gradients(inputs, *args, **kwargs):
    loss = objective(inputs, *args, **kwargs)
    return [loss.detach(), *torch.autograd.grad(loss, inputs)]


def assert_same(got, want):
    for one, other in zip(got, want, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("order", ORDERS)
def test_products_made_once_give_the_same(order):
    inputs = leaves()
    assert_same(value_and_gradients(inputs, True, order), value_and_gradients(inputs, False, order))


def test_gradients_with_products_made_once():
    def loss(*inputs):
        return objective(inputs, True)

    assert torch.autograd.gradcheck(loss, leaves(), fast_mode=True)


@pytest.mark.parametrize("share", [True, False])
@pytest.mark.parametrize(
    "name, value",
    [
        ("hinge.DENSE_SHARE", -1.0),
        ("hinge.DENSE_SHARE", 2.0),
        ("hinge.SCREEN_SLACK", 10.0),
        ("blockwise.FEWEST", 2.0**60),
        ("blockwise.KEPT_ELEMENTS", 0),
        ("blockwise.BLOCK_ELEMENTS", 16),
    ],
)
def test_how_it_is_computed_changes_nothing(monkeypatch, name, value, share):
    inputs = leaves()
    want = value_and_gradients(inputs, share)
    assert want[1].abs().min() > 0
    monkeypatch.setattr(f"hypertax.losses.{name}", value)
    assert_same(value_and_gradients(inputs, share), want)


@pytest.mark.parametrize(
    "space", [EuclideanSpace(("image",), DIM), LorentzSpace(("image",), DIM).double()]
)
def test_columns_far_below_the_largest_logit_keep_their_softmax(space):
    """Where the shared exponentials underflow, each column takes its own."""
    with torch.no_grad():
        first, second = points(6, 3, 4.0), points(6, 4, 4.0)
        second[3] = -first[3]
        first, second = space.lift(first), space.lift(second)
    scale = torch.tensor(2000.0, dtype=torch.float64)
    logits = scale * space.similarity(
        space.gram(first, second, space.curvature), space.curvature
    )
    own = torch.arange(6)
    entropies = [torch.nn.functional.cross_entropy(m, own) for m in (logits, logits.T)]
    got = blockwise.symmetric_cross_entropy(space, first.float(), second.float(), scale.float())
    assert got.item() == pytest.approx(sum(entropies).item() / 2, rel=1e-4)


def test_the_number_of_negative_pairs_is_that_of_the_mask():
    rank = torch.tensor([0, 0, 1, 2, 3, 3, 3])
    taxon = torch.tensor([0, 1, 2, 4, 8, 50, -1])
    weight = torch.arange(1.0, 9.0, dtype=torch.float64)
    parents = Parents(points(7, 5), rank, taxon)
    children = Children(points(8, 6), LINEAGE, weight)
    mask = hinge._negative(parents, children, slice(None))
    assert float(hinge._count_negative(parents, children)) == float((mask * weight).sum())
    assert 0 < mask.sum() < mask.numel()


@pytest.mark.parametrize("radius", [1e-4, 0.3, 2.0, 8.0, 12.0])
def test_the_cheap_test_lets_every_active_pair_through(radius):
    """In fp32, for apexes and children in all directions, on the axis and opposite among them."""
    generator = torch.Generator().manual_seed(7)
    units = torch.nn.functional.normalize(torch.randn(60, DIM, generator=generator), dim=-1)
    units[30:40] = units[:10]
    units[40:50] = -units[:10]
    units[50:60] = units[:10] + 1e-3 * units[10:20]
    parents = torch.sinh(torch.tensor(radius)) * units
    c = torch.tensor(1.0)
    active = 0
    for factor in (0.2, 1.0, 1.0001, 3.0):
        children = torch.sinh(torch.tensor(min(factor * radius, 12.0))) * units
        for margin in (0.0, 0.1, 1.0, 3.0):
            bound = L.half_aperture(parents, c) + margin
            squares = [p.square().sum(-1) for p in (parents, children)]
            through = hinge._candidates(parents @ children.T, *squares, bound, c, False)
            inside = L.pairwise_exterior_angle(parents, children, c) < bound[:, None]
            active += int(inside.sum())
            assert not (inside & ~through).any()
    assert active > 0


def test_nan_stays_nan():
    for which in range(3):
        inputs = leaves()
        with torch.no_grad():
            inputs[which][0] = torch.nan
        assert objective(inputs, True).isnan()
