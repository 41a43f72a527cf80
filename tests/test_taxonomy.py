"""Parents of taxa and specimens in tables where some are missing."""

import numpy as np
import pandas as pd
import pytest

from hypertax.taxonomy import RANKS, parent_rows


def table(rows: list[tuple]) -> pd.DataFrame:
    """Rows (id, rank, order, family, genus, species), None where missing."""
    return pd.DataFrame(rows, columns=["id", "rank", *RANKS])


TAXA = table(
    [
        ("s1", "species", "O", "F", "G", "s1"),
        ("O", "order", "O", None, None, None),
        # The family F has no row of its own.
        ("G", "genus", "O", "F", "G", None),
        ("s2", "species", "O", None, None, "s2"),
        ("s3", "species", "Elsewhere", None, None, "s3"),
    ]
)
SPECIMENS = table(
    [
        ("x0", None, "O", "F", "G", "s1"),
        ("x1", None, "O", "F", "G", "unknown"),
        ("x2", None, "O", "F", None, None),
        ("x3", None, None, None, None, None),
    ]
)


def test_a_parent_is_the_next_name_above_and_ranks_without_a_name_are_passed():
    assert parent_rows(TAXA, TAXA).tolist() == [2, -1, -1, 1, -1]
    assert parent_rows(SPECIMENS, TAXA).tolist() == [0, -1, -1, -1]


def test_names_that_are_absent_from_the_table_may_be_skipped():
    assert parent_rows(TAXA, TAXA, skip_absent=True).tolist() == [2, -1, 1, 1, -1]
    assert parent_rows(SPECIMENS, TAXA, skip_absent=True).tolist() == [0, 2, 1, -1]


def literal(row: pd.Series, taxa: pd.DataFrame, skip_absent: bool) -> int:
    """One row's parent, name by name."""
    ranks = RANKS if pd.isna(row["rank"]) else RANKS[: RANKS.index(row["rank"])]
    for rank in reversed(ranks):
        if pd.isna(row[rank]):
            continue
        found = np.flatnonzero(((taxa["rank"] == rank) & (taxa["id"] == row[rank])).to_numpy())
        if len(found):
            return found[0]
        if not skip_absent:
            return -1
    return -1


@pytest.mark.parametrize("skip_absent", [False, True])
def test_random_tables_agree_with_a_literal_search(skip_absent):
    rng = np.random.default_rng(0)
    rows = []
    for n in range(300):
        names = [f"{rank}{rng.integers(6)}" if rng.random() < 0.7 else None for rank in RANKS]
        rows.append((f"x{n}", None, *names))
    for depth, rank in enumerate(RANKS):
        for n in range(5):
            above = [f"{r}{rng.integers(6)}" if rng.random() < 0.7 else None for r in RANKS[:depth]]
            rows.append((f"{rank}{n}", rank, *above, f"{rank}{n}", *[None] * (3 - depth)))
    both = table(rows).sample(frac=1, random_state=1, ignore_index=True)
    expected = [literal(row, both, skip_absent) for _, row in both.iterrows()]
    assert parent_rows(both, both, skip_absent=skip_absent).tolist() == expected
    assert -1 in expected and max(expected) > 0
