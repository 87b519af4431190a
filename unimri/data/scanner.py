"""Scanning phantoms: which there are, the settings of a data set, and from tissue to what a scanner would store.

To simulate another anatomy, write its module in `phantoms/` and add its line here. One that stays outside is an entry
point: docs/how-to/extending.md.
"""

import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, field_validator

from unimri.core.plugins import PHANTOM_GROUP, Extensible, load_plugins, package_of
from unimri.core.settings import Settings
from unimri.data.phantoms.abdomen import Abdomen
from unimri.data.phantoms.brain import Brain
from unimri.data.phantoms.cardiac import Cardiac
from unimri.data.phantoms.knee import Knee
from unimri.data.phantoms.phantom import Noise, Phantom, Plane
from unimri.data.phantoms.prostate import Prostate

PHANTOMS: dict[str, type[Phantom]] = {
    "brain": Brain,
    "knee": Knee,
    "cardiac": Cardiac,
    "abdomen": Abdomen,
    "prostate": Prostate,
}


@cache
def phantoms() -> dict[str, type[Phantom]]:
    """All phantoms by name: these, and those of installed packages."""
    # Not when this module is imported: a phantom of another package imports modules beside it.
    return PHANTOMS | load_plugins(PHANTOM_GROUP, Phantom, PHANTOMS)


KspaceFormat = Literal["fastmri-h5", "ismrmrd"]
KSPACE_FORMATS = get_args(KspaceFormat)


class KspaceSettings(Settings):
    """Simulated raw data, fully sampled: k-space of coils, each slice with a smooth phase."""

    format: KspaceFormat = Field(description="What the files are, as the readers call it.")
    coils: int = Field(default=8, ge=1, le=64, description="Receive coils, around the patient.")
    phase: float = Field(
        default=1.2, ge=0, le=10, description="Root mean square of each slice's smooth phase, in radians."
    )


class SimulationSettings(Extensible):
    """One simulated data set. Its file layout is that of the anatomy's real data set, unless it is k-space."""

    anatomy: str = Field(
        description=f"Which phantom is scanned: one of {', '.join(PHANTOMS)}, or of an installed package."
    )
    patients: int = Field(default=10, ge=1, le=999, description="Number of patients.")
    slices: int = Field(default=10, ge=1, le=200, description="Slices of each volume, spread over the anatomy.")
    series: int = Field(
        default=2,
        ge=1,
        le=20,
        description="fastmri-dicom and k-space only: series of each patient, each of another contrast until none is "
        "left; the other layouts hold all of an anatomy's contrasts.",
    )
    frames: int = Field(default=6, ge=1, le=100, description="acdc only, as k-space too: pictures of one heartbeat.")
    matrix_sizes: list[int] = Field(
        default=[320, 256, 384],
        min_length=1,
        description="Columns of the pictures, in pixels; patients, and their series, take them in turn.",
    )
    noise: float = Field(
        default=0.03,
        ge=0,
        le=0.5,
        description="Standard deviation of the noise in each of the real and imaginary parts, as a fraction "
        "of the volume's noiseless maximum, at 320 columns; in proportion to the columns, since smaller "
        "pixels hold less signal. In k-space it is each coil's.",
    )
    kspace: KspaceSettings | None = Field(
        default=None, description="Raw data in place of images: k-space of several coils; null: images."
    )

    @classmethod
    def _package(cls, content: Mapping[str, Any]) -> str:
        phantom = phantoms().get(str(content.get("anatomy")))
        return "" if phantom is None else package_of(phantom)

    @field_validator("anatomy")
    @classmethod
    def _anatomy_is_known(cls, anatomy: str) -> str:
        if anatomy not in phantoms():
            raise ValueError(f"no phantom is called '{anatomy}'; choose one of {', '.join(phantoms())}")
        return anatomy

    @field_validator("matrix_sizes")
    @classmethod
    def _matrices_are_usable(cls, sizes: list[int]) -> list[int]:
        if any(not 16 <= size <= 1024 for size in sizes):
            raise ValueError("each matrix size must be from 16 to 1024")
        return sizes


# Beyond this many columns the field of view grows too, as in protocols with a large matrix.
_REFERENCE_COLUMNS = 320


def stream(seed: int, *names: str | int) -> np.random.Generator:
    """Give the generator of the thing that `names` names, such as `stream(seed, "brain", patient, "noise")`.

    Named by what they are for, so that adding a patient never disturbs the others.
    Equal arguments give equal streams on every machine; `hash` would not, since Python salts it.
    """
    words = [name if isinstance(name, int) else zlib.crc32(name.encode()) for name in names]
    return np.random.default_rng(np.random.SeedSequence([seed, *words]))


def patients(settings: SimulationSettings, seed: int) -> Iterator[tuple[int, Phantom]]:
    """Each patient's number, from 0, and phantom."""
    kind = phantoms()[settings.anatomy]
    for number in range(settings.patients):
        yield number, kind(stream(seed, settings.anatomy, "patient", number))


def deviation(noise: float, columns: int) -> float:
    """Standard deviation of noise in a picture of so many columns, as `SimulationSettings.noise` defines it."""
    return noise * columns / _REFERENCE_COLUMNS


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

    for picture in signal.reshape(-1, rows, columns):
        # The magnitude of complex Gaussian noise about the signal: Rician.
        real, imaginary = np.float32(deviation(noise, columns)) * rng.standard_normal(
            (2, rows, columns), dtype=np.float32
        )
        np.hypot(picture + real, imaginary, out=picture)
    return Volume(signal, labels, positions, spacing, gap)
