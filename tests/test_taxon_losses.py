"""The losses between specimens and taxa against literal loops over specimens, taxa and ranks."""

import math

import numpy as np
import pytest
import torch
from small_lineages import LINEAGE
from torch.nn import functional as F

from hypertax import lorentz as L
from hypertax.losses import Cones, cone_loss, taxon_contrastive_loss
from hypertax.spaces import EuclideanSpace, LorentzSpace

DIM = 5
C = 1.3
RANK = torch.tensor([0, 0, 1, 1, 2, 2, 2, 1, 3, 3, 3, 3, 2, 3])
"""Of each taxon, not sorted; the last three, two species and a genus, have no specimen in the batch."""
SCALES = torch.tensor([3.0, 5.0, 8.0, 2.0], dtype=torch.float64)
LORENTZ = LorentzSpace(("image", "dna"), DIM, C).double()
HAS = {"image": torch.tensor([1, 1, 0, 1, 1, 1, 1, 1]).bool(), "dna": torch.tensor([1, 0, 1, 1, 1, 1, 1, 1]).bool()}


def points(n, seed, spread=1.0):
    generator = torch.Generator().manual_seed(seed)
    return spread * torch.randn(n, DIM, generator=generator, dtype=torch.float64)


def batch(space=LORENTZ):
    """Taxa near the origin, and specimens of two modalities farther out, some of which lack one."""
    specimens = {m: (space.lift(points(8, seed)).detach(), HAS[m]) for seed, m in enumerate(HAS, start=1)}
    return space.lift(points(len(RANK), 0, 0.4)).detach(), specimens


def literal_contrastive(specimens, taxa, rank, lineage, scales):
    """Per modality and rank: half the mean over specimens of -log p(own taxon), half the mean over taxa of the mean of -log p(specimen)."""
    terms = []
    for of, has in specimens.values():
        for r in range(4):
            rows = [i for i in range(len(lineage)) if has[i] and lineage[i, r] >= 0]
            if not rows:
                continue
            every = [t for t in range(len(rank)) if rank[t] == r]
            logit = {(i, t): float(scales[r]) * float(F.cosine_similarity(of[i], taxa[t], dim=0)) for i in rows for t in every}
            own = {i: int(lineage[i, r]) for i in rows}
            to_taxa = [math.log(sum(math.exp(logit[i, t]) for t in every)) - logit[i, own[i]] for i in rows]
            to_specimens = []
            for t in sorted(set(own.values())):
                total = math.log(sum(math.exp(logit[i, t]) for i in rows))
                to_specimens.append(np.mean([total - logit[i, t] for i in rows if own[i] == t]))
            terms.append((np.mean(to_taxa) + np.mean(to_specimens)) / 2)
    return float(np.mean(terms))


def contrastive(specimens, taxa, rank=RANK, lineage=LINEAGE, scales=SCALES, space=LORENTZ):
    return taxon_contrastive_loss(space, specimens, taxa, rank, lineage, scales)


# Contrastive


@pytest.mark.parametrize("space", [EuclideanSpace(("image", "dna"), DIM), LORENTZ], ids=["euclidean", "lorentz"])
def test_taxon_contrastive_loss_is_the_loop_over_specimens_and_taxa(space):
    taxa, specimens = batch(space)
    found = float(contrastive(specimens, taxa, space=space))
    assert found == pytest.approx(literal_contrastive(specimens, taxa, RANK, LINEAGE, SCALES), rel=1e-9) and found > 0.1


def test_what_is_masked_leaves_the_mean():
    taxa, specimens = batch()
    whole = float(contrastive(specimens, taxa))
    # A specimen without a modality may have anything in its place there.
    moved = {m: (torch.where(has[:, None], of, points(8, 9)), has) for m, (of, has) in specimens.items()}
    assert float(contrastive(moved, taxa)) == whole
    # A modality that no specimen has is no term of value 0.
    nobody = torch.zeros(8, dtype=torch.bool)
    image = {"image": specimens["image"]}
    assert float(contrastive({**image, "dna": (points(8, 2), nobody)}, taxa)) == float(contrastive(image, taxa))
    # The mean is over the ranks that a specimen has.
    ranks = [float(contrastive(image, taxa, lineage=torch.where(torch.arange(4) == r, LINEAGE, -1))) for r in range(4)]
    assert float(contrastive(image, taxa)) == pytest.approx(np.mean(ranks), rel=1e-12)
    no_species = torch.where(torch.arange(4) == 3, -1, LINEAGE)
    assert float(contrastive(image, taxa, lineage=no_species)) == pytest.approx(np.mean(ranks[:3]), rel=1e-12)
    assert len(set(ranks)) == 4


@pytest.mark.parametrize("has", [0, 1])
def test_without_labels_or_specimens_the_loss_is_zero(has):
    taxa, specimens = batch()
    present = torch.full((8,), bool(has))
    lineage = torch.full_like(LINEAGE, -1) if has else LINEAGE
    nobody = {m: (of, present) for m, (of, _) in specimens.items()}
    assert float(contrastive(nobody, taxa, lineage=lineage)) == 0
    c = torch.tensor(C, dtype=torch.float64)
    assert set(map(float, cone_loss(nobody, taxa, RANK, lineage, c, Cones()).values())) == {0.0}


def test_a_taxon_counts_once_however_many_specimens_it_has():
    """The half that finds specimens, by itself: a taxon's weight in it, and in its gradient, is that of every other one."""
    taxa, of = points(2, 0).requires_grad_(), points(2, 1)

    def columns(copies):
        row = torch.tensor([0] * copies + [1])
        lineage = torch.stack([row, *[torch.full_like(row, -1)] * 3], dim=1)
        specimens = {"dna": (of[row], torch.ones(len(row), dtype=torch.bool))}
        cosine = 3.0 * LORENTZ.cosine(of[row], taxa)
        loss = taxon_contrastive_loss(LORENTZ, specimens, taxa, torch.tensor([0, 0]), lineage, SCALES)
        return 2 * loss - F.cross_entropy(cosine, row), cosine.log_softmax(dim=0)

    for copies in (1, 20):
        found, log_p = columns(copies)
        assert float(found.detach()) == pytest.approx(float(-(log_p[0, 0] + log_p[-1, 1]).detach() / 2), rel=1e-9)
        gradient, other = (torch.autograd.grad(value, taxa, retain_graph=True)[0][1] for value in (found, -log_p[-1, 1]))
        torch.testing.assert_close(gradient, other / 2)


def test_taxa_without_specimens_are_negatives():
    taxa, specimens = batch()
    absent = ~torch.isin(torch.arange(len(taxa)), LINEAGE)
    assert absent.sum() == 3
    of = specimens["image"][0][:1]
    alone = {"image": (of, torch.ones(1, dtype=torch.bool))}
    towards, away = (float(contrastive(alone, torch.where(absent[:, None], side * of, taxa), lineage=LINEAGE[:1])) for side in (1, -1))
    assert towards > away + 0.1


def test_radii_do_not_matter_to_the_contrast_and_get_no_gradient():
    taxa, specimens = batch()
    stretch = torch.rand(len(taxa), 1, dtype=torch.float64) * 5 + 0.1
    longer = {m: (of * stretch[:8], has) for m, (of, has) in specimens.items()}
    assert float(contrastive(longer, taxa * stretch)) == pytest.approx(float(contrastive(specimens, taxa)), rel=1e-12)
    taxa.requires_grad_()
    contrastive(specimens, taxa).backward()
    assert ((taxa * taxa.grad).sum(dim=1).abs() < 1e-12).all() and taxa.grad.norm() > 0.01


def test_gradients_of_both_losses():
    taxa, specimens = batch()
    leaves = [taxa.requires_grad_(), *(of.requires_grad_() for of, _ in specimens.values())]
    c = torch.tensor(C, dtype=torch.float64, requires_grad=True)

    def both(taxa, image, dna, c):
        specimens = {"image": (image, HAS["image"]), "dna": (dna, HAS["dna"])}
        parts = cone_loss(specimens, taxa, RANK, LINEAGE, c, Cones(aperture=0.6))
        return contrastive(specimens, taxa) + parts["inside"] + 2 * parts["outside"] + 3 * parts["axis"]

    assert torch.autograd.gradcheck(both, (*leaves, c))


# Cones


def phi(taxon, specimen):
    return float(L.exterior_angle(taxon, specimen, C))


def omega(taxon, K):
    return math.asin(min(1.0, 2 * K / (math.sqrt(C) * float(taxon.norm()))))


def literal_cones(specimens, taxa, rank, lineage, cones):
    parts = {"inside": [], "outside": [], "axis": []}
    for of, has in specimens.values():
        for r in range(4):
            pairs = [(of[i], int(lineage[i, r])) for i in range(len(lineage)) if has[i] and lineage[i, r] >= 0]
            if not pairs:
                continue
            every = [u for u in range(len(rank)) if rank[u] == r]
            parts["axis"].append(np.mean([phi(taxa[t], x) for x, t in pairs]))
            parts["inside"].append(np.mean([max(0.0, phi(taxa[t], x) - omega(taxa[t], cones.aperture)) for x, t in pairs]))
            others = [
                sum(max(0.0, omega(taxa[u], cones.aperture) - phi(taxa[u], x) + cones.margin) for u in every if u != t) for x, t in pairs
            ]
            parts["outside"].append(np.mean(others))
    return {name: float(np.mean(terms)) for name, terms in parts.items()}


@pytest.mark.parametrize("margin", [0.0, 0.2])
def test_cone_loss_is_the_loop_over_specimens_and_taxa(margin):
    taxa, specimens = batch()
    cones = Cones(aperture=0.6, margin=margin)
    found = cone_loss(specimens, taxa, RANK, LINEAGE, torch.tensor(C, dtype=torch.float64), cones)
    want = literal_cones(specimens, taxa, RANK, LINEAGE, cones)
    assert {name: float(value) for name, value in found.items()} == pytest.approx(want, rel=1e-8)
    assert min(want.values()) > 0.01


def test_without_negatives_nothing_is_pushed_out():
    taxa, specimens = batch()
    c = torch.tensor(C, dtype=torch.float64)
    both, alone = (cone_loss(specimens, taxa, RANK, LINEAGE, c, Cones(aperture=0.6, negatives=negatives)) for negatives in (True, False))
    assert float(both["outside"]) > 0 == float(alone["outside"])
    assert float(both["inside"]) == float(alone["inside"]) and float(both["axis"]) == float(alone["axis"])


def test_where_all_are_inside_only_the_axis_pulls():
    """Specimens within their taxa's cones, out of all others and off the axes: no loss and no gradient but that towards the axis."""
    c, cones = torch.tensor(1.0, dtype=torch.float64), Cones(aperture=0.1, margin=0.0)
    taxa = (0.5 * torch.eye(4, dtype=torch.float64)).requires_grad_()
    of = (30 * torch.eye(4, dtype=torch.float64) + torch.ones(4, dtype=torch.float64)).requires_grad_()
    rank = torch.zeros(4, dtype=torch.int64)
    lineage = torch.stack([torch.arange(4), *[torch.full((4,), -1)] * 3], dim=1)
    parts = cone_loss({"dna": (of, torch.ones(4, dtype=torch.bool))}, taxa, rank, lineage, c, cones)
    assert float(parts["inside"].detach()) == float(parts["outside"].detach()) == 0 < float(parts["axis"].detach())
    for name in ("inside", "outside"):
        for gradient in torch.autograd.grad(parts[name], (taxa, of), retain_graph=True):
            assert (gradient == 0).all()
    of_taxa, of_specimens = torch.autograd.grad(parts["axis"], (taxa, of))
    assert (of_taxa.norm(dim=1) > 0).all()
    nearer = of.detach() - 1e-3 * of_specimens / of_specimens.norm()
    cosine = [torch.diagonal(F.normalize(x, dim=1)) for x in (of.detach(), nearer)]
    assert (cosine[1] > cosine[0]).all(), "downhill is towards the axis"
