"""From a data set as its publisher lays it out to a store of slices of one size, divided by patient."""

from hashlib import blake2b
from hashlib import sha256 as sha256_of
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from skimage.transform import resize
from tqdm import tqdm

from unimri.artifacts import replacing, sha256
from unimri.data.read.error import ReadError
from unimri.data.read.registry import ReaderSettings, find_scans
from unimri.data.scan import Scan
from unimri.data.split import Fractions, Split, split_patients
from unimri.data.store import SourceFile, StoreWriter
from unimri.errors import UnimriError
from unimri.settings import Settings

Fit = Literal["crop", "resize"]

# What a store's folder may hold before it is replaced; a workflow adds its own hidden time stamp.
OURS = ("shard-*.h5", "manifest.csv", "sources.csv", "skipped.csv", ".snakemake_timestamp")


class PreparationSettings(Settings):
    image_size: int = Field(320, ge=8, le=4096, description="Side of the prepared slices in pixels.")
    crop: int = Field(
        320,
        ge=8,
        le=4096,
        description="Side of the centre crop in the scanner's pixels, where an anatomy is cropped.",
    )
    smoothing: float | None = Field(
        None,
        ge=0,
        le=10,
        description="Standard deviation, in prepared pixels, of the Gaussian low-pass before slices are made smaller; "
        "null: scikit-image's rule, (factor - 1) / 2 of the scanner's pixels. The outer lines of a full-size scan hold "
        "little signal; of one that is made much smaller they hold a lot, unless it is smoothed.",
    )
    fractions: Fractions = Field(default_factory=Fractions, description="How the patients are divided.")
    shards: int = Field(1, ge=1, le=1000, description="How many HDF5 files the slices of an anatomy are spread over.")
    on_error: Literal["fail", "skip"] = Field(
        "fail", description="What to do about a scan that cannot be used: stop, or leave it out and note why."
    )


class PreparationTask(Settings):
    """All that one anatomy's preparation is made from, apart from the scans and the seed."""

    reader: ReaderSettings
    fit: Fit
    preparation: PreparationSettings


def prepare(
    anatomy: str,
    folder: Path,
    task: PreparationTask,
    output: Path,
    seed: int,
) -> None:
    """Write the slices of a data set, made equal in size and divided by patient, to a store
    (`unimri.data.store`).

    Each volume is read, its slices fitted to `image_size` x `image_size`, and scaled to [0, 1] by its
    maximum. One volume is in memory at a time. The same files give the same bytes. Names of patients, series
    and files stay out of the store: volumes and patients get keys, hashed with the seed.

    Parameters
    ----------
    anatomy : its name in the configuration.
    folder : the data set.
    task : how to read it, to fit it, and the sizes. `fit` "crop" takes the centre `crop` x `crop` pixels, zeros where
        the scan is smaller, and resizes them when `image_size` differs. "resize" takes the whole slice to `image_size`
        x `image_size`, as the paper does for cardiac, abdominal and prostate scans: a matrix that is not square is
        stretched, and its pixels with it.
    output : the store's folder; replaced as a whole, and only when everything has succeeded.
    seed : of the division into splits and of the keys.

    Raises
    ------
    UnimriError
        When nothing is found, fewer than three patients are left, a scan cannot be used (unless `on_error` is
        skip), or `output` holds files that are not a store's.
    """
    settings = task.preparation
    scans = find_scans(folder, task.reader)
    _check_output(output)
    # The division that counts comes after reading, when it is known which scans are left; reading may take
    # hours.
    _split(folder, [scan.patient for scan in scans], settings.fractions, seed)
    # In the order of the keys, so that not even the order of the store repeats that of the names.
    keyed = sorted(((key(anatomy, scan.name, seed), scan) for scan in scans), key=lambda pair: pair[0])
    with replacing(output) as temporary:
        temporary.mkdir()
        with StoreWriter(temporary, anatomy, settings.image_size, settings.shards) as store:
            for volume, scan in tqdm(keyed, desc=f"prepare {anatomy}", unit="volume", disable=None):
                try:
                    _add(store, volume, key(anatomy, scan.patient, seed), scan, task.fit, settings)
                except ReadError as fault:
                    if settings.on_error == "fail":
                        raise
                    store.skip(_digest_or_blank(scan), fault.reason)
            store.finish(_split(folder, store.patients, settings.fractions, seed))


def key(anatomy: str, raw: str, seed: int) -> str:
    """Key that stands for a patient's or volume's own name: 16 hexadecimal digits."""
    return blake2b(f"{anatomy}/{raw}".encode(), key=str(seed).encode(), digest_size=8).hexdigest()


def fit_slices(volume: NDArray[np.float32], fit: Fit, settings: PreparationSettings) -> NDArray[np.float32]:
    """Fit the slices of a volume to the prepared size.

    Parameters
    ----------
    volume : (slices, rows, columns), float32, >= 0.
    fit : see `prepare`.
    settings : `image_size` and `crop` count.

    Returns
    -------
    (slices, image_size, image_size), float32, >= 0.
    """
    if fit == "crop":
        volume = centre_crop(volume, settings.crop)
    size = (settings.image_size, settings.image_size)
    if volume.shape[1:] == size:
        return volume
    fitted = np.empty((len(volume), *size), dtype=np.float32)
    sigma = None
    if settings.smoothing is not None:
        factors = (length / settings.image_size for length in volume.shape[1:])
        sigma = [settings.smoothing * factor if factor > 1 else 0.0 for factor in factors]
    for index, slice_ in enumerate(volume):
        fitted[index] = resize(
            slice_, size, order=1, anti_aliasing=True, anti_aliasing_sigma=sigma, preserve_range=True
        )
    return np.clip(fitted, 0, None, out=fitted)


def centre_crop(volume: NDArray[np.float32], size: int) -> NDArray[np.float32]:
    """Centre `size` x `size` pixels of each slice, with zeros around where the slice is smaller.

    The pixel n // 2 of n, the centre of the Fourier transform, becomes pixel size // 2.
    """
    result = np.zeros((len(volume), size, size), dtype=np.float32)
    to_rows, from_rows = _overlap(volume.shape[1], size)
    to_columns, from_columns = _overlap(volume.shape[2], size)
    result[:, to_rows, to_columns] = volume[:, from_rows, from_columns]
    return result


def _overlap(length: int, size: int) -> tuple[slice, slice]:
    """Where the overlap of two centred intervals lies in the new one and in the old one."""
    offset = length // 2 - size // 2
    new, old = max(0, -offset), max(0, offset)
    overlap = min(size - new, length - old)
    return slice(new, new + overlap), slice(old, old + overlap)


def _add(store: StoreWriter, volume: str, patient: str, scan: Scan, fit: Fit, settings: PreparationSettings) -> None:
    slices = scan.read()
    matrix = slices.shape[1], slices.shape[2]
    fitted = fit_slices(slices, fit, settings)
    scale = float(fitted.max())
    if scale == 0:
        raise ReadError(
            scan.sources[0], "its centre is empty", f"raise `crop` above {settings.crop} or use `fit: resize`"
        )
    sources = [SourceFile(source.stat().st_size, sha256(source)) for source in scan.sources]
    store.add(volume, patient, fitted / np.float32(scale), matrix, scale, sources, _digest(sources))


def _digest(sources: list[SourceFile]) -> str:
    return sha256_of("".join(sorted(source.sha256 for source in sources)).encode()).hexdigest()


def _digest_or_blank(scan: Scan) -> str:
    try:
        return _digest([SourceFile(source.stat().st_size, sha256(source)) for source in scan.sources])
    except OSError:
        return ""


def _split(folder: Path, patients: list[str], fractions: Fractions, seed: int) -> dict[str, Split]:
    try:
        return split_patients(patients, fractions, seed)
    except UnimriError as error:
        raise UnimriError(f"{folder}: {error}") from error


def _check_output(output: Path) -> None:
    """Refuse to replace a folder that a slip of the keyboard named."""
    if output.exists() and not output.is_dir():
        raise UnimriError(f"{output}: is a file; give a folder for the prepared slices")
    strangers = [path for path in output.glob("*") if not any(path.match(pattern) for pattern in OURS)]
    if strangers:
        raise UnimriError(f"{strangers[0]}: is no prepared data, and would be lost; give another output folder")
