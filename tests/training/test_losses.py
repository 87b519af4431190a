import numpy as np
import pytest
import torch

from unimri.training.distillation import attention_map, attention_transfer
from unimri.training.steps import mean_absolute_error


def test_attention_transfer_is_eq_4_summed_over_cascades_and_averaged_over_the_batch() -> None:
    rng = np.random.default_rng(0)
    teacher, student = (rng.normal(size=(2, 3, 4, 5, 6)) for _ in range(2))  # cascades, batch, channels, H, W
    expected = 0.0
    for cascade in range(2):
        for sample in range(3):
            maps = [(side[cascade, sample] ** 2).sum(0).ravel() for side in (teacher, student)]
            first, second = (m / np.sqrt((m**2).sum()) for m in maps)
            expected += np.abs(first - second).sum() / 3
    result = attention_transfer([torch.tensor(t) for t in teacher], [torch.tensor(s) for s in student])
    assert result.item() == pytest.approx(expected, rel=1e-5)


def test_attention_maps_gradients() -> None:
    activation = torch.randn(2, 3, 4, 5, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(attention_map, [activation])


def test_attention_transfer_has_a_signal_for_a_single_sample() -> None:
    assert attention_transfer([torch.rand(1, 2, 4, 4)], [torch.rand(1, 2, 4, 4)]).item() > 0


def test_mean_absolute_error_counts_both_channels() -> None:
    image = torch.complex(torch.full((1, 2, 2), 0.5), torch.full((1, 2, 2), -0.25))
    assert mean_absolute_error(image, torch.zeros(1, 2, 2)).item() == pytest.approx(0.375)
