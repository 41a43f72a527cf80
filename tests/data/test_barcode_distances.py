"""Barcode distances against plain counting."""

import numpy as np
import pandas as pd
import pytest

from hypertax.data.barcodes.distances import distances_by_relation, p_distance
from hypertax.data.barcodes.strand import reverse_complement


def mutate(rng, read, share):
    read = np.array(list(read))
    where = rng.random(len(read)) < share
    read[where] = rng.choice(list("ACGT"), where.sum())
    return "".join(read)


@pytest.mark.parametrize("shift", [0, 1, 37, 250])
def test_p_distance_is_the_share_of_differing_bases_at_the_right_shift(shift):
    rng = np.random.default_rng(shift)
    whole = "".join(rng.choice(list("ACGT"), 658))
    other = mutate(rng, whole, 0.2)
    first, second = whole[: 658 - shift // 2], other[shift:]
    overlap = min(len(whole) - shift // 2, 658) - shift
    want = np.mean(
        [
            a != b
            for a, b in zip(
                whole[shift : shift + overlap], other[shift : shift + overlap], strict=True
            )
        ]
    )
    assert p_distance(pd.Series([first, second]), pd.Series([second, first])) == pytest.approx(
        [want, want], abs=1e-6
    )


def test_other_letters_do_not_count():
    rng = np.random.default_rng(0)
    read = "".join(rng.choice(list("ACGT"), 500))
    masked = read[:100] + "N" * 50 + read[150:]
    assert p_distance(pd.Series([read]), pd.Series([masked]))[0] == pytest.approx(0, abs=1e-6)


def test_reads_that_do_not_overlap_have_no_distance():
    rng = np.random.default_rng(1)
    unrelated = ["".join(rng.choice(list("ACGT"), 300)) for _ in range(2)]
    assert np.isnan(p_distance(pd.Series(unrelated[:1]), pd.Series(unrelated[1:]))[0])


def test_relations_are_the_lowest_shared_rank():
    rng = np.random.default_rng(2)
    rows = []
    for species in range(8):
        read = "".join(rng.choice(list("ACGT"), 400))
        names = {
            "order": f"O{species // 4}",
            "family": f"F{species // 2}",
            "genus": f"G{species // 2}",
            "species": f"S{species}",
        }
        rows += [{"barcode": mutate(rng, read, 0.01), **names} for _ in range(4)]
    found = distances_by_relation(pd.DataFrame(rows), pairs=20)
    counts = found.groupby("level").size()
    assert counts["species"] == 20 and "family" not in counts, (
        "two species of one genus share the genus, no two genera a family"
    )
    assert found.loc[found["level"] == "species", "p_distance"].max() < 0.05


def test_reads_of_different_strands_are_as_far_as_on_one():
    rng = np.random.default_rng(3)
    ancestor = "".join(rng.choice(list("ACGT"), 500))
    names = {"order": "O", "family": "F", "genus": "G", "species": "S"}
    reads = [mutate(rng, ancestor, 0.1) for _ in range(6)]
    plain = distances_by_relation(pd.DataFrame([{**names, "barcode": read} for read in reads]))
    turned = [reverse_complement(read) if k % 2 else read for k, read in enumerate(reads)]
    mixed = distances_by_relation(pd.DataFrame([{**names, "barcode": read} for read in turned]))
    assert mixed["p_distance"].max() < 0.25
    assert mixed["p_distance"].to_numpy() == pytest.approx(plain["p_distance"].to_numpy(), abs=1e-6)
