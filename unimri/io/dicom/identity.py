"""De-identified headers: what is listed here is kept, and nothing else."""

import secrets
from pathlib import Path
from typing import Any

from pydicom import DataElement, Dataset
from pydicom.tag import Tag
from pydicom.uid import UID, generate_uid

from unimri.core.errors import ReadError
from unimri.io.dicom.derived import NUMBER_OFFSET, equipment
from unimri.io.volume import Provenance

_NUMERIC = {"DS", "IS", "FD", "FL", "SL", "SS", "UL", "US"}

# Numbers of image plane, pixels and MR acquisition.
_NUMBERS = {
    Tag(keyword)
    for keyword in (
        "AcquisitionMatrix",
        "AcquisitionNumber",
        "BitsAllocated",
        "BitsStored",
        "Columns",
        "DiffusionBValue",
        "EchoNumbers",
        "EchoTime",
        "EchoTrainLength",
        "EffectiveEchoTime",
        "FlipAngle",
        "HighBit",
        "ImageOrientationPatient",
        "ImagePositionPatient",
        "ImagesInAcquisition",
        "ImagingFrequency",
        "InStackPositionNumber",
        "InstanceNumber",
        "InversionTime",
        "LossyImageCompressionRatio",
        "MagneticFieldStrength",
        "MRAcquisitionFrequencyEncodingSteps",
        "MRAcquisitionPhaseEncodingStepsInPlane",
        "NumberOfAverages",
        "NumberOfFrames",
        "NumberOfPhaseEncodingSteps",
        "NumberOfTemporalPositions",
        "PercentPhaseFieldOfView",
        "PercentSampling",
        "PixelAspectRatio",
        "PixelBandwidth",
        "PixelRepresentation",
        "PixelSpacing",
        "ReconstructionDiameter",
        "RepetitionTime",
        "RescaleIntercept",
        "RescaleSlope",
        "Rows",
        "SamplesPerPixel",
        "SliceLocation",
        "SliceThickness",
        "SpacingBetweenSlices",
        "TemporalPositionIdentifier",
        "TemporalPositionIndex",
        "TemporalResolution",
        "TriggerTime",
        "WindowCenter",
        "WindowWidth",
    )
}

# Terms that DICOM defines; a value that is not among them could be anything.
_TERMS = {
    Tag(keyword): set(terms.split())
    for keyword, terms in {
        "AcquisitionContrast": "DIFFUSION FLOW_ENCODED FLUID_ATTENUATED PERFUSION PROTON_DENSITY STIR TAGGING T1 T2 "
        "T2_STAR TOF UNKNOWN",
        "AngioFlag": "Y N",
        "ComplexImageComponent": "MAGNITUDE",
        "FrameType": "DERIVED PRIMARY M NONE",
        "ImagedNucleus": "1H 3HE 7LI 13C 19F 23NA 31P 129XE",
        "ImageType": "DERIVED PRIMARY SECONDARY M OTHER NONE NORM ND DIS2D DIS3D FFE SE IR M_FFE M_SE M_IR T1 T2",
        "InPlanePhaseEncodingDirection": "ROW COL COLUMN",
        "LossyImageCompression": "00 01",
        "Modality": "CT MR OT",
        "MRAcquisitionType": "2D 3D",
        "PatientPosition": "HFP HFS HFDR HFDL FFDR FFDL FFP FFS",
        "PhotometricInterpretation": "MONOCHROME1 MONOCHROME2",
        "PixelPresentation": "MONOCHROME",
        "PresentationLUTShape": "IDENTITY INVERSE",
        "RescaleType": "US",
        "ScanningSequence": "SE IR GR EP RM",
        "SequenceVariant": "SK MTC SS TRSS SP MP OSP NONE",
        "VariableFlipAngleFlag": "Y N",
        "VOILUTFunction": "LINEAR LINEAR_EXACT SIGMOID",
        "VolumeBasedCalculationTechnique": "NONE",
        "VolumetricProperties": "VOLUME SAMPLED",
    }.items()
}

# Functional groups of enhanced images.
_SEQUENCES = {
    Tag(keyword)
    for keyword in (
        "FrameContentSequence",
        "FrameVOILUTSequence",
        "MREchoSequence",
        "MRFOVGeometrySequence",
        "MRImageFrameTypeSequence",
        "MRTimingAndRelatedParametersSequence",
        "PerFrameFunctionalGroupsSequence",
        "PixelMeasuresSequence",
        "PixelValueTransformationSequence",
        "PlaneOrientationSequence",
        "PlanePositionSequence",
        "SharedFunctionalGroupsSequence",
    )
}

# DICOM wants them to be there, if empty.
_EMPTY = (
    "AccessionNumber",
    "Manufacturer",
    "PatientBirthDate",
    "PatientID",
    "PatientName",
    "PatientSex",
    "PositionReferenceIndicator",
    "ReferringPhysicianName",
    "StudyDate",
    "StudyID",
    "StudyTime",
)

# Of this program's run: the same study gets the same new UID in all that it writes, and nobody can find the old one.
_SECRET = secrets.token_hex()


def check_pixels(source: Any, path: Path) -> None:
    """Raise ReadError when the header says that names may be seen in the image itself."""
    if source.get("BurnedInAnnotation") == "YES":
        raise ReadError(path, "has texts burned into its pixels", "mask them before it is de-identified")


def deidentified(dataset: Any, source: Any, provenance: Provenance) -> Dataset:
    """A header of what is known to name nobody.

    Kept are numbers of the image plane, the pixels and the acquisition, terms that DICOM defines, and of enhanced
    images the functional groups with these. Patient and study are empty; study and frame of reference have new UIDs,
    the same for all that one run of the program writes of them; dates, references to other images, and every free text
    are gone.

    Parameters
    ----------
    dataset : from `derived`.
    source : the image that it was derived from.
    provenance : what is said of the reconstruction.
    """
    result = _kept(dataset)
    result.file_meta = dataset.file_meta
    result.SOPClassUID, result.SOPInstanceUID = dataset.SOPClassUID, dataset.SOPInstanceUID
    result.SeriesInstanceUID = dataset.SeriesInstanceUID
    result.StudyInstanceUID = _new_uid(source.get("StudyInstanceUID"))
    result.FrameOfReferenceUID = _new_uid(source.get("FrameOfReferenceUID"))
    result.SeriesNumber = NUMBER_OFFSET
    if "Modality" not in result:
        result.Modality = "OT"
    for keyword in _EMPTY:
        setattr(result, keyword, "")
    result.SeriesDescription, result.DerivationDescription = provenance.short[:64], provenance.sentence[:1024]
    result.PatientIdentityRemoved = "YES"
    result.DeidentificationMethod = "unimri: numbers and defined terms kept"
    result.ContributingEquipmentSequence = [equipment(provenance)]
    return result


def _kept(dataset: Any) -> Dataset:
    result = Dataset()
    for element in dataset:
        if element.tag in _SEQUENCES and element.VR == "SQ":
            result.add_new(element.tag, "SQ", [_kept(item) for item in element.value])
        elif element.tag in _NUMBERS and element.VR in _NUMERIC and not element.is_empty:
            result.add(element)
        elif element.tag in _TERMS:
            values = [value for value in _values(element) if value in _TERMS[element.tag]]
            if values:
                result.add_new(element.tag, element.VR, values)
    return result


def _values(element: DataElement) -> list[str]:
    return [element.value] if isinstance(element.value, str) else list(element.value or [])


def _new_uid(present: Any) -> UID:
    return generate_uid(entropy_srcs=[_SECRET, str(present)]) if present else generate_uid()
