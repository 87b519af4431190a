import os
import random
import subprocess
from dataclasses import asdict
from pathlib import Path

import pytest
import torch

from unimri.core.errors import UnimriError
from unimri.models.cascade import D5C5
from unimri.models.folder import load_tensors, save_tensors
from unimri.models.settings import CascadeSettings
from unimri.training.checkpoints import Checkpoints, Progress


class State:
    """A network and an optimiser that has made some steps."""

    def __init__(self, steps: int = 0) -> None:
        torch.manual_seed(steps)
        self.network = D5C5(CascadeSettings(width=2, cascades=1), "aspin", ["head"])
        self.optimiser = torch.optim.Adam(self.network.parameters(), lr=0.1)
        for _ in range(steps):
            for parameter in self.network.parameters():
                parameter.grad = torch.rand_like(parameter)
            self.optimiser.step()
        best = {name: tensor.clone() for name, tensor in self.network.state_dict().items()}
        self.progress = Progress(steps, 0.1 * steps, [{"epoch": 1, "step": 2, "train_loss": 1 / 3}], 30.25, best, [1])

    def save(self, checkpoints: Checkpoints) -> None:
        checkpoints.save(self.network, self.optimiser, self.progress)

    def tensors(self) -> list[torch.Tensor]:
        state = self.optimiser.state_dict()["state"]
        moments = [state[number][name] for number in sorted(state) for name in sorted(state[number])]
        return [*self.network.state_dict().values(), *moments]

    def equals(self, other: "State", progress: Progress) -> bool:
        """Same numbers, network and moments in the same memory format."""
        own, given = asdict(self.progress), asdict(progress)
        best_weights, others = own.pop("best"), given.pop("best")
        assert set(best_weights) == set(others)
        weights = [(best_weights[name], others[name]) for name in others]
        tensors = list(zip(self.tensors(), other.tensors(), strict=True))
        same = all(torch.equal(a, b) for a, b in [*weights, *tensors])
        return own == given and same and all(a.stride() == b.stride() for a, b in tensors)


@pytest.fixture
def two(tmp_path: Path) -> tuple[Checkpoints, State, State]:
    """A folder with two checkpoints of one training."""
    checkpoints, older, newer = Checkpoints(tmp_path, "f00"), State(3), State(4)
    older.save(checkpoints)
    newer.save(checkpoints)
    return checkpoints, older, newer


def loaded(folder: Path, fingerprint: str = "f00") -> tuple[State, Progress]:
    fresh = State()
    return fresh, Checkpoints(folder, fingerprint).load(fresh.network, fresh.optimiser)


def test_a_checkpoint_holds_all_that_there_is(two, tmp_path) -> None:
    assert two[2].equals(*loaded(tmp_path))


def test_the_one_before_stays_until_two_newer_ones_are_there(two, tmp_path) -> None:
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == ["f00-0000000003-000001.safetensors", "f00-0000000004-000001.safetensors"]
    State(5).save(two[0])
    assert sorted(path.name for path in tmp_path.iterdir()) == [names[1], "f00-0000000005-000001.safetensors"]


def test_one_that_is_written_again_does_not_take_the_place_of_the_one_before(two, tmp_path) -> None:
    two[2].save(two[0])
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "f00-0000000003-000001.safetensors",
        "f00-0000000004-000001.safetensors",
    ]


@pytest.mark.parametrize("damage", ["truncate", "flip"])
def test_a_damaged_one_is_refused_and_the_one_before_taken(two, tmp_path, caplog, damage) -> None:
    _, older, newer = two
    path = max(tmp_path.iterdir())
    content, chance = path.read_bytes(), random.Random(damage)
    for _ in range(60):
        place = chance.randrange(len(content))
        flipped = bytearray(content)
        flipped[place] ^= 1 << chance.randrange(8)
        path.write_bytes(content[:place] if damage == "truncate" else flipped)
        caplog.clear()
        state, progress = loaded(tmp_path)
        if caplog.records:
            assert path.name in caplog.text
            assert older.equals(state, progress)
        else:
            # A bit of the header that says nothing, such as the spaces that fill it up.
            assert damage == "flip"
            assert newer.equals(state, progress)
    path.write_bytes(content)
    assert newer.equals(*loaded(tmp_path))


def test_one_whose_numbers_were_changed_is_refused(two, tmp_path, caplog) -> None:
    path = max(tmp_path.iterdir())
    tensors, note = load_tensors(path)
    tensors["network/blocks.0.convolutions.0.bias"] += 1
    save_tensors(path, tensors, note)
    assert two[1].equals(*loaded(tmp_path))
    assert "its digest does not fit" in caplog.text


def test_that_of_another_training_is_refused_by_name_and_by_what_it_says(two, tmp_path, caplog) -> None:
    assert loaded(tmp_path, "f0")[1] == Progress()
    path = max(tmp_path.iterdir())
    path.rename(tmp_path / path.name.replace("f00", "bar"))
    assert loaded(tmp_path, "bar")[1] == Progress()
    assert "the checkpoint of another training" in caplog.text


def test_a_refused_one_goes_when_a_good_one_has_been_written(two, tmp_path) -> None:
    older, torn = sorted(tmp_path.iterdir())
    torn.write_bytes(b"torn")
    checkpoints, state = Checkpoints(tmp_path, "f00"), State()
    progress = checkpoints.load(state.network, state.optimiser)
    assert checkpoints.describe_last() == f"{older} (step 3)"
    checkpoints.save(state.network, state.optimiser, Progress(progress.step, 0, [{}, {}]))
    assert sorted(tmp_path.iterdir()) == [older, tmp_path / "f00-0000000003-000002.safetensors"]


def test_all_of_one_training_go_and_no_others(two, tmp_path) -> None:
    State(1).save(Checkpoints(tmp_path, "f01"))
    (tmp_path / ".partial-1-f00-0000000009-000001.safetensors").touch()
    two[0].clear()
    assert [path.name for path in tmp_path.iterdir()] == ["f01-0000000001-000001.safetensors"]


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 64 KiB, where we may mount one."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "none", str(folder)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("needs the right to mount a file system")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def fill(folder: Path) -> None:
    with pytest.raises(OSError, match="No space left"):
        (folder / "filler").write_bytes(bytes(2**17))


def full(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As a full disk does it, where none can be had."""
    write = Path.write_bytes

    def write_half(path: Path, content: bytes) -> int:
        write(path, content[: len(content) // 2])
        raise OSError(28, "No space left on device", str(path))

    monkeypatch.setattr(Path, "write_bytes", write_half)


@pytest.mark.parametrize("real", [True, False])
def test_a_full_disk_is_reported_and_the_last_good_one_stays(real, request, tmp_path, monkeypatch) -> None:
    folder = request.getfixturevalue("small_disk") if real else tmp_path
    checkpoints, state = Checkpoints(folder, "f00"), State(3)
    state.save(checkpoints)
    fill(folder) if real else full(folder, monkeypatch)
    with pytest.raises(UnimriError) as fault:
        State(4).save(checkpoints)
    assert "\n" not in str(fault.value)
    assert "f00-0000000004-000001.safetensors: cannot be written (No space left on device); make room" in str(
        fault.value
    )
    assert "goes on from" in str(fault.value)
    assert "f00-0000000003-000001.safetensors (step 3)" in str(fault.value)
    assert [path.name for path in folder.iterdir() if path.name != "filler"] == ["f00-0000000003-000001.safetensors"]
    assert state.equals(*loaded(folder))
