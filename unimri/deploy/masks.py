"""Masks as their users have them."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from unimri.core.errors import UnimriError
from unimri.physics.masks import load_masks


def read_mask(path: Path) -> NDArray[np.bool_]:
    """Read which lines are kept: bool (N,) or (K, N), DC at N // 2.

    Parameters
    ----------
    path : `.npy` of bools or of numbers (0: not sampled), with axes of one beside the lines' if need be, or `.npz` as
        `unimri masks draw` writes it.

    Raises
    ------
    UnimriError : when the file is missing or holds no mask.
    """
    if path.suffix == ".npz":
        return load_masks(path).masks
    try:
        stored = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as fault:
        raise UnimriError(f"{path}: cannot be read as a mask ({fault}); give .npy of (N,)") from None
    squeezed = np.squeeze(stored)
    if stored.dtype.kind not in "bfiu" or squeezed.ndim not in (1, 2):
        raise UnimriError(f"{path}: holds {stored.dtype} of shape {stored.shape}; give bool (N,)")
    kept: NDArray[np.bool_] = squeezed != 0
    return kept
