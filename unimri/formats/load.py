"""One volume from disk, for Python: what `unimri reconstruct` would read of it."""

from pathlib import Path

from unimri.core.errors import UnimriError
from unimri.formats.registry import find_sources
from unimri.formats.scan import Images, KSpace


def load_kspace(path: Path | str, format: str | None = None) -> KSpace | Images:
    """Read one volume: k-space with its mask, or a scan that holds images.

    HDF5 files are read in another process: a script must call this below `if __name__ == "__main__":`.

    Parameters
    ----------
    path : a file of fastMRI (`.h5`), ISMRMRD (`.h5`), NumPy (`.npy`, `.npz`), NIfTI or DICOM, or a folder that holds
        one volume, such as a DICOM series.
    format : "dicom", "nifti", "fastmri-h5", "ismrmrd" or "numpy", where the content does not tell or other formats lie
        beside it; None: told by the content.

    Returns
    -------
    `KSpace` of raw data, for `Model.reconstruct`; `Images` of DICOM, NIfTI and real arrays, for `Model.undersample`.
    All arrays are NumPy's, on the file's own scale.

    Raises
    ------
    UnimriError : when there is no such path or format, when it holds nothing that can be used or several volumes, or
        when the volume cannot be read.
    """
    sources = find_sources(Path(path), format)
    if len(sources) > 1:
        kinds = ", ".join(dict.fromkeys(source.format.name for source in sources))
        raise UnimriError(f"{path}: holds {len(sources)} volumes ({kinds}); give the file or the folder of one of them")
    return sources[0].read()
