"""The phase of images: what every coil has, and no network that learnt from magnitudes knows."""

import torch
from torch import Tensor


def constant_phase(images: Tensor) -> Tensor:
    """The one phase that each image has as a whole: that of the sum of |x| x, which bright pixels decide.

    A constant phase means nothing: it is the coil's and the receiver's. Images times its conjugate have none, whatever
    it was, so that reconstructing them and putting it back gives the same for each.

    Parameters
    ----------
    images : complex (..., rows, columns).

    Returns
    -------
    complex64 (..., 1, 1), of magnitude 1; 1 for an image that is zero.
    """
    total = (images.abs() * images).sum((-2, -1), keepdim=True, dtype=torch.complex128)
    size = total.abs()
    return torch.where(size > 0, total / size.clamp_min(torch.finfo(torch.float64).tiny), 1).to(torch.complex64)
