"""Prepared slices on disk: HDF5 shards with a manifest of their volumes.

A folder holds

- `shard-000.h5` ...: dataset `slices`, float32 (slices, n, n) in [0, 1], one slice a chunk; attribute
  `anatomy`
- `manifest.csv`: one row a volume, see `MANIFEST`
- `sources.csv`: bytes and SHA-256 of the files that each volume was read from
- `skipped.csv`: why scans were left out; a header alone when none was

and nothing that names a patient: volumes and patients are known by keys.
"""

from collections import defaultdict
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self

import h5py
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from unimri.artifacts import sha256
from unimri.data.split import Split
from unimri.errors import UnimriError

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
SKIPPED = ["digest", "reason"]
# Keys and digests may consist of digits, or look like 12e34, and would lose them as numbers.
TEXT = dict.fromkeys(["volume", "patient", "split", "shard", "digest", "shard_sha256"], str)

MEMORY_LIMIT = 2 * 2**30


class SourceFile(NamedTuple):
    """Size and SHA-256 of one source file."""

    bytes: int
    sha256: str


class StoreWriter:
    """Writes a store's files to a folder; a context manager that closes the shards.

    Parameters
    ----------
    folder : existing folder.
    anatomy : written to every shard.
    image_size : n, the side of the slices in pixels.
    shards : how many to write; those that get no volume are empty.
    """

    def __init__(self, folder: Path, anatomy: str, image_size: int, shards: int) -> None:
        self._folder = folder
        self._stack = ExitStack()
        self._shards: dict[str, Any] = {}
        self._volumes: list[dict[str, Any]] = []
        self._sources: list[dict[str, Any]] = []
        self._skipped: list[dict[str, Any]] = []
        for number in range(shards):
            name = f"shard-{number:03d}.h5"
            file = self._stack.enter_context(h5py.File(folder / name, "w"))
            file.attrs["anatomy"] = anatomy
            # No times: equal content must be equal bytes.
            self._shards[name] = file.create_dataset(
                "slices",
                shape=(0, image_size, image_size),
                maxshape=(None, image_size, image_size),
                chunks=(1, image_size, image_size),
                dtype="float32",
                track_times=False,
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def add(
        self,
        volume: str,
        patient: str,
        slices: NDArray[np.float32],
        matrix: tuple[int, int],
        scale: float,
        sources: Sequence[SourceFile],
        digest: str,
    ) -> None:
        """Append a volume to the shard that has the fewest slices.

        Parameters
        ----------
        volume, patient : their keys.
        slices : (slices, n, n), float32 in [0, 1].
        matrix : the scanner's rows and columns.
        scale : `slices * scale` is the scanner's own scale.
        sources : the files that the volume was read from, in the order of its slices.
        digest : SHA-256 over the sorted digests of `sources`.
        """
        name = min(self._shards, key=lambda shard: (self._shards[shard].shape[0], shard))
        dataset = self._shards[name]
        start = dataset.shape[0]
        dataset.resize(start + len(slices), axis=0)
        dataset[start:] = slices
        self._volumes.append(
            {
                "volume": volume,
                "patient": patient,
                "shard": name,
                "start": start,
                "slices": len(slices),
                "rows": matrix[0],
                "columns": matrix[1],
                "scale": repr(float(scale)),
                "sources": len(sources),
                "digest": digest,
            }
        )
        self._sources += [
            {"volume": volume, "number": number, **source._asdict()} for number, source in enumerate(sources)
        ]

    def skip(self, digest: str, reason: str) -> None:
        """Note a scan that is left out: the digest of its sources (blank when unreadable) and why."""
        self._skipped.append({"digest": digest, "reason": reason})

    @property
    def patients(self) -> list[str]:
        """Keys of the patients of the volumes that were added."""
        return [row["patient"] for row in self._volumes]

    def finish(self, splits: dict[str, Split]) -> None:
        """Close the shards; write the manifest, with the split of each patient's key, and the other lists."""
        self._stack.close()
        digests = {name: sha256(self._folder / name) for name in self._shards}
        volumes = [
            {**row, "split": splits[row["patient"]], "shard_sha256": digests[row["shard"]]} for row in self._volumes
        ]
        for name, rows, columns in (
            ("manifest.csv", volumes, MANIFEST),
            ("sources.csv", self._sources, SOURCES),
            ("skipped.csv", self._skipped, SKIPPED),
        ):
            pd.DataFrame(rows, columns=columns).to_csv(self._folder / name, index=False, lineterminator="\n")


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
        for name, expected in self.manifest.groupby("shard")["slices"].sum().items():
            shard = folder / str(name)
            try:
                with h5py.File(shard) as file:
                    shapes.append(file["slices"].shape)
                    anatomies.append(str(file.attrs["anatomy"]))
            except FileNotFoundError as error:
                raise UnimriError(f"{shard}: no such file, but the manifest names it; run prepare again") from error
            except (OSError, KeyError) as error:
                raise UnimriError(f"{shard}: is damaged; run prepare again") from error
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


class SliceSet:
    """Slices of some volumes of a store, float32 (n, n) in [0, 1].

    They are kept in memory, from the first use on, when they fit in `memory_limit`. Otherwise each batch
    opens the shards that it needs, so that worker processes share no HDF5 handle.

    Parameters
    ----------
    folder : of the shards.
    volumes : rows of the manifest.
    image_size : n, in pixels.
    memory_limit : bytes.
    """

    def __init__(self, folder: Path, volumes: pd.DataFrame, image_size: int, memory_limit: int) -> None:
        self._folder = folder
        self._size = image_size
        self._volumes = volumes
        counts = volumes["slices"].to_numpy(dtype=np.int64)
        self._ends = np.cumsum(counts)
        volume_of = np.repeat(np.arange(len(counts)), counts)
        number = np.arange(len(volume_of)) - np.repeat(self._ends - counts, counts)
        self._number = number
        self._volume_of = volume_of
        self._row = volumes["start"].to_numpy(dtype=np.int64)[volume_of] + number
        self._keep = 4 * image_size**2 * len(self) <= memory_limit
        self._kept: NDArray[np.float32] | None = None

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
        if not self._keep:
            return self._read(wanted)
        if self._kept is None:
            self._kept = self._read(np.arange(len(self)))
        return self._kept[wanted]

    def volume_of(self, index: int) -> tuple[str, int, float]:
        """Key of the slice's volume, the slice's number in it (from 0), and the volume's scale."""
        volume = self._volumes.iloc[int(self._volume_of[index])]
        return str(volume["volume"]), int(self._number[index]), float(volume["scale"])

    def _read(self, indices: NDArray[np.int64]) -> NDArray[np.float32]:
        result = np.empty((len(indices), self._size, self._size), dtype=np.float32)
        places: defaultdict[str, list[int]] = defaultdict(list)
        shards = self._volumes["shard"].to_numpy()
        for place, index in enumerate(indices):
            places[shards[self._volume_of[index]]].append(place)
        for name, of_shard in places.items():
            try:
                with h5py.File(self._folder / name) as file:
                    dataset = file["slices"]
                    for place in of_shard:
                        dataset.read_direct(result, np.s_[self._row[indices[place]]], np.s_[place])
            except OSError as error:
                raise UnimriError(f"{self._folder / name}: cannot be read; run prepare again") from error
        return result
