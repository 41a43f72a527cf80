"""Encoders: an embedding is a specimen's own, whatever it is batched, padded or loaded with."""

import json

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import save_file

from hypertax.config.run_config import RunConfig
from hypertax.data.barcodes.codes import base_codes, kmer_codes
from hypertax.model.encoders import (
    ConvolutionalBarcodeEncoder,
    EncoderUnavailable,
    ImageEncoder,
    barcode_encoder,
    text_encoder,
)
from hypertax.model.model import HypertaxModel, assemble_model
from hypertax.model.tokens import TextTokens

NAMES = [
    "Diptera",
    "Diptera Chironomidae",
    "Coleoptera Carabidae Carabus Carabus auratus",
    "Lepidoptera Noctuidae Agrotis Agrotis ipsilon",
]


@pytest.fixture
def tokens():
    return TextTokens.train(NAMES)


def test_short_and_long_texts_together_give_what_each_gives_alone(tokens):
    encoder = text_encoder(RunConfig.create("tiny"), tokens, pretrained=False).eval()
    ids = torch.from_numpy(tokens(NAMES * 6))
    with torch.no_grad():
        together = encoder(ids)
        alone = torch.cat([encoder(torch.from_numpy(tokens([name]))) for name in NAMES * 6])
    assert torch.allclose(together, alone, atol=1e-5)


def test_padding_does_not_change_a_barcode_in_the_transformer():
    encoder = barcode_encoder(
        RunConfig.create("tiny", dna_encoder="transformer"), pretrained=False
    ).eval()
    codes = kmer_codes(torch.from_numpy(base_codes(pd.Series(["ACGTA" * 40, "ACGTA" * 132]))))
    with torch.no_grad():
        assert torch.allclose(encoder(codes)[0], encoder(codes[:1, :40])[0], atol=1e-5)
        assert torch.isfinite(encoder(torch.full((1, 132), -1))).all(), "no barcode, no NaN"


def test_the_mean_is_over_hidden_states_of_tokens(tokens):
    encoder = text_encoder(RunConfig.create("tiny"), tokens, pretrained=False).eval()
    ids = torch.from_numpy(tokens(NAMES[2:3]))
    with torch.no_grad():
        hidden = encoder.backbone(
            input_ids=ids.long(), attention_mask=torch.ones_like(ids).long()
        ).last_hidden_state
        assert torch.allclose(encoder(ids), hidden.mean(1), atol=1e-6)


def test_a_read_that_begins_a_little_later_is_almost_the_same():
    torch.manual_seed(0)
    encoder = ConvolutionalBarcodeEncoder().eval()
    rng = np.random.default_rng(0)
    read = "".join(rng.choice(list("ACGT"), 660))
    other = "".join(rng.choice(list("ACGT"), 660))
    with torch.no_grad():
        a, shifted, b = encoder(torch.from_numpy(base_codes(pd.Series([read, read[4:], other]))))
    assert (a - shifted).norm() < 0.7 * (a - b).norm()


def test_no_batch_normalisation():
    config = RunConfig.create("tiny")
    for encoder in (ImageEncoder(config, pretrained=False), ConvolutionalBarcodeEncoder()):
        assert not [
            m for m in encoder.modules() if isinstance(m, torch.nn.modules.batchnorm._BatchNorm)
        ]


def test_a_local_folder_is_a_checkpoint(tmp_path):
    config = {
        "model_type": "bert",
        "vocab_size": 4**5 + 2,
        "hidden_size": 32,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
    }
    config |= {
        "intermediate_size": 64,
        "max_position_embeddings": 140,
        "architectures": ["BertModel"],
    }
    (tmp_path / "config.json").write_text(json.dumps(config))
    run = RunConfig.create("tiny", dna_encoder=str(tmp_path))
    source = barcode_encoder(run, pretrained=False)
    save_file(
        {k: v.contiguous() for k, v in source.backbone.state_dict().items()},
        tmp_path / "model.safetensors",
        metadata={"format": "pt"},
    )
    loaded = barcode_encoder(run, pretrained=True).eval()
    codes = kmer_codes(torch.from_numpy(base_codes(pd.Series(["ACGTACGTTA" * 20]))))
    with torch.no_grad():
        assert torch.allclose(source.eval()(codes), loaded(codes), atol=1e-6)


@pytest.mark.parametrize("parameter", ["dna_encoder", "text_encoder"])
def test_a_checkpoint_that_cannot_be_had_is_one_sentence(parameter, tokens, tmp_path):
    config = RunConfig.create("tiny", **{parameter: str(tmp_path / "nothing")})
    with pytest.raises(EncoderUnavailable) as error:
        barcode_encoder(config, True) if parameter == "dna_encoder" else text_encoder(
            config, tokens, True
        )
    assert (
        parameter in str(error.value)
        and "local folder" in str(error.value)
        and "\n" not in str(error.value)
    )


def test_an_unknown_image_model_is_named():
    with pytest.raises(ValueError, match="image_encoder must be a timm model.*'nonsense'"):
        ImageEncoder(RunConfig.create("tiny", image_encoder="nonsense"), pretrained=False)


class Composition(torch.nn.Module):
    """An encoder that nobody named: how often each base occurs."""

    width = 4

    def forward(self, bases):
        return torch.stack([(bases == base).float().mean(dim=1) for base in range(4)], dim=1)


def test_a_model_takes_any_encoder_with_a_width(tokens):
    config = RunConfig.create("tiny", embed_dim=8)
    encoders = {
        "text": text_encoder(config, tokens, pretrained=False),
        "dna": Composition(),
    }
    model = HypertaxModel(config, encoders, tokens).eval()
    assert model.modalities == ("dna", "text") and model.encoders["dna"] is encoders["dna"]
    bases = torch.from_numpy(base_codes(pd.Series(["ACGT" * 20, "AACC" * 20, "TTTT" * 20])))
    with torch.no_grad():
        found = model.tangent("dna", bases)
        want = model.projections["dna"](Composition()(bases)) * model.space.log_scale["dna"].exp()
    assert found.shape == (3, 8) and torch.equal(found, want)


def test_an_assembled_model_draws_encoders_in_order_and_then_projections(tokens):
    config = RunConfig.create("tiny", embed_dim=8, image_size=32)
    torch.manual_seed(3)
    model = assemble_model(config, ("text", "image", "dna"), tokens, pretrained=False)
    after = torch.get_rng_state()
    torch.manual_seed(3)
    image = ImageEncoder(config, pretrained=False)
    dna = barcode_encoder(config, pretrained=False)
    text = text_encoder(config, tokens, pretrained=False)
    widths = [encoder.width for encoder in (image, dna, text)]
    projections = [torch.nn.Linear(width, config.projected) for width in widths]
    assert torch.equal(torch.get_rng_state(), after)
    for modality, encoder, projection in zip(
        ("image", "dna", "text"), (image, dna, text), projections, strict=True
    ):
        for ours, theirs in ((model.encoders, encoder), (model.projections, projection)):
            own = ours[modality].state_dict()
            assert all(torch.equal(own[name], v) for name, v in theirs.state_dict().items())
