"""Lineages of eight specimens with every kind of gap, for the tests of losses over taxa."""

import torch

# order, family, genus, species: complete, stopping early, a gap (no family), nothing known.
LINEAGE = torch.tensor(
    [
        [0, 2, 4, 8],
        [0, 2, 4, 9],
        [0, 2, 5, -1],
        [0, 3, -1, -1],
        [1, -1, 6, 10],
        [1, 7, -1, -1],
        [0, 2, 4, 8],
        [-1, -1, -1, -1],
    ]
)
