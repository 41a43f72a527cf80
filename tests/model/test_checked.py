"""Damaged and hostile folders in a model's place: none is accepted, each refusal is one sentence, and
nothing of a folder runs."""

import json
import math
import os
import shutil
import struct
import time

import numpy as np
import pytest
import torch
import yaml
from safetensors.torch import load_file, save_file
from small_reads import small_reads

from hypertax.config.run_config import RunConfig
from hypertax.data.taxon_index import TaxonIndex
from hypertax.files import write_text
from hypertax.model.checked import ModelRefused
from hypertax.model.encoders import EncoderUnavailable
from hypertax.model.build import build_model
from hypertax.model.model import HypertaxModel
from hypertax.records import file_records

SMALL = {"embed_dim": 8, "image_size": 32}
KINDS = {
    "lorentz": {},
    "euclidean": {"space": "euclidean", "entailment": "none"},
    "nested": {"recipe": "nested"},
}


def save(folder, **parameters):
    table = small_reads(2, ("train_seen",))
    config = RunConfig.create("tiny", **SMALL, **parameters)
    model = build_model(config, table, TaxonIndex(table), np.ones(len(table), dtype=bool))
    model.save_pretrained(folder)
    return model.eval()


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    root = tmp_path_factory.mktemp("models")
    for name, parameters in KINDS.items():
        save(root / name, **parameters)
    return root


def config(**changes):
    """Change `config.yaml`; None leaves a parameter out."""

    def harm(folder):
        path = folder / "config.yaml"
        values = yaml.safe_load(path.read_text()) | changes
        values = {name: value for name, value in values.items() if value is not None}
        path.write_text(yaml.safe_dump(values))

    return harm


def content(name, data):
    """Put something else in the place of a file."""

    def harm(folder):
        data_of = data.encode() if isinstance(data, str) else data
        (folder / name).write_bytes(data_of)

    return harm


def weight(name, change):
    """Change one tensor; None takes it away."""

    def harm(folder):
        path = folder / "model.safetensors"
        weights = load_file(path)
        assert name in weights, sorted(weights)
        weights[name] = change(weights[name])
        save_file({n: v.contiguous() for n, v in weights.items() if v is not None}, path)

    return harm


def more_weights(folder):
    weights = load_file(folder / "model.safetensors")
    save_file(weights | {"more": torch.zeros(3)}, folder / "model.safetensors")


def cut(name, share=0.5):
    def harm(folder):
        data = (folder / name).read_bytes()
        (folder / name).write_bytes(data[: int(len(data) * share)])

    return harm


def gone(name):
    return lambda folder: (folder / name).unlink()


def instead(name, make):
    def harm(folder):
        (folder / name).unlink()
        make(folder / name)

    return harm


def link_out(path):
    target = path.parent.parent / f"elsewhere-{path.name}"
    shutil.copy(path.parent.parent / "original" / path.name, target)
    path.symlink_to(target)


def tokenizer(change):
    def harm(folder):
        path = folder / "tokenizer.json"
        path.write_text(json.dumps(change(json.loads(path.read_text()))))

    return harm


def with_item(*keys, value):
    def change(tokens):
        inner = tokens
        for key in keys[:-1]:
            inner = inner[key]
        inner[keys[-1]] = value
        return tokens

    return change


def header(change):
    """Rewrite the header of the weights."""

    def harm(folder):
        path = folder / "model.safetensors"
        data = path.read_bytes()
        (length,) = struct.unpack("<Q", data[:8])
        told = change(json.loads(data[8 : 8 + length]))
        text = json.dumps(told).encode()
        path.write_bytes(struct.pack("<Q", len(text)) + text + data[8 + length :])

    return harm


def far(told):
    name = next(name for name in told if name != "__metadata__")
    told[name]["data_offsets"] = [0, 10**15]
    return told


def vast(told):
    name = next(name for name in told if name != "__metadata__")
    told[name]["shape"] = [10**9, 10**9]
    return told


def recorded(then):
    """Harm a folder whose files are in a run's record."""

    def harm(folder):
        record = {"files": file_records(folder)}
        write_text(folder / "environment.json", json.dumps(record))
        then(folder)

    return harm


def flip(name):
    def harm(folder):
        data = bytearray((folder / name).read_bytes())
        data[-3] ^= 1
        (folder / name).write_bytes(data)

    return harm


BOMB = "a: &a [x, x]\n" + "".join(f"b{i}: &b{i} [*a, *a]\n" for i in range(30))
CURVED, SCALE = "space.log_curvature", "space.log_scale.dna"
PROJECTION = "projections.dna.weight"


def number(value):
    return lambda tensor: torch.full_like(tensor, value)


HARMS = {
    "no config": gone("config.yaml"),
    "no tokenizer": gone("tokenizer.json"),
    "no weights": gone("model.safetensors"),
    "config empty": content("config.yaml", ""),
    "tokenizer empty": content("tokenizer.json", ""),
    "weights empty": content("model.safetensors", ""),
    "config cut": cut("config.yaml", 0.3),
    "tokenizer cut": cut("tokenizer.json"),
    "weights cut": cut("model.safetensors"),
    "weights without end": cut("model.safetensors", 0.999),
    "config binary": content("config.yaml", bytes(range(256))),
    "config not UTF-8": content("config.yaml", "space: \xe9".encode("latin-1")),
    "config too long": content("config.yaml", "#" * 100_000),
    "config a list": content("config.yaml", "[1, 2]"),
    "config a text": content("config.yaml", "lorentz"),
    "config two documents": content("config.yaml", "a: 1\n---\nb: 2\n"),
    "config deep": content("config.yaml", "[" * 5000),
    "config bomb": content("config.yaml", BOMB),
    "config runs Python": content("config.yaml", "!!python/object/apply:os.mkdir [ran]"),
    "config numbers as names": content("config.yaml", "1: 2\n"),
    "no space": config(space=None),
    "no width": config(embed_dim=None),
    "no modalities": config(modalities=None),
    "modalities empty": config(modalities=[]),
    "modalities a text": config(modalities="dna"),
    "modalities twice": config(modalities=["dna", "dna"]),
    "modalities unknown": config(modalities=["dna", "sound"]),
    "modalities nested": config(modalities=[["dna"]]),
    "modalities fewer": config(modalities=["dna"]),
    "modalities more": config(modalities=["image", "dna", "text"]),
    "space unknown": config(space="spherical"),
    "space a number": config(space=3),
    "space another": config(space="euclidean", entailment="none"),
    "curvature negative": config(curvature=-1.0),
    "curvature NaN": config(curvature=math.nan),
    "curvature infinite": config(curvature=math.inf),
    "curvature a text": config(curvature="1.0"),
    "curvature another": config(curvature=100.0),
    "curvature held elsewhere": config(curvature=2.0, learn_curvature=False),
    "width another": config(embed_dim=9),
    "width vast": config(embed_dim=10**12),
    "width a fraction": config(embed_dim=8.5),
    "width true": config(embed_dim=True),
    "image size vast": config(image_size=10**9),
    "unknown parameter": config(evil="x" * 5000),
    "control characters": config(**{"e\x1b[31m\x07vil": 1}),
    "encoder of a hub": config(dna_encoder="somebody/else"),
    "encoder of a hub's revision": config(dna_encoder="somebody/else@main"),
    "encoder a path": config(dna_encoder="../../../etc/passwd"),
    "encoder an address": config(text_encoder="https://example.org/model"),
    "encoder empty": config(dna_encoder=""),
    "encoder a list": config(dna_encoder=["cnn"]),
    "encoder another": config(dna_encoder="transformer"),
    "text encoder another": config(text_encoder="lineage", full_text=False, entailment="none"),
    "adapters": config(lora_rank=4),
    "adapters vast": config(lora_rank=10**6),
    "tokenizer a list": content("tokenizer.json", "[]"),
    "tokenizer a number": content("tokenizer.json", "1"),
    "tokenizer deep": content("tokenizer.json", "[" * 100_000),
    "tokenizer of nothing": content("tokenizer.json", "{}"),
    "tokenizer without words": tokenizer(with_item("model", "vocab", value={})),
    "tokenizer of another kind": tokenizer(with_item("model", "type", value="Evil")),
    "tokenizer with gaps": tokenizer(with_item("model", "vocab", "zzz", value=10**6)),
    "tokenizer with numbers below 0": tokenizer(with_item("model", "vocab", "zzz", value=-1)),
    "tokenizer with a pattern": tokenizer(
        with_item(
            "pre_tokenizer",
            value={
                "type": "Split",
                "pattern": {"Regex": "(a+)+$"},
                "behavior": "Removed",
                "invert": False,
            },
        )
    ),
    "weights no safetensors": content("model.safetensors", b"\x80\x04N." * 50),
    "weights a vast header": content("model.safetensors", struct.pack("<Q", 2**60) + b"{}"),
    "weights far away": header(far),
    "weights vast": header(vast),
    "weights of a type unknown": header(
        lambda told: {name: part | {"dtype": "F99"} for name, part in told.items()}
    ),
    "weights too many": more_weights,
    "weights too few": weight(PROJECTION, lambda value: None),
    "weights another shape": weight(PROJECTION, lambda value: value[:, :-1]),
    "weights transposed": weight(PROJECTION, lambda value: value.T),
    "weights in half": weight(PROJECTION, lambda value: value.half()),
    "weights whole numbers": weight(PROJECTION, lambda value: value.long()),
    "weights NaN": weight(PROJECTION, number(math.nan)),
    "weights infinite": weight("projections.text.bias", number(math.inf)),
    "curvature's weight NaN": weight(CURVED, number(math.nan)),
    "curvature's weight vast": weight(CURVED, number(80.0)),
    "curvature's weight small": weight(CURVED, number(-80.0)),
    "curvature's weight a row": weight(CURVED, lambda value: value[None]),
    "scale above 1": weight(SCALE, number(3.0)),
    "temperature vast": weight("log_logit_scale", number(50.0)),
    "config a folder": instead("config.yaml", os.mkdir),
    "weights a folder": instead("model.safetensors", os.mkdir),
    "weights a pipe": instead("model.safetensors", os.mkfifo),
    "config a pipe": instead("config.yaml", os.mkfifo),
    "weights a device": instead("model.safetensors", lambda p: p.symlink_to("/dev/zero")),
    "config a link out": instead("config.yaml", link_out),
    "weights a link out": instead("model.safetensors", link_out),
    "tokenizer a link to nothing": instead("tokenizer.json", lambda p: p.symlink_to("nothing")),
    "weights a link to itself": instead("model.safetensors", lambda p: p.symlink_to(p.name)),
    "profile a device": lambda folder: (folder / "profile.hmm").symlink_to("/dev/zero"),
    "recorded weights changed": recorded(flip("model.safetensors")),
    "recorded config changed": recorded(config(temperature=0.08)),
    "recorded tokenizer changed": recorded(tokenizer(with_item("version", value="1.1"))),
    "record a list": content("environment.json", "[]"),
    "record deep": content("environment.json", "[" * 100_000),
}
NESTED = {
    "lineages none": content("tokenizer.json", "[]"),
    "lineages a mapping": content("tokenizer.json", '{"a": 1}'),
    "lineages short": content("tokenizer.json", '[["a"]]'),
    "lineages of numbers": content("tokenizer.json", "[[1, 2, 3, 4]]"),
    "lineages of nothing": content("tokenizer.json", "[[null, null, null, null]]"),
    "lineages twice": tokenizer(lambda lineages: lineages + lineages[:1]),
    "lineages fewer": tokenizer(lambda lineages: lineages[:-1]),
    "lineages long": content("tokenizer.json", json.dumps([["x" * 10_000, None, None, None]])),
    "radius below 0": weight("encoders.text.radii", number(-1.0)),
    "radius NaN": weight("encoders.text.radii", number(math.nan)),
    "share above 1": weight("space.share", number(2.0)),
    "not nested": config(entailment="none"),
}
CASES = [("lorentz", name) for name in HARMS] + [("nested", name) for name in NESTED]
CASES += [("euclidean", "space another"), ("euclidean", "weights NaN")]


@pytest.mark.parametrize("kind", KINDS)
def test_what_was_saved_is_accepted_with_and_without_a_record(kind, saved, tmp_path):
    shutil.copytree(saved / kind, tmp_path / "model")
    without = HypertaxModel.from_pretrained(tmp_path / "model")
    recorded(lambda folder: None)(tmp_path / "model")
    (tmp_path / "model" / "notes.txt").write_text("mine")
    with_record = HypertaxModel.from_pretrained(tmp_path / "model")
    assert with_record.config == without.config
    for name, value in without.state_dict().items():
        assert torch.equal(with_record.state_dict()[name], value), name


@pytest.mark.parametrize(("kind", "name"), CASES, ids=[f"{k}, {n}" for k, n in CASES])
def test_a_damaged_or_hostile_folder_is_refused_in_one_sentence(
    kind, name, saved, tmp_path, monkeypatch
):
    shutil.copytree(saved / kind, tmp_path / "model")
    shutil.copytree(saved / kind, tmp_path / "original")
    monkeypatch.chdir(tmp_path)
    harm = NESTED[name] if kind == "nested" else HARMS[name]
    if (kind, name) == ("euclidean", "space another"):
        harm = config(space="lorentz")
    harm(tmp_path / "model")
    before = time.monotonic()
    with pytest.raises((ModelRefused, FileNotFoundError, EncoderUnavailable)) as error:
        HypertaxModel.from_pretrained(tmp_path / "model")
    said = str(error.value)
    assert said.isprintable() and said.endswith(".") and len(said) < 600, said
    assert "model" in said and time.monotonic() - before < 30
    assert not (tmp_path / "ran").exists()


def test_a_checkpoint_that_the_user_trusts_may_be_named(saved, tmp_path, monkeypatch):
    shutil.copytree(saved / "lorentz", tmp_path / "model")
    config(dna_encoder="somebody/else")(tmp_path / "model")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(EncoderUnavailable, match="somebody/else"):
        HypertaxModel.from_pretrained(tmp_path / "model", trusted=["somebody/else"])
