"""Starting the processes of a training with torchrun's launcher, and what each of them says."""

import logging
import os
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch.distributed as dist
from torch.distributed.elastic.multiprocessing.api import SignalException
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
from torch.distributed.run import parse_args, run

from unimri.training.checkpoints import SIGNALS, InterruptedTraining
from unimri.training.distributed import ElsewhereError


def is_launched() -> bool:
    """This process is one of those that torchrun has started."""
    return dist.is_torchelastic_launched()


def launch(processes: int, threads: int, arguments: Sequence[str]) -> int:
    """Run `unimri` with `arguments` in several processes on this machine.

    Parameters
    ----------
    threads : of each process.

    Returns
    -------
    Exit status: that of the process that failed first, as a shell tells it; 143 when a signal stopped them all.
    """
    os.environ.setdefault("OMP_NUM_THREADS", str(threads))
    # Each process says itself, in one line, why it stops.
    logging.disable()
    options = [f"--nproc-per-node={processes}", "--standalone", "--local-addr=localhost"]
    options += [f"--signals-to-handle={','.join(number.name for number in SIGNALS)}"]
    try:
        run(parse_args([*options, "--module", "unimri.cli", *arguments]))  # type: ignore[no-untyped-call]
    except SignalException:
        return InterruptedTraining.status
    except ChildFailedError as error:
        rank, failure = error.get_first_failure()
        if failure.exitcode >= 0:
            return failure.exitcode
        name = signal.Signals(-failure.exitcode).name
        print(
            f"unimri: {name} ended process {rank}; the same command goes on from the last checkpoint", file=sys.stderr
        )
        return 128 - failure.exitcode
    return 0


@contextmanager
def one_voice() -> Iterator[None]:
    """Let the first of several processes speak for all, except for faults that another one has.

    Raises
    ------
    SystemExit : with status 143 when the training was interrupted, 1 when another process has failed.
    """
    leads = not is_launched() or os.environ["RANK"] == "0"
    if not leads:
        logging.getLogger("unimri").setLevel(logging.ERROR)
    try:
        yield
    except InterruptedTraining as stop:
        if leads:
            print(f"unimri: {stop}", file=sys.stderr)
        sys.exit(stop.status)
    except ElsewhereError:
        sys.exit(1)
