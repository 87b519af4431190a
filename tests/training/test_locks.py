"""One training at a time."""

import errno
import fcntl
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from commands import finish, start, start_group, tree

from unimri.core.errors import UnimriError
from unimri.training.run import run_training

WAITS = "INFO independent: another process trains this; waiting until it has ended\n"
MADE = "INFO independent: already made; nothing is left to do\n"


def until(true: Callable[[], bool]) -> None:
    end = time.monotonic() + 60
    while not true():
        assert time.monotonic() < end
        time.sleep(0.002)


def said(log: Path, line: str) -> Callable[[], bool]:
    return lambda: log.exists() and line in log.read_text()


@pytest.fixture(scope="module")
def expected(commands, tmp_path_factory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("expected")
    assert finish(start(commands("independent", folder), folder / "log")) == [0]
    return tree(folder / "output")


def test_of_two_at_once_one_trains_and_the_other_is_done_with_it(commands, tmp_path, expected) -> None:
    processes = [start(commands("independent", tmp_path), tmp_path / name) for name in ("log0", "log1")]
    assert finish(*processes) == [0, 0]
    trained, waited = sorted((log.read_text() for log in tmp_path.glob("log?")), key=lambda text: MADE in text)
    assert MADE not in trained
    assert waited in (WAITS + MADE, MADE)
    assert tree(tmp_path / "output") == expected
    assert not list((tmp_path / "checkpoints").iterdir())


def test_who_waits_goes_on_when_the_first_is_killed(commands, tmp_path, expected) -> None:
    given = commands("independent", tmp_path)
    first = start(given, tmp_path / "log0")
    until(lambda: bool(list((tmp_path / "checkpoints").glob("[!.]*.safetensors"))))
    os.kill(first.pid, signal.SIGSTOP)
    second = start(given, tmp_path / "log1")
    until(said(tmp_path / "log1", WAITS))
    before = tree(tmp_path)
    time.sleep(0.6)
    assert tree(tmp_path) == before
    first.kill()
    assert finish(first, second) == [-9, 0]
    assert (tmp_path / "log1").read_text().startswith(f"{WAITS}INFO going on from step ")
    assert tree(tmp_path / "output") == expected
    assert not list((tmp_path / "checkpoints").iterdir())


@pytest.mark.parametrize("size", [1, 2])
def test_who_waits_can_be_stopped(commands, tmp_path, size) -> None:
    given = commands("independent", tmp_path)
    first = start(given, tmp_path / "first")
    until(lambda: bool(list((tmp_path / "checkpoints").glob(".*.lock"))))
    os.kill(first.pid, signal.SIGSTOP)
    second = start_group(given, size, tmp_path / "log") if size > 1 else [start(given, tmp_path / "log0")]
    until(said(tmp_path / "log0", WAITS))
    os.kill(second[-1].pid, signal.SIGTERM)
    assert finish(*second) == [143] * size
    assert (tmp_path / "log0").read_text() == (
        f"{WAITS}unimri: independent: stopped as asked while another process trains this; "
        "the same command waits again\n"
    )
    first.kill()
    first.join()


def test_results_stay_as_they_are_when_they_are_whole_and_of_this_training(experiment, tmp_path) -> None:
    files, output, checkpoints = experiment.files("head", "hand"), tmp_path / "x", tmp_path / "c"
    task = experiment.task("pretrained", epochs=1)

    def train(**changes: object) -> bool:
        """Whether it trained."""
        before = {path: path.stat().st_mtime_ns for path in output.rglob("*.*")}
        run_training(task.model_copy(update=changes), files, output, checkpoints)
        assert not list(checkpoints.iterdir())
        after = {path: path.stat().st_mtime_ns for path in output.rglob("*.*")}
        assert (after == before) != all(after[path] > before.get(path, 0) for path in after)
        return after != before

    assert train()
    made = tree(output)
    assert not train()
    assert train(seed=2)
    assert train()
    assert tree(output) == made
    (output / "aspin/hand.safetensors").unlink()
    assert train()
    for damaged in ("last/model.safetensors", "model.json"):
        (output / damaged).write_text("{}")
        assert train()
    assert tree(output) == made


@pytest.mark.parametrize("number", [errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP])
def test_without_locks_it_warns_and_trains(experiment, tmp_path, monkeypatch, caplog, number) -> None:
    def refuse(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", refuse)
    run_training(experiment.task("independent"), experiment.files("head"), tmp_path / "x", tmp_path / "c")
    (warning,) = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert warning == f"{tmp_path / 'c'}: no locks ({os.strerror(number)}); mind that nothing is trained twice at once"
    assert (tmp_path / "x/model.json").exists()
    assert not list((tmp_path / "c").iterdir())


def test_a_lock_that_cannot_be_written_is_reported(experiment, tmp_path) -> None:
    (tmp_path / "c").touch()
    with pytest.raises(UnimriError, match=r"\.lock: cannot be written \("):
        run_training(experiment.task("independent"), experiment.files("head"), tmp_path / "x", tmp_path / "c")
