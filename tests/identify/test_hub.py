"""Identifiers on a hub, in its offline mode: what is uploaded is what comes back, by name and revision, without
code."""

import shutil

import huggingface_hub
import pandas as pd
import pytest
from identify_cases import library_and_queries

from hypertax.identify import Identifier
from hypertax.identify.command import main

NAME = "someone/flies"


@pytest.fixture(scope="module")
def identifier():
    return Identifier.train(library_and_queries()[0], progress=False)


@pytest.fixture()
def hub(tmp_path, monkeypatch):
    """What is uploaded lies in the cache of downloads, as if it had been downloaded; nothing else is had."""
    cache = tmp_path / "cache"
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(cache))

    class Repository:
        repo_id = NAME

    def create_repo(self, repo_id, **options):
        return Repository()

    def upload_folder(self, *, repo_id, folder_path, **options):
        place = cache / f"models--{repo_id.replace('/', '--')}"
        commit = f"{len(list(place.glob('snapshots/*'))) + 1:040x}"
        shutil.copytree(folder_path, place / "snapshots" / commit)
        (place / "refs").mkdir(exist_ok=True)
        (place / "refs" / (options.get("revision") or "main")).write_text(commit)

    monkeypatch.setattr(huggingface_hub.HfApi, "create_repo", create_repo)
    monkeypatch.setattr(huggingface_hub.HfApi, "upload_folder", upload_folder)
    return cache


def test_what_is_published_answers_the_same_by_name_and_revision(identifier, hub):
    card = {"data": "Made barcodes.", "licence": "CC0-1.0"}
    identifier.push_to_hub(NAME, model_card_kwargs=card)
    half = identifier.within("Diptera")
    half.push_to_hub(NAME, branch="v2", model_card_kwargs=card)
    queries = library_and_queries()[1]
    read = Identifier.from_pretrained(NAME)
    expected = identifier.identify(queries, progress=False)
    pd.testing.assert_frame_equal(read.identify(queries, progress=False), expected)
    read = Identifier.from_pretrained(NAME, revision=f"{2:040x}")
    assert len(read.library) == len(half.library) < len(identifier.library)


def test_the_card_tells_data_licence_results_calibration_limits_and_use(identifier, hub):
    card = {"data": "Made barcodes.", "licence": "CC0-1.0", "precision": 0.9}
    identifier.push_to_hub(NAME, model_card_kwargs=card)
    folder = next(hub.glob("*/snapshots/*"))
    text = (folder / "README.md").read_text(encoding="utf-8")
    card = huggingface_hub.ModelCard(text)
    assert (card.data.license, card.data.library_name) == ("cc0-1.0", "hypertax")
    for heading in ("Data", "Results", "Calibration", "Limits", "Use"):
        assert f"## {heading}\n" in text
    assert "Made barcodes." in text and "| new species | order |" in text and "error order" in text
    endings = {path.suffix for path in folder.rglob("*") if path.is_file()}
    assert endings <= {".json", ".parquet", ".safetensors", ".hmm", ".md"}, "no code, no pickle"
    assert "not told" in str(identifier.generate_model_card())


def test_a_name_that_cannot_be_had_is_one_sentence(hub):
    with pytest.raises(ValueError, match="no folder, and it could not be had") as error:
        Identifier.from_pretrained("someone/nothing")
    assert "\n" not in str(error.value) and str(error.value).endswith("check the name.")


def test_the_command_takes_a_name(identifier, hub, tmp_path, capsys):
    identifier.push_to_hub(NAME)
    library, queries = library_and_queries()
    library.to_csv(tmp_path / "library.tsv", sep="\t", index=False)
    queries.to_csv(tmp_path / "queries.tsv", sep="\t", index=False)
    arguments = ["identify", str(tmp_path / "queries.tsv"), "--reference"]
    arguments += [str(tmp_path / "library.tsv"), "--output", str(tmp_path / "a.tsv"), "--quiet"]
    assert main([*arguments, "--model", NAME]) == 0
    answers = pd.read_csv(tmp_path / "a.tsv", sep="\t")
    expected = identifier.identify(queries, progress=False)
    assert answers["species"].tolist() == expected["species"].tolist()
    assert main([*arguments, "--model", "someone/nothing"]) == 2
    assert "could not be had from the hub" in capsys.readouterr().err
