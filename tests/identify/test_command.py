"""The command: quick without torch where nothing is computed; answers, provenance and one sentence for what is
wrong."""

import json
import subprocess
import sys

import pandas as pd
import pytest
from identify_cases import library_and_queries, write_fasta

from hypertax.files import ROOT
from hypertax.identify.command import main
from hypertax.taxonomy import RANKS


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("files")
    library, queries = library_and_queries()
    library.drop(columns="number").to_csv(folder / "library.tsv", sep="\t", index=False)
    write_fasta(queries, folder / "queries.fasta")
    return folder


def identify(files, *further, queries="queries.fasta"):
    arguments = ["identify", str(files / queries), "--reference", str(files / "library.tsv")]
    return main([*arguments, "--quiet", *further])


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["--help"], 0, "identify"),
        (["identify", "--help"], 0, "--precision"),
        (["identify"], 2, "required"),
        (["identify", "nowhere.fasta", "--reference", "nothing.tsv"], 2, "was not found"),
        (["identify", "x", "--reference", "y", "--precision", "2"], 2, "from 0.5 to below 1"),
        (["identify", "README.md", "--reference", "README.md", "--output", "a.doc"], 2, "must end"),
    ],
)
def test_help_and_mistakes_do_not_wait_for_torch(arguments, code, said):
    statement = (
        "import sys; from hypertax.identify.command import main\n"
        "try: code = main(sys.argv[1:])\n"
        "except SystemExit as end: code = end.code\n"
        "assert not {'torch', 'pandas', 'numpy', 'sklearn'} & set(sys.modules), 'heavy'\n"
        "sys.exit(code)"
    )
    done = subprocess.run(
        [sys.executable, "-c", statement, *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == code, done.stderr
    assert said in done.stdout + done.stderr


def test_answers_and_provenance_and_the_same_bytes_again(files, tmp_path):
    first, second = tmp_path / "first.tsv", tmp_path / "second.tsv"
    assert identify(files, "--output", str(first)) == 0
    answers = pd.read_csv(first, sep="\t")
    assert len(answers) == len(library_and_queries()[1])
    assert (files / "library.tsv.hypertax" / "identifier.json").is_file(), "kept beside the library"
    record = json.loads((tmp_path / "first.tsv.json").read_text("utf-8"))
    assert record["specimens"] == len(answers) and record["parameters"]["precision"] == 0.95
    assert {"versions", "library", "model", "seconds", "thresholds"} <= set(record)
    assert identify(files, "--output", str(second)) == 0
    assert first.read_bytes() == second.read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(
        f"{name}.tsv{end}" for name in ("first", "second") for end in ("", ".json")
    )


def test_parquet_holds_what_the_tsv_holds(files, tmp_path):
    for name in ("a.tsv", "a.parquet"):
        assert identify(files, "--output", str(tmp_path / name)) == 0
    text = pd.read_csv(tmp_path / "a.tsv", sep="\t")
    stored = pd.read_parquet(tmp_path / "a.parquet")
    assert text["species"].tolist() == stored["species"].tolist()
    assert text["speciesProbability"].tolist() == stored["speciesProbability"].tolist()


def test_an_unknown_taxon_is_one_sentence(files, tmp_path, capsys):
    assert identify(files, "--output", str(tmp_path / "a.tsv"), "--within", "Dipetra") == 2
    assert capsys.readouterr().err.strip().endswith("did you mean Diptera?")


def test_a_shuffled_reversed_and_broken_fasta_is_answered_record_by_record(files, tmp_path):
    _, queries = library_and_queries()
    turn = str.maketrans("ACGT", "TGCA")
    reads = dict(zip(queries["sampleid"], queries["barcode"], strict=True))
    one, two, three, four, *others = list(reads)
    text = "".join(f">{name} a note\n{reads[name]}\n" for name in others[::-1])
    text += f">{one}\n{reads[one].translate(turn)[::-1]}\n"
    text += f">{two}\r\n{reads[two][:120].lower()}\r\n"
    text += f">{three}\n{reads[three]}\n>{three}\n{reads[three]}\n"
    text += f">{four}\n\n>broken\n{reads[four][:100]}??!!\n>\n{reads[four]}\n"
    text += f">noise\n{'ACGGT' * 60}\n"
    (files / "broken.fasta").write_text(text, encoding="utf-8", newline="")
    whole, broken = tmp_path / "whole.tsv", tmp_path / "broken.tsv"
    assert identify(files, "--output", str(whole)) == 0
    assert identify(files, "--output", str(broken), queries="broken.fasta") == 0
    whole = pd.read_csv(whole, sep="\t", index_col="materialSampleID")
    broken = pd.read_csv(broken, sep="\t", keep_default_na=False)
    unnamed = f"row {len(others) + 7}"
    expected = [*others[::-1], one, two, three, three, four, "broken", unnamed, "noise"]
    assert broken["materialSampleID"].tolist() == expected
    lineage = list(RANKS)
    for place, name in enumerate(others[::-1]):
        assert broken.loc[place, "scientificName"] == whole.loc[name].fillna("")["scientificName"]
    rows = broken.iloc[len(others) :].reset_index(drop=True)
    assert "reverse-complement" in rows.loc[0, "flags"]
    assert (rows.loc[0, lineage] == whole.loc[one, lineage]).all()
    assert "short" in rows.loc[1, "flags"] and rows.loc[1, "order"] == whole.loc[two, "order"]
    for twin in (2, 3):
        assert "duplicate-identifier" in rows.loc[twin, "flags"]
    for place, said in ((4, "neither a barcode"), (5, "no nucleotide"), (7, "does not align")):
        assert said in rows.loc[place, "identificationRemarks"]
        assert rows.loc[place, "taxonRank"] == "" and rows.loc[place, "species"] == ""
    assert (rows.loc[6, lineage] == whole.loc[four, lineage]).all(), "a record without a name"
