"""The Euclidean and the Lorentz space behind one interface: `lift`, `gram` and `similarity`,
`radius`.

An encoder's projection gives a vector v per specimen; `tangent` is what is stored of it, `lift`
makes it a point, and the similarity of two points is what the contrastive loss and retrieval see.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from hypertax.geometry import lorentz as L


class EuclideanSpace(nn.Module):
    """Unit vectors compared by their cosine, as CLIBD."""

    name = "euclidean"

    def __init__(self, modalities: tuple[str, ...], dim: int) -> None:
        super().__init__()

    @property
    def curvature(self) -> None:
        """There is none; the interface's counterpart of `LorentzSpace.curvature`."""
        return None

    def tangent(self, v: Tensor, modality: str) -> Tensor:
        """The projection itself, (..., D), in fp32."""
        return v.float() if v.dtype != torch.float64 else v

    def lift(self, tangent: Tensor) -> Tensor:
        """(..., D) to unit vectors (..., D)."""
        return F.normalize(tangent, dim=-1)

    @staticmethod
    def gram(a: Tensor, b: Tensor, c: None) -> Tensor:
        """Scalar products of points (N, D) and (M, D), (N, M)."""
        return a @ b.T

    @staticmethod
    def cosine(a: Tensor, b: Tensor) -> Tensor:
        """Cosine of points (N, D) and (M, D), (N, M)."""
        return a @ b.T

    @staticmethod
    def similarity(gram: Tensor, c: None) -> Tensor:
        """Cosine, elementwise from `gram`."""
        return gram

    def clamp_(self) -> None:
        """Nothing here is bounded."""


class LorentzSpace(nn.Module):
    """The hyperboloid of curvature -c; similarity is minus the geodesic distance.

    `log_curvature` is a parameter (learned or held) and each modality has a learnable scale
    exp(alpha), initially 1/sqrt(D), by which its projection is multiplied before the lift [C];
    `scale_with_curvature`: 1/sqrt(c D), so that sqrt(c) x begins as at c = 1.
    """

    name = "lorentz"

    def __init__(
        self,
        modalities: tuple[str, ...],
        dim: int,
        curvature: float = 1.0,
        learn_curvature: bool = True,
        scale_with_curvature: bool = False,
    ) -> None:
        super().__init__()
        self.initial_curvature = curvature
        self.log_curvature = nn.Parameter(
            torch.tensor(math.log(curvature)), requires_grad=learn_curvature
        )
        scale = -0.5 * math.log(dim * (curvature if scale_with_curvature else 1.0))
        self.log_scale = nn.ParameterDict(
            {m: nn.Parameter(torch.tensor(min(scale, 0.0))) for m in modalities}
        )

    @property
    def curvature(self) -> Tensor:
        """c, a 0-d tensor that carries the gradient."""
        return self.log_curvature.exp()

    def tangent(self, v: Tensor, modality: str) -> Tensor:
        """A modality's projection times its scale: the tangent vector at the origin, (..., D), in
        fp32; its norm is the point's radius."""
        v = v.float() if v.dtype != torch.float64 else v
        return self.log_scale[modality].exp() * v

    def lift(self, tangent: Tensor) -> Tensor:
        """Exponential map at the origin: tangent vectors (..., D) to space components (..., D)."""
        return L.exp0(tangent, self.curvature)

    @staticmethod
    def gram(a: Tensor, b: Tensor, c: Tensor) -> Tensor:
        """Lorentz inner products of points (N, D) and (M, D), (N, M)."""
        return L.pairwise_inner(a, b, c)

    @staticmethod
    def cosine(a: Tensor, b: Tensor) -> Tensor:
        """Cosine of the angle at the origin between points (N, D) and (M, D), (N, M)."""
        return L.pairwise_dot(F.normalize(a, dim=-1), F.normalize(b, dim=-1))

    @staticmethod
    def similarity(gram: Tensor, c: Tensor) -> Tensor:
        """Minus the geodesic distance, elementwise from `gram`."""
        return -L.distance_from_inner(gram, c)

    @torch.no_grad()
    def clamp_(self) -> None:
        """Keep c within [c0/10, 10 c0] and the scales at 1 or below [C]; called after every step,
        so that the bounds never cut a gradient."""
        c0 = math.log(self.initial_curvature)
        if self.log_curvature.requires_grad:
            self.log_curvature.clamp_(c0 - math.log(10), c0 + math.log(10))
        for alpha in self.log_scale.values():
            alpha.clamp_(max=0.0)


class CapSpace(LorentzSpace):
    """A Lorentz space in which all points lie in a cap around the first axis, the root, all
    specimens at one radius, and c is held [O].

    A unit vector u of dim - 1 numbers becomes the direction (sqrt(1 - s^2), s u): whoever is
    nearest to whom does not depend on s, whether the taxa's cones can nest does
    (`hypertax.geometry.nested_cones`). `share`, s, is set by `HypertaxModel.fit_cones`.

    specimen_radius: sqrt(c) times it. Names bring their own radius: the norm of their vector.
    """

    def __init__(self, dim: int, curvature: float, specimen_radius: float) -> None:
        super().__init__((), dim, curvature, learn_curvature=False)
        self.specimen_radius = specimen_radius / math.sqrt(curvature)
        self.register_buffer("share", torch.ones(()))

    def tangent(self, v: Tensor, modality: str) -> Tensor:
        """Projections, or names' vectors, (..., D - 1) to tangent vectors at the origin (..., D),
        in fp32."""
        v = v.float() if v.dtype != torch.float64 else v
        radius = (
            v.norm(dim=-1, keepdim=True)
            if modality == "text"
            else torch.full_like(v[..., :1], self.specimen_radius)
        )
        root = (1 - self.share**2).sqrt().to(v.dtype).expand_as(radius)
        return radius * torch.cat([root, self.share * F.normalize(v, dim=-1)], dim=-1)

    @staticmethod
    def cosine(a: Tensor, b: Tensor) -> Tensor:
        """Cosine of the angle around the root's axis between points (N, D) and (M, D), (N, M): that
        of the vectors u, whatever s is."""
        return L.pairwise_dot(F.normalize(a[:, 1:], dim=-1), F.normalize(b[:, 1:], dim=-1))


Space = EuclideanSpace | LorentzSpace
