"""Queries and libraries as people have them: tables, FASTA headers, folders, several files of one specimen."""

import gzip

import pytest
from PIL import Image

from hypertax.identify.reading import read_specimens


def test_records_of_a_fasta_keep_their_order_and_say_what_is_wrong(tmp_path):
    path = tmp_path / "a.fasta.gz"
    path.write_bytes(gzip.compress(b">one\rACGT\rACGU\r>two\r\r>one\rAC-GT\r>x\rAC!T\r"))
    table = read_specimens(path)
    assert table["sampleid"].tolist() == ["one", "two", "one", "x"]
    assert table["barcode"].fillna("").tolist() == ["ACGTACGT", "", "ACGT", ""]
    assert table["remarks"].notna().tolist() == [False, True, False, True]


def test_a_table_needs_neither_labels_nor_splits(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("processid,nuc,bin_uri\nA,acgt-n,BOLD:AAA0001\nB,,none\n", encoding="utf-8")
    table = read_specimens(path)
    assert table["barcode"].fillna("").tolist() == ["ACGTN", ""]
    assert table["bin_uri"].fillna("").tolist() == ["BOLD:AAA0001", ""]
    assert table["order"].isna().all() and table["remarks"].notna().tolist() == [False, True]


def test_a_photograph_and_a_barcode_of_one_specimen_become_one_row(tmp_path):
    (tmp_path / "photos").mkdir()
    for name in ("A", "B"):
        Image.new("RGB", (8, 8)).save(tmp_path / "photos" / f"{name}.jpg")
    (tmp_path / "a.fasta").write_text(">B\nACGT\n>C\nACGT\n", encoding="utf-8")
    table = read_specimens([tmp_path / "photos", tmp_path / "a.fasta"])
    assert table["sampleid"].tolist() == ["A", "B", "C"]
    assert table["image"].notna().tolist() == [True, True, False]
    assert table["barcode"].notna().tolist() == [False, True, True]


@pytest.mark.parametrize("name", ["missing.tsv", "a.docx", "empty"])
def test_what_cannot_be_read_is_one_sentence(tmp_path, name):
    (tmp_path / "a.docx").write_text("x", encoding="utf-8")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match=".") as error:
        read_specimens(tmp_path / name)
    assert "\n" not in str(error.value) and str(error.value).endswith(".")
