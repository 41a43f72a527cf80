"""Tables of one's own: the column names people use, barcodes and images found beside them, and
sentences where it fails."""

from __future__ import annotations

import gzip
import json
import os
import re
import subprocess
import sys
import time

import pandas as pd
import pytest
from PIL import Image

from hypertax.config.run_config import RunConfig
from hypertax.data import READERS, data_set_name, fingerprint, load_specimens, summarise
from hypertax.data.check import SpecimenTableError
from hypertax.data.split import SPLITS, clibd_split
from hypertax.data.fasta import read_fasta
from hypertax.data.table import COLUMNS, clean_barcodes, read_table
from hypertax.files import ROOT
from hypertax.taxonomy import RANKS

INSECT1K = ROOT.parent / "shared" / "data" / "insect1k" / "insect1k.tsv.gz"

AEDES = {"order": "Diptera", "family": "Culicidae", "genus": "Aedes", "species": "Aedes aegypti"}


def write(folder, name: str, header: str, *lines: str):
    """A table from comma-separated lines, in the format of its name."""
    rows = [line.split(",") for line in (header, *lines)]
    path = folder / name
    if ".parquet" in name:
        pd.DataFrame(rows[1:], columns=rows[0]).to_parquet(path)
        return path
    text = "\n".join(("," if ".csv" in name else "\t").join(row) for row in rows) + "\n"
    path.write_bytes(gzip.compress(text.encode()) if name.endswith(".gz") else text.encode())
    return path


@pytest.mark.parametrize(
    "name", ["a.tsv", "a.txt", "a.csv", "a.tsv.gz", "a.csv.gz", "a.parquet", "A.TSV"]
)
def test_formats(tmp_path, name):
    path = write(
        tmp_path,
        name,
        "sampleid,nucraw,species,split",
        "A1,ACGT,Aedes aegypti,train_seen",
        "A2,ACGA,,no_split",
    )
    table = read_table(path)
    assert tuple(table.columns) == COLUMNS and (table.dtypes == "str").all()
    assert isinstance(table.index, pd.RangeIndex)
    assert table["sampleid"].tolist() == ["A1", "A2"] and table["barcode"].tolist() == [
        "ACGT",
        "ACGA",
    ]
    assert table["species"].isna().tolist() == [False, True] and table["image"].isna().all()


@pytest.mark.parametrize(
    ("header", "line"),
    [
        (
            "processid,sampleid,uri,order,family,genus,species,nucraw",
            "P1,S1,B,Diptera,Culicidae,Aedes,Aedes aegypti,ACGT",
        ),  # BIOSCAN
        (
            "processid,sampleid,order_name,family_name,genus_name,species_name,nucleotides",
            "P1,S1,Diptera,Culicidae,Aedes,Aedes aegypti,ACGT",
        ),
        (
            "processid,sampleid,order,family,genus,species,nuc",
            "P1,S1,Diptera,Culicidae,Aedes,Aedes aegypti,ACGT",
        ),  # BOLD's BCDM
        (
            "Sample ID,Order,FAMILY,Genus,Species,DNA_barcode",
            "S1,Diptera,Culicidae,Aedes,Aedes aegypti,ACGT",
        ),
        (
            "occurrenceID,order,family,genus,specificEpithet,DNA_sequence",
            "S1,Diptera,Culicidae,Aedes,aegypti,ACGT",
        ),
        (
            "dwc:catalogNumber,dwc:order,dwc:family,dwc:genus,dwc:species,sequence",
            "S1,Diptera,Culicidae,Aedes,aegypti,ACGT",
        ),
        (
            "id,order,family,genus,scientificName,seq",
            "S1,Diptera,Culicidae,Aedes,Aedes (Stegomyia) aegypti (Linnaeus 1762),ACGT",
        ),
    ],
)
def test_column_names_of_bioscan_bold_and_darwin_core(tmp_path, header, line):
    row = read_table(write(tmp_path, "a.tsv", header + ",split", line + ",train_seen")).iloc[0]
    assert row[list(RANKS)].to_dict() == AEDES
    assert row["sampleid"] == "S1" and row["barcode"] == "ACGT"


@pytest.mark.parametrize(
    ("name", "rank", "species"),
    [
        ("Aedes aegypti", "species", "Aedes aegypti"),
        ("Aedes aegypti", "SPECIES", "Aedes aegypti"),
        ("Aedes aegypti", "", "Aedes aegypti"),
        ("Aedes aegypti Linnaeus", "", "Aedes aegypti"),
        ("Aedes aegypti formosus", "subspecies", "Aedes aegypti"),
        ("Aedes aegypti", "genus", None),
        ("Aedes", "", None),
        ("Aedes Meigen", "", None),
        ("Culicidae", "family", None),
        ("Aedes sp. 1", "", None),
        ("Aedes cf. aegypti", "", None),
        ("Aedes spinosus", "", "Aedes spinosus"),
    ],
)
def test_a_scientific_name_is_a_species_only_if_it_is_one(tmp_path, name, rank, species):
    path = write(
        tmp_path,
        "a.tsv",
        "id,scientificName,taxonRank,order,nuc,split",
        f"S1,{name},{rank},Diptera,ACGT,no_split",
    )
    found = read_table(path)["species"][0]
    assert found == species if species else pd.isna(found)


@pytest.mark.parametrize(
    "empty", ["", " ", "nan", "NaN", "None", "not_classified", "NA", "null", "unclassified"]
)
def test_placeholders_are_missing(tmp_path, empty):
    path = write(
        tmp_path,
        "a.tsv",
        "id,order,family,genus,species,nuc",
        f"S1,Diptera,{empty},{empty},{empty},ACGT",
    )
    row = read_table(path).iloc[0]
    assert (
        row["order"] == "Diptera"
        and row[["family", "genus", "species"]].isna().all()
        and row["split"] == "no_split"
    )


def test_a_genus_with_sp_is_no_species(tmp_path):
    path = write(
        tmp_path,
        "a.tsv",
        "id,species,nuc,split",
        *(
            f"S{i},{n},ACGT,no_split"
            for i, n in enumerate(["Aedes sp.", "Aedes sp", "Aedes sp. A1"])
        ),
    )
    assert read_table(path)["species"].fillna("-").tolist() == ["-", "-", "Aedes sp. A1"]


def test_barcodes_are_cleaned():
    dirty = pd.Series(["ac-gu", "  AC GT\n", "--", "", None, "NNRY"], dtype="str")
    assert clean_barcodes(dirty).fillna("?").tolist() == ["ACGT", "ACGT", "?", "?", "?", "NNRY"]


def test_rows_are_lines_of_the_file_even_after_blank_ones(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("id,order,nuc\nS1,Diptera,ACGT\n\n,,\nS2,Diptera,AC?T\n\n")
    with pytest.raises(SpecimenTableError, match=r"\(row 5\)"):
        read_table(path)


def test_line_ends_byte_order_mark_quotes_and_semicolons(tmp_path):
    path = tmp_path / "a.csv"
    path.write_bytes(b'\xef\xbb\xbf"sampleid";"order";"nuc"\r\n"S1";"Diptera";"ACGT"\r\n')
    assert read_table(path).loc[0, ["sampleid", "order", "barcode"]].tolist() == [
        "S1",
        "Diptera",
        "ACGT",
    ]
    path = tmp_path / "quoted.tsv"
    path.write_text('"sampleid"\t"order"\t"nuc"\n"S1"\t"Diptera"\t"ACGT"\n')
    assert read_table(path)["order"].tolist() == ["Diptera"]
    path = tmp_path / "stray.tsv"
    path.write_text('sampleid\torder\tnote\tnuc\nS1\tDiptera\t"3 mm\tACGT\nS2\tDiptera\tx\tACGT\n')
    assert read_table(path)["sampleid"].tolist() == ["S1", "S2"]


def test_numbers_as_identifiers(tmp_path):
    frame = pd.DataFrame({"id": [7, 8], "order": ["Diptera", None], "nuc": ["ACGT", "ACGT"]})
    frame.to_parquet(tmp_path / "a.parquet")
    assert read_table(tmp_path / "a.parquet")["sampleid"].tolist() == ["7", "8"]
    frame.astype({"order": "category"}).to_parquet(tmp_path / "b.parquet")
    assert read_table(tmp_path / "b.parquet")["order"].isna().tolist() == [False, True]


def test_the_recipe_splits_a_table_without_a_split(tmp_path):
    lines = [f"S{i},Aedes s{i % 7},ACGT" for i in range(100)]
    path = write(tmp_path, "a.tsv", "id,species,nuc", *lines)
    table = read_table(path, seed=3)
    assert (table["split"] == clibd_split(table, 3)).all()
    assert (table["split"] != read_table(path, seed=4)["split"]).any()
    given = write(
        tmp_path, "b.tsv", "id,species,nuc,split", *(f"{line},train_seen" for line in lines)
    )
    assert (read_table(given)["split"] == "train_seen").all()


@pytest.mark.parametrize(
    ("header", "rest"),
    [("sampleid,nucraw", ""), ("sampleid,nucraw,order,species", ",Diptera,Aedes aegypti")],
)
def test_new_specimens_need_neither_labels_nor_splits(tmp_path, header, rest):
    path = write(tmp_path, "new.tsv", header, *(f"N{i},ACGT{rest}" for i in range(5)))
    assert read_table(path)["sampleid"].tolist() == ["N0", "N1", "N2", "N3", "N4"]
    with pytest.raises(SpecimenTableError, match=r"no specimen (has a taxonomic|is in a training)"):
        load_specimens(str(path))


class TestImages:
    """Paths relative to the table or to `images` beside it."""

    @staticmethod
    def image(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (4, 4)).save(path)
        return str(path)

    def test_beside_the_table_in_images_and_absolute(self, tmp_path):
        places = [
            tmp_path / "a.jpg",
            tmp_path / "sub" / "b.jpg",
            tmp_path / "images" / "c.jpg",
            tmp_path / "far" / "d.jpg",
        ]
        expected = [self.image(place) for place in places]
        names = ["a.jpg", "sub\\b.jpg", "c.jpg", expected[3]]
        lines = [f"S{i},Diptera,{name}" for i, name in enumerate([*names, ""])]
        with pytest.raises(SpecimenTableError, match="neither a barcode nor an image"):
            read_table(write(tmp_path, "b.tsv", "id,order,image_file", *lines))
        table = read_table(write(tmp_path, "a.tsv", "id,order,image_file", *lines[:-1]))
        assert table["image"].tolist() == expected and table["barcode"].isna().all()

    def test_in_the_parts_of_bioscan(self, tmp_path):
        expected = self.image(tmp_path / "images" / "cropped_256" / "part12" / "x.jpg")
        path = write(
            tmp_path, "a.tsv", "sampleid,order,image_file,chunk_number", "S1,Diptera,x.jpg,12"
        )
        assert read_table(path)["image"].tolist() == [expected]

    def test_a_missing_one_is_named(self, tmp_path):
        path = write(tmp_path, "a.tsv", "id,order,image", "S1,Diptera,a.jpg")
        with pytest.raises(
            SpecimenTableError, match=r"1 image not found, such as .*/a\.jpg \(row 2\)"
        ):
            read_table(path)


class TestFasta:
    """Barcodes in a FASTA file beside the table."""

    @pytest.mark.parametrize("ending", [".fasta", ".fa", ".fas", ".fasta.gz"])
    def test_by_sampleid_or_processid(self, tmp_path, ending):
        path = write(
            tmp_path, "a.csv", "sampleid,processid,order", "S1,P1,Diptera", "S2,P2,Diptera"
        )
        text = ">P1|Aedes aegypti|COI-5P\nAC-G\nTA\n\n>S2 a description\nggu\n"
        (tmp_path / f"a{ending}").write_bytes(
            gzip.compress(text.encode()) if ending.endswith(".gz") else text.encode()
        )
        assert read_table(path)["barcode"].tolist() == ["ACGTA", "GGT"]

    def test_the_table_comes_first(self, tmp_path):
        path = write(tmp_path, "a.csv", "sampleid,order,nuc", "S1,Diptera,AAAA", "S2,Diptera,")
        (tmp_path / "a.fasta").write_text(">S1\nCC\n>S2\nGG\n")
        assert read_table(path)["barcode"].tolist() == ["AAAA", "GG"]

    @pytest.mark.parametrize(
        ("text", "sentence"),
        [
            ("ACGT\n", "is not FASTA: its first line must begin with '>'."),
            ("", "is not FASTA: its first line must begin with '>'."),
            (">S1\nA\n>S1\nC\n", "has two different records of 'S1': keep one."),
            (
                ">other\nACGT\n",
                "has the sampleid or processid of a specimen: begin each header with one of them.",
            ),
        ],
    )
    def test_what_is_wrong(self, tmp_path, text, sentence):
        path = write(tmp_path, "a.csv", "sampleid,order", "S1,Diptera")
        (tmp_path / "a.fasta").write_text(text)
        with pytest.raises(ValueError, match=".") as error:
            read_table(path)
        assert str(error.value).endswith(sentence) and "\n" not in str(error.value)

    def test_equal_records_may_repeat(self, tmp_path):
        (tmp_path / "a.fasta").write_bytes(b">S1\r\nA\r\n>S1\r\nA\r\n")
        assert read_fasta(tmp_path / "a.fasta")["sequence"].tolist() == ["A", "A"]
        path = write(tmp_path, "a.csv", "sampleid,order", "S1,Diptera")
        assert read_table(path)["barcode"].tolist() == ["A"]


class TestSentences:
    """What cannot be read at all is said in one sentence."""

    @staticmethod
    def sentence(dataset) -> str:
        with pytest.raises(ValueError, match=".") as error:
            load_specimens(str(dataset))
        assert "\n" not in str(error.value) and str(error.value).endswith(".")
        return str(error.value)

    def test_no_such_table(self):
        expected = (
            "dataset must be 'simulated', 'bioscan-1m' or the path of a table;"
            " nowhere.tsv was not found."
        )
        assert self.sentence("nowhere.tsv") == expected
        assert self.sentence("bioscan").endswith("bioscan was not found.")

    def test_a_folder(self, tmp_path):
        assert self.sentence(tmp_path).endswith(f"{tmp_path} is a folder.")

    @pytest.mark.parametrize("name", ["a.xlsx", "a", "a.parquet.gz", "a.gz"])
    def test_unknown_format(self, tmp_path, name):
        (tmp_path / name).write_text("x")
        assert "save it as .tsv, .csv (also .gz) or .parquet" in self.sentence(tmp_path / name)

    @pytest.mark.parametrize(
        ("name", "content", "part"),
        [
            ("a.tsv.gz", b"sampleid\torder\n", "cannot be read as a table"),
            (
                "a.tsv.gz",
                gzip.compress(b"sampleid\tnuc\n" + os.urandom(999).hex().encode())[:-40],
                "cannot be read as a table",
            ),
            ("a.csv", "sampleid,order\nS1,Col\xe9op".encode("latin-1"), "is not UTF-8 text"),
            ("a.csv", b"sampleid,order\nS1,Diptera,extra,more\n", "cannot be read as a table"),
            (
                "a.csv",
                b"sampleid,order\nS1,Diptera\nS2,Diptera,Aedes, 1818\n",
                "1 row with 4 fields under a header of 2 (row 3), to be filled up or cut",
            ),
            ("a.csv", b"", "has no column with the specimens' identifiers"),
            ("a.csv", b"name,order\nS1,Diptera\n", "has no column with the specimens' identifiers"),
            ("a.parquet", b"PAR1nonsense", "cannot be read as Parquet"),
        ],
    )
    def test_unreadable(self, tmp_path, name, content, part):
        (tmp_path / name).write_bytes(content)
        assert part in self.sentence(tmp_path / name)


def specimens() -> pd.DataFrame:
    rows = [
        ("A", "x/a.jpg", "ACGT", "O", "F", "G", "S", "train_seen"),
        ("B", None, "ACGA", "O", "F", None, None, "no_split"),
    ]
    rows += [
        ("C", None, "ACGA", None, None, None, None, "no_split"),
        ("D", None, None, "O", None, "G", "S", "val_seen"),
    ]
    return pd.DataFrame(rows, columns=COLUMNS).astype("str")


def test_fingerprint_depends_on_the_content_and_not_on_the_place(tmp_path):
    base = specimens()
    for folder in ("here", "there"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "a.jpg").write_bytes(b"123")
    here, there = (
        base.assign(image=[str(tmp_path / f / "a.jpg"), None, None, None]).astype("str")
        for f in ("here", "there")
    )
    assert fingerprint(here) == fingerprint(there) and len(fingerprint(here)) == 64
    (tmp_path / "there" / "a.jpg").write_bytes(b"1234")
    assert fingerprint(here) != fingerprint(there)
    marks = {fingerprint(base)}
    for column in COLUMNS:
        changed = base.copy()
        changed.loc[0, column] = "other"
        marks.add(fingerprint(changed))
        changed.loc[0, column] = None
        marks.add(fingerprint(changed))
    assert len(marks) == 1 + 2 * len(COLUMNS)


def test_summaries():
    table = summarise(specimens())
    assert table.index.tolist() == ["no_split", "train_seen", "val_seen", "all"]
    assert table.loc["all"].to_dict() == {
        "specimens": 4,
        "species": 1,
        "with image": 1,
        "with barcode": 3,
        "known order": 3,
        "known family": 2,
        "known genus": 2,
        "known species": 2,
    }


@pytest.mark.parametrize(
    ("dataset", "name"),
    [
        ("simulated", "simulated"),
        ("bioscan-1m", "bioscan-1m"),
        ("../shared/insect1k.tsv.gz", "insect1k"),
        ("my data.v2.csv", "my-data.v2"),
        ("elsewhere/simulated.tsv", "simulated-table"),
    ],
)
def test_data_set_name(dataset, name):
    assert data_set_name(dataset) == name


def test_a_new_data_set_is_one_entry(monkeypatch):
    specimens = pd.DataFrame({"sampleid": ["S1"]})
    asked = {}

    def read(**given):
        asked.update(given)
        return specimens

    monkeypatch.setitem(READERS, "museum", read)
    assert load_specimens("museum", seed=3) is specimens
    assert asked == {"seed": 3, "data_dir": None, "download": False}
    assert data_set_name("museum") == "museum"
    assert data_set_name("elsewhere/museum.csv") == "museum-table"
    with pytest.raises(ValueError, match="'museum' or the path of a table"):
        load_specimens("nowhere.tsv")


def test_the_data_sets_that_people_are_told_of_are_those_that_can_be_read():
    """The default of a run, of make and of the pipeline, and the comment in each notebook."""
    assert RunConfig.create("tiny").dataset in READERS
    (default,) = re.findall(r"(?m)^DATASET = (.+)$", (ROOT / "Makefile").read_text())
    assert default in READERS
    for path in sorted((ROOT / "notebooks").glob("0*.ipynb")):
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
        (parameters,) = [c for c in cells if "parameters" in c["metadata"].get("tags", [])]
        if path.stem == "07_identify":
            continue  # It asks for queries and a library.
        (line,) = [row for row in parameters["source"] if row.startswith("dataset = ")]
        assert all(f'"{name}"' in line for name in READERS), path.name


def test_simulating_without_its_packages_says_what_to_install(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "msprime", None)
    for name in ("dataset", "barcodes"):
        monkeypatch.delitem(sys.modules, f"hypertax.data.simulation.{name}", raising=False)
    with pytest.raises(
        ValueError, match=r"need the package msprime: install hypertax\[notebooks\]"
    ):
        load_specimens("simulated", data_dir=tmp_path)


@pytest.mark.skipif(
    not INSECT1K.exists(), reason="the real table ../shared/data/insect1k is not on this machine"
)
def test_insect1k_works_as_it_is():
    start = time.process_time()
    table = load_specimens(str(INSECT1K))
    assert time.process_time() - start < 10
    assert len(table) == 16_168 and table["barcode"].notna().all() and table["image"].isna().all()
    assert table[list(RANKS)].nunique().tolist() == [4, 93, 358, 962]
    assert table["split"].value_counts()[["train_seen", "seen_keys", "val_unseen"]].tolist() == [
        7262,
        1332,
        921,
    ]
    assert set(table["split"]) <= set(SPLITS)


def test_the_table_needs_no_torch():
    names = "load_specimens, read_table, summarise"
    code = f"import sys; from hypertax.data import {names}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0
