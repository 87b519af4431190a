"""What is drawn for slices of which only the magnitude is known: coils, phase, noise, patches and masks."""

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from unimri.physics.coils import draw_measurement, draw_phase, draw_sensitivities, draw_tissues
from unimri.physics.drawing import AcquisitionSettings, cut, draw_masks
from unimri.physics.fourier import combine_coils, from_hybrid, lines, to_hybrid
from unimri.physics.masks import FastMRIEquispaced, Gaussian1D
from unimri.physics.masks import draw_masks as masks_of

KEYS = [[3, 0], [3, 1], [3, 2]]


def slices(size: int = 24) -> np.ndarray:
    rows, columns = np.mgrid[-1 : 1 : size * 1j, -1 : 1 : size * 1j]
    inside = (rows**2 + columns**2 < 0.4).astype(np.float32)
    return np.stack([inside * level for level in (0.3, 0.6, 1.0)]).astype(np.float32)


def sampled(size: int = 24) -> torch.Tensor:
    return lines(torch.from_numpy(masks_of(FastMRIEquispaced(centre_fraction=0.2), size, 2.5).masks), -1)


@pytest.mark.parametrize("coils", [1, 2, 7, 32])
def test_sensitivities_are_smooth_and_have_the_norm_one(coils: int) -> None:
    maps = draw_sensitivities(np.random.default_rng(3), coils, (31, 40))
    torch.testing.assert_close(maps.abs().square().sum(0), torch.ones(31, 40))
    assert (maps[:, 1:] - maps[:, :-1]).abs().max() < 0.6
    assert torch.equal(maps, draw_sensitivities(np.random.default_rng(3), coils, (31, 40)))


def test_phase_has_its_strength() -> None:
    phase = draw_phase(np.random.default_rng(1), (33, 20), 2, 0.7)
    assert float(phase.square().mean().sqrt()) == pytest.approx(0.7, rel=1e-4)
    assert float(draw_phase(np.random.default_rng(1), (8, 8), 3, 0.0).abs().max()) == 0


def test_without_anything_it_is_the_papers_acquisition() -> None:
    truth = torch.from_numpy(slices())
    found, given = draw_measurement(AcquisitionSettings(), truth, sampled(), -1, KEYS, 1)
    torch.testing.assert_close(found, truth.to(torch.complex64))
    torch.testing.assert_close(given.kspace, to_hybrid(truth, -1) * sampled())
    assert given.sensitivities is None
    assert given.noise is not None
    assert not given.noise.any()


@pytest.mark.parametrize("axis", [-1, -2])
def test_coils_measure_the_truth(axis: int) -> None:
    settings = AcquisitionSettings(coils=[5], phase=2)
    every = torch.ones_like(sampled() if axis == -1 else sampled().transpose(-1, -2))
    truth = torch.from_numpy(slices())
    found, given = draw_measurement(settings, truth, every, axis, KEYS, 5)
    images = from_hybrid(given.kspace, axis)
    maps = given.sensitivities
    assert maps is not None
    torch.testing.assert_close(images, maps[:, 0] * found, atol=1e-5, rtol=1e-4)
    seen = (maps != 0).any(2)[:, 0]
    torch.testing.assert_close(combine_coils(images), truth * seen, atol=1e-5, rtol=1e-4)
    # The object is seen, and some slice's background is not.
    assert seen[truth > 0].all()
    assert not seen.all()
    # It has a phase, and no constant one of what was zero filled.
    assert found.angle().abs().max() > 0.1
    whole = (given.zero_filled.abs() * given.zero_filled).sum((-2, -1))
    torch.testing.assert_close(whole.angle(), torch.zeros(3, 1), atol=1e-4, rtol=0)


def test_noise_has_its_deviation_on_sampled_lines_alone() -> None:
    settings, truth = AcquisitionSettings(coils=[8], noise=0.0), torch.zeros(3, 24, 24)
    _, given = draw_measurement(settings, truth, sampled(), -1, KEYS, 8, 0.2)
    kept = sampled().unsqueeze(1).expand_as(given.kspace)
    parts = torch.view_as_real(given.kspace[kept])
    assert float(parts.std()) == pytest.approx(0.2, rel=0.05)
    assert not given.kspace[~kept].any()
    torch.testing.assert_close(given.noise, torch.full((3,), 0.2))


@pytest.mark.parametrize("coils", [1, 4])
def test_a_measured_truth_is_what_all_lines_would_give(coils: int) -> None:
    settings = AcquisitionSettings(coils=[coils], phase=1, noise=0.2)
    measured = settings.model_copy(update={"truth": "measured"})
    slice_, every = torch.from_numpy(slices()), torch.ones_like(sampled())
    without, given = draw_measurement(settings, slice_, sampled(), -1, KEYS, coils)
    found, same = draw_measurement(measured, slice_, sampled(), -1, KEYS, coils)
    assert torch.equal(given.kspace, same.kspace)
    # The same draws with every line sampled: the noise that the truth has is the measurement's own.
    _, whole = draw_measurement(measured, slice_, every, -1, KEYS, coils)
    torch.testing.assert_close(found.abs(), whole.zero_filled.abs(), atol=1e-5, rtol=1e-4)
    assert given.noise is not None
    seen = torch.ones_like(found.real) if given.sensitivities is None else (given.sensitivities != 0).any(2)
    noise = torch.view_as_real((found - without)[seen > 0]).square().mean()
    expected = (given.noise.square().reshape(3, *[1] * (found.ndim - 1)) * seen).sum() / seen.sum()
    assert float(noise) == pytest.approx(float(expected), rel=0.15)


def test_a_slices_draws_follow_from_its_key_alone() -> None:
    settings = AcquisitionSettings(coils=[4], phase=1, noise=0.05)
    truth = torch.from_numpy(slices())
    _, together = draw_measurement(settings, truth, sampled(), -1, KEYS, 4)
    _, alone = draw_measurement(settings, truth[1:2], sampled(), -1, KEYS[1:2], 4)
    assert torch.equal(together.kspace[1:2], alone.kspace)
    _, other = draw_measurement(settings, truth[1:2], sampled(), -1, [[4, 1]], 4)
    assert not torch.equal(other.kspace, alone.kspace)


def test_patches_are_parts_of_the_slice_turned_or_halved() -> None:
    settings = AcquisitionSettings(patch=12, masks=[Gaussian1D()])
    rng = np.random.default_rng(0)
    volume = rng.random((40, 24, 24), dtype=np.float32)
    patches = cut(settings, volume, [[1, number] for number in range(40)])
    assert patches.shape == (40, 12, 12)
    whole = halved = 0
    for slice_, patch in zip(volume, patches, strict=True):
        half = slice_.reshape(12, 2, 12, 2).mean((1, 3))
        forms = [np.rot90(own, turns) for own in (patch, patch.T) for turns in range(4)]
        halved += any(np.allclose(half, own) for own in forms)
        windows = np.lib.stride_tricks.sliding_window_view(slice_, (12, 12)).reshape(-1, 144)
        whole += any((windows == own.reshape(-1)).all(1).any() for own in forms)
    assert whole + halved == 40
    assert 8 < halved < 32


def test_a_patch_is_not_of_the_background_where_there_is_anything_else() -> None:
    volume = np.zeros((30, 64, 64), np.float32)
    volume[:, 20:50, 20:50] = 1
    settings = AcquisitionSettings(patch=16, masks=[Gaussian1D()])
    patches = cut(settings, volume, [[number] for number in range(30)])
    assert (patches.mean((1, 2)) > 0.03).mean() > 0.9
    assert np.isfinite(cut(settings, np.zeros((1, 64, 64), np.float32), [[0]])).all()


def test_masks_are_of_the_accelerations_and_kinds_asked_for() -> None:
    settings = AcquisitionSettings(masks=[FastMRIEquispaced(), Gaussian1D(sigma=0.3)], accelerations=(2, 8))
    drawn = draw_masks(settings, 240, [[number] for number in range(60)])
    rates = 240 / drawn.sum(1)
    assert drawn.shape == (60, 240)
    assert 1.9 < rates.min() < 3 < 6 < rates.max() < 8.4
    full = drawn[:, 111:129].all(1)
    assert 10 < full.sum() < 50


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"accelerations": (8, 2)}, "give the smaller one first"),
        ({"patch": 32}, "name their kinds"),
        ({"coils": []}, "at least 1"),
        ({"coils": [65]}, "less than or equal to 64"),
        ({"noise": -1}, "greater than or equal to 0"),
    ],
)
def test_settings_that_cannot_be_meant(settings: dict[str, object], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        AcquisitionSettings.model_validate(settings)


def test_tissues_have_two_phases_and_the_same_magnitude() -> None:
    truth = torch.from_numpy(slices())
    phase = draw_tissues(np.random.default_rng(0), truth[0], 2.0)
    assert 0 <= float(phase.min()) < 0.2
    assert 1.8 < float(phase.max()) <= 2.0
    without, with_tissues = (
        draw_measurement(AcquisitionSettings(phase=1, tissues=most), truth, sampled(), -1, KEYS, 1) for most in (0, 3)
    )
    torch.testing.assert_close(without[0].abs(), with_tissues[0].abs(), atol=1e-6, rtol=1e-5)
    assert (without[0] - with_tissues[0]).abs().max() > 0.1
    assert not draw_tissues(np.random.default_rng(0), torch.zeros(8, 8), 2.0).any()
