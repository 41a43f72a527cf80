"""Photographs by the features that a frozen encoder gave of them, in the place of their pixels."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from hypertax.data.images import refuse_many_unreadable


class FeatureViews:
    """Features of a few fixed views of each photograph; as `hypertax.data.images.Photographs`.

    Args:
        values: (N, V, F) floats, view 0 the plain photograph.
        present: (N,) bool, whether there is a photograph that can be read.
        files: those that cannot be read.

    Raises:
        UnreadableImages: they are more than a training should do without, as in
            `hypertax.data.images`.
    """

    def __init__(self, values: np.ndarray, present: np.ndarray, files: list[str]) -> None:
        self.values, self.files = values, list(files)
        self.present = torch.from_numpy(np.asarray(present, dtype=bool))
        refuse_many_unreadable(int(self.present.sum()) + len(self.files), self.files)

    @property
    def width(self) -> int:
        """F, the features of a view."""
        return self.values.shape[2]

    def remember(self) -> None:
        """Nothing is left to be read."""

    def note(self, rows: Tensor, read: Tensor) -> None:
        """All were tried when the features were made."""

    def unreadable(self) -> list[str]:
        """The files that could not be read."""
        return self.files

    def view(self, rows: Tensor, *, augment: bool) -> tuple[Tensor, Tensor]:
        """Features (B, F) of some rows, and which have any, (B,) bool.

        Args:
            rows: (B,). augment: of a random view each, for training; otherwise of view 0.
        """
        chosen = torch.zeros_like(rows)
        if augment:
            chosen = torch.randint(self.values.shape[1], (len(rows),))
        values = torch.from_numpy(np.asarray(self.values[rows.numpy(), chosen.numpy()], np.float32))
        return values, self.present[rows]
