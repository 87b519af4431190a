"""The layouts of data sets: which files are which patient's, in any folder and in public challenges' archives.

`format` in the settings chooses one by its name.
"""

import json
import re
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal, get_args

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from unimri.core.errors import ReadError, UnimriError
from unimri.core.plugins import READER_GROUP, load_plugins, one_of
from unimri.core.settings import Settings, parse_settings
from unimri.data.reader import BuiltIn, ImageReader, PatientPattern, Reader, patient_by_folder, patient_by_pattern
from unimri.io import bart, fastmri, hdf5_arrays, ismrmrd, nifti
from unimri.io.dicom.pixels import read_series
from unimri.io.dicom.series import Header, find_series, series_orientation
from unimri.io.fastmri import UNREADABLE, find_hdf5
from unimri.io.isolated import isolated
from unimri.io.layout import Layout
from unimri.io.volume import (
    APART,
    FOREIGN,
    LABELS,
    Found,
    Passed,
    Plane,
    Scan,
    Walk,
    has_suffix,
    is_label,
    may_have_suffix,
    without_suffix,
)


class DicomReader(BuiltIn, ImageReader):
    """Any folder tree with DICOM files, such as fastMRI's DICOM archives."""

    format: Literal["dicom", "fastmri-dicom"] = "dicom"
    plane: Plane = Field(
        "native",
        description="Plane of the slices; native keeps the images as they were acquired. The others need a stack of "
        "images, each at a position of its own.",
    )
    patient: Literal["header", "folder"] = Field(
        "header",
        description="What makes a patient: PatientID (where it is blank, as with folder), "
        "or the first folder below the root.",
    )
    patient_pattern: PatientPattern = None

    wanted = "DICOM image"

    def search(self, walked: Walk) -> Found:
        """Find the series of images, by their headers; file names and extensions do not matter.

        What is no DICOM, and series that are no images, are passed over. A file that says it is DICOM and cannot
        be parsed becomes a scan of its own with the fault, so that whoever reads can decide to skip it.
        """

        def key(header: Header) -> tuple[str, str]:
            place = header.path.relative_to(walked.root)
            named = header.patient if self.patient == "header" else ""
            # Files in the root of a tree without patient names: their study is the nearest to a patient.
            alone = patient_by_folder(place) or header.study or header.series
            patient = patient_by_pattern(place, self.patient_pattern) or named or alone
            return patient, header.series or place.parent.as_posix()

        series, faults, passed = find_series(walked.root, walked.files, key)
        scans = [
            Scan(f"{patient}/{name}", own.paths, own.fault, patient, own.note)
            for (patient, name), own in series.items()
        ]
        for fault in faults:
            place = fault.path.relative_to(walked.root)
            scans.append(Scan(place.as_posix(), (fault.path,), fault, self.patient_at(place)))
        return Found(sorted(scans, key=lambda scan: (scan.patient, scan.name)), passed)

    def may_be(self, place: Path) -> bool:
        return not has_suffix(place, FOREIGN)

    def patient_at(self, place: Path) -> str:
        return patient_by_pattern(place, self.patient_pattern) or patient_by_folder(place) or place.name

    def read(self, paths: tuple[Path, ...]) -> NDArray[np.float32]:
        return read_series(paths, self.plane, self.negatives)

    def orientation(self, paths: tuple[Path, ...]) -> str:
        return series_orientation(paths, self.plane)


class NiftiReader(BuiltIn, ImageReader):
    """Any folder of NIfTI files."""

    format: Literal["nifti"] = "nifti"
    plane: Plane = Field(
        "native", description="Plane of the slices; native takes the third axis of the file as it is stored."
    )
    patient: Literal["file", "folder"] = Field(
        "folder",
        description="What makes a patient: each file, or BIDS' folder sub-..., else the first folder below the root "
        "(files that lie in the root itself are each a patient, those of one sub-... are one).",
    )
    patient_pattern: PatientPattern = None
    exclude: list[str] = Field(
        default_factory=lambda: [*LABELS, *APART],
        description="Patterns of names of files or folders that are no scans, such as masks; case does not matter.",
    )

    wanted = "NIfTI file (.nii, .nii.gz) that is not excluded"

    def search(self, walked: Walk) -> Found:
        """Find the `.nii` and `.nii.gz` files; each is a volume."""
        found = nifti.find(walked.root, walked.files, self.exclude)
        channels = _channels(scan.paths[0] for scan in found.scans)
        # Unpacked and packed, a file in the root is of one patient.
        first: dict[str, str] = {}
        scans = []
        for scan in found.scans:
            place = Path(scan.name)
            patient = self.patient_at(place)
            if scan.paths[0] in channels and patient_by_pattern(place, self.patient_pattern) is None:
                patient = place.with_name(channels[scan.paths[0]][0]).as_posix()
            elif patient == scan.name:
                patient = first.setdefault(place.with_name(without_suffix(place, nifti.ENDS)).as_posix(), patient)
            scans.append(replace(scan, patient=patient))
        return found._replace(scans=scans)

    def may_be(self, place: Path) -> bool:
        return may_have_suffix(place, nifti.ENDS) and not is_label(place, self.exclude)

    def patient_at(self, place: Path) -> str:
        by_place = patient_by_folder(place, subject=True) if self.patient == "folder" else ""
        return patient_by_pattern(place, self.patient_pattern) or by_place or place.as_posix()

    def read(self, paths: tuple[Path, ...]) -> NDArray[np.float32]:
        return nifti.read_slices(paths[0], self.plane, negatives=self.negatives)

    def orientation(self, paths: tuple[Path, ...]) -> str:
        return nifti.slice_orientation(paths[0], self.plane)


class FastmriReader(BuiltIn, ImageReader):
    """fastMRI's k-space files, single-coil and multi-coil (https://fastmri.med.nyu.edu)."""

    format: Literal["fastmri-h5"] = "fastmri-h5"
    use: fastmri.Use = Field(
        "reconstruction",
        description="What to take the images from: the file's own reconstruction (where it has none, its k-space), "
        "or always its k-space.",
    )
    acquisitions: list[str] | None = Field(
        None,
        min_length=1,
        description="Which values of the attribute `acquisition` to read, such as AXT1 or CORPD_FBK; null reads all.",
    )
    patient: Literal["header", "file"] = Field(
        "header",
        description="What makes a patient: the attribute patient_id (where it is blank, the file), or each file.",
    )
    patient_pattern: PatientPattern = None

    wanted = "fastMRI file (.h5) of the acquisitions that are asked for"

    def search(self, walked: Walk) -> Found:
        """Find the `.h5` files; each is a volume.

        Files of other acquisitions than the settings name are passed over. A file that cannot be opened becomes a
        scan with the fault.
        """
        named = partial(fastmri.patient_of, acquisitions=self.acquisitions)
        otherwise = "is of another acquisition than is asked for"
        found = find_hdf5(walked.root, walked.files, fastmri.ENDS, "fastMRI headers", named, otherwise)
        return _of_patients(found, self.patient == "header", self.patient_pattern)

    def may_be(self, place: Path) -> bool:
        return may_have_suffix(place, fastmri.ENDS) and not is_label(place, APART)

    def patient_at(self, place: Path) -> str:
        return patient_by_pattern(place, self.patient_pattern) or place.as_posix()

    def read(self, paths: tuple[Path, ...]) -> NDArray[np.float32]:
        return isolated(paths[0], UNREADABLE, fastmri.read_slices, self.use, self.negatives)


class NamelessReader(BuiltIn):
    """A reader of raw data that names nobody."""

    patient: Literal["file", "folder"] = Field(
        "folder",
        description="What makes a patient: each file, or BIDS' folder sub-..., else the first folder below the root "
        "(files that lie in the root itself are each a patient).",
    )
    patient_pattern: PatientPattern = None

    def patient_at(self, place: Path) -> str:
        by_place = patient_by_folder(place, subject=True) if self.patient == "folder" else ""
        return patient_by_pattern(place, self.patient_pattern) or by_place or place.as_posix()

    def with_patients(self, found: Found) -> Found:
        """The scans with the patients that their paths tell."""
        return found._replace(scans=[replace(scan, patient=self.patient_at(Path(scan.name))) for scan in found.scans])


class ArraysReader(NamelessReader):
    """Fully sampled k-space as arrays in HDF5 or MATLAB's v7.3: Calgary-Campinas, SKM-TEA, CMRxRecon, and any other."""

    format: Literal["hdf5-kspace"] = "hdf5-kspace"
    layout: Layout | None = Field(None, description="Where the points lie; null: of a data set that is known.")

    wanted = "file (.h5, .mat) with an array of k-space of a known layout"

    def search(self, walked: Walk) -> Found:
        """Find the files with such an array; each is a volume. One that cannot be opened has the fault."""
        return self.with_patients(hdf5_arrays.find(walked.root, walked.files, self.layout))

    def may_be(self, place: Path) -> bool:
        return may_have_suffix(place, hdf5_arrays.ENDS) and not is_label(place, APART)

    def read(self, paths: tuple[Path, ...]) -> NDArray[np.float32]:
        return isolated(paths[0], UNREADABLE, hdf5_arrays.read_slices, self.layout)


class BartReader(NamelessReader):
    """BART's arrays of fully sampled Cartesian k-space (https://mrirecon.github.io/bart)."""

    format: Literal["bart"] = "bart"

    wanted = "BART array (.cfl with its .hdr)"

    def search(self, walked: Walk) -> Found:
        """Find the `.cfl` files; each is a volume. One without a header that fits has the fault."""
        return self.with_patients(bart.find(walked.root, walked.files))

    def may_be(self, place: Path) -> bool:
        return may_have_suffix(place, bart.ENDS) and not is_label(place)

    def read(self, paths: tuple[Path, ...]) -> NDArray[np.float32]:
        return isolated(paths[0], bart.UNREADABLE, bart.read_slices)


class IsmrmrdReader(BuiltIn):
    """ISMRMRD: raw Cartesian acquisitions of any vendor (https://ismrmrd.github.io)."""

    format: Literal["ismrmrd"] = "ismrmrd"
    patient: Literal["header", "file"] = Field(
        "header",
        description="What makes a patient: patientID of the header (where it is blank, the file), or each file.",
    )
    patient_pattern: PatientPattern = None

    wanted = "ISMRMRD file (.h5, .mrd)"

    def search(self, walked: Walk) -> Found:
        """Find the `.h5` and `.mrd` files; each is a volume.

        A file whose header cannot be read becomes a scan with the fault.
        """
        named = ismrmrd.patient_of
        found = find_hdf5(walked.root, walked.files, ismrmrd.ENDS, "ISMRMRD headers", named, "is no ISMRMRD file")
        return _of_patients(found, self.patient == "header", self.patient_pattern)

    def may_be(self, place: Path) -> bool:
        return may_have_suffix(place, ismrmrd.ENDS) and not is_label(place, APART)

    def patient_at(self, place: Path) -> str:
        return patient_by_pattern(place, self.patient_pattern) or place.as_posix()

    def read(self, paths: tuple[Path, ...]) -> NDArray[np.float32]:
        return isolated(paths[0], UNREADABLE, ismrmrd.read_slices)


def _of_patients(found: Found, by_header: bool, pattern: str | None) -> Found:
    """The scans with their patients: by a pattern, the header or the file."""
    return found._replace(
        scans=[
            replace(
                scan,
                patient=patient_by_pattern(Path(scan.name), pattern)
                or (scan.patient if by_header else "")
                or scan.name,
            )
            for scan in found.scans
        ]
    )


class AcdcReader(BuiltIn, ImageReader):
    """ACDC: cardiac cine, one 4D file a patient (https://www.creatis.insa-lyon.fr/Challenge/acdc)."""

    format: Literal["acdc"] = "acdc"

    wanted = "ACDC scan (patientNNN/patientNNN_4d.nii.gz)"

    def search(self, walked: Walk) -> Found:
        """Find `patientNNN/patientNNN_4d.nii.gz`, or `.nii`; frames and their labels are passed over.

        The files may lie deeper (`training/patient001/...`), as the challenge's own archive has them. A slice is
        one position at one time of the heartbeat.
        """
        scans = [
            Scan(place.as_posix(), (path,), patient=path.parent.name)
            for path, place in walked.places()
            if self._is_cine(path)
        ]
        patients = {scan.patient for scan in scans}
        passed = [
            Passed(path, "belongs to a patient's cine", companion=True)
            if path.parent.name in patients
            else Passed(path, "belongs to a patient whose cine (`_4d`) is not there")
            for path, _ in walked.places()
            if re.fullmatch(r"patient\d+", path.parent.name) and not self._is_cine(path)
        ]
        return Found(scans, passed)

    @staticmethod
    def _is_cine(path: Path) -> bool:
        patient = path.parent.name
        return re.fullmatch(r"patient\d+", patient) is not None and (
            has_suffix(path, nifti.ENDS) and without_suffix(path, nifti.ENDS) == f"{patient}_4d"
        )

    def may_be(self, place: Path) -> bool:
        return self._is_cine(place) or not has_suffix(place, (*nifti.ENDS, ".cfg", ".md"))

    def patient_at(self, place: Path) -> str:
        return place.parent.name or place.name

    def read(self, paths: tuple[Path, ...]) -> NDArray[np.float32]:
        return nifti.read_slices(paths[0], negatives=self.negatives)

    def orientation(self, paths: tuple[Path, ...]) -> str:
        return nifti.slice_orientation(paths[0])


class DecathlonReader(BuiltIn, ImageReader):
    """Medical Segmentation Decathlon: one task's folder (http://medicaldecathlon.com)."""

    format: Literal["decathlon"] = "decathlon"
    channel: int = Field(
        0, ge=0, description="Which channel of a 4D file to read; in Task05_Prostate 0 is T2 and 1 is ADC."
    )

    wanted = "Decathlon image (imagesTr/*.nii.gz, imagesTs/*.nii.gz)"

    def search(self, walked: Walk) -> Found:
        """Find the files of `imagesTr` and `imagesTs`; labels are passed over.

        Each file is a patient, or as many as have a patient's name before the number of a channel: then `channel`
        chooses one of them.
        """
        if not (walked.root / "dataset.json").is_file():
            raise UnimriError(
                f"{walked.root}: found no dataset.json; give the folder of one task, such as Task05_Prostate"
            )
        found = Found([], [])
        images = [path for path, place in walked.places() if self._is_image(place)]
        channels = _channels(images)
        patients: dict[Path, dict[int, Path]] = {}
        for path in images:
            case, number = channels.get(path, (without_suffix(path, nifti.ENDS), self.channel))
            patients.setdefault(path.with_name(case), {})[number] = path
        for patient, files in patients.items():
            path = files.get(self.channel, next(iter(files.values())))
            fault = None
            if self.channel not in files:
                fault = ReadError(path, f"is of a patient without channel {self.channel}", "set another `channel`")
            found.scans.append(Scan(path.relative_to(walked.root).as_posix(), (path,), fault, patient.name))
            others = (other for other in files.values() if other != path)
            found.passed.extend(Passed(other, "is of another channel than `channel` asks for") for other in others)
        for path, place in walked.places():
            if place.parts[0] in ("labelsTr", "dataset.json"):
                shown = walked.root / place.parts[0]
                found.passed.append(Passed(path, "belongs to the task and is no image", shown, companion=True))
        return found

    @staticmethod
    def _is_image(place: Path) -> bool:
        return has_suffix(place, nifti.ENDS) and place.parent.as_posix() in ("imagesTr", "imagesTs")

    def may_be(self, place: Path) -> bool:
        return may_have_suffix(place, nifti.ENDS) and place.parts[0] in ("imagesTr", "imagesTs")

    def patient_at(self, place: Path) -> str:
        return without_suffix(place, nifti.ENDS)

    def read(self, paths: tuple[Path, ...]) -> NDArray[np.float32]:
        match = _CHANNEL.fullmatch(without_suffix(paths[0], nifti.ENDS))
        alone = match is not None and int(match[2]) == self.channel and nifti.axes(paths[0]) < 4
        return nifti.read_slices(paths[0], channel=0 if alone else self.channel, negatives=self.negatives)

    def orientation(self, paths: tuple[Path, ...]) -> str:
        return nifti.slice_orientation(paths[0])


# As nnU-Net names files of one channel: patient and channel.
_CHANNEL = re.compile(r"(.+)_([0-9]{4})", re.DOTALL)


def _channels(files: Iterable[Path]) -> dict[Path, tuple[str, int]]:
    """Patient and channel of the files that have one channel each, as nnU-Net's raw data.

    These are the files whose number the `dataset.json` beside their folder knows as a channel's. Where none is there,
    they are all those of a folder in which each patient has the same numbers from 0 up, fewer than there are patients.
    """
    folders: dict[Path, dict[Path, tuple[str, int]]] = {}
    for path in files:
        if match := _CHANNEL.fullmatch(without_suffix(path, nifti.ENDS)):
            folders.setdefault(path.parent, {})[path] = match[1], int(match[2])
    found: dict[Path, tuple[str, int]] = {}
    for folder, named in folders.items():
        declared = _declared_channels(folder.absolute().parent / "dataset.json")
        cases: dict[str, set[int]] = {}
        for case, number in named.values():
            cases.setdefault(case, set()).add(number)
        numbers = set().union(*cases.values())
        if declared is None:
            alike = all(own == set(range(len(numbers))) for own in cases.values())
            declared = len(numbers) if alike and 2 <= len(numbers) < len(cases) else 0
        own = {path: one for path, one in named.items() if one[1] < declared}
        with suppress(ReadError):
            if own and nifti.axes(next(iter(own))) > 3:
                continue
        found |= own
    return found


def _declared_channels(path: Path) -> int | None:
    """How many channels or modalities a data set's description names; None where it names none."""
    try:
        about = json.loads(path.read_text(encoding="utf-8"))
        names = about.get("channel_names", about.get("modality"))
        return len(names) or None
    # Whatever is there instead.
    except (OSError, ValueError, AttributeError, TypeError, RecursionError):
        return None


Sequence = Literal["InPhase", "OutPhase", "T2SPIR"]

FOLDERS: dict[Sequence, str] = {
    "InPhase": "T1DUAL/DICOM_anon/InPhase",
    "OutPhase": "T1DUAL/DICOM_anon/OutPhase",
    "T2SPIR": "T2SPIR/DICOM_anon",
}


class ChaosReader(BuiltIn, ImageReader):
    """CHAOS: abdominal MR of healthy volunteers (https://chaos.grand-challenge.org)."""

    format: Literal["chaos-mr"] = "chaos-mr"
    sequences: list[Sequence] = Field(
        default_factory=lambda: list(FOLDERS),
        min_length=1,
        description="Which sequences to read; each is a volume.",
    )

    @property
    def wanted(self) -> str:  # type: ignore[override]
        return f"CHAOS MR sequence ({', '.join(f'N/{FOLDERS[sequence]}' for sequence in self.sequences)})"

    def search(self, walked: Walk) -> Found:
        """Find the sequences of each patient `N`; the `Ground` labels are passed over.

        The folder is the challenge's `MR` or lies anywhere above it, as with both `Train_Sets/MR/N` and
        `Test_Sets/MR/N`: the challenge gives each number once. A patient who lacks one of the sequences has fewer
        volumes. A DICOM file that cannot be parsed is a fault of its sequence.
        """
        places: dict[tuple[Path, Sequence], list[Path]] = {}
        passed = []
        for path in walked.files:
            for above in path.parents[: len(path.relative_to(walked.root).parts)]:
                place = f"/{above.relative_to(walked.root).as_posix()}"
                sequence = next((name for name, below in FOLDERS.items() if place.endswith(f"/{below}")), None)
                if sequence is not None:
                    patient = above.parents[FOLDERS[sequence].count("/")]
                    places.setdefault((patient, sequence), []).append(path)
                    break
                if above.name == "Ground":
                    passed.append(Passed(path, "is a label map of the challenge", above, companion=True))
                    break
        scans = []
        order = list(FOLDERS)
        for (patient, sequence), files in sorted(places.items(), key=lambda one: (one[0][0], order.index(one[0][1]))):
            if sequence in self.sequences:
                own = _sequence(walked.root, patient, sequence, files)
                scans += own.scans
                passed += own.passed
            else:
                passed += [Passed(path, "is of a sequence that is not asked for", path.parent) for path in files]
        return Found(scans, passed)

    def may_be(self, place: Path) -> bool:
        return not has_suffix(place, FOREIGN) and "Ground" not in place.parts

    def read(self, paths: tuple[Path, ...]) -> NDArray[np.float32]:
        return read_series(paths, negatives=self.negatives)

    def orientation(self, paths: tuple[Path, ...]) -> str:
        return series_orientation(paths)


def _sequence(root: Path, patient: Path, sequence: Sequence, files: list[Path]) -> Found:
    name = f"{patient.relative_to(root).as_posix()}/{sequence}"
    # The two echoes of T1DUAL may share a series, so the folder and not the header says what is one volume.
    series, faults, passed = find_series(root, files, lambda header: ("", ""), title=None)
    if faults:
        rest = [Passed(path, "belongs to a sequence that cannot be read", path.parent) for path in files]
        return Found([Scan(name, (faults[0].path,), faults[0], patient.name)], rest)
    return Found([Scan(name, own.paths, own.fault, patient.name, own.note) for own in series.values()], passed)


_BUILT_IN = (
    *(AcdcReader, BartReader, ChaosReader, DecathlonReader, DicomReader),
    *(FastmriReader, ArraysReader, IsmrmrdReader, NiftiReader),
)
_FORMATS = [name for kind in _BUILT_IN for name in get_args(kind.model_fields["format"].annotation)]
_PLUGINS = load_plugins(READER_GROUP, Reader, _FORMATS, "format")

if TYPE_CHECKING:
    ReaderSettings = Reader
else:
    ReaderSettings = one_of((*_BUILT_IN, *_PLUGINS.values()), "format")
"""Settings of any reader: `{format: NAME, ...}`."""


class ReaderChoice(Settings):
    """A reader's settings on their own."""

    reader: ReaderSettings


def parse_reader(text: str) -> Reader:
    """A reader from its name, such as dicom, or from its settings as JSON.

    Raises
    ------
    UnimriError
        When there is no such reader, or a setting is wrong.
    """
    named = text if text.lstrip().startswith("{") else json.dumps({"format": text})
    return parse_settings(ReaderChoice, f'{{"reader": {named}}}', "--reader").reader
