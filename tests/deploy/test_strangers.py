"""Models and adapters of somebody unknown: what they say is bounded before it is used."""

import json
import os
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch

from unimri.core.errors import UnimriError
from unimri.deploy.adapters import load_adapter
from unimri.deploy.card import models_table
from unimri.deploy.estimates import choose
from unimri.deploy.library import DESCRIPTION, FEATURES, ModelDescription, digests, pack, unpack
from unimri.deploy.model import load
from unimri.deploy.reconstruct import Outcome, outcome_line, summary
from unimri.models.folder import load_tensors, save_tensors


def describe(folder: Path, **changes: object) -> None:
    """Change the description of a model, after its digests have been made right."""
    content = json.loads((folder / DESCRIPTION).read_text()) | {"files": digests(folder)}
    for key, value in changes.items():
        content[key] = content[key] | value if isinstance(value, dict) else value
    (folder / DESCRIPTION).write_text(json.dumps(content))


def told(folder: Path) -> str:
    with pytest.raises(UnimriError) as fault:
        load(folder)
    assert len(str(fault.value)) < 2000
    return str(fault.value)


BOTH = {"brain", "knee"}
ENDLESS = [[1.0] * FEATURES] * (FEATURES - 1)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        (
            {"inverse_covariance": [[float("nan")] * FEATURES] * FEATURES},
            "inverse_covariance.0.0: a number that",
        ),
        ({"inverse_covariance": []}, "inverse_covariance is []: list should have at least 23 items"),
        (
            {"inverse_covariance": [*ENDLESS, [1.0]]},
            "inverse_covariance.22 is [1.0]: list should have at least",
        ),
        ({"inverse_covariance": [*ENDLESS, [10**400] * FEATURES]}, "inverse_covariance.22.0: a number that is not"),
        ({"acceleration": float("inf")}, "acceleration: a number that is not finite"),
        ({"acceleration": 1e9}, "acceleration is 1000000000.0: "),
        ({"image_size": 10**9}, "image_size is 1000000000: "),
        ({"mask": {"per_slice": True, "bank": 10**9}}, "bank is 1000000000: "),
        ({"settings": {"deep": {"nan": float("nan")}}}, "settings.deep.nan: a number that is not finite"),
        ({"settings": {"title": "\x1b[2J"}}, "settings.title: a text with control characters"),
        ({"versions": {"\x1b[2J": "1"}}, "versions: a text with control characters"),
        ({"anatomies": {"<b>": {}}}, "anatomies.<b>"),
        ({"anatomies": {"../knee": {}}}, "anatomies.../knee"),
        ({"name": "x" * 1000}, "at most 100 characters"),
        ({"files": {"../other.txt": "0"}}, "'../other.txt' is no name of a file inside the model's folder"),
        ({"files": {"/etc/hostname": "0"}}, "is no name of a file inside the model's folder"),
        ({"files": {"aspin/../../other.txt": "0"}}, "is no name of a file inside the model's folder"),
        ({"files": {"aspin": "0"}}, "aspin: is no file"),
        ({"files": {"pipe": "0"}}, "pipe: is no file"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_a_description_is_finite_bounded_and_of_the_models_own_files(model_folder: Path, changes, says: str) -> None:
    os.mkfifo(model_folder / "pipe")
    describe(model_folder, **changes)
    assert says in told(model_folder)


def test_a_link_out_of_the_model_is_refused_and_one_of_the_workflow_is_not(model_folder: Path, tmp_path: Path) -> None:
    (model_folder / "README.md").rename(tmp_path / "README.md")
    (model_folder / "README.md").symlink_to(tmp_path / "README.md")
    assert "README.md: is a link that leads out of the model" in told(model_folder)
    # `unimri reuse` makes such links.
    (model_folder / ".snakemake_timestamp").touch()
    assert load(model_folder).anatomies == ["brain", "knee"]


@pytest.mark.parametrize(
    ("about", "says"),
    [
        ("[" * 50_000 + "]" * 50_000, "it is nested too deep"),
        ('{"network": {"width": 100000}}', "conditioning"),
        ('{"network": {"width": 100000}, "conditioning": "aspin"}', "do not fit the network's width"),
        ('{"network": {"width": 1e300}, "conditioning": "aspin"}', "width"),
        ('{"network": {"width": 1' + "0" * 15 + '}, "conditioning": "aspin"}', "cannot be built"),
        ('{"network": {"cascades": 1000000000}, "conditioning": "aspin"}', "cascades is 1000000000: "),
        ('{"network": {"convolutions": 1000000000}, "conditioning": "aspin"}', "convolutions is 1000000000: "),
        ('{"network": {}, "conditioning": "../aspin"}', "is unknown; allowed: aspin"),
    ],
    ids=lambda value: value[:60],
)
def test_a_network_is_compared_with_its_weights_before_it_is_made(model_folder: Path, about: str, says: str) -> None:
    (model_folder / "model.json").write_text(about)
    describe(model_folder)
    assert says in told(model_folder)


@pytest.mark.parametrize("name", ["model.safetensors", "aspin/knee.safetensors"])
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_are_finite(model_folder: Path, name: str, value: float) -> None:
    tensors, note = load_tensors(model_folder / name)
    next(iter(tensors.values())).view(-1)[0] = value
    save_tensors(model_folder / name, tensors, note)
    if name == "model.safetensors":
        for aspin in (model_folder / "aspin").iterdir():
            aspin.unlink()
    describe(model_folder)
    assert f"{name}: " in told(model_folder)
    assert "has NaN or infinite values" in told(model_folder)


def test_an_aspin_of_other_shapes_is_not_read(model_folder: Path) -> None:
    path = model_folder / "aspin/knee.safetensors"
    _, note = load_tensors(path)
    save_tensors(path, {"gamma": torch.ones(3), "beta": torch.ones(3)}, note)
    describe(model_folder)
    assert "knee.safetensors: its weights do not fit" in told(model_folder)


def test_statistics_that_tell_nothing_apart_make_no_sure_choice() -> None:
    one = np.ones((1, FEATURES))
    means = {"brain": 0 * one[0], "knee": 1e200 * one[0]}
    with pytest.raises(UnimriError, match="tell no anatomies apart; give the anatomy"):
        choose(dict.fromkeys(means, one), means, -1e200 * np.eye(FEATURES), dict.fromkeys(means, 1.0))


def test_a_description_of_any_length_is_not_read(model_folder: Path) -> None:
    with (model_folder / DESCRIPTION).open("ab") as file:
        file.truncate(10**10)
    with pytest.raises(UnimriError, match="is larger than any model's description"):
        ModelDescription.load(model_folder)


def test_a_packed_model_of_endless_files_or_hidden_ones_is_refused(model_folder: Path, tmp_path: Path) -> None:
    pack(model_folder, tmp_path / "many.unimri")
    with zipfile.ZipFile(tmp_path / "many.unimri", "a") as archive:
        archive.writestr("aspin/.hidden", b"")
    with pytest.raises(UnimriError, match="which no model does"):
        unpack(tmp_path / "many.unimri", tmp_path / "out")
    with zipfile.ZipFile(tmp_path / "many.unimri", "a") as archive:
        for number in range(10_001):
            archive.writestr(f"{number}", b"")
    with pytest.raises(UnimriError, match="10000 files; it is no model"):
        unpack(tmp_path / "many.unimri", tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("note", "says"),
    [
        ("[" * 50_000 + "]" * 50_000, "it is nested too deep"),
        ('{"anatomy": "hip", "base_sha256": "0", "description": {"scale_factor": NaN}}', "a number that is not finite"),
        ('{"anatomy": "hip", "base_sha256": "0", "description": {"origin": "\\u001b[2J"}}', "with control characters"),
    ],
    ids=["deep", "nan", "escape"],
)
def test_an_adapters_note_is_checked_as_a_description_is(tmp_path: Path, note: str, says: str) -> None:
    from safetensors.torch import save_file

    save_file({"gamma": torch.ones(1)}, tmp_path / "hip.aspin.safetensors", {"unimri": note})
    with pytest.raises(UnimriError, match=says):
        load_adapter(tmp_path / "hip.aspin.safetensors")


def test_an_adapter_that_is_missing_or_endless_is_said_to_be(tmp_path: Path, shared_model: Path) -> None:
    with pytest.raises(UnimriError, match=r"no\.safetensors: is missing"):
        load(shared_model, aspins=[tmp_path / "no.safetensors"])
    with (tmp_path / "hip.aspin.safetensors").open("wb") as file:
        file.truncate(10**12)
    with pytest.raises(UnimriError, match="is larger than any adapter"):
        load_adapter(tmp_path / "hip.aspin.safetensors")


def test_names_of_files_send_the_terminal_no_codes(shared_model: Path) -> None:
    bad = Outcome("scan \x1b[2J\n3 of 3 volumes", 1, fault="torn \x1b[31m", notes=("note \x1b]0;",))
    for outcome in (bad, bad._replace(fault="")):
        assert outcome_line(outcome, deidentify=False).isprintable()
    assert summary([bad._replace(fault="")], Path("out\x1b[2J")).isprintable()
    table = models_table({Path("models/\x1b[2J"): ModelDescription.load(shared_model)})
    assert all(line.isprintable() for line in table.splitlines())
