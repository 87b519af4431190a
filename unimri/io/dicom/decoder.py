"""Decodes compressed DICOM files. A damaged file can crash a decoder: call `decode` by way of `isolated` alone."""

from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom.encaps import generate_frames
from pydicom.pixels import get_decoder
from pydicom.uid import (
    HTJ2K,
    JPEG2000,
    HTJ2KLossless,
    HTJ2KLosslessRPCL,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    JPEGLossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    JPEGLSNearLossless,
    RLELossless,
)

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


def decode(path: Path) -> list[NDArray[Any]]:
    """Decode the frames of a file of a transfer syntax that `PLUGINS` has.

    Returns
    -------
    Each frame in stored order: (rows, columns), of the stored dtype.

    Raises
    ------
    Exception
        Whatever the decoder meets in a damaged file.
    """
    dataset: Any = pydicom.dcmread(path, force=True)
    syntax = dataset.file_meta.TransferSyntaxUID
    frames = int(dataset.get("NumberOfFrames") or 1)
    offsets = None
    if "ExtendedOffsetTable" in dataset and "ExtendedOffsetTableLengths" in dataset:
        offsets = (dataset.ExtendedOffsetTable, dataset.ExtendedOffsetTableLengths)
    found = 0
    for stream in generate_frames(dataset.PixelData, number_of_frames=frames, extended_offsets=offsets):
        # Decoders allocate what the stream declares, and that may be damaged where the header is not.
        _check(stream, dataset)
        found += 1
    if found != frames:
        raise ValueError("another number of frames than declared")
    decoded = get_decoder(syntax).iter_array(dataset, raw=True, decoding_plugin=PLUGINS[syntax])
    return [image for image, _ in decoded]


def _check(stream: bytes, dataset: Any) -> None:
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
