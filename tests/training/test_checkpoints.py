"""Checkpoints in local folders with the paper's encoders' shapes: what is loaded is what was saved;
adapters, checkpointing, compilation.

The quick tests run on the same architectures made narrow, the slow ones on the paper's sizes. All
weights are random.
"""

import copy
import shutil
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import timm
import torch
from timm.models import save_for_hf
from transformers import BertConfig, BertForTokenClassification, BertModel

from hypertax.config.run_config import RunConfig
from hypertax.data.barcodes.codes import base_codes
from hypertax.data.batches import Batch
from hypertax.data.taxon_index import TaxonIndex
from hypertax.model.build import build_model
from hypertax.model.model import HypertaxModel
from hypertax.model.tokens import TextTokens, kmer_vocabulary
from hypertax.training.objective import Objective

SIZE = 32
NARROW = SimpleNamespace(
    vit={"depth": 2, "embed_dim": 48, "num_heads": 3}, dna=(2, 48, 3), text=(2, 32, 2)
)
# BarcodeBERT: 4 layers, 4 heads and BERT's width (bioscan-ml/BarcodeBERT, README and
# pretraining.py); bert-small: 4 layers, 512, 8 heads.
PAPER = SimpleNamespace(vit={}, dna=(4, 768, 4), text=(4, 512, 8))


def specimens():
    """24 specimens of four species; every species has its own barcode."""
    rng = np.random.default_rng(0)
    reads = ["".join(rng.choice(list("ACGT"), 60)) for _ in range(4)]
    rows = [
        {
            "sampleid": f"S{i}",
            "image": "unused.jpg",
            "barcode": reads[i % 4],
            "order": f"Order{i % 2}",
            "family": f"Family{i % 2}",
        }
        | {"genus": f"Genus{i % 4}", "species": f"Genus{i % 4} alba", "split": "train_seen"}
        for i in range(24)
    ]
    return pd.DataFrame(rows).astype("str")


def bert(shape, vocabulary):
    layers, hidden, heads = shape
    size = {
        "hidden_size": hidden,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "intermediate_size": 4 * hidden,
    }
    return BertConfig(vocab_size=vocabulary, **size, max_position_embeddings=512, num_labels=4**5)


def write_folders(root, shapes):
    """Three folders as the libraries write them; returns them as parameters, and the backbones they
    were written from."""
    torch.manual_seed(1)
    # As a classifier and as a token classifier, which is what the published checkpoints are.
    image = timm.create_model("vit_base_patch16_224", img_size=SIZE, num_classes=10, **shapes.vit)
    save_for_hf(
        image,
        root / "image",
        model_config={"num_classes": 10, "model_args": {**shapes.vit}},
        safe_serialization=True,
    )
    dna = BertForTokenClassification(bert(shapes.dna, 4**5 + 2))
    dna.save_pretrained(root / "dna")
    texts = TextTokens.train(
        sorted(set(specimens()[["order", "family", "genus", "species"]].to_numpy().ravel()))
    )
    text = BertModel(bert(shapes.text, texts.size))
    text.save_pretrained(root / "text")
    texts.save(root / "text" / "tokenizer.json")
    return {f"{m}_encoder": str(root / m) for m in ("image", "dna", "text")}, {
        "image": image,
        "dna": dna.bert,
        "text": text,
    }


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    return write_folders(tmp_path_factory.mktemp("narrow"), NARROW)


def model_of(folders, table=None, **parameters):
    table = specimens() if table is None else table
    config = RunConfig.create(
        "paper",
        **{**folders[0], "image_size": SIZE, "embed_dim": 16, "precision": "no", **parameters},
    )
    return build_model(config, table, TaxonIndex(table), np.ones(len(table), dtype=bool))


def batch_of(model, table):
    names = TaxonIndex(table)
    present = torch.ones(len(table), dtype=torch.bool)
    torch.manual_seed(2)
    image = torch.randn(len(table), 3, SIZE, SIZE)
    # The reads have twelve k-mers: what follows is padding, which takes no part.
    dna = model.barcode_codes(torch.from_numpy(base_codes(table["barcode"])))[:, :16]
    return Batch(
        torch.arange(len(table)),
        image,
        present,
        dna,
        present,
        torch.from_numpy(names.lineage),
        torch.from_numpy(names.full_text),
    )


def loss_of(model, table=None):
    table = specimens() if table is None else table
    return Objective(model.config, TaxonIndex(table), model)(model, batch_of(model, table))["loss"]


def vectors(model):
    batch = batch_of(model, specimens())
    text = torch.from_numpy(model.tokens(["Order0", "Genus1 alba"]))
    with torch.no_grad():
        return {
            m: model.tangent(m, inputs)
            for m, inputs in (("image", batch.image), ("dna", batch.dna), ("text", text))
        }


def gradients(model):
    loss_of(model).backward()
    return {name: p.grad for name, p in model.named_parameters() if p.grad is not None}


def test_what_is_loaded_is_what_was_saved(folders):
    model = model_of(folders)
    for modality, source in folders[1].items():
        loaded = model.encoders[modality].backbone.state_dict()
        saved = source.state_dict()
        assert loaded and all(torch.equal(value, saved[name]) for name, value in loaded.items()), (
            modality
        )
        left = set(saved) - set(loaded)
        assert all(name.startswith(("head.", "pooler.")) for name in left), (
            "only what the embedding does not use is left out"
        )


def test_an_image_folder_is_read_whatever_it_is_called(folders, tmp_path):
    shutil.copytree(folders[0]["image_encoder"], tmp_path / "vitrine")
    assert model_of(folders, image_encoder=str(tmp_path / "vitrine")).encoders[
        "image"
    ].backbone.patch_embed.img_size == (SIZE, SIZE)


@pytest.mark.parametrize("order", ["TGCA", "ACGT"])
def test_a_vocabulary_of_its_own_that_disagrees_is_one_sentence(folders, tmp_path, order):
    shutil.copytree(folders[0]["dna_encoder"], tmp_path / "dna")
    numbers = kmer_vocabulary()
    kmers = sorted((word for word in numbers if "[" not in word), key=numbers.get)
    words = [
        "[MASK]",
        "[UNK]",
        *("".join(order["ACGT".index(base)] for base in word) for word in kmers),
    ]
    (tmp_path / "dna" / "vocab.txt").write_text("\n".join(words), encoding="utf-8")
    if order == "ACGT":
        model_of(folders, dna_encoder=str(tmp_path / "dna"))
        return
    with pytest.raises(ValueError, match="numbers AAAAA as 1025, not 2") as error:
        model_of(folders, dna_encoder=str(tmp_path / "dna"))
    assert "\n" not in str(error.value)


def test_adapters_alone_are_trained_and_change_nothing_at_first(folders):
    full, adapted = model_of(folders), model_of(folders, lora_rank=4)
    for modality, value in vectors(full.eval()).items():
        assert torch.equal(value, vectors(adapted.eval())[modality]), "an adapter is zero at first"
    trained = {name for name, p in adapted.named_parameters() if p.requires_grad}
    adapters = {name for name in trained if name.startswith("encoders.")}
    assert all("lora_" in name for name in adapters)
    assert len(adapters) == 2 * (2 + 2 * 2 + 2 * 2), (
        "A and B on qkv of two blocks, on query and value of twice two layers"
    )
    assert trained - adapters == {
        name for name, _ in adapted.named_parameters() if not name.startswith("encoders.")
    }
    counts = adapted.parameter_counts().set_index("part")
    assert counts.loc["dna encoder", "trainable"] == 2 * 2 * 2 * 4 * 48
    assert counts.loc["all", "trainable"] == sum(
        p.numel() for p in adapted.parameters() if p.requires_grad
    )
    assert counts.loc["all"].tolist() == counts.drop("all").sum().tolist(), (
        "every parameter is in one part"
    )
    assert (full.parameter_counts()["parameters"] == full.parameter_counts()["trainable"]).all()
    before = {name: value.clone() for name, value in adapted.state_dict().items()}
    optimizer = torch.optim.AdamW([p for p in adapted.parameters() if p.requires_grad], lr=1e-2)
    loss_of(adapted.train()).backward()
    optimizer.step()
    moved = {
        name for name, value in adapted.state_dict().items() if not torch.equal(value, before[name])
    }
    assert moved <= trained and any(
        "image.backbone.blocks.0.attn.qkv.lora_B" in name for name in moved
    )
    assert any("dna" in name and "lora_B" in name for name in moved) and any(
        "text" in name and "lora_B" in name for name in moved
    )


def test_a_seed_gives_the_same_adapters(folders):
    one, same, other = (
        model_of(folders, lora_rank=2, seed=seed).state_dict() for seed in (5, 5, 6)
    )
    names = [name for name in one if "lora_A" in name]
    assert names and all(torch.equal(one[name], same[name]) for name in names)
    assert not any(torch.equal(one[name], other[name]) for name in names)


def test_a_saved_adapted_model_embeds_as_before(folders, tmp_path):
    model = model_of(folders, lora_rank=2)
    torch.manual_seed(3)
    with torch.no_grad():
        for name, p in model.named_parameters():
            if "lora_B" in name:
                p.normal_(std=0.1)
    model.save_pretrained(tmp_path)
    again = HypertaxModel.from_pretrained(tmp_path)
    for modality, value in vectors(model.eval()).items():
        assert torch.equal(vectors(again)[modality], value)
    assert not torch.equal(vectors(model_of(folders).eval())["dna"], vectors(again)["dna"]), (
        "the adapters count"
    )
    bases = torch.from_numpy(base_codes(specimens()["barcode"]))
    assert torch.equal(again.barcode_codes(bases), model.barcode_codes(bases))


@pytest.mark.parametrize(("modality", "name"), [("dna", "cnn"), ("image", "tiny-convnext")])
def test_an_encoder_without_attention_takes_no_adapters(folders, modality, name):
    with pytest.raises(ValueError, match=f"lora_rank must be 0 with this {modality}_encoder"):
        model_of(folders, lora_rank=2, **{f"{modality}_encoder": name})


@pytest.mark.parametrize("rank", [0, 2])
def test_gradients_are_the_same_with_checkpointing(folders, rank):
    # In evaluation there is no dropout, and transformers checkpoints only in training.
    plain, saving = (
        model_of(folders, lora_rank=rank, gradient_checkpointing=on).train() for on in (False, True)
    )
    for model in (plain, saving):
        for module in model.modules():
            if isinstance(module, torch.nn.Dropout):
                module.p = 0.0
    calls = []
    saving.encoders["dna"].backbone.encoder.layer[0].attention.register_forward_pre_hook(
        lambda *_: calls.append(1)
    )
    expected, found = gradients(plain), gradients(saving)
    assert len(calls) == 2, "computed again in the backward pass"
    assert set(found) == set(expected)
    assert all(
        torch.allclose(found[name], value, rtol=1e-5, atol=1e-6) for name, value in expected.items()
    )


@pytest.mark.slow
@pytest.mark.skipif(
    not any(map(shutil.which, ("c++", "g++", "clang++"))),
    reason="torch.compile needs a C++ compiler",
)
def test_a_compiled_model_is_the_same_model(folders):
    plain, compiled = model_of(folders).eval(), model_of(folders, compile=True).eval()
    assert list(plain.state_dict()) == list(compiled.state_dict())
    for modality, value in vectors(plain).items():
        assert torch.allclose(vectors(compiled)[modality], value, atol=1e-4)


@pytest.fixture(scope="module")
def paper_folders(tmp_path_factory):
    return write_folders(tmp_path_factory.mktemp("paper"), PAPER)


@pytest.mark.slow
@pytest.mark.parametrize("rank", [0, 4])
def test_the_papers_sizes_learn_in_bf16_with_exact_geometry(paper_folders, rank):
    model = model_of(paper_folders, embed_dim=768, precision="bf16", lora_rank=rank).train()
    counts = model.parameter_counts().set_index("part")
    assert (
        counts.loc["image encoder", "parameters"] > 85e6
        and counts.loc["dna encoder", "parameters"] > 28e6
    )
    assert counts.loc["all", "trainable"] < (3e6 if rank else np.inf)
    _check_geometry(model)
    optimizer = torch.optim.AdamW(
        [p for p in model.parameters() if p.requires_grad], lr=1e-3 if rank else 1e-4
    )
    losses = []
    # Few: a processor without instructions for bf16 takes most of a minute for one step.
    for _ in range(4):
        loss = loss_of(model, specimens().head(12))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        model.clamp_()
        losses.append(loss.item())
    assert np.isfinite(losses).all() and losses[-1] < losses[0]


def _check_geometry(model):
    """Gradients of the loss by the tangent vectors and the curvature, against fp64 from the same
    bf16 features."""
    table = specimens()
    batch = batch_of(model, table)
    errors, results = {}, []
    objective = Objective(model.config, TaxonIndex(table), model)
    texts = objective.tokens_of(objective.texts(batch))
    with torch.no_grad():
        tangents = {
            m: model.tangent(m, x)
            for m, x in (("image", batch.image), ("dna", batch.dna), ("text", texts))
        }
    assert all(value.dtype == torch.float32 for value in tangents.values())
    for dtype in (torch.float32, torch.float64):
        # The encoders take no part: of the paper's sizes, a copy in fp64 would be a gigabyte.
        part = SimpleNamespace(
            space=copy.deepcopy(model.space).to(dtype),
            modalities=model.modalities,
            tokens=model.tokens,
        )
        part.logit_scale = model.logit_scale.detach().to(dtype)
        leaves = {m: value.detach().to(dtype).requires_grad_() for m, value in tangents.items()}
        loss = Objective(model.config, TaxonIndex(table), part)(
            lambda *_, leaves=leaves: leaves, batch
        )["loss"]
        loss.backward()
        results.append(
            {m: v.grad.double() for m, v in leaves.items()}
            | {"curvature": part.space.log_curvature.grad.double()}
        )
    for name, exact in results[1].items():
        errors[name] = ((results[0][name] - exact).norm() / exact.norm()).item()
    assert all(error < 1e-3 for error in errors.values()), errors
