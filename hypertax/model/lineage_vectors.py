"""Taxa without a text encoder: a learned vector for each, summed along the lineage [O].

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

from hypertax.data.taxon_index import TaxonIndex
from hypertax.taxonomy import RANKS

MISSING, UNKNOWN = 0, -1
"""In a row of ids: a rank without a name; a name that the table has no vector for."""
INITIAL = 0.05
"""Standard deviation of the vectors at first. Small, so that they soon turn to where specimens are:
the part of a vector that is orthogonal to every specimen gets no gradient and stays as it is."""


class TaxonTokens:
    """Every taxon of the training specimens as rows of a table: its own and its ancestors'.

    It stands where `TextTokens` stands for a text encoder. Row 0 is `MISSING`.

    Args:
        lineages: per taxon the four names from order to species, None where there is none; the last
            one is the taxon's own.
    """

    padding = -2
    """Never occurs: all rows have four ids."""

    def __init__(self, lineages: list[tuple[str | None, ...]]) -> None:
        self.lineages = [tuple(lineage) for lineage in lineages]
        self.size = len(self.lineages)
        self._row = {_own(lineage): i for i, lineage in enumerate(self.lineages, start=1)}

    @classmethod
    def train(cls, index: TaxonIndex, training: np.ndarray) -> TaxonTokens:
        """The taxa of the training specimens; no other may have a vector.

        Args:
            index: of N specimens. training: (N,) bool, which of them train.
        """
        name_of = index.taxa["name"].tolist()
        # A taxon's most complete lineage counts, the first where several are.
        lineages = np.unique(index.lineage[training], axis=0).tolist()
        found: dict[int, tuple[str | None, ...]] = {}
        for depth in range(len(RANKS)):
            for lineage in sorted(
                lineages, key=lambda lineage: -sum(i >= 0 for i in lineage[: depth + 1])
            ):
                if lineage[depth] >= 0:
                    upto = [name_of[i] if i >= 0 else None for i in lineage[: depth + 1]]
                    found.setdefault(lineage[depth], (*upto, *[None] * (len(RANKS) - 1 - depth)))
        return cls([found[taxon] for taxon in sorted(found)])

    def taxa(self, index: TaxonIndex) -> np.ndarray:
        """The rows of every taxon of `index` and of its ancestors, (T, 4) int64 by rank.

        `MISSING` at ranks without a name; `UNKNOWN` at the taxon's own rank where the table has no
        vector for it. The ancestors are those of training, whatever `index` says of them.
        """
        lineages = self.rows()
        found = np.full((len(index.taxa), len(RANKS)), MISSING, dtype=np.int64)
        for i, (rank, name) in enumerate(zip(index.taxa["rank"], index.taxa["name"], strict=True)):
            row = self._row.get((rank, name))
            found[i] = MISSING if row is None else lineages[row]
            if row is None:
                found[i, RANKS.index(rank)] = UNKNOWN
        return found

    def parents(self) -> np.ndarray:
        """The row of each row's parent, the next known rank above, (size + 1,) int64; -1 without
        one, and for row 0."""
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
        """The rows of each row's ancestors and its own, (size + 1, 4) int64 by rank; `MISSING` at
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
        """The rank of each row, 0 (order) to 3 (species), (size + 1,) int64; 0 for row 0."""
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

    A taxon's vector is the sum of its lineage's vectors over the square root of their number, so
    that taxa with common ancestors begin near each other. With `cones` its direction is that of the
    sum, and its length is the taxon's entry of `radii` (size + 1,), which `HypertaxModel.fit_cones`
    sets.

    Args:
        tokens: the taxa. width: of the vectors. cones: whether lengths are `radii`.
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
        """Unit vectors of all taxa by their rows, (size + 1, width); zeros for row 0."""
        return F.normalize(self._sums(self.lineages)[0], dim=-1)

    def _sums(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """The sums of the vectors of lineages (B, 4), (B, width), and which ranks have one, (B, 4)
        bool."""
        known = rows > MISSING
        return (self.vectors(rows.clamp(min=MISSING)) * known[..., None]).sum(dim=1), known
