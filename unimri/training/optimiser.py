"""Adam, without what PyTorch's loads for nothing."""

from inspect import unwrap

import torch
from torch import optim


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
