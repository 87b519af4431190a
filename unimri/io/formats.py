"""The formats that scans come in and reconstructions go out in: by name, found in an input, read, and written back."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path
from typing import Literal, Protocol, cast, get_args

import numpy as np

from unimri.core.artifacts import replacing
from unimri.core.errors import UnimriError, check_file, reading
from unimri.core.settings import Settings, parse_settings
from unimri.core.stacks import Mapped, Stack, extremes
from unimri.io.layout import Layout
from unimri.io.volume import (
    APART,
    FOREIGN,
    LABELS,
    Found,
    Images,
    Negatives,
    Passed,
    Provenance,
    Scan,
    Walk,
    excluded,
    has_suffix,
    loaded,
    may_have_suffix,
    name_below,
    passed_lines,
    walk,
    without_suffix,
)
from unimri.physics.acquisition import Acquisition


class _Module(Protocol):
    """What a format's module offers.

    `find` gives the volumes among files that lie below `root` or are it, and what of them is none as far as it knows
    why; `read` may give slices that are read when they are asked for; `write` gives the paths that it has written.
    """

    def find(self, root: Path, files: Sequence[Path]) -> Found: ...

    def read(self, paths: tuple[Path, ...], negatives: Negatives) -> Acquisition | Images: ...

    def write(self, paths: tuple[Path, ...], images: Stack, target: Path, provenance: Provenance) -> list[Path]: ...


@dataclass(frozen=True)
class Format:
    """A format, whose module and libraries are imported when one of its files is there.

    Attributes
    ----------
    name : by which it is chosen.
    accepts : what it takes, in words.
    suffixes : ends of the names of files that it reads and writes, the longest last; none where any file may be of the
        format, and a folder is written.
    module : a `_Module`.
    foreign : ends of names of files that it reads alone; what is written for one ends as the last of `suffixes`.
    layout : of arrays, where it is given and not told by the content.
    complex : whether it can hold complex images.
    """

    name: str
    accepts: str
    suffixes: tuple[str, ...]
    module: str
    foreign: tuple[str, ...] = ()
    layout: Layout | None = None
    complex: bool = True

    def load(self) -> _Module:
        """The module."""
        module = import_module(self.module)
        return cast(_Module, module if self.layout is None else module.with_layout(self.layout))

    def may_have(self, root: Path, files: Sequence[Path]) -> bool:
        """Whether any of these files could be of the format, by their names."""
        if self.suffixes:
            return any(has_suffix(path, self.suffixes + self.foreign) for path in files)
        if root.is_file():
            return not (has_suffix(root, _HDF5) and _is_hdf5(root))
        return not all(has_suffix(path, _NAMED) for path in files)

    def may_be(self, path: Path) -> bool:
        """Whether what is known by its name alone, as where a link leads nowhere, may be of the format or a folder."""
        return may_have_suffix(path, self.suffixes + self.foreign) if self.suffixes else not has_suffix(path, FOREIGN)


FORMATS = {
    format.name: format
    for format in (
        Format("dicom", "DICOM images (any name)", (), "unimri.io.dicom.format", complex=False),
        Format("nifti", "NIfTI files (.nii, .nii.gz)", (".nii", ".nii.gz"), "unimri.io.nifti"),
        Format(
            "hdf5-kspace",
            "arrays of k-space in HDF5 (.h5) or MATLAB's v7.3 (.mat)",
            (".hdf5", ".h5"),
            "unimri.io.hdf5_arrays",
            (".mat",),
        ),
        Format("fastmri-h5", "fastMRI's k-space files (.h5)", (".hdf5", ".h5"), "unimri.io.fastmri"),
        Format("ismrmrd", "ISMRMRD raw data (.h5, .mrd)", (".mrd", ".hdf5", ".h5"), "unimri.io.ismrmrd"),
        Format("bart", "BART's k-space (.cfl with its .hdr)", (".cfl",), "unimri.io.bart"),
        Format("numpy", "NumPy arrays of k-space or images (.npy, .npz)", (".npy", ".npz"), "unimri.io.numpy_file"),
    )
}
"""The formats by name, in the order in which files are asked for them."""

_HDF5 = FORMATS["ismrmrd"].suffixes

# Ends of names that say the format.
_NAMED = tuple({end for format in FORMATS.values() for end in format.suffixes + format.foreign})


class ArrayFormat(Settings):
    """The format of arrays with a layout of one's own."""

    format: Literal["hdf5-kspace"] = "hdf5-kspace"
    layout: Layout


def _chosen(text: str) -> Format:
    """A format by its name, or by JSON of `ArrayFormat`."""
    if text.lstrip().startswith("{"):
        own = parse_settings(ArrayFormat, text, "format")
        return replace(FORMATS[own.format], layout=own.layout)
    if text not in FORMATS:
        raise UnimriError(f"{text}: no such format; choose one of {', '.join(FORMATS)}")
    return FORMATS[text]


def _is_hdf5(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return file.read(8) == b"\x89HDF\r\n\x1a\n"
    # Whoever reads it tells what is wrong.
    except OSError:
        return False


@dataclass(frozen=True, kw_only=True)
class Source(Scan):
    """One volume of an input, whose reconstruction is written in the format that it came in.

    Its name is a path below the input; "." where the volume is all that the input holds.

    Attributes
    ----------
    number : of the volume among those of the input, from 1. It stands for the name where that must not be told.
    root : the input, a file or a folder.
    format : reads and writes it.
    """

    number: int
    root: Path
    format: Format

    def read(self, negatives: Negatives = "refuse") -> Acquisition | Images:
        """Read the volume into memory; parameters and faults as `open`."""
        content = self.open(negatives)
        with reading(self.paths[0]):
            return loaded(content)

    def open(self, negatives: Negatives = "refuse") -> Acquisition | Images:
        """Read the volume; slices that do not fit into memory when they are asked for.

        Parameters
        ----------
        negatives : what negative values are, see `unimri.io.volume.magnitudes`.

        Raises
        ------
        ReadError : when it cannot be read, or holds values that no reconstruction can use.
        """
        self.check()
        with reading(self.paths[0]):
            return self.format.load().read(self.paths, negatives)

    def target(self, output: Path, deidentify: bool = False, as_png: bool = False) -> Path:
        """The file or folder that `write` makes.

        Parameters
        ----------
        output : a file of the format, by the end of its name; else a folder, in which the volume has its own name.
        deidentify : in the folder, its number instead.
        as_png : a folder of PNGs instead of the format.

        Raises
        ------
        UnimriError : when the name would lead out of `output`.
        """
        ends = self.format.suffixes
        if not as_png and has_suffix(output, ends) and not output.is_dir():
            return output
        place = Path(self.name)
        if has_suffix(place, self.format.foreign):
            place = place.with_name(without_suffix(place, self.format.foreign) + ends[-1])
        # "." names nobody.
        if deidentify and place.name:
            place = Path(f"volume-{self.number:04d}{ends[-1] if ends else ''}")
        if as_png:
            place = place.with_name(without_suffix(place, ends)) if place.name else place
        target = output / place
        if not target.resolve().is_relative_to(output.resolve()):
            raise UnimriError(f"{target}: lies outside {output}; remove the link or give another output")
        return target

    def noise_map(self, output: Path, deidentify: bool = False) -> Path:
        """The file of the noise map beside that of the reconstruction: its name ends in `-noise-map`."""
        target = self.target(output, deidentify)
        end = target.name[len(without_suffix(target, self.format.suffixes)) :]
        return target.with_name(f"{target.name.removesuffix(end)}-noise-map{end}")

    def write(
        self, images: Stack, output: Path, provenance: Provenance, as_png: bool = False, noise_map: bool = False
    ) -> list[Path]:
        """Write a reconstruction, whole or not at all; give the paths that were written.

        Parameters
        ----------
        images : (slices, rows, columns), finite, on the input's own scale, in the order of `read`: float32 >= 0, or
            complex64 where the format can hold them.
        output, as_png : see `target`.
        noise_map : they are one, and go beside it.

        Raises
        ------
        UnimriError : when something is at that place already, or the images do not fit the input.
        """
        complex_ = np.iscomplexobj(images[0])
        smallest, largest = extremes(Mapped(images, np.abs) if complex_ else images)
        if len(images.shape) != 3 or not np.isfinite((smallest, largest)).all() or smallest < 0:
            raise UnimriError(f"{self.paths[0]}: its reconstruction is no magnitude image; check the model")
        if complex_ and (as_png or not self.format.complex):
            raise UnimriError(_no_complex("PNG" if as_png else self.format.name))
        target = self.target(output, provenance.deidentify, as_png)
        if noise_map:
            target = self.noise_map(output, provenance.deidentify)
        if (target.is_dir() and any(target.iterdir())) or target.is_file() or target.is_symlink():
            raise UnimriError(f"{target}: is there already; give another output")
        if as_png:
            return write_png(images, target, largest)
        return self.format.load().write(self.paths, images, target, provenance)


def write_png(images: Stack, folder: Path, largest: float) -> list[Path]:
    """Write each slice as `slice-0001.png` of 16 bits, to be shown: the scale is lost. Whole or not at all.

    Parameters
    ----------
    images : (slices, rows, columns), float32, >= 0; 0 becomes black, and `largest` white.
    folder : is made, or replaced.
    """
    # Here, since few write pictures.
    from PIL import Image

    scale = 65535 / (float(largest) or 1.0)
    names = [f"slice-{number:04d}.png" for number in range(1, len(images) + 1)]
    with replacing(folder) as temporary:
        temporary.mkdir()
        for name, image in zip(names, images, strict=True):
            Image.fromarray(np.rint(image.astype(np.float64) * scale).astype(np.uint16)).save(temporary / name)
    return [folder / name for name in names]


def find_sources(path: Path, format: str | None = None) -> list[Source]:
    """The volumes that `search` finds; parameters and faults as there."""
    return search(path, format)[0]


def search(path: Path, format: str | None = None) -> tuple[list[Source], list[Passed]]:
    """Find the volumes of an input, without reading their voxels, and say what else lies there.

    Parameters
    ----------
    path : a file, or a folder with files of any formats. In folders hidden files are passed over, and whatever is of
        no format.
    format : of `FORMATS`, to find only its volumes; or JSON of `ArrayFormat`.

    Returns
    -------
    Volumes, at least one, sorted by name, and what is passed over. A volume that shows itself to be damaged has a
    `fault`, as has a link that leads nowhere.

    Raises
    ------
    UnimriError : when there is no such file or folder or format, or nothing in it that can be used.
    """
    chosen = list(FORMATS.values()) if format is None else [_chosen(format)]
    if not path.exists():
        raise UnimriError(f"{path}: no such file or folder; check the path")
    if not path.is_dir():
        check_file(path)
    walked = walk(path) if path.is_dir() else Walk(path, [str(path)])
    files = walked.files
    found: list[tuple[Scan, Format]] = []
    passed = {one.path: one for one in walked.passed}
    for each in chosen:
        if format is not None or each.may_have(path, files):
            scans, others = each.load().find(path, files)
            found += [(one, each) for one in scans]
            passed |= {other.path: other for other in others}
            # A damaged HDF5 file would be found by both of its formats.
            known = {own for one, _ in found for own in one.paths}
            files = [own for own in files if own not in known]
    for fault in walked.faults:
        likely = [each for each in chosen if each.may_be(fault.path)]
        if (fault.path.is_dir() or likely) and excluded(path, fault.path, (*LABELS, *APART)) is None:
            found.append((Scan(name_below(path, fault.path), (fault.path,), fault), (likely or chosen)[0]))
        else:
            passed[fault.path] = Passed(fault.path, fault.reason)
    used = {own for one, _ in found for own in one.paths}
    for own_path in walked.files:
        passed.setdefault(own_path, Passed(own_path, "is of no format that is looked for"))
    others = [one for own_path, one in sorted(passed.items()) if own_path not in used]
    if not found:
        accepted = ", ".join(each.accepts for each in chosen)
        told = "".join(f"; {line}" for line in passed_lines(others, path)) if path.is_dir() else ""
        raise UnimriError(
            f"{path}: holds nothing that can be used; give one of these, or a folder of them: {accepted}{told}"
        )
    found.sort(key=lambda pair: (pair[0].name, pair[1].name))
    if len(found) == 1 and not found[0][1].suffixes and found[0][0].fault is None:
        # A folder that is written for all of the input needs no name.
        found = [(replace(found[0][0], name="."), found[0][1])]
    sources = [
        Source(**vars(one), number=number, root=path, format=each) for number, (one, each) in enumerate(found, 1)
    ]
    return sources, others


def load_kspace(path: Path | str, format: str | None = None, negatives: Negatives = "refuse") -> Acquisition | Images:
    """Read one volume: k-space with its mask, or a scan that holds images.

    Parameters
    ----------
    path : a file of fastMRI, ISMRMRD (`.h5`, `.mrd`) or other k-space in HDF5 (`.h5`, `.mat`), BART (`.cfl`), NumPy
        (`.npy`, `.npz`), NIfTI or DICOM, or a folder that holds one volume, such as a DICOM series.
    format : "dicom", "nifti", "hdf5-kspace", "fastmri-h5", "ismrmrd", "bart" or "numpy", where the content does not
        tell or other formats lie beside it; JSON of "hdf5-kspace" with a `layout` for other arrays (see
        `unimri.io.layout.Layout`); None: told by the content.
    negatives : what negative values of images are: "refuse" (they are no magnitudes), "clip" (noise below 0) or
        "magnitude" (the sign of a magnitude, as in signed inversion recovery).

    Returns
    -------
    `Acquisition` of raw data, for `Model.reconstruct`; `Images` of DICOM, NIfTI and real arrays, for
    `Model.undersample`. All arrays are NumPy's, on the file's own scale.

    Raises
    ------
    UnimriError : when there is no such path or format, when it holds nothing that can be used or several volumes, or
        when the volume cannot be read.
    """
    if negatives not in get_args(Negatives):
        raise UnimriError(f"negatives: {negatives!r} is unknown; allowed: {', '.join(get_args(Negatives))}")
    sources = find_sources(Path(path), format)
    if len(sources) > 1:
        kinds = ", ".join(dict.fromkeys(source.format.name for source in sources))
        raise UnimriError(f"{path}: holds {len(sources)} volumes ({kinds}); give the file or the folder of one of them")
    return sources[0].read(negatives)


# Ends of names of files, and not of folders.
_ENDS = (*_NAMED, ".dcm", ".png")


def check_output(
    sources: Sequence[Source],
    output: Path,
    deidentify: bool = False,
    as_png: bool = False,
    complex_: bool = False,
    noise_maps: bool = False,
) -> None:
    """Check, before anything is computed, that all volumes of one input can be written; see `Source.target`.

    Raises
    ------
    UnimriError : when `output` is an input, holds one or lies in the input's folder; when it is there and no empty
        folder; when it is one file for several volumes, or by its name a file of another format; when volumes would be
        written to the same place or out of `output`; or when complex images go into a format that has none.
    """
    if complex_ and (as_png or not all(source.format.complex for source in sources)):
        raise UnimriError(_no_complex("PNG" if as_png else "DICOM"))
    place = output.resolve()
    for source in sources:
        root = source.root.resolve()
        if place == root or (root.is_dir() and place.is_relative_to(root)):
            raise UnimriError(f"{output}: is or lies in the input {source.root}; give an output outside it")
        for path in source.paths:
            if path.resolve().is_relative_to(place) or (output.exists() and output.samefile(path)):
                raise UnimriError(f"{output}: is or holds the input {path}; give another output")
    if output.is_symlink() and not output.exists():
        raise UnimriError(f"{output}: is a link that leads nowhere; give another output")
    if output.is_dir():
        if any(output.iterdir()):
            raise UnimriError(f"{output}: the folder is not empty; give a new or an empty one")
    elif output.exists():
        raise UnimriError(f"{output}: is there already; give another output")
    else:
        above = next(parent for parent in place.parents if parent.exists())
        if not above.is_dir():
            raise UnimriError(f"{output}: {above} is no folder; give another output")
        _check_name(sources, output, deidentify, as_png)
    targets: dict[Path, Source] = {}
    for source in sources:
        own = [source.target(output, deidentify, as_png)]
        # Images have none; each is told when it is read.
        if noise_maps and source.format.suffixes:
            own.append(source.noise_map(output, deidentify))
            if own[1].exists():
                raise UnimriError(f"{own[1]}: is there already; give another output")
        for target in (one.resolve() for one in own):
            if target in targets:
                raise UnimriError(
                    f"{source.paths[0]}: would be written to the same place as {targets[target].paths[0]}; "
                    "reconstruct them one by one"
                )
            targets[target] = source
    for target, source in targets.items():
        if any(parent in targets for parent in target.parents):
            raise UnimriError(
                f"{source.paths[0]}: would be written into the folder of another volume; reconstruct them one by one"
            )


def _no_complex(name: str) -> str:
    return f"complex images cannot be written as {name}; leave out the option, or give k-space or NIfTI"


def _check_name(sources: Sequence[Source], output: Path, deidentify: bool, as_png: bool) -> None:
    """That a name of a file, by its end, is one of the format of the one volume."""
    if not has_suffix(output, _ENDS):
        return
    if as_png or not sources[0].format.suffixes:
        kind = "PNG" if as_png else sources[0].format.name
        raise UnimriError(f"{output}: is the name of a file, and {kind} is written to a folder; give one")
    if len(sources) > 1:
        raise UnimriError(f"{output}: is one file for {len(sources)} volumes; give a folder")
    if sources[0].target(output, deidentify) != output:
        ends = " or ".join(sources[0].format.suffixes)
        raise UnimriError(f"{output}: is no name for {sources[0].format.name}; end it with {ends}, or give a folder")
