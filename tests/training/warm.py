"""What a training spends its first second on, done once: the processes of `commands` are forked after it."""

import commands  # noqa: F401
import torch

import unimri.cli.__main__
import unimri.training.callbacks
import unimri.training.distributed
import unimri.training.run
from unimri.core.provenance import code_digest

torch.set_num_threads(1)
# The first step of an optimiser imports half of torch. No backward pass: its threads would not live on in a fork.
_parameter = torch.nn.Parameter(torch.zeros(1))
_parameter.grad = torch.zeros(1)
torch.optim.Adam([_parameter]).step()
code_digest(unimri.training.run.__name__)
