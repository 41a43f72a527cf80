"""A small convolutional network for barcodes, trained from scratch [O]."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from hypertax.data.barcodes.codes import BASES, BEYOND


class ConvolutionalBarcodeEncoder(nn.Module):
    """A small network over one-hot bases: base codes (B, L) to (B, width).

    Reads are unaligned and ragged: convolutions at every base with max-pooling between them do not
    care where exactly a motif begins, and the last pooling keeps only in which of `segments` parts
    of the read it was. The first pooling is over a codon's three bases. As the transformers do, it
    ends in a layer normalisation, so that the radius of a point is not the contrast of its
    features.

    Args:
        width: of the output. channels: of the three convolutions. segments: parts of a read whose
        features are kept apart. dropout: share of the features that training drops.
    """

    def __init__(
        self,
        width: int = 256,
        channels: tuple[int, ...] = (32, 128, 256),
        segments: int = 8,
        dropout: float = 0.2,
    ) -> None:
        super().__init__()
        self.width = width
        # Two-dimensional with a height of one: PyTorch's one-dimensional convolution is twice as
        # slow on CPUs.
        self.layers = nn.ModuleList(
            nn.Conv2d(before, after, (1, kernel), padding=(0, kernel // 2)).to(
                memory_format=torch.channels_last
            )
            for before, after, kernel in zip(
                (len(BASES), *channels), channels, (9, 5, 5), strict=False
            )
        )
        self.norms = nn.ModuleList(nn.GroupNorm(1, after) for after in channels)
        self.pools = (3, 3, 2)
        self.segments = nn.AdaptiveAvgPool1d(segments)
        features = channels[-1] * segments
        self.head = nn.Sequential(
            nn.LayerNorm(features),
            nn.Dropout(dropout),
            nn.Linear(features, width),
            nn.LayerNorm(width),
        )

    def forward(self, bases: Tensor) -> Tensor:
        # Any other letter, and what is beyond the read, is a column of zeros.
        onehot = F.one_hot(bases.long(), BEYOND + 1)[..., : len(BASES)].permute(0, 2, 1)[:, :, None]
        x = onehot.to(self.layers[0].weight.dtype).contiguous(memory_format=torch.channels_last)
        for layer, norm, pool in zip(self.layers, self.norms, self.pools, strict=True):
            # Pooled before the activation, which is monotone: the same values at a third of the
            # work.
            x = norm(F.relu(F.max_pool2d(layer(x), (1, pool))))
        return self.head(self.segments(x[:, :, 0]).flatten(1))
