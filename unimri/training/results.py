"""What a training leaves: a model's folder, or one ASPIN for a model that is there."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from unimri.core.artifacts import remove_leftovers, sha256, write_json, write_text
from unimri.models.cascade import D5C5, UniversalD5C5
from unimri.models.folder import ABOUT, WEIGHTS, aspin_path, save_aspin, save_base
from unimri.training.checkpoints import Progress


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
    only : the anatomy whose ASPIN alone was trained, and is to be written.
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
    """Whether all that `write_results` writes is there, whole, and was made from `origin` (`fingerprint.made_from`)."""
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
        assert isinstance(network, UniversalD5C5)
        assert base is not None
        written = [folder / f"{only}.safetensors"]
        save_aspin(network.aspin_of(only), only, base, written[0])
        return written
    save_base(network, folder)
    written = [folder / WEIGHTS]
    if isinstance(network, UniversalD5C5):
        for anatomy in network.anatomies:
            written.append(aspin_path(folder, anatomy))
            save_aspin(network.aspin_of(anatomy), anatomy, folder, written[-1])
    return written
