"""Short runs by which two versions of the library are compared: every objective, and every way of
training that has code of its own.

`hypertax.training.behaviour` runs this file as a script, with the version to be run on PYTHONPATH.
It asks nothing of the library but `RunConfig` and `train`, and finds them where commit cc6aee4 had
them, too. Training in several processes is not among the runs; its tests compare it with one.

    python -P behaviour_cases.py INPUTS OUTPUT CASE...
"""

from __future__ import annotations

import importlib
import json
import sys
import time
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
CASES: dict[str, dict] = {
    "euclidean CL": FLAT,
    "euclidean taxa": {**FLAT, "recipe": "taxa"},
    "euclidean lineage": {**FLAT, "recipe": "lineage"},
    "hyperbolic CL": {"entailment": "none"},
    "hyperbolic CL + EL": {"entailment": "pair"},
    "hyperbolic CL + SEL": {},
    "SEL alone": {"contrastive_weight": 0.0},
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
    "interrupted and resumed": {"checkpoint_steps": 1, "seed": 1},
}
"""Parameters of each run, by what it is for."""
INTERRUPTED_AT = 4
"""The optimiser's step, from 1, that the interrupted run does not make at first."""

_SPLITS = ["train_seen"] * 8 + ["seen_keys", "val_seen", "test_seen"]


class Interrupted(Exception):
    """Takes the place of a user's interruption."""


def write_inputs(folder: Path) -> None:
    """Write what the runs read: `specimens.tsv`, its images and three small checkpoints.

    32 training specimens of four species, two further species that training does not see. Every
    ninth specimen has no image, every tenth no barcode, some no species.
    """
    from PIL import Image

    rng = np.random.default_rng(0)
    rows = []
    (folder / "images").mkdir(parents=True)
    for species in range(6):
        bases = rng.choice(list("ACGT"), 300)
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
    _write_checkpoints(folder)


def _write_checkpoints(folder: Path) -> None:
    """A vision transformer, a BERT over 5-mers and a BERT over letters, all small and random."""
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


def _library(*places: tuple[str, str]):
    """The first of some names that the version of the library has."""
    for module, name in places:
        try:
            return getattr(importlib.import_module(module), name)
        except (ImportError, AttributeError):
            continue
    raise SystemExit(f"This version of the library has none of {places}.")


def run_case(name: str, inputs: Path, output: Path) -> Path:
    """Train one case below `output`; returns its run folder."""
    create = _library(
        ("hypertax.config.run_config", "RunConfig"), ("hypertax.config", "RunConfig")
    ).create
    train = _library(("hypertax.training.trainer", "train"), ("hypertax.train", "train"))
    specimens = pd.read_csv(inputs / "specimens.tsv", sep="\t", dtype="str")
    given = {**SMALL, **CASES[name]}
    for key in ("image_encoder", "dna_encoder", "text_encoder"):
        if given.get("preset") == "paper":
            given[key] = str(inputs / given[key])
    config = create(given.pop("preset", "tiny"), **given)
    if name == "interrupted and resumed":
        _interrupt(lambda: train(config, specimens, output=output, progress=False))
    return train(config, specimens, output=output, progress=False).folder


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
    """Run the named cases, from inputs that are written first if need be. Prints, as JSON, the library's folder, and for each case a list of its
    name, its run folder and seconds."""
    if not Path(inputs).exists():
        write_inputs(Path(inputs))
    print(json.dumps(str(Path(importlib.import_module("hypertax").__file__).parent)), flush=True)
    for name in names:
        started = time.perf_counter()
        folder = run_case(name, Path(inputs).absolute(), Path(output).absolute())
        print(json.dumps([name, str(folder), time.perf_counter() - started]), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
