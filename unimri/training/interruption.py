"""Being told to stop, by a scheduler or a person, and stopping where the training can go on later."""

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from torch.distributed import is_torchelastic_launched

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
        self._launcher = os.getppid() if is_torchelastic_launched() else None

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
