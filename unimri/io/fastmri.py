"""fastMRI's k-space files, single-coil and multi-coil, with a mask or fully sampled (https://fastmri.med.nyu.edu).

They are HDF5 with ISMRMRD's header: what is needed to read both, and reconstructions in HDF5, are here too. What a file
declares is checked before anything is read. Damage can still crash or hang the HDF5 library, so that readers open files
by way of `isolated` alone.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from math import prod
from pathlib import Path
from typing import Any, Literal
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

import h5py
import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from unimri.core.artifacts import replacing
from unimri.core.errors import AGAIN, ReadError, unreadable
from unimri.core.hdf5 import hdf5_file, writing_hdf5
from unimri.core.stacks import Mapped, Slices, Stack
from unimri.io.isolated import isolated
from unimri.io.layout import MAX_READ, as_complex64, is_complex
from unimri.io.notes import note
from unimri.io.volume import (
    APART,
    MAX_DEFLATE_RATIO,
    Found,
    Negatives,
    Passed,
    Provenance,
    Scan,
    acquired,
    as_float32,
    check_size,
    excluded,
    has_suffix,
    magnitude,
    magnitudes,
    name_below,
)
from unimri.physics.acquisition import Acquisition, Sampling, image_of

ENDS = (".hdf5", ".h5")

Use = Literal["reconstruction", "kspace"]

# Single-coil files hold both, and the first is made from their own k-space.
RECONSTRUCTIONS = ("reconstruction_esc", "reconstruction_rss")

# Deflate shrinks data most; shuffling and checksums do not shrink them.
FILTERS = {h5py.h5z.FILTER_DEFLATE, h5py.h5z.FILTER_LZF, h5py.h5z.FILTER_SZIP}
PLAIN_FILTERS = {h5py.h5z.FILTER_SHUFFLE, h5py.h5z.FILTER_FLETCHER32}

# Of a file that is damaged in whatever way.
UNREADABLE = "cannot be read as HDF5"

# Of a header's text, in characters. Scanners write some 100 kB, most of it the protocol.
MAX_HEADER = 2**24


def find(root: Path, files: Sequence[Path]) -> Found:
    """The files that have a `kspace`; see `unimri.io.formats.Format`."""
    return find_hdf5(root, files, ENDS, "fastMRI headers", _has_kspace, "has no k-space")


def _has_kspace(path: Path) -> str | None:
    """Blank for a file that has a `kspace` of its own, else None. It runs in another process."""
    with open_hdf5(path) as file:
        return None if member(file, "kspace", path) is None else ""


def read(paths: tuple[Path, ...], negatives: Negatives = "refuse") -> Acquisition:
    """Read a file in another process, and make the truth of a complete one; faults are those of `read_file`."""
    return isolated(paths[0], UNREADABLE, read_file, negatives).with_truth()


def read_file(path: Path, negatives: Negatives = "refuse") -> Acquisition:
    """Read k-space, `mask` and the fully sampled reconstruction of a file. Call it by way of `read`.

    The image's size is that of the file's own reconstruction; without one, it is that of `read_slices`. A file without
    `mask` is complete when it has no lines of zeros; those at the edges are padding when there is a reconstruction
    beside them.

    Raises
    ------
    ReadError : when the file is damaged or cut short, takes values from other files, has shapes that do not fit each
        other, or values that are not finite or empty.
    """
    with open_hdf5(path) as file:
        stored = _kspace_dataset(file, path)
        check_size(stored.shape, path)
        rows, columns = stored.shape[-2:]
        kspace = Slices.new((len(stored), prod(stored.shape[1:-2]), rows, columns), np.complex64)
        for number, slice_ in enumerate(stored):
            kspace[number] = as_complex64(slice_)
        found = _reconstruction(file, path)
        if found is not None and len(found) != len(kspace):
            raise ReadError(
                path, "its reconstruction has another number of slices than its k-space", "remove one of them"
            )
        truth = None if found is None else Slices.of(magnitudes(found, path, negatives), np.float32)
        given = dataset(file, "mask", path)
        mask = None if given is None else given[...]
        if truth is not None and truth.shape[1] <= rows and truth.shape[2] <= columns:
            size = truth.shape[1], truth.shape[2]
        else:
            # A truth that is larger than k-space has other pixels.
            truth, size = None, _image_size(file, rows, columns, path)
    size = (min(rows, size[0]), min(columns, size[1]))
    return acquired(kspace, mask, path, size, truth, padded=truth is not None)


def write(paths: tuple[Path, ...], images: Stack, target: Path, provenance: Provenance) -> list[Path]:
    """Write a file as fastMRI's tools exchange them: one dataset, `reconstruction`, and attributes that say what it is.

    Nothing is taken over from the input, whose header names the patient, so that it is the same with and without
    `provenance.deidentify`.
    """
    dtype = np.dtype(np.complex64 if np.iscomplexobj(images[0]) else np.float32)
    with replacing(target) as temporary, writing_hdf5(temporary, dtype.itemsize * prod(images.shape)) as file:
        stored = file.create_dataset("reconstruction", images.shape, dtype)
        for number, image in enumerate(images):
            stored[number] = image
        file.attrs.update(
            {
                "made_by": f"unimri {provenance.version}",
                "model": provenance.model,
                "anatomy": provenance.anatomy,
                "acceleration": provenance.acceleration,
                "retrospective": provenance.retrospective,
            }
        )
    return [target]


def patient_of(path: Path, acquisitions: list[str] | None) -> str | None:
    """The patient whom a file's header names, blank where it names none; None for a file of another acquisition.

    Raises
    ------
    ReadError : when the file is damaged.
    """
    with open_hdf5(path) as file:
        # Both attributes are read of every file, so that a damaged one is told whatever is asked for.
        acquisition, named = text_attribute(file, "acquisition"), text_attribute(file, "patient_id")
    return named if acquisitions is None or acquisition in acquisitions else None


def read_slices(path: Path, use: Use = "reconstruction", negatives: Negatives = "refuse") -> NDArray[np.float32]:
    """Read the images of a file, one at a time: the k-space of all coils and slices is never in memory.

    From k-space: the centred orthonormal inverse transform, cropped to the centre that the header's
    reconSpace says (see `pixels_wanted`), then magnitude or root sum of squares, as fastMRI's own code does. Where the
    scan has fewer columns than that, both axes are cropped to the columns. Without a header half the readout is kept,
    since fastMRI's readouts are sampled twice as densely as the image needs.

    Returns
    -------
    (slices, rows, columns), float32, magnitude on the file's own scale (see `magnitude`, and for `negatives`); rows run
    along the readout.

    Raises
    ------
    ReadError : when the file is damaged or cut short, is undersampled (lines of its k-space are zero; a file with a
        `mask` may be whole), lacks what `use` needs, takes
        values from other files, has another number of axes, or when `magnitude` refuses its values.
    """
    with open_hdf5(path) as file:
        masked = dataset(file, "mask", path) is not None
        volume: Stack | None = _reconstruction(file, path) if use == "reconstruction" else None
        if volume is None:
            volume = _whole(file, path, images=True)
        # A mask tells of lines that are left out, and not whether the file's k-space lacks them.
        elif masked:
            _whole(file, path, images=False)
    return magnitude(volume, path, negatives)


def _whole(file: Any, path: Path, images: bool) -> NDArray[np.float32]:
    """Check, slice by slice, that no line of k-space is missing; give the `images`, where they are wanted."""
    found, sampling, made = _kspace_dataset(file, path), Sampling(), []
    rows, columns = found.shape[-2:]
    size = _image_size(file, rows, columns, path)
    for stored in found:
        slice_ = as_complex64(stored).reshape(-1, rows, columns)
        sampling.add(slice_)
        if images:
            made.append(image_of(slice_, size))
    padded = any(dataset(file, name, path) is not None for name in RECONSTRUCTIONS)
    lines = sampling.lines(padded=padded)
    if not lines.kept.all():
        raise ReadError(
            path, "is undersampled (lines of its k-space are zero)", "remove it: only whole scans have a ground truth"
        )
    if lines.word:
        note(path, lines.word)
    return np.stack(made) if images else np.empty(0, np.float32)


def _reconstruction(file: Any, path: Path) -> Slices | None:
    """The file's own reconstruction, (slices, rows, columns), on its own scale; None where it has none."""
    present = (dataset(file, name, path) for name in RECONSTRUCTIONS)
    found = next((stored for stored in present if stored is not None), None)
    if found is None:
        return None
    if found.ndim != 3:
        raise ReadError(path, f"its reconstruction has {found.ndim} axes", "give one of (slices, rows, columns)")
    if found.dtype.kind not in "fiu":
        raise ReadError(path, "its reconstruction holds no real numbers", "use `use: kspace`")
    return Slices.of(Mapped(found, as_float32), np.float32)


def _kspace_dataset(file: Any, path: Path) -> Any:
    """The k-space of an open file, not yet read: (slices, rows, columns) or (slices, coils, rows, columns)."""
    found = dataset(file, "kspace", path)
    if found is None:
        raise ReadError(path, "has no k-space that images could be made of", "check the folder and the format")
    if found.ndim not in (3, 4):
        raise ReadError(
            path,
            f"its k-space has {found.ndim} axes",
            "give (slices, rows, columns) or (slices, coils, rows, columns)",
        )
    if not is_complex(found.dtype):
        raise ReadError(path, "its k-space is not complex", "give complex64 numbers")
    if prod(found.shape[1:]) > MAX_READ:
        raise ReadError(path, "one slice of its k-space is too large", AGAIN)
    return found


def _image_size(file: Any, rows: int, columns: int, path: Path) -> tuple[int, int]:
    """Rows and columns of the image that k-space of `rows` x `columns` gives; see `read_slices`."""
    stored = dataset(file, "ismrmrd_header", path)
    if stored is None:
        return (rows + 1) // 2, columns
    header = parse_header(stored, path)
    (x, y), own = matrix(header, "reconSpace", path), pixels_wanted(header, (rows, columns), path)
    if own[0] < x:
        return own
    return (x, y) if y <= columns else (columns, columns)


# From here on: what ISMRMRD's reader uses, too.


def find_hdf5(
    root: Path,
    files: Sequence[Path],
    ends: tuple[str, ...],
    title: str,
    probe: Callable[[Path], str | None],
    otherwise: str,
) -> Found:
    """Find the HDF5 files that are wanted, each a volume. One that cannot be opened has the fault.

    Parameters
    ----------
    root, files : the input, and files that are it or lie below it.
    ends : of names; files of others are not looked at.
    title : of the progress bar.
    probe : gives the patient whom a file names, blank where it names none; None for a file that is not wanted. It runs
        in another process, see `isolated`.
    otherwise : why a file is not wanted.
    """
    found = Found([], [])
    for path in tqdm([path for path in files if has_suffix(path, ends)], desc=title, unit="file", disable=None):
        fault, other = None, excluded(root, path, APART)
        try:
            patient = "" if other is not None else isolated(path, UNREADABLE, probe)
        except ReadError as error:
            patient, fault = "", error
        if patient is None:
            other = Passed(path, otherwise)
        if other is None:
            found.scans.append(Scan(name_below(root, path), (path,), fault, patient or ""))
        else:
            found.passed.append(other)
    return found


@contextmanager
def open_hdf5(path: Path) -> Iterator[Any]:
    """Open a file for reading; all that goes wrong with it within the context becomes a ReadError."""
    try:
        with hdf5_file(path) as file:
            yield file
    except ReadError:
        raise
    # h5py raises whatever HDF5 and its own conversions meet in a damaged file.
    except Exception as error:
        if "already open for write" in str(error):
            raise ReadError(
                path, "is being written, or its writer was killed", "wait for it, or run `h5clear -s` on the file"
            ) from error
        raise unreadable(path, error, UNREADABLE) from error


def member(group: Any, name: str, path: Path) -> Any:
    """A group's own member, or None where there is none of that name.

    Raises
    ------
    ReadError : when it is a link, which could lead to a file that the user never meant to give.
    """
    # `group.get` and `in` would follow a link to find out whether it leads anywhere.
    key = name.encode()
    if not group.id.links.exists(key):
        return None
    if group.id.links.get_info(key).type != h5py.h5l.TYPE_HARD:
        raise ReadError(path, f"its `{name}` is a link", "copy what it leads to into the file itself")
    return group[name]


def dataset(group: Any, name: str, path: Path) -> Any:
    """A group's own dataset, not yet read, or None where there is none of that name.

    Raises
    ------
    ReadError : when it is a link, no dataset, has its values in other files, is packed in a way that has no bound, or
        declares a size that is above `MAX_VOXELS` or that the file cannot hold.
    """
    found = member(group, name, path)
    if found is None:
        return None
    if not isinstance(found, h5py.Dataset):
        raise ReadError(path, f"its `{name}` is no dataset", AGAIN)
    if found.is_virtual or found.external:
        raise ReadError(path, f"its `{name}` lies in other files", "copy the values into the file itself")
    # The 1 stands for the value of a dataset without axes.
    check_size((1, *found.shape), path)
    if prod(found.chunks or ()) > MAX_READ:
        raise ReadError(path, f"its `{name}` is stored in chunks that are too large", "store it in smaller chunks")
    stored = found.id.get_storage_size()
    if stored > path.stat().st_size or found.size * found.dtype.itemsize > stored * _ratio(found, name, path):
        raise ReadError(path, "declares more voxels than the file can hold", AGAIN)
    return found


def _ratio(found: Any, name: str, path: Path) -> int:
    """The most that the filters of a dataset can have shrunk it."""
    properties = found.id.get_create_plist()
    filters = [properties.get_filter(index)[0] for index in range(properties.get_nfilters())]
    packing = [number for number in filters if number not in PLAIN_FILTERS]
    # Two of them, one on the other, could make terabytes of a small file.
    if len(packing) > 1 or not FILTERS.issuperset(packing):
        raise ReadError(path, f"its `{name}` is compressed in a way that is not known here", "compress it with gzip")
    return MAX_DEFLATE_RATIO if packing else 1


def text_attribute(file: Any, name: str) -> str:
    """Text of an attribute, stripped; blank where there is none or it is no text."""
    if name not in file.attrs:
        return ""
    attribute = file.attrs.get_id(name)
    if attribute.shape != () or h5py.check_string_dtype(attribute.dtype) is None:
        return ""
    value = file.attrs[name]
    return (value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)).strip()


def parse_header(found: Any, path: Path) -> Element:
    """Parse the one text of a dataset: the XML header of ISMRMRD, which fastMRI's files hold too.

    See https://ismrmrd.readthedocs.io. A document type is refused, whatever it declares: entities, which can make
    gigabytes of a few lines or name other files, need one, and ISMRMRD has none.

    Raises
    ------
    ReadError : when it is no text, is too long, is no XML in UTF-8, or has a document type.
    """
    # HDF5 may crash on a type that damage has made of a text's.
    if h5py.check_string_dtype(found.dtype) is None or found.size != 1:
        raise ReadError(path, "its header is no text", AGAIN)
    stored: str | bytes = found[(0,) * found.ndim]
    try:
        # As text, so that no declared encoding can hide what is looked for.
        content = stored.decode("utf-8") if isinstance(stored, bytes) else stored
        if len(content) > MAX_HEADER:
            raise ReadError(path, "its header is too long", AGAIN)
        if "<!DOCTYPE" in content:
            raise ReadError(path, "its header has a document type", "remove it: ISMRMRD headers have none")
        return ElementTree.fromstring(content)
    except (UnicodeDecodeError, ElementTree.ParseError, ValueError) as error:
        raise ReadError(path, "its header is no XML", AGAIN) from error


def text_at(root: Element, place: str) -> str:
    """Stripped text of the first element at `place` ("encoding/trajectory"); blank where there is none."""
    steps = "/".join(f"{{*}}{step}" for step in place.split("/"))
    return (root.findtext(steps) or "").strip()


def number_at(root: Element, place: str, path: Path) -> int:
    """Integer >= 0 at `place` of the header.

    Raises
    ------
    ReadError : when there is none.
    """
    stated = text_at(root, place)
    # Counts of lines and pixels: more digits mean damage.
    if not (stated.isascii() and stated.isdigit() and len(stated) < 10):
        raise ReadError(path, f"its header has no {place}", "export the file again")
    return int(stated)


def matrix(root: Element, space: str, path: Path) -> tuple[int, int]:
    """Points along readout and phase encoding of "encodedSpace" or "reconSpace".

    Raises
    ------
    ReadError : when the header does not say, or says 0.
    """
    x, y = (number_at(root, f"encoding/{space}/matrixSize/{axis}", path) for axis in "xy")
    if min(x, y) < 1:
        raise ReadError(path, f"its header declares an empty {space}", "export the file again")
    return x, y


def pixels_wanted(root: Element, grid: tuple[int, int], path: Path) -> tuple[int, int]:
    """Pixels, along readout and phase encoding, of the image that the header asks for.

    They are reconSpace's, but for those that a scanner interpolates: of the field of view of encodedSpace, which has
    `grid` points, reconSpace keeps a part, and no more points than that part of them were measured.

    Raises
    ------
    ReadError : see `matrix`.
    """
    matrix(root, "reconSpace", path)
    return points_wanted(root, "x", grid[0], path), points_wanted(root, "y", grid[1], path)


def points_wanted(root: Element, axis: Literal["x", "y", "z"], points: int, path: Path) -> int:
    """Pixels along one axis, of `points` of k-space; see `pixels_wanted`."""
    wanted = number_at(root, f"encoding/reconSpace/matrixSize/{axis}", path)
    own, all_ = (_length(root, f"encoding/{space}/fieldOfView_mm/{axis}") for space in ("reconSpace", "encodedSpace"))
    part = own / all_
    return min(wanted, max(1, round(points * part))) if np.isfinite(part) else wanted


def _length(root: Element, place: str) -> float:
    """Millimetres > 0 at `place`; NaN where the header does not say."""
    try:
        stated = float(text_at(root, place))
    except ValueError:
        return np.nan
    return stated if 0 < stated < np.inf else np.nan
