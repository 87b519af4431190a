"""Reconstructions of a test split, kept: which there are, as data, and the HDF5 file that holds them.

A file of one anatomy and sampling holds

- `about`: JSON as uint8, see `About`
- `images/0`, `images/1`, ...: float32 (slices, n, n), magnitudes on the prepared slices' scale, of the slices of the
  test split in their order, or of some of them, evenly spaced. Reconstructions that are the same by what they are made
  from, zero filling beside several seeds, are there once.
"""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, field_serializer

from unimri.core.artifacts import check_noted, noting, replacing, sha256
from unimri.core.errors import UnimriError, unwritable
from unimri.core.hdf5 import hdf5_file, writing_hdf5
from unimri.core.settings import Settings, parse_settings
from unimri.data.store import SliceSet, evenly_spaced
from unimri.physics.drawing import AcquisitionSettings
from unimri.physics.masks import Masks, MaskSettings, draw_masks

# Slices that are copied at a time.
_COPIED = 64

MANIFEST = "manifest"
"""What a file of reconstructions calls the prepared data's manifest among its inputs."""


class OtherMasks(Settings):
    """Masks that no network was trained with: as `unimri masks draw` writes them, and drawn where they are used."""

    acceleration: float = Field(gt=1)
    mask: MaskSettings

    @field_serializer("mask")
    def _whole(self, mask: MaskSettings) -> dict[str, Any]:
        # Its kind, which tells how to read it, may be there by default.
        return mask.model_dump(mode="json")

    def draw(self, size: int) -> Masks:
        """The masks of slices of `size` x `size` pixels."""
        return draw_masks(self.mask, size, self.acceleration)


class Reconstruction(Settings):
    """One reconstruction of a test split.

    Attributes
    ----------
    method : its key in Table 1; `layer1`, ... of Table S2; `aspin/2`, `finetuned/all`, ... of few patients.
    seed : of the method's training; zero filling, which has none, bears that of the trainings beside it.
    condition : under which it is reconstructed; see `unimri.evaluation.scores`.
    model : folder of a network; JSON file of a classical method, as `unimri.classical.tuning.tune` writes it; None for
        zero filling.
    aspin : file of the ASPIN that is applied, where that is not the anatomy's own in the model's folder.
    added : new anatomies whose ASPINs the network holds beside that of the slices.
    mask : that slices are undersampled with; None for that of the trainings.
    noise, acquisition : see `unimri.physics.retrospective.reconstruct_slices`.
    slices : at most so many, evenly spaced; None for all.
    before : the method whose reconstruction as trained, with the same seed, scores compare this one with, pixel by
        pixel.
    """

    method: str
    seed: int
    condition: str
    model: Path | None
    aspin: Path | None = None
    added: tuple[str, ...] = ()
    mask: OtherMasks | None = None
    noise: float = Field(0.0, ge=0)
    acquisition: AcquisitionSettings | None = None
    slices: int | None = Field(None, ge=1)
    before: str | None = None

    def numbers(self, slices: SliceSet) -> NDArray[np.int64]:
        """Which slices of the test split it has, int64."""
        return evenly_spaced(len(slices), self.slices)

    @property
    def origin(self) -> str:
        """What its images follow from, as text: reconstructions of one origin are the same."""
        return self.model_dump_json(exclude={"method", "seed", "condition", "before"})


def write_list(reconstructions: Sequence[Reconstruction]) -> str:
    """JSON of a list of reconstructions, without what is as it is by default."""
    return json.dumps([one.model_dump(mode="json", exclude_defaults=True) for one in reconstructions])


class About(Settings):
    """What a file of reconstructions says of itself.

    Attributes
    ----------
    anatomy : whose test split.
    mask, acceleration : of the trainings.
    reconstructions : what it holds.
    images : the number of each one's dataset.
    keys : of each dataset, the digest of all that its images follow from.
    inputs : SHA-256 of every file that it was made from.
    versions : of the libraries.
    """

    anatomy: str
    mask: str
    acceleration: float
    reconstructions: list[Reconstruction]
    images: list[int]
    keys: list[str]
    inputs: dict[str, str]
    versions: dict[str, str]


@contextmanager
def writing_reconstructions(path: Path, about: About, counts: Sequence[int], image_size: int) -> Iterator[list[Any]]:
    """Write a file of reconstructions, whole or not at all; equal content is equal bytes.

    Parameters
    ----------
    path : of the file; its folder is made.
    counts : slices of each of the datasets `images/0`, `images/1`, ..., which are given to be filled.
    image_size : n, the side of the slices in pixels.

    Raises
    ------
    UnimriError : when the disk is full or the folder cannot be written to.
    """
    try:
        with noting(path) as temporary, writing_hdf5(temporary, 4 * sum(counts) * image_size**2) as file:
            text = json.dumps(about.model_dump(mode="json"), sort_keys=True)
            # No attribute, which 64 kB would bound; no times: equal content must be equal bytes.
            file.create_dataset("about", data=np.frombuffer(text.encode(), np.uint8), track_times=False)
            yield [
                file.create_dataset(f"images/{number}", (count, image_size, image_size), "float32", track_times=False)
                for number, count in enumerate(counts)
            ]
    except OSError as error:
        raise (unwritable(error, path) or error) from None


class Kept:
    """A file of reconstructions, open for reading; a context that closes it.

    Attributes
    ----------
    about : what it says of itself.

    Raises
    ------
    UnimriError : when it is missing or damaged.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        check_noted(path)
        try:
            self._file = hdf5_file(path)
            text = self._file["about"][()].tobytes().decode()
        except (OSError, KeyError, AttributeError, TypeError, ValueError) as error:
            raise UnimriError(f"{path}: holds no reconstructions ({error}); reconstruct again to write it") from None
        self.about = parse_settings(About, text, str(path))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def images(self, number: int, places: slice) -> NDArray[np.float32]:
        """Images of reconstruction `number`, of its slices at `places`: float32 (B, n, n)."""
        try:
            images: NDArray[np.float32] = self.dataset(self.about.images[number])[places]
        except (OSError, IndexError) as error:
            raise UnimriError(f"{self._path}: is damaged ({error}); reconstruct again to write it") from None
        return images

    def dataset(self, number: int) -> Any:
        """Dataset `images/{number}`."""
        try:
            return self._file[f"images/{number}"]
        except (OSError, KeyError) as error:
            raise UnimriError(f"{self._path}: is damaged ({error}); reconstruct again to write it") from None

    def find(self, method: str, seed: int, condition: str) -> int:
        """The number of a reconstruction.

        Raises
        ------
        UnimriError : when there is none.
        """
        for number, one in enumerate(self.about.reconstructions):
            if (one.method, one.seed, one.condition) == (method, seed, condition):
                return number
        raise UnimriError(f"{self._path}: holds no {method} of seed {seed}, {condition}; reconstruct again to add it")

    def check(self, data: Path) -> None:
        """Raise UnimriError unless it was made from these prepared data."""
        if self.about.inputs.get(MANIFEST) != sha256(data / "manifest.csv"):
            raise UnimriError(f"{self._path}: was made from other data than {data}; reconstruct again to write it")


class Earlier:
    """Images that are made already, by their keys; a context that closes the file that holds them.

    Parameters
    ----------
    path : a file of reconstructions, which may be missing, damaged or of another time: then it holds none.
    checkpoints : folder of single datasets, `{key}.npy`; None for none.
    """

    def __init__(self, path: Path, checkpoints: Path | None) -> None:
        self._checkpoints = checkpoints
        try:
            self._kept: Kept | None = Kept(path)
        except UnimriError:
            self._kept = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._kept is not None:
            self._kept.__exit__()

    def copy(self, key: str, dataset: Any) -> bool:
        """Fill a dataset with the images of a key; False when there are none."""
        own = None if self._checkpoints is None else self._checkpoints / f"{key}.npy"
        if own is not None and own.is_file():
            found = np.load(own, mmap_mode="r", allow_pickle=False)
        elif self._kept is not None and key in self._kept.about.keys:
            try:
                found = self._kept.dataset(self._kept.about.keys.index(key))
            except UnimriError:
                return False
        else:
            return False
        if found.shape != dataset.shape or found.dtype != dataset.dtype:
            return False
        _copy(found, dataset)
        return True

    def keep(self, key: str, dataset: Any) -> None:
        """Keep a dataset in the folder of checkpoints."""
        if self._checkpoints is not None:
            with replacing(self._checkpoints / f"{key}.npy") as temporary:
                copy = np.lib.format.open_memmap(temporary, "w+", dataset.dtype, dataset.shape)
                _copy(dataset, copy)
                copy.flush()


def _copy(source: Any, target: Any) -> None:
    for place in range(0, len(source), _COPIED):
        target[place : place + _COPIED] = source[place : place + _COPIED]
