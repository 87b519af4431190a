"""`unimri train` in processes that are quick to start: forks of one that has imported torch."""

import multiprocessing
import os
import socket
import sys
from collections.abc import Mapping, Sequence
from multiprocessing import forkserver
from multiprocessing.process import BaseProcess
from pathlib import Path

import pytest

from unimri.core.artifacts import sha256
from unimri.training.run import Files
from unimri.training.settings import TrainingTask

# What each stage is trained on in the tests.
ANATOMIES = {
    "independent": ["head"],
    "shared": ["head", "hand"],
    "pretrained": ["head", "hand"],
    "distilled": ["head", "hand"],
    "continued": ["head", "hand"],
    "adapted": ["hip"],
}

_context = multiprocessing.get_context("forkserver")
_context.set_forkserver_preload(["warm"])


def start_server() -> None:
    """Start the process that the others are forked of."""
    with pytest.MonkeyPatch.context() as patch:
        # Python 3.11 does not tell its fork server where modules are to be found.
        patch.setenv("PYTHONPATH", os.pathsep.join([str(Path(__file__).parent), *sys.path]))
        forkserver.ensure_running()


def tree(folder: Path) -> dict[str, str]:
    """Digest of every file in a folder."""
    return {str(path.relative_to(folder)): sha256(path) for path in sorted(folder.rglob("*")) if path.is_file()}


def arguments(task: TrainingTask, files: Files, output: Path, checkpoints: Path, *more: str) -> list[str]:
    """What the rules give to `unimri`."""
    given = ["train", str(files.mask), "--task", task.model_dump_json(), "--output", str(output)]
    given += ["--checkpoints", str(checkpoints), *more]
    given += [f"--data={name}={folder}" for name, folder in files.data.items()]
    given += [f"--teacher={name}={folder}" for name, folder in (files.teachers or {}).items()]
    return given + (["--base", str(files.base)] if files.base else [])


def start(
    given: Sequence[str], log: Path, environment: dict[str, str] | None = None, crash: int | None = None
) -> BaseProcess:
    """Start `unimri` in a process of its own; `crash`: die before file operation number `crash` (from 1)."""
    start_server()
    process = _context.Process(target=_run, args=(list(given), log, environment or {}, crash))
    process.start()
    return process


def start_group(
    given: Sequence[str], size: int, log: Path, others: Mapping[int, Sequence[str]] | None = None
) -> list[BaseProcess]:
    """Start it in `size` processes that find the environment that torchrun makes.

    The logs' names end in the ranks. `others`: ranks that are given other arguments.
    """
    return [
        start((others or {}).get(rank, given), log.with_name(f"{log.name}{rank}"), environment)
        for rank, environment in enumerate(group_environments(size))
    ]


def group_environments(size: int) -> list[dict[str, str]]:
    """What torchrun sets in each of `size` processes."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    common = {"TORCHELASTIC_RUN_ID": "test", "WORLD_SIZE": size, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    return [
        {name: str(value) for name, value in (common | {"RANK": rank, "LOCAL_RANK": rank}).items()}
        for rank in range(size)
    ]


def finish(*processes: BaseProcess) -> list[int | None]:
    """Their exit statuses, when they have ended."""
    for process in processes:
        process.join(60)
    return [process.exitcode for process in processes]


def _run(given: list[str], log: Path, environment: dict[str, str], crash: int | None) -> None:
    from unimri.cli.__main__ import main

    os.environ.update(environment)
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    sys.stdout, sys.stderr = os.fdopen(1, "w", buffering=1), os.fdopen(2, "w", buffering=1)
    sys.argv = ["unimri", *given]
    if crash is not None:
        sys.addaudithook(_Crash(crash, log.parent))
    main()


class _Crash:
    """Ends the process, without any cleaning up, before an operation on a file or folder that is written to."""

    def __init__(self, number: int, folder: Path) -> None:
        self.left, self.folders = number, tuple(str(folder / name) for name in ("output", "checkpoints"))

    def __call__(self, event: str, details: tuple[object, ...]) -> None:
        reads = event == "open" and details[1] in ("r", "rb")
        if (
            event in ("open", "os.rename", "os.remove", "os.mkdir")
            and not reads
            and str(details[0]).startswith(self.folders)
        ):
            self.left -= 1
            if self.left == 0:
                os._exit(137)
