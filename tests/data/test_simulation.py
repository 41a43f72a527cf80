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
from hypertax.data.barcodes.strand import reverse_complement
from hypertax.data.simulation import reads as reads_module
from hypertax.data.simulation.barcodes import (
    LENGTH,
    MIXED,
    SWEPT,
    _demography,
    _nearest_congeners,
    _sequences,
)
from hypertax.data.simulation.dataset import METADATA, TREE, simulate
from hypertax.data.simulation.images import ASPECTS, SHORT_SIDE, photograph
from hypertax.data.simulation.reads import as_read
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


@pytest.fixture(scope="module")
def sequences(tree):
    """True barcodes of four specimens of each species, whole and without an error."""
    species = np.repeat(np.arange(120), 4)
    return species, _sequences(tree, species, np.random.default_rng([3, 1]))


def _distances(codes: np.ndarray) -> np.ndarray:
    equal = sum(
        (codes == base).astype(np.float32) @ (codes == base).astype(np.float32).T
        for base in range(4)
    )
    return 1 - equal / codes.shape[1]


def test_p_distances_are_those_of_coi(tree, sequences):
    species, codes = sequences
    apart = _distances(codes)
    table = pd.DataFrame(lineages(tree)).iloc[species]
    same = {rank: table[rank].to_numpy()[:, None] == table[rank].to_numpy()[None] for rank in RANKS}
    pair = np.triu(np.ones_like(apart, dtype=bool), 1)
    # Medians of the pairs, in per cent: of 962 real species 0.6, 10.0, 12.6 and 21.2.
    expected = {
        "within species": (same["species"], 0.1, 1.2),
        "within genus": (same["genus"] & ~same["species"], 7, 13),
        "within family": (same["family"] & ~same["genus"], 10, 17),
        "between orders": (~same["order"], 18, 26),
    }
    for name, (pairs, low, high) in expected.items():
        median = 100 * np.median(apart[pairs & pair])
        assert low <= median <= high, f"{name}: {median}"
    assert 0.62 < np.isin(codes, [0, 3]).mean() < 0.78


def test_sister_species_are_as_near_as_real_ones(tree, sequences):
    species, codes = sequences
    apart = _distances(codes).reshape(120, 4, 120, 4).min(axis=(1, 3))
    np.fill_diagonal(apart, np.inf)
    genus = pd.DataFrame(lineages(tree))["genus"].to_numpy()
    apart[genus[:, None] != genus[None]] = np.inf
    nearest = apart.min(axis=1)
    nearest = 100 * nearest[np.isfinite(nearest)]
    # Real congeners: quartiles 4.4, 7.0 and 9.7 %, 3 % of them share a barcode.
    quartiles = np.quantile(nearest, (0.25, 0.5, 0.75))
    assert 3 < quartiles[0] < quartiles[1] < quartiles[2] < 13 and 5 < quartiles[1] < 9.5
    assert 0.0 < (nearest < 0.5).mean() < 0.25
    assert (nearest < 0.01).any(), "some species share a barcode"


def test_the_species_that_take_a_congeners_mitochondria_are_a_share(tree):
    pairs = _nearest_congeners(tree)
    table = pd.DataFrame(lineages(tree))
    assert all(a != b and table["genus"][a] == table["genus"][b] for a, b in pairs)
    sizes = table.groupby("genus")["species"].transform("size")
    assert sorted(a for a, _ in pairs) == list(np.flatnonzero(sizes > 1))
    demography, rates = _demography(tree, np.random.default_rng(0))
    moves = [event for event in demography.events if hasattr(event, "proportion")]
    moves = [event for event in moves if event.proportion > 0 and hasattr(event, "source")]
    assert len(moves) == round(SWEPT * len(pairs)) + round(MIXED * len(pairs))
    assert sum(event.proportion == 1 for event in moves) == round(SWEPT * len(pairs))
    assert len(rates) == demography.num_populations
    assert 0.7 < np.mean(list(rates.values())) < 1.3


def test_barcodes_have_no_stop_codon(sequences):
    for row in sequences[1][::4]:
        text = "".join("ACGT"[base] for base in row)
        codons = {text[k : k + 3] for k in range(1, LENGTH - 2, 3)}
        assert not codons & {"TAA", "TAG"}


def test_specimens_keep_the_order_in_which_they_were_asked_for(tree):
    species = np.random.default_rng(0).permutation(np.repeat(np.arange(30), 3))
    apart = _distances(_sequences(tree, species, np.random.default_rng(5)))
    same = species[:, None] == species[None]
    off = ~np.eye(len(species), dtype=bool)
    assert np.median(apart[same & off]) < 0.02 and np.median(apart[~same]) > 0.1


@pytest.fixture(scope="module")
def laboratory():
    """A true barcode, and 4,000 reads of it."""
    truth = np.random.default_rng(2).integers(0, 4, LENGTH)
    rng = np.random.default_rng(0)
    return "".join("ACGT"[base] for base in truth), [as_read(truth, rng) for _ in range(4_000)]


def _turned(truth: str, read: str) -> bool:
    def shared(own: str) -> int:
        return sum(own[k : k + 20] in truth for k in range(0, len(own) - 19, 20))

    return shared(reverse_complement(read)) > shared(read)


def test_reads_are_ragged_short_reversed_and_in_error_as_often_as_said(laboratory):
    truth, reads = laboratory
    length = np.array([len(read) for read in reads])
    turned = np.array([_turned(truth, read) for read in reads])
    ambiguous = np.array([sum(letter not in "ACGT" for letter in read) for read in reads])
    assert abs((length <= reads_module.MINI_BARCODE).mean() - reads_module.SHORT) < 0.015
    assert length.min() >= reads_module.SHORTEST - 1
    assert abs(turned.mean() - reads_module.REVERSED) < 0.012
    # Letters that lie at an end which is lost are not seen.
    assert 0.13 < (ambiguous > 0).mean() < 0.20
    assert 1.5 < ambiguous[ambiguous > 0].mean() < 2.1
    whole = length == LENGTH
    assert 0.45 < whole.mean() < 0.65, "real: 0.60"
    beyond = length > LENGTH + 1
    assert 0.01 < beyond.mean() < 0.05


def test_reads_begin_late_and_end_early_as_real_ones(laboratory):
    truth, reads = laboratory
    own = [read for read in reads if not _turned(truth, read) and len(read) > 400]
    late = np.array([truth.find(read[40:60]) - 40 for read in own])
    late = late[late >= -40]
    assert 0.74 < (late <= 0).mean() < 0.82, "real: 0.75 to 0.8 with the first base"
    assert 10 < np.quantile(late, 0.9) < 35 and late.max() <= 200
    early = np.array([LENGTH - 60 - truth.find(read[-60:-40]) for read in own])
    early = early[early <= 200]
    assert 0.68 < (early <= 0).mean() < 0.83 and 30 < np.quantile(early, 0.9) < 65


def test_errors_are_rare(laboratory):
    truth, reads = laboratory
    wrong = frames = plain = 0
    for read in reads:
        at = truth.find(read[:20])
        if at < 0 or set(read) - set("ACGT"):
            continue
        part = truth[at : at + len(read)]
        differing = sum(a != b for a, b in zip(read, part))
        plain += 1
        # A missing or additional base puts all that follows out of step.
        frames += differing > 20
        wrong += 0 < differing <= 20
    indels = reads_module.DELETION + reads_module.INSERTION
    assert plain > 1_500 and 0.4 * indels < frames / plain < 3 * indels + 0.02
    assert 0.5 * reads_module.POOR < wrong / plain < 2 * reads_module.POOR


def test_only_barcodes_come_from_the_streams_of_barcodes(folder, tmp_path, monkeypatch):
    monkeypatch.setattr(simulation, "barcodes", lambda _, species, seed: ["ACGT"] * len(species))
    simulate(tmp_path / "again", **SMALL, processes=1)
    ours, again = contents(folder), contents(tmp_path / "again")
    assert [name for name in ours if ours[name] != again[name]] == [f"bioscan1m/{METADATA}"]


def test_photographs_splits_and_tree_are_those_of_earlier_versions(folder):
    """Scores of photographs can be compared with earlier ones only while these stay."""
    digest = hashlib.sha256((folder / TREE).read_bytes())
    for path in sorted((folder / "bioscan1m" / "CLIBD_partitioning").iterdir()):
        digest.update(path.read_bytes())
    assert digest.hexdigest().startswith("7ea44c4741b086c1")
    # The mean colour, as the last bits of a JPEG depend on the library that writes it.
    for name, colour in {
        "SIM00000-A01": (174.9, 183.6, 167.6),
        "SIM00000-C01": (157.5, 155.7, 157.7),
        "SIM00000-E01": (151.4, 154.3, 148.1),
        "SIM00001-A02": (158.2, 159.2, 158.4),
    }.items():
        (path,) = (folder / "bioscan1m" / "images").rglob(f"{name}.jpg")
        found = np.asarray(Image.open(path)).reshape(-1, 3).mean(axis=0)
        assert found == pytest.approx(colour, abs=0.3)


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
