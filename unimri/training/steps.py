"""What a step of a training is given, what it minimises, and what an epoch is validated by.

Which slices make which batch is a pure function of seed and step, so that a training can resume anywhere.
"""

from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from unimri.data.store import SliceSet, evenly_spaced
from unimri.physics.coils import draw_measurement
from unimri.physics.drawing import cut, draw_masks
from unimri.physics.fourier import PHASE_AXES, lines, undersample
from unimri.physics.masks import Masks
from unimri.physics.sense import Measurement
from unimri.training.distributed import ProcessGroup
from unimri.training.settings import TrainingTask

# Slices (b, H, W), their numbers (b,) and their anatomy, to reconstruction and truth (b, H, W).
Reconstruct = Callable[[NDArray[np.float32], NDArray[np.int64], str], tuple[Tensor, Tensor]]
_BATCH = 8


class SliceOrder:
    """An endless shuffled stream over `count` slices; every slice is seen once before any is seen again."""

    def __init__(self, count: int, batch_size: int, seed: int) -> None:
        self.count, self.batch_size, self.seed = count, batch_size, seed
        self._shuffled = lru_cache(maxsize=2)(self._shuffle)

    def _shuffle(self, number: int) -> NDArray[np.int64]:
        return np.random.default_rng([self.seed, number]).permutation(self.count)

    def batch(self, step: int) -> NDArray[np.int64]:
        """Indices of batch number `step` (from 0): int64 (batch_size,)."""
        places = np.arange(step * self.batch_size, (step + 1) * self.batch_size)
        return np.array([self._shuffled(int(place) // self.count)[place % self.count] for place in places])


class Batches:
    """Batches of one anatomy in turn, or mixed over all.

    Parameters
    ----------
    sets : training slices of each anatomy, in the order in which they take turns.
    counts : slices that make one epoch of each anatomy; more than `sets` has when only some patients are used.
    task : gives seed, batch size and steps in an epoch.
    in_turn : each batch is of one anatomy; else all are mixed.
    share : which places of each batch this process takes.
    """

    def __init__(
        self,
        sets: Mapping[str, SliceSet],
        counts: Mapping[str, int],
        task: TrainingTask,
        in_turn: bool,
        share: slice,
    ) -> None:
        self.sets, self.in_turn, self.share = sets, in_turn, share
        size = task.optimisation.batch_size
        lengths = {name: len(slices) for name, slices in sets.items()}
        fixed = task.optimisation.steps_per_epoch
        if in_turn:
            self.orders = {name: SliceOrder(length, size, task.seed) for name, length in lengths.items()}
            longest = max(-(-count // size) for count in counts.values())
            self.steps_per_epoch = len(sets) * (fixed or longest)
        else:
            self.names = np.repeat(np.array(list(sets)), list(lengths.values()))
            self.places = np.concatenate([np.arange(length) for length in lengths.values()])
            self.mixed = SliceOrder(len(self.places), size, task.seed)
            self.steps_per_epoch = len(sets) * fixed if fixed else -(-sum(counts.values()) // size)

    def of_step(self, step: int) -> tuple[str, NDArray[np.float32], NDArray[np.int64]]:
        """Anatomy (of the first slice when mixed), this process's slices float32 (b, H, W), their running numbers."""
        chosen = self._chosen(step)[self.share]
        numbers = np.array([number for _, _, number in chosen])
        anatomy = chosen[0][0]
        if self.in_turn:
            return anatomy, self.sets[anatomy].batch(numbers), numbers
        return anatomy, np.stack([self.sets[name][place] for name, place, _ in chosen]), numbers

    def describe(self, step: int) -> str:
        """The slices of a whole batch, by the keys of their volumes."""
        volumes = [(name, *self.sets[name].volume_of(place)) for name, place, _ in self._chosen(step)]
        return ", ".join(f"{name} volume {key} slice {number}" for name, key, number, _ in volumes)

    def _chosen(self, step: int) -> list[tuple[str, int, int]]:
        """Anatomy, place among its slices, and running number of every slice of a whole batch."""
        if self.in_turn:
            anatomy = list(self.sets)[step % len(self.sets)]
            numbers = self.orders[anatomy].batch(step // len(self.sets))
            return [(anatomy, int(number), int(number)) for number in numbers]
        return [(str(self.names[number]), int(self.places[number]), int(number)) for number in self.mixed.batch(step)]


class Undersampler:
    """Makes what a network reconstructs from of slices, on a device, and says with which precision it computes.

    Parameters
    ----------
    task : gives precision, what is drawn for slices, and the draws' seed.
    first : place of this process's first slice in each batch.
    """

    def __init__(self, masks: Masks, device: torch.device, task: TrainingTask, first: int = 0) -> None:
        self._masks, self._device, self._axis = masks, device, PHASE_AXES[masks.axis]
        self._low_precision = task.optimisation.precision == "bfloat16"
        self._drawn, self._seed, self._first = task.acquisition, task.seed, first

    def __call__(
        self, slices: NDArray[np.float32], numbers: NDArray[np.int64], step: int | None = None
    ) -> tuple[Tensor, Measurement]:
        """The truth on the device, float32 or complex64, and what is left of it.

        Parameters
        ----------
        slices : float32 (b, H, W).
        numbers : of the slices (b,): they choose the masks, and in validation what is drawn.
        step : of the training; None in validation.
        """
        drawn, kept = self._drawn, self._masks.of_slices(numbers)
        if drawn is None:
            target = torch.from_numpy(slices).to(self._device)
            sampled = self._lines(kept)
            return target, Measurement(*undersample(target, sampled, self._axis), sampled, self._axis)
        if step is None:
            keys, coils = [[self._seed, 0, int(number)] for number in numbers], max(drawn.coils)
        else:
            keys = [[self._seed, 1, step, self._first + place] for place in range(len(slices))]
            # The same in all processes: a batch has one number of coils.
            coils = int(np.random.default_rng([self._seed, 2, step]).choice(drawn.coils))
            slices = cut(drawn, slices, keys)
            if drawn.masks:
                kept = draw_masks(drawn, slices.shape[PHASE_AXES[self._masks.axis]], keys)
        return draw_measurement(
            drawn, torch.from_numpy(slices).to(self._device), self._lines(kept), self._axis, keys, coils
        )

    def autocast(self) -> torch.autocast:
        """A context for the network."""
        return torch.autocast(self._device.type, torch.bfloat16, enabled=self._low_precision)

    def _lines(self, kept: NDArray[np.bool_]) -> Tensor:
        return lines(torch.from_numpy(kept).to(self._device), self._axis)


def mean_absolute_error(image: Tensor, truth: Tensor) -> Tensor:
    """L_MAE over the two real channels (real, imaginary part) of complex images and real or complex ones."""
    difference = torch.view_as_real(image - truth)
    return difference.abs().mean()


@torch.no_grad()
def validation_scores(
    held_out: Mapping[str, SliceSet],
    reconstruct: Reconstruct,
    limit: int | None,
    group: ProcessGroup,
    pause: Callable[[], None],
) -> dict[str, float]:
    """Mean PSNR in dB over anatomies, `validation_psnr_db`, and of each, `validation_psnr_db_{anatomy}`.

    Parameters
    ----------
    held_out : slices of each anatomy.
    reconstruct : the network's reconstruction of a batch.
    limit : validate on at most this many slices of an anatomy, evenly spaced.
    group : each of its processes takes its batches; all get all scores.
    pause : called after each batch, equally often in all processes; what it raises ends the validation.
    """
    scores: dict[str, float] = {}
    for anatomy, slices in held_out.items():
        chosen = evenly_spaced(len(slices), limit)
        found = np.zeros(len(chosen))
        for first in range(0, len(chosen), _BATCH * group.size):
            start = first + _BATCH * group.rank
            numbers = chosen[start : start + _BATCH]
            if len(numbers):
                image, target = reconstruct(slices.batch(numbers), numbers, anatomy)  # (b, H, W) both
                # Of the magnitude, with range 1.
                error = (image.abs() - target).square().mean((1, 2)).clamp_(min=1e-12)
                found[start : start + _BATCH] = (-10 * error.log10()).tolist()
            pause()
        # Each score comes from one process and is zero in the others: the sum gathers them, in order and exactly.
        scores[anatomy] = float(np.mean(group.sum(found)))
    average = float(np.mean(list(scores.values())))
    return {"validation_psnr_db": average} | {f"validation_psnr_db_{name}": score for name, score in scores.items()}


@torch.no_grad()
def examples(
    held_out: Mapping[str, SliceSet], reconstruct: Reconstruct, limit: int | None
) -> Iterator[tuple[str, NDArray[np.float32], NDArray[np.float32]]]:
    """Go through the slices that `validation_scores` scores, in one process.

    Returns
    -------
    For each its anatomy, truth and magnitude of the reconstruction, float32 (H, W) both.
    """
    for anatomy, slices in held_out.items():
        chosen = evenly_spaced(len(slices), limit)
        for start in range(0, len(chosen), _BATCH):
            numbers = chosen[start : start + _BATCH]
            image, target = reconstruct(slices.batch(numbers), numbers, anatomy)  # (b, H, W) both
            for truth, magnitude in zip(target.cpu().numpy(), image.abs().cpu().numpy(), strict=True):
                yield anatomy, truth, magnitude
