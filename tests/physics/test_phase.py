"""The constant phase of images."""

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from unimri.physics.phase import constant_phase


def images(seed: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(2, 3, 8, 9, dtype=torch.complex64, generator=generator)


@given(angle=st.floats(-10, 10), scale=st.floats(1e-6, 1e6), seed=st.integers(0, 99))
def test_it_turns_with_the_image_and_has_no_scale(angle: float, scale: float, seed: int) -> None:
    # Noise alone can have a sum of nearly nothing.
    body = images(seed) + 2
    found = constant_phase(body)
    assert found.shape == (2, 3, 1, 1)
    turned = constant_phase(body * (scale * np.exp(1j * angle)))
    torch.testing.assert_close(turned, (found * np.exp(1j * angle)).to(torch.complex64), atol=2e-5, rtol=0)
    torch.testing.assert_close(found.abs(), torch.ones(2, 3, 1, 1))


def test_bright_pixels_decide_and_an_empty_image_has_none() -> None:
    image = torch.zeros(2, 4, 4, dtype=torch.complex64)
    image[0, 0, 0], image[0, 1] = 3j, 0.5
    expected = 9j + 4 * 0.25
    found = constant_phase(image).flatten().tolist()
    assert abs(found[0] - expected / abs(expected)) < 1e-6
    assert found[1] == 1


def test_a_magnitude_has_none() -> None:
    assert (constant_phase(images(0).abs().to(torch.complex64)) == 1).all()
