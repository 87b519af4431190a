"""CHAOS's MR part: a numbered folder a patient, with its sequences and their ground truth as PNG."""

from collections.abc import Iterator
from pathlib import Path

from PIL import Image

from unimri.data.simulate.layouts.dicom import Encoding, Series, axes, write_series
from unimri.data.simulate.phantoms import phantoms
from unimri.data.simulate.scanner import scan
from unimri.data.simulate.seeds import stream
from unimri.data.simulate.settings import SimulationSettings

# Which sequence a contrast belongs to, its folder below DICOM_anon, the number in its file names, and how the
# two echoes of the dual sequence interleave: the file of slice k is number k * stride + offset.
_SERIES = {
    "InPhase": ("T1DUAL", "InPhase", 4, 2, 2),
    "OutPhase": ("T1DUAL", "OutPhase", 4, 2, 1),
    "T2SPIR": ("T2SPIR", "", 2, 1, 1),
}
_TRUTH_OF = ("InPhase", "T2SPIR")


def write(settings: SimulationSettings, root: Path, seed: int) -> Iterator[None]:
    """Write `<root>/<number>/{T1DUAL,T2SPIR}/{DICOM_anon,Ground}/...`; see `layouts`."""
    kind = phantoms()[settings.anatomy]
    folder_number = 0
    for patient in range(settings.patients):
        # Folder numbers have holes, as in the archive, where the other numbers went to the challenge's test.
        folder_number += int(stream(seed, settings.anatomy, "folder", patient).integers(1, 4))
        phantom = kind(stream(seed, settings.anatomy, "patient", patient))
        size = settings.matrix_sizes[patient % len(settings.matrix_sizes)]
        patient_id = f"SIMULATED-{settings.anatomy.upper()}-{folder_number:04d}"
        study = f"{seed} {patient_id}"
        for number, (contrast, (sequence, below, first, stride, offset)) in enumerate(_SERIES.items()):
            rng = stream(seed, settings.anatomy, "series", patient, sequence)
            volume = scan(phantom, contrast, (size, size), settings.slices, settings.noise, rng)
            folder = root / str(folder_number) / sequence
            # Numbers run from the top of the abdomen downwards.
            numbers = [(settings.slices - 1 - k) * stride + offset for k in range(settings.slices)]
            names = [f"IMG-{first:04d}-{n:05d}" for n in numbers]
            series = Series(
                patient_id=patient_id,
                patient_name=f"SIMULATED^{folder_number:04d}",
                study=study,
                series=f"{study} {contrast}",
                number=number + 1,
                description=f"{sequence} {contrast}" if below else sequence,
                axes=axes(kind.sagittal),
            )
            peak = float(rng.uniform(500, 2500))
            paths = [folder / "DICOM_anon" / below / f"{name}.dcm" for name in names]
            write_series(series, Encoding(12, peak), volume, paths, numbers)
            if contrast in _TRUTH_OF:
                (folder / "Ground").mkdir(parents=True)
                for name, labels in zip(names, volume.labels[0], strict=True):
                    Image.fromarray(labels).save(folder / "Ground" / f"{name}.png")
        yield
