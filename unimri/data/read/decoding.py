"""Compressed DICOM pixels, decoded in another process that may crash or hang."""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Timer
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unimri.data.read import decoder
from unimri.data.read.error import AGAIN, ReadError

# Of one frame: far above the seconds that the largest take, since a machine may be busy.
TIME_LIMIT = 120.0


class Decoding:
    """A process that decodes; it starts with the first file and serves until `close`."""

    def __init__(self, time_limit: float = TIME_LIMIT) -> None:
        self._time_limit = time_limit
        self._process: subprocess.Popen[bytes] | None = None

    def frames(self, path: Path, frames: int, shape: tuple[int, int]) -> Iterator[NDArray[Any]]:
        """Decode a file of a transfer syntax that `decoder.PLUGINS` has.

        Parameters
        ----------
        path : the file.
        frames, shape : how many its header declares, of how many rows and columns.

        Returns
        -------
        Each frame in stored order: (rows, columns), of the stored dtype.

        Raises
        ------
        ReadError
            When the file cannot be decoded, or the decoder crashes or takes longer than the time limit for a frame.
        """
        process = self._started()
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            process.stdin.write(json.dumps(str(path.absolute())).encode() + b"\n")
            process.stdin.flush()
            for _ in range(frames):
                with _killing(process, self._time_limit):
                    dtype, *found = json.loads(process.stdout.readline())
                    content = process.stdout.read(np.dtype(dtype).itemsize * shape[0] * shape[1])
                if tuple(found) != shape:
                    raise ValueError("another size than declared")
                yield np.frombuffer(content, dtype).reshape(shape)
        # A crash ends the answer early and breaks the pipe; `null` in its place is no list.
        except (OSError, ValueError, TypeError) as error:
            self.close()
            raise ReadError(path, "its pixel data cannot be decoded", AGAIN) from error

    def close(self) -> None:
        """End the process; the next file starts another."""
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
            self._process = None

    def _started(self) -> subprocess.Popen[bytes]:
        if self._process is None:
            # -P: the folder of the script holds modules that must not hide others of the same name.
            self._process = subprocess.Popen(
                [sys.executable, "-P", decoder.__file__],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
            )
        return self._process


@contextmanager
def _killing(process: subprocess.Popen[bytes], seconds: float) -> Iterator[None]:
    """Kill a process that takes too long, which ends the waiting for its answer."""
    timer = Timer(seconds, process.kill)
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
