"""Which GPU a process takes: one that no other training of this user has on this machine."""

import logging
import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import torch
from filelock import BaseFileLock

from unimri.core.errors import UnimriError
from unimri.core.locks import try_lock
from unimri.training.distributed import Team

log = logging.getLogger(__name__)


@contextmanager
def placed(device: str, team: Team) -> Iterator[torch.device]:
    """What this process computes on while the body runs: the CPU, or a GPU of its own.

    Parameters
    ----------
    device : cpu or cuda.

    Raises
    ------
    UnimriError : when a machine has fewer GPUs than processes of this training.
    """
    if device == "cpu":
        yield torch.device("cpu")
        return
    # Names that stay when CUDA_VISIBLE_DEVICES numbers the GPUs anew.
    names = [str(torch.cuda.get_device_properties(number).uuid) for number in range(torch.cuda.device_count())]
    folder = Path(tempfile.gettempdir()) / f"unimri-gpus-{os.getuid()}"
    with taking(names, folder, team) as number:
        gpu = torch.device("cuda", number)
        torch.cuda.set_device(gpu)
        yield gpu


@contextmanager
def taking(names: Sequence[str], folder: Path, team: Team) -> Iterator[int]:
    """Take one of the GPUs that this process sees; while the body runs no other process takes it.

    It is the first one that is free. When there is none for some process of the team, all share GPUs with other
    trainings, each another one, counted from the first.

    Parameters
    ----------
    names : of the GPUs, each the same in every process that sees it.
    folder : of the locks, private to its user; it is made.

    Yields
    ------
    Place in `names`.

    Raises
    ------
    UnimriError : when there are fewer GPUs than processes of this team on the machine.
    """
    with team.agreeing():
        if team.place >= len(names):
            raise UnimriError(
                f"processes: more than the {len(names)} GPUs of this machine; start one for each GPU that it has"
            )
    with ExitStack() as held:
        number, lock = _first_free(names, folder)
        if lock is not None:
            held.callback(lock.release)
        if team.sum([lock is None]).any():
            held.close()
            number = team.place
            log.warning("GPU %s: shared with another training, for want of one that is known to be free", names[number])
        yield number


def _first_free(names: Sequence[str], folder: Path) -> tuple[int, BaseFileLock | None]:
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if folder.lstat().st_uid != os.getuid():
            raise PermissionError(None, "it is another user's")
        for number, name in enumerate(names):
            lock = try_lock(folder / f"{name}.lock")
            if lock is not None:
                return number, lock
    except OSError as fault:
        log.warning("%s: cannot tell which GPUs are taken (%s)", folder, fault.strerror)
    return 0, None
