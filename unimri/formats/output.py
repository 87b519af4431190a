"""Where reconstructions may go: never over or into what they are made of, nor over anything else."""

from collections.abc import Sequence
from pathlib import Path

from unimri.core.errors import UnimriError
from unimri.formats.registry import FORMATS
from unimri.formats.scan import Source

_ENDS = tuple({end for format in FORMATS.values() for end in format.suffixes} | {".dcm", ".png"})


def check_output(sources: Sequence[Source], output: Path, deidentify: bool = False, as_png: bool = False) -> None:
    """Check, before anything is computed, that every volume can be written.

    Parameters
    ----------
    sources : all volumes of one input.
    output, deidentify, as_png : as `Source.target` takes them.

    Raises
    ------
    UnimriError
        When `output` is an input, holds one or lies in the input's folder; when it is there and no empty folder; when
        it is one file for several volumes, or by its name a file of another format; or when volumes would be written
        to the same place or out of `output`.
    """
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
        target = source.target(output, deidentify, as_png).resolve()
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


def _check_name(sources: Sequence[Source], output: Path, deidentify: bool, as_png: bool) -> None:
    """That a name of a file, by its end, is one of the format of the one volume."""
    if not output.name.lower().endswith(_ENDS):
        return
    if as_png or not sources[0].format.suffixes:
        kind = "PNG" if as_png else sources[0].format.name
        raise UnimriError(f"{output}: is the name of a file, and {kind} is written to a folder; give one")
    if len(sources) > 1:
        raise UnimriError(f"{output}: is one file for {len(sources)} volumes; give a folder")
    if sources[0].target(output, deidentify) != output:
        ends = " or ".join(sources[0].format.suffixes)
        raise UnimriError(f"{output}: is no name for {sources[0].format.name}; end it with {ends}, or give a folder")
