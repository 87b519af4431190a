"""Starting the processes of a training with torchrun's launcher, and what each of them says."""

import logging
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch.distributed as dist
from torch.distributed.elastic.multiprocessing.api import SignalException
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
from torch.distributed.run import parse_args, run

from unimri.training.distributed import ElsewhereError
from unimri.training.interruption import SIGNALS, InterruptedTraining


def is_launched() -> bool:
    """This process is one of those that torchrun has started."""
    return dist.is_torchelastic_launched()


def launch(processes: int, threads: int, arguments: Sequence[str]) -> int:
    """Run `unimri` with `arguments` in several processes on this machine.

    Returns
    -------
    Exit status: that of the process that failed first, as a shell tells it; 143 when a signal stopped them all.
    """
    os.environ.setdefault("OMP_NUM_THREADS", str(threads))
    # Each process says itself, in one line, why it stops.
    logging.getLogger("torch.distributed").setLevel(logging.CRITICAL)
    options = ["--standalone", "--local-addr=localhost", f"--nproc-per-node={processes}"]
    options += [f"--signals-to-handle={','.join(number.name for number in SIGNALS)}"]
    try:
        run(parse_args([*options, "--module", "unimri.cli", *arguments]))  # type: ignore[no-untyped-call]
    except SignalException:
        return InterruptedTraining.status
    except ChildFailedError as error:
        _, failure = error.get_first_failure()
        return failure.exitcode if failure.exitcode >= 0 else 128 - failure.exitcode
    return 0


@contextmanager
def quiet_followers() -> Iterator[None]:
    """Let the first of several processes speak for all, but each for faults that it alone has.

    Raises
    ------
    SystemExit : in a process that has stopped because another one did.
    """
    if int(os.environ.get("RANK", "0")) > 0 and is_launched():
        logging.getLogger("unimri").setLevel(logging.ERROR)
    try:
        yield
    except ElsewhereError:
        sys.exit(1)
