"""The intensity scale, estimated from what was measured."""

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from stores import make_store

from unimri.core.errors import UnimriError
from unimri.data.store import PreparedData
from unimri.deploy.estimates import estimated_scale, scale_factor
from unimri.physics.masks import Masks

VOLUMES = {
    "aa": ("p1", "train", 20),
    "bb": ("p2", "train", 1),
    "cc": ("p2", "train", 3),
    "dd": ("p3", "validation", 4),
}


def zero_filled(slices: np.ndarray, kept: np.ndarray) -> np.ndarray:
    """By numpy; `kept` is (slices or 1, N) of the last axis."""
    axes = (-2, -1)
    kspace = np.fft.fftshift(np.fft.fft2(np.fft.ifftshift(slices.astype(float), axes)), axes) * kept[:, None, :]
    return np.abs(np.fft.fftshift(np.fft.ifft2(np.fft.ifftshift(kspace, axes)), axes))


@given(factor=st.floats(0.1, 10), scale=st.floats(1e-3, 1e6))
def test_it_is_that_of_the_brightest_pixel_of_each_coil(factor: float, scale: float) -> None:
    images = torch.zeros(3, 3, 4, 5, dtype=torch.complex64)
    images[1, 0, 2, 3] = scale * (3 - 4j)
    images[2, 1, 0, 0] = -scale
    found = estimated_scale(images.abs().amax((0, 2, 3)), factor)
    assert found.shape == (3, 1, 1)
    # The third coil has measured nothing.
    assert found[:, 0, 0].tolist() == pytest.approx([5 * scale * factor, scale * factor, 1], rel=1e-5)


@pytest.mark.parametrize("bank", [1, 7])
def test_the_factor_is_the_upper_quartile_over_training_volumes(tmp_path: Path, bank: int) -> None:
    data = PreparedData(make_store(tmp_path, "hip", VOLUMES))
    kept = np.random.default_rng(0).random((bank, 32)) < 0.2
    kept[:, 15:18] = True
    slices = data.split("train")
    truth = slices.batch(np.arange(len(slices)))
    images = zero_filled(truth, kept[np.arange(len(slices)) % bank])
    ratios = [truth[part].max() / images[part].max() for part in np.split(np.arange(24), [20, 21])]
    assert len({round(ratio, 3) for ratio in ratios}) == 3
    assert scale_factor(data, Masks(kept, 4, "columns")) == pytest.approx(sum(sorted(ratios)[1:]) / 2, rel=1e-4)


def test_a_mask_of_another_size_estimates_nothing(tmp_path: Path) -> None:
    kept = np.ones((1, 32), dtype=bool)
    data = PreparedData(make_store(tmp_path, "hip", VOLUMES))
    with pytest.raises(UnimriError, match="the mask is for 16 pixels"):
        scale_factor(data, Masks(kept[:, :16], 4, "columns"))
