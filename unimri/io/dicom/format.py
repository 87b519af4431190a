"""DICOM: series of single or multi-frame images, written back as a new, derived series of the same study."""

from collections.abc import Sequence
from datetime import datetime
from io import BytesIO
from math import prod
from os.path import commonpath
from pathlib import Path
from typing import Any

import pydicom
from pydicom.uid import generate_uid

from unimri.core.artifacts import replacing
from unimri.core.errors import ReadError
from unimri.core.stacks import Picked, Stack, extremes
from unimri.io.dicom.derived import (
    SECRET,
    FrameScale,
    Pixels,
    Stored,
    check_depth,
    choose_scale,
    deidentified,
    derived,
    describe_pixels,
)
from unimri.io.dicom.groups import functional_group
from unimri.io.dicom.pixels import open_series
from unimri.io.dicom.series import CHANGED, find_series, image_header, ordered
from unimri.io.isolated import isolated
from unimri.io.volume import (
    FOREIGN,
    Found,
    Images,
    Negatives,
    Provenance,
    Scan,
    has_suffix,
    name_below,
)

_UNWRITABLE = "its header cannot be read and written again"


def find(root: Path, files: Sequence[Path]) -> Found:
    """The series of images; see `unimri.io.formats.Format`.

    A series is named after the folder that holds its files when no other volume lies there, else also by a number. A
    file that cannot be parsed becomes a volume with its fault.
    """
    asked = [path for path in files if path == root or not has_suffix(path, FOREIGN)]
    series, faults, passed = find_series(
        root,
        asked,
        lambda header: (header.patient, header.study, header.series or header.path.parent.as_posix()),
    )
    volumes = sorted(series.values(), key=lambda own: min(own.paths))
    folders = [Path(commonpath([path.parent for path in own.paths])) for own in volumes]
    others = [path.parent for path in (*set(files).difference(asked), *(fault.path for fault in faults))]
    places = [path.parent for own in volumes for path in own.paths] + others
    found = []
    for number, (own, folder) in enumerate(zip(volumes, folders, strict=True), start=1):
        alone = sum(place.is_relative_to(folder) for place in places) == len(own.paths)
        place = folder.relative_to(root) if folder.is_relative_to(root) else Path()
        named = place if alone and place.name else place / f"series-{number:03d}"
        found.append(Scan(named.as_posix(), own.paths, own.fault, note=own.note))
    found += [Scan(name_below(root, fault.path), (fault.path,), fault) for fault in faults]
    return Found(found, passed)


def read(paths: tuple[Path, ...], negatives: Negatives = "refuse") -> Images:
    """Read a series; see `unimri.io.dicom.pixels.read_series` for values, order and faults."""
    return Images(open_series(paths, negatives))


def write(paths: tuple[Path, ...], images: Stack, target: Path, provenance: Provenance) -> list[Path]:
    """Write a new series: for each file of the input one, IMG00001.dcm and so on, in the order of the slices.

    Study, frame of reference, geometry and acquisition are the input's. Instances and the series have new UIDs and say
    that they are derived, and from what. Pixels are stored uncompressed; see `choose_scale` for their scale and
    `derived` for what is left out. Where the input's large values are dark (MONOCHROME1), the new ones are bright.
    With `provenance.deidentify` only what `deidentified` lists is kept.

    Raises
    ------
    ReadError : when a header cannot be read or written again, or images are to be de-identified that have texts burned
        in.
    """
    headers = [image_header(path) for path in paths]
    frames = ordered(headers)
    if len(frames) != len(images):
        raise ReadError(paths[0], "begins a series of another length than its reconstruction", CHANGED)
    place_of = {(frame.path, frame.index): k for k, frame in enumerate(frames)}
    scales = {
        (path, index): scale for path in paths for index, scale in enumerate(isolated(path, _UNWRITABLE, frame_scales))
    }
    scale = choose_scale(images, [scales[frame.path, frame.index] for frame in frames])
    series, now = generate_uid(), datetime.now().astimezone()
    names = [f"IMG{number:05d}.dcm" for number in range(1, len(paths) + 1)]
    with replacing(target) as temporary:
        temporary.mkdir()
        for path, header, new in zip(paths, headers, names, strict=True):
            order = [place_of[path, index] for index in range(len(header.frames))]
            stored = Picked(Stored(images, scale), order)
            smallest, largest = extremes(stored)
            to_be = Pixels(stored.shape, order[0] + 1, scale, int(smallest), int(largest))
            head = isolated(path, _UNWRITABLE, header_bytes, to_be, provenance, SECRET, series, now)
            with (temporary / new).open("wb") as file:
                # It ends with the length of the pixels, of which it has none.
                file.write(head[:-4] + (2 * prod(stored.shape)).to_bytes(4, "little"))
                for frame in stored:
                    file.write(frame.tobytes())
    return [target / new for new in names]


def frame_scales(path: Path) -> list[FrameScale]:
    """How each frame's values are stored: call it by way of `isolated` alone."""
    dataset = pydicom.dcmread(path, force=True, stop_before_pixels=True)
    return [
        FrameScale.of(dataset, functional_group(dataset, index, "PixelValueTransformationSequence") or dataset)
        for index in range(int(dataset.get("NumberOfFrames") or 1))
    ]


def header_bytes(path: Path, pixels: Pixels, provenance: Provenance, secret: str, series: str, now: datetime) -> bytes:
    """The new file of an image up to its pixels, which are to follow: call it by way of `isolated` alone.

    Parameters
    ----------
    path : of the image.
    pixels : that are to follow.
    provenance, series, now : see `derived`.
    secret : see `deidentified`.

    Raises
    ------
    ReadError : see `write`.
    """
    source: Any = pydicom.dcmread(path, force=True, stop_before_pixels=True)
    if (int(source.get("NumberOfFrames") or 1), source.Rows, source.Columns) != pixels.shape:
        raise ReadError(path, "has another size than its reconstruction", CHANGED)
    check_depth(source, path)
    dataset = derived(source, provenance, series, now)
    if provenance.deidentify:
        dataset = deidentified(dataset, source, path, provenance, pixels.number, secret)
    describe_pixels(dataset, pixels)
    file = BytesIO()
    dataset.save_as(file, enforce_file_format=True)
    return file.getvalue()
