"""Short runs by which two versions of the library are compared: every objective, and every way of
training that has code of its own.

`hypertax.training.behaviour` runs this file as a script, with the version to be run on PYTHONPATH.
It asks little of the library, `RunConfig`, `train` and three constants, and finds them where earlier
commits had them, too. Training in several processes is not among the runs; its tests compare it with one.

    python -P behaviour_cases.py INPUTS OUTPUT CASE...
"""

from __future__ import annotations

import importlib
import json
import sys
import time
from contextlib import contextmanager, nullcontext
from pathlib import Path

import numpy as np
import pandas as pd

SMALL = {
    "epochs": 2,
    "batch_size": 16,
    "embed_dim": 16,
    "image_size": 32,
    "device": "cpu",
    "threads": 1,
}
"""What all runs have in common: two epochs of two steps."""
FLAT = {"space": "euclidean", "entailment": "none"}
CHECKPOINTS = {
    "preset": "paper",
    "image_encoder": "image",
    "dna_encoder": "dna",
    "text_encoder": "text",
    "workers": 0,
}
"""Encoders in folders below the inputs."""
STARTS = {"preset": "laptop", "cached_views": 2}
UNALIGNED, INTERRUPTED, LARGE = "unaligned", "interrupted and resumed", "as large data are treated"
CASES: dict[str, dict] = {
    UNALIGNED: FLAT,
    "euclidean CL": FLAT,
    "euclidean taxa": {**FLAT, "recipe": "taxa"},
    "euclidean lineage": {**FLAT, "recipe": "lineage"},
    "hyperbolic CL": {"entailment": "none"},
    "hyperbolic CL + EL": {"entailment": "pair"},
    "hyperbolic CL + SEL": {},
    "SEL alone": {"contrastive_weight": 0.0},
    # In so few steps no specimen is near a foreign cone: a wide margin makes these pairs count.
    "SEL whose negative pairs count": {"entailment_margin": 2.5, "aperture": 0.5},
    "SEL without negatives, cumulative names, image contains DNA": {
        "entailment_negatives": False,
        "entailment_text": "cumulative",
        "dna_image": "image-contains-dna",
    },
    "no full text": {"full_text": False},
    "hyperbolic taxa": {"recipe": "taxa"},
    "hyperbolic lineage": {"recipe": "lineage"},
    "nested": {"recipe": "nested", "axis_weight": 0.1},
    "curvature held, scales divided": {
        "curvature": 4.0,
        "learn_curvature": False,
        "scale_with_curvature": True,
    },
    "DNA transformer, Adam": {"dna_encoder": "transformer", "optimizer": "adam"},
    "DNA alone": {"views": "dna", "max_specimens": 24, "warmup": 0.5},
    "images alone": {**FLAT, "views": "image", "weight_decay": 0.1},
    "checkpoints of the paper's kinds": {**CHECKPOINTS, "micro_batch": 0, "precision": "no"},
    "adapters, activations computed again, bf16": {
        **CHECKPOINTS,
        "micro_batch": 0,
        "lora_rank": 2,
        "gradient_checkpointing": True,
    },
    "micro-batches": {"micro_batch": 6},
    INTERRUPTED: {"checkpoint_steps": 1, "seed": 1},
    LARGE: {"workers": 1, "seed": 2},
    "strong starts, Euclidean lineage": {**STARTS, **FLAT, "recipe": "lineage"},
    "strong starts, CL + SEL": STARTS,
    "strong starts, nested": {**STARTS, "recipe": "nested"},
    "aligned before a transformer": {"dna_encoder": "transformer", "align_barcodes": True},
}
"""Parameters of each run, by what it is for."""
SMALLER = (
    # Photographs are read whenever they are needed, by a worker, and pairs taken a few at a time.
    ("CACHED", 0, "hypertax.data.images"),
    ("BLOCK_ELEMENTS", 64, "hypertax.losses.blockwise", "hypertax.pairs"),
    ("EMBED_BATCH", 24, "hypertax.model.embedding", "hypertax.model"),
)
"""Constants that make few data large: name, value in the case `LARGE`, modules."""
INTERRUPTED_AT = 4
"""The optimiser's step, from 1, that the interrupted run does not make at first."""

_SPLITS = ["train_seen"] * 8 + ["seen_keys", "val_seen", "test_seen"]


class Interrupted(Exception):
    """Takes the place of a user's interruption."""


def write_specimens(folder: Path) -> None:
    """Write `specimens.tsv` and its images.

    32 training specimens of four species, two further species that training does not see. Every
    ninth specimen has no image, every tenth no barcode, some no species.
    """
    from PIL import Image

    rng = np.random.default_rng(0)
    rows = []
    (folder / "images").mkdir(parents=True)
    # Species of one marker, a fifth of whose bases are their own
    ancestor = rng.choice(list("ACGT"), 300)
    for species in range(6):
        own = rng.random(300) < 0.2
        bases = np.where(own, rng.choice(list("ACGT"), 300), ancestor)
        for i in range(11 if species < 4 else 10):
            read = bases.copy()
            read[rng.integers(0, 300, 6)] = rng.choice(list("ACGTN"), 6)
            number = len(rows)
            path = folder / "images" / f"{number}.png"
            # Patches of the species' grey in noise
            pixels = rng.integers(0, 60, (44, 52, 3), dtype=np.uint8)
            pixels[8 + species : 30, 10 : 40 - species] += np.uint8(25 * species + 20)
            Image.fromarray(pixels).save(path)
            unseen = ("val", "test")[species % 2]
            keys = "" if i % 2 else "_keys"
            rows.append(
                {
                    "sampleid": f"S{number:03d}",
                    "image": None if number % 9 == 8 else str(path),
                    "barcode": None if number % 10 == 9 else "".join(read[: 300 - number]),
                    "order": f"Order{species % 2}",
                    "family": f"Family{species % 2}",
                    "genus": f"Genus{species % 3}{species % 2}",
                    "species": f"Species{species}",
                    "split": _SPLITS[i] if species < 4 else f"{unseen}_unseen{keys}",
                }
            )
            if species < 4 and i == 0:
                rows[-1] |= {"species": None, "split": "no_split"}
    pd.DataFrame(rows).to_csv(folder / "specimens.tsv", sep="\t", index=False)


def write_checkpoints(folder: Path) -> None:
    """Write a vision transformer, a BERT over 5-mers and a BERT over letters, all small and random."""
    import timm
    import torch
    from timm.models import save_for_hf
    from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers
    from transformers import BertConfig, BertForTokenClassification, BertModel

    torch.manual_seed(1)
    narrow = {"depth": 2, "embed_dim": 48, "num_heads": 3}
    image = timm.create_model("vit_base_patch16_224", img_size=32, num_classes=10, **narrow)
    save_for_hf(
        image,
        folder / "image",
        model_config={"num_classes": 10, "model_args": narrow},
        safe_serialization=True,
    )
    letters = {
        letter: i for i, letter in enumerate(["[PAD]", "[UNK]", *"abcdefghilmnoprstuvy 0123"])
    }
    bert = {"num_hidden_layers": 2, "num_attention_heads": 3, "hidden_size": 48, "num_labels": 1024}
    bert |= {"intermediate_size": 96}
    BertForTokenClassification(BertConfig(vocab_size=1026, **bert)).save_pretrained(folder / "dna")
    BertModel(BertConfig(vocab_size=len(letters), **bert)).save_pretrained(folder / "text")
    tokenizer = Tokenizer(models.WordLevel(letters, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex("."), behavior="isolated")
    tokenizer.save(str(folder / "text" / "tokenizer.json"))


def _place(name: str, *modules: str):
    """The first of some modules that has a name in this version of the library."""
    for one in modules:
        try:
            module = importlib.import_module(one)
            getattr(module, name)
            return module
        except (ImportError, AttributeError):
            continue
    raise SystemExit(f"This version of the library has no {name} in {' or '.join(modules)}.")


def run_case(name: str, inputs: Path, output: Path, **parameters) -> Path:
    """Train one case below `output`, with parameters in the place of its own; returns its run
    folder."""
    create = _place("RunConfig", "hypertax.config.run_config", "hypertax.config").RunConfig.create
    trainer = _place("unaligned", "hypertax.training.trainer", "hypertax.train")
    # The function was called `train` before it was told apart from that of `launch`.
    whole = getattr(trainer, "train_here", None) or trainer.train
    train = trainer.unaligned if name == UNALIGNED else whole
    specimens = pd.read_csv(inputs / "specimens.tsv", sep="\t", dtype="str")
    given = {**SMALL, **CASES[name], **parameters}
    for key in ("image_encoder", "dna_encoder", "text_encoder"):
        if given.get("preset") == "paper":
            given[key] = str(inputs / given[key])
    config = create(given.pop("preset", "tiny"), **given)
    if name == INTERRUPTED:
        _interrupt(lambda: train(config, specimens, output=output, progress=False))
    with _as_if_large() if name == LARGE else nullcontext():
        return train(config, specimens, output=output, progress=False).folder


@contextmanager
def _as_if_large():
    changed = []
    for constant, value, *modules in SMALLER:
        module = _place(constant, *modules)
        changed.append((module, constant, getattr(module, constant)))
        setattr(module, constant, value)
    try:
        yield
    finally:
        for module, constant, value in changed:
            setattr(module, constant, value)


def _interrupt(run) -> None:
    """Have the optimiser stop a run at a step."""
    import torch

    step, made = torch.optim.AdamW.step, []

    def counted(self, *arguments):
        made.append(1)
        if len(made) == INTERRUPTED_AT:
            raise Interrupted
        return step(self, *arguments)

    torch.optim.AdamW.step = counted
    try:
        run()
    except Interrupted:
        return
    finally:
        torch.optim.AdamW.step = step
    raise SystemExit(f"The run made fewer than {INTERRUPTED_AT} steps.")


def main(inputs: str, output: str, *names: str) -> None:
    """Run the named cases, from inputs that are written first if need be.

    Prints as JSON the library's folder, and for each case a list: its name, run folder and seconds.
    """
    if not Path(inputs).exists():
        write_specimens(Path(inputs))
        write_checkpoints(Path(inputs))
    print(json.dumps(str(Path(importlib.import_module("hypertax").__file__).parent)), flush=True)
    for name in names:
        started = time.perf_counter()
        folder = run_case(name, Path(inputs).absolute(), Path(output).absolute())
        print(json.dumps([name, str(folder), time.perf_counter() - started]), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
