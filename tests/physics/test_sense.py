"""Encoding and data consistency of coils, against SigPy's operators, dense matrices and finite differences."""

import numpy as np
import pytest
import sigpy
import torch
from sigpy.mri.linop import Sense
from torch import Tensor

from unimri.physics.coils import draw_sensitivities
from unimri.physics.fourier import Axes, enforce_consistency, lines, undersample
from unimri.physics.sense import Encoding, soft_consistency, solve


def made(
    coils: int,
    size: tuple[int, int],
    axis: Axes = -1,
    sets: int = 1,
    batch: int = 2,
    kind: torch.dtype = torch.complex64,
) -> Encoding:
    rng = np.random.default_rng([coils, *size])
    maps = torch.stack([draw_sensitivities(rng, coils, size) for _ in range(batch * sets)])
    shape = size if isinstance(axis, tuple) else (size[axis],)
    mask = torch.from_numpy(rng.random((batch, *shape)) < 0.4)
    mask[:, *(length // 2 for length in shape)] = True
    return Encoding(lines(mask, axis), axis, maps.reshape(batch, sets, coils, *size).to(kind))


def drawn(*shape: int, kind: torch.dtype = torch.complex64) -> Tensor:
    return torch.randn(*shape, dtype=kind, generator=torch.Generator().manual_seed(sum(shape)))


def inner(left: Tensor, right: Tensor) -> complex:
    return complex((left.to(torch.complex128).conj() * right.to(torch.complex128)).sum())


@pytest.mark.parametrize("coils", [1, 2, 8, 32])
@pytest.mark.parametrize("size", [(16, 16), (13, 11), (1, 9)])
@pytest.mark.parametrize("axis", [-1, -2, (-2, -1)])
@pytest.mark.parametrize("sets", [1, 2])
def test_the_adjoint_is_one(coils: int, size: tuple[int, int], axis: Axes, sets: int) -> None:
    encoding = made(coils, size, axis, sets)
    image, kspace = drawn(2, sets, *size), drawn(2, coils, *size)
    left, right = inner(encoding.forward(image), kspace), inner(image, encoding.adjoint(kspace))
    norm = float(torch.linalg.vector_norm(image) * torch.linalg.vector_norm(kspace))
    assert abs(left - right) < 1e-5 * norm
    torch.testing.assert_close(encoding.normal(image), encoding.adjoint(encoding.forward(image)), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("axis", [-1, -2, (-2, -1)])
@pytest.mark.parametrize("size", [(16, 20), (13, 11)])
def test_the_encoding_is_sigpys(axis: Axes, size: tuple[int, int]) -> None:
    encoding = made(4, size, axis, batch=1)
    image = drawn(1, 1, *size)
    # SigPy's k-space is centred along both axes, ours transformed along one alone, DC first.
    mask = np.broadcast_to(np.fft.fftshift(encoding.sampled[0].numpy()), size)
    expected = Sense(encoding.sensitivities[0, 0].numpy(), weights=mask.astype(np.float32))(image[0, 0].numpy())
    hybrid = expected if isinstance(axis, tuple) else sigpy.ifft(expected, axes=(-3 - axis,))
    kspace = encoding.forward(image)[0].numpy()
    # Centred transforms count pixels from the middle: a ramp of phase.
    for one in axis if isinstance(axis, tuple) else (axis,):
        length = size[one]
        ramp = np.exp(2j * np.pi * np.fft.fftfreq(length) * (length // 2))
        kspace = kspace * (ramp if one == -1 else ramp[:, None])
    np.testing.assert_allclose(np.fft.fftshift(kspace, axes=axis), hybrid, atol=1e-5)


def dense(encoding: Encoding, size: tuple[int, int]) -> Tensor:
    """A^H A of a batch of one as a matrix."""
    basis = torch.eye(size[0] * size[1], dtype=encoding.sensitivities.dtype).reshape(-1, 1, *size)
    many = encoding._replace(sensitivities=encoding.sensitivities.expand(len(basis), -1, -1, -1, -1))
    return many.normal(basis).flatten(1).T


@pytest.mark.parametrize("coils", [1, 4])
def test_consistency_solves_its_equations(coils: int) -> None:
    size, kind = (6, 7), torch.complex128
    encoding = made(coils, size, batch=1, kind=kind)
    right, start = encoding.adjoint(drawn(1, coils, *size, kind=kind)), drawn(1, 1, *size, kind=kind)
    weight = torch.tensor([0.3], dtype=torch.float64)
    found = solve(encoding, right, start, weight, 60)
    matrix = dense(encoding, size) + weight * torch.eye(42, dtype=kind)
    expected = torch.linalg.solve(matrix, (right + weight * start).flatten())
    torch.testing.assert_close(found.flatten(), expected, atol=1e-9, rtol=1e-9)


def test_one_coil_is_the_closed_form_and_without_weight_the_papers() -> None:
    encoding = made(1, (9, 12), kind=torch.complex128)
    flat = encoding._replace(sensitivities=torch.ones_like(encoding.sensitivities))
    image, truth = drawn(2, 9, 12, kind=torch.complex128), drawn(2, 9, 12, kind=torch.complex128)
    zero_filled, measured = undersample(truth, encoding.sampled, -1)
    weight = torch.tensor([0.2, 1.5], dtype=torch.float64)
    solved = solve(flat, zero_filled.unsqueeze(1), image.unsqueeze(1), weight, 5)[:, 0]
    torch.testing.assert_close(soft_consistency(image, measured, encoding.sampled, -1, weight), solved)
    hard = soft_consistency(image, measured, encoding.sampled, -1, torch.zeros(1, dtype=torch.float64))
    assert torch.equal(hard, enforce_consistency(image, measured, encoding.sampled, -1))


@pytest.mark.parametrize("sets", [1, 2])
def test_gradients_of_a_converged_solution_are_finite_differences(sets: int) -> None:
    size, kind = (3, 5), torch.complex128
    encoding = made(3, size, batch=2, sets=sets, kind=kind)
    right = drawn(2, sets, *size, kind=kind).requires_grad_()
    start = (2 * drawn(2, sets, *size, kind=kind)).requires_grad_()
    weight = torch.tensor([0.4, 0.9], dtype=torch.float64, requires_grad=True)
    # Each system has 15 unknowns a set.
    assert torch.autograd.gradcheck(lambda *given: solve(encoding, *given, 40), (right, start, weight), atol=1e-6)
    one = torch.tensor([0.4], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda given: solve(encoding, right, start, given, 40), one, atol=1e-6)


def test_few_steps_cost_the_gradients_little() -> None:
    size, kind = (48, 48), torch.complex128
    encoding = made(4, size, batch=1, kind=kind)
    start, pull = drawn(1, 1, *size, kind=kind).requires_grad_(), drawn(1, 1, *size, kind=kind)
    right = encoding.adjoint(encoding.forward(drawn(1, 1, *size, kind=kind) * 0.5))
    weight = torch.tensor([0.02], dtype=torch.float64)

    def gradient(steps: int) -> Tensor:
        (found,) = torch.autograd.grad((solve(encoding, right, start, weight, steps).conj() * pull).real.sum(), start)
        return found

    exact = gradient(300)
    error = float(torch.linalg.vector_norm(gradient(8) - exact) / torch.linalg.vector_norm(exact))
    assert error < 0.1


def test_a_slice_that_is_empty_or_solved_stays() -> None:
    encoding = made(4, (8, 8))
    image = torch.stack([torch.zeros(1, 8, 8, dtype=torch.complex64), drawn(1, 8, 8)])
    right = encoding.normal(image)
    found = solve(encoding, right, image, torch.tensor([0.1]), 8)
    assert found.isfinite().all()
    torch.testing.assert_close(found, image, atol=1e-5, rtol=1e-4)
