"""Adapters: ASPINs for single files, `shoulder.aspin.safetensors`, that are added to a model and taken out again."""

from dataclasses import dataclass
from pathlib import Path

from torch import Tensor, nn

from unimri.core.artifacts import sha256
from unimri.core.errors import UnimriError
from unimri.core.settings import check_plain, parse_settings
from unimri.deploy.card import write_texts
from unimri.deploy.library import SNAKEMAKES, AnatomyDescription, ModelDescription
from unimri.models.cascade import D5C5
from unimri.models.conditioning.base import Condition
from unimri.models.folder import WEIGHTS, aspin_path, fill_aspin, load_model, load_tensors, save_tensors

ENDING = ".aspin.safetensors"

# One has a few kB.
_LARGEST = 2**27


@dataclass(frozen=True)
class Adapter:
    """An adapter, read.

    Attributes
    ----------
    anatomy : its name.
    base_sha256 : of the weights of the base that it was fitted to.
    description : where it comes from.
    tensors : gamma and beta, float32 (cascades, normalised layers, width) each.
    """

    anatomy: str
    base_sha256: str
    description: AnatomyDescription
    tensors: dict[str, Tensor]

    def insert(self, network: D5C5, model: ModelDescription, path: Path) -> ModelDescription:
        """Put it into the network of a model; give the model's description with it.

        Raises
        ------
        UnimriError : when it was fitted to another base, has other shapes, or the model has its anatomy; the network is
            as it was.
        """
        if self.base_sha256 != model.base_sha256:
            raise UnimriError(f"{path}: was fitted to another base than {model.name}'s; fit it with `unimri adapt`")
        if self.anatomy in model.anatomies:
            raise UnimriError(f"{path}: the model has an ASPIN for {self.anatomy!r} already; remove that one first")
        fill_aspin(network, self.anatomy, self.tensors, path)
        return model.model_copy(update={"anatomies": model.anatomies | {self.anatomy: self.description}})


def save_adapter(aspin: Condition, anatomy: str, base_sha256: str, description: AnatomyDescription, path: Path) -> None:
    """Write an adapter.

    Raises
    ------
    UnimriError : when the file's name does not end as an adapter's.
    """
    if not path.name.endswith(ENDING):
        raise UnimriError(f"{path}: an adapter's name must end in {ENDING}")
    note = {"anatomy": anatomy, "base_sha256": base_sha256, "description": description.model_dump(mode="json")}
    save_tensors(path, aspin.state_dict(), note)


def load_adapter(path: Path) -> Adapter:
    """Read an adapter.

    Raises
    ------
    UnimriError : when the file is missing, damaged, or no adapter.
    """
    if path.is_file() and path.stat().st_size > _LARGEST:
        raise UnimriError(f"{path}: is larger than any adapter; `unimri adapt` and `unimri aspins export` write them")
    tensors, note = load_tensors(path)
    if not isinstance(note, dict) or set(note) != {"anatomy", "base_sha256", "description"}:
        raise UnimriError(f"{path}: is no adapter; `unimri adapt` and `unimri aspins export` write them")
    anatomy, base = note["anatomy"], note["base_sha256"]
    if not (isinstance(anatomy, str) and isinstance(base, str)):
        raise UnimriError(f"{path}: is no adapter; its note is damaged")
    check_name(anatomy)
    try:
        check_plain(note)
    except ValueError as fault:
        raise UnimriError(f"{path}: is no adapter; of its note, {fault}") from None
    return Adapter(anatomy, base, parse_settings(AnatomyDescription, note["description"], str(path)), tensors)


def check_name(anatomy: str) -> None:
    """Raise UnimriError unless a text can be the name of an anatomy, and of its file."""
    if not (anatomy.isascii() and anatomy[:1].isalpha() and anatomy.replace("-", "").replace("_", "").isalnum()):
        raise UnimriError(f"anatomy {anatomy!r}: give a name of letters, digits, - and _, such as shoulder")
    # torch keeps ASPINs by name, and cannot keep one by that of an attribute, such as type.
    if anatomy != anatomy.lower() or anatomy == "auto" or hasattr(nn.ModuleDict(), anatomy):
        raise UnimriError(f"anatomy {anatomy!r}: give another name, in small letters, such as shoulder")


def changeable(folder: Path) -> ModelDescription:
    """Give the description of a model whose ASPINs may be changed.

    Raises
    ------
    UnimriError : when it is one file, is the workflow's, which would make it again without them, or is damaged.
    """
    if not folder.is_dir():
        raise UnimriError(f"{folder}: is one file; unpack it with `unimri models add`, and name the folder")
    if (folder / SNAKEMAKES).exists():
        raise UnimriError(
            f"{folder}: is the workflow's, which may make it again; copy it first: `unimri models add {folder}`"
        )
    return ModelDescription.load(folder).check_files(folder)


def add_adapter(folder: Path, path: Path) -> str:
    """Add an adapter to a model's folder; give its anatomy. The base and the other ASPINs are not touched.

    Raises
    ------
    UnimriError : when it does not fit the model, or the model has that anatomy.
    """
    description = changeable(folder)
    adapter = load_adapter(path)
    description = adapter.insert(load_model(folder, []), description, path)
    target = aspin_path(folder, adapter.anatomy)
    note = {"anatomy": adapter.anatomy, "base_sha256": adapter.base_sha256}
    save_tensors(target, adapter.tensors, note)
    try:
        write_texts(folder, description)
    except BaseException:
        target.unlink()
        raise
    return adapter.anatomy


def remove_aspin(folder: Path, anatomy: str) -> None:
    """Take an anatomy out of a model's folder.

    Raises
    ------
    UnimriError : when the model does not have it, or its base was trained on it.
    """
    description = changeable(folder)
    own = _described(description, anatomy)
    if own.role == "base":
        raise UnimriError(f"anatomy {anatomy!r}: the base was trained on it; only ASPINs that were added are removed")
    rest = {name: kept for name, kept in description.anatomies.items() if name != anatomy}
    # Killed in between, the model says that the file does not belong to it, and to remove it.
    write_texts(folder, description.model_copy(update={"anatomies": rest}))
    aspin_path(folder, anatomy).unlink()


def export_aspin(folder: Path, anatomy: str, output: Path) -> None:
    """Write an anatomy of a model to an adapter of its own, for others who have the same base.

    Raises
    ------
    UnimriError : when the model does not have it or is damaged, or `output` is there.
    """
    description = ModelDescription.load(folder).check_files(folder)
    own = _described(description, anatomy)
    if output.exists():
        raise UnimriError(f"{output}: is there already; remove it, or give another name")
    network = load_model(folder, [anatomy])
    save_adapter(network.conditioning.of(anatomy), anatomy, sha256(folder / WEIGHTS), own, output)


def _described(description: ModelDescription, anatomy: str) -> AnatomyDescription:
    if anatomy not in description.anatomies:
        raise UnimriError(f"anatomy {anatomy!r}: not in the model; it has {', '.join(description.anatomies)}")
    return description.anatomies[anatomy]
