"""What every conditioning does alike, and what those that know anatomies do beside that."""

import pytest
import torch

from unimri.core.errors import UnimriError
from unimri.models.cascade import D5C5
from unimri.models.folder import base_tensors
from unimri.models.registry import build_conditioning, conditionings
from unimri.models.settings import CascadeSettings

SETTINGS = CascadeSettings(cascades=2, convolutions=3, width=4)
KINDS = {name: build_conditioning(name, SETTINGS, ["brain"]) for name in conditionings()}
ADAPTABLE = [name for name, built in KINDS.items() if built.adaptable]


def test_they_are_found_by_their_modules() -> None:
    assert conditionings() == ["aspin", "film", "instance_norm", "none"]
    assert {name: built.name for name, built in KINDS.items()} == {name: name for name in KINDS}
    assert ADAPTABLE == ["aspin", "film"]
    with pytest.raises(ValueError, match="conditioning 'other' is unknown; allowed: aspin, film, instance_norm, none"):
        D5C5(SETTINGS, "other")


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("layer", [0, 1])
def test_an_activation_is_rectified_and_of_the_features_shape(name: str, layer: int) -> None:
    convolution = torch.nn.Conv2d(2, 4, 3, padding=1)
    activation = KINDS[name].of("brain").of_cascade(1)(layer, convolution, torch.randn(3, 2, 5, 7))
    assert activation.shape == (3, 4, 5, 7)
    assert (activation >= 0).all()
    assert (activation > 0).any()


@pytest.mark.parametrize("name", KINDS)
def test_the_bases_numbers_are_those_of_no_anatomy(name: str) -> None:
    network = D5C5(SETTINGS, name, ["brain"])
    own = sum(parameter.numel() for parameter in network.parameters())
    assert own - sum(tensor.numel() for tensor in base_tensors(network).values()) == network.conditioning.numbers
    assert (network.conditioning.numbers > 0) == (name in ADAPTABLE)


@pytest.mark.parametrize("name", ADAPTABLE)
def test_a_new_anatomy_starts_from_the_mean_of_others_and_leaves_them(name: str) -> None:
    conditioning = build_conditioning(name, SETTINGS, ["brain", "knee"])
    for number, anatomy in enumerate(conditioning.anatomies):
        for parameter in conditioning.of(anatomy).parameters():
            parameter.data.fill_(2 * number)
    for parameter in conditioning.add("hip", like=["brain", "knee"]).parameters():
        assert torch.equal(parameter, torch.ones_like(parameter))
    assert conditioning.anatomies == ["brain", "knee", "hip"]
    for number, anatomy in enumerate(["brain", "knee"]):
        assert all((parameter == 2 * number).all() for parameter in conditioning.of(anatomy).parameters())
    assert all(map(torch.equal, conditioning.new().parameters(), conditioning.add("liver").parameters()))


@pytest.mark.parametrize("name", sorted(KINDS.keys() - set(ADAPTABLE)))
def test_one_without_anatomies_is_the_same_for_all_and_takes_none(name: str) -> None:
    assert KINDS[name].anatomies == []
    assert KINDS[name].of("brain") is KINDS[name].of(None)
    with pytest.raises(UnimriError, match=f"'hip': cannot be added to a network whose conditioning is '{name}'"):
        KINDS[name].add("hip")


@pytest.mark.parametrize("kind", [torch.float32, torch.bfloat16])
def test_film_scales_and_shifts_each_feature_map_and_starts_as_nothing(kind: torch.dtype) -> None:
    film, features = KINDS["film"].of("brain"), torch.randn(2, 4, 5, 6).to(kind)
    assert torch.equal(film(features.clone(), 1, 0), KINDS["none"].of("brain")(features.clone(), 1, 0))
    own = build_conditioning("film", SETTINGS, ["brain"]).of("brain")
    scale, shift = (parameter.data.copy_(torch.randn(2, 2, 4)) for parameter in own.parameters())
    found = own(features.clone(), 1, 0)
    assert found.dtype == kind
    for channel in range(4):
        expected = (features[:, channel] * scale[1, 0, channel].to(kind) + shift[1, 0, channel].to(kind)).clamp_min(0)
        # bfloat16 rounds a product that is kept exactly here.
        torch.testing.assert_close(found[:, channel], expected, atol=0.05 if kind == torch.bfloat16 else 1e-6, rtol=0)


def test_film_has_as_many_numbers_as_aspin() -> None:
    assert build_conditioning("film", CascadeSettings()).numbers == 1280
