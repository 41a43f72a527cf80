"""What names a run: its configuration, its data, and the behaviour of the training code.

The behaviour is a constant, kept in `behaviour.json` together with the fingerprints of sources that
were proven to train alike, to the bit (`make behaviour`, see `hypertax.training.behaviour`).
Sources with another fingerprint name their runs by that fingerprint, so that nothing stale is used
again.

    python -m hypertax.training.identity

prints the behaviour that names runs, and whether the sources are listed.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from hypertax import sources
from hypertax.config.run_config import RunConfig
from hypertax.files import HOME, write_text

TRAINER = "hypertax.training.trainer"
"""The module whose behaviour counts, with all that it imports."""

# Data are told apart by their own fingerprint, however they were made and read. What a recipe or a
# preset gives is in the configuration. The others show progress or file the result.
WITHOUT_EFFECT = (
    "hypertax.config.devices",
    "hypertax.config.parameters",
    "hypertax.config.presets",
    "hypertax.config.recipes",
    "hypertax.data.bioscan1m",
    "hypertax.data.check",
    "hypertax.data.progress",
    "hypertax.data.simulation",
    "hypertax.data.table",
    "hypertax.records",
    "hypertax.sources",
    "hypertax.training.identity",
    "hypertax.training.locks",
    "hypertax.training.runs",
)
"""Modules and packages that the trainer imports and that cannot change a result."""

NOT_COUNTED = ("checkpoint_steps", "data_seed", "dataset")
"""Fields of `RunConfig` that no name depends on: the data have a fingerprint of their own."""

# A field that is not here was added later, and counts only where it is not at its default. A field
# that is added now must not be written here: all runs would get new names.
ALWAYS_COUNTED = (
    *("aperture", "axis_weight", "batch_size", "compile", "cone_angle", "contrastive_weight"),
    *("curvature", "device", "dna_encoder", "dna_image", "embed_dim", "entailment"),
    *("entailment_margin", "entailment_negatives", "entailment_text", "entailment_weight"),
    *("epochs", "full_text", "gradient_checkpointing", "image_encoder", "image_rate"),
    *("image_size", "learn_curvature", "learning_rate", "lora_rank", "max_specimens"),
    *("micro_batch", "optimizer", "precision", "preset", "recipe", "scale_with_curvature"),
    *("seed", "space", "specimen_radius", "steps", "taxon_scale", "taxon_weight"),
    *("temperature", "text_encoder", "text_rate", "threads", "views", "warmup"),
    *("weight_decay", "workers"),
)
"""Fields of `RunConfig` that every name depends on."""


@dataclass(frozen=True)
class Listing:
    """The constant that names runs, and what was proven equal to it.

    behaviour: the constant. commit: at which it was set. fingerprints: of sources that train alike.
    """

    behaviour: str
    commit: str
    fingerprints: tuple[str, ...]

    @classmethod
    def read(cls, root: Path = HOME) -> Listing:
        """The listing of the sources below a root."""
        found = json.loads(_path(root).read_text(encoding="utf-8"))
        return cls(found["behaviour"], found["commit"], tuple(found["fingerprints"]))

    def behaviour_of(self, found: str) -> str:
        """What names the runs of sources with a fingerprint: the constant if it is listed,
        otherwise the fingerprint itself."""
        return self.behaviour if found in self.fingerprints else found

    def write(self, root: Path = HOME) -> None:
        """Write it beside this module below a root."""
        content = {
            "behaviour": self.behaviour,
            "commit": self.commit,
            "fingerprints": list(self.fingerprints),
        }
        write_text(_path(root), json.dumps(content, indent=2) + "\n")


def _path(root: Path) -> Path:
    return root / "hypertax" / "training" / "behaviour.json"


def fingerprint(root: Path = HOME) -> str:
    """Fingerprint of the sources that can change what training computes.

    Args:
        root: the folder that holds `hypertax`.

    Returns:
        64 hexadecimal digits; see `hypertax.sources.fingerprint` for what they do not depend on.
    """
    return sources.fingerprint(TRAINER, root=root, without=WITHOUT_EFFECT)


@cache
def own_fingerprint() -> str:
    """Fingerprint of this library, found once in a process."""
    return fingerprint()


@cache
def behaviour() -> str:
    """The behaviour of this library, which names its runs; found once in a process."""
    return Listing.read().behaviour_of(own_fingerprint())


def run_key(config: RunConfig, data_fingerprint: str, behaviour: str, method: str | None) -> str:
    """Eight hexadecimal digits that tell a run from others.

    Args:
        config: of the run.
        data_fingerprint: of its specimens (`hypertax.data.fingerprint`).
        behaviour: of the training code.
        method: a name in the place of the configuration's own, or None.
    """
    key = json.dumps([_counted(config), data_fingerprint, behaviour, method], sort_keys=True)
    return hashlib.sha256(key.encode()).hexdigest()[:8]


def _counted(config: RunConfig) -> dict[str, Any]:
    defaults = type(config)().to_dict()
    return {
        name: value
        for name, value in config.to_dict().items()
        if name not in NOT_COUNTED and (name in ALWAYS_COUNTED or value != defaults[name])
    }


def main() -> None:
    """Print the behaviour that names runs."""
    listing = Listing.read()
    print(behaviour())
    if own_fingerprint() in listing.fingerprints:
        print(f"The sources train as commit {listing.commit[:7]} does: they are listed.")
    else:
        print(
            f"These sources are not listed: nobody has shown that they train as commit"
            f" {listing.commit[:7]} does. To find out: make behaviour"
        )


if __name__ == "__main__":
    main()
