"""Trainings that are killed end as those that are not."""

import itertools
import os
import random
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from commands import ANATOMIES, finish, start, tree

from unimri.training.distributed import SIGNALS, noticing_signals


def whole(given: list[str], folder: Path) -> tuple[dict[str, str], float]:
    """What an unbroken run leaves, and the seconds that it takes."""
    began = time.monotonic()
    folder.mkdir()
    assert finish(start(given, folder / "log")) == [0], (folder / "log").read_text()
    return tree(folder / "output"), time.monotonic() - began


@pytest.mark.slow
@pytest.mark.parametrize("stage", ANATOMIES)
def test_a_training_that_is_killed_at_random_ends_with_the_same_bytes(commands, tmp_path, stage) -> None:
    expected, seconds = whole(commands(stage, tmp_path / "whole"), tmp_path / "whole")
    chance = random.Random(stage)
    kills: list[int] = []
    for attempt in itertools.count():
        folder = tmp_path / f"broken{attempt}"
        folder.mkdir()
        for number in itertools.cycle((signal.SIGKILL, signal.SIGTERM)):
            process = start(commands(stage, folder), folder / "log")
            process.join(chance.uniform(0.1, 1) * seconds)
            if process.is_alive():
                os.kill(process.pid, number)
            (status,) = finish(process)
            print(stage, attempt, number, status, seconds, time.monotonic(), flush=True)
            if status == 0:
                break
            # SIGTERM before there is anything to save ends a process in the usual way.
            assert status in ((-9,) if number == signal.SIGKILL else (143, -15)), (folder / "log").read_text()
            kills.append(status)
        assert tree(folder / "output") == expected
        assert not list((folder / "checkpoints").iterdir())
        if len(kills) >= 4:
            return


@pytest.mark.slow
def test_a_crash_between_any_two_file_operations_loses_nothing(commands, tmp_path) -> None:
    expected, _ = whole(commands("independent", tmp_path / "whole", 60), tmp_path / "whole")
    reached = False
    for number in itertools.count(1):
        folder = tmp_path / str(number)
        folder.mkdir()
        (status,) = finish(start(commands("independent", folder, 60), folder / "log", crash=number))
        if status == 0:
            break
        assert status == 137
        # What the results' folder holds at any time is whole: nothing there differs from the end.
        made = {name: digest for name, digest in tree(folder / "output").items() if ".partial" not in name}
        assert made.items() <= expected.items()
        # From the first checkpoint on there is one, until all results are there.
        checkpoints = list((folder / "checkpoints").glob("[!.]*"))
        assert checkpoints or not reached or made == expected
        reached |= bool(checkpoints)
        assert finish(start(commands("independent", folder, 60), folder / "log")) == [0]
        goes_on, is_made = bool(checkpoints) and made != expected, made == expected
        log = (folder / "log").read_text()
        assert goes_on == ("INFO going on from step " in log)
        assert is_made == ("INFO independent: already made" in log)
        assert tree(folder / "output") == expected
        assert not list((folder / "checkpoints").iterdir())
    assert reached
    assert number > 30


@pytest.mark.slow
def test_the_real_command_stops_on_its_shells_signal_and_goes_on(commands, tmp_path) -> None:
    given = commands("pretrained", tmp_path / "whole", 60, precision="bfloat16")
    expected, _ = whole(given, tmp_path / "whole")
    given = commands("pretrained", tmp_path / "broken", 60, precision="bfloat16")
    command = ["bash", "-c", 'exec "$@" > "$0" 2>&1', str(tmp_path / "log"), sys.executable, "-m", "unimri.cli", *given]
    for number in (signal.SIGTERM, signal.SIGUSR1):
        process = subprocess.Popen(command)
        time.sleep(0.5)
        while process.poll() is None:
            # Until there are handlers a signal would end it in the usual way.
            caught = int(dict(line.split(":\t", 1) for line in _status(process.pid))["SigCgt"], 16)
            if caught >> (signal.SIGUSR1 - 1) & 1:
                process.send_signal(number)
                break
            time.sleep(0.001)
        assert process.wait(60) == 143, (tmp_path / "log").read_text()
        (line,) = [line for line in (tmp_path / "log").read_text().splitlines() if not line.startswith("INFO ")]
        assert line.startswith("unimri: pretrained: stopped as asked; the same command goes on from ")
        assert not (tmp_path / "broken/output").exists()
    assert subprocess.run(command, check=False).returncode == 0
    assert tree(tmp_path / "broken/output") == expected


def _status(pid: int) -> list[str]:
    return [line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if ":\t" in line]


@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_is_noted_and_its_handler_comes_back(number) -> None:
    before = [signal.getsignal(each) for each in SIGNALS]
    with noticing_signals() as interruption:
        assert not interruption.requested
        os.kill(os.getpid(), number)
        os.kill(os.getpid(), number)
        assert interruption.requested
    assert [signal.getsignal(each) for each in SIGNALS] == before


def test_handlers_are_left_alone_outside_the_main_thread() -> None:
    before = [signal.getsignal(number) for number in SIGNALS]
    seen = []

    def elsewhere() -> None:
        with noticing_signals() as interruption:
            seen.append((interruption.requested, [signal.getsignal(number) for number in SIGNALS]))

    thread = threading.Thread(target=elsewhere)
    thread.start()
    thread.join()
    assert seen == [(False, before)]
