"""The learning rate as a function of the step, so that a training can resume anywhere."""

import math

from unimri.training.settings import Optimisation


def learning_rate_factor(optimisation: Optimisation, step: int, total: int) -> float:
    """What the learning rate of step `step` (from 0) of `total` is multiplied by: in (0, 1].

    It rises linearly over the first `warmup_steps` steps. Then it is constant, or falls to zero along half a cosine.
    """
    warmup = optimisation.warmup_steps
    if step < warmup:
        return (step + 1) / warmup
    if optimisation.schedule == "constant":
        return 1.0
    return 0.5 * (1 + math.cos(math.pi * (step - warmup) / (total - warmup)))
