"""The choice of a GPU, with names for GPUs that are not there."""

import multiprocessing
import os
import tempfile
from contextlib import ExitStack
from multiprocessing.connection import Connection
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from commands import group_environments, start_server

from unimri.core.errors import UnimriError
from unimri.training.distributed import ProcessGroup, join, placed, taking

GPUS = ["GPU-a", "GPU-b", "GPU-c"]


class Holder:
    """A process that takes a GPU and keeps it until it is killed."""

    def __init__(self, folder: Path, names: list[str], environment: dict[str, str] | None = None) -> None:
        start_server()
        context = multiprocessing.get_context("forkserver")
        self.chosen, given = context.Pipe(duplex=False)
        self.process = context.Process(target=hold, args=(names, folder, environment or {}, given))
        self.process.start()
        given.close()

    def gpu(self) -> str:
        assert self.chosen.poll(30)
        return self.chosen.recv()

    def kill(self) -> None:
        self.process.kill()
        self.process.join()


def hold(names: list[str], folder: Path, environment: dict[str, str], chosen: Connection) -> None:
    os.environ.update(environment)
    with join("cpu") as group, taking(names, folder, group) as number:
        chosen.send(names[number])
        multiprocessing.Event().wait()


@pytest.fixture
def holders(tmp_path):
    """A function that starts `Holder`s, which end with the test."""
    with ExitStack() as ends:

        def start(names: list[str], environment: dict[str, str] | None = None) -> Holder:
            holder = Holder(tmp_path / "gpus", names, environment)
            ends.callback(holder.kill)
            return holder

        yield start


def test_processes_take_different_gpus_however_they_are_numbered(holders, tmp_path, caplog) -> None:
    first = holders(GPUS[:2])
    assert first.gpu() == "GPU-a"
    # CUDA_VISIBLE_DEVICES numbers them anew, and may show one alone.
    assert holders(["GPU-a", "GPU-b"]).gpu() == "GPU-b"
    assert holders(["GPU-c"]).gpu() == "GPU-c"
    with taking(GPUS[1:], tmp_path / "gpus", ProcessGroup()) as number:
        assert number == 0
    assert "GPU GPU-b: shared with another training" in caplog.text
    first.kill()
    caplog.clear()
    with taking(["GPU-b", "GPU-a"], tmp_path / "gpus", ProcessGroup()) as number:
        assert number == 1
    assert not caplog.records


def test_processes_of_one_training_take_each_another_one_free_or_not(holders) -> None:
    holders(["GPU-a"]).gpu()
    group = [holders(GPUS, environment) for environment in group_environments(2)]
    assert {holder.gpu() for holder in group} == {"GPU-b", "GPU-c"}
    another = [holders(GPUS, environment) for environment in group_environments(2)]
    assert [holder.gpu() for holder in another] == ["GPU-a", "GPU-b"]


def test_too_few_gpus_are_reported(tmp_path) -> None:
    with (
        pytest.raises(UnimriError, match="more than the 3 GPUs of this machine"),
        taking(GPUS, tmp_path, ProcessGroup(place=3)),
    ):
        pass


def test_a_folder_that_is_another_users_is_not_used(tmp_path, monkeypatch, caplog) -> None:
    monkeypatch.setattr(os, "getuid", lambda: tmp_path.stat().st_uid + 1)
    with taking(GPUS, tmp_path, ProcessGroup()) as number:
        assert number == 0
    assert "cannot tell which GPUs are taken (it is another user's)" in caplog.text
    assert not list(tmp_path.iterdir())


def test_a_device_is_named_by_its_number_and_locked_by_its_uuid(tmp_path, monkeypatch) -> None:
    chosen = []
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda number: SimpleNamespace(uuid=GPUS[number]))
    monkeypatch.setattr(torch.cuda, "set_device", chosen.append)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with (
        placed("cuda", ProcessGroup()) as first,
        placed("cuda", ProcessGroup()) as second,
        placed("cpu", ProcessGroup()) as neither,
    ):
        assert [first, second] == chosen == [torch.device("cuda", 0), torch.device("cuda", 1)]
        assert neither == torch.device("cpu")
    (folder,) = tmp_path.iterdir()
    assert folder.stat().st_mode & 0o077 == 0
