"""Taxa as rows of a table, and their vectors: against lineages and sums written out by hand, and cones that nest untrained."""

import math

import numpy as np
import pandas as pd
import pytest
import torch
from torch.nn import functional as F

from hypertax.cone_tree import radius_of_cone, turns_and_angles
from hypertax.config import RunConfig
from hypertax.data.batches import Names
from hypertax.data.table import COLUMNS as SPECIMEN_COLUMNS
from hypertax.embeddings import COLUMNS, Embeddings
from hypertax.encoders import text_encoder
from hypertax.nesting import nesting
from hypertax.taxon_table import MISSING, UNKNOWN, TaxonTable, TaxonTokens
from hypertax.taxonomy import RANKS

# Gaps in the middle and at the end, an only child, an order without children, one name at two ranks, one specimen without labels.
TRAINED = [
    ("Aa", "Fa", "Ga", "Ga x"),
    ("Aa", "Fa", "Ga", "Ga y"),
    ("Aa", "Fa", None, "Gz z"),
    ("Aa", None, "Gb", None),
    ("Aa", None, "Aa", "Aa v"),
    ("Bb", None, None, "Bs s"),
    ("Cc", None, None, None),
    (None, None, "Gd", "Gd w"),
    (None, None, None, None),
]
OTHERS = [("Aa", "Fa", "Ga", "Ga u"), ("Aa", "Fx", None, None), ("Ab", None, None, "Ab t")]


def specimens(lineages):
    rows = [[f"id{i}", None, "ACGT", *lineage, "train_seen"] for i, lineage in enumerate(lineages)]
    return pd.DataFrame(rows, columns=SPECIMEN_COLUMNS)


def tables(lineages=tuple(TRAINED), others=tuple(OTHERS)):
    """Names of all, tokens of the first ones."""
    names = Names(specimens([*lineages, *others]))
    return names, TaxonTokens.train(names, np.arange(len(lineages) + len(others)) < len(lineages))


def own_taxon(lineage):
    """The deepest rank named, and the name."""
    return [(rank, name) for rank, name in zip(RANKS, lineage, strict=True) if name is not None][-1]


def row_of(tokens):
    return {own_taxon(lineage): i for i, lineage in enumerate(tokens.lineages, start=1)}


# Tokens


def test_only_taxa_of_training_specimens_have_a_row():
    names, tokens = tables()
    trained = {(rank, name) for lineage in TRAINED for rank, name in zip(RANKS, lineage, strict=True) if name is not None}
    found = [own_taxon(lineage) for lineage in tokens.lineages]
    assert set(found) == trained and len(found) == len(trained) == tokens.size
    assert len(names.taxa) == tokens.size + 4  # Ga u, Fx, Ab, Ab t


def test_rows_of_a_lineage():
    names, tokens = tables()
    row = row_of(tokens)
    taxa = dict(zip(zip(names.taxa["rank"], names.taxa["name"], strict=True), tokens.taxa(names).tolist(), strict=True))
    order, family, genus = row["order", "Aa"], row["family", "Fa"], row["genus", "Ga"]
    assert taxa["order", "Aa"] == [order, MISSING, MISSING, MISSING]
    assert taxa["family", "Fa"] == [order, family, MISSING, MISSING]
    assert taxa["species", "Ga x"] == [order, family, genus, row["species", "Ga x"]]
    assert taxa["species", "Gz z"] == [order, family, MISSING, row["species", "Gz z"]]
    assert taxa["genus", "Aa"] == [order, MISSING, row["genus", "Aa"], MISSING] and row["genus", "Aa"] != order
    assert taxa["species", "Gd w"] == [MISSING, MISSING, row["genus", "Gd"], row["species", "Gd w"]]
    untrained = [("species", "Ga u"), ("family", "Fx"), ("order", "Ab"), ("species", "Ab t")]
    assert all(taxa[taxon][RANKS.index(taxon[0])] == UNKNOWN for taxon in untrained)
    assert sorted(row.values()) == list(range(1, tokens.size + 1)) and MISSING == 0 and UNKNOWN < 0


def test_a_parent_is_the_next_known_rank_above():
    _, tokens = tables()
    row = row_of(tokens)
    own = {i: taxon for taxon, i in row.items()}
    found = {own[i]: own.get(above) for i, above in enumerate(tokens.parents().tolist()) if i}
    assert found == {
        ("order", "Aa"): None,
        ("order", "Bb"): None,
        ("order", "Cc"): None,
        ("family", "Fa"): ("order", "Aa"),
        ("genus", "Aa"): ("order", "Aa"),
        ("genus", "Ga"): ("family", "Fa"),
        ("genus", "Gb"): ("order", "Aa"),
        ("genus", "Gd"): None,
        ("species", "Ga x"): ("genus", "Ga"),
        ("species", "Ga y"): ("genus", "Ga"),
        ("species", "Gz z"): ("family", "Fa"),
        ("species", "Aa v"): ("genus", "Aa"),
        ("species", "Bs s"): ("order", "Bb"),
        ("species", "Gd w"): ("genus", "Gd"),
    }
    assert tokens.parents()[0] == -1 and tokens.ranks()[0] == 0
    assert {own[i]: RANKS[rank] for i, rank in enumerate(tokens.ranks()) if i} == {taxon: taxon[0] for taxon in row}


def test_what_others_say_of_a_trained_taxon_does_not_make_it_unknown():
    """A specimen for training skips the family that another one, not for training, names: its genus has a row, and keeps it."""
    names, tokens = tables((("Aa", None, "Ga", None), ("Aa", "Fb", "Gb", None)), (("Aa", "Fa", "Ga", None),))
    taxa = dict(zip(names.taxa["name"], tokens.taxa(names).tolist(), strict=True))
    row = row_of(tokens)
    assert ("genus", "Ga") in row and taxa["Fa"][1] == UNKNOWN
    assert taxa["Ga"] == [row["order", "Aa"], MISSING, row["genus", "Ga"], MISSING]


def test_a_file_gives_back_the_tokens(tmp_path):
    names, tokens = tables((*TRAINED, ("Ää", None, None, "Ää “q”")))
    tokens.save(tmp_path / "tokenizer.json")
    again = TaxonTokens.load(tmp_path / "tokenizer.json")
    assert again.lineages == tokens.lineages and again.size == tokens.size
    assert np.array_equal(again.taxa(names), tokens.taxa(names))
    assert np.array_equal(again.parents(), tokens.parents()) and np.array_equal(again.ranks(), tokens.ranks())


def test_without_training_labels_nothing_is_known():
    names, tokens = tables(((None, None, None, None),))
    assert tokens.size == 0 and tokens.parents().tolist() == [-1] and tokens.ranks().tolist() == [0]
    assert set(tokens.taxa(names).ravel().tolist()) == {MISSING, UNKNOWN}


# Vectors


def known_rows(names, tokens):
    rows = tokens.taxa(names)
    return torch.from_numpy(rows[(rows != UNKNOWN).all(axis=1)])


def test_lineage_vectors_are_sums_over_the_root_of_their_number():
    names, tokens = tables()
    torch.manual_seed(0)
    table = TaxonTable(tokens.size, 5).double()
    rows = torch.from_numpy(tokens.taxa(names))
    weight = table.vectors.weight.detach().numpy()
    for row, found in zip(rows.tolist(), table(rows).detach().numpy(), strict=True):
        own = [weight[i] for i in row if i > 0]
        assert found == pytest.approx(sum(own) / math.sqrt(len(own)) if own else np.zeros(5), rel=1e-6)


def turned(weight, row, turns, radii):
    """One lineage, rank by rank: the parent's direction, turned within the plane of it and the taxon's own vector, to that one's side."""
    direction = None
    for i in row:
        if i <= 0:
            continue
        own = weight[i] / np.linalg.norm(weight[i])
        if direction is None:
            direction = own
        else:
            side = own - own @ direction * direction
            direction = math.cos(turns[i]) * direction + math.sin(turns[i]) * side / np.linalg.norm(side)
    return radii[[i for i in row if i > 0][-1]] * direction


def test_tree_vectors_are_turned_rank_by_rank():
    names, tokens = tables()
    rng = np.random.default_rng(0)
    turns, radii = rng.uniform(0.1, 1.2, tokens.size + 1), rng.uniform(0.5, 3, tokens.size + 1)
    table = TaxonTable(tokens.size, 6, turns, radii).double()
    torch.nn.init.normal_(table.vectors.weight)
    rows = known_rows(names, tokens)
    weight = table.vectors.weight.detach().numpy()
    want = np.stack([turned(weight, row, turns, radii) for row in rows.tolist()])
    assert table(rows).detach().numpy() == pytest.approx(want, rel=1e-5, abs=1e-6)


def forest(seed, species=40):
    """Lineages in which a third of the families and genera are missing."""
    rng = np.random.default_rng(seed)
    found = []
    for s in range(species):
        g = rng.integers(0, 20)
        genus, family, order = f"G{g}", f"F{g // 3}", f"O{g // 6}"
        kept = [order, family if g % 3 else None, genus if s % 3 else None, f"S{g}-{s}" if s % 7 else None]
        found.append(tuple(kept))
    return found


def tree_config(**parameters):
    return RunConfig.create("tiny", recipe="nested", **{"embed_dim": 24, **parameters})


def tree_embeddings(table, names, tokens, config):
    """Of the known taxa of a table of vectors, as `embed` gives them."""
    rows = tokens.taxa(names)
    known = (rows != UNKNOWN).all(axis=1)
    with torch.no_grad():
        tangent = table(torch.from_numpy(rows[known])).float().numpy()
    taxa = names.taxa[known].rename(columns={"name": "id"}).assign(modality="text", split=None)[list(COLUMNS)]
    return Embeddings(taxa.reset_index(drop=True), tangent, "lorentz", config.curvature)


@pytest.mark.parametrize("seed", range(3))
def test_a_child_lies_at_the_given_angle_and_radius(seed):
    config = tree_config(curvature=2.5)
    names, tokens = tables(tuple(forest(seed)), ())
    torch.manual_seed(seed)
    table = text_encoder(config, tokens, False).double()
    rows = torch.from_numpy(tokens.taxa(names))
    vectors = table(rows).detach()
    place = {int(row[row > 0][-1]): i for i, row in enumerate(rows)}
    assert sorted(place) == list(range(1, tokens.size + 1))
    turns, angles = turns_and_angles(tokens.ranks(), tokens.parents(), config.cone_degrees)
    radii = radius_of_cone(np.deg2rad(angles), config.specimen_radius, config.aperture) / math.sqrt(2.5)
    edges = 0
    for child, above in enumerate(tokens.parents()):
        if child:
            assert float(vectors[place[child]].norm()) == pytest.approx(radii[child], rel=1e-6)
        if above >= 0:
            cosine = F.cosine_similarity(vectors[place[child]], vectors[place[above]], dim=0)
            assert math.degrees(math.acos(float(cosine))) == pytest.approx(turns[child], abs=1e-4) and turns[child] > 0
            edges += 1
    assert edges > 30


@pytest.mark.parametrize(
    "parameters", [{}, {"curvature": 0.3}, {"aperture": 0.1, "cone_angles": "78 60 40 1"}, {"specimen_radius": 9.0}], ids=str
)
@pytest.mark.parametrize("seed", range(3))
def test_cones_nest_before_anything_is_learned(seed, parameters):
    config = tree_config(**parameters)
    names, tokens = tables(tuple(forest(seed)), ())
    torch.manual_seed(seed)
    table = text_encoder(config, tokens, False)
    torch.nn.init.normal_(table.vectors.weight, std=(0.05, 1.0, 30.0)[seed])
    found = nesting(tree_embeddings(table, names, tokens, config), aperture=config.aperture).set_index("rank")
    assert list(found.index) == ["family", "genus", "species"] and (found["edges"] > 3).all()
    assert (found["unsaturated"] == found["edges"]).all(), "no cone is a half-space"
    assert (found["nested"] == 1).all() and (found["sampled_whole"] == 1).all()


@pytest.mark.parametrize(
    "lineage",
    [("O1", None, "G1", "S2"), ("O1", "F2", "G1", "S2")],
    ids=["skips what its genus has", "has another family than its genus"],
)
def test_cones_nest_where_specimens_disagree_about_the_ranks_above(lineage):
    config = tree_config()
    names, tokens = tables((("O1", "F1", "G1", "S1"), lineage, ("O1", "F2", "G2", "S3")), ())
    torch.manual_seed(0)
    found = nesting(tree_embeddings(text_encoder(config, tokens, False), names, tokens, config), aperture=config.aperture)
    assert (found["nested"] == 1).all() and (found["sampled_whole"] == 1).all()


def test_a_turn_beyond_the_slack_leaves_the_parents_cone():
    """A parent is no wider than it must be: the widest child, turned by more than the slack, is out; nothing but the angles nests cones."""
    config = tree_config()
    names, tokens = tables(tuple(forest(0)), ())
    table = text_encoder(config, tokens, False)
    turns, _ = turns_and_angles(tokens.ranks(), tokens.parents(), config.cone_degrees)
    for beyond, all_nested in ((0.45, True), (0.55, False)):
        table.turns = torch.from_numpy(np.deg2rad(turns + beyond)).float()
        found = nesting(tree_embeddings(table, names, tokens, config), aperture=config.aperture)
        assert ((found["nested"] == 1) & (found["sampled_whole"] == 1)).all() == all_nested
        assert all_nested or (found["nested"] < 1).all()


@pytest.mark.parametrize("encoder", ["lineage", "tree"])
def test_gradients_are_finite_and_reach_every_trained_taxon(encoder):
    names, tokens = tables()
    torch.manual_seed(0)
    table = text_encoder(tree_config(text_encoder=encoder), tokens, False)
    row = row_of(tokens)
    with torch.no_grad():
        # A child exactly in its parent's direction has no side to turn to.
        table.vectors.weight[row["family", "Fa"]] = 3 * table.vectors.weight[row["order", "Aa"]]
    rows = known_rows(names, tokens)
    (table(rows) * torch.randn(len(rows), table.width)).sum().backward()
    grad = table.vectors.weight.grad
    assert torch.isfinite(grad).all()
    assert (grad[1:].norm(dim=1) > 0).all() and grad[MISSING].norm() == 0


def test_a_tree_vectors_length_gets_no_gradient():
    """Radii are given: along itself a taxon's own vector has nothing to learn, and its scale changes nothing."""
    names, tokens = tables()
    torch.manual_seed(0)
    table = text_encoder(tree_config(), tokens, False).double()
    rows = known_rows(names, tokens)
    before = table(rows)
    (before * torch.randn_like(before)).sum().backward()
    weight, grad = table.vectors.weight.detach()[1:], table.vectors.weight.grad[1:]
    assert ((weight * grad).sum(dim=1).abs() < 1e-9 * weight.norm(dim=1) * grad.norm(dim=1)).all()
    with torch.no_grad():
        table.vectors.weight *= torch.rand(tokens.size + 1, 1) * 10 + 0.1
        torch.testing.assert_close(table(rows), before, rtol=1e-9, atol=1e-12)
