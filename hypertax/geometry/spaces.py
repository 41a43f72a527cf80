"""The Euclidean and the Lorentz space behind one interface.

An encoder's projection gives a vector v per specimen. `tangent` is what is stored of it, `lift`
makes it a point, and the contrastive loss compares points by their similarity.

The similarity comes in two steps, because `hypertax.losses.blockwise` works in blocks: `gram` makes
one matrix of inner products of all pairs, and `similarity` turns a block of it into similarities,
elementwise. Both take c as an argument, so that a block can be differentiated by its own copy of c;
the Euclidean space has no curvature, and its c is None.
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
        """None: a Euclidean space has no curvature. Counterpart of `LorentzSpace.curvature`."""
        return None

    def tangent(self, v: Tensor, modality: str) -> Tensor:
        """The projection itself, in fp32.

        Args:
            v: (..., D). modality: has no effect here.
        """
        return v.float() if v.dtype != torch.float64 else v

    def lift(self, tangent: Tensor) -> Tensor:
        """Tangent vectors (..., D) to unit vectors (..., D)."""
        return F.normalize(tangent, dim=-1)

    def distances(self, tangent: Tensor) -> Tensor:
        """Euclidean distances of all pairs of projections as they are, before they become unit
        vectors: (N, D) to (N, N)."""
        return torch.cdist(tangent, tangent, compute_mode="donot_use_mm_for_euclid_dist")

    @staticmethod
    def gram(a: Tensor, b: Tensor, c: None) -> Tensor:
        """Inner products of all pairs of points, (N, M), the first step of the similarity.

        Args:
            a: (N, D). b: (M, D). c: None, which has no effect; see the module.
        """
        return a @ b.T

    @staticmethod
    def cosine(a: Tensor, b: Tensor) -> Tensor:
        """Cosines of all pairs of points (N, D) and (M, D), (N, M)."""
        return a @ b.T

    @staticmethod
    def similarity(gram: Tensor, c: None) -> Tensor:
        """Cosines, elementwise from a block of `gram` of any shape; c is None, as there."""
        return gram

    @staticmethod
    def similarity_and_slope(
        gram: Tensor, c: None, with_slope: bool = True
    ) -> tuple[Tensor, Tensor | None]:
        """The same without a graph, and None for its derivative by `gram`, which is one."""
        return gram, None

    def clamp_(self) -> None:
        """Nothing here is bounded."""


class LorentzSpace(nn.Module):
    """The hyperboloid of curvature -c; similarity is minus the geodesic distance.

    log c is a parameter, learned or held. Each modality has a learned scale exp(alpha), by which
    its projection is multiplied before the lift [C].

    Args:
        modalities: those that get a scale.
        dim: D, the width of the space.
        curvature: initial c.
        learn_curvature: whether log c is learned.
        scale_with_curvature: whether scales begin at 1/sqrt(c D), so that sqrt(c) x begins as at c
            = 1, and not at 1/sqrt(D).
        one_radius: whether the specimens of a modality are held at one radius, sqrt(D) times its
            scale; texts keep their own.
    """

    name = "lorentz"

    def __init__(
        self,
        modalities: tuple[str, ...],
        dim: int,
        curvature: float = 1.0,
        learn_curvature: bool = True,
        scale_with_curvature: bool = False,
        one_radius: bool = False,
    ) -> None:
        super().__init__()
        self.initial_curvature, self.one_radius = curvature, one_radius
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
        """A modality's projection times its scale: the tangent vector at the origin, in fp32.

        Its norm is the point's radius.

        Args:
            v: (..., D) projections. modality: the one whose scale is used.
        """
        v = v.float() if v.dtype != torch.float64 else v
        if self.one_radius and modality != "text":
            v = math.sqrt(v.shape[-1]) * F.normalize(v, dim=-1)
        return self.log_scale[modality].exp() * v

    def lift(self, tangent: Tensor) -> Tensor:
        """Exponential map at the origin: tangent vectors (..., D) to space components (..., D)."""
        return L.exp0(tangent, self.curvature)

    def distances(self, tangent: Tensor) -> Tensor:
        """Geodesic distances of all pairs of points, from their tangent vectors: (N, D) to
        (N, N)."""
        points = self.lift(tangent)
        return L.pairwise_distance(points, points, self.curvature)

    @staticmethod
    def gram(a: Tensor, b: Tensor, c: Tensor) -> Tensor:
        """Lorentz inner products of all pairs of points, (N, M), the first step of the similarity.

        Args:
            a: (N, D). b: (M, D). c: 0-d, the curvature or a block's copy of it; see the module.
        """
        return L.pairwise_inner(a, b, c)

    @staticmethod
    def cosine(a: Tensor, b: Tensor) -> Tensor:
        """Cosines of the angle at the origin between all pairs of points (N, D) and (M, D), (N, M)."""
        return L.pairwise_dot(F.normalize(a, dim=-1), F.normalize(b, dim=-1))

    @staticmethod
    def similarity(gram: Tensor, c: Tensor) -> Tensor:
        """Minus the geodesic distance, elementwise from a block of `gram` of any shape; c as there."""
        return -L.distance_from_inner(gram, c)

    @staticmethod
    @torch.no_grad()
    def similarity_and_slope(
        gram: Tensor, c: Tensor, with_slope: bool = True
    ) -> tuple[Tensor, Tensor | None]:
        """The same without a graph, and its derivative by `gram` where that is asked for."""
        distance, slope = L.distance_and_slope(gram, c, with_slope)
        return distance.neg_(), None if slope is None else slope.neg_()

    @torch.no_grad()
    def clamp_(self) -> None:
        """Keep c within [c0/10, 10 c0] and the scales at 1 or below [C].

        Called after every step, so that the bounds never cut a gradient.
        """
        c0 = math.log(self.initial_curvature)
        if self.log_curvature.requires_grad:
            self.log_curvature.clamp_(c0 - math.log(10), c0 + math.log(10))
        for alpha in self.log_scale.values():
            alpha.clamp_(max=0.0)


class CapSpace(LorentzSpace):
    """A Lorentz space whose points lie in a cap around the first axis, the root; specimens are at
    one radius, and c is held [O].

    A unit vector u of dim - 1 numbers becomes the direction (sqrt(1 - s^2), s u). Nearest
    neighbours do not depend on s; whether the cones of taxa can nest does
    (`hypertax.geometry.nested_cones`). The buffer `contraction` holds s, from 0 to 1;
    `HypertaxModel.fit_cones` sets it.

    Args:
        dim: D, the width of the space.
        curvature: c.
        specimen_radius: sqrt(c) times the radius of the specimens. Taxa bring their own radius, the
            norm of their vector.
    """

    def __init__(self, dim: int, curvature: float, specimen_radius: float) -> None:
        super().__init__((), dim, curvature, learn_curvature=False)
        self.specimen_radius = specimen_radius / math.sqrt(curvature)
        self.register_buffer("contraction", torch.ones(()))

    # A model's file calls s `share`: so do those of all runs so far, which stay readable.

    def _save_to_state_dict(self, destination, prefix, keep_vars) -> None:
        super()._save_to_state_dict(destination, prefix, keep_vars)
        destination[prefix + "share"] = destination.pop(prefix + "contraction")

    def _load_from_state_dict(self, state_dict, prefix, *args, **kwargs) -> None:
        if prefix + "share" in state_dict:
            state_dict[prefix + "contraction"] = state_dict.pop(prefix + "share")
        super()._load_from_state_dict(state_dict, prefix, *args, **kwargs)

    def tangent(self, v: Tensor, modality: str) -> Tensor:
        """Tangent vectors at the origin, (..., D), in fp32.

        Args:
            v: (..., D - 1), projections of specimens or vectors of taxa.
            modality: `text` for taxa, whose radius is the norm of v.
        """
        v = v.float() if v.dtype != torch.float64 else v
        radius = (
            v.norm(dim=-1, keepdim=True)
            if modality == "text"
            else torch.full_like(v[..., :1], self.specimen_radius)
        )
        root = (1 - self.contraction**2).sqrt().to(v.dtype).expand_as(radius)
        return radius * torch.cat([root, self.contraction * F.normalize(v, dim=-1)], dim=-1)

    @staticmethod
    def cosine(a: Tensor, b: Tensor) -> Tensor:
        """Cosines of the angle around the root's axis between points (N, D) and (M, D), (N, M).

        It is the cosine of the vectors u, whatever s is.
        """
        return L.pairwise_dot(F.normalize(a[:, 1:], dim=-1), F.normalize(b[:, 1:], dim=-1))


Space = EuclideanSpace | LorentzSpace
