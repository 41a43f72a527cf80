"""The presets: what fills the parameters that were not given."""

from __future__ import annotations

from typing import Any

DEFAULT_PRESET = "laptop"
"""The preset of everything that names none."""

PRESETS: dict[str, dict[str, Any]] = {
    # Starts that need no training, and small trained parts on them: two CPU cores, seconds. The
    # text encoder is the tiny preset's.
    "laptop": {
        "image_encoder": "efficientnet_lite0",
        "cached_views": 4,
        "dna_encoder": "aligned",
        "text_encoder": "transformer",
        "embed_dim": 256,
        "image_size": 128,
        "epochs": 4,
        "steps": 200,
        "batch_size": 256,
        "learning_rate": 1e-3,
        "dna_rate": 0.1,
        "text_rate": 0.1,
        "one_radius": True,
        "weight_decay": 1e-4,
        "threads": 1,
    },
    "tiny": {
        "image_encoder": "tiny-convnext",
        "dna_encoder": "cnn",
        "text_encoder": "transformer",
        "embed_dim": 128,
        "image_size": 48,
        "epochs": 8,
        "steps": 700,
        "batch_size": 64,
        "learning_rate": 1e-3,
        "image_rate": 3.0,
        "text_rate": 0.1,
        "weight_decay": 1e-4,
        "threads": 1,
    },
    # Batch, optimiser and precision are CLIBD's [B]; names of the encoders [B][C]. The micro-batch
    # fits a GPU of 80 GB [O].
    "paper": {
        "image_encoder": "vit_base_patch16_224.augreg_in21k",
        "dna_encoder": "bioscan-ml/BarcodeBERT",
        "text_encoder": "prajjwal1/bert-small",
        "embed_dim": 768,
        "image_size": 224,
        "epochs": 50,
        "batch_size": 2000,
        "micro_batch": 250,
        "workers": 8,
        "checkpoint_steps": 100,
        "learning_rate": 5e-5,
        "weight_decay": 1e-4,
        "precision": "bf16",
    },
}
