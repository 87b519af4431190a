"""Noise of coils against formulas."""

from typing import Literal

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from unimri.core.errors import UnimriError
from unimri.physics.acquisition import Acquisition
from unimri.physics.coils import draw_sensitivities
from unimri.physics.fourier import lines, to_kspace
from unimri.physics.noise import compress, compression, deviation, from_edges, mixed, noise_covariance, prewhiten
from unimri.physics.sense import Encoding, Measurement, solve


def white(*shape: int, seed: int = 0) -> Tensor:
    """Noise of variance 1 of real and imaginary part each, complex128."""
    return torch.view_as_complex(torch.from_numpy(np.random.default_rng(seed).standard_normal((*shape, 2))))


def positive(coils: int, seed: int = 0) -> Tensor:
    mixing = white(coils, coils, seed=seed)
    return mixing @ mixing.mH + 0.1 * torch.eye(coils)


def object_kspace(coils: int, size: tuple[int, int], noise: float) -> Tensor:
    """A smooth blob, whose k-space has no signal at the edges: (2, coils, rows, columns)."""
    rows, columns = (torch.linspace(-1, 1, length) for length in size)
    blob = torch.exp(-(rows[:, None].square() + columns.square()) * 8)
    kspace = to_kspace(blob * draw_sensitivities(np.random.default_rng(0), coils, size))
    return kspace + noise * white(2, coils, *size).to(torch.complex64)


def test_the_covariance_is_of_either_part() -> None:
    samples = torch.tensor([[1 + 1j, 1 - 1j], [2.0, 0]])
    expected = torch.tensor([[2, 1 + 1j], [1 - 1j, 2]], dtype=torch.complex128) / 2
    torch.testing.assert_close(noise_covariance(samples), expected)
    torch.testing.assert_close(
        noise_covariance(white(3, 20_000)), torch.eye(3, dtype=torch.complex128), atol=0.05, rtol=0
    )


@settings(max_examples=20, deadline=None)
@given(coils=st.integers(1, 12), seed=st.integers(0, 1000))
def test_prewhitened_noise_is_white(coils: int, seed: int) -> None:
    covariance = positive(coils, seed)
    samples = white(coils, 40, 50, seed=seed)
    mixed = (torch.linalg.cholesky(noise_covariance(samples.flatten(1))) @ samples.flatten(1)).view_as(samples)
    whitened = prewhiten(mixed, noise_covariance(mixed.flatten(1)))
    torch.testing.assert_close(noise_covariance(whitened.flatten(1)), torch.eye(coils, dtype=torch.complex128))
    # k^H C^-1 k, which likelihoods are made of.
    one = prewhiten(samples, covariance)[:, 0, 0]
    inner = (samples[:, 0, 0].conj() @ torch.linalg.solve(covariance, samples[:, 0, 0])).real
    torch.testing.assert_close(one.abs().square().sum(), inner)


@pytest.mark.parametrize(
    "covariance",
    [
        torch.eye(2),
        torch.zeros(3, 3),
        torch.ones(3, 3),
        torch.diag(torch.tensor([1.0, -1, 1])),
        torch.eye(3) * torch.nan,
        torch.tensor([[1.0, 5, 0], [0, 1, 0], [0, 0, 1]]),
    ],
)
def test_a_covariance_that_is_none_is_refused(covariance: Tensor) -> None:
    with pytest.raises(UnimriError, match="noise covariance"):
        prewhiten(white(3, 4, 4), covariance)


@pytest.mark.parametrize("axis", ["columns", "rows"])
@pytest.mark.parametrize("size", [(128, 96), (97, 127)])
@pytest.mark.parametrize("padding", [0, 16])
def test_noise_is_told_by_the_edges(axis: Literal["columns", "rows"], size: tuple[int, int], padding: int) -> None:
    kspace = object_kspace(4, size, 0.01)
    for edge in (slice(0, padding), slice(size[0] - padding, size[0])):
        kspace[:, :, edge] = 0
    mask = torch.arange(size[1] if axis == "columns" else size[0]) % 3 == 0
    found = from_edges(kspace.numpy(), mask[None].numpy(), axis)
    assert found is not None
    torch.testing.assert_close(found.diagonal().real.sqrt(), torch.full((4,), 0.01).double(), atol=0.0015, rtol=0)
    assert torch.equal(found, from_edges(kspace, mask[None], axis))


def test_edges_that_hold_signal_tell_nothing() -> None:
    mask = torch.ones(1, 64, dtype=torch.bool)
    falling = white(1, 2, 256, 64) / (1 + torch.linspace(-9, 9, 256).abs()[:, None]) ** 4
    assert from_edges(falling, mask, "columns") is None
    # In few lines.
    lines = white(1, 2, 256, 64) * 0.01
    lines[..., 30:34] *= 100
    assert from_edges(lines, mask, "columns") is None
    assert from_edges(torch.zeros(1, 2, 256, 64, dtype=torch.complex64), mask, "columns") is None
    assert from_edges(white(1, 2, 4, 64), mask, "columns") is None


@settings(max_examples=20, deadline=None)
@given(coils=st.integers(1, 8), kept=st.integers(1, 10), slices=st.integers(1, 3), seed=st.integers(0, 100))
def test_compression_keeps_what_singular_values_say(coils: int, kept: int, slices: int, seed: int) -> None:
    kspace = white(slices, coils, 5, 6, seed=seed)
    compressed = mixed(compression(kspace, kept), kspace)
    kept = min(coils, kept)
    assert compressed.shape == (slices, kept, 5, 6)
    energies = torch.linalg.svdvals(kspace.movedim(1, 0).flatten(1)).square()[:kept]
    torch.testing.assert_close(compressed.abs().square().sum((0, 2, 3)), energies)


def test_all_coils_are_turned_alone() -> None:
    kspace = white(2, 6, 7, 8)
    torch.testing.assert_close(
        mixed(compression(kspace, 6), kspace).abs().square().sum(1), kspace.abs().square().sum(1)
    )
    zero = torch.zeros(1, 3, 4, 4, dtype=torch.complex64)
    assert not mixed(compression(zero, 2), zero).any()


def test_coils_that_see_two_things_are_two() -> None:
    kspace = torch.einsum("vc,svhw->schw", white(2, 9), white(3, 2, 8, 8, seed=1))
    compressed = mixed(compression(kspace, 2), kspace)
    torch.testing.assert_close(compressed.abs().square().sum(1), kspace.abs().square().sum(1))


def test_a_compressed_scan_is_as_the_measured_lines_say() -> None:
    two = torch.einsum("vc,svhw->schw", white(2, 9), white(3, 2, 8, 8, seed=1))
    mask = np.arange(8) % 3 == 1
    # What was not measured would ask for more coils.
    kspace = torch.where(torch.from_numpy(mask), two, white(3, 9, 8, 8, seed=2)).numpy()
    scan = Acquisition(kspace, mask[None], "columns")
    found = compress(scan, 2)
    assert found.kspace.shape == (3, 2, 8, 8)
    np.testing.assert_allclose(found.zero_filled(), scan.zero_filled(), rtol=1e-4, atol=1e-4)
    assert compress(scan, 9) is scan


@pytest.mark.parametrize("axis", [-1, -2])
def test_replicas_tell_the_g_factor_of_sense(axis: int) -> None:
    size, coils, factor = (12, 16), 6, 2
    maps = draw_sensitivities(np.random.default_rng(3), coils, size)[None]
    kept = torch.zeros(size[axis], dtype=torch.bool)
    kept[size[axis] // 2 % factor :: factor] = True
    encoding = Encoding(lines(kept[None], axis), axis, maps[None])
    image = torch.full((1, 1, *size), 500 + 0j)
    given = Measurement(encoding.adjoint(encoding.forward(image)), encoding.forward(image), *encoding)

    def sense(measured: Measurement) -> Tensor:
        zero = torch.zeros_like(measured.zero_filled)
        return solve(encoding, measured.zero_filled, zero, torch.zeros(1), 30).abs()

    noise = torch.tensor([2.0])
    found = deviation(sense, given, noise, 400, seed=1)[0, 0] / (noise * factor**0.5)

    # Pruessmann et al. 1999: of the pixels that lie on each other, by their coils.
    expected = torch.empty(size)
    shifted = torch.roll(maps[0], size[axis] // factor, axis)
    for place in np.ndindex(*size):
        own = torch.stack([maps[0, :, *place], shifted[:, *place]], 1)
        normal = own.mH @ own
        expected[place] = (torch.linalg.inv(normal)[0, 0] * normal[0, 0]).real.sqrt()
    # 400 replicas tell a deviation to 3.5 %.
    assert float(expected.max()) > 1.05
    torch.testing.assert_close(found.float(), expected, rtol=0.15, atol=0)
    assert float((found / expected).mean()) == pytest.approx(1, abs=0.01)


def test_replicas_of_one_seed_are_the_same() -> None:
    kspace = to_kspace(torch.ones(1, 8, 8)) + 0j
    given = Measurement(kspace, kspace, torch.ones(1, 1, 8, dtype=torch.bool), -1)
    first, again, other = (deviation(lambda one: one.kspace.abs(), given, torch.ones(1), 5, seed) for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
