"""K-space of several coils through the front door: with sensitivities from its calibration lines, or coil by coil."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

import unimri
from unimri.deploy.model import Model
from unimri.models.settings import CascadeSettings
from unimri.physics.acquisition import acquisition
from unimri.physics.coils import draw_phase, draw_sensitivities
from unimri.physics.fourier import combine_coils, to_kspace

SLICES, COILS, ROWS, COLUMNS = 2, 6, 48, 40


@pytest.fixture
def model(model_of: Callable[[CascadeSettings], Path]) -> Model:
    """Starts as the identity: what it gives is CG-SENSE's."""
    consistency = {"weight": 0.01, "steps": 12}
    settings = CascadeSettings.model_validate(
        {"cascades": 2, "convolutions": 3, "width": 4, "consistency": consistency}
    )
    return unimri.load(model_of(settings))


@pytest.fixture
def scan() -> tuple[NDArray[np.complex64], NDArray[np.float32]]:
    """K-space of a disc with structure, a phase and six coils; and its magnitude."""
    rng = np.random.default_rng(2)
    rows, columns = np.mgrid[-1 : 1 : ROWS * 1j, -1 : 1 : COLUMNS * 1j]
    inside = rows**2 + columns**2 < 0.6
    truth = np.stack([inside * (1 + 0.5 * np.sin(9 * rows + number) * np.cos(7 * columns)) for number in range(SLICES)])
    maps = draw_sensitivities(rng, COILS, (ROWS, COLUMNS))
    images = torch.from_numpy(truth).float() * torch.exp(1j * draw_phase(rng, (ROWS, COLUMNS), 2, 1.0))
    kspace = to_kspace(images[:, None] * maps * 900).numpy()
    return kspace, (truth * 900).astype(np.float32)


def mask(length: int, calibration: int) -> NDArray[np.bool_]:
    kept = np.zeros(length, bool)
    kept[::3] = True
    first = length // 2 - calibration // 2
    kept[first - 3 : first + calibration + 3] = False
    kept[first : first + calibration] = True
    return kept


def error(image: NDArray[np.float32], truth: NDArray[np.float32]) -> float:
    return float(np.linalg.norm(image - truth) / np.linalg.norm(truth))


def test_coils_unfold_points(model: Model, scan) -> None:
    kspace, truth = scan
    rng = np.random.default_rng(5)
    points = rng.random((ROWS, COLUMNS)) < 0.25
    points[ROWS // 2 - 6 : ROWS // 2 + 6, COLUMNS // 2 - 5 : COLUMNS // 2 + 5] = True
    given = kspace * points
    expected = model.reconstruct(given, points, "brain")
    assert error(expected, truth) < 0.06 < 0.15 < error(model.zero_fill(given), truth)
    # Zeros tell the mask, and a constant phase means nothing.
    found = model.reconstruct(given * np.complex64(1j), None, "brain")
    np.testing.assert_allclose(found, expected, atol=1e-4 * expected.max())
    known = acquisition(given, None, None, "columns")
    prepared = model.prepare_volume(known, "brain")
    assert prepared.coil_by_coil == ""
    assert "points of k-space (trained: whole lines)" in model.outside(known, prepared)
    assert model.noise_map(given, points, "brain", replicas=2).shape == truth.shape
    # Without a block around DC.
    points[ROWS // 2, COLUMNS // 2 + 2 :] = points[ROWS // 2 + 2 :, COLUMNS // 2] = False
    points[ROWS // 2 - 2, COLUMNS // 2] = points[ROWS // 2, COLUMNS // 2 - 2] = False
    alone = model.prepare_volume(acquisition(kspace * points, None, None, "columns"), "brain")
    assert alone.coil_by_coil == "3 x 3 calibration points were measured and 8 x 8 are needed: coil by coil"
    for coil in (0, 3):
        one = model.reconstruct(kspace[:, coil] * points, points, "brain", magnitude=False)
        np.testing.assert_allclose(
            to_kspace(torch.from_numpy(one)).numpy()[:, points], kspace[:, coil][:, points], atol=30
        )


@pytest.mark.parametrize("axis", ["columns", "rows"])
def test_coils_unfold_what_zero_filling_leaves(model: Model, scan, axis: str) -> None:
    kspace, truth = scan
    kept = mask(COLUMNS if axis == "columns" else ROWS, 12)
    lines = kept if axis == "columns" else kept[:, None]
    given = kspace * lines
    found = model.reconstruct(given, kept, "brain", axis)
    assert found.shape == truth.shape
    assert error(found, truth) < 0.05 < 0.1 < error(model.zero_fill(given), truth)


def test_a_constant_phase_means_nothing(model: Model, scan) -> None:
    kspace, _ = scan
    kept = mask(COLUMNS, 12)
    expected = model.reconstruct(kspace * kept, kept, "brain")
    for angle in (0.3, 1.6, 3.0):
        turned = model.reconstruct(kspace * kept * np.complex64(np.exp(1j * angle)), kept, "brain")
        np.testing.assert_allclose(turned, expected, atol=1e-4 * expected.max())


def test_the_scale_of_k_space_is_the_images(model: Model, scan) -> None:
    kspace, _ = scan
    kept = mask(COLUMNS, 12)
    expected = model.reconstruct(kspace * kept, kept, "brain")
    found = model.reconstruct(kspace * kept * np.float32(1e-5), kept, "brain") * 1e5
    np.testing.assert_allclose(found, expected, atol=1e-3 * expected.max())


def test_too_few_calibration_lines_are_said_and_coils_are_images_of_their_own(model: Model, scan) -> None:
    kspace, _ = scan
    kept = mask(COLUMNS, 4)
    found = model.reconstruct_volume(acquisition(kspace * kept, kept, "columns", "columns"), "brain")
    assert found.coil_by_coil == "4 calibration lines were measured and 8 are needed: coil by coil"
    assert found.images.shape == kspace.shape
    alone = [model.reconstruct(kspace[:, coil] * kept, kept, "brain") for coil in range(COILS)]
    together = combine_coils(found.images).numpy()
    expected = np.sqrt(np.square(np.stack(alone), dtype=np.float64).sum(0))
    np.testing.assert_allclose(together, expected, atol=1e-3 * together.max())


def test_complex_images_are_combined_ones(model: Model, scan) -> None:
    kspace, truth = scan
    kept = mask(COLUMNS, 12)
    found = model.reconstruct(kspace * kept, kept, "brain", magnitude=False)
    assert found.shape == (SLICES, 1, ROWS, COLUMNS)
    assert error(np.abs(found[:, 0]), truth) < 0.05
    assert np.abs(np.angle(found[:, 0][truth > 90])).max() > 0.5


def test_masks_of_slices_may_differ(model: Model, scan) -> None:
    kspace, truth = scan
    both = np.stack([mask(COLUMNS, 12), np.roll(mask(COLUMNS, 12), 0) | (np.arange(COLUMNS) % 5 == 0)])
    found = model.reconstruct(kspace * both[:, None, None], both, "brain")
    assert error(found, truth) < 0.05


def test_a_scan_unlike_those_of_training_is_told(model: Model, scan) -> None:
    kspace, _ = scan
    # What sharp edges leave at the ends of k-space would be taken for noise.
    rows, columns = np.mgrid[-1 : 1 : ROWS * 1j, -1 : 1 : COLUMNS * 1j]
    kspace = kspace * np.exp(-4 * (rows**2 + columns**2)).astype(np.float32)

    def told(kept: NDArray[np.bool_], samples: NDArray[np.complex64] = kspace) -> str:
        given = acquisition(samples * kept, kept, "columns", "columns")
        return model.outside(given, model.prepare_volume(given, "brain"))

    # Trained on one coil at 4x, 32 x 32 pixels, without noise.
    near = (np.arange(COLUMNS) % 4 == 0) | (np.abs(np.arange(COLUMNS) - COLUMNS // 2) < 2)
    assert told(near, kspace[:, :1]) == ""
    assert told(mask(COLUMNS, 12), kspace[:, :1]) == (
        "unlike what the model was trained on: acceleration 2.00x (trained: 4x)"
    )
    assert "6 coils together (trained: one)" in told(mask(COLUMNS, 12))
    rng = np.random.default_rng(0)
    parts = rng.standard_normal((*kspace.shape, 2)).astype(np.float32) * 20
    assert "noise of 2." in told(near, (kspace + parts.view(np.complex64)[..., 0])[:, :1])
    model.description = model.description.model_copy(update={"image_size": 16})
    assert "48 x 40 pixels (trained: 16 x 16)" in told(near, kspace[:, :1])
    drawn = {"masks": [{}], "accelerations": [2, 8], "coils": [1, 8], "noise": 0.05}
    wide = {"image_size": 32, "settings": model.description.settings | {"acquisition": drawn}}
    model.description = model.description.model_copy(update=wide)
    assert told(mask(COLUMNS, 12)) == ""


def test_noise_maps_tell_what_undersampling_costs(model: Model, scan) -> None:
    kspace, truth = scan
    noisy = (
        kspace + np.random.default_rng(4).normal(0, 3, (*kspace.shape, 2)).astype(np.float32).view(np.complex64)[..., 0]
    )
    inside = truth > 400
    # All lines: the weight of what a block gives takes 1 of 101 parts of the noise.
    whole = model.noise_map(noisy, np.ones(COLUMNS, bool), "brain", replicas=60)
    assert whole.shape == truth.shape
    assert whole.dtype == np.float32
    assert whole[inside].mean() == pytest.approx(1 / 1.01, rel=0.03)
    kept = mask(COLUMNS, 12)
    unfolded = model.noise_map(noisy * kept, kept, "brain", replicas=20)
    assert 1.3 < unfolded[inside].mean() < 4
    # Coil by coil nothing is unfolded: there is as much noise as there are lines.
    few = mask(COLUMNS, 4)
    alone = model.noise_map(noisy * few, few, "brain", replicas=20)
    assert alone[inside].mean() == pytest.approx(few.mean(), rel=0.15)
