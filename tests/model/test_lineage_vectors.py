"""Taxa as rows of a table, and their vectors: against lineages and sums written out by hand."""

import math

import numpy as np
import pytest
import torch
from small_lineages import forest, names_and_tokens

from hypertax.config.run_config import RunConfig
from hypertax.model.encoders import text_encoder
from hypertax.model.lineage_vectors import MISSING, UNKNOWN, TaxonTable, TaxonTokens
from hypertax.taxonomy import RANKS

# Gaps in the middle and at the end, an only child, an order without children, one name at two
# ranks, one specimen without labels.
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


def tables(lineages=tuple(TRAINED), others=tuple(OTHERS)):
    """Names of all, tokens of the first ones."""
    return names_and_tokens(lineages, others)


def own_taxon(lineage):
    """The deepest rank named, and the name."""
    return [(rank, name) for rank, name in zip(RANKS, lineage, strict=True) if name is not None][-1]


def row_of(tokens):
    return {own_taxon(lineage): i for i, lineage in enumerate(tokens.lineages, start=1)}


# Tokens


def test_only_taxa_of_training_specimens_have_a_row():
    names, tokens = tables()
    trained = {
        (rank, name)
        for lineage in TRAINED
        for rank, name in zip(RANKS, lineage, strict=True)
        if name is not None
    }
    found = [own_taxon(lineage) for lineage in tokens.lineages]
    assert set(found) == trained and len(found) == len(trained) == tokens.size
    assert len(names.taxa) == tokens.size + 4  # Ga u, Fx, Ab, Ab t


def test_rows_of_a_lineage():
    names, tokens = tables()
    row = row_of(tokens)
    taxa = dict(
        zip(
            zip(names.taxa["rank"], names.taxa["name"], strict=True),
            tokens.taxa(names).tolist(),
            strict=True,
        )
    )
    order, family, genus = row["order", "Aa"], row["family", "Fa"], row["genus", "Ga"]
    assert taxa["order", "Aa"] == [order, MISSING, MISSING, MISSING]
    assert taxa["family", "Fa"] == [order, family, MISSING, MISSING]
    assert taxa["species", "Ga x"] == [order, family, genus, row["species", "Ga x"]]
    assert taxa["species", "Gz z"] == [order, family, MISSING, row["species", "Gz z"]]
    assert (
        taxa["genus", "Aa"] == [order, MISSING, row["genus", "Aa"], MISSING]
        and row["genus", "Aa"] != order
    )
    assert taxa["species", "Gd w"] == [MISSING, MISSING, row["genus", "Gd"], row["species", "Gd w"]]
    untrained = [("species", "Ga u"), ("family", "Fx"), ("order", "Ab"), ("species", "Ab t")]
    assert all(taxa[taxon][RANKS.index(taxon[0])] == UNKNOWN for taxon in untrained)
    assert sorted(row.values()) == list(range(1, tokens.size + 1)) and MISSING == 0 and UNKNOWN < 0


def test_a_row_of_its_own_for_every_taxon():
    """What `taxa` gives of the names at hand, `rows` gives of the table's taxa in their order, a
    row of `MISSING` before them."""
    names, tokens = tables()
    by_name = dict(
        zip(
            zip(names.taxa["rank"], names.taxa["name"], strict=True),
            tokens.taxa(names).tolist(),
            strict=True,
        )
    )
    rows, parents, ranks = tokens.rows(), tokens.parents(), tokens.ranks()
    assert (
        rows.shape == (tokens.size + 1, 4)
        and rows.dtype == np.int64
        and rows[0].tolist() == [MISSING] * 4
    )
    for taxon, i in row_of(tokens).items():
        assert rows[i].tolist() == by_name[taxon] and rows[i][ranks[i]] == i
        above = rows[i][rows[i] > MISSING][:-1]
        assert parents[i] == (above[-1] if len(above) else -1)
        assert (
            len(above) == 0 or rows[i][: ranks[i]].tolist() == rows[parents[i]][: ranks[i]].tolist()
        ), "its parent's, and its own"
    assert {(rows[i] > MISSING).sum() for i in range(1, tokens.size + 1)} == {1, 2, 3, 4}


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
    assert {own[i]: RANKS[rank] for i, rank in enumerate(tokens.ranks()) if i} == {
        taxon: taxon[0] for taxon in row
    }


def test_what_others_say_of_a_trained_taxon_does_not_make_it_unknown():
    """A specimen for training skips the family that another one, not for training, names: its genus
    has a row, and keeps it."""
    names, tokens = tables(
        (("Aa", None, "Ga", None), ("Aa", "Fb", "Gb", None)), (("Aa", "Fa", "Ga", None),)
    )
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
    for of in ("parents", "ranks", "rows"):
        assert np.array_equal(getattr(again, of)(), getattr(tokens, of)())


def test_without_training_labels_nothing_is_known():
    names, tokens = tables(((None, None, None, None),))
    assert tokens.size == 0 and tokens.parents().tolist() == [-1] and tokens.ranks().tolist() == [0]
    assert set(tokens.taxa(names).ravel().tolist()) == {
        MISSING,
        UNKNOWN,
    } and tokens.rows().tolist() == [[MISSING] * 4]


# Vectors


def known_rows(names, tokens):
    rows = tokens.taxa(names)
    return torch.from_numpy(rows[(rows != UNKNOWN).all(axis=1)])


def test_lineage_vectors_are_sums_over_the_root_of_their_number():
    names, tokens = tables()
    torch.manual_seed(0)
    table = TaxonTable(tokens, 5).double()
    assert table.radii is None
    rows = torch.from_numpy(tokens.taxa(names))
    weight = table.vectors.weight.detach().numpy()
    for row, found in zip(rows.tolist(), table(rows).detach().numpy(), strict=True):
        own = [weight[i] for i in row if i > 0]
        assert found == pytest.approx(
            sum(own) / math.sqrt(len(own)) if own else np.zeros(5), rel=1e-6
        )


def summed(weight, row):
    """The unit vector along the sum of a lineage's vectors, rank by rank."""
    total = np.zeros(weight.shape[1])
    for i in row:
        if i > 0:
            total = total + weight[i]
    return total / np.linalg.norm(total)


def test_vectors_with_cones_have_the_direction_of_the_sum_and_the_radius_of_their_own_row():
    names, tokens = tables()
    torch.manual_seed(0)
    table = TaxonTable(tokens, 6, cones=True).double()
    assert table.radii.shape == (tokens.size + 1,)
    table.radii.copy_(torch.rand(tokens.size + 1) * 3 + 0.5)
    rows = known_rows(names, tokens)
    weight, radii = table.vectors.weight.detach().numpy(), table.radii.numpy()
    want = np.stack(
        [radii[[i for i in row if i > 0][-1]] * summed(weight, row) for row in rows.tolist()]
    )
    assert len(want) == tokens.size and table(rows).detach().numpy() == pytest.approx(
        want, rel=1e-6
    )
    # What has no vector, of its own or at all, is the origin.
    assert (table(torch.tensor([[MISSING] * 4, [MISSING, MISSING, UNKNOWN, MISSING]])) == 0).all()


@pytest.mark.parametrize("cones", [False, True])
def test_directions_are_those_of_the_vectors_by_row(cones):
    _, tokens = tables(tuple(forest(0)), ())
    torch.manual_seed(0)
    table = TaxonTable(tokens, 7, cones=cones).double()
    found, weight = table.directions().detach().numpy(), table.vectors.weight.detach().numpy()
    want = [summed(weight, row) for row in tokens.rows()[1:].tolist()]
    assert found[1:] == pytest.approx(np.stack(want), rel=1e-9) and (found[0] == 0).all()
    vectors = table(torch.from_numpy(tokens.rows())).detach().numpy()[1:]
    assert vectors / np.linalg.norm(vectors, axis=1, keepdims=True) == pytest.approx(
        found[1:], rel=1e-9
    )


def encoder_of(entailment, tokens):
    config = RunConfig.create("tiny", recipe="nested", entailment=entailment, embed_dim=24)
    return text_encoder(config, tokens, False)


def test_the_objective_decides_whether_there_are_cones():
    _, tokens = tables()
    nested, plain = encoder_of("cones", tokens), encoder_of("none", tokens)
    assert (nested.width, plain.width) == (23, 24), (
        "one dimension of the shared space is the root's"
    )
    assert nested.radii is not None and plain.radii is None
    # Radii are saved; what the tokens say is not.
    assert nested.state_dict().keys() == {
        "vectors.weight",
        "radii",
    } and plain.state_dict().keys() == {"vectors.weight"}


@pytest.mark.parametrize("entailment", ["none", "cones"])
def test_gradients_are_finite_and_reach_every_trained_taxon(entailment):
    names, tokens = tables()
    torch.manual_seed(0)
    table = encoder_of(entailment, tokens)
    row = row_of(tokens)
    with torch.no_grad():
        # A child exactly in its parent's direction, and one whose vectors cancel.
        table.vectors.weight[row["family", "Fa"]] = 3 * table.vectors.weight[row["order", "Aa"]]
        table.vectors.weight[row["species", "Bs s"]] = -table.vectors.weight[row["order", "Bb"]]
    rows = known_rows(names, tokens)
    (table(rows) * torch.randn(len(rows), table.width)).sum().backward()
    grad = table.vectors.weight.grad
    assert torch.isfinite(grad).all()
    assert (grad[1:].norm(dim=1) > 0).all() and grad[MISSING].norm() == 0


def test_the_scale_of_all_vectors_gets_no_gradient_where_there_are_cones():
    """Radii are given: all vectors ten times as long are the same taxa."""
    names, tokens = tables()
    torch.manual_seed(0)
    table = encoder_of("cones", tokens).double()
    rows = known_rows(names, tokens)
    before = table(rows)
    (before * torch.randn_like(before)).sum().backward()
    weight, grad = table.vectors.weight.detach(), table.vectors.weight.grad
    assert abs(float((weight * grad).sum())) < 1e-9 * float(weight.norm() * grad.norm())
    with torch.no_grad():
        table.vectors.weight *= 10
        torch.testing.assert_close(table(rows), before, rtol=1e-9, atol=1e-12)
