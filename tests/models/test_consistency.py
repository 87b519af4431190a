"""Data consistency of a network: hard, soft, learnt, and of several coils."""

import json

import pytest
import torch
from pydantic import ValidationError
from torch import Tensor

from unimri.models.cascade import D5C5
from unimri.models.folder import base_tensors, load_model, save_base
from unimri.models.settings import CascadeSettings, ConsistencySettings
from unimri.physics.coils import draw_measurement
from unimri.physics.drawing import AcquisitionSettings
from unimri.physics.fourier import lines, to_hybrid
from unimri.physics.sense import Encoding, Measurement, solve

LEARNT = ConsistencySettings(weight=0.1, error=0.05, learnt=True, steps=4)


def network(consistency: ConsistencySettings, **settings: object) -> D5C5:
    torch.manual_seed(0)
    small = {"width": 4, "cascades": 2, "last_convolution": "default", "consistency": consistency}
    return D5C5(CascadeSettings.model_validate(small | settings))


def given(coils: int = 1, noise: float = 0.0) -> Measurement:
    sampled = lines(torch.arange(16)[None] % 3 == 2, -1)
    slices = torch.rand(2, 16, 16, generator=torch.Generator().manual_seed(1))
    _, measured = draw_measurement(AcquisitionSettings(phase=0.5), slices, sampled, -1, [[1], [2]], coils, noise)
    return measured


def test_without_weight_nothing_is_learnt_and_lines_are_the_measured_ones() -> None:
    hard = network(ConsistencySettings())
    assert not list(hard.consistency.parameters())
    measured = given(noise=0.1)
    image, _ = hard.reconstruct(measured)
    kept = measured.sampled.expand_as(measured.kspace)
    torch.testing.assert_close(to_hybrid(image, -1)[kept], measured.kspace[kept], atol=1e-5, rtol=1e-5)
    # A weight that is all but zero is no weight.
    nearly = network(ConsistencySettings(weight=1e-9))
    torch.testing.assert_close(nearly.reconstruct(measured)[0], image, atol=1e-5, rtol=1e-4)


def test_lambda_grows_with_the_noise() -> None:
    known = network(ConsistencySettings(weight=0.1, error=0.05)).consistency
    noise = torch.tensor([0.0, 0.05, 0.1])
    torch.testing.assert_close(known.lambda_of(0, noise), torch.tensor([0.1, 1.1, 4.1]))
    torch.testing.assert_close(known.lambda_of(0, None), torch.tensor([0.1]))
    assert network(ConsistencySettings()).consistency.lambda_of(0, noise) is None


def test_each_cascade_learns_its_own() -> None:
    learning = network(LEARNT)
    assert learning.consistency.weight is not None
    assert learning.consistency.error is not None
    for number, coils in enumerate((1, 3)):
        learning.zero_grad()
        image, _ = learning.reconstruct(given(coils, 0.1))
        image.abs().square().sum().backward()
        weight, error = learning.consistency.weight.grad, learning.consistency.error.grad
        assert weight is not None
        assert error is not None
        assert weight.all()
        # What noise of one coil means says nothing of several.
        assert error[number].all()
        assert not error[1 - number].any()


def test_the_last_cascade_solves_for_all_coils() -> None:
    one = network(ConsistencySettings(weight=0.2, steps=40), cascades=1)
    measured = given(3)
    assert measured.sensitivities is not None
    encoding = Encoding(measured.sampled, -1, measured.sensitivities)
    weight = torch.tensor([0.2])
    start = solve(encoding, measured.zero_filled, torch.zeros_like(measured.zero_filled), weight, 40)
    refined: Tensor
    channels = torch.view_as_real(start[:, 0]).permute(0, 3, 1, 2)
    refined, _ = one.blocks[0](channels, one.conditioning.of(None).of_cascade(0), None)
    image = torch.view_as_complex(refined.permute(0, 2, 3, 1).contiguous())[:, None] * encoding.support
    expected = solve(encoding, measured.zero_filled, image, weight, 40)
    torch.testing.assert_close(one.reconstruct(measured)[0], expected, atol=1e-5, rtol=1e-4)


def test_where_no_coil_sees_anything_there_is_nothing() -> None:
    measured = given(3)
    maps = measured.sensitivities
    assert maps is not None
    dark = maps.clone()
    dark[..., :, :5] = 0
    encoding = Encoding(measured.sampled, -1, dark)
    seen = measured._replace(zero_filled=encoding.adjoint(measured.kspace), sensitivities=dark)
    image, _ = network(LEARNT).reconstruct(seen)
    assert not image[..., :5].any()
    assert image[..., 5:].any()


def test_two_sets_are_two_images() -> None:
    measured = given(4)
    maps = measured.sensitivities
    assert maps is not None
    both = torch.cat([maps, maps.flip(2)], 1)
    encoding = Encoding(measured.sampled, -1, both)
    wide = measured._replace(zero_filled=encoding.adjoint(measured.kspace), sensitivities=both)
    image, activations = network(LEARNT).reconstruct(wide, layer=3)
    assert image.shape == (2, 2, 16, 16)
    assert [own.shape for own in activations] == [(4, 4, 16, 16)] * 2


def test_what_is_learnt_is_in_the_bases_file(tmp_path) -> None:
    learning = network(LEARNT)
    with torch.no_grad():
        for parameter in learning.consistency.parameters():
            parameter.uniform_()
    assert {"consistency.weight", "consistency.error"} <= set(base_tensors(learning))
    save_base(learning, tmp_path)
    about = {"network": learning.settings.model_dump(), "conditioning": "none"}
    (tmp_path / "model.json").write_text(json.dumps(about))
    read = load_model(tmp_path)
    for name, parameter in learning.consistency.named_parameters():
        assert torch.equal(read.consistency.get_parameter(name), parameter)


def test_a_weight_of_zero_cannot_be_learnt() -> None:
    with pytest.raises(ValidationError, match="weight must be above 0 to be learnt"):
        ConsistencySettings(learnt=True)
