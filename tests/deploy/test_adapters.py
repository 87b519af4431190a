"""Adapters come and go; the base and the other ASPINs stay byte for byte."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

import unimri
from unimri.core.artifacts import sha256
from unimri.core.errors import UnimriError
from unimri.deploy import adapters
from unimri.deploy.adapters import (
    add_adapter,
    check_name,
    export_aspin,
    load_adapter,
    remove_aspin,
    save_adapter,
)
from unimri.deploy.library import FEATURES, Adaptation, AnatomyDescription, ModelDescription, digests, install
from unimri.deploy.model import Model
from unimri.models.folder import WEIGHTS, load_tensors, save_tensors
from unimri.models.instance_norm import InstanceNorm

ABOUT = AnatomyDescription(
    origin="real",
    role="new",
    crop=32,
    scale_factor=1.2,
    training_patients=3,
    features=[0.0] * FEATURES,
    largest_distance=1.0,
    adaptation=Adaptation(
        training_slices=9,
        validation_slices=3,
        image_size=32,
        seed=0,
        epochs=2,
        learning_rate=0.01,
        data_sha256="0" * 64,
        code="0" * 16,
        versions={"torch": "2"},
    ),
)
# `shared_model` has 2 cascades of 2 normalised layers of 4 channels.
SHAPE = (2, 2, 4)


def aspin(seed: int = 0, shape: tuple[int, int, int] = SHAPE) -> InstanceNorm:
    made, generator = InstanceNorm(*shape), torch.Generator().manual_seed(seed)
    with torch.no_grad():
        made.gamma.copy_(torch.rand(shape, generator=generator))
        made.beta.copy_(torch.rand(shape, generator=generator))
    return made


@pytest.fixture
def adapter(shared_model: Path, tmp_path: Path) -> Path:
    path = tmp_path / "shoulder.aspin.safetensors"
    save_adapter(aspin(), "shoulder", sha256(shared_model / WEIGHTS), ABOUT, path)
    return path


def weights(folder: Path) -> dict[str, str]:
    return {name: digest for name, digest in digests(folder).items() if name.endswith((".safetensors", "model.json"))}


def kspace_of(model: Model) -> tuple[np.ndarray, np.ndarray]:
    return model.undersample(np.random.default_rng(5).random((2, 32, 32), dtype=np.float32))


def test_an_added_adapter_is_that_of_memory_and_changes_no_other_file(model_folder: Path, adapter: Path) -> None:
    before = weights(model_folder)
    assert add_adapter(model_folder, adapter) == "shoulder"
    after = weights(model_folder)
    assert after.pop("aspin/shoulder.safetensors")
    assert after == before

    added = unimri.load(model_folder)
    assert added.anatomies == ["brain", "knee", "shoulder"]
    remove_aspin(model_folder, "shoulder")
    in_memory = unimri.load(model_folder, aspins=[adapter])
    kspace, mask = kspace_of(added)
    found = added.reconstruct(kspace, mask, "shoulder")
    np.testing.assert_array_equal(found, in_memory.reconstruct(kspace, mask, "shoulder"))
    assert np.abs(found - added.reconstruct(kspace, mask, "brain")).max() > 1e-3
    assert added.description.anatomies["shoulder"] == ABOUT


def test_removal_gives_back_the_model_as_it_was(model_folder: Path, shared_model: Path, adapter: Path) -> None:
    add_adapter(model_folder, adapter)
    card = (model_folder / "README.md").read_text()
    assert "shoulder" in card
    assert "fitted to a user's scans" in card
    remove_aspin(model_folder, "shoulder")
    assert digests(model_folder) == digests(shared_model)
    assert ModelDescription.load(model_folder) == ModelDescription.load(shared_model)


def test_an_exported_aspin_goes_to_another_copy_of_the_model(
    model_folder: Path, shared_model: Path, adapter: Path, tmp_path: Path
) -> None:
    add_adapter(model_folder, adapter)
    sent = tmp_path / "sent.aspin.safetensors"
    export_aspin(model_folder, "shoulder", sent)
    assert sent.read_bytes() == adapter.read_bytes()
    other = Path(shutil.copytree(shared_model, tmp_path / "other"))
    add_adapter(other, sent)
    assert digests(other) == digests(model_folder)

    export_aspin(model_folder, "knee", tmp_path / "knee.aspin.safetensors")
    tensors, _ = load_tensors(shared_model / "aspin/knee.safetensors")
    exported = load_adapter(tmp_path / "knee.aspin.safetensors")
    assert exported.description == ModelDescription.load(shared_model).anatomies["knee"]
    torch.testing.assert_close(exported.tensors, tensors, atol=0, rtol=0)


def test_what_is_not_exported(model_folder: Path, tmp_path: Path) -> None:
    there = tmp_path / "x.aspin.safetensors"
    there.write_bytes(b"mine")
    with pytest.raises(UnimriError, match="is there already"):
        export_aspin(model_folder, "knee", there)
    assert there.read_bytes() == b"mine"
    with pytest.raises(UnimriError, match="'hip': not in the model; it has brain, knee"):
        export_aspin(model_folder, "hip", tmp_path / "hip.aspin.safetensors")
    with pytest.raises(UnimriError, match=r"must end in \.aspin\.safetensors"):
        export_aspin(model_folder, "knee", tmp_path / "knee.safetensors")
    # One byte of a weight, which safetensors itself does not notice.
    damaged = model_folder / "aspin/knee.safetensors"
    content = bytearray(damaged.read_bytes())
    content[-1] ^= 1
    damaged.write_bytes(content)
    with pytest.raises(UnimriError, match=r"knee\.safetensors: is not the file that was made"):
        export_aspin(model_folder, "knee", tmp_path / "knee.aspin.safetensors")
    assert [path.name for path in tmp_path.glob("*.aspin.safetensors")] == [there.name]


def rewritten(path: Path, **changes: object) -> None:
    tensors, note = load_tensors(path)
    assert isinstance(note, dict)
    save_tensors(path, tensors, note | changes)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda path: rewritten(path, base_sha256="1" * 64), "another base"),
        (lambda path: rewritten(path, anatomy="knee"), "has an ASPIN for 'knee' already"),
        (lambda path: rewritten(path, anatomy="../x"), "give a name of letters"),
        (lambda path: rewritten(path, anatomy=7), "its note is damaged"),
        (lambda path: rewritten(path, description=[]), "shoulder.aspin.safetensors"),
        (lambda path: rewritten(path, description=ABOUT.model_dump() | {"scale_factor": 0}), "scale_factor"),
        (lambda path: rewritten(path, more=1), "is no adapter"),
        (lambda path: save_tensors(path, {"gamma": torch.ones(1)}), "is no adapter"),
        (lambda path: path.write_bytes(path.read_bytes()[:-5]), "not a whole safetensors file"),
        (lambda path: path.write_bytes(b""), "not a whole safetensors file"),
        (lambda path: path.unlink(), "is missing; check the path"),
        (lambda path: (path.unlink(), path.mkdir()), "is no file"),
    ],
)
def test_a_bad_adapter_is_refused_and_the_model_stays(
    model_folder: Path, adapter: Path, damage: Callable[[Path], object], message: str
) -> None:
    before = digests(model_folder)
    damage(adapter)
    with pytest.raises(UnimriError, match=message):
        add_adapter(model_folder, adapter)
    assert digests(model_folder) == before
    with pytest.raises(UnimriError, match=message):
        unimri.load(model_folder, aspins=[adapter])
    assert unimri.load(model_folder).anatomies == ["brain", "knee"]


def test_an_adapter_of_another_shape_does_not_take_the_name(shared_model: Path, adapter: Path, tmp_path: Path) -> None:
    wide = tmp_path / "wide.aspin.safetensors"
    save_adapter(aspin(shape=(2, 2, 5)), "shoulder", sha256(shared_model / WEIGHTS), ABOUT, wide)
    model = unimri.load(shared_model)
    with pytest.raises(UnimriError, match=r"wide\.aspin\.safetensors: its weights do not fit"):
        model.add_aspin(wide)
    assert model.network.conditioning.anatomies == model.anatomies == ["brain", "knee"]
    assert model.add_aspin(adapter) == "shoulder"


def test_a_base_anatomy_and_a_stranger_are_not_removed(model_folder: Path) -> None:
    before = digests(model_folder)
    with pytest.raises(UnimriError, match="'brain': the base was trained on it"):
        remove_aspin(model_folder, "brain")
    with pytest.raises(UnimriError, match="'hip': not in the model"):
        remove_aspin(model_folder, "hip")
    with pytest.raises(UnimriError, match="not in the model"):
        remove_aspin(model_folder, "../model")
    assert digests(model_folder) == before


@pytest.mark.parametrize("name", ["shoulder", "shoulder-left", "t2_knee", "c3"])
def test_names(name: str) -> None:
    check_name(name)


@pytest.mark.parametrize(
    "name", ["../x", "a/b", "a.b", "", "-a", "3d", "ä", "a b", "Auto", "auto", "Knee", "type", "training", "keys"]
)
def test_names_that_are_none(name: str) -> None:
    with pytest.raises(UnimriError, match="such as shoulder"):
        check_name(name)


def failing(*_: object) -> None:
    raise KeyboardInterrupt


@pytest.mark.parametrize("step", ["model_card", "ModelDescription.save"])
def test_an_interrupted_change_leaves_the_model_as_it_was(
    model_folder: Path, adapter: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    def attempt(change: Callable[[], object]) -> None:
        before = digests(model_folder)
        with monkeypatch.context() as patch:
            patch.setattr(f"unimri.deploy.card.{step}", failing)
            with pytest.raises(KeyboardInterrupt):
                change()
        assert digests(model_folder) == before
        unimri.load(model_folder)

    attempt(lambda: add_adapter(model_folder, adapter))
    add_adapter(model_folder, adapter)
    attempt(lambda: remove_aspin(model_folder, "shoulder"))


def test_a_killed_removal_is_told_with_its_mend(
    model_folder: Path, adapter: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_adapter(model_folder, adapter)
    with monkeypatch.context() as patch:
        patch.setattr(adapters, "aspin_path", failing)
        with pytest.raises(KeyboardInterrupt):
            remove_aspin(model_folder, "shoulder")
    with pytest.raises(UnimriError, match=r"shoulder\.safetensors: does not belong to the model; remove it"):
        unimri.load(model_folder)
    (model_folder / "aspin/shoulder.safetensors").unlink()
    assert unimri.load(model_folder).anatomies == ["brain", "knee"]


def test_a_model_is_installed_once_and_without_what_is_not_its_own(model_folder: Path, tmp_path: Path) -> None:
    (model_folder / ".snakemake_timestamp").touch()
    target = install(model_folder, tmp_path / "mine")
    assert target == tmp_path / "mine/tiny-4x"
    assert digests(target) == digests(model_folder)
    assert not list(target.glob(".*"))
    with pytest.raises(UnimriError, match=r"is there already; `unimri models remove tiny-4x`"):
        install(model_folder, tmp_path / "mine")
    (model_folder / "README.md").write_text("better than all others")
    with pytest.raises(UnimriError, match=r"README\.md: is not the file"):
        install(model_folder, tmp_path / "others")
    assert not (tmp_path / "others").exists()


def test_the_workflows_own_model_is_not_changed(model_folder: Path, adapter: Path, tmp_path: Path) -> None:
    (model_folder / ".snakemake_timestamp").touch()
    before = digests(model_folder)
    for change in (lambda: add_adapter(model_folder, adapter), lambda: remove_aspin(model_folder, "knee")):
        with pytest.raises(UnimriError, match=r"copy it first: `unimri models add"):
            change()
    assert digests(model_folder) == before
    # Its copy is.
    assert add_adapter(install(model_folder, tmp_path / "mine"), adapter) == "shoulder"


def test_one_file_is_not_changed(tmp_path: Path, adapter: Path) -> None:
    packed = tmp_path / "tiny.unimri"
    packed.write_bytes(b"")
    with pytest.raises(UnimriError, match=r"is one file; unpack it with `unimri models add`"):
        add_adapter(packed, adapter)


def test_the_note_names_no_patient_and_no_path(adapter: Path, tmp_path: Path) -> None:
    _, note = load_tensors(adapter)
    assert str(tmp_path) not in json.dumps(note)
    assert set(note) == {"anatomy", "base_sha256", "description"}
