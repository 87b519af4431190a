"""Which ASPIN fits an input that nobody has named: the one that predicts measured lines best that it was not shown.

Some of the measured lines are held out, the volume is reconstructed from the others with each ASPIN, and the
reconstructions' own k-space is compared with what was measured there. Nothing is trained for it and nothing has to be
known of the anatomies, so that an ASPIN that was added yesterday takes part. What is new to all of them shows in the
error of the best: it is far above what the model makes of scans of its own anatomies.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from unimri.physics.fourier import lines

SLICES = 8
FOLDS = 3
HELD_OUT = 0.2
RESAMPLES = 1000

Reconstruct = Callable[[Tensor, Tensor, str], Tensor]
"""Hybrid k-space, complex64 (B, H, W), its sampled lines as `unimri.physics.fourier.lines` gives them, and an anatomy,
to hybrid k-space of the reconstruction with its ASPIN, complex64 (B, H, W)."""


@dataclass(frozen=True)
class Choice:
    """What was chosen.

    Attributes
    ----------
    anatomy : whose ASPIN predicts best.
    confidence : in how many of the resamples of slices and folds it does, 0 to 1.
    errors : by anatomy: squared error of the held-out lines over their squared magnitude, the geometric mean over
        slices and folds. Zero filling has 1.
    unlike : why the input is like none of the anatomies; blank when it is like the chosen one.
    """

    anatomy: str
    confidence: float
    errors: Mapping[str, float]
    unlike: str = ""


def held_out(mask: NDArray[np.bool_], fold: int) -> NDArray[np.bool_]:
    """Some of the sampled lines of a mask: bool (N,), a fifth of them, never the centre of k-space.

    The same mask and fold give the same lines. A reconstruction without DC or its neighbours would be another task than
    the one that the network learnt.
    """
    size = len(mask)
    kept = np.flatnonzero(mask)
    outer = kept[np.abs(kept - size // 2) > max(1, size // 32)]
    count = min(len(outer), max(1, round(HELD_OUT * len(kept))))
    chosen = np.random.default_rng([fold, size]).permutation(outer)[:count]
    result = np.zeros(size, dtype=bool)
    result[chosen] = True
    return result


def choose(
    reconstruct: Reconstruct,
    measured: Tensor,
    mask: NDArray[np.bool_],
    axis: int,
    anatomies: Mapping[str, float | None],
) -> Choice:
    """Choose the ASPIN for a volume.

    Parameters
    ----------
    reconstruct : the network.
    measured : complex64 (slices, H, W), hybrid k-space, zero where not sampled.
    mask : bool (slices, N) or (1, N), the sampled lines, DC at N // 2.
    axis : phase-encoding axis, -1 or -2.
    anatomies : those to choose from, at least one, each with the largest error that its own scans have (see
        `Choice.errors`), or None where that is not known.
    """
    return choose_from(prediction_errors(reconstruct, measured, mask, axis, list(anatomies)), anatomies)


def choose_from(errors: NDArray[np.float64], anatomies: Mapping[str, float | None]) -> Choice:
    """Choose by errors that are known, as `prediction_errors` gives them."""
    names = list(anatomies)
    means = errors.mean(0)
    best = int(means.argmin())
    rows = np.random.default_rng(0).integers(0, len(errors), (RESAMPLES, len(errors)))
    resampled = errors[rows].mean(1)  # (RESAMPLES, anatomies)
    first = resampled == resampled.min(1, keepdims=True)
    # Those that come first together share it.
    confidence = float((first[:, best] / first.sum(1)).mean())
    found = {name: float(np.exp(mean)) for name, mean in zip(names, means, strict=True)}
    return Choice(names[best], confidence, found, _unlike(names[best], found[names[best]], anatomies[names[best]]))


@torch.no_grad()
def prediction_errors(
    reconstruct: Reconstruct, measured: Tensor, mask: NDArray[np.bool_], axis: int, anatomies: Sequence[str]
) -> NDArray[np.float64]:
    """How well each ASPIN predicts lines that it was not shown.

    Parameters as `choose`.

    Returns
    -------
    (folds * slices, anatomies): the logarithm of the squared error over the squared magnitude of the held-out lines, of
    at most `SLICES` slices: those with most energy, evenly spaced.
    """
    energy = measured.abs().square().sum((1, 2))  # (slices,)
    order = torch.argsort(energy, descending=True, stable=True)
    strong = order[energy[order] > 0][: max(SLICES, len(energy) // 2)].sort().values
    numbers = strong[torch.linspace(0, len(strong) - 1, min(SLICES, len(strong))).round().long()]
    errors = np.zeros((FOLDS, len(numbers), len(anatomies)))
    for fold in range(FOLDS):
        for place, number in enumerate(numbers.tolist()):
            own = mask[number if len(mask) > 1 else 0]
            hidden = held_out(own, fold)
            shown, tested = (lines(torch.from_numpy(kept)[None], axis) for kept in (own & ~hidden, hidden))
            truth = measured[number : number + 1] * tested
            for column, anatomy in enumerate(anatomies):
                predicted = reconstruct(measured[number : number + 1] * shown, shown, anatomy) * tested
                size = float(truth.abs().square().sum())
                error = float((predicted - truth).abs().square().sum()) / size if size else 1.0
                # Nothing to predict tells nothing, as zero filling does; what is no number is no prediction.
                errors[fold, place, column] = math.log(max(error, 1e-12)) if math.isfinite(error) else math.inf
    return errors.reshape(-1, len(anatomies))


# How far above the mean of its own scans, in standard deviations, an error may lie, and what a standard deviation of
# log errors is at least: that of a handful of volumes says little.
_FAR, _LEAST = 4.0, 0.25


def largest_error(log_errors: NDArray[np.float64]) -> float:
    """Where scans stop to be like an anatomy's, from means of `prediction_errors` of its own volumes."""
    return float(np.exp(log_errors.mean() + _FAR * max(_LEAST, float(log_errors.std()))))


def _unlike(anatomy: str, error: float, largest: float | None) -> str:
    if error >= 1:
        return f"no ASPIN predicts held-out lines of the input (the nearest, {anatomy}, errs by {error:.0%})"
    if largest is not None and error > largest:
        return (
            f"the input is like none of the anatomies (the nearest, {anatomy}, predicts held-out lines with an error "
            f"of {error:.2%}, and those of its own scans with {largest:.2%} at most)"
        )
    return ""
