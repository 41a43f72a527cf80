"""The nearest taxa on the way to the origin, against distances worked out by hand."""

import numpy as np
import pandas as pd
import pytest
from walk_cases import line_of_taxa

from hypertax.embeddings import Embeddings
from hypertax.evaluation.walk import bands, taxa_on_the_way


def test_the_walk_meets_the_taxa_that_are_nearest_on_the_geodesic():
    steps = taxa_on_the_way(line_of_taxa(), 3, steps=31)
    np.testing.assert_allclose(steps["radius"], np.linspace(3, 0, 31), atol=1e-12)
    np.testing.assert_allclose(steps["way"], np.linspace(0, 1, 31), atol=1e-12)
    # On the axis distances are differences of radii: species until 1.25, then order; near the
    # origin, at x, the genus at distance 0.1 aside (cosh d = cosh x cosh 0.1) is nearer than the
    # order at 0.5 - x.
    x = steps["radius"].to_numpy()
    aside = np.arccosh(np.cosh(x) * np.cosh(0.1))
    expected = np.array(["Aptera", "Aa x", "Ba"])[
        np.argmin([np.abs(x - 0.5), np.abs(x - 2), aside], axis=0)
    ]
    assert steps["taxon"].tolist() == expected.tolist() and set(expected) == {
        "Aa x",
        "Aptera",
        "Ba",
    }
    assert steps.loc[x > 1.3, "taxon"].eq("Aa x").all() and steps["taxon"].iloc[-1] == "Ba"
    states = steps.drop_duplicates("taxon").set_index("taxon")["lineage"].to_dict()
    assert states == {"Aa x": "own", "Aptera": "own", "Ba": "other"}


def test_a_rank_without_a_label_is_neither_right_nor_wrong():
    embeddings = line_of_taxa()
    table = embeddings.table.copy()
    table.loc[3, "genus"] = None
    steps = taxa_on_the_way(Embeddings(table, embeddings.tangent, "lorentz", 1.0), 3, steps=11)
    assert set(steps.loc[steps["taxon"] == "Ba", "lineage"]) == {"unknown"} and set(
        steps["lineage"]
    ) == {"own", "unknown"}


def test_bands_join_steps_and_cover_the_way():
    steps = pd.DataFrame(
        {
            "way": [0, 0.25, 0.5, 0.75, 1],
            "rank": ["species", "species", "genus", "species", "order"],
            "taxon": ["a", "a", "b", "a", "c"],
            "lineage": ["own", "own", "other", "own", "other"],
        }
    )
    found = bands(steps)
    assert found["taxon"].tolist() == ["a", "b", "a", "c"] and found["lineage"].tolist() == [
        "own",
        "other",
        "own",
        "other",
    ]
    assert found["start"].tolist() == [0, 0.375, 0.625, 0.875] and found["end"].tolist() == [
        0.375,
        0.625,
        0.875,
        1,
    ]


def test_a_walk_needs_a_lorentz_space_and_taxa():
    embeddings = line_of_taxa()
    flat_space = Embeddings(embeddings.table, embeddings.tangent, "euclidean")
    with pytest.raises(ValueError, match="cosine is the same"):
        taxa_on_the_way(flat_space, 3)
    with pytest.raises(ValueError, match="no taxa"):
        taxa_on_the_way(embeddings.where(embeddings.table["modality"] != "text"), 0)
