"""Exit statuses, as docs/reference/commands.md promises them: 0 done, 1 a fault of the input, 2 wrong usage, 130 and
143 stopped."""

import os
import re
import signal
import subprocess
import sys
import time
from functools import partial
from importlib.metadata import version
from pathlib import Path

import pytest
from calls import call

from unimri.cli.__main__ import PANELS

ROOT = Path(__file__).parents[2]
PROGRAM = "from unimri.cli.__main__ import app; app(prog_name='unimri')"


def test_done_is_0_and_says_nothing_on_standard_error():
    for arguments in (["--version"], ["--help"], ["masks", "draw", "--help"]):
        result = call(*arguments)
        assert (result.status, result.err) == (0, "")
    assert call("--version").out == f"unimri {version('universal-mri-reconstruction')}\n"


def test_a_fault_of_the_input_is_1_and_one_line(tmp_path):
    result = call("inspect", tmp_path / "nowhere", "--reader", "dicom")
    assert result.status == 1
    (line,) = result.err.splitlines()
    assert line.startswith("unimri: ")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["reconstrukt"], "reconstrukt"),
        (["inspect"], "FOLDER"),
        (["inspect", "x", "--plane", "axial"], "--plane"),
        (["simulate", "many", "--settings", "{}", "--output", "x"], "seed"),
    ],
)
def test_wrong_usage_is_2_and_says_how_to_get_help(arguments, says):
    result = call(*arguments)
    assert result.status == 2
    assert says.lower() in result.err.lower()
    assert "--help" in result.err


# 143 is how a shell says that the signal 15 ended a process.
@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, -signal.SIGTERM)])
def test_what_is_stopped_ends_with_the_signals_status(number, status, tmp_path):
    # A pipe that nobody writes to: the command waits for it.
    pipe = tmp_path / "wanted.json"
    os.mkfifo(pipe)
    command = [sys.executable, "-m", "unimri.cli", "reconstruct-test", "hip", tmp_path, tmp_path / "m.npz"]
    command += ["--output", tmp_path / "kept.h5", "--wanted", pipe]
    # Tests that a shell runs in the background have Ctrl-C ignored, and would hand that on.
    heard = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    process = subprocess.Popen(command, text=True, preexec_fn=heard, **streams)
    while process.poll() is None:
        try:
            writer = os.open(pipe, os.O_WRONLY | os.O_NONBLOCK)
            break
        except OSError:
            # It has not opened the pipe yet.
            time.sleep(0.05)
    process.send_signal(number)
    _, errors = process.communicate(timeout=60)
    os.close(writer)
    assert process.returncode == status
    assert "Traceback" not in errors


def test_help_is_grouped_with_what_a_person_calls_first():
    text = call("--help").out
    titles = [title for title in re.findall(r"─ ([A-Z][a-z ]+) ─", text) if title != "Options"]
    assert titles == PANELS


def test_completion_scripts_are_shown():
    for shell in ("bash", "zsh", "fish"):
        result = subprocess.run(
            [
                sys.executable,
                "-c",
                PROGRAM,
                "--show-completion",
                shell,
            ],
            capture_output=True,
            text=True,
            check=False,
            env=os.environ | {"_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1"},
        )
        assert result.returncode == 0, result.stderr
        assert "_UNIMRI_COMPLETE" in result.stdout


def test_a_word_is_completed():
    environment = os.environ | {"_UNIMRI_COMPLETE": "complete_bash", "COMP_WORDS": "unimri ins", "COMP_CWORD": "1"}
    result = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        capture_output=True,
        text=True,
        check=False,
        env=environment,
    )
    assert result.stdout.split() == ["inspect"]
