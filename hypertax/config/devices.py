"""The device that a run asks for, refused before anything else where the machine has none."""

from __future__ import annotations


def require_device(name: str) -> None:
    """Stop where a device is asked for that is not there.

    Args:
        name: "auto", "cpu", "cuda" or "mps".

    Raises:
        ValueError: one sentence that says what there is.
    """
    if name in ("auto", "cpu"):
        return
    import torch

    # `is_available` would start CUDA in this process, whose copies could not use it then.
    there = {
        "cuda": torch.cuda.device_count() > 0,
        "mps": torch.backends.mps.is_available(),
    }
    if not there.get(name, False):
        found = [f"'{device}'" for device, is_there in there.items() if is_there]
        others = ", ".join(["'auto'", *found])
        raise ValueError(
            f"device must be {others} or 'cpu' here, not {name!r}: PyTorch finds no such device on"
            " this machine."
        )
