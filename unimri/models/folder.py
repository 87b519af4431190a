"""A model on disk: a folder with `model.safetensors` (the base), `model.json`, and `aspin/{anatomy}.safetensors`."""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save
from torch import Tensor

from unimri.core.artifacts import check_made, check_noted, replacing, sha256
from unimri.core.errors import UnimriError, check_file
from unimri.core.settings import parse_json
from unimri.models.cascade import D5C5
from unimri.models.conditioning.base import Condition
from unimri.models.registry import read_network

WEIGHTS = "model.safetensors"
ABOUT = "model.json"
# One key only: safetensors writes several in an order that changes from run to run.
_NOTE = "unimri"
_OTHERS = "its weights do not fit the network's width, cascades and convolutions"


def save_tensors(path: Path, tensors: dict[str, Tensor], note: object = None) -> None:
    """Write tensors and a JSON note as safetensors, whole or not at all; equal content gives equal bytes."""
    contiguous = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    with replacing(path) as temporary:
        # Not `save_file`: it makes files that only their owner can read.
        temporary.write_bytes(save(contiguous, {_NOTE: json.dumps(note)}))


def load_tensors(path: Path, shapes: dict[str, list[int]] | None = None) -> tuple[dict[str, Tensor], object]:
    """Read what `save_tensors` wrote.

    Parameters
    ----------
    shapes : of the tensors that a network wants, compared before any is read; None: any.

    Raises
    ------
    UnimriError : when the file is missing, is not a whole safetensors file, or holds others.
    """
    check_file(path)
    try:
        with safe_open(path, framework="pt") as file:
            note = parse_json((file.metadata() or {}).get(_NOTE, "null"))
            if shapes is not None and {name: file.get_slice(name).get_shape() for name in file.keys()} != shapes:  # noqa: SIM118
                raise UnimriError(f"{path}: {_OTHERS}")
        return load_file(path), note
    except (OSError, SafetensorError, ValueError) as fault:
        raise UnimriError(f"{path}: not a whole safetensors file ({fault}); make it again") from None


def base_tensors(network: D5C5) -> dict[str, Tensor]:
    """The numbers that every anatomy shares, by their names in the base's file."""
    # A base's file names a conditioning's own tensors as the network's.
    tensors = network.state_dict().items()
    return {name.removeprefix("conditioning."): tensor for name, tensor in tensors if is_base(name)}


def is_base(name: str) -> bool:
    """Whether a parameter of a network, by its name, is of the base and not of one anatomy."""
    return not name.startswith("conditioning.per_anatomy.")


def save_base(network: D5C5, folder: Path) -> None:
    """Write the base's weights, and nothing else, to the folder's `model.safetensors`."""
    save_tensors(folder / WEIGHTS, base_tensors(network))


def save_aspin(aspin: Condition, anatomy: str, base: Path, path: Path) -> None:
    """Write one anatomy's numbers; the note names the anatomy and the digest of the base that they belong to."""
    note = {"anatomy": anatomy, "base_sha256": sha256(base / WEIGHTS)}
    save_tensors(path, aspin.state_dict(), note)


def aspin_path(folder: Path, anatomy: str) -> Path:
    """Where a model's folder holds the ASPIN of an anatomy."""
    return folder / "aspin" / f"{anatomy}.safetensors"


def list_anatomies(folder: Path) -> list[str]:
    """The anatomies that a model's folder holds an ASPIN for, sorted; empty for a plain network."""
    return sorted(path.stem for path in (folder / "aspin").glob("*.safetensors") if not path.name.startswith("."))


def insert_aspin(network: D5C5, anatomy: str, path: Path, base: Path) -> None:
    """Load an ASPIN into a network.

    Raises
    ------
    UnimriError : when the file belongs to another base or another anatomy, or has other shapes.
    """
    check_noted(path)
    tensors, note = load_tensors(path, _shapes(network.conditioning.new()) if network.conditioning.adaptable else None)
    expected = {"anatomy": anatomy, "base_sha256": sha256(base / WEIGHTS)}
    # An adapter's note says more; see `unimri.deploy.adapters`.
    if not isinstance(note, dict) or any(note.get(key) != value for key, value in expected.items()):
        raise UnimriError(f"{path}: not the ASPIN of {anatomy!r} on the base {base}; fit it on this base with S4")
    fill_aspin(network, anatomy, tensors, path)


def fill_aspin(network: D5C5, anatomy: str, tensors: dict[str, Tensor], path: Path) -> None:
    """Add an ASPIN to a network, with the tensors that were read from a file.

    Raises
    ------
    UnimriError : when they have other shapes than the network's, or it has an ASPIN of that name; the network is as it
        was.
    """
    aspin = network.conditioning.add(anatomy)
    try:
        _load(aspin, tensors, path)
    except UnimriError:
        network.conditioning.remove(anatomy)
        raise


def read_about(folder: Path) -> tuple[dict[str, Any], str]:
    """Settings of the network in a model's folder, and the name of its conditioning.

    Raises
    ------
    UnimriError : when its description is missing or damaged.
    """
    try:
        about = parse_json((folder / ABOUT).read_text(encoding="utf-8"))
        return dict(about["network"]), str(about["conditioning"])
    except (OSError, ValueError, KeyError, TypeError) as fault:
        raise UnimriError(f"{folder / ABOUT}: not a model's description ({fault}); train it again") from None


def check_inputs(about: Path, given: Mapping[str, Path]) -> None:
    """Compare files with those that a training noted as its inputs.

    Parameters
    ----------
    about : the training's record; without one there is nothing to compare.
    given : files by what they are to a training, such as `mask` and `data/brain`.

    Raises
    ------
    UnimriError : when one is not the file that the network was trained with.
    """
    # A model that is given to others: who adapts it has other data, and masks of another size.
    if about.with_name("description.json").exists():
        return
    try:
        noted = parse_json(about.read_text(encoding="utf-8"))["inputs"]
        digests = {name: str(noted[name]) for name in given if noted.get(name)}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return
    for name, digest in digests.items():
        check_made(given[name], digest, f"{about} was made from another: `snakemake --force {about}` makes it again")


def load_model(folder: Path, anatomies: Iterable[str] | None = None) -> D5C5:
    """Rebuild a network from its folder, in evaluation mode.

    Parameters
    ----------
    folder : holds `model.safetensors` and `model.json`.
    anatomies : whose ASPINs to load; all that the folder has when None. A plain network has none.

    Raises
    ------
    UnimriError : when a file is missing, torn, or does not fit the network.
    """
    trained, conditioning = read_about(folder)
    settings, path = read_network(trained, f"{folder / ABOUT}: network"), folder / WEIGHTS
    check_noted(path)
    try:
        # Without memory: a stranger's description may ask for any width.
        with torch.device("meta"):
            wanted = base_tensors(D5C5(settings, conditioning))
    except (RuntimeError, ValueError) as fault:
        raise UnimriError(f"{folder / ABOUT}: its network cannot be built ({fault}); train it again") from None
    tensors, _ = load_tensors(path, {name: list(tensor.shape) for name, tensor in wanted.items()})
    network = D5C5(settings, conditioning)
    ours = ("blocks.", "consistency.")
    own = {name if name.startswith(ours) else f"conditioning.{name}": tensor for name, tensor in tensors.items()}
    _load(network, own, path)
    if network.conditioning.adaptable:
        for anatomy in list_anatomies(folder) if anatomies is None else anatomies:
            insert_aspin(network, anatomy, aspin_path(folder, anatomy), folder)
    return network.eval()


def _shapes(module: torch.nn.Module) -> dict[str, list[int]]:
    return {name: list(tensor.shape) for name, tensor in module.state_dict().items()}


def _load(module: torch.nn.Module, tensors: dict[str, Tensor], path: Path) -> None:
    for name, tensor in tensors.items():
        if not tensor.isfinite().all():
            raise UnimriError(f"{path}: {name} has NaN or infinite values; copy the file again, or train it again")
    try:
        module.load_state_dict(tensors)
    except RuntimeError:
        raise UnimriError(f"{path}: {_OTHERS}") from None
