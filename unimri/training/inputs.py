"""What a training is made from: its files, their digests, and the network that it starts with."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from unimri.core.artifacts import sha256
from unimri.core.errors import UnimriError
from unimri.models.cascade import D5C5, UniversalD5C5, build_network
from unimri.models.folder import ABOUT, WEIGHTS, aspin_path, list_anatomies, load_model
from unimri.models.settings import Normalisation
from unimri.training.settings import Recipe, TrainingTask


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
            named |= {f"base/aspin/{name}": aspin_path(self.base, name) for name in _base_anatomies(self.base)}
        named |= {f"teacher/{anatomy}": folder / WEIGHTS for anatomy, folder in (self.teachers or {}).items()}
        return {name: _digest(path) for name, path in named.items()}


def starting_network(task: TrainingTask, files: Files) -> D5C5:
    """The network that a stage starts with, in training mode.

    Raises
    ------
    UnimriError : when a stage that starts from a universal network is not given one.
    """
    recipe = task.recipe
    if recipe.from_base:
        if files.base is None:
            raise UnimriError(f"{task.stage}: starts from a universal network; name its folder with --base")
        network = load_model(files.base, _base_anatomies(files.base))
        if not isinstance(network, UniversalD5C5):
            raise UnimriError(f"{files.base}: a plain network; {task.stage} starts from a universal one")
        if recipe.adds_anatomy:
            (anatomy,) = files.data
            known = [network.aspin_of(name) for name in network.anatomies]
            network.add_anatomy(anatomy).start_from(known)
        return network.train()
    return build_network(task.network, normalisation(recipe), files.data).train()


def normalisation(recipe: Recipe) -> Normalisation:
    """The network's normalisation, which says its conditioning."""
    return {"none": "none", "instance_norm": "shared", "aspin": "aspin"}[recipe.conditioning]  # type: ignore[return-value]


def _digest(path: Path) -> str:
    try:
        return sha256(path)
    except OSError as error:
        raise UnimriError(f"{path}: cannot be read; make it first, or correct the path") from error


def _base_anatomies(base: Path) -> list[str]:
    """The anatomies that the base itself was trained on, not those that S4 has added since."""
    try:
        about = json.loads((base / ABOUT).read_text(encoding="utf-8"))
        inputs = list(about["inputs"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UnimriError(f"{base / ABOUT}: cannot be read; train the base first, or correct the path") from error
    trained = [name.removeprefix("data/") for name in inputs if name.startswith("data/")]
    return [name for name in list_anatomies(base) if name in trained]
