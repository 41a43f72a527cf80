"""BIOSCAN-1M's layout, read through the package `bioscan-dataset`; the simulated data set that uses
the same layout."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
import threading
import time
import types
from pathlib import Path

import pandas as pd
import pytest
from small_layout import (
    record,
    sentence_of,
    small_layout,
    write_layout,
)

from hypertax.data import load_specimens, simulated_folder
from hypertax.data.bioscan1m.reader import METADATA, read_bioscan1m
from hypertax.data.split import KEY_SPLITS, SPLITS
from hypertax.data.table import COLUMNS
from hypertax.taxonomy import RANKS


def test_the_specimen_table(tmp_path):
    table = read_bioscan1m(small_layout(tmp_path))
    assert (
        tuple(table.columns) == COLUMNS
        and (table.dtypes == "str").all()
        and isinstance(table.index, pd.RangeIndex)
    )
    assert table["split"].tolist() == list(SPLITS)
    assert table["sampleid"].tolist() == [f"BIOUG{i}-A0{i}" for i in range(len(SPLITS))]
    images = tmp_path / "bioscan1m" / "images" / "cropped_256"
    assert table["image"].tolist()[:2] == [
        str(images / "part7" / "BIOUG0-A00.jpg"),
        str(images / "part113" / "BIOUG1-A01.jpg"),
    ]
    assert table.loc[0, list(RANKS)].notna().tolist() == [True, False, False, False]
    assert table.loc[1, list(RANKS)].tolist() == ["Diptera", "Culicidae", "Aedes", "Aedes aegypti"]
    assert table.loc[2, "barcode"] == "ACGT" * 132, "660 characters, without gaps"
    assert table.loc[3, ["barcode", "image"]].isna().all()
    assert not table.isin(["not_classified", ""]).any(axis=None)


def test_the_layout_of_older_versions_of_the_package(tmp_path):
    table = read_bioscan1m(small_layout(tmp_path, base="bioscan", metadata="."))
    assert len(table) == len(SPLITS) and table["image"][0].startswith(
        str(tmp_path / "bioscan" / "images")
    )


def test_bioscan_is_looked_for_in_the_data_folder(tmp_path, monkeypatch):
    small_layout(tmp_path / "bioscan-1m")
    assert len(load_specimens("bioscan-1m", data_dir=tmp_path)) == len(SPLITS)
    monkeypatch.setenv("HYPERTAX_DATA", str(tmp_path))
    assert len(load_specimens("bioscan-1m")) == len(SPLITS)


def test_what_is_missing_is_named_with_its_size_and_the_call_that_fetches_it(tmp_path):
    everything = sentence_of(tmp_path)
    for part in (
        "metadata",
        "1.2 GB",
        "CLIBD's partition",
        "30 MB",
        "images",
        "7 GB",
        "load_specimens('bioscan-1m', download=True)",
    ):
        assert part in everything
    small_layout(tmp_path)
    (tmp_path / "bioscan1m" / "CLIBD_partitioning" / "val_seen.txt").unlink()
    only = sentence_of(tmp_path)
    assert (
        "CLIBD_partitioning/val_seen.txt" in only
        and "metadata" not in only
        and "images" not in only
    )


def test_lists_that_contradict_the_metadata(tmp_path):
    lists = small_layout(tmp_path) / "bioscan1m" / "CLIBD_partitioning"
    whole = (lists / "val_seen.txt").read_text()
    (lists / "val_seen.txt").write_text("\n")
    assert "in no list" in sentence_of(tmp_path)
    (lists / "val_seen.txt").write_text(whole + "BIOUG0-A00\n")
    assert "BIOUG0-A00 is twice" in sentence_of(tmp_path)


@pytest.mark.parametrize("empty", ["", "\n"])
def test_a_split_may_be_empty(tmp_path, empty):
    lists = small_layout(tmp_path) / "bioscan1m" / "CLIBD_partitioning"
    (lists / "train_seen.txt").write_text("BIOUG1-A01\nBIOUG9-A09\n")
    (lists / "single_species.txt").write_text(empty)
    assert read_bioscan1m(tmp_path)["split"].iloc[-1] == "train_seen"


def test_metadata_that_are_not_bioscans(tmp_path):
    small_layout(tmp_path)
    (tmp_path / "bioscan1m" / METADATA).write_text("sampleid\tspecies\nA\tB\n")
    assert "is not BIOSCAN-1M's metadata" in sentence_of(tmp_path)


def test_an_unwritten_last_line_is_a_file_cut_off(tmp_path):
    """Only a download checks the MD5, and half the metadata would otherwise pass for a smaller data
    set."""
    metadata = small_layout(tmp_path) / "bioscan1m" / METADATA
    whole = metadata.read_bytes()
    metadata.write_bytes(whole[:-150])
    assert "is cut off" in sentence_of(tmp_path) and "download=True" in sentence_of(tmp_path)
    metadata.write_bytes(whole.rstrip(b"\n"))
    assert len(read_bioscan1m(tmp_path)) == len(SPLITS), "a last line without its end is whole"


def test_parts_of_the_images_that_are_missing_are_named(tmp_path):
    images = small_layout(tmp_path) / "bioscan1m" / "images" / "cropped_256"
    (images / "part113" / "an image.jpg").unlink()
    sentence = sentence_of(tmp_path)
    assert (
        "1 of the 2 parts of the images (images/cropped_256/: part113; all are 7 GB)" in sentence
        and "download=True" in sentence
    )
    shutil.rmtree(images / "part7")
    (images / "part113").rmdir()
    assert "images/cropped_256/ is empty, about 7 GB" in sentence_of(tmp_path)


def test_of_many_missing_parts_the_first_are_named(tmp_path):
    records = [record(f"S{i}", chunk_number=str(i + 1)) for i in range(113)]
    write_layout(tmp_path, records, {"no_split": [entry["sampleid"] for entry in records]})
    for part in range(2, 114):
        shutil.rmtree(tmp_path / "bioscan1m" / "images" / "cropped_256" / f"part{part}")
    assert (
        "112 of the 113 parts of the images (images/cropped_256/: part2, part3, part4, part5,"
        " part6 and 107 more; all are 7 GB)" in (sentence_of(tmp_path))
    )


class TestPackage:
    """Behaviours of bioscan-dataset 1.3.0 that the reading relies on or works around; a version
    without them needs a look at it."""

    def test_its_all_keys_are_lost_beside_another_split(self, tmp_path):
        from bioscan_dataset import load_bioscan1m_metadata

        small_layout(tmp_path)
        package = load_bioscan1m_metadata(
            str(tmp_path / "bioscan1m" / METADATA),
            partitioning_version="clibd",
            split="all_keys+val_seen",
            dtype=None,
            converters={"tribe": lambda _: "any"},
        )
        assert set(package["clibd_split"]) == {"val_seen"}
        assert set(KEY_SPLITS) <= set(read_bioscan1m(tmp_path)["split"]), "ours has all the keys"

    def test_only_its_dataset_checks_the_md5(self, tmp_path, capsys):
        from bioscan_dataset import BIOSCAN1M

        small_layout(tmp_path)
        with pytest.raises(OSError, match="incomplete, or corrupted"):
            BIOSCAN1M(str(tmp_path), split="val_seen", partitioning_version="clibd")
        assert "File invalid" in capsys.readouterr().out
        assert len(read_bioscan1m(tmp_path)) == len(SPLITS)


class TestSimulated:
    """The simulated data set's folder: made once, whole, whoever asks."""

    @pytest.fixture
    def simulator(self, monkeypatch):
        """Stand-in for the simulator; `calls` counts, `meet` lets two of them run at the same
        time."""
        fake = types.ModuleType("hypertax.data.simulation.dataset")
        fake.calls, fake.meet, fake.fail = [], None, False

        def simulate(folder: Path, *, seed: int = 0) -> None:
            fake.calls.append(seed)
            small_layout(folder)
            if fake.fail:
                raise RuntimeError("disk full")
            if fake.meet:
                fake.meet.wait(timeout=20)

        fake.simulate = simulate
        monkeypatch.setitem(sys.modules, "hypertax.data.simulation.dataset", fake)
        return fake

    def test_made_once_for_each_seed(self, tmp_path, simulator):
        first = load_specimens("simulated", data_dir=tmp_path)
        assert load_specimens("simulated", data_dir=tmp_path).equals(first)
        load_specimens("simulated", seed=3, data_dir=tmp_path)
        assert simulator.calls == [0, 3]
        assert [path.name[:17] for path in sorted(tmp_path.iterdir())] == [
            "simulated-seed0-v",
            "simulated-seed3-v",
        ]

    def test_two_at_the_same_time(self, tmp_path, simulator):
        simulator.meet = threading.Barrier(2)
        results = []
        threads = [
            threading.Thread(
                target=lambda: results.append(load_specimens("simulated", data_dir=tmp_path))
            )
            for _ in range(2)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(simulator.calls) == len(results) == 2 and results[0].equals(results[1])
        assert len(list(tmp_path.iterdir())) == 1

    def test_a_failure_leaves_nothing_behind(self, tmp_path, simulator):
        simulator.fail = True
        with pytest.raises(RuntimeError, match="disk full"):
            simulated_folder(data_dir=tmp_path)
        assert list(tmp_path.iterdir()) == []

    def test_what_a_killed_process_left_is_removed(self, tmp_path, simulator):
        name = simulated_folder(data_dir=tmp_path).name
        (tmp_path / name).rename(tmp_path / "away")
        gone = subprocess.Popen([sys.executable, "-c", ""])
        gone.wait()
        here, day = platform.node(), 86_400
        holders = [
            (f"{here}-{gone.pid}-a", 0),
            (f"{here}-{os.getpid()}-a", 0),
            (f"far-away-{gone.pid}-a", 0),
            ("far-away-1-a", 2 * day),
        ]
        for holder, age in holders:
            (tmp_path / f".{name}-{holder}" / "bioscan1m").mkdir(parents=True)
            os.utime(tmp_path / f".{name}-{holder}", (time.time() - age,) * 2)
        simulated_folder(data_dir=tmp_path)
        living = {f".{name}-{holder}" for holder, _ in holders[1:3]}
        assert {path.name for path in tmp_path.iterdir()} == {"away", name} | living

    def test_a_damaged_folder_is_named(self, tmp_path, simulator):
        (simulated_folder(data_dir=tmp_path) / "bioscan1m" / METADATA).unlink()
        with pytest.raises(
            ValueError,
            match=r"are not whole: delete this folder, and run again to have them made anew\.$",
        ):
            load_specimens("simulated", data_dir=tmp_path)
