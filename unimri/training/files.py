"""The files of a training: what it is made from, and what it leaves.

It leaves a model's folder, or one anatomy's ASPIN for a model that is there.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from unimri.core.artifacts import remove_leftovers, sha256, write_json, write_text
from unimri.core.errors import UnimriError
from unimri.models.cascade import D5C5
from unimri.models.folder import ABOUT, WEIGHTS, aspin_path, list_anatomies, save_aspin, save_base
from unimri.training.checkpoints import Progress


@dataclass(frozen=True)
class Files:
    """Input files of a training.

    Attributes
    ----------
    data : prepared data's folder for each anatomy that it learns from, in the order in which they take turns.
    mask : the mask artifact.
    base : folder of the universal network that S3 and S4 start from.
    teachers : model folder of each anatomy's teacher, for S3.
    """

    data: Mapping[str, Path]
    mask: Path
    base: Path | None = None
    teachers: Mapping[str, Path] | None = None

    def digests(self) -> dict[str, str]:
        """SHA-256 of every input, by what it is to the training.

        Raises
        ------
        UnimriError : when one cannot be read.
        """
        named = {f"data/{anatomy}": folder / "manifest.csv" for anatomy, folder in self.data.items()}
        named["mask"] = self.mask
        if self.base is not None:
            named["base"] = self.base / WEIGHTS
            named |= {f"base/aspin/{name}": aspin_path(self.base, name) for name in base_anatomies(self.base)}
        named |= {f"teacher/{anatomy}": folder / WEIGHTS for anatomy, folder in (self.teachers or {}).items()}
        return {name: _digest(path) for name, path in named.items()}


def base_anatomies(base: Path) -> list[str]:
    """The anatomies that the base itself was trained on, not those that S4 has added since."""
    try:
        about = json.loads((base / ABOUT).read_text(encoding="utf-8"))
        inputs = list(about["inputs"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UnimriError(f"{base / ABOUT}: cannot be read; train the base first, or correct the path") from error
    trained = [name.removeprefix("data/") for name in inputs if name.startswith("data/")]
    return [name for name in list_anatomies(base) if name in trained]


def write_results(
    network: D5C5, progress: Progress, about: dict[str, Any], output: Path, base: Path | None, only: str | None
) -> None:
    """Write weights, history and provenance.

    Parameters
    ----------
    network : with its last weights; it has the best ones afterwards.
    progress : history and best weights.
    about : provenance; the digests of the files are added, by their paths below `output`.
    output : folder to write to.
    base : folder of the network that an ASPIN belongs to.
    only : the anatomy whose numbers alone were trained, and are to be written.
    """
    for folder in (
        (output, output / "last") if only else (output, output / "aspin", output / "last", output / "last/aspin")
    ):
        remove_leftovers(folder, f"{only}.*" if only else "*")
    written = _write(network, output / "last", only, base)
    network.load_state_dict(progress.best)
    written += _write(network, output, only, base)
    history = output / (f"{only}.history.csv" if only else "history.csv")
    table = pd.DataFrame(progress.history)
    write_text(history, table.to_csv(index=False, float_format="%.6f", lineterminator="\n"))
    digests = {path.relative_to(output).as_posix(): sha256(path) for path in (*written, history)}
    write_json(_about(output, only), about | {"files": digests})


def are_made(output: Path, only: str | None, origin: Mapping[str, Any]) -> bool:
    """Whether all that `write_results` writes is there, whole, and was made from `origin` (`settings.made_from`)."""
    about = read_about(_about(output, only))
    if about is None or any(about.get(key) != value for key, value in origin.items()):
        return False
    try:
        return all(sha256(output / name) == digest for name, digest in about["files"].items())
    except (OSError, KeyError):
        return False


def read_about(path: Path) -> dict[str, Any] | None:
    """Provenance of a model; None when it is not there, or no JSON."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return content if isinstance(content, dict) else None


def _about(output: Path, only: str | None) -> Path:
    return output / (f"{only}.json" if only else ABOUT)


def _write(network: D5C5, folder: Path, only: str | None, base: Path | None) -> list[Path]:
    if only is not None:
        assert base is not None
        written = [folder / f"{only}.safetensors"]
        save_aspin(network.conditioning.of(only), only, base, written[0])
        return written
    save_base(network, folder)
    written = [folder / WEIGHTS]
    for anatomy in network.conditioning.anatomies:
        written.append(aspin_path(folder, anatomy))
        save_aspin(network.conditioning.of(anatomy), anatomy, folder, written[-1])
    return written


def _digest(path: Path) -> str:
    try:
        return sha256(path)
    except OSError as error:
        raise UnimriError(f"{path}: cannot be read; make it first, or correct the path") from error
