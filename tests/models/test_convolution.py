"""Large slices are convolved by strips of rows, and nobody can tell."""

import pytest
import torch
from torch import nn

from unimri.models import convolution
from unimri.models.convolution import convolve


@pytest.mark.parametrize(
    "options",
    [
        {"kernel_size": 3, "padding": 1},
        {"kernel_size": (5, 3), "padding": (4, 1), "dilation": (2, 1)},
        {"kernel_size": 1},
        {"kernel_size": 3, "padding": 1, "groups": 2},
        # Of another size than the image: at once.
        {"kernel_size": 3, "padding": 1, "stride": 2},
        {"kernel_size": 3},
        {"kernel_size": 3, "padding": "same"},
    ],
)
@pytest.mark.parametrize("height", [1, 5, 23])
def test_strips_give_what_one_convolution_gives(options: dict, height: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(convolution, "_LARGE", 8 * 2 * 4 * 6 * 11 * 4)  # four rows a strip
    torch.manual_seed(1)
    layer = nn.Conv2d(4, 6, **options)
    if height < 3 and not layer.padding[0] and layer.kernel_size[0] > 1:
        pytest.skip("no result")
    image = torch.randn(2, 4, height, 11).to(memory_format=torch.channels_last)
    for bias in (None, layer.bias):
        wanted = nn.functional.conv2d(
            image, layer.weight, bias, layer.stride, layer.padding, layer.dilation, layer.groups
        )
        with torch.no_grad():
            found = convolve(image, layer, bias)
        torch.testing.assert_close(found, wanted, atol=1e-6, rtol=1e-6)
    # Training keeps what gradients need.
    assert convolve(image, layer, layer.bias).requires_grad
