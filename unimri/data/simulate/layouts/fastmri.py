"""fastMRI's DICOM archives: a folder a patient, a folder a series, file names out of order."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from unimri.data.simulate.layouts.dicom import Encoding, Series, axes, write_series
from unimri.data.simulate.phantoms import phantoms
from unimri.data.simulate.scanner import scan
from unimri.data.simulate.seeds import stream
from unimri.data.simulate.settings import SimulationSettings


def write(settings: SimulationSettings, root: Path, seed: int) -> Iterator[None]:
    """Write `<root>/<patient>/<series>/*.dcm`; see `layouts`."""
    kind = phantoms()[settings.anatomy]
    for patient in range(settings.patients):
        phantom = kind(stream(seed, settings.anatomy, "patient", patient))
        rng = stream(seed, settings.anatomy, "protocol", patient)
        contrasts = rng.permutation(list(kind.tissues)).tolist()
        tilt = float(rng.choice([0.0, rng.uniform(-0.15, 0.15)]))
        patient_id = f"SIMULATED-{settings.anatomy.upper()}-{patient + 1:04d}"
        study = f"{seed} {patient_id}"
        folder = root / f"{rng.integers(10**9, 10**10)}"
        for number in range(settings.series):
            rng = stream(seed, settings.anatomy, "series", patient, number)
            size = settings.matrix_sizes[(patient + number) % len(settings.matrix_sizes)]
            contrast = contrasts[number % len(contrasts)]
            volume = scan(phantom, contrast, (size, size), settings.slices, settings.noise, rng)
            series = Series(
                patient_id=patient_id,
                patient_name=f"SIMULATED^{patient + 1:04d}",
                study=study,
                series=f"{study} {number}",
                number=number + 1,
                description=contrast,
                axes=axes(kind.sagittal, tilt),
            )
            numbers = np.arange(1, settings.slices + 1)
            if rng.random() < 0.3:
                numbers = numbers[::-1]
            names = _names(rng, settings.slices)
            place = folder / f"{number + 1:02d}_{rng.integers(16**6):06x}"
            write_series(series, _encoding(rng), volume, [place / name for name in names], numbers.tolist())
        yield


def _encoding(rng: np.random.Generator) -> Encoding:
    # What differs between real scanners and exports; the shares let each occur in a small data set.
    bits = int(rng.choice([12, 12, 16]))
    peak = float(rng.uniform(800, 3000) if bits == 12 else rng.uniform(4000, 28000))
    kind = rng.choice(["plain", "rescaled", "inverted"], p=[0.65, 0.23, 0.12])
    implicit = bool(rng.random() < 0.2)
    if kind == "rescaled":
        slope = float(np.round(rng.uniform(0.3, 4.0), 3))
        intercept = float(rng.choice([0.0, -np.round(20 * slope)]))
        return Encoding(bits, peak, slope, intercept, implicit=implicit)
    return Encoding(bits, peak, inverted=bool(kind == "inverted"), implicit=implicit)


def _names(rng: np.random.Generator, slices: int) -> list[str]:
    """Give file names whose alphabetical order is not that of the slices."""
    names = [f"{tag:08x}.dcm" for tag in rng.choice(16**7, slices, replace=False)]
    return names[::-1] if names == sorted(names) else names
