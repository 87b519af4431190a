"""Which slices make which batch: a pure function of seed and step, so that a training can resume anywhere."""

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray


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
