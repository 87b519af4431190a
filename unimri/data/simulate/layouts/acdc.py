"""ACDC: a folder a patient with the 4D cine, the two labelled frames and `Info.cfg`."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from unimri.data.simulate.layouts.nifti import write_nifti
from unimri.data.simulate.phantoms import phantoms
from unimri.data.simulate.phantoms.cardiac import END_SYSTOLE
from unimri.data.simulate.scanner import scan
from unimri.data.simulate.seeds import stream
from unimri.data.simulate.settings import SimulationSettings

_GROUPS = ("NOR", "MINF", "DCM", "HCM", "RV")
# Rows over columns of the matrices that ACDC has most of.
_ASPECTS = (27 / 32, 7 / 8, 29 / 32, 1.0)


def write(settings: SimulationSettings, root: Path, seed: int) -> Iterator[None]:
    """Write `<root>/patient001/{patient001_4d.nii.gz,...,Info.cfg}`; see `layouts`."""
    kind = phantoms()[settings.anatomy]
    (contrast,) = kind.tissues
    for patient in range(settings.patients):
        phantom = kind(stream(seed, settings.anatomy, "patient", patient))
        rng = stream(seed, settings.anatomy, "series", patient)
        columns = settings.matrix_sizes[patient % len(settings.matrix_sizes)]
        rows = 2 * round(columns * float(rng.choice(_ASPECTS)) / 2)
        volume = scan(phantom, contrast, (rows, columns), settings.slices, settings.noise, rng, settings.frames)
        cine = np.rint(volume.magnitude * rng.uniform(200, 1500)).astype(np.int16)

        name = f"patient{patient + 1:03d}"
        folder = root / name
        interval = rng.uniform(0.75, 1.1) / settings.frames
        write_nifti(folder / f"{name}_4d.nii.gz", cine, volume.spacing, volume.gap, interval)
        diastole, systole = 1, 1 + round(END_SYSTOLE * settings.frames) % settings.frames
        for frame in sorted({diastole, systole}):
            stem = f"{name}_frame{frame:02d}"
            write_nifti(folder / f"{stem}.nii.gz", cine[frame - 1], volume.spacing, volume.gap)
            write_nifti(folder / f"{stem}_gt.nii.gz", volume.labels[frame - 1], volume.spacing, volume.gap)
        (folder / "Info.cfg").write_text(
            f"ED: {diastole}\nES: {systole}\nGroup: {rng.choice(_GROUPS)}\nHeight: {rng.normal(170, 9):.1f}\n"
            f"NbFrame: {settings.frames}\nWeight: {rng.normal(76, 12):.1f}\n",
            encoding="utf-8",
        )
        yield
