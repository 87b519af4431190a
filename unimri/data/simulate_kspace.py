"""Simulated raw data: k-space of several coils with phase and noise, fully sampled, as fastMRI's `.h5` or as ISMRMRD.

The readout runs along the rows and is sampled twice as densely as the image needs, as scanners do.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from math import prod
from pathlib import Path
from xml.sax.saxutils import escape

import h5py
import numpy as np
import torch
from numpy.typing import NDArray

from unimri.core.hdf5 import writing_hdf5
from unimri.data.scanner import SimulationSettings, Volume, deviation, patients, scan, stream
from unimri.physics.acquisition import image_of
from unimri.physics.coils import draw_phase, draw_sensitivities
from unimri.physics.fourier import to_kspace

# How much of other coils the first slice has, and the last one less: they see each slice a little differently.
_DRIFT = 0.3
# Of the waves of a slice's phase.
_ORDER = 2

_HEADER = """<?xml version="1.0" encoding="UTF-8"?>
<ismrmrdHeader xmlns="http://www.ismrm.org/ISMRMRD">
<subjectInformation><patientID>{patient}</patientID></subjectInformation>
<measurementInformation>
<patientPosition>HFS</patientPosition><protocolName>{contrast}</protocolName>
</measurementInformation>
<acquisitionSystemInformation><receiverChannels>{coils}</receiverChannels></acquisitionSystemInformation>
<experimentalConditions><H1resonanceFrequency_Hz>63500000</H1resonanceFrequency_Hz></experimentalConditions>
<encoding>
<encodedSpace>
<matrixSize><x>{rows}</x><y>{columns}</y><z>1</z></matrixSize>
<fieldOfView_mm><x>{length:.6f}</x><y>{width:.6f}</y><z>{gap:.6f}</z></fieldOfView_mm>
</encodedSpace>
<reconSpace>
<matrixSize><x>{half}</x><y>{columns}</y><z>1</z></matrixSize>
<fieldOfView_mm><x>{half_length:.6f}</x><y>{width:.6f}</y><z>{gap:.6f}</z></fieldOfView_mm>
</reconSpace>
<encodingLimits><kspace_encoding_step_1>
<minimum>0</minimum><maximum>{last}</maximum><center>{centre}</center>
</kspace_encoding_step_1></encodingLimits>
<trajectory>cartesian</trajectory>
</encoding></ismrmrdHeader>
"""

# A line of k-space as ISMRMRD's library stores it (ismrmrd.h): names, order and types are the format.
_COUNTERS = [
    *((name, "<u2") for name in ("kspace_encode_step_1", "kspace_encode_step_2", "average", "slice", "contrast")),
    *((name, "<u2") for name in ("phase", "repetition", "set", "segment")),
    ("user", "<u2", (8,)),
]
_HEAD = [
    ("version", "<u2"),
    ("flags", "<u8"),
    *((name, "<u4") for name in ("measurement_uid", "scan_counter", "acquisition_time_stamp")),
    ("physiology_time_stamp", "<u4", (3,)),
    *((name, "<u2") for name in ("number_of_samples", "available_channels", "active_channels")),
    ("channel_mask", "<u8", (16,)),
    *((name, "<u2") for name in ("discard_pre", "discard_post", "center_sample", "encoding_space_ref")),
    ("trajectory_dimensions", "<u2"),
    ("sample_time_us", "<f4"),
    *((name, "<f4", (3,)) for name in ("position", "read_dir", "phase_dir", "slice_dir", "patient_table_position")),
    ("idx", _COUNTERS),
    ("user_int", "<i4", (8,)),
    ("user_float", "<f4", (8,)),
]
_FLOATS = h5py.vlen_dtype(np.float32)
_LINE = np.dtype([("head", _HEAD), ("traj", _FLOATS), ("data", _FLOATS)])
# Bytes of a line but for its numbers, with what HDF5 keeps of it; rounded up.
_AROUND_LINE = 1000


@dataclass(frozen=True)
class Series:
    """One series of a patient, scanned with twice the rows that its image has.

    Attributes
    ----------
    patient, contrast : as the header says.
    volume : the scan, without noise.
    coils : how many.
    """

    patient: str
    contrast: str
    volume: Volume
    coils: int

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """Pictures (those of one slice together), coils, rows and columns of k-space."""
        frames, slices, rows, columns = self.volume.magnitude.shape
        return frames * slices, self.coils, rows, columns

    def header(self) -> str:
        """ISMRMRD's XML header, which fastMRI's files have too."""
        _, coils, rows, columns = self.shape
        spacing = self.volume.spacing
        return _HEADER.format(
            patient=escape(self.patient),
            contrast=escape(self.contrast),
            coils=coils,
            rows=rows,
            half=rows // 2,
            columns=columns,
            length=rows * spacing,
            half_length=rows // 2 * spacing,
            width=columns * spacing,
            gap=self.volume.gap,
            last=columns - 1,
            centre=columns // 2,
        )

    def kspace(self, phase: float, noise: float, rng: np.random.Generator) -> Iterator[NDArray[np.complex64]]:
        """What the coils measure of one picture after the other, each complex64 (coils, rows, columns).

        Parameters
        ----------
        phase : root mean square of each slice's, radians.
        noise : standard deviation of real and imaginary part, each, where the noiseless image has the maximum 1.
        rng : draws coils, phase, noise and the scanner's scale.
        """
        _, coils, rows, columns = self.shape
        scale = np.float32(rng.uniform(1e-5, 1e-3))
        near, far = (draw_sensitivities(rng, coils, (rows, columns)) for _ in range(2))
        pictures = torch.from_numpy(self.volume.magnitude).swapaxes(0, 1)
        for share, frames in zip(np.linspace(-_DRIFT, _DRIFT, len(pictures)), pictures, strict=True):
            sensitivities = near + share * far
            sensitivities /= torch.linalg.vector_norm(sensitivities, dim=0)
            turn = draw_phase(rng, (rows, columns), _ORDER, phase)
            for picture in frames:
                signal = to_kspace(torch.polar(picture, turn) * sensitivities).numpy()
                real, imaginary = np.float32(noise) * rng.standard_normal((2, *signal.shape), dtype=np.float32)
                measured: NDArray[np.complex64] = scale * (signal + real + np.complex64(1j) * imaginary)
                yield measured


def write_kspace(settings: SimulationSettings, root: Path, seed: int) -> Iterator[None]:
    """Raw data: a file a series, in the format that `settings.kspace` names.

    Writes `<root>/file_<anatomy>_<patient>_<series>.h5`; see `unimri.data.simulate.LAYOUTS`. Heart phases, of an
    anatomy in ACDC's layout, are pictures of their slice.
    """
    raw = settings.kspace
    assert raw is not None
    write = {"fastmri-h5": _write_fastmri, "ismrmrd": _write_ismrmrd}[raw.format]
    for patient, phantom in patients(settings, seed):
        contrasts = stream(seed, settings.anatomy, "protocol", patient).permutation(list(phantom.tissues)).tolist()
        frames = settings.frames if phantom.layout == "acdc" else 1
        for number in range(settings.series):
            rng = stream(seed, settings.anatomy, "series", patient, number)
            size = settings.matrix_sizes[(patient + number) % len(settings.matrix_sizes)]
            contrast = contrasts[number % len(contrasts)]
            volume = scan(phantom, contrast, (2 * size, size), settings.slices, 0.0, rng, frames)
            series = Series(f"SIMULATED-{settings.anatomy.upper()}-{patient + 1:04d}", contrast, volume, raw.coils)
            pictures = series.kspace(raw.phase, deviation(settings.noise, size), rng)
            write(root / f"file_{settings.anatomy}_{patient + 1:04d}_{number + 1:02d}.h5", series, pictures)
        yield


def _write_fastmri(path: Path, series: Series, pictures: Iterator[NDArray[np.complex64]]) -> None:
    count, _, rows, columns = series.shape
    size = rows // 2, columns
    images = np.empty((count, *size), np.float32)
    with writing_hdf5(path, 8 * prod(series.shape) + images.nbytes) as file:
        file["ismrmrd_header"] = series.header()
        stored = file.create_dataset("kspace", series.shape, np.complex64)
        for number, kspace in enumerate(pictures):
            stored[number] = kspace
            images[number] = image_of(kspace, size)
        file["reconstruction_rss"] = images
        named = {"acquisition": series.contrast, "patient_id": series.patient}
        file.attrs.update(named | {"max": images.max(), "norm": np.linalg.norm(images)})


def _write_ismrmrd(path: Path, series: Series, pictures: Iterator[NDArray[np.complex64]]) -> None:
    count, coils, rows, columns = series.shape
    frames = len(series.volume.magnitude)
    with writing_hdf5(path, 8 * prod(series.shape) + _AROUND_LINE * count * columns) as file:
        group = file.create_group("dataset")
        group.create_dataset("xml", data=[series.header()], dtype=h5py.string_dtype())
        stored = group.create_dataset("data", (count * columns,), _LINE)
        for number, kspace in enumerate(pictures):
            lines = np.zeros(columns, _LINE)
            head = lines["head"]
            head["version"] = 1
            head["scan_counter"] = number * columns + np.arange(columns)
            head["number_of_samples"], head["center_sample"] = rows, rows // 2
            head["available_channels"] = head["active_channels"] = coils
            head["idx"]["kspace_encode_step_1"] = np.arange(columns)
            head["idx"]["slice"], head["idx"]["phase"] = divmod(number, frames)
            for column in range(columns):
                lines["traj"][column] = np.empty(0, np.float32)
                lines["data"][column] = np.ascontiguousarray(kspace[..., column]).view(np.float32).ravel()
            stored[number * columns : (number + 1) * columns] = lines
