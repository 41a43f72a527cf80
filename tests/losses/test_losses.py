"""The losses against literal loops over pairs, written from METHOD's sentences and nothing else."""

import math

import pytest
import torch
from small_lineages import LINEAGE
from torch.nn import functional as F

from hypertax.geometry import lorentz as L
from hypertax.geometry.spaces import EuclideanSpace, LorentzSpace
from hypertax.losses import blockwise as pairs
from hypertax.losses.contrastive import contrastive_loss, gram_of
from hypertax.losses.entailment import Cones, entailment, pair_entailment, stacked_entailment
from hypertax.losses.hinge import hinge_over_pairs
from hypertax.losses.inputs import Children, Parents, View

torch.set_default_dtype(torch.float32)
DIM = 5


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
    """Blocks of a few rows, so that every loss is assembled from several of them."""
    monkeypatch.setattr(pairs, "BLOCK_ELEMENTS", 16)


def points(n, seed, spread=1.5):
    generator = torch.Generator().manual_seed(seed)
    return spread * torch.randn(n, DIM, generator=generator, dtype=torch.float64)


def lorentz(c=1.3):
    return LorentzSpace(("image", "dna", "text"), DIM, c).double()


def everyone(n):
    return torch.ones(n, dtype=torch.bool)


TAXA = 11


def exterior(parent, child, c):
    return float(L.exterior_angle(parent, child, torch.tensor(c, dtype=torch.float64)))


def aperture(parent, c, k):
    return math.asin(min(1.0, 2 * k / (math.sqrt(c) * float(parent.norm()))))


def literal_lent(parents, children, positive, negative, c, cones):
    """Half the mean over positive (parent, child) pairs plus half the mean over negative ones."""
    inside = [
        max(0.0, exterior(parents[u], children[i], c) - aperture(parents[u], c, cones.aperture))
        for u, i in positive
    ]
    value = sum(inside) / len(inside)
    if not cones.negatives or not negative:
        return value
    outside = [
        max(
            0.0,
            aperture(parents[u], c, cones.aperture)
            - exterior(parents[u], children[i], c)
            + cones.margin,
        )
        for u, i in negative
    ]
    return value / 2 + sum(outside) / len(outside) / 2


def rank_of(taxon, lineage):
    return next(r for row in lineage.tolist() for r, t in enumerate(row) if t == taxon)


def differs(taxon, row, lineage):
    """The row's taxon at this taxon's rank is known, and another one."""
    theirs = row[rank_of(taxon, lineage)]
    return theirs >= 0 and theirs != taxon


def literal_stacked(taxa, lineage, image, dna, has_image, has_dna, c, cones):
    rows = lineage.tolist()
    intra = []
    for rank in range(4):
        edges = []
        for i, row in enumerate(rows):
            above = [r for r in range(rank) if row[r] >= 0]
            if row[rank] >= 0 and above:
                edges.append((i, row[above[-1]], row[rank]))
        if not edges:
            continue
        parents = sorted({p for _, p, _ in edges})
        children = [taxa[child] for _, _, child in edges]
        positive = [(parents.index(p), k) for k, (_, p, _) in enumerate(edges)]
        negative = [
            (u, k)
            for u, p in enumerate(parents)
            for k, (i, own, _) in enumerate(edges)
            if p != own and differs(p, rows[i], lineage)
        ]
        intra.append(
            literal_lent([taxa[p] for p in parents], children, positive, negative, c, cones)
        )
    deepest = [
        max((t for t in row), default=-1) if max(row) < 0 else [t for t in row if t >= 0][-1]
        for row in rows
    ]
    inter = []
    for child, has in ((image, has_image), (dna, has_dna)):
        if child is None:
            continue
        which = [i for i in range(len(rows)) if deepest[i] >= 0 and has[i]]
        parents = sorted({d for d in deepest if d >= 0})
        positive = [(parents.index(deepest[i]), k) for k, i in enumerate(which)]
        negative = [
            (u, k)
            for u, p in enumerate(parents)
            for k, i in enumerate(which)
            if p != deepest[i] and differs(p, rows[i], lineage)
        ]
        inter.append(
            literal_lent(
                [taxa[p] for p in parents], [child[i] for i in which], positive, negative, c, cones
            )
        )
    if image is not None and dna is not None and cones.dna_image != "none":
        which = [i for i in range(len(rows)) if has_image[i] and has_dna[i]]
        parent, child = (dna, image) if cones.dna_image == "dna-contains-image" else (image, dna)
        positive = [(k, k) for k in range(len(which))]
        negative = [
            (u, k)
            for u, i in enumerate(which)
            for k, j in enumerate(which)
            if rows[i][3] >= 0 and rows[j][3] >= 0 and rows[i][3] != rows[j][3]
        ]
        inter.append(
            literal_lent(
                [parent[i] for i in which], [child[i] for i in which], positive, negative, c, cones
            )
        )
    return {"intra": sum(intra) / len(intra), "inter": sum(inter) / len(inter)}


@pytest.mark.parametrize("negatives", [True, False])
@pytest.mark.parametrize("dna_image", ["dna-contains-image", "image-contains-dna", "none"])
def test_stacked_entailment_is_the_loop_over_pairs(negatives, dna_image):
    c, cones = 1.3, Cones(aperture=0.2, margin=0.1, negatives=negatives, dna_image=dna_image)
    taxa, image, dna = points(TAXA, 0, 0.6), points(8, 1), points(8, 2)
    has_image = torch.tensor([1, 1, 0, 1, 1, 1, 1, 1]).bool()
    has_dna = torch.tensor([1, 0, 1, 1, 1, 1, 1, 1]).bool()
    got = stacked_entailment(
        taxa,
        LINEAGE,
        View(image, has_image),
        View(dna, has_dna),
        torch.tensor(c, dtype=torch.float64),
        cones,
    )
    want = literal_stacked(taxa, LINEAGE, image, dna, has_image, has_dna, c, cones)
    assert float(got["intra"]) == pytest.approx(want["intra"], rel=1e-9)
    assert float(got["inter"]) == pytest.approx(want["inter"], rel=1e-9)
    assert want["intra"] > 0.01 and want["inter"] > 0.01


def test_without_images_inter_is_the_text_dna_term_alone():
    c, cones = torch.tensor(1.0, dtype=torch.float64), Cones()
    taxa, dna = points(TAXA, 3, 0.6), points(8, 4)
    got = stacked_entailment(taxa, LINEAGE, None, View(dna, everyone(8)), c, cones)
    want = literal_stacked(taxa, LINEAGE, None, dna, [False] * 8, [True] * 8, 1.0, cones)
    assert float(got["inter"]) == pytest.approx(want["inter"], rel=1e-9)
    only_missing = stacked_entailment(
        taxa, LINEAGE, View(dna, ~everyone(8)), View(dna, everyone(8)), c, cones
    )
    assert float(only_missing["inter"]) == float(got["inter"])


def test_an_unknown_relation_is_masked_not_negative():
    """A child whose labels stop above the parent's rank leaves the loss unchanged wherever it
    lies."""
    cones, c = Cones(aperture=0.3), torch.tensor(1.0, dtype=torch.float64)
    parents, children = points(2, 5, 0.7), points(2, 6)
    lineage = torch.tensor([[0, 2, 4, 8], [0, -1, -1, -1]])
    species = torch.tensor([8, 9])

    def value(children):
        total, pairs_counted = hinge_over_pairs(
            Parents(parents, torch.tensor([3, 3]), species),
            Children.single(children, lineage),
            c,
            cones.aperture,
            cones.margin,
        )
        return float(total), float(pairs_counted)

    moved = torch.stack([children[0], parents[1] * 2])
    assert value(children) == value(moved)
    assert value(children)[1] == 1


@pytest.mark.parametrize(
    "space", [EuclideanSpace(("image", "dna"), DIM), lorentz()], ids=["euclidean", "lorentz"]
)
def test_contrastive_loss_is_the_two_cross_entropies(space):
    scale = torch.tensor(3.0, dtype=torch.float64)
    given = {m: space.lift(points(7, seed)) for seed, m in enumerate(("image", "dna", "text"))}
    present = {m: everyone(7) for m in given}
    present["text"] = torch.tensor([1, 1, 0, 1, 0, 1, 1]).bool()
    names, want = list(given), []
    for i, a in enumerate(names):
        for b in names[i + 1 :]:
            both = present[a] & present[b]
            x, y = given[a][both], given[b][both]
            if space.name == "lorentz":
                similarity = -torch.stack(
                    [torch.stack([L.distance(p, q, space.curvature) for q in y]) for p in x]
                )
            else:
                similarity = torch.stack(
                    [torch.stack([F.cosine_similarity(p, q, dim=0) for q in y]) for p in x]
                )
            target = torch.arange(len(x))
            want.append(
                (
                    F.cross_entropy(scale * similarity, target)
                    + F.cross_entropy(scale * similarity.T, target)
                )
                / 2
            )
    got = contrastive_loss(space, {m: View(given[m], present[m]) for m in given}, scale)
    assert float(got.detach()) == pytest.approx(float(torch.stack(want).mean().detach()), rel=1e-6)


def test_pair_entailment_is_the_hinge_of_each_pair():
    parents, image, dna = points(6, 7, 0.8), points(6, 8), points(6, 9)
    present, has_image = (
        torch.tensor([1, 1, 1, 0, 1, 1]).bool(),
        torch.tensor([1, 0, 1, 1, 1, 1]).bool(),
    )
    c, cones = torch.tensor(2.0, dtype=torch.float64), Cones(aperture=0.1)
    views = {"image": View(image, has_image), "dna": View(dna, everyone(6))}
    got = pair_entailment(View(parents, present), views, c, cones)
    means = []
    for child, has in ((image, has_image), (dna, everyone(6))):
        rows = [i for i in range(6) if present[i] and has[i]]
        hinges = [
            max(0.0, exterior(parents[i], child[i], 2.0) - aperture(parents[i], 2.0, 0.1))
            for i in rows
        ]
        means.append(sum(hinges) / len(hinges))
    assert float(got) == pytest.approx(sum(means) / 2, rel=1e-9)


def test_gradients_of_the_contrastive_loss():
    space = lorentz()
    x, y = points(6, 10, 0.8).requires_grad_(), points(6, 11, 0.8).requires_grad_()
    scale = torch.tensor(2.0, dtype=torch.float64, requires_grad=True)
    log_c = torch.tensor(0.2, dtype=torch.float64, requires_grad=True)

    def loss(x, y, scale, log_c):
        return pairs._SymmetricCrossEntropy.apply(space, x, y, scale, log_c.exp())

    assert torch.autograd.gradcheck(loss, (x, y, scale, log_c))


def test_gradients_of_the_stacked_loss():
    cones = Cones(aperture=0.2)
    taxa, image, dna = (
        points(n, seed, 0.9).requires_grad_() for n, seed in ((TAXA, 12), (8, 13), (8, 14))
    )
    c = torch.tensor(1.1, dtype=torch.float64, requires_grad=True)

    def loss(taxa, image, dna, c):
        parts = stacked_entailment(
            taxa, LINEAGE, View(image, everyone(8)), View(dna, everyone(8)), c, cones
        )
        return parts["intra"] + 2 * parts["inter"]

    assert torch.autograd.gradcheck(loss, (taxa, image, dna, c))


@pytest.mark.parametrize("radius", [0.0, 1e-6, 0.1, 5.0, 12.0])
def test_losses_and_gradients_stay_finite(radius):
    """Collapsed, coincident and far points in fp32: never a value or gradient that is not a
    number."""
    direction = F.normalize(points(8, 15).float(), dim=-1)
    direction[1] = direction[0]
    direction[2] = -direction[0]
    space = LorentzSpace(("image", "dna"), DIM)
    leaves = [(radius * direction).clone().requires_grad_() for _ in range(2)]
    taxa = (radius * F.normalize(points(TAXA, 16).float(), dim=-1)).requires_grad_()
    image, dna = (space.lift(leaf) for leaf in leaves)
    scale = torch.tensor(100.0, requires_grad=True)
    has = everyone(8)
    views = {"image": View(image, has), "dna": View(dna, has)}
    parts = stacked_entailment(
        space.lift(taxa), LINEAGE, views["image"], views["dna"], space.curvature, Cones()
    )
    loss = contrastive_loss(space, views, scale) + parts["intra"] + parts["inter"]
    loss.backward()
    for tensor in (
        loss,
        *(leaf.grad for leaf in leaves),
        taxa.grad,
        scale.grad,
        space.log_curvature.grad,
    ):
        assert torch.isfinite(tensor).all()


def test_block_size_does_not_change_the_result(monkeypatch):
    taxa, image, dna = points(TAXA, 17), points(8, 18), points(8, 19)
    c, has = torch.tensor(1.0, dtype=torch.float64), everyone(8)
    views = {"image": View(image, has), "dna": View(dna, has)}
    values = []
    for block in (3, 16, 10_000):
        monkeypatch.setattr(pairs, "BLOCK_ELEMENTS", block)
        parts = stacked_entailment(taxa, LINEAGE, views["image"], views["dna"], c, Cones())
        contrastive = contrastive_loss(lorentz(), views, c)
        values.append((parts["intra"] + parts["inter"] + contrastive).item())
    assert values == pytest.approx([values[0]] * 3, rel=1e-12)


def test_entailment_counts_each_unique_parent_once():
    """A frequent name weighs as much as a rare one among the negatives: doubling a row doubles its
    positive, not its parent."""
    cones, c = Cones(aperture=0.3), torch.tensor(1.0, dtype=torch.float64)
    parents, child = points(3, 20, 0.5), points(1, 21)
    lineage = torch.tensor([[0, -1, -1, -1]])
    apexes = Parents(parents, torch.tensor([0, 0, 0]), torch.tensor([0, 1, 2]))
    once = entailment(apexes, Children.single(child, lineage), torch.tensor([0]), c, cones)
    two = Children.single(child.repeat(2, 1), lineage.repeat(2, 1))
    twice = entailment(apexes, two, torch.tensor([0, 0]), c, cones)
    heavy = Children(child, lineage, torch.tensor([2.0], dtype=torch.float64))
    weighted = entailment(apexes, heavy, torch.tensor([0]), c, cones)
    assert (
        float(once)
        == pytest.approx(float(twice), rel=1e-12)
        == pytest.approx(float(weighted), rel=1e-12)
    )


def test_a_second_derivative_of_the_losses_over_pairs_is_refused():
    """Otherwise it would lack what the points contribute."""
    c = torch.tensor(1.1, dtype=torch.float64)
    x, y = points(8, 22).requires_grad_(), points(8, 23)
    views = {"image": View(x, everyone(8)), "dna": View(y, everyone(8))}
    taxa = points(TAXA, 24)
    of_taxa = (taxa, LINEAGE, views["image"], views["dna"], c)
    gram = gram_of(lorentz(), *views.values())
    losses = (
        contrastive_loss(lorentz(), views, c),
        contrastive_loss(lorentz(), views, c, {("image", "dna"): gram}),
        stacked_entailment(*of_taxa, Cones(margin=3.0))["inter"],
        stacked_entailment(*of_taxa, Cones(margin=3.0), gram)["inter"],
        stacked_entailment(*of_taxa, Cones(negatives=False))["inter"],
        pair_entailment(View(y, everyone(8)), views, c, Cones()),
    )
    for loss in losses:
        assert torch.autograd.grad(loss, x, retain_graph=True)[0].norm() > 0
        with pytest.raises(RuntimeError, match="first derivatives only"):
            torch.autograd.grad(loss, x, create_graph=True)
