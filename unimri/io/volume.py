"""What all formats share: files of a folder, a volume found, read, checked and turned, what is said of its result."""

import errno
import os
import re
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from fnmatch import fnmatch
from functools import cached_property
from math import prod
from pathlib import Path
from stat import S_ISDIR, S_ISREG
from typing import Any, Literal, NamedTuple, overload

import numpy as np
from numpy.typing import NDArray

from unimri.core.arrays import MAX_DEFLATE_RATIO as MAX_DEFLATE_RATIO
from unimri.core.errors import ReadError, UnimriError, printable
from unimri.core.stacks import Mapped, Stack, extremes, in_memory
from unimri.io.notes import note
from unimri.physics.acquisition import Acquisition, AxesError, MaskError, Sampling, check_axes, check_whole

# 8 GiB as float32: far above any clinical volume, far below what a damaged header can declare.
MAX_VOXELS = 2**31

Plane = Literal["native", "axial", "coronal", "sagittal"]

# Where slice number, row and column grow towards, as radiologists look at the plane: the patient's left on
# the right of the image, anterior or superior up, sagittal views from the left. The slices then run along the
# normal that the DICOM reader sorts by.
AXES = {"axial": ("S", "P", "L"), "coronal": ("P", "I", "L"), "sagittal": ("R", "I", "P")}
# The two ends of the body's axes.
_ENDS = {end: axis for axis in ("LR", "PA", "IS") for end in axis}

# How far, in degrees, the axes may lie from the body's before a scan is called oblique.
OBLIQUE = 5.0

Negatives = Literal["refuse", "clip", "magnitude"]
"""What negative values of a scan are: no image, noise below 0, or the sign of a magnitude."""

# Negative values that interpolation makes: of all values, and their sum over that of the positive ones.
_FEW, _LIGHT = 0.05, 0.01

_CORNERS = [0, 0, -1, -1], [0, -1, 0, -1]

LABELS = (
    *("*_gt*", "*label*", "*groundtruth*", "*ground_truth*", "*annotation*"),
    *("*_seg*", "*-seg*", "*.seg*", "seg", "segmentation*", "*dseg*", "*probseg*", "*aseg*", "*aparc*"),
    *("mask", "masks", "mask[._0-9-]*", "masks[._-]*", "*[_-]mask", "*[_-]masks", "*[_-]mask[._0-9-]*", "*brainmask*"),
    *("roi", "rois", "roi[._-]*", "*[_-]roi[._0-9-]*"),
)
"""Patterns of names of files and folders that are masks or label maps and no scans."""

APART = ("derivatives", "sourcedata")
"""Folders of a BIDS data set that hold other versions of the same patients' scans."""

FOREIGN = (
    *(".nii", ".nii.gz", ".h5", ".hdf5", ".mrd", ".mat", ".cfl", ".npy", ".npz"),
    *(".json", ".txt", ".tsv", ".csv", ".md", ".cfg", ".xml", ".pdf", ".png", ".jpg", ".jpeg", ".bval", ".bvec"),
)
"""Ends of names that no DICOM image has."""

# How many names one line tells.
_NAMES = 20

# Of the workflow, in each folder that it makes.
_TIMESTAMP = ".snakemake_timestamp"

_HIDDEN = "is hidden: its name begins with a dot"
_NO_FILE = "is a pipe, socket or device"

_MASKS = "give one of (columns,), (rows,), (slices, lines), (rows, columns) or (slices, rows, columns)"

_MASK_FAULTS = {
    "shape": ("its mask has another shape than its k-space", _MASKS),
    "points": ("its mask is not one of whole lines", "give one of phase-encoding lines"),
    "empty": ("its mask keeps no line of a slice", "check the mask"),
    "axis": ("its mask is as long as its rows, and not as its columns", "give it as (rows, columns) if it keeps rows"),
    "values": ("its mask has values that are no finite numbers (NaN or infinite)", _MASKS),
}
_NO_POINTS = "most points that its mask keeps were not measured", "give a mask of those that were"
_POINTS = "points of its k-space and not whole lines were measured", "give a mask of these points"


@dataclass(frozen=True)
class Scan:
    """One volume, found and not yet read. Formats find and read it, layouts of data sets say whose it is.

    Attributes
    ----------
    name : of the volume, unique among those found with it. It is private: it may be a patient's name.
    paths : its files, in the order of its slices.
    fault : what reading will raise, where finding has already shown that it cannot be read.
    patient : the data set's own name for the patient. It groups scans and stays private: artifacts hold a key. Blank
        where no data set was searched.
    note : what was assumed when the files were put together, in words without names; blank where nothing was.
    """

    name: str
    paths: tuple[Path, ...]
    fault: ReadError | None = None
    patient: str = ""
    note: str = ""

    def check(self) -> None:
        """Raise the fault that finding has shown, or give its note; whoever reads calls it first."""
        # Whoever reads it tells of other faults.
        with suppress(OSError):
            if len(self.paths) == 1:
                with self.paths[0].open("rb") as file:
                    check_fetched(self.paths[0], file.read(64))
        if self.fault is not None:
            raise self.fault
        if self.note:
            note(self.paths[0], self.note)


@dataclass(frozen=True)
class Images:
    """A scan as images, to be undersampled retrospectively.

    Attributes
    ----------
    images : (slices, rows, columns), float32, magnitude >= 0 on the scanner's own scale. A `Stack` of an opened scan.
    """

    images: Any


@dataclass(frozen=True)
class Provenance:
    """What is said of a reconstruction in its file.

    Attributes
    ----------
    model, anatomy : by which it was made, in short words.
    acceleration : lines over lines kept.
    retrospective : whether the scan was whole and lines were left out for this.
    version : of unimri.
    deidentify : write nothing that could name the patient, file names included.
    """

    model: str
    anatomy: str
    acceleration: float
    retrospective: bool
    version: str
    deidentify: bool = False

    @property
    def short(self) -> str:
        """In three words: "unimri 4x brain"."""
        return f"unimri {self.acceleration:.3g}x {self.anatomy}"

    @property
    def sentence(self) -> str:
        """All of it in one sentence."""
        undersampled = "undersampled retrospectively" if self.retrospective else "undersampled by the scanner"
        return (
            f"Reconstructed by unimri {self.version} (model {self.model}, anatomy {self.anatomy}) "
            f"from k-space {undersampled}, acceleration {self.acceleration:.3g}"
        )


def check_fetched(path: Path, start: bytes) -> None:
    """Raise ReadError for a file that, as it starts, stands for content which git-annex or Git LFS has to fetch."""
    if start.startswith((b"/annex/objects/", b"version https://git-lfs.")):
        mend = "fetch it, with `datalad get` or `git lfs pull`"
        raise ReadError(path, "is a placeholder: its content was not fetched", mend)


def check_folder(folder: Path) -> None:
    """Raise UnimriError unless `folder` is a folder that holds something."""
    if not folder.exists():
        raise UnimriError(f"{folder}: no such folder; check the path")
    if not folder.is_dir():
        raise UnimriError(f"{folder}: is a file; give the folder that holds the data set")
    try:
        empty = not any(folder.iterdir())
    except OSError as error:
        why = os.strerror(error.errno or 0).lower()
        raise UnimriError(f"{folder}: the folder cannot be opened ({why}); check its permissions") from error
    if empty:
        raise UnimriError(f"{folder}: the folder is empty; put the data set there or give another folder")


@dataclass(frozen=True)
class Passed:
    """A file below an input that is not used, and why.

    Attributes
    ----------
    path : the file, or a folder that was not opened.
    reason : why, in words that hold neither a path nor a header's value, so that an artifact may keep it.
    shown : what is named instead where many lie together, such as their folder.
    companion : whether the layout has such files by design beside its scans: artifacts do not count it.
    """

    path: Path
    reason: str
    shown: Path | None = None
    companion: bool = False


class Found(NamedTuple):
    """The volumes of an input, and what else lies there."""

    scans: list[Scan]
    passed: list[Passed]


@dataclass(frozen=True)
class Walk:
    """What lies below a folder; see `walk`.

    Attributes
    ----------
    root : the folder.
    names : paths of the files as text, sorted: a data set may have half a million.
    faults : links that lead nowhere, and folders that cannot be opened.
    passed : what is hidden, no file, or reached a second time.
    """

    root: Path
    names: list[str] = field(default_factory=list)
    faults: list[ReadError] = field(default_factory=list)
    passed: list[Passed] = field(default_factory=list)

    @cached_property
    def files(self) -> list[Path]:
        """The files."""
        return [Path(name) for name in self.names]

    def places(self) -> Iterable[tuple[Path, Path]]:
        """Each file, and its path below the root."""
        return ((path, path.relative_to(self.root)) for path in self.files)


def walk(folder: Path) -> Walk:
    """Find all files below `folder`: what any reader and format is given.

    Links are followed. What is reached twice, by whatever names, counts once: under a name without links if there is
    one, else under the first by nesting and name. What begins with a dot (`._*` of macOS, `.git`) is hidden.

    Raises
    ------
    UnimriError : when `folder` does not exist, cannot be opened, is no folder or is empty.
    """
    check_folder(folder)
    walked = Walk(folder)
    # A link to what holds the folder would lead back into it.
    place = folder.resolve()
    seen = {_identity(above.stat()) for above in (place, *place.parents)}
    waiting = [os.fspath(folder)]
    while waiting:
        links: list[str] = []
        found: list[tuple[str, tuple[int, int]]] = []
        while waiting:
            below, own = _listed(waiting.pop(), walked, links)
            found += own
            for name, identity in below:
                if identity in seen:
                    walked.passed.append(Passed(Path(name), "is a folder that is read by another name"))
                else:
                    seen.add(identity)
                    waiting.append(name)
        for name in sorted(links):
            try:
                about = Path(name).stat()
            except OSError as error:
                walked.faults.append(_lost(Path(name), error))
                continue
            identity = _identity(about)
            if S_ISREG(about.st_mode):
                found.append((name, identity))
            elif not S_ISDIR(about.st_mode):
                walked.passed.append(Passed(Path(name), _NO_FILE))
            elif identity in seen:
                walked.passed.append(Passed(Path(name), "is a link to a folder that is read by another name"))
            else:
                seen.add(identity)
                waiting.append(name)
        # Those without links come first.
        known = set(links)
        for name, identity in sorted(found, key=lambda one: (one[0] in known, one[0])):
            if identity in seen:
                walked.passed.append(Passed(Path(name), "is a file that is read by another name"))
            else:
                # Some file systems number nothing.
                if identity[1]:
                    seen.add(identity)
                walked.names.append(name)
    # As paths are sorted, folder by folder.
    walked.names.sort(key=lambda name: name.replace(os.sep, "\0"))
    walked.faults.sort(key=lambda fault: fault.path)
    walked.passed.sort(key=lambda one: one.path)
    return walked


_Entries = list[tuple[str, tuple[int, int]]]


def _listed(folder: str, walked: Walk, links: list[str]) -> tuple[_Entries, _Entries]:
    """Folders and files of a folder, with what tells them apart; what is neither goes to `walked` or `links`."""
    folders: _Entries = []
    files: _Entries = []
    try:
        device = Path(folder).stat().st_dev
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.name.startswith("."):
                    if entry.name != _TIMESTAMP:
                        macos = entry.name.startswith("._")
                        walked.passed.append(Passed(Path(entry.path), _HIDDEN, companion=macos))
                elif entry.is_symlink():
                    links.append(entry.path)
                elif entry.is_dir():
                    folders.append((entry.path, _identity(entry.stat())))
                elif entry.is_file():
                    files.append((entry.path, (device, entry.inode())))
                else:
                    walked.passed.append(Passed(Path(entry.path), _NO_FILE))
    except OSError as error:
        why = os.strerror(error.errno or 0).lower()
        walked.faults.append(ReadError(Path(folder), f"its folder cannot be opened ({why})", "check its permissions"))
    return folders, files


def _identity(about: os.stat_result) -> tuple[int, int]:
    return about.st_dev, about.st_ino


def _lost(link: Path, error: OSError) -> ReadError:
    if error.errno == errno.ELOOP:
        return ReadError(link, "is a link that leads in a circle", "remove it")
    if error.errno in (errno.ENOENT, errno.ENOTDIR):
        mend = "fetch that, as with `datalad get`, or remove the link"
        return ReadError(link, "is a link to what is not there", mend)
    why = os.strerror(error.errno or 0).lower()
    return ReadError(link, f"is a link to what cannot be reached ({why})", "check permissions and the disk")


def files_below(folder: Path) -> list[Path]:
    """The files that `walk` finds, for readers that tell nothing of the others."""
    return walk(folder).files


def has_suffix(path: Path, ends: tuple[str, ...]) -> bool:
    """Whether a name ends with one of `ends`, which are in small letters; case does not matter."""
    return path.name.lower().endswith(ends)


def without_suffix(path: Path, ends: tuple[str, ...]) -> str:
    """A file's name without the longest of `ends` that it has; case does not matter."""
    longest = max((len(end) for end in ends if has_suffix(path, (end,))), default=0)
    return path.name[: len(path.name) - longest]


def may_have_suffix(path: Path, ends: tuple[str, ...]) -> bool:
    """Whether what a link named may have been of these: by its end, or because it has none, as folders."""
    return has_suffix(path, ends) or re.fullmatch(r"\.[a-z]\w*", path.suffix, re.IGNORECASE) is None


def is_label(place: Path, patterns: Sequence[str] = LABELS) -> bool:
    """Whether a path below an input is, by its own name or a folder's, of a mask, a label map or what else matches."""
    return _matching(place, patterns) is not None


def _matching(place: Path, patterns: Sequence[str]) -> int | None:
    """Number of the first part that matches one of the patterns, as `fnmatch` has them; case does not matter."""
    lowered = [pattern.lower() for pattern in patterns]
    for number, part in enumerate(place.parts):
        if any(fnmatch(part.lower(), pattern) for pattern in lowered):
            return number
    return None


def excluded(root: Path, path: Path, patterns: Sequence[str]) -> Passed | None:
    """A file that is excluded by its name or that of a folder below `root`, which excludes nothing; None for others."""
    place = path.relative_to(root)
    number = _matching(place, patterns)
    if number is None:
        return None
    part = Path(place.parts[number])
    if is_label(part, APART):
        reason = "lies in a folder of derivatives or source data"
    elif is_label(part):
        reason = "is a mask or label map by its name"
    else:
        reason = "is excluded by its name"
    shown = root.joinpath(*place.parts[: number + 1])
    return Passed(path, reason, shown)


def passed_lines(passed: Iterable[Passed], root: Path, private: bool = False) -> list[str]:
    """Say what was passed over, a line for each reason: how many, and which, or not where names are `private`."""
    reasons: dict[str, list[Passed]] = {}
    for one in passed:
        reasons.setdefault(one.reason, []).append(one)
    lines = []
    for reason, those in reasons.items():
        line = f"passed over: {len(those)} {'file' if len(those) == 1 else 'files'} ({reason})"
        names = list(dict.fromkeys(printable(name_below(root, one.shown or one.path)) for one in those))
        more = f", and {len(names) - _NAMES} more" if len(names) > _NAMES else ""
        lines.append(line if private else f"{line}: {', '.join(names[:_NAMES])}{more}")
    return lines


def nothing_found(folder: Path, wanted: str, passed: Sequence[Passed] = ()) -> UnimriError:
    """The fault of a folder that holds files, but none of the format: `wanted` says what was looked for."""
    told = "".join(f"; {line}" for line in passed_lines(passed, folder))
    return UnimriError(f"{folder}: found no {wanted}; check the folder and the format{told}")


def name_below(root: Path, path: Path) -> str:
    """Path of a file below the input; its own name where it is the input."""
    return path.name if path == root else path.relative_to(root).as_posix()


def check_size(shape: tuple[int, ...], path: Path) -> None:
    """Raise ReadError, before anything is allocated, when a header declares an impossible volume."""
    if not shape or min(shape) < 1:
        raise ReadError(path, "declares a volume without voxels", "the header is damaged: export the file again")
    voxels = prod(map(int, shape))
    if voxels > MAX_VOXELS:
        raise ReadError(
            path,
            f"declares {voxels} voxels, more than the {MAX_VOXELS} that are allowed",
            "the header is damaged, or the file must be divided into volumes",
        )


def as_float32(values: NDArray[Any]) -> NDArray[np.float32]:
    """Cast real values to float32; those beyond its range become infinite, which `magnitude` refuses."""
    with np.errstate(over="ignore"):
        return values.astype(np.float32, copy=False)


def magnitude(volume: Stack, path: Path, negatives: Negatives = "refuse") -> NDArray[np.float32]:
    """Magnitude of a volume, in memory; see `magnitudes`."""
    levelled = magnitudes(volume, path, negatives)
    return in_memory(levelled)


def magnitudes(volume: Stack, path: Path, negatives: Negatives = "refuse") -> Stack:
    """Magnitude of a volume: the one place that decides what is background, and what negative values are.

    Padding and air around the image become 0, and a note says so: NaN that reaches the edge of its slice; the smallest
    value, if negative, where it reaches the edge; the largest, where it fills the corners of all slices and is far
    above all else. Of what is left, few negative values, as interpolation makes them, become 0 with a note; a volume of
    many has no background at 0, or is no magnitude, and folding it by `abs` would make another image.

    Parameters
    ----------
    volume : (slices, rows, columns), real or complex.
    path : the file to name in a fault or a note.
    negatives : what many negative values are.

    Returns
    -------
    (slices, rows, columns), float32, finite, >= 0, on the scale of `volume`: an array where `volume` is one whose
    values stay.

    Raises
    ------
    ReadError : when a value is not finite in float32, all values are equal, or many are negative.
    """
    if isinstance(volume, np.ndarray):
        result: Stack = as_float32(np.abs(volume) if np.iscomplexobj(volume) else volume)
    else:
        result = Mapped(volume, lambda own: as_float32(np.abs(own) if np.iscomplexobj(own) else own))
    # Each pass over a volume counts in the time of a preparation, and most scans need no other.
    smallest, largest = extremes(result)
    if np.isnan(smallest):
        result = _without_nan(result, path)
        smallest, largest = extremes(result)
    if not (np.isfinite(smallest) and np.isfinite(largest)):
        raise ReadError(path, "has NaN or infinite values", "mend or remove the file")
    if smallest < 0:
        result = _without_negatives(result, path, negatives)
        smallest, largest = extremes(result)
    if all((slice_[*_CORNERS] == largest).all() for slice_ in result):
        result = _without_bright_padding(result, largest, path)
        smallest, largest = extremes(result)
    if smallest == largest:
        raise ReadError(path, "all values of the volume are equal", "remove the volume: it holds no image")
    return result


def _without_nan(volume: Stack, path: Path) -> Stack:
    # Here, since few scans need it.
    from scipy.ndimage import label

    outside = inside = known = 0
    for slice_ in volume:
        unknown = np.isnan(slice_)
        regions, _ = label(unknown)
        at_edge = np.unique(np.concatenate([regions[0], regions[-1], regions[:, 0], regions[:, -1]]))
        own = int(np.count_nonzero(unknown & ~np.isin(regions, at_edge)))
        inside += own
        outside += int(np.count_nonzero(unknown)) - own
        known += int(np.count_nonzero(~unknown))
    if not known:
        return volume
    if inside:
        reason = f"has {inside} NaN or infinite values inside the image"
        raise ReadError(path, reason, "replace them, by 0 where there is no signal, or remove the file")
    note(path, f"NaN outside the image ({_share(outside, volume)} of its values) is read as 0")
    return Mapped(volume, lambda own: np.where(np.isnan(own), np.float32(0), own))


def _without_negatives(volume: Stack, path: Path, negatives: Negatives) -> Stack:
    negative = sum(int(np.count_nonzero(own < 0)) for own in volume)
    if negatives == "magnitude":
        note(path, f"{_share(negative, volume)} of its values are negative, and lose their sign as `negatives` says")
        return Mapped(volume, np.abs)
    clipped = Mapped(volume, lambda own: np.clip(own, 0, None))
    if negatives == "clip":
        note(path, f"{_share(negative, volume)} of its values are negative, and are read as 0 as `negatives` says")
        return clipped
    padding = rest = 0
    light = bright = total = squares = lowest = 0.0
    values: set[float] = set()
    # A scale of each slice's own gives padding a value of each slice's own.
    for slice_ in volume:
        own, least = np.zeros(slice_.shape, np.bool_), slice_.min()
        if least < 0:
            np.equal(slice_, least, out=own)
            edges = own[0], own[-1], own[:, 0], own[:, -1]
            own &= any(edge.any() for edge in edges) and np.count_nonzero(own) > 1
        other = (slice_ < 0) & ~own
        if own.any():
            padding += int(np.count_nonzero(own))
            values.add(float(least))
        if other.any():
            rest += int(np.count_nonzero(other))
            light -= float(slice_[other].sum(dtype=np.float64))
            lowest = min(lowest, float(slice_[other].min()))
        bright += float(slice_.sum(where=slice_ > 0, dtype=np.float64))
        total += float(slice_.sum(dtype=np.float64))
        squares += float(np.square(slice_, dtype=np.float64).sum())
    count = prod(volume.shape)
    share, weight, mean = rest / count, light / (bright or np.inf), total / count
    few = (share <= _FEW and weight <= _LIGHT) or weight <= _LIGHT**2
    # Whole volumes of mean 0 were standardised: what looks like padding in them is their background.
    if not few or not bright or abs(mean) < 1e-3 * np.sqrt(max(squares / count - mean**2, 0)):
        mend = "give the scanner's own magnitude image, as it was before it was standardised or shifted"
        raise ReadError(
            path,
            f"{_share(negative, volume)} of its values are negative: it is no magnitude image",
            f"{mend}, or say by `negatives` what they mean: clip or magnitude",
        )
    if padding:
        low, high = min(values), max(values)
        which = f"of {low:g}" if low == high else f"of {low:g} to {high:g}"
        note(path, f"padding {which} around the image ({_share(padding, volume)} of its values) is read as 0")
    if rest:
        note(path, f"a few negative values ({_share(rest, volume)}, down to {lowest:g}) are read as 0")
    return clipped


def _without_bright_padding(volume: Stack, largest: float, path: Path) -> Stack:
    """Without the largest value, which the corners have, where nothing else comes near it."""
    padding, next_to = 0, -1.0
    for slice_ in volume:
        own = slice_ == largest
        padding += int(np.count_nonzero(own))
        next_to = max(next_to, float(slice_.max(where=~own, initial=-1)))
    if next_to < 0 or next_to * 2 > largest:
        return volume
    note(path, f"padding of {largest:g} around the image ({_share(padding, volume)} of its values) is read as 0")
    return Mapped(volume, lambda own: np.where(own == largest, np.float32(0), own))


def _share(count: int, volume: Stack) -> str:
    return f"{100 * count / prod(volume.shape):.3g} %"


@overload
def loaded(content: Acquisition) -> Acquisition: ...
@overload
def loaded(content: Images) -> Images: ...


def loaded(content: Acquisition | Images) -> Acquisition | Images:
    """An opened volume with all of it in memory."""
    if isinstance(content, Images):
        return Images(in_memory(content.images))
    kspace, truth = in_memory(content.kspace), content.truth
    return replace(content, kspace=kspace, truth=None if truth is None else in_memory(truth))


def check_kspace(kspace: Stack, path: Path) -> None:
    """Raise ReadError when k-space (slices, ...) has values that are not finite, or a slice without any."""
    for slice_ in kspace:
        if not np.isfinite(slice_).all():
            raise ReadError(path, "has NaN or infinite values", "mend or remove the file")
        if not slice_.any():
            raise ReadError(path, "a slice of its k-space is empty", "remove the slice")


def acquired(
    kspace: Stack,
    mask: NDArray[Any] | None,
    path: Path,
    size: tuple[int, int] | None = None,
    truth: Stack | None = None,
    padded: bool = False,
) -> Acquisition:
    """What a file of raw data holds, from its k-space and its mask.

    Parameters
    ----------
    kspace : (slices, coils, rows, columns).
    mask : numbers or bool, not zero where k-space was sampled: of lines, or of all points. Axes of length 1 do not
        count; where a length fits both axes, the lines are columns, as fastMRI's. None where the file has none: then
        lines of zeros are those left out.
    path : the file to name in a fault.
    size, truth : see `Acquisition`.
    padded : whether lines of zeros at the edges are padding, where there is no mask.

    Raises
    ------
    ReadError : when values are not finite or a slice is empty; when the mask has another shape, leaves out all of a
        slice, or names lines that were not measured whole.
    """
    check_kspace(kspace, path)
    try:
        check_axes(kspace)
    except AxesError as error:
        raise ReadError(path, error.reason, error.mend) from error
    if mask is None:
        lines, axis, word = Sampling.of(kspace).lines(padded=padded)
        if word:
            note(path, word)
        return Acquisition(kspace, lines, axis, size, truth)
    slices, _, rows, columns = kspace.shape
    kept = mask if mask.shape in ((slices, rows, columns), (rows, columns)) else mask.squeeze()
    try:
        found = Acquisition(kspace, np.ones((1, columns), np.bool_), "columns", size, truth).undersampled(kept)
    except MaskError as error:
        raise ReadError(path, *_MASK_FAULTS[error.fault]) from error
    try:
        check_whole(kspace, found.mask, found.axis)
    except MaskError as error:
        raise ReadError(path, *(_NO_POINTS if found.axis == "points" else _POINTS)) from error
    return found


def describe(affine: NDArray[Any]) -> str:
    """How slices lie in the body, such as "sagittal (R I P)" or "oblique axial (S P L)".

    Parameters
    ----------
    affine : (4, 4), from indices of slice, row and column to millimetres, right-anterior-superior; only directions
        count.

    Returns
    -------
    The plane that is nearest, and where slice number, row and column grow towards (right, left, anterior, posterior,
    superior, inferior); blank when the affine gives no three directions.
    """
    if _orientation(affine) is None:
        return ""
    from nibabel.affines import obliquity
    from nibabel.orientations import aff2axcodes

    towards = aff2axcodes(affine)
    plane = next(name for name, axes in AXES.items() if towards[0] in _ENDS[axes[0]])
    oblique = "oblique " if np.degrees(obliquity(affine)).max() > OBLIQUE else ""
    return f"{oblique}{plane} ({' '.join(towards)})"


def turn(data: NDArray[Any], affine: NDArray[Any], plane: Plane, path: Path) -> NDArray[Any]:
    """Turn a volume to a plane: its axes are swapped and flipped to the nearest, nothing is interpolated.

    Parameters
    ----------
    data : three axes of space, in the order of `affine`, then any others.
    affine : (4, 4), from indices to millimetres, right-anterior-superior; only directions count.
    plane : not "native".
    path : the file to name in a fault.

    Returns
    -------
    (slices, rows, columns, others), as `AXES` says; a view of `data`.

    Raises
    ------
    ReadError : when the affine gives no three directions.
    """
    from nibabel.orientations import apply_orientation

    turned: NDArray[Any] = apply_orientation(data, _transform(affine, plane, path))
    return turned


def turn_affine(affine: NDArray[Any], plane: Plane, path: Path) -> NDArray[np.float64]:
    """Directions of a volume's axes after `turn`, (4, 4); parameters and faults as there."""
    turned = np.eye(4)
    for axis, (place, sign) in enumerate(_transform(affine, plane, path)):
        turned[:3, int(place)] = sign * affine[:3, axis]
    return turned


def _transform(affine: NDArray[Any], plane: Plane, path: Path) -> NDArray[Any]:
    present = _orientation(affine)
    if present is None:
        raise ReadError(path, "its header gives no orientation", "set `plane: native` or mend the header")
    from nibabel.orientations import axcodes2ornt, ornt_transform

    transform: NDArray[Any] = ornt_transform(present, axcodes2ornt(AXES[plane]))
    return transform


def _orientation(affine: NDArray[Any]) -> NDArray[Any] | None:
    """nibabel's orientation of the axes of an affine, or None when it gives no three directions."""
    if not np.isfinite(affine).all():
        return None
    # Here and above, since most that read need nothing of nibabel.
    from nibabel.orientations import io_orientation

    orientation: NDArray[Any] = io_orientation(affine)
    return None if np.isnan(orientation).any() else orientation
