"""The Parquet copy of a large metadata file, and what reading costs with and without it."""

from __future__ import annotations

import os
import shutil

import pandas as pd
import pytest
from small_layout import METADATA_COLUMNS, sentence_of, small_layout

from benchmarks import metadata as bench_metadata
from hypertax import files
from hypertax.data.bioscan1m import cache as bioscan_cache
from hypertax.data.bioscan1m import reader as bioscan
from hypertax.data.bioscan1m.reader import METADATA, read_bioscan1m
from hypertax.data.split import SPLITS
from hypertax.files import ROOT


class TestKept:
    """The Parquet copy of a large table: as good as the metadata, and never instead of other
    ones."""

    @pytest.fixture
    def readings(self, monkeypatch):
        """Counts the readings of the metadata's text, and keeps small tables too."""
        calls, text = [], bioscan._metadata
        monkeypatch.setattr(bioscan_cache, "MANY", 1)
        monkeypatch.setattr(
            bioscan, "_metadata", lambda layout: calls.append(layout) or text(layout)
        )
        return calls

    def test_small_folders_stay_as_they_are(self, tmp_path):
        small_layout(tmp_path)
        before = sorted(tmp_path.rglob("*"))
        read_bioscan1m(tmp_path)
        assert sorted(tmp_path.rglob("*")) == before

    def test_the_same_table_without_reading_the_text(self, tmp_path, readings):
        first = read_bioscan1m(small_layout(tmp_path))
        pd.testing.assert_frame_equal(read_bioscan1m(tmp_path), first)
        assert len(readings) == 1
        assert [path.name for path in tmp_path.iterdir() if path.name != "bioscan1m"] == [
            bioscan_cache.FILE
        ]

    def test_a_moved_folder_names_its_own_images(self, tmp_path, readings):
        read_bioscan1m(small_layout(tmp_path / "here"))
        (tmp_path / "here").rename(tmp_path / "there")
        table = read_bioscan1m(tmp_path / "there")
        assert len(readings) == 1
        assert (
            table["image"]
            .dropna()
            .str.startswith(str(tmp_path / "there" / "bioscan1m" / "images"))
            .all()
        )
        shutil.rmtree(tmp_path / "there" / "bioscan1m" / "images" / "cropped_256" / "part113")
        assert "part113" in sentence_of(tmp_path / "there"), "the images are looked for each time"

    @pytest.mark.parametrize(
        "name",
        [METADATA, "CLIBD_partitioning/no_split.txt", "CLIBD_partitioning/test_unseen_keys.txt"],
    )
    def test_other_files_are_read_anew(self, tmp_path, readings, name):
        path = small_layout(tmp_path) / "bioscan1m" / name
        read_bioscan1m(tmp_path)
        os.utime(path, ns=(path.stat().st_mtime_ns + 1,) * 2)
        read_bioscan1m(tmp_path)
        assert len(readings) == 2, "the time counts"
        stat = path.stat()
        path.write_bytes(path.read_bytes() + b"\n")
        os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
        read_bioscan1m(tmp_path)
        assert len(readings) == 3, "and so does the size"
        read_bioscan1m(tmp_path)
        assert len(readings) == 3

    def test_other_code_reads_anew(self, tmp_path, readings, monkeypatch):
        read_bioscan1m(small_layout(tmp_path))
        monkeypatch.setattr(bioscan_cache, "version", lambda package: "1.4.0")
        read_bioscan1m(tmp_path)
        changed = tmp_path / "bioscan.py"
        changed.write_text("# other code")
        monkeypatch.setattr(bioscan, "__file__", str(changed))
        read_bioscan1m(tmp_path)
        assert len(readings) == 3

    @pytest.mark.parametrize("damage", ["cut", "byte", "text", "empty"])
    def test_a_damaged_copy_is_read_anew(self, tmp_path, readings, damage):
        first = read_bioscan1m(small_layout(tmp_path))
        copy = tmp_path / bioscan_cache.FILE
        whole = copy.read_bytes()
        # The first column's first page begins after the four letters of Parquet.
        flipped = bytearray(whole)
        flipped[whole.index(b"BIOUG0") + 1] ^= 1
        copy.write_bytes(
            {
                "cut": whole[: len(whole) // 2],
                "byte": bytes(flipped),
                "text": b"a table",
                "empty": b"",
            }[damage]
        )
        pd.testing.assert_frame_equal(read_bioscan1m(tmp_path), first)
        assert len(readings) == 2 and copy.stat().st_size == len(whole), "and written anew"

    def test_a_folder_that_cannot_be_written(self, tmp_path, readings, monkeypatch):
        def refuse(*_):
            raise PermissionError(13, "Permission denied")

        small_layout(tmp_path)
        monkeypatch.setattr(files, "_holder", refuse)
        for _ in range(2):
            with pytest.warns(
                UserWarning, match="specimens.parquet could not be written"
            ):
                assert len(read_bioscan1m(tmp_path)) == len(SPLITS)
        assert len(readings) == 2


@pytest.mark.slow
def test_the_benchmark_measures_two_readings_of_the_true_layout(tmp_path):
    sizes = {split: 30 for split in SPLITS}
    layout = bench_metadata.write_layout(tmp_path, sizes)
    assert layout.metadata.read_text().splitlines()[0].split("\t") == METADATA_COLUMNS
    assert sum(bench_metadata.SPLIT_SIZES.values()) == 1_128_313 and set(
        bench_metadata.SPLIT_SIZES
    ) == set(SPLITS)
    table = read_bioscan1m(tmp_path)
    assert table["split"].value_counts().to_dict() == sizes
    assert (table["species"].isna() == (table["split"] == "no_split")).all()
    assert table["barcode"].str.len().eq(bench_metadata.BASES).all()
    costs = bench_metadata.reading_costs(tmp_path)
    assert (
        costs["specimens"].tolist() == [len(table)] * 2 and (costs["peak memory, GiB"] > 0.05).all()
    )


def test_the_committed_measurement_keeps_what_is_promised():
    table = pd.read_csv(ROOT / "tables" / "benchmarks" / "metadata.csv").pivot(
        index="quantity", columns="reading", values="value"
    )
    assert table.loc["seconds", "first"] <= 90 and table.loc["peak memory, GiB", "first"] <= 4
    assert table.loc["seconds", "second"] <= table.loc["seconds", "first"] / 4
