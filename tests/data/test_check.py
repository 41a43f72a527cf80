"""Everything wrong with a table is said at once, with its rows, and nothing is said of a table that
is right."""

from __future__ import annotations

import time

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from hypertax.data.check import SpecimenTableError, check_specimens
from hypertax.data.table import COLUMNS
from hypertax.taxonomy import RANKS


def table_of(*rows: dict) -> pd.DataFrame:
    """A specimen table; every row has a lineage, a barcode and a training split unless it says
    otherwise."""
    usual = {
        "image": None,
        "barcode": "ACGTN",
        "order": "Diptera",
        "family": "Culicidae",
        "genus": "Aedes",
        "species": "Aedes aegypti",
    }
    filled = [
        {"sampleid": f"S{i}", **usual, "split": "train_seen"} | row for i, row in enumerate(rows)
    ]
    return pd.DataFrame(filled, columns=COLUMNS).astype("str")


def lines_of(table: pd.DataFrame, **options) -> list[str]:
    with pytest.raises(SpecimenTableError) as error:
        check_specimens(table, source="mine.tsv", rows=range(2, len(table) + 2), **options)
    return str(error.value).splitlines()


def lineage(*names: str | None) -> dict:
    return dict(zip(RANKS, names, strict=True))


def test_a_right_table_passes(tmp_path):
    Image.new("RGB", (4, 4)).save(tmp_path / "a.jpg")
    table = table_of(
        {},
        {"barcode": None, "image": str(tmp_path / "a.jpg")},
        lineage("Diptera", "Culicidae", None, None) | {"split": "no_split"},
        lineage(None, None, None, None) | {"split": "no_split"},
        lineage("Diptera", None, "Culex", "Culex pipiens") | {"split": "test_unseen"},
        lineage("Diptera", "Culicidae", "Culex", "Culex pipiens")
        | {"split": "test_unseen_keys", "barcode": "RYSWKMBDHVN"},
    )
    check_specimens(table, source="mine.tsv")


def test_all_kinds_are_reported_together_with_their_rows(tmp_path):
    (tmp_path / "note.jpg").write_text("not an image")
    other = lineage("Diptera", "Culicidae", "Culex", "Culex pipiens")
    table = table_of(
        {},
        {"sampleid": "S0"},
        {"sampleid": None},
        {"barcode": "ACGTXZ"},
        {"genus": "Culex"},
        {"image": str(tmp_path / "none.jpg")},
        {"image": str(tmp_path / "note.jpg")},
        {"barcode": None},
        {"split": "training"},
        {"split": None},
        other | {"split": "val_seen"},
        other | {"split": "val_unseen"},
    )
    first, *kinds, last = lines_of(table)
    assert first == "mine.tsv cannot be used: 9 kinds of problem in 12 of its 12 rows."
    assert (
        last == "Correct these problems in mine.tsv (row 1 is its header), or remove the rows, and"
        " run again."
    )
    expected = [
        ("without a sampleid", "(row 4)"),
        ("sampleid occurs more than once, such as 'S0'", "(rows 2, 3)"),
        (
            "1 species under more than one genus, such as Aedes aegypti under Aedes and Culex",
            "(rows 2, 6)",
        ),
        ("neither a barcode nor an image", "(row 9)"),
        ("not nucleotide codes, such as 'XZ'", "(row 5)"),
        ("1 image not found", "(row 7)"),
        ("cannot be opened as an image", "(row 8)"),
        ("in no known split, such as 'training', an empty field", "(rows 10, 11)"),
        ("1 species both in seen and in unseen splits, such as Culex pipiens", "(rows 12, 13)"),
    ]
    assert len(kinds) == len(expected)
    for line, (what, rows) in zip(kinds, expected, strict=True):
        assert line.startswith("- ") and what in line and rows in line


def test_only_the_first_ten_rows_are_listed():
    line = lines_of(table_of(*[{"barcode": "J"}] * 15, {}))[1]
    assert "15 barcodes" in line and "(rows 2, 3, 4, 5, 6, 7, 8, 9, 10, 11 and 5 more)" in line


def test_images_are_left_alone_on_request(tmp_path):
    check_specimens(
        table_of({"image": str(tmp_path / "none.jpg")}), source="mine.tsv", images=False
    )


def test_rows_without_numbers_go_by_their_sampleid():
    with pytest.raises(SpecimenTableError, match=r"\(specimen B7\)"):
        check_specimens(table_of({}, {"sampleid": "B7", "barcode": "Z"}), source="mine.parquet")


def test_a_cut_image_header_is_found(tmp_path):
    Image.new("RGB", (64, 64)).save(tmp_path / "whole.png")
    (tmp_path / "cut.png").write_bytes((tmp_path / "whole.png").read_bytes()[:60])
    (tmp_path / "empty.png").touch()
    table = table_of(
        *({"image": str(tmp_path / name)} for name in ("whole.png", "cut.png", "empty.png"))
    )
    assert (
        "2 files that cannot be opened" in lines_of(table)[1]
        and "(rows 3, 4)" in lines_of(table)[1]
    )


@pytest.mark.parametrize(
    ("table", "sentence"),
    [
        (table_of(), "there are no specimens"),
        (table_of(lineage(None, None, None, None)), "no specimen has a taxonomic label"),
        (table_of({"barcode": None}, {"barcode": None}), "no specimen has a barcode or an image"),
        (table_of({"split": "val_seen"}), "no specimen is in a training split"),
    ],
)
def test_what_is_wrong_with_the_table_as_a_whole(table, sentence):
    lines = lines_of(table)
    assert len(lines) == 3 and sentence in lines[1]
    assert lines[-1] == "Correct this problem in mine.tsv and run again."


class TestTwoParents:
    """A name under two parents, at any rank."""

    @staticmethod
    def kinds(*lineages: tuple) -> list[str]:
        table = table_of(*(lineage(*names) for names in lineages))
        return [line[2:].split(":")[0] for line in lines_of(table)[1:-1]]

    def test_rows_of_the_rarer_parent_and_one_to_compare_with(self):
        good, bad = (
            ("Diptera", "Culicidae", "Aedes", "Aedes aegypti"),
            ("Diptera", "Muscidae", "Aedes", "Aedes aegypti"),
        )
        found = self.kinds(good, good, bad, good, bad)
        assert found == [
            "1 genus under more than one family, such as Aedes under Culicidae and Muscidae"
            " (rows 2, 4, 6)"
        ]

    def test_a_missing_parent_contradicts_nothing(self):
        rows = [
            ("Diptera", None, "Aedes", None),
            ("Diptera", "Culicidae", "Aedes", "Aedes a"),
            (None, "Culicidae", None, "Aedes a"),
        ]
        check_specimens(table_of(*(lineage(*row) for row in rows)), source="mine.tsv")

    def test_across_a_missing_rank(self):
        found = self.kinds(("Diptera", None, "Aedes", None), ("Hemiptera", None, "Aedes", None))
        assert found == [
            "1 genus under more than one order, such as Aedes under Diptera and Hemiptera (rows"
            " 2, 3)"
        ]

    def test_what_follows_from_another_is_said_once(self):
        found = self.kinds(
            ("Diptera", "Culicidae", "Aedes", "Aedes a"),
            ("Hemiptera", "Cicadidae", "Aedes", "Aedes a"),
        )
        assert found == [
            "1 genus under more than one family, such as Aedes under Culicidae and Cicadidae"
            " (rows 2, 3)"
        ]

    def test_independent_contradictions_are_all_said(self):
        found = self.kinds(
            ("Diptera", "Culicidae", "Aedes", "Aedes a"),
            ("Hemiptera", "Culicidae", "Aedes", "Aedes a"),
            ("Diptera", "Muscidae", "Musca", "Musca m"),
            ("Diptera", "Muscidae", "Fannia", "Musca m"),
        )
        assert [kind.split(",")[0] for kind in found] == [
            "1 family under more than one order",
            "1 species under more than one genus",
        ]

    def test_several_names_are_counted(self):
        rows = [("Diptera", "Culicidae", f"G{i % 4}", f"sp {i // 2}") for i in range(8)]
        assert self.kinds(*rows)[0].startswith("4 species under more than one genus")


def test_a_hundred_thousand_rows_take_a_moment():
    n = np.arange(100_000)
    table = pd.DataFrame(
        {
            "sampleid": [f"S{i}" for i in n],
            "image": None,
            "barcode": "ACGT" * 160,
            "order": [f"O{i % 7}" for i in n],
            "family": [f"F{i % 140}" for i in n],
            "genus": [f"G{i % 2800}" for i in n],
            "species": [f"G{i % 2800} s{i % 5600}" for i in n],
            "split": "train_seen",
        }
    ).astype("str")
    start = time.process_time()
    check_specimens(table, source="mine.tsv")
    assert time.process_time() - start < 5
