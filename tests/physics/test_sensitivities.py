"""ESPIRiT's maps against the true ones of simulated coils, and SigPy's."""

from typing import Literal

import numpy as np
import pytest
import torch
from sigpy.mri.app import EspiritCalib
from torch import Tensor

from unimri.physics.coils import draw_sensitivities
from unimri.physics.fourier import to_kspace
from unimri.physics.sensitivities import KERNEL, calibration_lines, espirit, estimate


def scanned(
    coils: int, size: tuple[int, int], wide: float = 1, noise: float = 0.003, seed: int = 0
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Maps, where the object is, coil images and k-space with noise. `wide` > 1: it wraps along the columns."""
    rng = np.random.default_rng([coils, *size, seed])
    rows, columns = size
    extended = (rows, columns * 3)
    down, across = (
        torch.linspace(-length, length, points) for length, points in zip((1, 3 / wide), extended, strict=True)
    )
    inside = (down[:, None] / 0.75).square() + (across[None] / 0.75).square() < 1
    brightness = inside * (1 + 0.3 * torch.cos(9 * down)[:, None] * torch.sin(7 * across)[None])
    middle = columns * 3 // 2 - columns // 2
    # Sensitivities go on beyond the field of view, of which there are 1.5 where the object is larger.
    field = columns if wide == 1 else columns * 3 // 2
    maps = torch.zeros(coils, *extended, dtype=torch.complex64)
    start = columns * 3 // 2 - field // 2
    maps[..., start : start + field] = draw_sensitivities(rng, coils, (rows, field))
    whole = maps * brightness
    images = sum(whole[..., max(0, middle + shift) : middle + shift + columns] for shift in (-columns, 0, columns))
    assert isinstance(images, Tensor)
    parts = rng.standard_normal((coils, *size, 2), dtype=np.float32)
    kspace = to_kspace(images) + noise * torch.view_as_complex(torch.from_numpy(parts))
    part = slice(middle, middle + columns)
    return maps[..., part], inside[:, part], images, kspace


def centre_mask(length: int, calibration: int, every: int = 4) -> Tensor:
    mask = torch.arange(length) % every == length // 2 % every
    mask[length // 2 - calibration // 2 : length // 2 - calibration // 2 + calibration] = True
    return mask


def left_over(maps: Tensor, images: Tensor) -> float:
    """What of coil images the maps do not explain, as a fraction."""
    projected = torch.einsum("schw,sdhw,dhw->chw", maps, maps.conj(), images)
    return float(torch.linalg.vector_norm(projected - images) / torch.linalg.vector_norm(images))


def away(maps: Tensor, true: Tensor) -> Tensor:
    """How far maps (coils, rows, columns) are from true ones, up to a phase of each pixel."""
    along = (maps.conj() * true).sum(0)
    return torch.linalg.vector_norm(true - along * maps, dim=0)


@pytest.mark.parametrize("coils", [2, 3, 8, 32])
@pytest.mark.parametrize("size", [(64, 80), (65, 63)])
@pytest.mark.parametrize("axis", ["columns", "rows"])
def test_maps_are_the_true_ones(coils: int, size: tuple[int, int], axis: Literal["columns", "rows"]) -> None:
    true, inside, images, kspace = scanned(coils, size)
    mask = centre_mask(size[1] if axis == "columns" else size[0], 16)
    sampled = kspace * (mask if axis == "columns" else mask[:, None])
    maps, reason = estimate(sampled, mask, axis)
    assert maps is not None
    assert not reason
    assert maps.shape == (1, coils, *size)
    assert maps.dtype == torch.complex64
    norms = torch.linalg.vector_norm(maps, dim=1)
    torch.testing.assert_close(norms, (norms > 0.5).float(), atol=1e-5, rtol=0)
    assert (norms[0][inside] > 0).float().mean() > 0.99
    distance = away(maps[0], true)[inside & (norms[0] > 0)]
    assert distance.mean() < 0.02
    assert distance.quantile(0.99) < 0.08
    assert left_over(maps, images) < 0.04


def test_maps_are_sigpys() -> None:
    _, inside, _, kspace = scanned(6, (64, 64))
    block = kspace[:, 20:44, 20:44]
    maps = espirit(block, (64, 64), threshold=0.02)[0]
    theirs = EspiritCalib(kspace.numpy(), calib_width=24, kernel_width=6, crop=0.95, show_pbar=False).run()
    assert away(maps, torch.from_numpy(theirs))[inside].quantile(0.98) < 0.01


def test_an_object_larger_than_the_field_of_view_needs_two_sets() -> None:
    _, _, images, kspace = scanned(8, (96, 96), wide=1.7, noise=0.01)
    mask = centre_mask(96, 16)
    both, one = estimate(kspace * mask, mask).maps, estimate(kspace * mask, mask, sets=1).maps
    assert both is not None
    assert one is not None
    assert len(both) == 2
    assert len(one) == 1
    assert left_over(both, images) < 0.5 * left_over(one, images)
    assert (both[0].conj() * both[1]).sum(0).abs().max() < 1e-4


@pytest.mark.parametrize("measured", [0, 1, KERNEL + 1])
def test_too_few_lines_give_the_reason(measured: int) -> None:
    mask = torch.zeros(32, dtype=torch.bool)
    mask[16 - measured // 2 : 16 - measured // 2 + measured] = True
    maps, reason = estimate(torch.ones(4, 32, 32, dtype=torch.complex64), mask)
    assert maps is None
    assert reason.startswith(f"{measured} calibration line")
    assert f"{KERNEL + 2} are needed" in reason


def test_calibration_lines_are_those_around_dc() -> None:
    mask = torch.tensor([1, 1, 0, 1, 1, 1, 0, 1], dtype=torch.bool)
    assert calibration_lines(mask) == slice(3, 6)
    mask[4] = False
    assert calibration_lines(mask) == slice(4, 4)
    assert calibration_lines(torch.ones(7, dtype=torch.bool)) == slice(0, 7)


def test_one_coil_sees_all() -> None:
    maps = estimate(torch.zeros(1, 8, 9, dtype=torch.complex64), torch.zeros(9, dtype=torch.bool)).maps
    assert maps is not None
    assert torch.equal(maps, torch.ones(1, 1, 8, 9, dtype=torch.complex64))


@pytest.mark.parametrize("coils", [2, 5])
@pytest.mark.parametrize("scale", [0, 1e-30, 1, 1e30])
@pytest.mark.parametrize("sets", [1, 2, None])
def test_nothing_and_noise_give_finite_maps(coils: int, scale: float, sets: int | None) -> None:
    noise = torch.randn(coils, 24, 20, dtype=torch.complex64, generator=torch.Generator().manual_seed(0))
    maps = estimate(scale * noise, torch.ones(20, dtype=torch.bool), sets=sets).maps
    assert maps is not None
    assert torch.isfinite(torch.view_as_real(maps)).all()
    if not scale:
        assert not maps.any()


@pytest.mark.parametrize("scale", [1e-20, 1e20])
def test_the_scale_does_not_count(scale: float) -> None:
    kspace = scanned(4, (32, 32))[3]
    mask = centre_mask(32, 14)
    first, second = estimate(kspace * mask, mask).maps, estimate(kspace * mask * scale, mask).maps
    assert first is not None
    assert second is not None
    torch.testing.assert_close(first, second, atol=1e-2, rtol=0)


def test_maps_are_the_same_twice() -> None:
    kspace, mask = scanned(4, (40, 40))[3], centre_mask(40, 14)
    first, second = estimate(kspace, mask).maps, estimate(kspace, mask).maps
    assert first is not None
    assert second is not None
    assert torch.equal(first, second)


@pytest.mark.parametrize("count", [8, 9, 10, 15])
def test_few_lines_leave_the_object_whole(count: int) -> None:
    _, inside, images, kspace = scanned(6, (64, 80), noise=1e-3)
    mask = centre_mask(80, count)
    maps = estimate(kspace * mask, mask).maps
    assert maps is not None
    assert (maps != 0).any(1).any(0)[inside].float().mean() > 0.99
    assert left_over(maps, images) < 0.1
