"""What real tables are like: every fault is read, reported with its rows, or refused in one
sentence."""

from __future__ import annotations

import bz2
import gzip
import lzma
import os

import pandas as pd
import pytest
from PIL import Image

from benchmarks.exports import broken, check
from benchmarks.fuzz_tables import fuzz
from hypertax.data.fasta import lineage, read_fasta
from hypertax.data.lacking import what_is_lacking
from hypertax.data.table import COLUMNS, read_queries, read_table
from hypertax.files import ROOT

CASES = ROOT.parent / "shared" / "cases"
READ = "".join("ACGT"[(i * i + i // 7) % 4] for i in range(640))
HEADER = "processid\torder\tfamily\tgenus\tspecies\tnuc\tsplit"


def table_of(folder, *species: str, header: str = HEADER):
    path = folder / "a.tsv"
    rows = [f"P{i}\tDiptera\tCulicidae\tAedes\t{name}\t{READ}" for i, name in enumerate(species)]
    path.write_text("\n".join([header, *(f"{row}\tno_split" for row in rows)]) + "\n")
    return path


def case(name: str) -> pd.DataFrame:
    path = CASES / name
    if not path.exists():
        pytest.skip("the cases beside the repository are not on this machine")
    return read_table(path)


@pytest.mark.parametrize(
    ("name", "species"),
    [
        ("double_byte_order_mark/a.tsv", ["Aedes aegypti"]),
        ("dwc_epithet_erases_species/occurrence.txt", ["Aedes aegypti"] * 12),
        ("dwc_epithet_overrides_species/occurrence.txt", ["Aedes albopictus"] * 3),
        ("genus_named_like_a_placeholder/a.tsv", ["Nan alba", "Na alba", "None alba", "Null alba"]),
        ("line_break_in_a_header_cell/a.csv", ["Aedes aegypti"] * 12),
        ("species_not_identified_to_species/a.tsv", ["-"] * 12 + ["Aedes aegypti"]),
        ("species_written_differently/a.tsv", ["Aedes aegypti"] * 11),
        ("tab_separated_csv/0001234-5.csv", ["Aedes aegypti"]),
        ("other_markers_taken_for_coi/a.tsv", ["Aedes aegypti"]),
        ("new_specimens_labelled/new.tsv", ["Aedes aegypti"] * 5),
        ("new_specimens_unlabelled/new.tsv", ["-"] * 5),
    ],
)
def test_species_of_the_cases(name, species):
    found = case(name)
    assert found["species"].fillna("-").tolist() == species
    if name.startswith("genus"):
        assert found["genus"].tolist() == ["Nan", "Na", "None", "Null"]
    if name.startswith("species_not"):
        assert (found["genus"] == "Aedes").all()


@pytest.mark.parametrize(
    ("name", "barcodes", "said"),
    [
        ("fasta_half_of_the_ids_match", [True, False], "1 of 2 records of a.fasta belongs to no"),
        ("fasta_headers_of_reference_libraries", [True, True], "read:"),
        ("fasta_ids_with_a_space", [True, True], "read:"),
        ("fasta_lost_old_mac_line_ends", [True, True], "read:"),
        ("reverse_complement_and_long_reads", [True] * 5, "other strand than most (row 3)"),
    ],
)
def test_barcodes_of_the_cases(name, barcodes, said, capsys):
    assert case(f"{name}/a.tsv")["barcode"].notna().tolist() == barcodes
    assert said in capsys.readouterr().err


def test_short_rows_of_the_case_are_named():
    with pytest.raises(ValueError, match=r"4 fields under a header of 7 \(row 2\)"):
        case("short_rows/a.tsv")


def test_what_was_read_and_ignored_is_printed(tmp_path, capsys):
    path = tmp_path / "a.csv"
    path.write_text(f"id,order,Species (det.),nuc\nS1,Diptera,Aedes aegypti,{READ}\n")
    read_table(path)
    assert "read: id, nuc, order; ignored: Species (det.)." in capsys.readouterr().err


def test_two_spellings_are_one_species_and_names_of_none_are_listed(tmp_path, capsys):
    path = table_of(tmp_path, "Aedes aegypti", "Aedes Aegypti", "AEDES  AEGYPTI", "Aedes sp. 3")
    assert read_table(path)["species"].fillna("-").tolist() == ["Aedes aegypti"] * 3 + ["-"]
    printed = capsys.readouterr().err
    assert "2 names of a species written otherwise" in printed and "(rows 3, 4)" in printed
    assert "1 name of no one species, such as 'Aedes sp. 3'" in printed and "(row 5)" in printed


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_encodings_and_line_ends(tmp_path, encoding, end):
    path = table_of(tmp_path, "Aedes aegypti", "Aedes vexans")
    path.write_bytes(path.read_text().replace("\n", end).encode(encoding))
    assert read_table(path)["species"].tolist() == ["Aedes aegypti", "Aedes vexans"]


@pytest.mark.parametrize(
    ("ending", "pack"), [(".gz", gzip.compress), (".bz2", bz2.compress), (".xz", lzma.compress)]
)
def test_compression(tmp_path, ending, pack):
    data = pack(table_of(tmp_path, "Aedes aegypti").read_bytes())
    (tmp_path / f"b.tsv{ending}").write_bytes(data)
    assert read_table(tmp_path / f"b.tsv{ending}")["species"].tolist() == ["Aedes aegypti"]
    (tmp_path / "c.tsv").write_bytes(data)
    assert len(read_table(tmp_path / "c.tsv")) == 1


def test_quoted_cells_of_a_tab_separated_table_may_break_lines(tmp_path):
    path = tmp_path / "a.tsv"
    path.write_text(f'id\tnote\torder\tnuc\nS1\t"two\nlines"\tDiptera\t{READ}\n')
    assert read_table(path)["order"].tolist() == ["Diptera"]


def test_a_column_of_catalogue_numbers_is_no_barcode(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text(f"barcode,order,nuc\nUSNM00123,Diptera,{READ}\n")
    row = read_table(path).iloc[0]
    assert row["sampleid"] == "USNM00123" and row["barcode"] == READ


@pytest.mark.parametrize("marker", ["COI-5P", "COI", "CO1", "cox1", "Cytochrome oxidase subunit 1"])
def test_names_of_the_marker(tmp_path, marker):
    path = tmp_path / "a.csv"
    path.write_text(f"id,order,nuc,markercode\nS1,Diptera,{READ},{marker}\nS2,x,{READ},16S\n")
    assert read_table(path)["sampleid"].tolist() == ["S1"]
    queries = read_queries(path)
    assert queries["sampleid"].tolist() == ["S1", "S2"]
    assert queries["reason"].isna().tolist() == [True, False]


def test_queries_keep_every_row(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text(f"id,nuc\nS1,{READ}\n,{READ}\nS1,\nS4,NNNN\nS5,AC7T\n")
    found = read_queries(path)
    assert tuple(found.columns) == (*COLUMNS, "bin_uri", "remarks", "reason")
    assert found["sampleid"].tolist() == ["S1", "row 3", "S1", "S4", "S5"]
    assert [str(reason) for reason in found["reason"]] == [
        "nan",
        "nan",
        "it has neither a barcode nor a photograph",
        "its barcode has no known base",
        "its barcode has letters that are no nucleotide codes",
    ]
    (tmp_path / "q.fasta").write_text(f">S1 x\n{READ}\n>S2\n\n")
    found = read_queries(tmp_path / "q.fasta")
    assert found["sampleid"].tolist() == ["S1", "S2"]
    assert found["reason"].isna().tolist() == [True, False]


@pytest.mark.parametrize(
    ("header", "found"),
    [
        ("S1;tax=k:A,o:Diptera,f:Culicidae,g:Aedes,s:Aedes_aegypti;", ("S1", True)),
        ("S1;tax=o:Diptera,f:Culicidae,g:Aedes,s:aegypti", ("S1", True)),
        ("S1|COI-5P|A,Insecta,Diptera,Culicidae,Culicinae,Aedes,Aedes aegypti", ("S1", False)),
        (
            "S1.1.<1.>658\troot_1;E_2;A_3;Insecta_4;Diptera_5;Culicidae_6;Aedes_7;Aedes aegypti_8",
            ("S1.1", True),
        ),
        ("S1###root_1;E_2;A_3;I_4;Diptera_5;Culicidae_6;Aedes_7;Aedes aegypti_8", ("S1", True)),
        ("S1 k__A;p__A;c__I;o__Diptera;f__Culicidae;g__Aedes;s__Aedes aegypti", ("S1", True)),
        ("S1|Aedes aegypti|COI-5P|AB123", ("S1", None)),
        ("gi|12|gb|S1| Aedes aegypti cytochrome oxidase", ("S1", None)),
        ("S1 Aedes aegypti voucher X", ("S1", None)),
    ],
)
def test_headers_of_reference_libraries(tmp_path, header, found):
    name, whole = found
    (tmp_path / "a.fasta").write_text(f">{header}\nACGT\n")
    row = read_fasta(tmp_path / "a.fasta").iloc[0]
    assert (row["id"], row["sequence"], row["species"]) == (name, "ACGT", "Aedes aegypti")
    assert row["genus"] == "Aedes" and lineage(header)["species"] == "Aedes aegypti"
    if whole:
        assert row["order"] == "Diptera" and row["family"] == "Culicidae"


def test_what_is_lacking_is_said_before_training(tmp_path, capsys):
    path = table_of(tmp_path, *["Aedes aegypti"] * 3)
    table = read_table(path, labels_needed=True)
    assert "nothing to choose an epoch by" in capsys.readouterr().err
    assert "of one species, Aedes aegypti" in what_is_lacking(table)
    assert "no specimen has a name of order" in what_is_lacking(table.assign(order=None))


def test_only_regular_files_are_read(tmp_path):
    os.mkfifo(tmp_path / "a.tsv")
    with pytest.raises(ValueError, match=r"is no regular file"):
        read_table(tmp_path / "a.tsv")


def test_messages_are_short_and_legible(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text(f"id,order,nuc\n{'x' * 9999},Diptera,A\x07\x1b[31m!\n" * 2)
    with pytest.raises(ValueError, match="cannot be used") as error:
        read_table(path)
    assert len(str(error.value)) < 2_000
    assert all(character.isprintable() or character == "\n" for character in str(error.value))


@pytest.mark.parametrize("kind", ["bold", "gbif"])
def test_an_export_with_every_fault_is_read_with_one_list(kind, tmp_path):
    """300 rows: the counts of the list are what was put in, and broken rows are named."""
    said, wrong = check(kind, 300, tmp_path)
    assert wrong == [] and broken(kind, 300, tmp_path) == []
    assert len(said.splitlines()) == (8 if kind == "bold" else 9)


def test_a_record_of_a_row_of_another_marker_is_no_barcode(tmp_path):
    """The row stays for its photograph; in the FASTA file beside it there is its 28S."""
    Image.new("RGB", (4, 4)).save(tmp_path / "a.png")
    (tmp_path / "a.csv").write_text(
        "id,order,marker,image\nS1,Diptera,28S,a.png\nS2,Diptera,COI-5P,\n"
    )
    (tmp_path / "a.fasta").write_text(f">S1\n{READ}\n>S2\n{READ}\n")
    found = read_table(tmp_path / "a.csv")
    assert found["barcode"].notna().tolist() == [False, True]
    assert read_queries(tmp_path / "a.csv")["barcode"].notna().tolist() == [False, True]


def test_texts_of_parquet_that_are_no_utf_8_are_refused(tmp_path):
    path = tmp_path / "a.parquet"
    pd.DataFrame({"id": ["S1"], "order": ["Diptera"], "nuc": [READ]}).to_parquet(
        path, compression=None
    )
    path.write_bytes(path.read_bytes().replace(b"Diptera", b"Dipt\xb3ra"))
    with pytest.raises(ValueError, match=r"a.parquet cannot be read as Parquet \(.*write it again"):
        read_table(path)


def test_damaged_tables_give_our_errors_alone(tmp_path):
    outcome = fuzz(40, tmp_path, seed=1)
    assert outcome["other"] == [] and sum(outcome["counts"].values()) == 40
