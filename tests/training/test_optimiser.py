import subprocess
import sys

import torch
from torch import nn, optim

from unimri.training.engine import Adam

STEPS = """
import sys, torch
from unimri.training.engine import Adam
weight = torch.ones(3, requires_grad=True)
adam = Adam([weight], lr=0.1, weight_decay=1e-7)
adam.load_state_dict(adam.state_dict())
adam.zero_grad(set_to_none=True)
weight.square().sum().backward()
adam.step()
print("torch._dynamo" in sys.modules)
"""


def run(kind: type[optim.Adam]) -> tuple[list[torch.Tensor], dict]:
    """Weights and state after some steps, with a continuation from the state in between."""
    torch.manual_seed(0)
    network, data = nn.Linear(5, 3), torch.randn(20, 5)
    adam = kind(network.parameters(), lr=0.03, weight_decay=0.1)
    for step in range(6):
        if step == 3:
            state, adam = adam.state_dict(), kind(network.parameters(), lr=0.5)
            adam.load_state_dict(state)
        adam.zero_grad(set_to_none=True)
        network(data).square().mean().backward()
        adam.step()
    return [weight.detach() for weight in network.parameters()], adam.state_dict()


def test_it_is_pytorchs_adam_bit_for_bit() -> None:
    (weights, state), (expected, expected_state) = run(Adam), run(optim.Adam)
    torch.testing.assert_close(weights, expected, atol=0, rtol=0)
    torch.testing.assert_close(state, expected_state, atol=0, rtol=0)
    assert all(not moment.requires_grad for moments in state["state"].values() for moment in moments.values())


def test_it_does_not_load_the_compiler() -> None:
    run = subprocess.run([sys.executable, "-c", STEPS], capture_output=True, text=True, check=True)
    assert run.stdout == "False\n"
