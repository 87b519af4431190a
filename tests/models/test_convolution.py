"""Large slices are convolved by strips of rows, and nobody can tell."""

import pytest
import torch
from torch import nn

from unimri.models import convolution
from unimri.models.cascade import D5C5
from unimri.models.convolution import convolve
from unimri.models.settings import CascadeSettings
from unimri.physics.fourier import lines, undersample


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
        # Its input is as it was.
        torch.testing.assert_close(convolve(image, layer, bias), wanted, atol=1e-6, rtol=1e-6)
    # Training keeps what gradients need.
    assert convolve(image, layer, layer.bias).requires_grad


@pytest.mark.parametrize("height", [4, 5, 23])
@pytest.mark.parametrize("options", [{"kernel_size": 3, "padding": 1}, {"kernel_size": 5, "padding": 4, "dilation": 2}])
def test_an_image_can_give_its_memory(options: dict, height: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(convolution, "_LARGE", 1000)  # one row a strip, or as many as the halo
    torch.manual_seed(1)
    layer = nn.Conv2d(4, 4, **options)
    image = torch.randn(2, 4, height, 11).to(memory_format=torch.channels_last)
    with torch.no_grad():
        wanted = layer(image)
        found = convolve(image, layer, layer.bias, overwrite=True)
    torch.testing.assert_close(found, wanted, atol=1e-6, rtol=1e-6)
    assert found.data_ptr() == image.data_ptr()


@pytest.mark.parametrize("wanted", [None, 1, 3, 5])
@pytest.mark.parametrize("conditioning", ["aspin", "none"])
def test_a_network_gives_the_same_by_strips(
    conditioning: str, wanted: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(1)
    settings = CascadeSettings(cascades=2, width=4, last_convolution="default")
    network = D5C5(settings, conditioning, ["brain"] if conditioning == "aspin" else ())
    sampled = lines(torch.rand(1, 12) < 0.5, -1)
    given = (*undersample(torch.rand(2, 23, 12), sampled, -1), sampled, -1, "brain", wanted)
    with torch.no_grad():
        image, activations = network(*given)
        monkeypatch.setattr(convolution, "_LARGE", 8 * 2 * 4 * 12 * 4)
        again, others = network(*given)
    torch.testing.assert_close(again, image, atol=1e-5, rtol=1e-5)
    assert len(others) == (0 if wanted is None else 2)
    for one, other in zip(activations, others, strict=True):
        torch.testing.assert_close(other, one, atol=1e-4, rtol=1e-4)
