"""The Medical Segmentation Decathlon's Task05: 4D NIfTI files, their list and stray files of macOS."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unimri.data.simulate.layouts.nifti import write_nifti
from unimri.data.simulate.phantoms import phantoms
from unimri.data.simulate.scanner import scan
from unimri.data.simulate.seeds import stream
from unimri.data.simulate.settings import SimulationSettings

# Every sixth patient is of the archive's test part, whose labels were kept back: who that is must not depend
# on how many there are.
_TEST_EVERY = 6
# What macOS leaves beside each file when it packs an archive: an AppleDouble header with two empty entries.
_APPLE_DOUBLE = b"\x00\x05\x16\x07\x00\x02\x00\x00Mac OS X        \x00\x02" + b"\x00\x00\x00\x09" + bytes(178)


def write(settings: SimulationSettings, root: Path, seed: int) -> Iterator[None]:
    """Write `<root>/{dataset.json,imagesTr,labelsTr,imagesTs}`; see `layouts`."""
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
        part = "imagesTs" if patient % _TEST_EVERY == _TEST_EVERY - 1 else "imagesTr"
        _write_beside_junk(root / part / name, np.stack(channels), volume.spacing, volume.gap)
        if part == "imagesTr":
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
