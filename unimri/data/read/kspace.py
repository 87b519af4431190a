"""From the fully sampled k-space of one slice to its image."""

import numpy as np
from numpy.typing import NDArray


def combined(kspace: NDArray[np.complex64], size: tuple[int, int]) -> NDArray[np.float32]:
    """Root sum of squares over the coils of the centred orthonormal inverse transform, cropped to its centre.

    Parameters
    ----------
    kspace : (coils, readout, phase encoding), complex64, DC at n // 2. With one coil the result is its
        magnitude.
    size : pixels to keep along readout and phase encoding; an axis that is shorter stays as it is.

    Returns
    -------
    (rows, columns), float32, >= 0, as fastMRI's own code computes it: rows run along the readout.
    """
    # Here, since torch takes seconds to import and the readers are imported wherever a configuration is read.
    import torch

    from unimri.physics.fourier import to_image

    images = to_image(torch.from_numpy(kspace))
    for axis, kept in zip((-2, -1), size, strict=True):
        # fastMRI's offset, so that the pixels are those of its reconstructions; it is not that of
        # `prepare.centre_crop` where an even length is cropped to an odd one.
        start = max(0, images.shape[axis] - kept) // 2
        images = images.narrow(axis, start, min(kept, images.shape[axis]))
    # In double precision, in which no square of a float32 overflows or vanishes.
    image: NDArray[np.float32] = torch.linalg.vector_norm(images.abs(), dim=0, dtype=torch.float64).float().numpy()
    return image
