"""The encoding A = M F S of Cartesian MRI, its adjoint, and data consistency that solves it.

S multiplies an image by each coil's sensitivity (Pruessmann et al. 1999), F transforms along the phase-encoding axis, M
keeps the sampled lines. Of points that are no lines F transforms along both axes. K-space is hybrid, as everywhere in
networks: see `unimri.physics.fourier`.

Images have an axis of *sets*: one image where one set of sensitivities explains the coils, two where the field of view
is smaller than the object, so that a pixel shows two places (Uecker et al. 2014).
"""

from typing import Any, NamedTuple

import torch
from torch import Tensor

from unimri.physics.fourier import Axes, from_hybrid, to_hybrid


class Encoding(NamedTuple):
    """A, for a batch of slices.

    Attributes
    ----------
    sampled : bool, from `unimri.physics.fourier.lines`, (B or 1, 1, W), (B or 1, H, 1) or (B or 1, H, W).
    axis : -1 or -2, the phase-encoding axis, or of points (-2, -1).
    sensitivities : complex (B, sets, coils, H, W).
    """

    sampled: Tensor
    axis: Axes
    sensitivities: Tensor

    def forward(self, images: Tensor) -> Tensor:
        """A: images, complex (B, sets, H, W), to hybrid k-space, complex (B, coils, H, W), zero where not sampled."""
        return to_hybrid(self._coil_images(images), self.axis) * self.sampled.unsqueeze(1)

    def adjoint(self, kspace: Tensor) -> Tensor:
        """A^H: hybrid k-space (B, coils, H, W) to images (B, sets, H, W); what was not sampled does not count."""
        images = from_hybrid(kspace * self.sampled.unsqueeze(1), self.axis)
        return (self.sensitivities.conj() * images.unsqueeze(1)).sum(2)

    def normal(self, images: Tensor) -> Tensor:
        """A^H A, (B, sets, H, W)."""
        return self.adjoint(to_hybrid(self._coil_images(images), self.axis))

    @property
    def support(self) -> Tensor:
        """Where some coil sees something: bool (B, sets, H, W)."""
        return (self.sensitivities != 0).any(2)

    def _coil_images(self, images: Tensor) -> Tensor:
        return (self.sensitivities * images.unsqueeze(2)).sum(1)


class Measurement(NamedTuple):
    """What a batch of slices is reconstructed from.

    Attributes
    ----------
    zero_filled : complex64 (B, H, W), image scaled to [0, 1]; with sensitivities A^H y, (B, sets, H, W).
    kspace : y, complex64 hybrid k-space, zero where not sampled: (B, H, W), or (B, coils, H, W).
    sampled : bool, from `unimri.physics.fourier.lines`.
    axis : -1 or -2, the phase-encoding axis, or of points (-2, -1).
    sensitivities : complex64 (B, sets, coils, H, W); None for one coil, whose sensitivity is part of the image.
    noise : standard deviation of the noise of `kspace`, of real and imaginary part each, real (B,); None: not known.
    """

    zero_filled: Tensor
    kspace: Tensor
    sampled: Tensor
    axis: Axes
    sensitivities: Tensor | None = None
    noise: Tensor | None = None

    def part(self, which: slice) -> "Measurement":
        """Some of its slices; masks may be one for all."""
        sampled = self.sampled if len(self.sampled) == 1 else self.sampled[which]
        maps, noise = (None if own is None else own[which] for own in (self.sensitivities, self.noise))
        return Measurement(self.zero_filled[which], self.kspace[which], sampled, self.axis, maps, noise)

    def plus(self, kspace: Tensor) -> "Measurement":
        """The same with more k-space, of the shape of its own, of which only what was sampled counts."""
        if self.sensitivities is None:
            more = self.kspace + kspace * self.sampled
            return self._replace(kspace=more, zero_filled=from_hybrid(more, self.axis))
        more = self.kspace + kspace * self.sampled.unsqueeze(1)
        encoding = Encoding(self.sampled, self.axis, self.sensitivities)
        return self._replace(kspace=more, zero_filled=encoding.adjoint(more))


def solve(encoding: Encoding, right: Tensor, start: Tensor, weight: Tensor, steps: int) -> Tensor:
    """Minimise ||A x - y||^2 + weight ||x - start||^2 by conjugate gradients from `start` (Aggarwal et al. 2019).

    Gradients are those of the solution, by one more such solve, so that no step is kept in memory: what the steps leave
    unsolved is an error of the gradients. At 4x, of white noise, 8 steps leave 5 % of their length with 4 coils and 7 %
    with 8 at a weight of 0.02, and at most 0.4 % at 0.1.

    Parameters
    ----------
    right : A^H y, complex (B, sets, H, W).
    start : z, complex (B, sets, H, W).
    weight : lambda >= 0, real (B,) or (1,). 0 gives no gradient to `start`, on which the solution does not depend.
    steps : of conjugate gradients, each of two transforms a coil.

    Returns
    -------
    complex (B, sets, H, W).
    """
    solution: Tensor = _Solve.apply(encoding, right, start, weight.reshape(-1, 1, 1, 1), steps)  # type: ignore[no-untyped-call]
    return solution


class _Solve(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, encoding: Encoding, right: Tensor, start: Tensor, weight: Tensor, steps: int) -> Tensor:
        residual = right - encoding.normal(start)
        solution = start + _conjugate_gradients(encoding, residual, weight, steps)
        ctx.encoding, ctx.steps = encoding, steps
        ctx.save_for_backward(start - solution, weight)
        return solution

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[None, Tensor, Tensor, Tensor, None]:
        moved, weight = ctx.saved_tensors
        # x = (A^H A + weight)^-1 (right + weight z), whose matrix is its own adjoint.
        solved = _conjugate_gradients(ctx.encoding, gradients[0].resolve_conj(), weight, ctx.steps)
        of_weight = (solved.conj() * moved).real.sum((1, 2, 3), keepdim=True)
        return None, solved, weight * solved, of_weight.sum_to_size(weight.shape), None


def _conjugate_gradients(encoding: Encoding, right: Tensor, weight: Tensor, steps: int) -> Tensor:
    """Solve (A^H A + weight) x = right from x = 0; each slice of the batch by itself."""
    solution = torch.zeros_like(right)
    residual, direction, left = right, right, _squared(right)
    tiny = torch.finfo(left.dtype).tiny
    for _ in range(steps):
        image = encoding.normal(direction) + weight * direction
        along = (direction.conj() * image).real.sum((1, 2, 3), keepdim=True)
        # A slice that is solved exactly stays where it is.
        step = left / along.clamp_min(tiny)
        solution = solution + step * direction
        residual = residual - step * image
        before, left = left, _squared(residual)
        direction = residual + left / before.clamp_min(tiny) * direction
    return solution


def _squared(images: Tensor) -> Tensor:
    return torch.view_as_real(images).square().sum((1, 2, 3, 4)).reshape(-1, 1, 1, 1)


def soft_consistency(image: Tensor, measured: Tensor, sampled: Tensor, axis: Axes, weight: Tensor) -> Tensor:
    """`solve` of one coil without sensitivities, in closed form: k <- (k0 + weight k) / (1 + weight) where sampled.

    Schlemper et al. 2017, eq. 5; a weight of 0 gives what `unimri.physics.fourier.enforce_consistency` gives.

    Parameters
    ----------
    image, measured, sampled, axis : as of `enforce_consistency`.
    weight : lambda >= 0, real (B,) or (1,).
    """
    kspace, weight = to_hybrid(image, axis), weight.reshape(-1, 1, 1)
    return from_hybrid(torch.where(sampled, (measured + weight * kspace) / (1 + weight), kspace), axis)
