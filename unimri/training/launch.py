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

from unimri.core.errors import UnimriError
from unimri.training.distributed import ElsewhereError
from unimri.training.interruption import SIGNALS, InterruptedTraining
from unimri.training.nodes import meeting_place


def is_launched() -> bool:
    """This process is one of those that torchrun has started."""
    return dist.is_torchelastic_launched()


def launch(nodes: int, processes: int, threads: int, arguments: Sequence[str]) -> int:
    """Run `unimri` with `arguments` in several processes on this machine, and join them with those of other nodes.

    Parameters
    ----------
    nodes : on how many this is called, with the same arguments; see `unimri.training.nodes.meeting_place`.
    processes : on this node.
    threads : of each process.

    Returns
    -------
    Exit status: that of the process of this node that failed first, as a shell tells it; 143 when a signal stopped
    them all.

    Raises
    ------
    UnimriError : when nothing says where the nodes are, or they do not meet.
    """
    meeting = meeting_place(os.environ, nodes) if nodes > 1 else None
    os.environ.setdefault("OMP_NUM_THREADS", str(threads))
    # Each process says itself, in one line, why it stops.
    logging.disable()
    options = [f"--nproc-per-node={processes}"]
    if meeting is None:
        options += ["--standalone", "--local-addr=localhost"]
    else:
        # Not c10d: there the nodes' numbers, and with them who writes, would follow from the order of their names.
        options += [f"--nnodes={nodes}", f"--node-rank={meeting.node}", f"--rdzv-id={meeting.name}"]
        options += [f"--master-addr={meeting.host}", f"--master-port={meeting.port}"]
    options += [f"--signals-to-handle={','.join(number.name for number in SIGNALS)}"]
    try:
        run(parse_args([*options, "--module", "unimri.cli", *arguments]))  # type: ignore[no-untyped-call]
    except SignalException:
        return InterruptedTraining.status
    except dist.DistError as error:
        if meeting is None:
            raise
        raise UnimriError(
            f"nodes: node {meeting.node} of {nodes} has not met the others at {meeting.host}:{meeting.port}; "
            f"start the same command on each, or name a free port in MASTER_PORT ({str(error).splitlines()[0]})"
        ) from None
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
