"""Writing prepared slices: one HDF5 shard at a time, and the manifest of all of them.

The layout is that of `unimri.data.store`. A shard knows nothing of its neighbours and of the splits, so that shards can
be written on different machines.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from unimri.core.artifacts import as_json, check_noted, noting, replacing, sha256
from unimri.core.errors import unwritable
from unimri.core.hdf5 import check_room, writing_hdf5
from unimri.core.settings import Settings, read_settings
from unimri.data.store import MANIFEST, SKIPPED, SOURCES, Split, encode


class SourceFile(Settings):
    """Size and SHA-256 of one source file."""

    bytes: int
    sha256: str


class Volume(Settings):
    """A volume in a shard; see `unimri.data.store.MANIFEST`. `split` is None unless a file of splits gives it."""

    volume: str
    patient: str
    split: Split | None
    start: int
    slices: int
    rows: int
    columns: int
    scale: float
    digest: str
    sources: list[SourceFile]


class Skipped(Settings):
    """A volume that was left out: digest of its sources, blank when they cannot be read, and why."""

    volume: str
    digest: str
    reason: str


class ShardContent(Settings):
    """What a shard holds: the content of the JSON file beside it."""

    anatomy: str
    sha256: str
    volumes: list[Volume]
    skipped: list[Skipped]

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read what `writing_shard` wrote beside a shard.

        Raises
        ------
        UnimriError
            When the file is missing or damaged.
        """
        check_noted(path)
        return read_settings(cls, path, "run prepare again")


@contextmanager
def writing_shard(path: Path, anatomy: str, image_size: int) -> Iterator["ShardWriter"]:
    """Write a shard, `shard-000.h5` say, and `shard-000.json` beside it, whole or not at all.

    Parameters
    ----------
    path : of the shard; its folder is made.
    anatomy : written to it.
    image_size : n, the side of the slices in pixels.

    Raises
    ------
    UnimriError
        When the disk is full or the folder cannot be written to.
    """
    try:
        with replacing(path) as temporary:
            with writing_hdf5(temporary) as file:
                file.attrs["anatomy"] = anatomy
                slices = file.create_dataset(
                    "slices",
                    shape=(0, image_size, image_size),
                    maxshape=(None, image_size, image_size),
                    chunks=(1, image_size, image_size),
                    dtype="uint16",
                    # No times: equal content must be equal bytes.
                    track_times=False,
                )
                writer = ShardWriter(slices)
                yield writer
            digest = sha256(temporary)
        content = ShardContent(anatomy=anatomy, sha256=digest, volumes=writer.volumes, skipped=writer.skipped)
        with noting(path.with_suffix(".json")) as temporary:
            temporary.write_text(as_json(content.model_dump(mode="json")), encoding="utf-8")
    except OSError as error:
        raise (unwritable(error, path) or error) from None


class ShardWriter:
    """What a shard is filled through; see `writing_shard`.

    Parameters
    ----------
    slices : HDF5 dataset (0, n, n), which can grow.

    Attributes
    ----------
    volumes, skipped : what was added and left out so far.
    """

    def __init__(self, slices: Any) -> None:
        self._slices = slices
        self.volumes: list[Volume] = []
        self.skipped: list[Skipped] = []

    def add(
        self,
        volume: str,
        patient: str,
        split: Split | None,
        slices: NDArray[np.float32],
        matrix: tuple[int, int],
        scale: float,
        sources: Sequence[SourceFile],
        digest: str,
    ) -> None:
        """Append a volume.

        Parameters
        ----------
        volume, patient : their keys.
        split : of the patient, where a file of splits gives it.
        slices : (slices, n, n), float32 in [0, scale], on the scanner's own scale.
        matrix : the scanner's rows and columns.
        scale : what becomes 1; see `unimri.data.store.encode`.
        sources : the files that the volume was read from, in the order of its slices.
        digest : SHA-256 over the sorted digests of `sources`.
        """
        start = self._slices.shape[0]
        check_room(self._slices.file, 2 * slices.size)
        self._slices.resize(start + len(slices), axis=0)
        self._slices[start:] = encode(slices, scale)
        self.volumes.append(
            Volume(
                volume=volume,
                patient=patient,
                split=split,
                start=start,
                slices=len(slices),
                rows=matrix[0],
                columns=matrix[1],
                scale=scale,
                digest=digest,
                sources=list(sources),
            )
        )

    def skip(self, volume: str, digest: str, reason: str) -> None:
        """Note a volume that is left out; see `Skipped`."""
        self.skipped.append(Skipped(volume=volume, digest=digest, reason=reason))


def write_manifest(shards: Mapping[str, ShardContent], splits: Mapping[str, Split], folder: Path) -> None:
    """Write the manifest of some shards and the lists beside it.

    Parameters
    ----------
    shards : their content, by file name.
    splits : of each patient's key.
    folder : of the shards.
    """
    volumes = [
        volume.model_dump()
        | {
            "scale": repr(volume.scale),
            "sources": len(volume.sources),
            "split": splits[volume.patient],
            "shard": name,
            "shard_sha256": content.sha256,
        }
        for name, content in shards.items()
        for volume in content.volumes
    ]
    sources = [
        {"volume": volume.volume, "number": number, **source.model_dump()}
        for content in shards.values()
        for volume in content.volumes
        for number, source in enumerate(volume.sources)
    ]
    skipped = [skipped.model_dump() for content in shards.values() for skipped in content.skipped]
    for name, rows, columns in (
        ("sources.csv", sources, SOURCES),
        ("skipped.csv", skipped, SKIPPED),
        # Last: whoever finds a manifest finds everything that it tells of.
        ("manifest.csv", volumes, MANIFEST),
    ):
        with noting(folder / name) as temporary:
            pd.DataFrame(rows, columns=columns).to_csv(temporary, index=False, lineterminator="\n")
