"""HDF5 files that others wrote, fastMRI's and ISMRMRD's: what they declare is checked before anything is read.

Includes the XML header that both have, and reconstructions in HDF5.

Damage can still crash or hang the HDF5 library, so that readers open them by way of `isolated` alone.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from math import prod
from pathlib import Path
from typing import Any
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

import h5py
import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from unimri.core.artifacts import replacing
from unimri.core.errors import AGAIN, ReadError
from unimri.io.isolated import isolated
from unimri.io.volume import MAX_DEFLATE_RATIO, Provenance, Scan, check_size, name_below

# What one read may take, 2 GiB as complex64: 64 coils with 2048 x 2048 points each.
MAX_READ = 2**28

# Deflate shrinks data most; shuffling and checksums do not shrink them.
FILTERS = {h5py.h5z.FILTER_DEFLATE, h5py.h5z.FILTER_LZF, h5py.h5z.FILTER_SZIP}
PLAIN_FILTERS = {h5py.h5z.FILTER_SHUFFLE, h5py.h5z.FILTER_FLETCHER32}

# Of a file that is damaged in whatever way.
UNREADABLE = "cannot be read as HDF5"

# Of a header's text, in characters. Scanners write some 100 kB, most of it the protocol.
MAX_HEADER = 2**24

# Names of the two halves of a complex number; h5py itself knows the first pair, for floats.
HALVES = (("r", "i"), ("real", "imag"))


def find_hdf5(root: Path, files: Sequence[Path], title: str, probe: Callable[[Path], str | None]) -> list[Scan]:
    """Find the `.h5` files that are wanted, each a volume. One that cannot be opened has the fault.

    Parameters
    ----------
    root, files : the input, and files that are it or lie below it; those of other names are passed over.
    title : of the progress bar.
    probe : gives the patient whom a file names, blank where it names none; None for a file that is not wanted. It runs
        in another process, see `isolated`.
    """
    scans = []
    for path in tqdm([path for path in files if path.suffix.lower() == ".h5"], desc=title, unit="file", disable=None):
        fault = None
        try:
            patient = isolated(path, UNREADABLE, probe)
        except ReadError as error:
            patient, fault = "", error
        if patient is not None:
            scans.append(Scan(name_below(root, path), (path,), fault, patient))
    return scans


@contextmanager
def open_hdf5(path: Path) -> Iterator[Any]:
    """Open a file for reading; all that goes wrong with it within the context becomes a ReadError."""
    try:
        with h5py.File(path, "r") as file:
            yield file
    except ReadError:
        raise
    except FileNotFoundError as error:
        raise ReadError(path, "no such file", "check the path") from error
    # h5py raises whatever HDF5 and its own conversions meet in a damaged file.
    except Exception as error:
        raise ReadError(path, UNREADABLE, AGAIN) from error


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


def is_complex(dtype: np.dtype[Any]) -> bool:
    """Whether values of `dtype` can be read as complex numbers."""
    if dtype.names is None:
        return dtype.kind == "c"
    return dtype.names in HALVES and all(dtype[name].kind in "fiu" for name in dtype.names)


def as_complex64(values: NDArray[Any]) -> NDArray[np.complex64]:
    """Cast values for which `is_complex` holds; those beyond float32's range become infinite."""
    with np.errstate(over="ignore"):
        if values.dtype.names is None:
            return values.astype(np.complex64, copy=False)
        real, imaginary = values.dtype.names
        result = np.empty(values.shape, np.complex64)
        result.real, result.imag = values[real], values[imaginary]
        return result


def write_reconstruction(
    paths: tuple[Path, ...], images: NDArray[np.float32], target: Path, provenance: Provenance
) -> list[Path]:
    """Write a file as fastMRI's tools exchange them: one dataset, `reconstruction`, and attributes that say what it is.

    Nothing is taken over from the input, whose header names the patient, so that it is the same with and without
    `provenance.deidentify`.

    Parameters
    ----------
    images : (slices, rows, columns), float32.
    """
    with replacing(target) as temporary, h5py.File(temporary, "w") as file:
        file.create_dataset("reconstruction", data=images)
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
