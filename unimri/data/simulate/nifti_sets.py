"""The data sets that come as NIfTI, ACDC's and the Decathlon's, as their archives lay them out."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
from numpy.typing import NDArray

from unimri.data.simulate.phantoms.cardiac import END_SYSTOLE
from unimri.data.simulate.scanner import scan, stream
from unimri.data.simulate.settings import SimulationSettings, phantoms

_GROUPS = ("NOR", "MINF", "DCM", "HCM", "RV")
# Rows over columns of the matrices that ACDC has most of.
_ASPECTS = (27 / 32, 7 / 8, 29 / 32, 1.0)
# Every sixth patient is of the archive's test part, whose labels were kept back: who that is must not depend
# on how many there are.
_TEST_EVERY = 6
# What macOS leaves beside each file when it packs an archive: an AppleDouble header with two empty entries.
_APPLE_DOUBLE = b"\x00\x05\x16\x07\x00\x02\x00\x00Mac OS X        \x00\x02" + b"\x00\x00\x00\x09" + bytes(178)


def write_acdc(settings: SimulationSettings, root: Path, seed: int) -> Iterator[None]:
    """ACDC: a folder a patient with the 4D cine, the two labelled frames and `Info.cfg`.

    Writes `<root>/patient001/{patient001_4d.nii.gz,...,Info.cfg}`; see `simulate.LAYOUTS`.
    """
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


def write_decathlon(settings: SimulationSettings, root: Path, seed: int) -> Iterator[None]:
    """The Medical Segmentation Decathlon's Task05: 4D NIfTI files, their list and stray files of macOS.

    Writes `<root>/{dataset.json,imagesTr,labelsTr,imagesTs}`; see `simulate.LAYOUTS`.
    """
    kind = phantoms()[settings.anatomy]
    contrasts = list(kind.tissues)
    training: list[dict[str, str]] = []
    test: list[str] = []
    for patient in range(settings.patients):
        phantom = kind(stream(seed, settings.anatomy, "patient", patient))
        size = settings.matrix_sizes[patient % len(settings.matrix_sizes)]
        channels = []
        for contrast in contrasts:
            rng = stream(seed, settings.anatomy, "series", patient, contrast)
            volume = scan(phantom, contrast, (size, size), settings.slices, settings.noise, rng)
            # Whole numbers, since the files were DICOM before; each channel has its own scale.
            channels.append(np.rint(volume.magnitude[0] * rng.uniform(600, 2200)))
        name = f"{settings.anatomy}_{patient:02d}.nii.gz"
        below = "imagesTs" if patient % _TEST_EVERY == _TEST_EVERY - 1 else "imagesTr"
        _write_beside_junk(root / below / name, np.stack(channels), volume.spacing, volume.gap)
        if below == "imagesTr":
            _write_beside_junk(root / "labelsTr" / name, volume.labels[0], volume.spacing, volume.gap)
            training.append({"image": f"./imagesTr/{name}", "label": f"./labelsTr/{name}"})
        else:
            test.append(f"./imagesTs/{name}")
        yield
    # This list alone changes when patients are added.
    content = {
        "name": settings.anatomy.upper(),
        "description": f"Simulated {settings.anatomy} in the Decathlon's layout",
        "reference": "unimri simulation",
        "licence": "none: simulated",
        "release": "1.0",
        "tensorImageSize": "4D",
        "modality": {str(number): contrast for number, contrast in enumerate(contrasts)},
        "labels": {"0": "background", "1": "PZ", "2": "TZ"},
        "numTraining": len(training),
        "numTest": len(test),
        "training": training,
        "test": test,
    }
    (root / "dataset.json").write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    (root / "._dataset.json").write_bytes(_APPLE_DOUBLE)


def _write_beside_junk(path: Path, pictures: NDArray[Any], spacing: float, gap: float) -> None:
    write_nifti(path, pictures.astype(np.float32), spacing, gap)
    path.with_name(f"._{path.name}").write_bytes(_APPLE_DOUBLE)


def write_nifti(path: Path, pictures: NDArray[Any], spacing: float, gap: float, interval: float = 0.0) -> None:
    """Write a stack of pictures.

    Parameters
    ----------
    path : `.nii.gz`; equal pictures give equal bytes: nibabel stores neither name nor time.
    pictures : axial, (slices, rows, columns) or (n, slices, rows, columns); the file's axes are
        (rows, columns, slices[, n]).
    spacing, gap : size of a pixel and distance of slices, mm.
    interval : seconds between the pictures of the fourth axis.
    """
    axes = (1, 2, 0) if pictures.ndim == 3 else (2, 3, 1, 0)
    # Rows run to the back and columns to the patient's left, both against NIfTI's axes; slices run upwards.
    affine = np.array([[0, -spacing, 0, 0], [-spacing, 0, 0, 0], [0, 0, gap, 0], [0, 0, 0, 1]])
    image = nibabel.Nifti1Image(pictures.transpose(axes), affine)
    image.header.set_xyzt_units("mm", "sec")
    if pictures.ndim == 4:
        image.header.set_zooms((spacing, spacing, gap, interval))
    path.parent.mkdir(parents=True, exist_ok=True)
    nibabel.save(image, path)
