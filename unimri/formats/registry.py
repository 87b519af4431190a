"""The formats by name, and what is found of them in an input."""

from dataclasses import replace
from pathlib import Path

from unimri.core.errors import UnimriError
from unimri.data.read.files import files_below
from unimri.formats import dicom, fastmri_h5, ismrmrd, nifti, numpy_file
from unimri.formats.scan import Format, Found, Source

FORMATS: dict[str, Format] = {format.name: format for format in (dicom, nifti, fastmri_h5, ismrmrd, numpy_file)}


def find_sources(path: Path, format: str | None = None) -> list[Source]:
    """Find the volumes of an input, without reading their voxels.

    Parameters
    ----------
    path : a file, or a folder with files of any formats. In folders hidden files are passed over, and whatever is of
        no format.
    format : of `FORMATS`, to find only its volumes.

    Returns
    -------
    At least one, sorted by name. One that shows itself to be damaged has a `fault`.

    Raises
    ------
    UnimriError
        When there is no such file or folder or format, or nothing in it that can be used.
    """
    if format is not None and format not in FORMATS:
        raise UnimriError(f"{format}: no such format; choose one of {', '.join(FORMATS)}")
    chosen = list(FORMATS.values()) if format is None else [FORMATS[format]]
    if not path.exists():
        raise UnimriError(f"{path}: no such file or folder; check the path")
    files = files_below(path) if path.is_dir() else [path]
    found: list[tuple[Found, Format]] = []
    for each in chosen:
        # A damaged HDF5 file is found by both of its formats.
        known = {one.paths[0] for one, _ in found}
        found += [(one, each) for one in each.find(path, files) if one.paths[0] not in known]
    if not found:
        accepted = ", ".join(each.accepts for each in chosen)
        raise UnimriError(f"{path}: holds nothing that can be used; give one of these, or a folder of them: {accepted}")
    found.sort(key=lambda pair: (pair[0].name, pair[1].name))
    if len(found) == 1 and not found[0][1].suffixes and found[0][0].fault is None:
        # A folder that is written for all of the input needs no name.
        found = [(replace(found[0][0], name="."), found[0][1])]
    return [
        Source(one.name, number, path, one.paths, each, one.fault) for number, (one, each) in enumerate(found, start=1)
    ]
