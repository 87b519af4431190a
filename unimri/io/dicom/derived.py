"""A derived image: its header, de-identified if need be, and its values as the integers that DICOM stores."""

import secrets
import tomllib
from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset
from pydicom.datadict import dictionary_VR
from pydicom.dataset import FileMetaDataset
from pydicom.sr.coding import Code
from pydicom.tag import Tag
from pydicom.uid import (
    HTJ2K,
    JPEG2000,
    UID,
    EnhancedMRImageStorage,
    ExplicitVRLittleEndian,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    JPEGLSNearLossless,
    LegacyConvertedEnhancedMRImageStorage,
    MRImageStorage,
    MultiFrameGrayscaleWordSecondaryCaptureImageStorage,
    SecondaryCaptureImageStorage,
    generate_uid,
)

from unimri.core.errors import ReadError
from unimri.core.stacks import Lazy, Stack, extremes
from unimri.io.dicom.groups import is_enhanced
from unimri.io.volume import Provenance

# Of the series' number, so that it stands behind the scanner's own.
_NUMBER_OFFSET = 1000

_LOSSY = {JPEGBaseline8Bit, JPEGExtended12Bit, JPEGLSNearLossless, JPEG2000, HTJ2K}

# Classes that images of MR are stored in.
_STORAGE = {
    EnhancedMRImageStorage,
    LegacyConvertedEnhancedMRImageStorage,
    MRImageStorage,
    MultiFrameGrayscaleWordSecondaryCaptureImageStorage,
    SecondaryCaptureImageStorage,
}

# Of sequences in each other: enhanced images have four.
_DEPTH = 12

# Curves and overlays, drawn on the input: groups 5000 to 50FF and 6000 to 60FF.
_DRAWN = (0x50, 0x60)

# What says how dark values are shown; of no use once they are turned.
_DISPLAY = ("WindowCenter", "WindowWidth", "WindowCenterWidthExplanation", "VOILUTFunction", "VOILUTSequence")

_PIXELS = Tag("PixelData")

_NUMERIC = {"DS", "IS", "FD", "FL", "SL", "SS", "UL", "US"}

# Keywords of elements: which are dropped, and which alone a de-identified header keeps.
_TABLE = tomllib.loads(Path(__file__).with_suffix(".toml").read_text(encoding="utf-8"))
_DROPPED, _NUMBERS, _SEQUENCES, _EMPTY = (
    {Tag(keyword) for keyword in _TABLE[name].split()} for name in ("dropped", "numbers", "sequences", "empty")
)
_MOST = {Tag(keyword): float(most) for keyword, most in _TABLE["most"].items()}
_TERMS = {Tag(keyword): set(terms.split()) for keyword, terms in _TABLE["terms"].items()}

# Of this program's run: the same study gets the same new UID in all that it writes, and nobody can find the old one.
SECRET = secrets.token_hex()


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

    def store(self, image: NDArray[np.float32], number: int) -> NDArray[np.integer[Any]]:
        """The integers of an image, (rows, columns), that has a number in the volume."""
        stored = (image.astype(np.float64) - self.intercepts[number]) / self.slopes[number]
        return np.rint(stored).astype("<i2" if self.signed else "<u2")


class Stored(Lazy):
    """The integers of a volume, (images, rows, columns)."""

    def __init__(self, images: Stack, scale: Scale) -> None:
        self._images, self._scale, self.shape = images, scale, images.shape

    def one(self, number: int) -> NDArray[np.integer[Any]]:
        return self._scale.store(self._images[number], number)


@dataclass(frozen=True)
class Pixels:
    """What the header of a new file says of its pixels.

    Attributes
    ----------
    shape : frames, rows and columns.
    number : of the first frame in the volume, from 1.
    scale : of the volume.
    smallest, largest : stored integer.
    """

    shape: tuple[int, ...]
    number: int
    scale: Scale
    smallest: int
    largest: int


def choose_scale(images: Stack, frames: Sequence[FrameScale]) -> Scale:
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
    slope = float(f"{float(extremes(images)[1]) / 65535 or 1.0:.9e}")
    return Scale(np.full(len(images), slope), np.zeros(len(images)), 16, signed=False, kept=False)


def check_depth(dataset: Any, path: Path, left: int = _DEPTH) -> None:
    """Raise ReadError when sequences lie deeper in each other than in any image: writing doubles its work each time."""
    for element in dataset:
        if element.VR == "SQ":
            if not left:
                raise ReadError(path, f"nests sequences more than {_DEPTH} deep", "remove them: no image needs them")
            for item in element.value:
                check_depth(item, path, left - 1)


def derived(source: Any, provenance: Provenance, series: str, now: datetime) -> Dataset:
    """The header of a reconstruction of `source`, without pixels: in the series of that UID, made `now`.

    Private elements are dropped: they describe the scanner's own image, in ways that only its vendor knows, and may
    hold names. So are overlays, previews and signatures.
    """
    dataset = Dataset()
    for element in source:
        tag = element.tag
        # DICOM has nothing behind the pixels but padding and signatures.
        if tag < _PIXELS and not tag.is_private and tag not in _DROPPED and tag.group >> 8 not in _DRAWN:
            # Elements are shared otherwise, and what is set here would be set there.
            dataset.add(deepcopy(element))
    dataset.remove_private_tags()
    dataset.SOPInstanceUID, dataset.SeriesInstanceUID = generate_uid(), series
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID = _storage_class(source, provenance.deidentify)
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    if source.file_meta.get("TransferSyntaxUID") in _LOSSY and "LossyImageCompression" not in source:
        dataset.LossyImageCompression = "01"
    dataset.ImageType = _derived_type(source.get("ImageType"), is_enhanced(source))
    for frame_type in _groups(dataset, "MRImageFrameTypeSequence"):
        frame_type.FrameType = _derived_type(frame_type.get("FrameType"), enhanced=True)
    # In the 64 characters that there are, with what was made of it.
    short, present = provenance.short[:64], str(source.get("SeriesDescription") or "").strip()
    dataset.SeriesDescription = f"{present[: 63 - len(short)]} {short}".strip()
    dataset.SeriesNumber = int(source.get("SeriesNumber") or 0) + _NUMBER_OFFSET
    dataset.DerivationDescription = provenance.sentence[:1024]
    dataset.InstanceCreationDate, dataset.InstanceCreationTime = f"{now:%Y%m%d}", f"{now:%H%M%S}"
    if source.get("SOPInstanceUID"):
        item = Dataset()
        item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = dataset.SOPClassUID, source.SOPInstanceUID
        purpose = Code("121322", "DCM", "Source image for image processing operation")
        item.PurposeOfReferenceCodeSequence = [_coded(purpose)]
        dataset.SourceImageSequence = [item]
    dataset.ContributingEquipmentSequence = [
        *(source.get("ContributingEquipmentSequence") or []),
        _equipment(provenance),
    ]
    return dataset


def _storage_class(source: Any, deidentify: bool) -> UID:
    """The input's SOP class; MR's where it has none, or one that could say anything and nothing may be told."""
    stated = source.get("SOPClassUID") or source.file_meta.get("MediaStorageSOPClassUID")
    if stated and not (deidentify and stated not in _STORAGE):
        return UID(stated)
    return EnhancedMRImageStorage if is_enhanced(source) else MRImageStorage


def _equipment(provenance: Provenance) -> Dataset:
    """An item of ContributingEquipmentSequence: this software."""
    item = Dataset()
    item.Manufacturer = item.ManufacturerModelName = "unimri"
    item.SoftwareVersions = provenance.version
    item.PurposeOfReferenceCodeSequence = [_coded(Code("109102", "DCM", "Processing Equipment"))]
    return item


def deidentified(dataset: Any, source: Any, path: Path, provenance: Provenance, number: int, secret: str) -> Dataset:
    """A header of what is known to name nobody.

    Kept are numbers of the image plane and the pixels, those of the acquisition that can be such, terms that DICOM
    defines, and of enhanced images the functional groups with these. Images are counted anew. Patient and study are
    empty; study and frame of reference have new UIDs, the same for all that one run of the program writes of them;
    dates, references to other images, and every free text and count are gone.

    Parameters
    ----------
    dataset : from `derived`.
    source, path : the image that it was derived from, and its file.
    number : of the image in its new series, from 1.
    secret : `SECRET` of the program, and not of the process that reads.

    Raises
    ------
    ReadError : when the header says that names may be seen in the image itself.
    """
    if source.get("BurnedInAnnotation") == "YES":
        raise ReadError(path, "has texts burned into its pixels", "mask them before it is de-identified")
    result = _kept(dataset)
    result.file_meta = dataset.file_meta
    result.SOPClassUID, result.SOPInstanceUID = dataset.SOPClassUID, dataset.SOPInstanceUID
    result.SeriesInstanceUID = dataset.SeriesInstanceUID
    result.StudyInstanceUID = _new_uid(source.get("StudyInstanceUID"), secret)
    result.FrameOfReferenceUID = _new_uid(source.get("FrameOfReferenceUID"), secret)
    result.SeriesNumber, result.InstanceNumber = _NUMBER_OFFSET, number
    if "Modality" not in result:
        result.Modality = "MR"
    for tag in _EMPTY:
        result.add_new(tag, dictionary_VR(tag), "")
    result.SeriesDescription, result.DerivationDescription = provenance.short[:64], provenance.sentence[:1024]
    result.PatientIdentityRemoved = "YES"
    result.DeidentificationMethod = "unimri: numbers and defined terms kept"
    result.ContributingEquipmentSequence = [_equipment(provenance)]
    return result


def _kept(dataset: Any) -> Dataset:
    result = Dataset()
    for element in dataset:
        if element.tag in _SEQUENCES and element.VR == "SQ":
            result.add_new(element.tag, "SQ", [_kept(item) for item in element.value])
        elif element.VR in _NUMERIC and not element.is_empty:
            most = np.inf if element.tag in _NUMBERS else _MOST.get(element.tag, -1.0)
            if np.abs(np.array(element.value, np.float64)).max() <= most:
                result.add(element)
        elif element.tag in _TERMS:
            values = [value for value in _values(element.value) if value in _TERMS[element.tag]]
            if values:
                result.add_new(element.tag, element.VR, values)
    return result


def _values(present: Any) -> list[str]:
    """Of an element that may have one, several or none."""
    return [present] if isinstance(present, str) else list(present or [])


def _new_uid(present: Any, secret: str) -> UID:
    return generate_uid(entropy_srcs=[secret, str(present)]) if present else generate_uid()


def describe_pixels(dataset: Any, pixels: Pixels) -> None:
    """Put into a header from `derived` what describes new pixels, and no pixels at its end."""
    # Readers have brightened such images already.
    if dataset.get("PhotometricInterpretation") == "MONOCHROME1":
        for item in (dataset, *_groups(dataset, "FrameVOILUTSequence")):
            for keyword in _DISPLAY:
                item.pop(Tag(keyword), None)
        for group in _functional(dataset):
            group.pop(Tag("FrameVOILUTSequence"), None)
        if "PresentationLUTShape" in dataset:
            dataset.PresentationLUTShape = "IDENTITY"
        for item in (dataset, *_groups(dataset, "PixelValueTransformationSequence")):
            if "RescaleIntercept" in item:
                item.RescaleIntercept = "0"
            item.pop(Tag("RealWorldValueMappingSequence"), None)
    scale = pixels.scale
    dataset.PhotometricInterpretation, dataset.SamplesPerPixel = "MONOCHROME2", 1
    if not scale.kept:
        _rescale(dataset, float(scale.slopes[0]))
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 16, scale.bits, scale.bits - 1
    dataset.PixelRepresentation = int(scale.signed)
    kind = "SS" if scale.signed else "US"
    for keyword, value in (("SmallestImagePixelValue", pixels.smallest), ("LargestImagePixelValue", pixels.largest)):
        dataset.add_new(Tag(keyword), kind, value)
    dataset.add_new(_PIXELS, "OW", b"")


def _rescale(dataset: Any, slope: float) -> None:
    """Give all frames one slope, and take away what says otherwise."""
    transformations = _groups(dataset, "PixelValueTransformationSequence")
    for item in transformations or [dataset]:
        item.pop(Tag("ModalityLUTSequence"), None)
        item.RescaleSlope, item.RescaleIntercept, item.RescaleType = f"{slope:.9e}", "0", "US"
    for item in (dataset, *_functional(dataset)):
        item.pop(Tag("RealWorldValueMappingSequence"), None)


def _functional(dataset: Any) -> list[Any]:
    """All items of functional groups, shared and of frames."""
    names = ("SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence")
    return [group for name in names for group in dataset.get(name) or []]


def _groups(dataset: Any, keyword: str) -> list[Any]:
    """The items of one functional group, wherever they are."""
    return [item for group in _functional(dataset) for item in group.get(keyword) or []]


def _derived_type(present: Any, enhanced: bool) -> list[str]:
    """Image or frame type of a derived image: what comes third (M, NORM) says what the values are and is kept."""
    # Frames of enhanced images are never secondary.
    return ["DERIVED", "PRIMARY" if enhanced else "SECONDARY", *_values(present)[2:]]


def _coded(code: Code) -> Dataset:
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = code.value, code.scheme_designator, code.meaning
    return item
