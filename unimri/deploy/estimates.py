"""What a model finds of a scan that nobody tells it: its intensity scale, and which anatomy it shows.

Networks see images in [0, 1]: the largest intensity of a scan is that of its zero-filled image, times a factor of the
anatomy.

The anatomy is the one whose zero-filled training slices are nearest, all of them on the grid of the model's training
(`Grid`): a scan of another size is made smaller, smoothed and cropped as training's slices were, and keeps the lines of
the model's own mask. Those of them that the scan did not measure are what the network makes of it there, with the ASPIN
of the anatomy in question. A slice has 23 features: how strong its details are (by the filters of a 3 x 3 cosine
transform), its mean and deviation, and how much of it is brighter than some levels. An anatomy is their mean over its
training slices; how far a slice is from it is measured by the covariance of slices within their anatomies (linear
discriminant analysis, Fisher 1936). An ASPIN that was added later brings its own mean, so that it takes part.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from scipy.fft import dct
from torch import Tensor

from unimri.core.errors import UnimriError
from unimri.deploy.library import LEVELS
from unimri.physics.fourier import centre, combine_coils, lines, to_image, to_kspace, undersample
from unimri.physics.mask import PHASE_AXES
from unimri.physics.masks import Masks

if TYPE_CHECKING:
    # Whoever reconstructs needs no prepared data.
    from unimri.data.store import PreparedData, Split

# Of the covariance towards its own diagonal: some anatomies have few slices.
_SHRINKAGE = 0.05

# How far above the mean of its own scans, in standard deviations of the logarithm, a distance may lie, and what such a
# deviation is at least: that of a handful of volumes says little.
_FAR, _LEAST = 3.0, 0.3


def estimated_scale(peak: Tensor, factor: float) -> Tensor:
    """Estimate the largest intensity of a volume that is not known fully sampled.

    Parameters
    ----------
    peak : (coils,), the largest magnitude of the zero-filled volume of each coil.
    factor : of the anatomy, from `scale_factor`.

    Returns
    -------
    (coils, 1, 1), > 0: the peak times the factor; 1 for a coil that measured nothing.
    """
    return torch.where(peak > 0, peak * factor, torch.ones_like(peak))[:, None, None]


def scale_factor(data: "PreparedData", masks: Masks) -> float:
    """The upper quartile, over training volumes, of largest intensity over that of the zero-filled volume.

    Not the median: networks lose by a scale that is too small (0.66 dB at 20 %, in the default experiment), and nothing
    by one that is as much too large.

    Raises
    ------
    UnimriError : when the mask is for another size.
    """
    # Prepared volumes are scaled to a largest intensity of 1.
    return float(np.quantile([1 / float(volume.abs().max()) for volume in _zero_filled(data, masks, "train")], 0.75))


def _zero_filled(data: "PreparedData", masks: Masks, split: "Split") -> Iterator[Tensor]:
    """Zero-filled slices of each volume of a split: complex (B, H, W)."""
    masks.check_size(data.image_size)
    slices, axis = data.split(split), PHASE_AXES[masks.axis]
    for _, _, numbers in slices.volumes():
        sampled = lines(torch.from_numpy(masks.of_slices(numbers)), axis)
        yield undersample(torch.from_numpy(slices.batch(numbers)), sampled, axis)[0]


@dataclass(frozen=True)
class Choice:
    """What was chosen.

    Attributes
    ----------
    anatomy : the nearest.
    confidence : its probability, 0 to 1, were the input one of the anatomies, all of them alike beforehand.
    distances : squared Mahalanobis distance of each over the number of features, the mean over slices. Slices of the
        anatomy itself have 1, in the mean.
    unlike : why the input is like none of the anatomies; blank when it is like the chosen one.
    """

    anatomy: str
    confidence: float
    distances: Mapping[str, float]
    unlike: str = ""


@dataclass(frozen=True)
class Grid:
    """What a model's training slices lie on, and how a scan of any size comes to it.

    Attributes
    ----------
    size : their side in pixels.
    smoothing : of the preparation's settings, in pixels of `size`; None: scikit-image's rule.
    masks : of the model at that size.
    """

    size: int
    smoothing: float | None
    masks: Masks

    def reduce(self, kspace: Tensor, crop: int | None) -> Tensor:
        """K-space of the whole field of view in the grid's pixels, with preparation's Gaussian low-pass.

        Lines stay lines: what was not sampled is not mixed with what was.

        Parameters
        ----------
        kspace : complex (..., rows, columns), centred, any size.
        crop : side, in pixels, of the centre that training's slices were cut from; None: the whole slice.

        Returns
        -------
        Its centre. A scan whose pixels are larger than the grid's keeps them.
        """
        for dimension in (-2, -1):
            length = kspace.shape[dimension]
            target = self._target(length, crop)
            if length > target:
                low_pass = self._low_pass(target, length / target).unsqueeze(-1 if dimension == -2 else 0)
                size = (target, kspace.shape[-1]) if dimension == -2 else (kspace.shape[-2], target)
                kspace = centre(kspace, size) * low_pass
        return kspace

    def bring(self, images: Tensor, size: tuple[int, int], crop: int | None, numbers: Sequence[int]) -> Tensor:
        """Cut training's part out of reduced images, and keep the lines of the model's mask alone.

        They are the model's also where a scan's lines are of the other axis: artifacts have a direction.

        Parameters
        ----------
        images : complex (slices, coils, r, c), those of reduced k-space.
        size : rows and columns of the scan before.
        crop : as in `reduce`.
        numbers : of the slices in their volume.

        Returns
        -------
        Magnitudes, float32 (slices, size, size), of several coils their root sum of squares.
        """
        rows, columns = (self._target(length, crop) for length in size)
        if images.shape[-2:] != (rows, columns):
            images = to_image(centre(to_kspace(images), (rows, columns)))
        kept = torch.from_numpy(self.masks.of_slices(np.asarray(numbers)))[:, None]  # (slices or 1, 1, N)
        kept = kept[:, :, None, :] if PHASE_AXES[self.masks.axis] == -1 else kept[:, :, :, None]
        return combine_coils(to_image(to_kspace(centre(images, (self.size, self.size))) * kept))

    def _target(self, length: int, crop: int | None) -> int:
        """Pixels of a scan's side, were they as large as the grid's."""
        return self.size if crop is None else max(1, round(self.size * length / crop))

    def _low_pass(self, size: int, factor: float) -> Tensor:
        """What smoothing leaves of each line when slices are made smaller by a factor: float32 (size,)."""
        sigma = (factor - 1) / 2 / factor if self.smoothing is None else self.smoothing
        frequency = (torch.arange(size) - size // 2) / size
        return torch.exp(-2 * (torch.pi * sigma * frequency) ** 2)


@torch.no_grad()
def features(images: Tensor) -> NDArray[np.float64]:
    """Features of slices.

    Parameters
    ----------
    images : real (B, H, W), zero-filled magnitudes of one volume on the model's `Grid`, on any scale.

    Returns
    -------
    (B, FEATURES), of the slices that are not empty; of all where the volume is.
    """
    images = images.float().cpu()
    scaled = images / images.max().clamp(min=1e-30)
    scaled = scaled[scaled.amax((1, 2)) > 0.05 if images.any() else slice(None), None]  # (b, 1, h, w)
    details = F.conv2d(scaled, _filters())  # (b, 8, h - 2, w - 2)
    values = [
        (details.std((2, 3)) + 1e-5).log(),
        (details.abs().mean((2, 3)) + 1e-5).log(),
        (torch.stack([scaled.mean((1, 2, 3)), scaled.std((1, 2, 3))], 1) + 1e-5).log(),
        torch.stack([(scaled > level).float().mean((1, 2, 3)) for level in LEVELS], 1),
    ]
    found: NDArray[np.float64] = torch.cat(values, 1).double().numpy()
    return found


def split_features(data: "PreparedData", split: "Split", grid: Grid) -> list[NDArray[np.float64]]:
    """Features of the slices of each volume of a split, undersampled on the grid of a model; see `features`."""
    slices, size, found = data.split(split), (data.image_size, data.image_size), []
    for _, _, numbers in slices.volumes():
        # Prepared slices are cropped already.
        kspace = grid.reduce(to_kspace(torch.from_numpy(slices.batch(numbers))[:, None]), None)
        found.append(features(grid.bring(to_image(kspace), size, None, numbers.tolist())))
    return found


def _filters() -> Tensor:
    """The products of the 3-point cosine transform with itself, without the constant: float32 (8, 1, 3, 3)."""
    rows = torch.from_numpy(dct(np.eye(3), norm="ortho", axis=0)).float()
    return torch.einsum("ia,jb->ijab", rows, rows).reshape(9, 1, 3, 3)[1:]


def inverse_covariance(slices: Sequence[NDArray[np.float64]]) -> NDArray[np.float64]:
    """The inverse of the covariance within anatomies: (FEATURES, FEATURES).

    Parameters
    ----------
    slices : features of the training slices of each anatomy, (B, FEATURES) each.
    """
    within = np.concatenate([own - own.mean(0) for own in slices])
    covariance = within.T @ within / len(within) + 1e-6 * np.eye(within.shape[1])
    shrunk = (1 - _SHRINKAGE) * covariance + _SHRINKAGE * np.diag(np.diag(covariance))
    inverse: NDArray[np.float64] = np.linalg.inv(shrunk)
    return inverse


def distance(slices: NDArray[np.float64], mean: NDArray[np.float64], inverse: NDArray[np.float64]) -> float:
    """How far a volume is from an anatomy, by the `inverse_covariance`; see `Choice.distances`."""
    off = slices - mean
    return float(np.einsum("bi,ij,bj->b", off, inverse, off).mean() / len(inverse))


def largest_distance(distances: Sequence[float]) -> float:
    """Where scans stop to be like an anatomy's, from the distances of its own volumes."""
    logs = np.log(np.maximum(distances, 1e-6))
    return float(np.exp(logs.mean() + _FAR * max(_LEAST, float(logs.std()))))


def choose(
    slices: Mapping[str, NDArray[np.float64]],
    means: Mapping[str, NDArray[np.float64]],
    inverse: NDArray[np.float64],
    largest: Mapping[str, float],
) -> Choice:
    """Choose the anatomy of a volume.

    Parameters
    ----------
    slices : its `features`, on the grid as each anatomy's slices came to it.
    means : of the anatomies to choose from, at least one, (FEATURES,) each.
    inverse : from `inverse_covariance`.
    largest : distance of each from which on a volume is unlike it.

    Raises
    ------
    UnimriError : when the statistics give no distances.
    """
    distances = {name: distance(slices[name], mean, inverse) for name, mean in means.items()}
    if not all(0 <= far < np.inf for far in distances.values()):
        raise UnimriError("the model's statistics tell no anatomies apart; give the anatomy, or copy the model again")
    best = min(distances, key=lambda name: distances[name])
    # As one observation, since the slices of a volume are not independent.
    weights = np.exp(-0.5 * len(inverse) * (np.array(list(distances.values())) - distances[best]))
    unlike = ""
    if distances[best] > largest[best]:
        unlike = (
            f"the input is like none of the anatomies (the nearest, {best}, is at a distance of {distances[best]:.2g}, "
            f"and its own scans at {largest[best]:.2g} at most)"
        )
    return Choice(best, float(1 / weights.sum()), distances, unlike)
