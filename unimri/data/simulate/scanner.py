"""Scanning a phantom: from noiseless tissue to the magnitude volume that a scanner would store."""

import zlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from unimri.data.simulate.phantoms.phantom import Noise, Phantom, Plane

# Beyond this many columns the field of view grows too, as in protocols with a large matrix.
_REFERENCE_COLUMNS = 320


def stream(seed: int, *names: str | int) -> np.random.Generator:
    """Give the generator of the thing that `names` names, such as `stream(seed, "brain", patient, "noise")`.

    Named by what they are for, so that adding a patient never disturbs the others.
    Equal arguments give equal streams on every machine; `hash` would not, since Python salts it.
    """
    words = [name if isinstance(name, int) else zlib.crc32(name.encode()) for name in names]
    return np.random.default_rng(np.random.SeedSequence([seed, *words]))


@dataclass(frozen=True)
class Volume:
    """What one scan gives.

    Attributes
    ----------
    magnitude : float32 (frames, slices, rows, columns), at least 0; 1 is the noiseless maximum.
    labels : ground truth, uint8 of the same shape, in the phantom's values.
    positions : height of each slice along the normal, mm, ascending, float64 (slices,).
    spacing : size of a pixel, mm.
    gap : distance between slices, mm.
    """

    magnitude: NDArray[np.float32]
    labels: NDArray[np.uint8]
    positions: NDArray[np.float64]
    spacing: float
    gap: float


def scan(
    phantom: Phantom,
    contrast: str,
    shape: tuple[int, int],
    slices: int,
    noise: float,
    rng: np.random.Generator,
    frames: int = 1,
) -> Volume:
    """Scan a phantom.

    Parameters
    ----------
    phantom : the patient.
    contrast : one of the phantom's `tissues`.
    shape : rows and columns.
    slices : how many, spread over the phantom's coverage.
    noise : standard deviation as `SimulationSettings.noise` defines it.
    rng : draws shading and noise.
    frames : pictures of each slice through one cardiac cycle.
    """
    rows, columns = shape
    width = phantom.field_of_view * max(1.0, (columns / _REFERENCE_COLUMNS) ** 0.5)
    spacing = width / columns
    low, high = phantom.coverage
    gap = (high - low) / slices
    positions: NDArray[np.float64] = low + gap * (np.arange(slices, dtype=np.float64) + 0.5)

    # Receive coils see near tissue better: a slow shading over the volume, other for each scan.
    shading = Noise(rng, (150, 130, 130), cells=8, layers=8)
    strength = np.float32(rng.uniform(0.1, 0.25))
    signal = np.empty((frames, slices, rows, columns), np.float32)
    labels = np.empty(signal.shape, np.uint8)
    for index, z in enumerate(positions):
        plane = Plane(rows, columns, spacing, float(z), phantom.pose)
        gain = np.exp(strength * shading.on(plane))
        for frame in range(frames):
            canvas = phantom.draw(plane, contrast, frame / frames)
            signal[frame, index] = np.abs(canvas.signal) * gain
            labels[frame, index] = canvas.labels
    signal /= signal.max()

    deviation = np.float32(noise * columns / _REFERENCE_COLUMNS)
    for picture in signal.reshape(-1, rows, columns):
        # The magnitude of complex Gaussian noise about the signal: Rician.
        real, imaginary = deviation * rng.standard_normal((2, rows, columns), dtype=np.float32)
        np.hypot(picture + real, imaginary, out=picture)
    return Volume(signal, labels, positions, spacing, gap)
