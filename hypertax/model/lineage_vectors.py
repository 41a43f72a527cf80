"""Taxa without a text encoder: a learned vector for each, made into directions along the taxonomy
[O].

A Latin name says little to an encoder trained from scratch on a few hundred of them; what it can
say, that two species share a genus, the lineage says exactly.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from hypertax.data.batches import Names
from hypertax.taxonomy import RANKS

MISSING, UNKNOWN = 0, -1
"""In a row of ids: a rank without a name; a name that the table has no vector for."""
INITIAL = 0.05
"""Standard deviation of the vectors at first. Small, so that they soon turn to where specimens are:
what of a vector is orthogonal to every specimen gets no gradient, and a large one would keep it."""


class TaxonTokens:
    """Every taxon of the training specimens as its lineage's rows of a table; what `TextTokens` is
    to names.

    lineages: per taxon the four names from order to species, None where there is none; the last one
    is the taxon's own.
    """

    padding = -2
    """Never occurs: all rows have four ids."""

    def __init__(self, lineages: list[tuple[str | None, ...]]) -> None:
        self.lineages = [tuple(lineage) for lineage in lineages]
        self.size = len(self.lineages)
        self._row = {_own(lineage): i for i, lineage in enumerate(self.lineages, start=1)}

    @classmethod
    def train(cls, names: Names, training: np.ndarray) -> TaxonTokens:
        """The taxa of the training specimens, (N,) bool; no other may have a vector."""
        name_of = names.taxa["name"].tolist()
        # Of a taxon's lineages the most complete one counts, of those the first.
        lineages = np.unique(names.lineage[training], axis=0).tolist()
        found: dict[int, tuple[str | None, ...]] = {}
        for depth in range(len(RANKS)):
            for lineage in sorted(
                lineages, key=lambda lineage: -sum(i >= 0 for i in lineage[: depth + 1])
            ):
                if lineage[depth] >= 0:
                    upto = [name_of[i] if i >= 0 else None for i in lineage[: depth + 1]]
                    found.setdefault(lineage[depth], (*upto, *[None] * (len(RANKS) - 1 - depth)))
        return cls([found[taxon] for taxon in sorted(found)])

    def taxa(self, names: Names) -> np.ndarray:
        """(T, 4) int64, a row per taxon of `names`: itself and its ancestors in the table,
        `MISSING` at other ranks; `UNKNOWN` at its own rank where the table has no vector for it.
        What `names` says of its ancestors does not count: here they are those of training."""
        lineages = self.rows()
        found = np.full((len(names.taxa), len(RANKS)), MISSING, dtype=np.int64)
        for i, (rank, name) in enumerate(zip(names.taxa["rank"], names.taxa["name"], strict=True)):
            row = self._row.get((rank, name))
            found[i] = MISSING if row is None else lineages[row]
            if row is None:
                found[i, RANKS.index(rank)] = UNKNOWN
        return found

    def parents(self) -> np.ndarray:
        """(size + 1,) int64, the row of each row's parent, the next known rank above; -1 for those
        without one, and for row 0."""
        above = [-1]
        for lineage in self.lineages:
            known = [
                (rank, name) for rank, name in zip(RANKS, lineage, strict=True) if name is not None
            ]
            above.append(
                next((self._row[taxon] for taxon in reversed(known[:-1]) if taxon in self._row), -1)
            )
        return np.array(above)

    def rows(self) -> np.ndarray:
        """(size + 1, 4) int64, of each row its ancestors' rows and its own, by rank; `MISSING` at
        other ranks."""
        found = np.full((self.size + 1, len(RANKS)), MISSING, dtype=np.int64)
        parents, ranks = self.parents(), self.ranks()
        for taxon in range(1, self.size + 1):
            row = taxon
            while row > MISSING:
                found[taxon, ranks[row]] = row
                row = parents[row]
        return found

    def ranks(self) -> np.ndarray:
        """(size + 1,) int64, the rank of each row, 0 (order) to 3; 0 for row 0."""
        return np.array([0, *(RANKS.index(_own(lineage)[0]) for lineage in self.lineages)])

    def save(self, path: Path) -> None:
        """Write the lineages as one JSON file."""
        Path(path).write_text(json.dumps(self.lineages, indent=0) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, path: Path) -> TaxonTokens:
        """Read what `save` wrote."""
        return cls(json.loads(Path(path).read_text(encoding="utf-8")))


def _own(lineage: tuple[str | None, ...]) -> tuple[str, str]:
    """The deepest rank that a lineage names, and the name there."""
    return next(
        (rank, name)
        for rank, name in zip(reversed(RANKS), reversed(lineage), strict=True)
        if name is not None
    )


class TaxonTable(nn.Module):
    """Lineages as rows of the table (B, 4) to vectors (B, width).

    The sum of a lineage's vectors over the square root of their number, so that taxa with common
    ancestors begin near each other. With `cones` it is the sum's direction, and its length is the
    taxon's entry of `radii` (size + 1,), which `HypertaxModel.fit_cones` sets.
    """

    def __init__(self, tokens: TaxonTokens, width: int, cones: bool = False) -> None:
        super().__init__()
        self.width = width
        self.vectors = nn.Embedding(tokens.size + 1, width)
        nn.init.normal_(self.vectors.weight, std=INITIAL)
        self.register_buffer("radii", torch.ones(tokens.size + 1) if cones else None)
        for name, values in (
            ("ranks", tokens.ranks()),
            ("parents", tokens.parents()),
            ("lineages", tokens.rows()),
        ):
            self.register_buffer(name, torch.from_numpy(values), persistent=False)

    def forward(self, rows: Tensor) -> Tensor:
        total, known = self._sums(rows)
        if self.radii is None:
            return total / known.sum(dim=1, keepdim=True).clamp(min=1).sqrt()
        # The deepest known rank's row is the taxon's own.
        deepest = torch.where(known, torch.arange(rows.shape[1], device=rows.device), 0).amax(
            dim=1, keepdim=True
        )
        own = rows.clamp(min=MISSING).gather(1, deepest)
        return F.normalize(total, dim=-1) * self.radii[own]

    def directions(self) -> Tensor:
        """(size + 1, width) unit vectors of all taxa by their rows; of row 0, zeros."""
        return F.normalize(self._sums(self.lineages)[0], dim=-1)

    def _sums(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Of the vectors of lineages (B, 4), (B, width); and which of their ranks have one, (B, 4)
        bool."""
        known = rows > MISSING
        return (self.vectors(rows.clamp(min=MISSING)) * known[..., None]).sum(dim=1), known
