"""What a damaged file can make a library do, each as a function of a file to run in another process.

A module of its own, since that process imports it.
"""

import collections
import ctypes
import itertools
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from unimri.core.stacks import Slices


def crash(*_: Any, **__: Any) -> None:
    os.kill(os.getpid(), signal.SIGSEGV)


def crash_at_b(path: Path, *_: Any) -> np.ndarray:
    if path.name == "b.h5":
        crash()
    return np.arange(128, dtype=np.float32).reshape(2, 8, 8)


def read_from_nowhere(_: Path) -> None:
    ctypes.string_at(0)


def leave(_: Path) -> None:
    os._exit(1)


def stop(_: Path) -> None:
    sys.exit("stopped")


def doze(_: Path, seconds: float = 1000) -> float:
    time.sleep(seconds)
    return seconds


def hang(*_: Any) -> None:
    doze(Path())


def spin(_: Path) -> None:
    """In C, where no signal's handler and no other thread gets a turn."""
    collections.deque(itertools.repeat(None), maxlen=0)


def take(_: Path, count: int) -> int:
    return len(np.empty(count, np.uint8))


class Stalled(Slices):
    """Its second slice never comes."""

    def one(self, number: int) -> np.ndarray:
        if number:
            time.sleep(1000)
        return super().one(number)


def stall(_: Path) -> Slices:
    return Stalled.of(np.ones((3, 2, 2), np.float32), np.float32)


class StrangeError(Exception):
    """Can be pickled, and not be made again of it."""

    def __init__(self, one: int, other: int) -> None:
        super().__init__(one)


def fail(_: Path) -> None:
    raise StrangeError(1, 2)


def shout(_: Path) -> None:
    print("printed")
    sys.stderr.write("written")
    sys.stdout.flush()
    for stream in (1, 2):
        os.write(stream, b"from C")
