"""The simulated data set: its layout, its biology, and that it is the same every time."""

from __future__ import annotations

import hashlib
import io
import sys
import time
from itertools import pairwise
from subprocess import DEVNULL

import numpy as np
import pandas as pd
import psutil
import pytest
from bioscan_dataset.bioscan1m import CLIBD_VALID_SPLITS, load_bioscan1m_metadata
from PIL import Image

from hypertax.data.simulation import dataset as simulation
from hypertax.data.simulation.barcodes import LENGTH, barcodes
from hypertax.data.simulation.dataset import METADATA, TREE, simulate
from hypertax.data.simulation.images import ASPECTS, SHORT_SIDE, photograph
from hypertax.data.simulation.traits import TRAITS, species_traits, specimen_traits
from hypertax.data.simulation.tree import CROWN_AGES, lineages, species_tree
from hypertax.taxonomy import RANKS

SMALL = {
    "orders": 3,
    "families": 5,
    "genera": 8,
    "species": 20,
    "specimens": 100,
    "unlabelled": 20,
    "progress": False,
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("simulated") / "data"
    simulate(folder, **SMALL, processes=1)
    return folder


@pytest.fixture(scope="module")
def metadata(folder) -> pd.DataFrame:
    return load_bioscan1m_metadata(
        str(folder / "bioscan1m" / METADATA), partitioning_version="clibd"
    )


@pytest.fixture(scope="module")
def tree():
    return species_tree(np.random.default_rng(7), orders=6, families=14, genera=40, species=120)


def contents(folder) -> dict[str, str]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in files
    }


def test_same_seed_same_bytes_whatever_the_processes(folder, tmp_path):
    simulate(tmp_path / "again", **SMALL, processes=2)
    assert contents(tmp_path / "again") == contents(folder)
    assert [path.name for path in tmp_path.iterdir()] == ["again"]


def test_another_seed_is_another_data_set(folder, tmp_path):
    simulate(tmp_path / "other", **SMALL, seed=1, processes=1)
    ours, other = contents(folder), contents(tmp_path / "other")
    images = [name for name in ours if name.endswith(".jpg")]
    assert len(images) == 120
    assert not any(ours[name] == other[name] for name in images)
    assert ours[TREE] != other[TREE]


def test_bioscan_dataset_reads_every_split(folder, metadata):
    path = str(folder / "bioscan1m" / METADATA)
    assert len(metadata) == 120
    total = 0
    for split in CLIBD_VALID_SPLITS:
        part = load_bioscan1m_metadata(path, partitioning_version="clibd", split=split)
        assert len(part) > 0 and part["nucraw"].notna().all()
        assert set(part["sampleid"]) == set(
            metadata.loc[metadata["clibd_split"] == split, "sampleid"]
        )
        total += len(part)
    assert total == len(metadata)
    for union, members in (
        ("all_keys", ("seen_keys", "val_unseen_keys", "test_unseen_keys")),
        ("no_split_and_seen_train", ("no_split", "train_seen")),
    ):
        part = load_bioscan1m_metadata(path, partitioning_version="clibd", split=union)
        assert set(part["sampleid"]) == set(
            metadata.loc[metadata["clibd_split"].isin(members), "sampleid"]
        )


def test_columns_are_those_of_bioscan1m(folder):
    from bioscan_dataset.bioscan1m import COLUMN_DTYPES

    assert list(pd.read_csv(folder / "bioscan1m" / METADATA, sep="\t", nrows=1).columns) == list(
        COLUMN_DTYPES
    )


def test_only_no_split_stops_above_species_and_no_rank_is_skipped(metadata):
    species = metadata["species"].notna()
    assert (species == (metadata["clibd_split"] != "no_split")).all()
    assert (~species).sum() == 20
    assert (
        metadata.loc[~species, "genus"].isna().any()
        and metadata.loc[~species, "genus"].notna().any()
    )
    for above, below in pairwise(RANKS):
        assert metadata.loc[metadata[below].notna(), above].notna().all()


def test_tree_agrees_with_the_labels(folder, metadata):
    newick = (folder / TREE).read_text()
    found = _clades(newick)
    for rank, above in zip(RANKS[1:], RANKS):
        pairs = metadata[[above, rank]].dropna().astype(str).drop_duplicates()
        for parent, child in pairs.itertuples(index=False):
            assert child.replace(" ", "_") in found[parent.replace(" ", "_")]


def _clades(newick: str) -> dict[str, set[str]]:
    """The names below each named node: a reader of Newick that shares nothing with the writer."""
    import newick as reader

    root = reader.loads(newick)[0]
    return {
        node.name: {below.name for below in node.walk() if below is not node}
        for node in root.walk()
        if node.name
    }


def test_taxa_are_counted_and_dated(tree):
    table = pd.DataFrame(lineages(tree))
    assert table.nunique().to_dict() == {"order": 6, "family": 14, "genus": 40, "species": 120}
    assert (table.groupby("genus")["family"].nunique() == 1).all() and (
        table.groupby("family")["order"].nunique() == 1
    ).all()
    assert table["order"].str.match(r"^[A-Z][a-z]+ptera$").all()
    assert table["family"].str.match(r"^[A-Z][a-z]+idae$").all()
    assert table["species"].str.match(r"^[A-Z][a-z]+ [a-z]+$").all()
    assert (table["species"].str.split(" ").str[0] == table["genus"]).all()

    def visit(node, oldest):
        assert node.age < oldest or node is tree
        if node.rank in CROWN_AGES:
            low, high = CROWN_AGES[node.rank]
            assert low <= node.age <= high
        for child in node.children:
            visit(child, node.age)

    visit(tree, np.inf)


def test_families_bear_the_stem_of_a_genus(tree):
    table = pd.DataFrame(lineages(tree))
    for family, genera in table.groupby("family")["genus"]:
        assert any(genus.startswith(family.removesuffix("idae")) for genus in genera)


def test_p_distances_are_those_of_coi(tree):
    species = np.repeat(np.arange(120), 4)
    reads = [read for read in barcodes(tree, species, seed=3)]
    whole = np.array([len(read) == LENGTH and "N" not in read for read in reads])
    assert 0.25 < whole.mean() < 0.55
    letters = np.array([list(read) for read, is_whole in zip(reads, whole) if is_whole])
    apart = (
        1
        - sum(
            (letters == base).astype(np.float32) @ (letters == base).astype(np.float32).T
            for base in "ACGT"
        )
        / LENGTH
    )
    table = pd.DataFrame(lineages(tree)).iloc[species[whole]]
    same = {rank: table[rank].to_numpy()[:, None] == table[rank].to_numpy()[None] for rank in RANKS}
    pair = np.triu(np.ones_like(apart, dtype=bool), 1)
    expected = {  # 5 and 95 % of the pairs, in per cent, as real COI has them.
        "within species": (same["species"], 0, 2.2),
        "within genus": (same["genus"] & ~same["species"], 2, 12),
        "within family": (same["family"] & ~same["genus"], 6, 18),
        "between orders": (~same["order"], 17, 29),
    }
    for name, (pairs, low, high) in expected.items():
        quantiles = 100 * np.quantile(apart[pairs & pair], (0.05, 0.95))
        assert low <= quantiles[0] and quantiles[1] <= high, f"{name}: {quantiles}"
    assert 0.62 < np.isin(letters, ["A", "T"]).mean() < 0.78


def test_barcodes_have_no_stop_codon(tree):
    for read in barcodes(tree, np.arange(120), seed=3):
        if len(read) == LENGTH:
            codons = {read[k : k + 3] for k in range(1, LENGTH - 2, 3)}
            assert not codons & {"TAA", "TAG"}


def test_specimens_keep_the_order_in_which_they_were_asked_for(tree):
    species = np.random.default_rng(0).permutation(np.repeat(np.arange(30), 3))
    reads = barcodes(tree, species, seed=5)
    whole = [
        (k, read) for k, read in zip(species, reads) if len(read) == LENGTH and "N" not in read
    ]

    def share(same: bool) -> float:
        apart = [
            np.mean([a != b for a, b in zip(r, s)])
            for i, (k, r) in enumerate(whole)
            for m, s in whole[:i]
            if (k == m) == same
        ]
        return float(np.mean(apart))

    assert share(True) < 0.02 and share(False) > 0.1


def test_photographs_are_as_large_as_those_of_bioscan1m(folder, metadata):
    for name, part in zip(metadata["image_file"], metadata["chunk_number"]):
        with Image.open(
            folder / "bioscan1m" / "images" / "cropped_256" / f"part{part}" / name
        ) as image:
            assert image.format == "JPEG" and image.mode == "RGB" and min(image.size) == SHORT_SIDE
            assert ASPECTS[0] - 0.01 <= image.width / image.height <= ASPECTS[1] + 0.01
    assert (np.bincount(metadata["chunk_number"])[1:] <= 1000).all()


def test_photographs_show_an_insect_before_a_pale_well(tree):
    traits = species_traits(tree, seed=0)
    for k in range(0, 120, 10):
        pixels = np.asarray(Image.open(io.BytesIO(photograph(traits[k], (0, k))))).astype(float)
        border = np.concatenate([pixels[:6].reshape(-1, 3), pixels[-6:].reshape(-1, 3)])
        assert 130 < np.median(border) < 235
        different = np.abs(pixels - np.median(pixels.reshape(-1, 3), axis=0)).max(-1) > 40
        assert 0.01 < different.mean() < 0.7


def test_background_knows_nothing_of_the_species(tree):
    """The well is drawn from a random generator alone: the same one gives the same well, behind
    whatever insect."""
    first, second = species_traits(tree, seed=0)[[0, -1]]
    from hypertax.data.simulation.well import well

    one, two = (np.asarray(well(300, 256, np.random.default_rng(9))) for _ in range(2))
    assert (one == two).all()
    assert photograph(first, (0, 1)) != photograph(second, (0, 1))


def test_traits_resemble_those_of_relatives(tree):
    traits, table = species_traits(tree, seed=2), pd.DataFrame(lineages(tree))
    apart = np.linalg.norm(traits[:, None] - traits[None], axis=-1)
    same = {rank: table[rank].to_numpy()[:, None] == table[rank].to_numpy()[None] for rank in RANKS}
    off = ~np.eye(len(traits), dtype=bool)
    genus, family = apart[same["genus"] & off].mean(), apart[same["family"] & ~same["genus"]].mean()
    assert (
        genus
        < family
        < apart[same["order"] & ~same["family"]].mean()
        < apart[~same["order"]].mean()
    )
    specimen = specimen_traits(traits[0], np.random.default_rng(0))
    assert all(TRAITS[name][0] <= value <= TRAITS[name][1] for name, value in specimen.items())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"seed": -1}, "seed must be"),
        ({"orders": 9}, "9 orders"),
        ({"specimens": 30}, "5 specimens per species"),
        ({"unlabelled": 0}, "unlabelled must be at least 1"),
    ],
)
def test_impossible_numbers_are_named(tmp_path, change, message):
    with pytest.raises(ValueError, match=message):
        simulate(tmp_path / "data", **{**SMALL, **change})
    assert not any(tmp_path.iterdir())


def test_full_disk_is_one_sentence_and_leaves_nothing(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(simulation, "_photographs", full)
    full_disk = r"^\S+/data could not be written: the disk is full: free some [a-z ]+\.$"
    with pytest.raises(OSError, match=full_disk):
        simulate(tmp_path / "data", **SMALL, processes=1)
    assert not any(tmp_path.iterdir())


def test_workers_end_with_the_process_that_they_draw_for(tmp_path):
    """Killed outright, it cannot tell them."""
    code = "import sys; from hypertax.data.simulation.dataset import simulate; from pathlib import"
    code += f" Path; simulate(Path(sys.argv[1]), **{SMALL | {'unlabelled': 4_000}}, processes=2)"
    parent = psutil.Popen([sys.executable, "-c", code, str(tmp_path / "data")], stderr=DEVNULL)
    until = time.monotonic() + 120
    while not list(tmp_path.rglob("*.jpg")) and time.monotonic() < until:
        time.sleep(0.1)
    workers = parent.children()
    assert len(workers) >= 2
    parent.kill()
    parent.wait(10)
    assert psutil.wait_procs(workers, timeout=60)[1] == []
