"""What a training leaves: a model's folder, or one ASPIN for a model that is there."""

from pathlib import Path
from typing import Any

import pandas as pd

from unimri.artifacts import remove_leftovers, write_json, write_text
from unimri.models.cascade import D5C5, UniversalD5C5
from unimri.models.folder import ABOUT, aspin_path, save_aspin, save_base
from unimri.training.checkpoints import Progress


def write_results(
    network: D5C5, progress: Progress, about: dict[str, Any], output: Path, base: Path | None, only: str | None
) -> None:
    """Write weights, history and provenance.

    Parameters
    ----------
    network : with its last weights; it has the best ones afterwards.
    progress : history and best weights.
    about : provenance.
    output : folder to write to.
    base : folder of the network that an ASPIN belongs to.
    only : the anatomy whose ASPIN alone was trained, and is to be written.
    """
    for folder in (
        (output, output / "last") if only else (output, output / "aspin", output / "last", output / "last/aspin")
    ):
        remove_leftovers(folder, f"{only}.*" if only else "*")
    _write(network, output / "last", only, base)
    network.load_state_dict(progress.best)
    _write(network, output, only, base)
    history = pd.DataFrame(progress.history).to_csv(index=False, float_format="%.6f", lineterminator="\n")
    write_text(output / (f"{only}.history.csv" if only else "history.csv"), history)
    write_json(output / (f"{only}.json" if only else ABOUT), about)


def _write(network: D5C5, folder: Path, only: str | None, base: Path | None) -> None:
    if only is not None:
        assert isinstance(network, UniversalD5C5)
        assert base is not None
        save_aspin(network.aspin_of(only), only, base, folder / f"{only}.safetensors")
        return
    save_base(network, folder)
    if isinstance(network, UniversalD5C5):
        for anatomy in network.anatomies:
            save_aspin(network.aspin_of(anatomy), anatomy, folder, aspin_path(folder, anatomy))
