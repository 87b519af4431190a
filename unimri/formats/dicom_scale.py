"""From values on the scanner's scale to the integers that DICOM stores."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class FrameScale:
    """How a frame of the input stores values: value = slope * stored + intercept.

    Attributes
    ----------
    slope, intercept : 1 and 0 where the header has none. Where large values are dark (MONOCHROME1), readers subtract
        from the largest, and the intercept goes.
    bits, signed : of stored integers.
    linear : whether slope and intercept can be used: there is no table, and the slope is not zero.
    """

    slope: float
    intercept: float
    bits: int
    signed: bool
    linear: bool

    @classmethod
    def of(cls, dataset: Any, rescale: Any) -> Self:
        """Of a file's header, and of what holds the frame's rescale (the header itself, or a functional group)."""
        slope, intercept = rescale.get("RescaleSlope"), rescale.get("RescaleIntercept")
        # pydicom rescales only when both are there.
        if slope is None or intercept is None:
            slope, intercept = 1.0, 0.0
        if dataset.get("PhotometricInterpretation") == "MONOCHROME1":
            intercept = 0.0
        linear = "ModalityLUTSequence" not in rescale and np.isfinite([slope, intercept]).all() and slope != 0
        bits = int(dataset.get("BitsStored") or 16)
        return cls(float(slope), float(intercept), bits, bool(dataset.get("PixelRepresentation")), bool(linear))


@dataclass(frozen=True)
class Scale:
    """How the frames of a reconstruction are stored.

    Attributes
    ----------
    slopes, intercepts : of each image of the volume.
    bits : stored of 16 that are allocated.
    signed : whether stored integers have a sign.
    kept : whether the input's own slopes and intercepts are used; else all images share one, which the header lacks.
    """

    slopes: NDArray[np.float64]
    intercepts: NDArray[np.float64]
    bits: int
    signed: bool
    kept: bool

    def store(self, images: NDArray[np.float32], order: Sequence[int]) -> NDArray[np.integer[Any]]:
        """The integers of images, (frames, rows, columns), that are those of numbers `order` in the volume."""
        stored = (images.astype(np.float64) - _each(self.intercepts[order])) / _each(self.slopes[order])
        return np.rint(stored).astype("<i2" if self.signed else "<u2")


def choose_scale(images: NDArray[np.float32], frames: Sequence[FrameScale]) -> Scale:
    """Choose how a reconstruction is stored, so that no value is clipped.

    The input's slopes and intercepts are kept, with its bits and sign where they hold all values, else with 16 bits,
    without or with sign. Where no 16 bits hold them (32-bit input), or the input has a table, one slope for all maps
    the largest value to 65535.

    Parameters
    ----------
    images : (images, rows, columns), float32, >= 0.
    frames : of each image.
    """
    slopes = np.array([frame.slope for frame in frames])
    intercepts = np.array([frame.intercept for frame in frames])
    if all(frame.linear for frame in frames):
        low, high = np.inf, -np.inf
        for image, slope, intercept in zip(images, slopes, intercepts, strict=True):
            ends = (np.array([image.min(), image.max()], np.float64) - intercept) / slope
            low, high = min(low, *np.rint(ends)), max(high, *np.rint(ends))
        signed = any(frame.signed for frame in frames)
        for bits, sign in ((max(frame.bits for frame in frames), signed), (16, False), (16, True)):
            smallest, largest = (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if sign else (0, 2**bits - 1)
            if bits <= 16 and smallest <= low and high <= largest:
                return Scale(slopes, intercepts, bits, sign, kept=True)
    # As DICOM's decimal strings hold it, so that whoever reads it has the same slope.
    slope = float(f"{float(images.max()) / 65535 or 1.0:.9e}")
    return Scale(np.full(len(images), slope), np.zeros(len(images)), 16, signed=False, kept=False)


def _each(values: NDArray[np.float64]) -> NDArray[np.float64]:
    return values[:, np.newaxis, np.newaxis]
