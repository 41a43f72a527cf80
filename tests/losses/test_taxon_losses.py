"""The losses between specimens and taxa against literal loops over specimens, taxa and ranks."""

import math

import numpy as np
import pytest
import torch
from small_lineages import LINEAGE
from torch.nn import functional as F

from hypertax.geometry import lorentz as L
from hypertax.geometry.spaces import CapSpace, EuclideanSpace, LorentzSpace
from hypertax.losses.contrastive import taxon_contrastive_loss
from hypertax.losses.entailment import Cones, cone_loss
from hypertax.losses.inputs import View

DIM = 5
C = 1.3
SCALE = 3.0
RANK = torch.tensor([0, 0, 1, 1, 2, 2, 2, 1, 3, 3, 3, 3, 2, 3])
"""Each taxon's rank, not sorted. The last three, two species and a genus, have no specimen in the
batch."""
LORENTZ = LorentzSpace(("image", "dna"), DIM, C).double()
CAP = CapSpace(DIM, C, 2.0).double()
CAP.contraction.fill_(0.4)
HAS = {
    "image": torch.tensor([1, 1, 0, 1, 1, 1, 1, 1]).bool(),
    "dna": torch.tensor([1, 0, 1, 1, 1, 1, 1, 1]).bool(),
}


def points(n, seed, spread=1.0):
    generator = torch.Generator().manual_seed(seed)
    return spread * torch.randn(n, DIM, generator=generator, dtype=torch.float64)


def batch(space=LORENTZ):
    """Taxa near the origin, and specimens of two modalities farther out, some of which lack one."""

    def placed(v, modality):
        return space.lift(space.tangent(v[:, 1:], modality) if space is CAP else v).detach()

    return placed(points(len(RANK), 0, 0.4), "text"), {
        m: View(placed(points(8, seed), m), HAS[m]) for seed, m in enumerate(HAS, start=1)
    }


def literal_contrastive(specimens, taxa, rank, lineage, scale):
    """Per modality and rank: half the mean over specimens of -log p(own taxon), half the mean over
    taxa of the mean of -log p(specimen)."""
    terms = []
    for view in specimens.values():
        for r in range(4):
            rows = [i for i in range(len(lineage)) if view.present[i] and lineage[i, r] >= 0]
            if not rows:
                continue
            every = [t for t in range(len(rank)) if rank[t] == r]
            logit = {
                (i, t): scale * float(F.cosine_similarity(view.points[i], taxa[t], dim=0))
                for i in rows
                for t in every
            }
            own = {i: int(lineage[i, r]) for i in rows}
            to_taxa = [
                math.log(sum(math.exp(logit[i, t]) for t in every)) - logit[i, own[i]] for i in rows
            ]
            to_specimens = []
            for t in sorted(set(own.values())):
                total = math.log(sum(math.exp(logit[i, t]) for i in rows))
                to_specimens.append(np.mean([total - logit[i, t] for i in rows if own[i] == t]))
            terms.append((np.mean(to_taxa) + np.mean(to_specimens)) / 2)
    return float(np.mean(terms))


def contrastive(specimens, taxa, rank=RANK, lineage=LINEAGE, scale=SCALE, space=LORENTZ):
    return taxon_contrastive_loss(space, specimens, taxa, rank, lineage, scale)


# Contrastive


@pytest.mark.parametrize("scale", [SCALE, 20.0])
@pytest.mark.parametrize(
    "space",
    [EuclideanSpace(("image", "dna"), DIM), LORENTZ, CAP],
    ids=["euclidean", "lorentz", "cap"],
)
def test_taxon_contrastive_loss_is_the_loop_over_specimens_and_taxa(space, scale):
    taxa, specimens = batch(space)
    found = float(contrastive(specimens, taxa, scale=scale, space=space))
    # In a cap the first axis is the root's, around which angles are taken.
    around = slice(1, None) if space is CAP else slice(None)
    of_angles = {m: View(view.points[:, around], view.present) for m, view in specimens.items()}
    assert (
        found
        == pytest.approx(
            literal_contrastive(of_angles, taxa[:, around], RANK, LINEAGE, scale), rel=1e-9
        )
        and found > 0.1
    )


def test_what_is_masked_leaves_the_mean():
    taxa, specimens = batch()
    whole = float(contrastive(specimens, taxa))
    # A specimen without a modality may have anything in its place there.
    moved = {
        m: View(torch.where(view.present[:, None], view.points, points(8, 9)), view.present)
        for m, view in specimens.items()
    }
    assert float(contrastive(moved, taxa)) == whole
    # A modality that no specimen has is no term of value 0.
    nobody = torch.zeros(8, dtype=torch.bool)
    image = {"image": specimens["image"]}
    assert float(contrastive({**image, "dna": View(points(8, 2), nobody)}, taxa)) == float(
        contrastive(image, taxa)
    )
    # The mean is over the ranks that a specimen has.
    ranks = [
        float(contrastive(image, taxa, lineage=torch.where(torch.arange(4) == r, LINEAGE, -1)))
        for r in range(4)
    ]
    assert float(contrastive(image, taxa)) == pytest.approx(np.mean(ranks), rel=1e-12)
    no_species = torch.where(torch.arange(4) == 3, -1, LINEAGE)
    assert float(contrastive(image, taxa, lineage=no_species)) == pytest.approx(
        np.mean(ranks[:3]), rel=1e-12
    )
    assert len(set(ranks)) == 4


@pytest.mark.parametrize("has", [0, 1])
def test_without_labels_or_specimens_the_loss_is_zero(has):
    taxa, specimens = batch()
    present = torch.full((8,), bool(has))
    lineage = torch.full_like(LINEAGE, -1) if has else LINEAGE
    nobody = {m: View(view.points, present) for m, view in specimens.items()}
    assert float(contrastive(nobody, taxa, lineage=lineage)) == 0
    c = torch.tensor(C, dtype=torch.float64)
    assert set(map(float, cone_loss(nobody, taxa, lineage, c, Cones()).values())) == {0.0}


def test_a_taxon_counts_once_however_many_specimens_it_has():
    """The half that finds specimens, by itself: a taxon's weight in it, and in its gradient, is
    that of every other one."""
    taxa, of = points(2, 0).requires_grad_(), points(2, 1)

    def columns(copies):
        row = torch.tensor([0] * copies + [1])
        lineage = torch.stack([row, *[torch.full_like(row, -1)] * 3], dim=1)
        specimens = {"dna": View(of[row], torch.ones(len(row), dtype=torch.bool))}
        cosine = SCALE * LORENTZ.cosine(of[row], taxa)
        loss = taxon_contrastive_loss(
            LORENTZ, specimens, taxa, torch.tensor([0, 0]), lineage, SCALE
        )
        return 2 * loss - F.cross_entropy(cosine, row), cosine.log_softmax(dim=0)

    for copies in (1, 20):
        found, log_p = columns(copies)
        assert float(found.detach()) == pytest.approx(
            float(-(log_p[0, 0] + log_p[-1, 1]).detach() / 2), rel=1e-9
        )
        gradient, other = (
            torch.autograd.grad(value, taxa, retain_graph=True)[0][1]
            for value in (found, -log_p[-1, 1])
        )
        torch.testing.assert_close(gradient, other / 2)


def test_taxa_without_specimens_are_negatives():
    taxa, specimens = batch()
    absent = ~torch.isin(torch.arange(len(taxa)), LINEAGE)
    assert absent.sum() == 3
    of = specimens["image"].points[:1]
    alone = {"image": View(of, torch.ones(1, dtype=torch.bool))}
    towards, away = (
        float(
            contrastive(alone, torch.where(absent[:, None], side * of, taxa), lineage=LINEAGE[:1])
        )
        for side in (1, -1)
    )
    assert towards > away + 0.1


def test_radii_do_not_matter_to_the_contrast_and_get_no_gradient():
    taxa, specimens = batch()
    stretch = torch.rand(len(taxa), 1, dtype=torch.float64) * 5 + 0.1
    longer = {m: View(view.points * stretch[:8], view.present) for m, view in specimens.items()}
    assert float(contrastive(longer, taxa * stretch)) == pytest.approx(
        float(contrastive(specimens, taxa)), rel=1e-12
    )
    taxa.requires_grad_()
    contrastive(specimens, taxa).backward()
    assert ((taxa * taxa.grad).sum(dim=1).abs() < 1e-12).all() and taxa.grad.norm() > 0.01


def test_gradients_of_both_losses():
    taxa, specimens = batch()
    leaves = [taxa.requires_grad_(), *(view.points.requires_grad_() for view in specimens.values())]
    c = torch.tensor(C, dtype=torch.float64, requires_grad=True)

    def both(taxa, image, dna, c):
        specimens = {"image": View(image, HAS["image"]), "dna": View(dna, HAS["dna"])}
        parts = cone_loss(specimens, taxa, LINEAGE, c, Cones(aperture=0.6))
        return contrastive(specimens, taxa) + parts["inside"] + 3 * parts["axis"]

    assert torch.autograd.gradcheck(both, (*leaves, c))


# Cones


def exact(c=C):
    return torch.tensor(c, dtype=torch.float64)


def phi(taxon, specimen):
    return float(L.exterior_angle(taxon, specimen, C))


def omega(taxon, K):
    return math.asin(min(1.0, 2 * K / (math.sqrt(C) * float(taxon.norm()))))


def literal_cones(specimens, taxa, lineage, K):
    """Per modality: the mean over specimens of how far they are out of their deepest known taxon's
    cone, and off its axis."""
    parts = {"inside": [], "axis": []}
    for view in specimens.values():
        pairs = []
        for i, row in enumerate(lineage.tolist()):
            known = [taxon for taxon in row if taxon >= 0]
            if view.present[i] and known:
                pairs.append((view.points[i], taxa[known[-1]]))
        if pairs:
            parts["axis"].append(np.mean([phi(taxon, x) for x, taxon in pairs]))
            parts["inside"].append(
                np.mean([max(0.0, phi(taxon, x) - omega(taxon, K)) for x, taxon in pairs])
            )
    return {name: float(np.mean(terms)) if terms else 0.0 for name, terms in parts.items()}


def values(parts):
    return {name: float(value) for name, value in parts.items()}


@pytest.mark.parametrize("space", [LORENTZ, CAP], ids=["lorentz", "cap"])
@pytest.mark.parametrize("K", [0.05, 0.6])
def test_cone_loss_is_the_loop_over_specimens_and_their_deepest_taxa(K, space):
    taxa, specimens = batch(space)
    found = cone_loss(specimens, taxa, LINEAGE, exact(), Cones(aperture=K))
    want = literal_cones(specimens, taxa, LINEAGE, K)
    assert values(found) == pytest.approx(want, rel=1e-8)
    assert list(found) == ["inside", "axis"] and 0.01 < want["inside"] < want["axis"]


def at_exterior_angles(apex_radius, angles, c, distance=1.5):
    """A taxon on the first axis, and points on geodesics that leave it at these angles (degrees)
    from straight outwards; both (N, 2)."""
    r, angle = math.sqrt(c) * apex_radius, torch.deg2rad(torch.tensor(angles, dtype=torch.float64))
    along = math.cosh(distance) * math.sinh(r) + math.sinh(distance) * math.cosh(r) * torch.cos(
        angle
    )
    found = torch.stack([along, math.sinh(distance) * torch.sin(angle)], dim=1) / math.sqrt(c)
    return torch.tensor([[math.sinh(r) / math.sqrt(c), 0.0]], dtype=torch.float64), found


@pytest.mark.parametrize("c", [0.5, 1.0, 4.0])
def test_cone_loss_by_hand(c):
    """Half-apertures of 30 degrees; angles of 0, 20, 50 and 170 degrees, with one specimen that
    nobody knows and one without a barcode."""
    taxon, x = at_exterior_angles(0.8, [0, 20, 50, 170], c)
    K = math.sqrt(c) * float(taxon.norm()) * math.sin(math.radians(30)) / 2
    # The first two stop at the order, the third at the family; the fourth has no label.
    taxa = torch.cat([taxon, taxon])
    lineage = torch.tensor([[0, -1, -1, -1], [0, -1, -1, -1], [-1, 1, -1, -1], [-1, -1, -1, -1]])
    everyone = torch.ones(4, dtype=torch.bool)
    found = cone_loss({"dna": View(x, everyone)}, taxa, lineage, exact(c), Cones(aperture=K))
    assert np.rad2deg(list(values(found).values())) == pytest.approx([20 / 3, 70 / 3], abs=1e-5)
    labelled = torch.tensor([[0, -1, -1, -1], [0, -1, -1, -1], [-1, 1, -1, -1], [0, 1, -1, -1]])
    parts = cone_loss({"dna": View(x, everyone)}, taxa, labelled, exact(c), Cones(aperture=K))
    assert np.rad2deg(list(values(parts).values())) == pytest.approx(
        [(20 + 140) / 4, 240 / 4], abs=1e-5
    )
    # Each modality counts alike, however many specimens have it.
    has = torch.tensor([True, False, True, False])
    parts = cone_loss(
        {"image": View(x, everyone), "dna": View(x, has)},
        taxa,
        lineage,
        exact(c),
        Cones(aperture=K),
    )
    assert np.rad2deg(list(values(parts).values())) == pytest.approx(
        [(20 / 3 + 10) / 2, (70 / 3 + 25) / 2], abs=1e-5
    )
    parts = cone_loss(
        {"image": View(x, ~everyone), "dna": View(x, has)},
        taxa,
        lineage,
        exact(c),
        Cones(aperture=K),
    )
    assert np.rad2deg(list(values(parts).values())) == pytest.approx([10, 25], abs=1e-5), (
        "a modality that nobody has is no term of 0"
    )


def test_the_ancestors_of_the_deepest_known_taxon_do_not_count():
    taxa, specimens = batch()
    deepest = {
        next(t for t in reversed(row) if t >= 0) for row in LINEAGE.tolist() if max(row) >= 0
    }
    above = torch.tensor([t not in deepest for t in range(len(taxa))])
    assert 0 < above.sum() < len(taxa)
    taxa.requires_grad_()
    found = cone_loss(specimens, taxa, LINEAGE, exact(), Cones(aperture=0.1))
    (found["inside"] + found["axis"]).backward()
    assert (taxa.grad[above] == 0).all() and (taxa.grad[~above].norm(dim=1) > 0).all()
    moved = torch.where(above[:, None], points(len(taxa), 9), taxa.detach())
    again = cone_loss(specimens, moved, LINEAGE, exact(), Cones(aperture=0.1))
    assert values(again) == {name: float(value.detach()) for name, value in found.items()}


def test_what_is_masked_leaves_the_cones():
    taxa, specimens = batch()
    whole = values(cone_loss(specimens, taxa, LINEAGE, exact(), Cones(aperture=0.1)))
    known = (LINEAGE >= 0).any(dim=1)
    assert not known.all()
    moved = {
        m: View(
            torch.where((view.present & known)[:, None], view.points, points(8, 9)), view.present
        )
        for m, view in specimens.items()
    }
    assert values(cone_loss(moved, taxa, LINEAGE, exact(), Cones(aperture=0.1))) == whole
    without = {m: View(view.points[known], view.present[known]) for m, view in specimens.items()}
    assert values(
        cone_loss(without, taxa, LINEAGE[known], exact(), Cones(aperture=0.1))
    ) == pytest.approx(whole, rel=1e-12)


def test_where_all_are_inside_only_the_axis_pulls():
    """Specimens within their taxa's cones and off the axes: no loss and no gradient but that
    towards the axis."""
    taxa = (0.5 * torch.eye(4, dtype=torch.float64)).requires_grad_()
    of = (
        30 * torch.eye(4, dtype=torch.float64) + torch.ones(4, dtype=torch.float64)
    ).requires_grad_()
    lineage = torch.stack([torch.arange(4), *[torch.full((4,), -1)] * 3], dim=1)
    parts = cone_loss(
        {"dna": View(of, torch.ones(4, dtype=torch.bool))},
        taxa,
        lineage,
        exact(1.0),
        Cones(aperture=0.1),
    )
    assert float(parts["inside"].detach()) == 0 < float(parts["axis"].detach())
    for gradient in torch.autograd.grad(parts["inside"], (taxa, of), retain_graph=True):
        assert (gradient == 0).all()
    of_taxa, of_specimens = torch.autograd.grad(parts["axis"], (taxa, of))
    assert (of_taxa.norm(dim=1) > 0).all()
    nearer = of.detach() - 1e-3 * of_specimens / of_specimens.norm()
    cosine = [torch.diagonal(F.normalize(x, dim=1)) for x in (of.detach(), nearer)]
    assert (cosine[1] > cosine[0]).all(), "downhill is towards the axis"


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["fp32", "fp64"])
@pytest.mark.parametrize("contraction", [0.1, 1.0])
def test_in_a_cap_both_parts_pull_specimens_to_the_axis_of_their_taxon(contraction, dtype):
    """By the shortest way and with finite gradients, whether a specimen's vector is nearly opposite
    its taxon's or nearly along it."""
    space = CapSpace(DIM, C, 4.0).to(dtype)
    space.contraction.fill_(contraction)
    axis = F.normalize(points(1, 0)[:, 1:], dim=1).to(dtype)
    u = F.normalize(points(12, 1)[:, 1:], dim=1).to(dtype)
    u = torch.cat([u, -axis + 1e-3 * u[:1], axis + 1e-3 * u[:1]])
    taxa = space.lift(space.tangent(0.3 * axis, "text")).detach()
    lineage = torch.tensor([[0, -1, -1, -1]]).expand(len(u), -1)
    everyone = torch.ones(len(u), dtype=torch.bool)
    points_of = space.lift(space.tangent(u, "dna")).detach()
    beyond = L.exterior_angle(taxa.expand(len(u), -1), points_of, C) > L.half_aperture(
        taxa, C, 0.02
    )
    assert 8 < beyond.sum() < len(u)
    shortest = F.normalize(axis - (u @ axis.T) / u.square().sum(dim=1, keepdim=True) * u, dim=1)
    for name, pulled in {"inside": beyond, "axis": everyone}.items():
        v = u.clone().requires_grad_()
        parts = cone_loss(
            {"dna": View(space.lift(space.tangent(v, "dna")), everyone)},
            taxa,
            lineage,
            space.curvature,
            Cones(aperture=0.02),
        )
        (gradient,) = torch.autograd.grad(parts[name], v)
        assert gradient.isfinite().all() and torch.equal(gradient.norm(dim=1) > 0, pulled)
        assert ((F.normalize(-gradient, dim=1) * shortest).sum(dim=1)[pulled] > 0.99).all()
    along = {"dna": View(space.lift(space.tangent(axis, "dna")), everyone[:1])}
    on_axis = values(
        cone_loss(along, taxa, lineage[:1], space.curvature.detach(), Cones(aperture=0.02))
    )
    assert on_axis["inside"] == 0 and on_axis["axis"] < (1e-5 if dtype == torch.float32 else 1e-9)
