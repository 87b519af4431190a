"""Pixels of DICOM images: decoded, on the scanner's own scale, and a series as a volume."""

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from io import BytesIO
from itertools import islice
from math import prod
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom.encaps import generate_frames
from pydicom.pixels import apply_rescale, as_pixel_options, get_decoder
from pydicom.uid import (
    HTJ2K,
    JPEG2000,
    UID,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    HTJ2KLossless,
    HTJ2KLosslessRPCL,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    JPEGLossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    JPEGLSNearLossless,
    RLELossless,
)

from unimri.core.errors import AGAIN, ReadError, unreadable
from unimri.core.stacks import Lazy, Picked, Slices, Stack, in_memory
from unimri.io.dicom.groups import functional_group
from unimri.io.dicom.kinds import check_kind
from unimri.io.dicom.series import DEFERRED, UNREADABLE, Header, affine_of, header_of, is_deflated, ordered
from unimri.io.isolated import isolated
from unimri.io.notes import note
from unimri.io.volume import Negatives, Plane, as_float32, check_size, magnitudes, turn

# By implicit value representations and little-endian numbers.
_PLAIN = {
    (True, True): ImplicitVRLittleEndian,
    (False, True): ExplicitVRLittleEndian,
    (False, False): ExplicitVRBigEndian,
}

UNDECODABLE = "its pixel data cannot be decoded"


# One decoder for each transfer syntax, so that the same file gives the same values whatever else is installed.
PLUGINS = {
    RLELossless: "pydicom",
    **dict.fromkeys([JPEG2000, JPEG2000Lossless, HTJ2K, HTJ2KLossless, HTJ2KLosslessRPCL], "pylibjpeg"),
    **dict.fromkeys([JPEGBaseline8Bit, JPEGExtended12Bit, JPEGLossless, JPEGLosslessSV1], "gdcm"),
    **dict.fromkeys([JPEGLSLossless, JPEGLSNearLossless], "gdcm"),
}

# The most that run lengths can shrink data: two bytes stand for up to 128.
_MAX_RLE_RATIO = 64

# Second bytes of the markers whose segment tells the size: of JPEG, without the tables among them, and JPEG-LS.
_FRAME_MARKERS = {*range(0xC0, 0xD0), 0xF7} - {0xC4, 0xC8, 0xCC}


@dataclass(frozen=True)
class Image:
    """The frames of one file, not yet decoded.

    Attributes
    ----------
    path : the file.
    dataset : what pydicom parsed. Large elements are still in the file.
    syntax : how the pixels are stored.
    frames : how many there are.
    shape : rows and columns.
    inverted : whether large values are dark (MONOCHROME1).
    """

    path: Path
    dataset: Any
    syntax: UID
    frames: int
    shape: tuple[int, int]
    inverted: bool

    def header(self, name: Path) -> Header:
        """What ordering needs to know of the frames of the file, which it calls `name`.

        Raises
        ------
        ReadError : when the file describes another number of frames than it declares, or they cannot be parsed.
        """
        try:
            # Whether the file can hold its frames has been checked.
            return header_of(name, self.dataset, sys.maxsize)
        except ReadError:
            raise
        except Exception as error:
            raise ReadError(self.path, UNREADABLE, AGAIN) from error

    def pixels(self) -> Iterator[NDArray[np.float32]]:
        """Give the frames in stored order: (rows, columns), float32, with rescale or the modality's table applied.

        Padding that the header declares is NaN, unless it is 0.

        Raises
        ------
        ReadError : when a frame cannot be decoded, or its values not be rescaled.
        """
        for index, stored in enumerate(self._stored()):
            # Of an enhanced image, each frame may have a rescale of its own.
            rescale = functional_group(self.dataset, index, "PixelValueTransformationSequence") or self.dataset
            try:
                values = as_float32(stored if _keeps_values(rescale) else apply_rescale(stored, rescale))
            except Exception as error:
                raise ReadError(self.path, "its rescale or modality table cannot be applied", AGAIN) from error
            padding = _padding(self.dataset, stored)
            if padding is not None:
                if not np.isfinite(values).all():
                    raise ReadError(self.path, "has NaN or infinite values", "mend or remove the file")
                # Dark is turned later, and 0 is not 0 then.
                values = np.where(padding & ((values != 0) | self.inverted), np.float32(np.nan), values)
            yield values

    def _stored(self) -> Iterator[NDArray[Any]]:
        """Frames of the stored dtype, (rows, columns), as many as the file declares."""
        count = 0
        try:
            with self.path.open("rb") as file:
                for stored in islice(decode(self.dataset, file), self.frames):
                    yield stored
                    count += 1
        except Exception as error:
            raise unreadable(self.path, error, UNDECODABLE) from error
        if count < self.frames:
            raise ReadError(self.path, UNDECODABLE, AGAIN)


def open_image(path: Path) -> Image:
    """Read the header of a file and check that its pixels can be used.

    Raises
    ------
    ReadError : when the file cannot be parsed, is in colour, is refused by `check_kind`, declares more voxels than it
        holds or than are allowed, or is compressed in a way that is not known here.
    """
    try:
        with path.open("rb") as file:
            size, deflated = os.fstat(file.fileno()).st_size, is_deflated(file, path)
        dataset: Any = pydicom.dcmread(path, force=True, defer_size=None if deflated else DEFERRED)
        photometric = str(dataset.get("PhotometricInterpretation", "MONOCHROME2"))
        samples = int(dataset.get("SamplesPerPixel") or 1)
        frames = int(dataset.get("NumberOfFrames") or 1)
        rows, columns, bits = int(dataset.Rows), int(dataset.Columns), int(dataset.BitsAllocated)
        check_kind(dataset, frames, path)
        # A file without preamble is uncompressed and does not name its encoding; parsing has found it out.
        if "TransferSyntaxUID" not in dataset.file_meta:
            dataset.file_meta.TransferSyntaxUID = _PLAIN[dataset.original_encoding]
        syntax = UID(dataset.file_meta.TransferSyntaxUID)
        stored = dataset.get_item("PixelData", keep_deferred=True)
        # What was not read yet may be cut short.
        length = min(stored.length, size - stored.value_tell) if stored.value is None else len(stored.value)
    except ReadError:
        raise
    except Exception as error:
        raise unreadable(path, error, UNREADABLE) from error
    if samples > 1 or not photometric.startswith("MONOCHROME"):
        raise ReadError(path, "is a colour image", "remove its series: only magnitude images can be used")
    check_size((frames, rows, columns), path)
    if syntax not in PLUGINS:
        if syntax.is_transfer_syntax and syntax.is_encapsulated:
            raise ReadError(
                path, "is compressed in a way that is not known here", "decompress it first, as with gdcmconv --raw"
            )
        if frames * rows * columns * bits > 8 * length:
            raise ReadError(path, "declares more voxels than the file holds", AGAIN)
    elif PLUGINS[syntax] not in get_decoder(syntax).available_plugins:
        raise ReadError(
            path, "needs a decoder that is not installed", "pip install python-gdcm pylibjpeg pylibjpeg-openjpeg"
        )
    return Image(path, dataset, syntax, frames, (rows, columns), photometric == "MONOCHROME1")


@dataclass(frozen=True)
class Decoded:
    """What is known of a file of a series beside its pixels.

    Attributes
    ----------
    shape : rows and columns.
    header : what ordering needs.
    inverted : see `Image`.
    padded : whether the header declares padding.
    """

    shape: tuple[int, int]
    header: Header
    inverted: bool
    padded: bool


def decoded(path: Path, name: Path) -> tuple[Slices, Decoded]:
    """Read a file that the result calls `name`: call it by way of `isolated` alone.

    Returns
    -------
    Its frames, (frames, rows, columns), float32, see `Image.pixels`; and the rest.

    Raises
    ------
    ReadError : see `open_image`, `Image.header` and `Image.pixels`.
    """
    image = open_image(path)
    pixels = Slices.new((0,), np.float32)
    for frame in image.pixels():
        pixels.append(frame)
    return pixels, Decoded(image.shape, image.header(name), image.inverted, "PixelPaddingValue" in image.dataset)


def read_series(paths: Sequence[Path], plane: Plane = "native", negatives: Negatives = "refuse") -> NDArray[np.float32]:
    """Read the images of a series.

    Rescale slope and intercept (or the modality's table) are applied. MONOCHROME1, where large values are
    dark, is turned by subtracting from the volume's maximum.

    Parameters
    ----------
    paths : all its files, as `find_series` gives them.
    plane : "native" keeps the images as they were acquired. The others turn the volume, to the nearest axis, so that
        slices lie in the plane; nothing is interpolated.
    negatives : see `magnitude`.

    Returns
    -------
    (slices, rows, columns), float32, magnitude on the scanner's own scale.

    Raises
    ------
    ReadError : when an image cannot be decoded, is in colour, holds no magnitudes or has another size than the first,
        when `magnitude` refuses the values, or when the images make up no volume that could be turned.
    """
    kept: list[NDArray[np.float32]] = []
    order, correct, affine = _decoded(paths, kept, plane)
    volume = np.stack([kept[number] for number in order])
    kept.clear()
    volume = in_memory(magnitudes(correct(volume), paths[0], negatives))
    return volume if affine is None else np.ascontiguousarray(turn(volume, affine, plane, paths[0]))


def open_series(paths: Sequence[Path], negatives: Negatives = "refuse") -> Stack:
    """The same, with the images as they were acquired, decoded to the disk and read slice by slice."""
    kept = Slices.new((0,), np.float32)
    order, correct, _ = _decoded(paths, kept)
    return magnitudes(correct(Picked(kept, order)), paths[0], negatives)


def _decoded(
    paths: Sequence[Path], kept: list[NDArray[np.float32]] | Slices, plane: Plane = "native"
) -> tuple[list[int], Callable[[Stack], Stack], NDArray[np.float64] | None]:
    """Decode the images of a series to the end of `kept`.

    Returns
    -------
    The order of the slices; what is to be done with the volume in this order; and, unless `plane` is "native", the
    directions of its axes.
    """
    path = paths[0]
    files: list[Decoded] = []
    places: dict[tuple[Path, int], int] = {}
    for source in paths:
        # Each file has limits and faults of its own, however many there are.
        images, file = isolated(source, UNDECODABLE, decoded, source)
        files.append(file)
        shape, first = file.shape, files[0].shape
        if shape != first:
            raise ReadError(
                source,
                f"has {shape[0]} x {shape[1]} pixels where its series began with {first[0]} x {first[1]}",
                "move the images of another size to a series of their own, or remove them",
            )
        check_size((len(places) + len(images), *shape), path)
        for index, pixels in enumerate(images):
            places[source, index] = len(places)
            kept.append(pixels)
    frames = ordered(file.header for file in files)
    affine = None if plane == "native" else affine_of(frames)
    dark_files = {file.header.path for file in files if file.inverted}
    dark = [frame.path in dark_files for frame in frames]
    declared = any(file.padded for file in files)

    def correct(volume: Stack) -> Stack:
        """Without the padding that headers declare, and bright where the files are dark."""
        if not (declared or dark_files):
            return volume
        padding, top = 0, -np.inf
        for slice_ in volume:
            unknown = np.isnan(slice_)
            padding += int(np.count_nonzero(unknown))
            top = max(top, float(slice_.max(where=~unknown, initial=-np.inf)))
        if padding:
            share = f"{100 * padding / prod(volume.shape):.3g} %"
            note(path, f"padding that the header declares ({share} of all values) is read as 0")
        return _Corrected(volume, dark, np.float32(top))

    return [places[frame.path, frame.index] for frame in frames], correct, affine


class _Corrected(Lazy):
    """Slices without padding, which is NaN, and bright where they are dark: less than `top`."""

    def __init__(self, volume: Stack, dark: list[bool], top: np.float32) -> None:
        self._volume, self._dark, self._top, self.shape = volume, dark, top, volume.shape

    def one(self, number: int) -> NDArray[np.float32]:
        slice_ = self._volume[number]
        bright = self._top - slice_ if self._dark[number] else slice_
        return np.where(np.isnan(slice_), np.float32(0), bright)


def _keeps_values(rescale: Any) -> bool:
    """Whether a rescale, as many scanners write it, is by 1 and 0: it would cost as much as decoding."""
    one_and_zero = rescale.get("RescaleSlope") == 1 and rescale.get("RescaleIntercept") == 0
    return one_and_zero and "ModalityLUTSequence" not in rescale


def _padding(dataset: Any, stored: NDArray[Any]) -> NDArray[np.bool_] | None:
    """Which of a frame's stored values are padding, as the header declares it: one value, or all from it to a limit."""
    keywords = [name for name in ("PixelPaddingValue", "PixelPaddingRangeLimit") if name in dataset]
    if "PixelPaddingValue" not in keywords or stored.dtype.kind not in "iu":
        return None
    try:
        ends = [int(dataset.get(name)) for name in keywords]
    # Empty, or several: nothing that is understood.
    except (TypeError, ValueError):
        return None
    # With the stored sign: many write 63536 for -2000.
    values = np.array(ends, np.int64).astype(stored.dtype)
    return (stored >= values.min()) & (stored <= values.max())


def decode(dataset: Any, file: BinaryIO) -> Iterator[NDArray[Any]]:
    """Decode the frames of a file one after the other.

    A damaged file can crash a decoder: call it in the process of `isolated` alone.

    Parameters
    ----------
    dataset : from `open_image`.
    file : the same file, open.

    Returns
    -------
    Each frame in stored order: (rows, columns), of the stored dtype.

    Raises
    ------
    Exception : whatever the decoder meets in a damaged file.
    """
    syntax, options = dataset.file_meta.TransferSyntaxUID, as_pixel_options(dataset)
    element = dataset.get_item("PixelData", keep_deferred=True)
    # Unread, or small or inflated.
    source, start = (file, element.value_tell) if element.value is None else (BytesIO(element.value), 0)
    source.seek(start)
    if syntax in PLUGINS:
        frames, found = int(options["number_of_frames"]), 0
        for stream in generate_frames(
            source, number_of_frames=frames, extended_offsets=options.get("extended_offsets")
        ):
            # Decoders allocate what the stream declares, and that may be damaged where the header is not.
            _check_stream(stream, dataset)
            found += 1
        if found != frames:
            raise ValueError("another number of frames than declared")
        source.seek(start)
    options |= {"pixel_keyword": "PixelData", "pixel_vr": element.VR or "OW"}
    decoder = get_decoder(syntax)
    for image, _ in decoder.iter_array(source, raw=True, decoding_plugin=PLUGINS.get(syntax, ""), **options):
        yield image


def _check_stream(stream: bytes, dataset: Any) -> None:
    """Raise ValueError when a stream declares another size than the header (rows, columns)."""
    rows, columns, syntax = int(dataset.Rows), int(dataset.Columns), dataset.file_meta.TransferSyntaxUID
    if syntax == RLELossless:
        matches = rows * columns * int(dataset.BitsAllocated) <= 8 * _MAX_RLE_RATIO * len(stream)
    elif PLUGINS[syntax] == "pylibjpeg":
        # Where a JP2 file was embedded whole, the stream begins inside it.
        start = stream.index(b"\xff\x4f\xff\x51")
        # Of the SIZ segment: right, bottom, left and top of the image, then width and height of a tile.
        right, bottom, left, top = np.frombuffer(stream, ">u4", count=4, offset=start + 8).tolist()
        matches = (bottom - top, right - left) == (rows, columns)
    else:
        matches = _jpeg_shape(stream) == (rows, columns, 1)
    if not matches:
        raise ValueError("another size than declared")


def _jpeg_shape(stream: bytes) -> tuple[int, int, int]:
    """Rows, columns and colours that a JPEG or JPEG-LS stream declares; IndexError when it ends before."""
    at = 2
    while stream[at + 1] not in _FRAME_MARKERS:
        at += 2 + int.from_bytes(stream[at + 2 : at + 4], "big")
    rows, columns = np.frombuffer(stream, ">u2", count=2, offset=at + 5).tolist()
    return rows, columns, stream[at + 9]
