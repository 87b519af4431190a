"""Two processes do what one does."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from commands import ANATOMIES, finish, start, start_group, tree
from safetensors.torch import load_file

from unimri.data.store import PreparedData
from unimri.training.methods import recipe
from unimri.training.steps import Batches

# Batches of four and as many validation batches as make the processes unequal in them.
SHARED = {"batch_size": 4}


def run(given: list[str], size: int, folder: Path) -> Path:
    """Train with so many processes; the folder of the results."""
    folder.mkdir(exist_ok=True)
    processes = start_group(given, size, folder / "log") if size > 1 else [start(given, folder / "log0")]
    assert finish(*processes) == [0] * size, "\n".join(log.read_text() for log in folder.glob("log*"))
    return folder / "output"


def weights(folder: Path) -> dict[str, np.ndarray]:
    files = sorted(folder.rglob("*.safetensors"))
    return {f"{file.relative_to(folder)} {name}": t.numpy() for file in files for name, t in load_file(file).items()}


@pytest.mark.slow
@pytest.mark.parametrize("stage", ANATOMIES)
def test_two_processes_learn_what_one_learns(commands, tmp_path, stage) -> None:
    one, two = (run(commands(stage, tmp_path / str(size), 60, **SHARED), size, tmp_path / str(size)) for size in (1, 2))
    (history,) = one.glob("*history.csv")
    pd.testing.assert_frame_equal(pd.read_csv(history), pd.read_csv(two / history.name), atol=2e-5, rtol=1e-5)
    expected, found = weights(one), weights(two)
    assert expected.keys() == found.keys()
    # The gradient of a bias that data consistency or normalisation takes out is rounding alone, which Adam makes large.
    taken_out = ".bias" if recipe(stage).conditioning == "aspin" else ".convolutions.4.bias"
    compared = [name for name in expected if not name.endswith(taken_out)]
    for name in compared:
        # Adam may make the rounding of one small gradient large, and not that of all.
        apart = found[name] - expected[name]
        assert np.sqrt(np.mean(apart**2)) < 1e-5, name
        assert np.abs(apart).max() < 5e-5, name
    assert len(compared) > len(expected) / 2 - 1
    (about,) = (json.loads(path.read_text()) for path in two.glob("*.json"))
    assert about["processes"] == [2]
    assert len((tmp_path / "2/log0").read_text().splitlines()) == 3
    assert (tmp_path / "2/log1").read_text() == ""


@pytest.mark.slow
@pytest.mark.parametrize(("signalled", "size"), [(0, 2), (1, 2), (2, 3)])
def test_a_signal_to_any_process_stops_all_at_one_step_and_they_go_on(commands, tmp_path, signalled, size) -> None:
    batches = {"batch_size": 6, "steps_per_epoch": 20}
    expected = tree(run(commands("pretrained", tmp_path / "whole", 60, **batches), size, tmp_path / "whole"))
    folder = tmp_path / "broken"
    folder.mkdir()
    given = commands("pretrained", folder, 60, **batches)
    stopped = []
    while True:
        processes = start_group(given, size, folder / "log")
        epochs = _epochs(folder)
        while _epochs(folder) == epochs and processes[signalled].is_alive():
            time.sleep(0.001)
        if processes[signalled].is_alive():
            os.kill(processes[signalled].pid, signal.SIGTERM)
        statuses = finish(*processes)
        if statuses == [0] * size:
            break
        assert statuses == [143] * size, "\n".join(log.read_text() for log in folder.glob("log*"))
        checkpoints = sorted((folder / "checkpoints").glob("*.safetensors"))
        stopped.append(int(checkpoints[-1].stem.split("-")[1]))
        assert f"{checkpoints[-1]} (step {stopped[-1]})" in _lines(folder)[-1]
    assert stopped
    assert stopped == sorted(set(stopped))
    assert tree(folder / "output") == expected
    assert all((folder / f"log{rank}").read_text() == "" for rank in range(1, size))


def _lines(folder: Path) -> list[str]:
    log = folder / "log0"
    return log.read_text().splitlines() if log.exists() else []


def _epochs(folder: Path) -> int:
    """How many epochs the first process has told of."""
    return sum(line.startswith("INFO pretrained ") for line in _lines(folder))


@pytest.mark.slow
def test_the_number_of_processes_may_change_on_the_way(commands, tmp_path) -> None:
    given = commands("shared", tmp_path, 0, **SHARED)
    process = start(given, tmp_path / "log0")
    while not list((tmp_path / "checkpoints").glob("[!.]*.safetensors")) and process.is_alive():
        time.sleep(0.001)
    process.kill()
    assert finish(process) == [-9]
    output = run(given, 2, tmp_path)
    assert json.loads((output / "model.json").read_text())["processes"] == [1, 2]


def test_an_s2_iteration_is_of_one_anatomy_in_every_process_and_its_parts_make_the_batch(experiment) -> None:
    task = experiment.task("pretrained")
    task = task.model_copy(update={"optimisation": task.optimisation.model_copy(update={"batch_size": 4})})
    files = experiment.files("head", "hand", "hip")
    sets = {name: PreparedData(folder).split("train") for name, folder in files.data.items()}
    counts = {name: len(slices) for name, slices in sets.items()}
    whole, *parts = (Batches(sets, counts, task, True, part) for part in (slice(0, 4), slice(0, 2), slice(2, 4)))
    for step in range(12):
        anatomy, slices, numbers = whole.of_step(step)
        assert anatomy == list(sets)[step % 3]
        shares = [part.of_step(step) for part in parts]
        assert [share[0] for share in shares] == [anatomy, anatomy]
        np.testing.assert_array_equal(np.concatenate([share[1] for share in shares]), slices)
        np.testing.assert_array_equal(np.concatenate([share[2] for share in shares]), numbers)


def test_a_fault_is_reported_once(commands, tmp_path) -> None:
    given = commands("shared", tmp_path, 60, batch_size=3)
    assert finish(*start_group(given, 2, tmp_path / "log")) == [1, 1]
    assert _said(tmp_path) == (
        "unimri: training.optimisation.batch_size: 3 cannot be shared evenly by 2 processes; "
        "choose a multiple of them, or other processes"
    )


def test_numbers_that_are_not_finite_are_reported_once(commands, tmp_path) -> None:
    given = commands("shared", tmp_path, 60, **SHARED)
    assert finish(
        *start_group(
            [text.replace('"learning_rate":0.01', '"learning_rate":1e35') for text in given], 2, tmp_path / "log"
        )
    ) == [1, 1]
    line = _said(tmp_path)
    assert "unimri: shared: the loss is " in line
    assert "last good checkpoint: its start, there is no checkpoint" in line


def _said(folder: Path) -> str:
    """The one line that two processes have told together, apart from their logs."""
    lines = [line for rank in (0, 1) for line in (folder / f"log{rank}").read_text().splitlines()]
    (line,) = [line for line in lines if not line.startswith("INFO ")]
    return line


def test_processes_that_were_given_different_things_are_said(commands, tmp_path) -> None:
    first, second = (commands("shared", tmp_path, 60, **SHARED, weight_decay=decay) for decay in (0, 0.1))
    processes = start_group(first, 2, tmp_path / "log", {1: second})
    assert finish(*processes) == [1, 1]
    assert (tmp_path / "log0").read_text() == ""
    assert "process 1 has other settings, inputs or code" in (tmp_path / "log1").read_text()


@pytest.mark.slow
def test_the_command_starts_its_processes_itself_and_hands_a_signal_on(commands, tmp_path) -> None:
    expected = tree(run(commands("pretrained", tmp_path / "whole", 60, **SHARED), 2, tmp_path / "whole"))
    given = commands("pretrained", tmp_path / "broken", 0, **SHARED)
    command = [sys.executable, "-m", "unimri.cli", *given, "--processes", "2"]
    with (tmp_path / "log").open("wb") as log:
        launcher = subprocess.Popen(command, stdout=log, stderr=log)
        while not list((tmp_path / "broken/checkpoints").glob("[!.]*.safetensors")) and launcher.poll() is None:
            time.sleep(0.001)
        launcher.send_signal(signal.SIGTERM)
        assert launcher.wait(60) == 143, (tmp_path / "log").read_text()
        (line,) = [line for line in (tmp_path / "log").read_text().splitlines() if not line.startswith("INFO ")]
        assert line.startswith("unimri: pretrained: stopped as asked; ")
        assert subprocess.run(command, stdout=log, stderr=log, check=False).returncode == 0
    assert tree(tmp_path / "broken/output") == expected


@pytest.mark.slow
def test_the_command_tells_of_a_process_that_was_killed(commands, tmp_path) -> None:
    command = [sys.executable, "-m", "unimri.cli", *commands("shared", tmp_path, 0, **SHARED), "--processes", "2"]
    with (tmp_path / "log").open("wb") as log:
        launcher = subprocess.Popen(command, stdout=log, stderr=log)
        while not list((tmp_path / "checkpoints").glob("[!.]*.safetensors")) and launcher.poll() is None:
            time.sleep(0.001)
        child = Path(f"/proc/{launcher.pid}/task/{launcher.pid}/children").read_text().split()[0]
        os.kill(int(child), signal.SIGKILL)
        assert launcher.wait(60) == 137, (tmp_path / "log").read_text()
    log = (tmp_path / "log").read_text()
    assert re.search(r"^unimri: SIGKILL ended process [01]; ", log, re.MULTILINE)
    assert "Traceback" not in log
