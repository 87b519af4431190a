"""The header of a derived image."""

from copy import deepcopy
from datetime import datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset
from pydicom.dataset import FileMetaDataset
from pydicom.sr.coding import Code
from pydicom.tag import Tag
from pydicom.uid import (
    HTJ2K,
    JPEG2000,
    ExplicitVRLittleEndian,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    JPEGLSNearLossless,
    generate_uid,
)

from unimri.data.read.dicom_header import is_enhanced
from unimri.formats.dicom_scale import Scale
from unimri.formats.scan import Made

# Of the series' number, so that it stands behind the scanner's own.
NUMBER_OFFSET = 1000

_LOSSY = {JPEGBaseline8Bit, JPEGExtended12Bit, JPEGLSNearLossless, JPEG2000, HTJ2K}

# They show or describe the input's pixels, or sign its header.
_DROPPED = {
    Tag(keyword)
    for keyword in (
        "DataSetTrailingPadding",
        "DigitalSignaturesSequence",
        "EncapsulatedPixelDataValueTotalLength",
        "ExtendedOffsetTable",
        "ExtendedOffsetTableLengths",
        "IconImageSequence",
        "LargestPixelValueInSeries",
        "MACParametersSequence",
        "PixelData",
        "PixelDataProviderURL",
        "PixelPaddingRangeLimit",
        "PixelPaddingValue",
        "SmallestPixelValueInSeries",
    )
}
# Curves and overlays, drawn on the input: groups 5000 to 50FF and 6000 to 60FF.
_DRAWN = (0x50, 0x60)

# What says how dark values are shown; of no use once they are turned.
_DISPLAY = ("WindowCenter", "WindowWidth", "WindowCenterWidthExplanation", "VOILUTFunction", "VOILUTSequence")


def derived(source: Any, made: Made, series: str, now: datetime) -> Dataset:
    """The header of a reconstruction of `source`, without pixels.

    Private elements are dropped: they describe the scanner's own image, in ways that only its vendor knows, and may
    hold names. So are overlays, previews and signatures.

    Parameters
    ----------
    source : the image as pydicom has parsed it.
    made : what is said of the reconstruction.
    series : UID of the new series.
    now : time of making.
    """
    dataset = Dataset()
    for element in source:
        if not element.tag.is_private and element.tag not in _DROPPED and element.tag.group >> 8 not in _DRAWN:
            # Elements are shared otherwise, and what is set here would be set there.
            dataset.add(deepcopy(element))
    dataset.remove_private_tags()
    dataset.SOPInstanceUID, dataset.SeriesInstanceUID = generate_uid(), series
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID = source.get(
        "SOPClassUID", source.file_meta.get("MediaStorageSOPClassUID")
    )
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    if source.file_meta.get("TransferSyntaxUID") in _LOSSY and "LossyImageCompression" not in source:
        dataset.LossyImageCompression = "01"
    dataset.ImageType = _derived_type(source.get("ImageType"), is_enhanced(source))
    for frame_type in _groups(dataset, "MRImageFrameTypeSequence"):
        frame_type.FrameType = _derived_type(frame_type.get("FrameType"), enhanced=True)
    dataset.SeriesDescription = _described(source.get("SeriesDescription"), made)
    dataset.SeriesNumber = int(source.get("SeriesNumber") or 0) + NUMBER_OFFSET
    dataset.DerivationDescription = made.sentence[:1024]
    dataset.InstanceCreationDate, dataset.InstanceCreationTime = f"{now:%Y%m%d}", f"{now:%H%M%S}"
    if "SOPInstanceUID" in source and dataset.SOPClassUID:
        dataset.SourceImageSequence = [_reference(source)]
    dataset.ContributingEquipmentSequence = [*(source.get("ContributingEquipmentSequence") or []), equipment(made)]
    return dataset


def equipment(made: Made) -> Dataset:
    """An item of ContributingEquipmentSequence: this software."""
    item = Dataset()
    item.Manufacturer = item.ManufacturerModelName = "unimri"
    item.SoftwareVersions = made.version
    item.PurposeOfReferenceCodeSequence = [_coded(Code("109102", "DCM", "Processing Equipment"))]
    return item


def encode(dataset: Any, scale: Scale, images: NDArray[np.float32], order: list[int]) -> None:
    """Put pixels into a header, and what describes them.

    Parameters
    ----------
    dataset : from `derived`.
    scale : of the volume.
    images : (frames, rows, columns), float32, in the order of the file's frames.
    order : their numbers in the volume.
    """
    stored = scale.store(images, order)
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
    dataset.PhotometricInterpretation, dataset.SamplesPerPixel = "MONOCHROME2", 1
    if not scale.kept:
        _rescale(dataset, float(scale.slopes[0]))
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 16, scale.bits, scale.bits - 1
    dataset.PixelRepresentation = int(scale.signed)
    kind = "SS" if scale.signed else "US"
    for keyword, value in (("SmallestImagePixelValue", stored.min()), ("LargestImagePixelValue", stored.max())):
        dataset.add_new(Tag(keyword), kind, int(value))
    dataset.add_new(Tag("PixelData"), "OW", stored.tobytes())


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
    if not is_enhanced(dataset):
        return []
    shared, each = dataset.get("SharedFunctionalGroupsSequence"), dataset.get("PerFrameFunctionalGroupsSequence")
    return [*(shared or []), *(each or [])]


def _groups(dataset: Any, keyword: str) -> list[Any]:
    """The items of one functional group, wherever they are."""
    return [item for group in _functional(dataset) for item in group.get(keyword) or []]


def _derived_type(present: Any, enhanced: bool) -> list[str]:
    """Image or frame type of a derived image: what comes third (M, NORM) says what the values are and is kept."""
    values = [present] if isinstance(present, str) else list(present or [])
    # Frames of enhanced images are never secondary.
    return ["DERIVED", "PRIMARY" if enhanced else "SECONDARY", *values[2:]]


def _described(present: Any, made: Made) -> str:
    """The series' description with what was made of it, in the 64 characters that there are."""
    short = made.short[:64]
    return f"{str(present or '').strip()[: 63 - len(short)]} {short}".strip()


def _reference(source: Any) -> Dataset:
    item = Dataset()
    item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = source.SOPClassUID, source.SOPInstanceUID
    item.PurposeOfReferenceCodeSequence = [_coded(Code("121322", "DCM", "Source image for image processing operation"))]
    return item


def _coded(code: Code) -> Dataset:
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = code.value, code.scheme_designator, code.meaning
    return item
