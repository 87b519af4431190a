"""Which slices make which batch: a pure function of seed and step, so that a training can resume anywhere."""

from collections.abc import Mapping
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from unimri.data.store import SliceSet
from unimri.training.settings import TrainingTask


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
