"""From a data set as its publisher lays it out to a store of slices of one size, divided by patient.

In three steps, so that the middle one, which is the work, can be spread over machines: the index (`unimri.data.index`),
each shard, the manifest. `inspect` says before anything is written what would come of it.
"""

import logging
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from hashlib import sha256 as sha256_of
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import skimage
from numpy.typing import NDArray
from pydantic import Field
from tabulate import tabulate
from tqdm import tqdm

from unimri.core.artifacts import replacing, sha256
from unimri.core.errors import ReadError, UnimriError, printable
from unimri.core.settings import Settings
from unimri.data.index import Entry, Fractions, Index, IndexTask, index_scans, split_patients
from unimri.data.layouts import ReaderSettings
from unimri.data.reader import Reader, find_scans
from unimri.data.shard import ShardContent, ShardWriter, SourceFile, write_manifest, writing_shard
from unimri.data.store import SPLITS, Split, shard_name
from unimri.io.notes import heard
from unimri.io.volume import Scan, passed_lines

log = logging.getLogger(__name__)

# What a store's folder may hold before it is replaced; a workflow adds its own hidden time stamp.
OURS = ("shard-*.h5", "shard-*.json", "manifest.csv", "sources.csv", "skipped.csv", "*.sha256", ".snakemake_timestamp")


Geometry = Literal["crop", "resize"]
"""How slices come to one size: the setting `fit` of an anatomy."""


class SliceSettings(Settings):
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


class ShardTask(Settings):
    """All that a shard is made from, apart from the scans."""

    reader: ReaderSettings
    fit: Geometry
    slices: SliceSettings
    skip_faults: bool = False


class PreparationSettings(SliceSettings):
    fractions: Fractions = Field(default_factory=Fractions, description="How the patients are divided.")
    shards: int = Field(1, ge=1, le=1000, description="How many HDF5 files, and jobs, an anatomy is spread over.")
    on_error: Literal["fail", "skip"] = Field(
        "fail", description="What to do about a scan that cannot be used: stop, or leave it out and note why."
    )
    key_file: Path | None = Field(
        None,
        description="File whose bytes key the hashes that stand for patients and volumes. Keep it secret: without it "
        "the seed keys them, and whoever knows the seed can try names.",
    )


class PreparationTask(Settings):
    """All that one anatomy's preparation is made from, apart from the scans and the seed."""

    reader: ReaderSettings
    fit: Geometry
    preparation: PreparationSettings
    splits: Path | None = None

    # Each step is given its own settings alone, so that changing one repeats no other.
    def index(self) -> IndexTask:
        """What the index needs to know."""
        return IndexTask(
            reader=self.reader,
            shards=self.preparation.shards,
            key_file=self.preparation.key_file,
            splits=self.splits,
        )

    def shard(self) -> ShardTask:
        """What a shard needs to know."""
        return ShardTask(
            reader=self.reader,
            fit=self.fit,
            slices=SliceSettings(**{name: getattr(self.preparation, name) for name in SliceSettings.model_fields}),
            skip_faults=self.preparation.on_error == "skip",
        )


def prepare(anatomy: str, folder: Path, task: PreparationTask, output: Path, seed: int) -> None:
    """Write the slices of a data set, made equal in size and divided by patient, to a store (`unimri.data.store`).

    The three steps in one process. The same files give the same bytes.

    Parameters
    ----------
    anatomy : its name in the configuration.
    folder : the data set.
    task : how to read it, and to which size.
    output : the store's folder; replaced as a whole, and only when everything has succeeded.
    seed : of the division into splits, and of the keys unless a key file is given.

    Raises
    ------
    UnimriError
        As `index_scans`, `prepare_shard` and `finish` do, or when `output` holds files that are not a store's.
    """
    _check_output(output)
    indices = index_scans(anatomy, folder, task.index(), seed)
    with replacing(output) as temporary:
        temporary.mkdir()
        shards = {}
        for number, index in enumerate(indices):
            shard = temporary / f"{shard_name(number)}.h5"
            prepare_shard(index, folder, task.shard(), shard)
            shards[shard.name] = ShardContent.load(shard.with_suffix(".json"))
        finish(shards, task.preparation.fractions, seed, temporary)


def prepare_shard(index: Index, folder: Path, task: ShardTask, output: Path) -> None:
    """Read, resize and scale the scans of one shard.

    Slices are brought to `image_size` x `image_size`, and each volume is scaled to [0, 1] by its maximum. One volume is
    in memory at a time. Names of patients, series and files stay out of the shard, and out of the log.

    Parameters
    ----------
    index : the scans.
    folder : the data set.
    task : how to read and resize it. `fit` "crop" takes the centre `crop` x `crop` pixels, zeros where the scan is
        smaller, and resizes them when `image_size` differs. "resize" takes the whole slice to `image_size` x
        `image_size`, as the paper does for cardiac, abdominal and prostate scans: a matrix that is not square is
        stretched, and its pixels with it.
    output : the shard; see `writing_shard`.

    Raises
    ------
    UnimriError
        When a scan cannot be used, unless `skip_faults`, or the shard cannot be written.
    """
    with writing_shard(output, index.anatomy, task.slices.image_size) as shard:
        for entry in tqdm(index.entries, desc=f"prepare {index.anatomy}", unit="volume", disable=None):
            scan = entry.scan(folder)
            try:
                _add(shard, entry, scan, task)
            except ReadError as fault:
                if not task.skip_faults:
                    log.error("volume %s: %s", entry.volume, fault.reason)
                    raise
                log.warning("volume %s is left out: %s", entry.volume, fault.reason)
                shard.skip(entry.volume, _digest_or_blank(scan), fault.reason)
        left_out = len(shard.skipped)
        for other in index.passed:
            shard.skip(other.key, "", other.reason)
    log.info("%s: %d volumes, %d left out", output.name, len(shard.volumes), left_out)


def finish(shards: Mapping[str, ShardContent], fractions: Fractions, seed: int, folder: Path) -> None:
    """Divide the patients who are left, and write the manifest of all shards.

    The division comes after reading, when it is known which scans are left.

    Parameters
    ----------
    shards : their content, by file name.
    fractions : of the patients, for each split, unless the index took the splits from a file.
    seed : of the division.
    folder : of the shards.

    Raises
    ------
    UnimriError
        When fewer than three patients are left, or a split of a given division has none.
    """
    volumes = [volume for content in shards.values() for volume in content.volumes]
    anatomy = next(iter(shards.values())).anatomy
    left_out = sum(len(content.skipped) for content in shards.values())
    after = f" (after {left_out} volume(s) or file(s) were left out)" if left_out else ""
    given = {volume.patient: volume.split for volume in volumes if volume.split is not None}
    if volumes and len(given) == len({volume.patient for volume in volumes}):
        empty = [split for split in SPLITS if split not in given.values()]
        if empty:
            raise UnimriError(f"{anatomy}: no patient is left for {', '.join(empty)}{after}; change the file of splits")
        splits: Mapping[str, Split] = given
    else:
        try:
            splits = split_patients([volume.patient for volume in volumes], fractions, seed)
        except UnimriError as error:
            raise UnimriError(f"{anatomy}: {error}{after}") from error
    write_manifest(shards, splits, folder)
    for split in SPLITS:
        of_split = [volume for volume in volumes if splits[volume.patient] == split]
        patients, slices = {volume.patient for volume in of_split}, sum(volume.slices for volume in of_split)
        log.info("%s: %d patients, %d volumes, %d slices", split, len(patients), len(of_split), slices)


def _add(shard: ShardWriter, entry: Entry, scan: Scan, task: ShardTask) -> None:
    with heard() as notes:
        slices = task.reader.read_scan(scan)
    for text in notes:
        log.warning("volume %s: %s", entry.volume, text)
    matrix = slices.shape[1], slices.shape[2]
    resized = to_size(slices, task.fit, task.slices)
    scale = float(resized.max())
    if scale == 0:
        raise ReadError(
            scan.paths[0], "its centre is empty", f"raise `crop` above {task.slices.crop} or use `fit: resize`"
        )
    sources = _sources(scan)
    shard.add(entry.volume, entry.patient, entry.split, resized, matrix, scale, sources, _digest(sources))


def _sources(scan: Scan) -> list[SourceFile]:
    files = []
    for path in scan.paths:
        try:
            files.append(SourceFile(bytes=path.stat().st_size, sha256=sha256(path)))
        except OSError as error:
            reason = os.strerror(error.errno or 0).lower()
            raise ReadError(path, f"cannot be read ({reason})", "check its permissions and the disk") from error
    return files


def _digest(sources: list[SourceFile]) -> str:
    return sha256_of("".join(sorted(source.sha256 for source in sources)).encode()).hexdigest()


def _digest_or_blank(scan: Scan) -> str:
    try:
        return _digest(_sources(scan))
    except ReadError:
        return ""


def _check_output(output: Path) -> None:
    """Refuse to replace a folder that a slip of the keyboard named."""
    if output.exists() and not output.is_dir():
        raise UnimriError(f"{output}: is a file; give a folder for the prepared slices")
    strangers = [path for path in output.glob("*") if not any(path.match(pattern) for pattern in OURS)]
    if strangers:
        raise UnimriError(f"{strangers[0]}: is no prepared data, and would be lost; give another output folder")


def to_size(volume: NDArray[np.float32], geometry: Geometry, settings: SliceSettings) -> NDArray[np.float32]:
    """Bring the slices of a volume to the prepared size.

    Parameters
    ----------
    volume : (slices, rows, columns), float32, >= 0.
    geometry : see `prepare_shard`.
    settings : `image_size` and `crop` count.

    Returns
    -------
    (slices, image_size, image_size), float32, >= 0.
    """
    if geometry == "crop":
        volume = centre_crop(volume, settings.crop)
    size = (settings.image_size, settings.image_size)
    if volume.shape[1:] == size:
        return volume
    resized = np.empty((len(volume), *size), dtype=np.float32)
    sigma = None
    if settings.smoothing is not None:
        factors = (length / settings.image_size for length in volume.shape[1:])
        sigma = [settings.smoothing * factor if factor > 1 else 0.0 for factor in factors]
    for index, slice_ in enumerate(volume):
        resized[index] = skimage.transform.resize(
            slice_, size, order=1, anti_aliasing=True, anti_aliasing_sigma=sigma, preserve_range=True
        )
    return np.clip(resized, 0, None, out=resized)


def centre_crop(volume: NDArray[np.float32], size: int) -> NDArray[np.float32]:
    """Centre `size` x `size` pixels of each slice, with zeros around where the slice is smaller.

    The pixel n // 2 of n, the centre of the Fourier transform, becomes pixel size // 2, also where an even length is
    cropped to an odd one; `unimri.physics.acquisition.crop` keeps the pixels that fastMRI's files have.
    """
    if volume.shape[1:] == (size, size):
        return volume
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


class Finding(NamedTuple):
    """One scan, or why it would be left out.

    Attributes
    ----------
    patient, volume : the source's own names: for whoever may see the scans, and for no artifact.
    files : how many it is read from.
    shape : slices, rows, columns; None when the scan cannot be used.
    orientation : how the slices lie in the body, as `unimri.io.volume.describe` says; blank when it is not known.
    largest : value, on the scanner's own scale; None likewise.
    fault : why it cannot be used, and the mend; blank when it can.
    notes : what reading has made of it that was not in its files.
    """

    patient: str
    volume: str
    files: int
    shape: tuple[int, int, int] | None
    orientation: str
    largest: float | None
    fault: str
    notes: tuple[str, ...] = ()


def inspect(folder: Path, reader: Reader, tell: Callable[[str], None] = lambda line: None) -> Iterator[Finding]:
    """Find and read each scan of a data set as `prepare` would; nothing is written.

    Parameters
    ----------
    folder : of the data set.
    reader : of its layout.
    tell : called with each line about files that are passed over.

    Raises
    ------
    UnimriError
        When nothing is found.
    """
    scans, passed = find_scans(reader, folder)
    for line in passed_lines(passed, folder):
        tell(line)
    for scan in tqdm(scans, desc="inspect", unit="volume", disable=None):
        files = len(scan.paths)
        try:
            with heard() as notes:
                slices, orientation = reader.read_scan(scan), reader.orientation(scan.paths)
        except ReadError as fault:
            yield Finding(scan.patient, scan.name, files, None, "", None, str(fault))
        else:
            shape = slices.shape[0], slices.shape[1], slices.shape[2]
            yield Finding(scan.patient, scan.name, files, shape, orientation, float(slices.max()), "", tuple(notes))


def findings_table(findings: Sequence[Finding]) -> str:
    """What `inspect` found as plain text: a row a scan, and how many there are of what can be used."""
    rows = [
        (
            printable(one.patient),
            printable(one.volume),
            one.files,
            *(one.shape or ("", "", "")),
            one.orientation,
            one.largest,
            one.fault,
        )
        for one in findings
    ]
    sizes = ["files", "slices", "rows", "columns"]
    header = ["patient", "volume", *sizes, "orientation", "largest value", "left out because"]
    table = tabulate(rows, header, tablefmt="plain", floatfmt="g", disable_numparse=[0, 1, 8])
    usable = [one for one in findings if one.shape is not None]
    told = [f"{printable(one.volume)}: {text}" for one in findings for text in one.notes]
    return "\n".join(
        [
            *(table, ""),
            *(told and [*told, ""]),
            f"{len({one.patient for one in usable})} patients, {len(usable)} volumes, "
            f"{sum(one.shape[0] for one in usable if one.shape)} slices; {len(findings) - len(usable)} left out",
        ]
    )
