"""Adam, without what PyTorch's loads for nothing, and the course of its learning rate."""

import math
from inspect import unwrap

import torch
from torch import optim

from unimri.training.settings import Optimisation


class Adam(optim.Adam):
    """PyTorch's Adam. Its methods, but not what is wrapped around them.

    The wrappers load PyTorch's compiler, only to tell it to leave these methods alone: 1.8 s, which is a third of the
    shortest trainings. The one around `step` also turns gradients off.
    """

    add_param_group = unwrap(optim.Adam.add_param_group)
    load_state_dict = unwrap(optim.Adam.load_state_dict)
    state_dict = unwrap(optim.Adam.state_dict)
    step = torch.no_grad()(unwrap(optim.Adam.step))
    zero_grad = unwrap(optim.Adam.zero_grad)


def learning_rate_factor(optimisation: Optimisation, step: int, total: int) -> float:
    """What the learning rate of step `step` (from 0) of `total` is multiplied by: in (0, 1].

    A function of the step alone, so that a training can resume anywhere. It rises linearly over the first
    `warmup_steps` steps. Then it is constant, or falls to zero along half a cosine.
    """
    warmup = optimisation.warmup_steps
    if step < warmup:
        return (step + 1) / warmup
    if optimisation.schedule == "constant":
        return 1.0
    return 0.5 * (1 + math.cos(math.pi * (step - warmup) / (total - warmup)))
