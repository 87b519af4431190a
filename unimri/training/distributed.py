"""Several processes that train one network: each takes its share of every batch, and all make the same step.

torchrun's launcher starts them. Each joins the others, and takes a GPU that no other training has. They stop together,
when a scheduler or a person tells one of them to.

Not `DistributedDataParallel`: it lays the gradients out anew after the first iteration, so that with three processes or
more a sum is rounded differently in a training that goes on from a checkpoint than in one that was never interrupted.
Told to look for unused parameters, which the ASPINs of S2 and S3 need, it does not, but then warns about every network
that has none. A network of 150,000 numbers has nothing to gain from overlapping communication with the backward pass.
"""

import hashlib
import logging
import os
import signal
import sys
import tempfile
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import FrameType

import numpy as np
import torch
import torch.distributed as dist
from filelock import BaseFileLock
from numpy.typing import NDArray
from torch import Tensor, nn

from unimri.core.errors import UnimriError
from unimri.core.locks import try_lock

log = logging.getLogger(__name__)

# What a scheduler sends before it kills, what it can be told to send earlier (SLURM's --signal), and Ctrl-C.
SIGNALS = (signal.SIGTERM, signal.SIGUSR1, signal.SIGINT)


class InterruptedTraining(Exception):  # noqa: N818, it is no error
    """A training stopped because it was told to; the message says where it goes on."""

    # As a shell tells of a process that SIGTERM ended: a scheduler takes it for a preemption and not for a fault.
    status = 128 + signal.SIGTERM


class Interruption:
    """Whether the process has been told to stop, or has lost the launcher that would tell it."""

    def __init__(self) -> None:
        self._noted = False
        self._launcher = os.getppid() if dist.is_torchelastic_launched() else None

    @property
    def requested(self) -> bool:
        """The training is to stop after the step in hand."""
        return self._noted or (self._launcher is not None and os.getppid() != self._launcher)

    def note(self, number: int, frame: FrameType | None) -> None:
        """Signal handler."""
        self._noted = True


@contextmanager
def noticing_signals() -> Iterator[Interruption]:
    """Note `SIGNALS` instead of dying of them; the handlers that were there come back at the end.

    Outside the main thread, where Python allows no handlers, nothing is noted.
    """
    interruption = Interruption()
    if threading.current_thread() is not threading.main_thread():
        yield interruption
        return
    before = {number: signal.signal(number, interruption.note) for number in SIGNALS}
    try:
        yield interruption
    finally:
        for number, handler in before.items():
            # None: a handler that was not installed from Python, and cannot be put back from it.
            signal.signal(number, signal.SIG_DFL if handler is None else handler)


class ElsewhereError(UnimriError):
    """Another process has failed, and says why."""


class ProcessGroup:
    """The processes of one training; a single one by default.

    Attributes
    ----------
    rank, size : number of this process (from 0), and how many there are.
    place : its number among those of its machine.
    """

    def __init__(self, rank: int = 0, size: int = 1, place: int = 0) -> None:
        self.rank, self.size, self.place = rank, size, place

    @property
    def leads(self) -> bool:
        """This is the process that writes and speaks for all."""
        return self.rank == 0

    def share(self, batch_size: int) -> slice:
        """Which places of a batch this process takes.

        Raises
        ------
        UnimriError : when the batch cannot be shared evenly.
        """
        count, rest = divmod(batch_size, self.size)
        if rest:
            raise UnimriError(
                f"training.optimisation.batch_size: {batch_size} cannot be shared evenly by {self.size} processes; "
                "choose a multiple of them, or other processes"
            )
        return slice(self.rank * count, (self.rank + 1) * count)

    def sum(self, numbers: Sequence[float] | NDArray[np.float64]) -> NDArray[np.float64]:
        """Sum over the processes, number by number. All must call it, with equally many."""
        total = torch.tensor(np.asarray(numbers, np.float64))
        self._add_up(total)
        return total.numpy()

    def average_gradients(self, parameters: Iterable[nn.Parameter]) -> None:
        """Give all processes the mean of their gradients: that of the whole batch's loss, their shares being equal.

        Parameters without a gradient (ASPINs of the anatomies whose turn it is not) are passed over: batches follow
        from the step, so that they are the same ones in every process.
        """
        if self.size == 1:
            return
        gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
        flat = torch.cat([gradient.flatten() for gradient in gradients])  # (numbers that learn,)
        self._add_up(flat)
        flat /= self.size
        for gradient, mean in zip(gradients, torch.split(flat, [g.numel() for g in gradients]), strict=True):
            gradient.copy_(mean.view(gradient.shape))

    def _add_up(self, tensor: Tensor) -> None:
        """Replace numbers by their sums over the processes."""
        if self.size == 1:
            return
        try:
            dist.all_reduce(tensor)
        except RuntimeError as error:
            raise UnimriError(
                f"process {self.rank} has lost another one; the same command goes on from the last checkpoint"
            ) from error

    @contextmanager
    def agreeing(self) -> Iterator[None]:
        """All go on after the body, or none does.

        Raises
        ------
        UnimriError : from the body, in the first process in which it is raised.
        ElsewhereError : in the other processes.
        """
        fault: UnimriError | None = None
        try:
            yield
        except UnimriError as error:
            fault = error
        failed = np.zeros(self.size)
        failed[self.rank] = fault is not None
        failed = self.sum(failed)
        if not failed.any():
            return
        if fault is not None and self.rank == failed.argmax():
            raise fault
        raise ElsewhereError(f"process {failed.argmax()} has failed, and says why")

    def check_same(self, text: str, what: str) -> None:
        """Raise UnimriError when a process has another text than the first one."""
        number = int.from_bytes(hashlib.sha256(text.encode()).digest()[:6])  # small enough to be exact in float64
        (first,) = self.sum([number if self.leads else 0])
        with self.agreeing():
            if number != first:
                raise UnimriError(f"process {self.rank} has {what} than the first; run the same in all")


@contextmanager
def join(device: str) -> Iterator[ProcessGroup]:
    """Join the processes that `torchrun` has started; a group of one when it has not.

    Parameters
    ----------
    device : cpu or cuda, where gradients are. They are averaged through gloo or nccl; all else goes through gloo, which
        needs no GPU to be chosen yet.
    """
    if not dist.is_torchelastic_launched():
        yield ProcessGroup()
        return
    dist.init_process_group("cpu:gloo,cuda:nccl" if device == "cuda" else "gloo")
    try:
        yield ProcessGroup(dist.get_rank(), dist.get_world_size(), int(os.environ["LOCAL_RANK"]))
    finally:
        dist.destroy_process_group()


@contextmanager
def placed(device: str, group: ProcessGroup) -> Iterator[torch.device]:
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
    with taking(names, folder, group) as number:
        gpu = torch.device("cuda", number)
        torch.cuda.set_device(gpu)
        yield gpu


@contextmanager
def taking(names: Sequence[str], folder: Path, group: ProcessGroup) -> Iterator[int]:
    """Take one of the GPUs that this process sees; while the body runs no other process takes it.

    It is the first one that is free. When there is none for some process of the group, all share GPUs with other
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
    UnimriError : when there are fewer GPUs than processes of this group on the machine.
    """
    with group.agreeing():
        if group.place >= len(names):
            raise UnimriError(
                f"processes: more than the {len(names)} GPUs of this machine; start one for each GPU that it has"
            )
    with ExitStack() as held:
        number, lock = _first_free(names, folder)
        if lock is not None:
            held.callback(lock.release)
        if group.sum([lock is None]).any():
            held.close()
            number = group.place
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


def launch(processes: int, threads: int, arguments: Sequence[str]) -> int:
    """Run `unimri` with `arguments` in several processes on this machine.

    Parameters
    ----------
    threads : of each process.

    Returns
    -------
    Exit status: that of the process that failed first, as a shell tells it; 143 when a signal stopped them all.
    """
    # Here, because the processes that it starts need none of this, and it takes a while to import.
    from torch.distributed.elastic.multiprocessing.api import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.run import parse_args, run

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
    leads = not dist.is_torchelastic_launched() or os.environ["RANK"] == "0"
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
