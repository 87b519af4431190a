"""Series of DICOM images: which files they are, their order, their volume."""

import warnings
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from unimri.core.errors import ReadError
from unimri.io.dicom.header import Frame, Header, read_header
from unimri.io.dicom.pixels import Image, open_image
from unimri.io.planes import Plane, describe, turn, turn_affine
from unimri.io.volume import check_size, magnitude


def find_series(
    files: Iterable[Path], key: Callable[[Header], tuple[str, str]], title: str | None = "DICOM headers"
) -> tuple[dict[tuple[str, str], tuple[Path, ...]], list[ReadError]]:
    """Group the DICOM images among some files into series, by their headers; names and extensions do not matter.

    Parameters
    ----------
    files : what is no DICOM, and no image, is passed over.
    key : what the images of one series have in common.
    title : of the progress bar; None shows none.

    Returns
    -------
    The files of each series, each once, in the order of their images; and the faults of those that say that they are
    DICOM and cannot be parsed.
    """
    series: defaultdict[tuple[str, str], list[Header]] = defaultdict(list)
    faults: list[ReadError] = []
    for path in tqdm(list(files), desc=title, unit="file", disable=True if title is None else None):
        try:
            header = read_header(path)
        except ReadError as fault:
            faults.append(fault)
            continue
        if header is not None:
            series[key(header)].append(header)
    # An image may be in several files, and a file hold several.
    paths = {name: dict.fromkeys(frame.path for frame in ordered(headers)) for name, headers in series.items()}
    return {name: tuple(own) for name, own in paths.items()}, faults


def ordered(headers: Iterable[Header]) -> list[Frame]:
    """Order the images of a series by position along their common normal, then by instance and frame number.

    Images that share a position (echoes, times) are all kept. Without positions, or when the images are not
    parallel (localisers), the numbers alone order them. An instance that lies in several files is used once.
    """
    by_path = sorted(headers, key=lambda header: header.path)
    unique = {header.instance or str(header.path): header for header in reversed(by_path)}
    frames = [frame for header in unique.values() for frame in header.frames]
    distances = _distances(frames) or [0.0] * len(frames)
    return [
        frame
        for _, frame in sorted(
            zip(distances, frames, strict=True),
            key=lambda pair: (pair[0], pair[1].number, pair[1].path, pair[1].index),
        )
    ]


def _distances(frames: Sequence[Frame]) -> list[float] | None:
    """Position of each image along the normal in mm; None where the images do not share one."""
    positions = [frame.position for frame in frames if frame.position is not None]
    orientations = [frame.orientation for frame in frames if frame.orientation is not None]
    if len(positions) < len(frames) or len(orientations) < len(frames):
        return None
    # Scanners write a series' orientation with rounding that may differ from image to image.
    if not np.allclose(orientations, orientations[0], atol=1e-3):
        return None
    normal = np.cross(orientations[0][:3], orientations[0][3:])
    # Rounded, so that echoes whose positions differ in the last written digit stay at one position.
    return [float(x) for x in np.round(np.asarray(positions) @ normal, 2)]


def read_series(paths: Sequence[Path], plane: Plane = "native") -> NDArray[np.float32]:
    """Read the images of a series.

    Rescale slope and intercept (or the modality's table) are applied. MONOCHROME1, where large values are
    dark, is turned by subtracting from the volume's maximum.

    Parameters
    ----------
    paths : all its files, as `find_series` gives them.
    plane : "native" keeps the images as they were acquired. The others turn the volume, to the nearest axis, so that
        slices lie in the plane; nothing is interpolated.

    Returns
    -------
    (slices, rows, columns), float32, magnitude on the scanner's own scale.

    Raises
    ------
    ReadError : when an image cannot be decoded, is in colour, holds no magnitudes or has another size than the first,
        when values are not finite or all equal, or when the images make up no volume that could be turned.
    """
    path = paths[0]
    files: list[Image] = []
    images: dict[tuple[Path, int], NDArray[np.float32]] = {}
    # pydicom's warnings repeat the values of the header.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for source in paths:
            image = open_image(source)
            first = next(iter(images.values()), None)
            if first is not None and image.shape != first.shape:
                raise _other_size(source, image.shape, first.shape)
            check_size((len(images) + image.frames, *image.shape), path)
            files.append(image)
            images |= {(source, index): pixels for index, pixels in enumerate(image.pixels())}
            # Decoded by now; both together would take half as much memory again.
            image.dataset.pop("PixelData")
        places, affine = list(images), None
        # Files of one image each are in order already, and parsing headers again would cost as much as decoding.
        if plane != "native" or len(images) > len(files):
            frames = ordered(image.header() for image in files)
            places = [(frame.path, frame.index) for frame in frames]
            affine = None if plane == "native" else _affine(frames)
    volume = np.stack([images.pop(place) for place in places])
    dark_files = {image.path for image in files if image.inverted}
    if dark_files:
        dark = np.array([path in dark_files for path, _ in places])[:, None, None]
        np.subtract(volume.max(), volume, out=volume, where=dark)
    volume = magnitude(volume, path)
    return volume if affine is None else np.ascontiguousarray(turn(volume, affine, plane, path))


def series_orientation(paths: Sequence[Path], plane: Plane = "native") -> str:
    """How the slices of `read_series` lie in the body, by its first image; see `planes.describe`.

    Raises
    ------
    ReadError : when the header cannot be read.
    """
    header = read_header(paths[0])
    orientation = header.frames[0].orientation if header is not None else None
    if orientation is None:
        return ""
    affine = _directions(orientation)
    return describe(affine if plane == "native" else turn_affine(affine, plane, paths[0]))


def _other_size(path: Path, shape: tuple[int, ...], first: tuple[int, ...]) -> ReadError:
    return ReadError(
        path,
        f"has {shape[0]} x {shape[1]} pixels where its series began with {first[0]} x {first[1]}",
        "move the images of another size to a series of their own, or remove them",
    )


def _affine(frames: Sequence[Frame]) -> NDArray[np.float64]:
    """Directions of growing slices, rows and columns, as columns of (4, 4), right-anterior-superior.

    Raises
    ------
    ReadError : when the images are not one stack, each at a place of its own.
    """
    mend = "set `plane: native`, which keeps the images as they were acquired"
    path, orientation = frames[0].path, frames[0].orientation
    distances = _distances(frames)
    if distances is None or orientation is None:
        raise ReadError(path, "begins a series whose images have no positions or are not parallel", mend)
    if len(set(distances)) < len(distances):
        raise ReadError(path, "begins a series with several images at one position", mend)
    return _directions(orientation)


def _directions(orientation: tuple[float, ...]) -> NDArray[np.float64]:
    along_columns, along_rows = np.array(orientation[:3]), np.array(orientation[3:])
    affine = np.eye(4)
    affine[:3, :3] = np.stack([np.cross(along_columns, along_rows), along_rows, along_columns], axis=1)
    # DICOM's axes grow to the left and to the back.
    affine[:2] *= -1
    return affine
