"""Several processes that train one network: each takes its part of every batch, and all make the same step.

Not `DistributedDataParallel`: it lays the gradients out anew after the first iteration, so that with three processes or
more a sum is rounded differently in a training that goes on from a checkpoint than in one that was never interrupted.
Told to look for unused parameters, which the ASPINs of S2 and S3 need, it does not, but then warns about every network
that has none. A network of 150,000 numbers has nothing to gain from overlapping communication with the backward pass.
"""

import hashlib
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import torch
import torch.distributed as dist
from numpy.typing import NDArray
from torch import Tensor, nn

from unimri.core.errors import UnimriError


class ElsewhereError(UnimriError):
    """Another process has failed, and says why."""


class Team:
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

    def part(self, batch_size: int) -> slice:
        """Which places of a batch this process takes.

        Raises
        ------
        UnimriError : when the batch cannot be shared evenly.
        """
        share, rest = divmod(batch_size, self.size)
        if rest:
            raise UnimriError(
                f"training.optimisation.batch_size: {batch_size} cannot be shared evenly by {self.size} processes; "
                "choose a multiple of them, or other processes"
            )
        return slice(self.rank * share, (self.rank + 1) * share)

    def sum(self, numbers: Sequence[float] | NDArray[np.float64]) -> NDArray[np.float64]:
        """Sum over the processes, number by number. All must call it, with equally many."""
        total = torch.tensor(np.asarray(numbers, np.float64))
        self._add_up(total)
        return total.numpy()

    def average_gradients(self, parameters: Iterable[nn.Parameter]) -> None:
        """Give all processes the mean of their gradients: that of the whole batch's loss, their parts being equal.

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
                raise UnimriError(f"process {self.rank} has {what} than the first; run the same on every node")


@contextmanager
def join(device: str) -> Iterator[Team]:
    """Join the processes that `torchrun` has started; a team of one when it has not.

    Parameters
    ----------
    device : cpu or cuda, where gradients are. They are averaged through gloo or nccl; all else goes through gloo, which
        needs no GPU to be chosen yet.
    """
    if not dist.is_torchelastic_launched():
        yield Team()
        return
    dist.init_process_group("cpu:gloo,cuda:nccl" if device == "cuda" else "gloo")
    try:
        yield Team(dist.get_rank(), dist.get_world_size(), int(os.environ["LOCAL_RANK"]))
    finally:
        dist.destroy_process_group()
