import pytest
import torch
import torch.nn.functional as F

from unimri.core.errors import UnimriError
from unimri.models import instance_norm as instance_norm_module
from unimri.models.cascade import D5C5
from unimri.models.instance_norm import instance_norm
from unimri.models.settings import CascadeSettings
from unimri.physics.fourier import lines, to_hybrid, undersample
from unimri.physics.sense import Measurement

SMALL = CascadeSettings(width=4, last_convolution="default")


def inputs(size: int = 16) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(3)
    sampled = lines(torch.rand(1, size, generator=generator) < 0.4, -1)
    return (*undersample(torch.rand(2, size, size, generator=generator), sampled, -1), sampled)


def test_the_papers_counts() -> None:
    assert sum(p.numel() for p in D5C5(CascadeSettings()).parameters()) == 144_650
    universal = D5C5(CascadeSettings(), "aspin", ["brain"])
    assert sum(p.numel() for p in universal.conditioning.of("brain").parameters()) == 1_280
    assert sum(p.numel() for p in universal.parameters()) == 144_650 + 1_280


@pytest.mark.parametrize("anatomies", [None, ["brain"]])
def test_data_consistency_is_hard(anatomies: list[str] | None) -> None:
    network = D5C5(SMALL) if anatomies is None else D5C5(SMALL, "aspin", anatomies)
    zero_filled, measured, sampled = inputs()
    image, _ = network(zero_filled, measured, sampled, -1, "brain")
    kept = sampled.expand_as(measured)
    torch.testing.assert_close(to_hybrid(image, -1)[kept], measured[kept], atol=1e-5, rtol=1e-5)
    assert not torch.allclose(image, zero_filled)


def test_blocks_start_as_the_identity_when_the_last_convolution_is_zero() -> None:
    zero_filled, measured, sampled = inputs()
    image, _ = D5C5(CascadeSettings(width=4), "aspin", ["brain"])(zero_filled, measured, sampled, -1, "brain")
    torch.testing.assert_close(image, zero_filled)


def test_instance_norm_is_the_papers_formula() -> None:
    generator = torch.Generator().manual_seed(4)
    activation = torch.randn(2, 3, 5, 7, generator=generator) * 3 + 1
    gamma, beta = torch.rand(3, generator=generator), torch.rand(3, generator=generator)
    for batch in range(2):
        for channel in range(3):
            plane = activation[batch, channel].numpy()
            expected = gamma[channel].item() * (plane - plane.mean()) / plane.std() + beta[channel].item()
            result = instance_norm(activation, gamma, beta)[batch, channel]
            torch.testing.assert_close(result, torch.from_numpy(expected), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("compiled", [True, False])
@pytest.mark.parametrize("threads", [1, 2])
def test_instance_norms_gradients(compiled: bool, threads: int, monkeypatch) -> None:
    if not compiled:
        monkeypatch.setattr(instance_norm_module, "_COMPILED", ())
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads)
    arguments = [torch.randn(3, 3, 13, 12, dtype=torch.float64), torch.randn(3).double(), torch.randn(3).double()]
    expected = F.instance_norm(arguments[0], weight=arguments[1], bias=arguments[2])
    torch.testing.assert_close(instance_norm(*arguments), expected, atol=1e-12, rtol=1e-12)
    arguments[0] = arguments[0][:2, :, :5, :4]
    for rectify in (False, True):
        inputs = [argument.clone().requires_grad_() for argument in arguments]
        assert torch.autograd.gradcheck(lambda *a, r=rectify: instance_norm(*a, rectify=r), inputs)


@pytest.mark.parametrize("compiled", [True, False])
@pytest.mark.parametrize("kind", [torch.bfloat16, torch.float32, torch.float64])
def test_what_is_not_a_number_stays_so(kind: torch.dtype, compiled: bool, monkeypatch) -> None:
    if not compiled:
        monkeypatch.setattr(instance_norm_module, "_COMPILED", ())
    activation = torch.zeros(2, 3, 4, 4, dtype=kind)
    activation[0, 1, 2, 3] = torch.nan
    result = instance_norm(activation, torch.ones(3), torch.zeros(3), rectify=True)
    assert result[0, 1].isnan().all()
    assert not result[1].isnan().any()


def test_statistics_of_a_large_slice_are_exact() -> None:
    """A sum of 160,000 numbers far from zero, one after another, would lose three digits."""
    generator = torch.Generator().manual_seed(5)
    activation = torch.randn(1, 32, 400, 400, generator=generator) + 30
    expected = F.instance_norm(activation.double())
    result = instance_norm(activation, torch.ones(32), torch.zeros(32))
    torch.testing.assert_close(result.double(), expected, atol=2e-5, rtol=0)


def test_instance_norm_with_a_relu_is_both_after_each_other() -> None:
    arguments = [torch.randn(2, 3, 4, 4), torch.randn(3), torch.randn(3)]
    torch.testing.assert_close(instance_norm(*arguments, rectify=True), torch.relu(instance_norm(*arguments)))


def test_instance_norm_in_bfloat16_is_exact_but_for_its_rounding() -> None:
    torch.manual_seed(6)
    activation, upstream = (torch.randn(2, 4, 32, 32).bfloat16() for _ in range(2))
    results = []
    for kind in (torch.bfloat16, torch.float64):
        h, gamma, beta = activation.to(kind), torch.linspace(0.5, 2, 4), torch.linspace(0.1, 0.4, 4)
        arguments = [h.requires_grad_(), gamma.requires_grad_(), beta.requires_grad_()]
        result = instance_norm(*arguments, rectify=True)
        results.append([result, *torch.autograd.grad(result, arguments, upstream.to(kind))])
    for low, exact in zip(*results, strict=True):
        assert ((low - exact).norm() / exact.norm()).item() < 0.01


def test_biases_under_normalisation_stay_as_they_are() -> None:
    network = D5C5(SMALL, "aspin", ["brain"])
    before = {name: parameter.clone() for name, parameter in network.named_parameters()}
    optimiser = torch.optim.Adam(network.parameters(), lr=0.1, weight_decay=0.1)
    zero_filled, measured, sampled = inputs()
    network(zero_filled, measured, sampled, -1, "brain")[0].abs().sum().backward()
    optimiser.step()
    same = {name for name, parameter in network.named_parameters() if torch.equal(parameter, before[name])}
    assert same == {f"blocks.{block}.convolutions.{number}.bias" for block in range(5) for number in range(4)}


def test_layer_gives_one_activation_a_cascade_after_the_relu() -> None:
    network = D5C5(SMALL)
    for layer, channels in [(1, 4), (3, 4), (5, 2)]:
        _, activations = network(*inputs(), -1, None, layer)
        assert [tuple(a.shape) for a in activations] == [(2, channels, 16, 16)] * 5
        assert all((a >= 0).all() for a in activations) == (layer < 5)


@pytest.mark.parametrize("anatomies", [None, ["brain"]])
@pytest.mark.parametrize("layer", [1, 3, 5])
def test_activations_alone_are_those_of_a_whole_pass(anatomies: list[str] | None, layer: int) -> None:
    network = D5C5(SMALL) if anatomies is None else D5C5(SMALL, "aspin", anatomies)
    _, expected = network(*inputs(), -1, "brain", layer)
    result = network.activations(Measurement(*inputs(), -1), "brain", layer)
    assert len(result) == 5
    assert all(torch.equal(one, other) for one, other in zip(result, expected, strict=True))


def test_anatomies_are_added_listed_and_taken() -> None:
    network = D5C5(SMALL, "aspin", ["brain"])
    with torch.no_grad():
        network.conditioning.of("brain").gamma.fill_(3)
    assert torch.equal(network.conditioning.add("hip", like=["brain"]).gamma, torch.full((5, 4, 4), 3.0))
    assert network.conditioning.anatomies == ["brain", "hip"]
    with pytest.raises(UnimriError, match="already"):
        network.conditioning.add("hip")
    network.conditioning.remove("hip")
    with pytest.raises(UnimriError, match="known: brain"):
        network(*inputs(), -1, "hip")
