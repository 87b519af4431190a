"""What a DICOM image shows, by its header: which modality, which part of a complex image, one slice or a mosaic."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from unimri.core.errors import ReadError
from unimri.io.dicom.groups import functional_group, is_enhanced

# Of DICOM's modalities, those that are met beside MR: no others are repeated, since anything may stand there.
_MODALITIES = {"CR", "CT", "DX", "ES", "MG", "NM", "OT", "PT", "RF", "RTIMAGE", "SC", "SM", "US", "XA", "XC"}

# Where a header names no modality: by the storage class, without DICOM's root.
_CLASSES = {
    "1": "CR",
    "2": "CT",
    "3.1": "US",
    "6.1": "US",
    "12.1": "XA",
    "12.2": "RF",
    "20": "NM",
    "128": "PT",
    "130": "PT",
    "481.1": "RTIMAGE",
}
_ROOT = "1.2.840.10008.5.1.4.1.1."

_LETTERS = {"P": "phase", "R": "real part", "I": "imaginary part"}
_NAMES = {"PHASE": "phase", "REAL": "real part", "IMAGINARY": "imaginary part", "IMAG": "imaginary part"}
# What may follow such a name; others, as in PHASE CONTRAST or REAL TIME, make another word of it.
_AFTER = {"MAP", "IMAGE", "PART", "DATA", "COMPONENT", "DIFFERENCE", "DIFF", "SUBTRACTION"}
_MAPS = {"VELOCITY": "velocity", "VELOCITY MAP": "velocity", "B0 MAP": "field map", "FIELD MAP": "field map"}

# Of pixels that are no magnitudes, Philips and others write the unit as the rescale's type.
_UNITS = {"MILLIRADIALS": "phase", "MRAD": "phase", "RAD": "phase", "CM/S": "velocity", "HZ": "field map"}

# GE's image type, in an element of its own.
_GE = {1: "phase", 2: "real part", 3: "imaginary part"}


def check_kind(dataset: Any, frames: int, path: Path) -> None:
    """Raise ReadError unless the header lets its pixels be magnitudes of MR, a slice each.

    Parameters
    ----------
    dataset : of the file, parsed.
    frames : how many it has.
    path : to name in the fault.
    """
    modality = _modality(dataset)
    if modality != "MR":
        reason = f"is of modality {modality}" if modality else "is of another modality"
        raise ReadError(path, f"{reason}, and only MR is read", "remove its series from the input")
    part = next(_parts(dataset, frames), None)
    if part is not None:
        raise ReadError(
            path,
            f"is no magnitude image: its header says {part}",
            "remove its series, or the phase, real and imaginary images in it",
        )
    if _is_mosaic(dataset, frames):
        raise ReadError(path, "is a mosaic of slices", "convert its series first, as with dcm2niix")


def _modality(dataset: Any) -> str:
    """As the header says; blank for one that DICOM does not define."""
    stated = str(dataset.get("Modality") or "").strip().upper()
    if not stated:
        return _CLASSES.get(str(dataset.get("SOPClassUID") or "").removeprefix(_ROOT), "MR")
    return stated if stated == "MR" or stated in _MODALITIES else ""


def _parts(dataset: Any, frames: int) -> Iterator[str]:
    """What the header says of pixels that are no magnitudes, by every sign that scanners give."""
    kinds, scales = [dataset], [dataset]
    if is_enhanced(dataset):
        for index in range(frames):
            kinds.append(functional_group(dataset, index, "MRImageFrameTypeSequence"))
            scales.append(functional_group(dataset, index, "PixelValueTransformationSequence"))
    for kind in kinds:
        component = str(kind.get("ComplexImageComponent") or "").strip().upper()
        if component in _NAMES:
            yield _NAMES[component]
        for keyword in ("ImageType", "FrameType"):
            yield from _worded(_words(kind.get(keyword)))
    for scale in scales:
        unit = str(scale.get("RescaleType") or "").strip().upper()
        if unit in _UNITS:
            yield _UNITS[unit]
    yield from _private_parts(dataset)


def _private_parts(dataset: Any) -> Iterator[str]:
    value = _private(dataset, 0x0043, "GEMS_PARM_01", 0x2F, "GE")
    number = int.from_bytes(value[:2], "little") if isinstance(value, bytes) else value
    if isinstance(number, int) and number in _GE:
        yield _GE[number]
    # Philips' image type, and Siemens' with slashes.
    for value in (
        _private(dataset, 0x2005, "Philips MR Imaging DD 001", 0x11, "Philips"),
        _private(dataset, 0x0051, "SIEMENS MR HEADER", 0x16, "SIEMENS"),
    ):
        text = value.decode("ascii", "replace") if isinstance(value, bytes) else value
        if isinstance(text, str):
            yield from _worded(["", "", *text.upper().replace("/", "\\").split("\\")])


def _private(dataset: Any, group: int, creator: str, element: int, maker: str) -> Any:
    """A value of a vendor's own block; also of the block's usual place, where an anonymiser took its name away."""
    try:
        return dataset.private_block(group, creator)[element].value
    except KeyError:
        found = dataset.get((group, 0x1000 + element))
        made_by = str(dataset.get("Manufacturer") or "").upper()
        reserved = dataset.get((group, 0x0010)) is not None
        return found.value if found is not None and made_by.startswith(maker.upper()) and not reserved else None


def _words(present: Any) -> list[str]:
    """Of an element that may have one, several or none."""
    values = [present] if isinstance(present, str) else list(present or [])
    return [str(value).strip().upper() for value in values]


def _worded(words: list[str]) -> Iterator[str]:
    """The parts that words of an image type name; the first two say whether it is original and primary."""
    for place, word in enumerate(words):
        first, *others = re.split(r"[ _-]+", word)
        # R_IR and P_FFE, but not M_IR.
        if place > 1 and first in _LETTERS:
            yield _LETTERS[first]
        if first in _NAMES and _AFTER.issuperset(others):
            yield _NAMES[first]
        if (name := " ".join([first, *others])) in _MAPS:
            yield _MAPS[name]


def _is_mosaic(dataset: Any, frames: int) -> bool:
    """Whether a frame holds many slices; not where each frame has a place of its own, whatever the image type says."""
    tiles = _private(dataset, 0x0019, "SIEMENS MR HEADER", 0x0A, "SIEMENS")
    if "MOSAIC" not in _words(dataset.get("ImageType")) and not (isinstance(tiles, int) and tiles > 1):
        return False
    if not is_enhanced(dataset):
        return True
    planes = (functional_group(dataset, index, "PlanePositionSequence") for index in range(frames))
    places = {str(plane.get("ImagePositionPatient")) for plane in planes}
    return len(places) < 2
