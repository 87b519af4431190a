"""Prepared slices on disk: HDF5 shards with a manifest of their volumes and splits.

A folder holds

- `shard-000.h5` ...: dataset `slices`, uint16 (slices, n, n), which stands for [0, 1], see `encode`, one slice a chunk;
  attribute `anatomy`; `shard-000.json` ...: what each holds
- `manifest.csv`: one row a volume, see `MANIFEST`
- `sources.csv`: bytes and SHA-256 of the files that each volume was read from
- `skipped.csv`: which volumes were left out, and why; a header alone when none was

and nothing that names a patient: volumes and patients are known by keys.
"""

import os
from collections import defaultdict
from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from unimri.core.artifacts import check_made, check_noted, make_again
from unimri.core.errors import UnimriError, unreadable
from unimri.core.hdf5 import hdf5_file

Split = Literal["train", "validation", "test"]
SPLITS: tuple[Split, ...] = get_args(Split)

# rows and columns are the scanner's matrix; slices * scale is the scanner's own scale; digest is over the
# sorted digests of the volume's sources.
MANIFEST = [
    "volume",
    "patient",
    "split",
    "shard",
    "start",
    "slices",
    "rows",
    "columns",
    "scale",
    "sources",
    "digest",
    "shard_sha256",
]
SOURCES = ["volume", "number", "bytes", "sha256"]
SKIPPED = ["volume", "digest", "reason"]
# Keys and digests may consist of digits, or look like 12e34, and would lose them as numbers.
TEXT = dict.fromkeys(["volume", "patient", "split", "shard", "digest", "shard_sha256"], str)

MEMORY_LIMIT = 2 * 2**30

# Shards that a process keeps open, well below the number of files that it may have open.
OPEN_SHARDS = 128

LARGEST = 65535


def encode(slices: NDArray[np.float32], scale: float) -> NDArray[np.uint16]:
    """What is stored for slices in [0, scale]: 65535 / scale times their value, rounded.

    The error is at most half a step, scale / 131070. A scanner's integers come back by rounding when `scale`, which is
    the largest of them, is at most 32767.
    """
    stored = np.empty(slices.shape, np.uint16)
    steps = np.float32(LARGEST / scale)
    # One slice after the other, which stays in the processor's cache between the passes.
    for slice_, place in zip(slices, stored, strict=True):
        scaled = slice_ * steps
        np.rint(scaled, out=scaled)
        np.copyto(place, scaled, casting="unsafe")
    return stored


def decode(stored: NDArray[np.uint16], slices: NDArray[np.float32]) -> None:
    """Write what `encode` stored, as float32 in [0, 1], to `slices`, which has its shape."""
    np.divide(stored, np.float32(LARGEST), out=slices)


def shard_name(number: int) -> str:
    """Name of a shard's files, without their endings."""
    return f"shard-{number:03d}"


class PreparedData:
    """A folder that `unimri.data.prepare.prepare` wrote.

    Parameters
    ----------
    folder : where `manifest.csv` and its shards lie.
    memory_limit : bytes; a split that is larger is read from disk slice by slice instead of being kept in
        memory.

    Attributes
    ----------
    folder : as given.
    manifest : one row a volume, see `MANIFEST`.
    anatomy : what the slices show.
    image_size : n, the side of the slices in pixels.

    Raises
    ------
    UnimriError
        When the manifest or one of its shards is missing or damaged, or they disagree.
    """

    def __init__(self, folder: Path, memory_limit: int = MEMORY_LIMIT) -> None:
        self.folder = folder
        self._memory_limit = memory_limit
        path = folder / "manifest.csv"
        check_noted(path)
        try:
            self.manifest = pd.read_csv(path, dtype=TEXT)
        except FileNotFoundError as error:
            raise UnimriError(f"{path}: no such file; run prepare first") from error
        except (OSError, ValueError) as error:
            raise UnimriError(f"{path}: cannot be read; run prepare again") from error
        if list(self.manifest.columns) != MANIFEST or self.manifest.empty:
            raise UnimriError(f"{path}: is not a manifest of prepared volumes; run prepare again")
        shapes: list[tuple[int, ...]] = []
        anatomies: list[str] = []
        for name, volumes in self.manifest.groupby("shard"):
            shard, expected = folder / str(name), volumes["slices"].sum()
            for digest in volumes["shard_sha256"].unique():
                check_made(shard, digest, make_again(shard))
            try:
                with hdf5_file(shard) as file:
                    slices = file["slices"]
                    shapes.append(slices.shape)
                    anatomies.append(str(file.attrs["anatomy"]))
                    as_written = slices.dtype == np.uint16 and slices.chunks == (1, *slices.shape[1:])
            # h5py raises RuntimeError, too, where the index of a file is damaged.
            except (OSError, KeyError, RuntimeError) as error:
                raise unreadable(shard, error, "is damaged", "run prepare again") from error
            if not as_written:
                raise UnimriError(f"{shard}: is of another version of this program; run prepare again")
            if shapes[-1][0] != expected:
                raise UnimriError(
                    f"{shard}: has {shapes[-1][0]} slices, not the manifest's {expected}; run prepare again"
                )
            if (shapes[-1][1:], anatomies[-1]) != (shapes[0][1:], anatomies[0]):
                raise UnimriError(f"{shard}: is of another preparation than its neighbours; run prepare again")
        self.anatomy = anatomies[0]
        self.image_size = shapes[0][1]

    def split(self, name: Split) -> "SliceSet":
        """The slices of one split, in the order of the manifest."""
        volumes = self.manifest[self.manifest["split"] == name].reset_index(drop=True)
        return SliceSet(self.folder, volumes, self.image_size, self._memory_limit)

    def some_patients(self, name: Split, count: int, seed: int) -> "SliceSet":
        """The slices of some patients of a split; fewer patients are always among more.

        Raises
        ------
        UnimriError : when the split has fewer patients.
        """
        volumes = self.manifest[self.manifest["split"] == name]
        patients = sorted(volumes["patient"].unique())
        if count > len(patients):
            raise UnimriError(
                f"studies.patients: {count} is more than the {len(patients)} patients of {self.anatomy}'s {name} "
                f"split; allowed: at most {len(patients)}"
            )
        chosen = np.random.default_rng(seed).permutation(patients)[:count]
        some = volumes[volumes["patient"].isin(chosen)].reset_index(drop=True)
        return SliceSet(self.folder, some, self.image_size, self._memory_limit)


def evenly_spaced(count: int, limit: int | None) -> NDArray[np.int64]:
    """Which of `count` slices: at most `limit`, evenly spaced; all when it is None."""
    chosen = np.linspace(0, count - 1, count if limit is None else min(limit, count))
    return chosen.round().astype(np.int64)


class SliceSet:
    """Slices of some volumes of a store, float32 (n, n) in [0, 1].

    They are kept in memory as they are stored, from the first use on, when they fit in `memory_limit`. Otherwise they
    are read when they are asked for, and each process keeps the shards open that it used last.

    Parameters
    ----------
    folder : of the shards.
    volumes : rows of the manifest.
    image_size : n, in pixels; kept as an attribute.
    memory_limit : bytes.
    """

    def __init__(self, folder: Path, volumes: pd.DataFrame, image_size: int, memory_limit: int) -> None:
        self._folder = folder
        self.image_size = image_size
        self._volumes = volumes
        counts = volumes["slices"].to_numpy(dtype=np.int64)
        self._ends = np.cumsum(counts)
        volume_of = np.repeat(np.arange(len(counts)), counts)
        number = np.arange(len(volume_of)) - np.repeat(self._ends - counts, counts)
        self._number = number
        self._volume_of = volume_of
        self._row = volumes["start"].to_numpy(dtype=np.int64)[volume_of] + number
        self._keep = 2 * image_size**2 * len(self) <= memory_limit
        self._kept: NDArray[np.uint16] | None = None

    def __len__(self) -> int:
        return len(self._volume_of)

    def __getitem__(self, index: int) -> NDArray[np.float32]:
        """One slice, float32 (n, n)."""
        slice_: NDArray[np.float32] = self.batch([index])[0]
        return slice_

    def batch(self, indices: Sequence[int] | NDArray[np.integer[Any]]) -> NDArray[np.float32]:
        """The slices at `indices`, in their order, which may repeat: a new array, float32 (B, n, n).

        Raises
        ------
        IndexError
            When an index is not in [-len, len).
        UnimriError
            When a shard cannot be read.
        """
        wanted = np.arange(len(self))[np.asarray(indices, dtype=np.int64)]
        result = np.empty((len(wanted), self.image_size, self.image_size), dtype=np.float32)
        if self._keep and self._kept is None:
            kept = np.empty((len(self), self.image_size, self.image_size), dtype=np.uint16)
            for place, stored in self._read(np.arange(len(self))):
                kept[place] = stored
            self._kept = kept
        stored_slices = self._read(wanted) if self._kept is None else enumerate(self._kept[index] for index in wanted)
        # One at a time, while it is in the processor's cache.
        for place, stored in stored_slices:
            decode(stored, result[place])
        return result

    def volume_of(self, index: int) -> tuple[str, int, float]:
        """Key of the slice's volume, the slice's number in it (from 0), and the volume's scale."""
        volume = self._volumes.iloc[int(self._volume_of[index])]
        return str(volume["volume"]), int(self._number[index]), float(volume["scale"])

    def volumes(self) -> Iterator[tuple[str, str, NDArray[np.int64]]]:
        """Give each volume's key, its patient's key and the indices of its slices, int64, in their order."""
        starts = self._ends - self._volumes["slices"].to_numpy(dtype=np.int64)
        for row, start, end in zip(self._volumes.itertuples(), starts, self._ends, strict=True):
            yield str(row.volume), str(row.patient), np.arange(start, end)

    def _read(self, indices: NDArray[np.int64]) -> Iterator[tuple[int, NDArray[np.uint16]]]:
        """Give places in `indices` and the stored slice of each, which lasts until the next; shard by shard."""
        buffer = np.empty((self.image_size, self.image_size), dtype=np.uint16)
        places: defaultdict[str, list[int]] = defaultdict(list)
        shards, digests = (self._volumes[column].to_numpy() for column in ("shard", "shard_sha256"))
        for place, index in enumerate(indices):
            places[shards[self._volume_of[index]]].append(place)
        for name, of_shard in places.items():
            try:
                slices = _opened(self._folder / name, digests[self._volume_of[indices[of_shard[0]]]])
                for place in of_shard:
                    # A chunk is a slice without any filter: six times faster than through a selection.
                    slices.id.read_direct_chunk(
                        (self._row[indices[place]], 0, 0), out=buffer.reshape(-1).view(np.uint8)
                    )
                    yield place, buffer
            except (OSError, KeyError, RuntimeError) as error:
                raise UnimriError(f"{self._folder / name}: cannot be read; run prepare again") from error


def _opened(path: Path, digest: str) -> Any:
    """The slices of a shard of this SHA-256, open for reading; they stay open for the next that asks."""
    status = path.stat()
    # A process that was forked off must not share its parent's HDF5 handles, and a shard may have been made again.
    _, slices = _open(path, digest, status.st_ino, status.st_mtime_ns, os.getpid())
    return slices


@lru_cache(OPEN_SHARDS)
def _open(path: Path, digest: str, *_: int) -> tuple[Any, Any]:
    check_made(path, digest, make_again(path))
    file = hdf5_file(path)
    return file, file["slices"]
