import numpy as np
import pytest
import torch

from unimri.physics.fourier import enforce_consistency, from_hybrid, lines, to_hybrid, to_image, to_kspace, undersample


def images(size: int = 12) -> torch.Tensor:
    return torch.randn(3, size, size, dtype=torch.complex128, generator=torch.Generator().manual_seed(1))


def test_to_kspace_is_numpys_centred_orthonormal_transform() -> None:
    image = images()
    expected = np.fft.fftshift(np.fft.fft2(np.fft.ifftshift(image.numpy(), axes=(-2, -1)), norm="ortho"), axes=(-2, -1))
    np.testing.assert_allclose(to_kspace(image).numpy(), expected, atol=1e-12)


@pytest.mark.parametrize("size", [8, 9])
def test_transforms_keep_the_norm_and_invert(size: int) -> None:
    image = images(size)
    for forward, inverse in [
        (to_kspace, to_image),
        *((lambda x, a=a: to_hybrid(x, a), lambda x, a=a: from_hybrid(x, a)) for a in (-1, -2)),
    ]:
        assert torch.linalg.vector_norm(forward(image)).item() == pytest.approx(torch.linalg.vector_norm(image).item())
        torch.testing.assert_close(inverse(forward(image)), image)


def test_the_inverse_is_the_adjoint() -> None:
    one, other = images(), images().flip(0) * 1j
    assert torch.vdot(to_kspace(one).flatten(), other.flatten()).item() == pytest.approx(
        torch.vdot(one.flatten(), to_image(other).flatten()).item()
    )


@pytest.mark.parametrize(
    ("axis", "keep"), [(-1, (slice(None), slice(None), [2, 6, 7])), (-2, (slice(None), [2, 6, 7]))]
)
def test_hybrid_undersampling_is_the_centred_2d_one(axis: int, keep: tuple[object, ...]) -> None:
    image = images().real
    mask = torch.zeros(1, 12, dtype=torch.bool)
    mask[0, [2, 6, 7]] = True
    kspace = to_kspace(image)
    kept = torch.zeros_like(kspace)
    kept[keep] = kspace[keep]
    zero_filled, _ = undersample(image, lines(mask, axis), axis)
    torch.testing.assert_close(zero_filled, to_image(kept))


def test_consistency_puts_measured_lines_back_and_leaves_the_others() -> None:
    image, estimate = images(), images().flip(1)
    mask = torch.rand(3, 12, generator=torch.Generator().manual_seed(2)) < 0.3
    sampled = lines(mask, -1)
    _, measured = undersample(image, sampled, -1)
    result = to_hybrid(enforce_consistency(estimate, measured, sampled, -1), -1)
    expected = torch.where(sampled, to_hybrid(image, -1), to_hybrid(estimate, -1))
    torch.testing.assert_close(result, expected)
