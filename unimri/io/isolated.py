"""Reading with libraries that a damaged file can crash, hang or fill the memory with: in a process of its own."""

import os
import select
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from multiprocessing import get_context, parent_process
from multiprocessing.util import Finalize
from pathlib import Path
from threading import Lock
from typing import Any, TypeVar, cast

from pebble import ProcessExpired, ProcessPool

from unimri.core.errors import AGAIN, ReadError, UnimriError, unreadable
from unimri.io.notes import heard, note

if sys.platform == "linux":
    import fcntl
    import resource

T = TypeVar("T")

# Far above what any file takes, since a machine may be busy and a disk far away.
SECONDS = 120.0
BYTES_PER_SECOND = 1e6

# In bytes, and in bytes for each that the file has: HDF5 may believe 20 kB that speak of 20 GB.
MEMORY = 4 * 2**30
MEMORY_PER_BYTE = 32

# The process must have started by then; a file's own time begins after that.
STARTED = 120.0


class Worker:
    """A process that reads one file after the other.

    It starts with the first file, again after a file that has crashed or hung it, and ends with the program.

    Parameters
    ----------
    seconds, bytes_per_second : a file may take `seconds`, and as long as reading it at this speed does.
    """

    def __init__(self, seconds: float = SECONDS, bytes_per_second: float = BYTES_PER_SECOND) -> None:
        self._seconds, self._bytes_per_second = seconds, bytes_per_second
        self._pool: ProcessPool | None = None
        # One file at a time: none waits while its time runs.
        self._lock = Lock()

    def run(self, path: Path, reason: str, function: Callable[..., T], *arguments: Any) -> T:
        """Give what `function(path, *arguments)` returns.

        Parameters
        ----------
        path : of a file.
        reason : of the ReadError, should the function crash, hang or raise anything else than a ReadError.
        function, arguments : are pickled, and so is the result. The function is given the absolute path.

        Raises
        ------
        ReadError : that the function raised, or for `reason`. It names `path`.
        UnimriError : when the process cannot be started.
        """
        with self._lock:
            # What the pool raises when the process has ended before it took the file, which has not caused it.
            with suppress(RuntimeError):
                return self._result(path, reason, function, *arguments)
            try:
                return self._result(path, reason, function, *arguments)
            except RuntimeError as error:
                raise UnimriError(
                    f"{path}: the process that reads it does not start; a script must call `unimri` below "
                    '`if __name__ == "__main__":`'
                ) from error

    def close(self) -> None:
        """End the process; the next file starts another."""
        if self._pool is not None:
            self._end()
            self._pool = None

    def _result(self, path: Path, reason: str, function: Callable[..., T], *arguments: Any) -> T:
        size = _size(path)
        limit = self._seconds + size / self._bytes_per_second
        # The process stays in the folder that it was started in.
        call = (MEMORY + size * MEMORY_PER_BYTE, reason, function, path.absolute(), *arguments)
        try:
            # The second limit is for an answer that is lost on its way.
            result, notes = self._started().schedule(_guarded, call, timeout=limit).result(limit + STARTED)
        except ReadError as fault:
            raise ReadError(path, fault.reason, fault.mend) from fault
        # It has crashed or hung.
        except (ProcessExpired, TimeoutError) as error:
            self.close()
            raise ReadError(path, reason, AGAIN) from error
        except BaseException:
            self.close()
            raise
        for text in notes:
            note(path, text)
        return cast(T, result)

    def _started(self) -> ProcessPool:
        if self._pool is None:
            # Spawned and not forked: the program may have threads, and files open for writing.
            self._pool = ProcessPool(max_workers=1, initializer=_prepare, context=get_context("spawn"))
            # It ends with the program at the latest. pebble sees to that with `atexit`, which does not run in programs
            # that `multiprocessing` has started, and those wait for it. A fork of the program leaves it alone.
            self._end = Finalize(None, _end, [self._pool], exitpriority=1)
        return self._pool


_WORKER = Worker()


def isolated(path: Path, reason: str, function: Callable[..., T], *arguments: Any) -> T:
    """Run a function of a file in the one process that all readers share; see `Worker.run`."""
    return _WORKER.run(path, reason, function, *arguments)


def _end(pool: ProcessPool) -> None:
    pool.stop()
    pool.join()


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    # Whoever opens it tells what is wrong.
    except OSError:
        return 0


def _guarded(memory: int, reason: str, function: Callable[..., T], path: Path, *arguments: Any) -> tuple[T, list[str]]:
    """Give the result and the texts of its notes.

    Let no exception out but ReadError: others may not survive pickling.
    """
    try:
        if sys.platform == "linux":
            _, most = resource.getrlimit(resource.RLIMIT_DATA)
            resource.setrlimit(resource.RLIMIT_DATA, (memory if most < 0 else min(memory, most), most))
        with heard() as notes:
            result = function(path, *arguments)
        return result, notes
    except ReadError:
        raise
    except BaseException as error:
        raise unreadable(path, error, reason) from error


def _prepare() -> None:
    """What the process does first."""
    # Libraries written in C print what they meet in a file.
    silence = os.open(os.devnull, os.O_WRONLY)
    for stream in (1, 2):
        os.dup2(silence, stream)
    if sys.platform == "linux":
        # A crash leaves no copy of a scan.
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        parent = parent_process()
        assert parent is not None
        # A pipe that breaks when the program ends, however it does. The kernel then kills this process, whatever it is
        # at; a thread that watched the pipe would wait for C code that hangs and holds the interpreter's lock.
        pipe = parent.sentinel
        fcntl.fcntl(pipe, fcntl.F_SETOWN, os.getpid())
        fcntl.fcntl(pipe, fcntl.F_SETSIG, signal.SIGKILL)
        fcntl.fcntl(pipe, fcntl.F_SETFL, fcntl.fcntl(pipe, fcntl.F_GETFL) | os.O_ASYNC)
        # It may have broken before.
        if select.select([pipe], [], [], 0)[0]:
            os._exit(1)
