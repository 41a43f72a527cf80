"""Names of people's tables, which name folders of results: never those of this repository's own."""

import gzip
import hashlib

import pytest

from hypertax.data import specimens
from hypertax.data.specimens import PUBLISHED, READERS, RESERVED, data_set_name
from hypertax.files import ROOT


@pytest.mark.parametrize("name", [*READERS, *RESERVED, *PUBLISHED])
@pytest.mark.parametrize("spelled", [str, str.upper, str.title])
@pytest.mark.parametrize("ending", [".tsv", ".csv.gz", ".parquet"])
def test_a_table_called_as_a_folder_of_ours_gets_another_name(name, spelled, ending, tmp_path):
    path = tmp_path / f"{spelled(name)}{ending}"
    path.write_text("sampleid\n")
    assert data_set_name(str(path)) == f"{spelled(name)}-table"


def test_every_folder_of_results_is_reserved_or_of_a_data_set():
    tops = [ROOT / top for top in ("tables", "figures")]
    folders = {path.name for top in tops for path in top.iterdir() if path.is_dir()}
    assert folders <= {*READERS, *RESERVED, *PUBLISHED}


@pytest.mark.parametrize("packed", [False, True])
def test_the_published_table_itself_keeps_its_name_packed_or_not(packed, tmp_path, monkeypatch):
    text = b"sampleid\nS1\n"
    monkeypatch.setitem(specimens.PUBLISHED, "ours", hashlib.sha256(text).hexdigest())
    path = tmp_path / ("ours.tsv.gz" if packed else "ours.tsv")
    path.write_bytes(gzip.compress(text) if packed else text)
    assert data_set_name(str(path)) == "ours"
    path.write_bytes(gzip.compress(text + b"S2\n")[:-4] if packed else text + b"S2\n")
    assert data_set_name(str(path)) == "ours-table"


@pytest.mark.parametrize(
    ("stem", "name"),
    [
        ("a b", "a-b"),
        ("set {x}", "set-x"),
        ("Käfer", "Käfer"),
        ("Ka\u0308fer", "Käfer"),
        ("it's \"quoted\" \\ $HOME `id`", "it-s-quoted-HOME-id"),
        ("-rf", "rf"),
        ("🦋", "table"),
    ],
)
def test_a_name_is_fit_for_a_folder_and_a_command_line(stem, name, tmp_path):
    assert data_set_name(str(tmp_path / f"{stem}.tsv")) == name


def test_a_long_name_is_cut_and_stays_its_own():
    one, other = ("x" * 200 + end for end in "ab")
    names = [data_set_name(f"{stem}.tsv") for stem in (one, other, "ä" * 120)]
    assert len(set(names)) == 3 and max(len(name.encode()) for name in names) <= 80
