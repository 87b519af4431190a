"""What is reconstructed: volumes that are found first, read one at a time, and written in the format they came in."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from unimri.core.errors import UnimriError
from unimri.data.read.error import ReadError
from unimri.formats.png import write_png

Axis = Literal["columns", "rows"]


@dataclass(frozen=True)
class KSpace:
    """What a file of raw data holds.

    Attributes
    ----------
    kspace : (slices, rows, columns) or (slices, coils, rows, columns), complex64, finite; centred (DC at n // 2) and
        orthonormal, as `unimri.physics.fourier.to_kspace` gives it. Lines that `mask` leaves out may hold anything.
    mask : bool, (N,) or (slices, N), the phase-encoding lines kept, DC at N // 2. None where the file does not say:
        then lines of zeros are those left out.
    axis : what the lines are: "columns" or "rows" of k-space.
    complete : whether the scan is fully sampled: lines of zeros at the edges, if there are any, are padding.
    size : rows and columns of the image's centre that the file asks for; None keeps all.
    truth : (slices, rows, columns), float32, magnitude of the fully sampled scan, already of that size; None where it
        is not known.
    """

    kspace: NDArray[np.complex64]
    mask: NDArray[np.bool_] | None = None
    axis: Axis = "columns"
    complete: bool = False
    size: tuple[int, int] | None = None
    truth: NDArray[np.float32] | None = None

    def cropped(self, images: NDArray[np.float32]) -> NDArray[np.float32]:
        """The centre of images that `size` asks for, pixel for pixel that of `truth`.

        Parameters
        ----------
        images : (..., rows, columns) of `kspace`.

        Returns
        -------
        (..., size[0], size[1]), a view of them; an axis that is shorter stays as it is, and all when `size` is None.
        """
        if self.size is None:
            return images
        # As fastMRI crops: of an odd number of pixels that go, one more goes from the end.
        rows, columns = (
            slice(max(0, length - kept) // 2, max(0, length - kept) // 2 + kept)
            for length, kept in zip(images.shape[-2:], self.size, strict=True)
        )
        return images[..., rows, columns]


@dataclass(frozen=True)
class Images:
    """A scan as images, to be undersampled retrospectively.

    Attributes
    ----------
    images : (slices, rows, columns), float32, magnitude >= 0 on the scanner's own scale.
    """

    images: NDArray[np.float32]


@dataclass(frozen=True)
class Made:
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


@dataclass(frozen=True)
class Found:
    """A volume that a format has found.

    Attributes
    ----------
    name : see `Source`.
    paths : its files, in the order of its slices.
    fault : what reading will raise, where finding has shown that it cannot be read.
    """

    name: str
    paths: tuple[Path, ...]
    fault: ReadError | None = None


class Format(Protocol):
    """What a format's module offers."""

    @property
    def name(self) -> str: ...

    @property
    def accepts(self) -> str:
        """What it takes, in words."""
        ...

    @property
    def suffixes(self) -> tuple[str, ...]:
        """Ends of the names of files that it reads and writes, the longest last; none where it writes a folder."""
        ...

    def find(self, root: Path, files: Sequence[Path]) -> list[Found]:
        """The volumes among `files`, which lie below `root` or are it."""
        ...

    def read(self, paths: tuple[Path, ...]) -> KSpace | Images: ...

    def write(self, paths: tuple[Path, ...], images: NDArray[np.float32], target: Path, made: Made) -> list[Path]: ...


@dataclass(frozen=True)
class Source:
    """One volume, found and not yet read.

    Attributes
    ----------
    name : path below the input, unique among the volumes; "." where the volume is all that the input holds. It is
        private: it may be a patient's name.
    number : of the volume among those of the input, from 1. It stands for the name where that must not be told.
    root : the input, a file or a folder.
    paths : the volume's files, in the order of its slices.
    format : reads and writes it.
    fault : what `read` will raise, where finding the volume has shown that it cannot be read.
    """

    name: str
    number: int
    root: Path
    paths: tuple[Path, ...]
    format: Format
    fault: ReadError | None = None

    def read(self) -> KSpace | Images:
        """Read the volume.

        Raises
        ------
        ReadError
            When it cannot be read, or holds values that no reconstruction can use.
        """
        if self.fault is not None:
            raise self.fault
        return self.format.read(self.paths)

    def target(self, output: Path, deidentify: bool = False, as_png: bool = False) -> Path:
        """The file or folder that `write` makes.

        Parameters
        ----------
        output : a file of the format, by the end of its name; else a folder, in which the volume has its own name.
        deidentify : in the folder, its number instead.
        as_png : a folder of PNGs instead of the format.

        Raises
        ------
        UnimriError
            When the name would lead out of `output`.
        """
        ends = self.format.suffixes
        if not as_png and output.name.lower().endswith(ends) and not output.is_dir():
            return output
        place = Path(self.name)
        # "." names nobody.
        if deidentify and place.name:
            place = Path(f"volume-{self.number:04d}{ends[-1] if ends else ''}")
        if as_png:
            end = next((end for end in reversed(ends) if place.name.lower().endswith(end)), "")
            place = place.with_name(place.name[: len(place.name) - len(end)]) if end else place
        target = output / place
        if not target.resolve().is_relative_to(output.resolve()):
            raise UnimriError(f"{target}: lies outside {output}; remove the link or give another output")
        return target

    def write(
        self, images: NDArray[np.float32], output: Path, made: Made, as_png: Literal[8, 16] | None = None
    ) -> list[Path]:
        """Write a reconstruction, whole or not at all.

        Parameters
        ----------
        images : (slices, rows, columns), float32, >= 0, finite, on the input's own scale, in the order of `read`.
        output : see `target`.
        made : what is said of it.
        as_png : bits of PNGs to write instead of the format.

        Returns
        -------
        What was written.

        Raises
        ------
        UnimriError
            When something is at that place already, or the images do not fit the input.
        """
        if images.ndim != 3 or not np.isfinite(images).all() or images.min() < 0:
            raise UnimriError(f"{self.paths[0]}: its reconstruction is no magnitude image; check the model")
        target = self.target(output, made.deidentify, as_png is not None)
        if (target.is_dir() and any(target.iterdir())) or target.is_file() or target.is_symlink():
            raise UnimriError(f"{target}: is there already; give another output")
        if as_png is not None:
            return write_png(images, target, as_png)
        return self.format.write(self.paths, images, target, made)
