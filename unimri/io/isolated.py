"""Reading with libraries that a damaged file can crash, hang or fill the memory with: in a process of its own.

The process imports this module and what it is asked to call, and not the program that started it, so that a script
needs no guard.
"""

import io
import os
import pickle
import select
import signal
import subprocess
import sys
from collections.abc import Callable
from multiprocessing.connection import Connection, Pipe
from multiprocessing.util import Finalize
from pathlib import Path
from threading import Lock
from typing import Any, TypeVar

import numpy as np

from unimri.core.errors import AGAIN, ReadError, UnimriError, unreadable
from unimri.core.stacks import Slices
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

# Not `-m`, which would let the working folder's files stand in for Python's own modules.
_PROGRAM = "import sys; sys.path[:] = {path!r}; from unimri.io.isolated import serve; serve({link}, {alive})"


class _Process:
    """A process that runs `serve`, and the line to it.

    It ends with the program, however that ends: it has one end of a pipe whose other end is the program's alone.
    """

    def __init__(self) -> None:
        self.link, other = Pipe()
        alive, self._alive = os.pipe()
        # As they are here. A blank one is the folder that the program works in.
        path = [entry or str(Path.cwd()) for entry in sys.path if isinstance(entry, str)]
        program = _PROGRAM.format(path=path, link=other.fileno(), alive=alive)
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-c", program], stdin=subprocess.DEVNULL, pass_fds=(other.fileno(), alive)
            )
        finally:
            other.close()
            os.close(alive)
        # At the latest when the program ends. A fork of the program leaves it alone.
        self._end = Finalize(self, _end, [self._process, self.link, self._alive], exitpriority=1)
        self.owner = os.getpid()

    def ask(self, message: bytes) -> None:
        """Hand a call over; EOFError or OSError when the process has not taken it."""
        self.link.send_bytes(message)
        self.wait()

    def wait(self) -> None:
        """Wait for a sign of life."""
        if not self.link.poll(STARTED):
            raise EOFError
        self.link.recv_bytes()

    def end(self) -> None:
        self._end()


def _end(process: "subprocess.Popen[bytes]", link: Connection, alive: int) -> None:
    process.kill()
    process.wait()
    link.close()
    os.close(alive)


class Worker:
    """A process that reads one file after the other.

    It starts with the first file, again after a file that has crashed or hung it, and ends with the program.

    Parameters
    ----------
    seconds, bytes_per_second : a file may take `seconds`, and as long as reading it at this speed does.
    """

    def __init__(self, seconds: float = SECONDS, bytes_per_second: float = BYTES_PER_SECOND) -> None:
        self._seconds, self._bytes_per_second = seconds, bytes_per_second
        self._process: _Process | None = None
        # One file at a time: none waits while its time runs.
        self._lock = Lock()

    def run(self, path: Path, reason: str, function: Callable[..., T], *arguments: Any) -> T:
        """Give what `function(path, *arguments)` returns.

        Parameters
        ----------
        path : of a file.
        reason : of the ReadError, should the function crash, hang or raise anything else than a ReadError.
        function, arguments : are pickled, and so is the result: the function must be of a module that can be imported.
            It is given the absolute path. `Slices` in the result come one at a time.

        Raises
        ------
        ReadError : that the function raised, or for `reason`. It names `path`.
        UnimriError : when the process cannot be started, or cannot import the function.
        """
        size = _size(path)
        # The process stays in the folder that it was started in.
        call = (MEMORY + size * MEMORY_PER_BYTE, reason, function, path.absolute(), *arguments)
        message = pickle.dumps(call)
        with self._lock:
            try:
                process = self._asked(path, message)
                if not process.link.poll(self._seconds + size / self._bytes_per_second):
                    raise TimeoutError
                (fault, value, notes), stacks = _unpickled(process.link.recv_bytes())
                for stack in stacks:
                    for number in range(len(stack)):
                        if not process.link.poll(self._seconds):
                            raise TimeoutError
                        slice_ = np.frombuffer(process.link.recv_bytes(), stack.dtype)
                        try:
                            stack[number] = slice_
                        except OSError as error:
                            self.close()
                            raise unreadable(path, error, reason) from error
            # It has hung or crashed.
            except (EOFError, OSError) as error:
                self.close()
                raise ReadError(path, reason, AGAIN) from error
            except BaseException:
                self.close()
                raise
        if isinstance(fault, ReadError):
            raise ReadError(path, fault.reason, fault.mend)
        if fault is not None:
            raise UnimriError(f"{path}: its reader cannot be imported ({fault}); put it into a module of its own")
        for text in notes:
            note(path, text)
        return value

    def close(self) -> None:
        """End the process; the next file starts another."""
        if self._process is not None:
            self._process.end()
            self._process = None

    def _asked(self, path: Path, message: bytes) -> _Process:
        """A process that has taken the call: another one where the first has ended before, which is no file's fault."""
        for _ in range(2):
            try:
                if self._process is None or self._process.owner != os.getpid():
                    self._process = _Process()
                    self._process.wait()
                self._process.ask(message)
                return self._process
            except (EOFError, OSError) as error:
                self.close()
                fault = error
        raise UnimriError(f"{path}: the process that reads it does not start; see `unimri doctor`") from fault


_WORKER = Worker()


def isolated(path: Path, reason: str, function: Callable[..., T], *arguments: Any) -> T:
    """Run a function of a file in the one process that all readers share; see `Worker.run`."""
    return _WORKER.run(path, reason, function, *arguments)


def serve(link: int, alive: int) -> None:
    """What the process does: answer call after call. The numbers are of open files; see `_Process`."""
    _prepare(alive)
    calls = Connection(link)
    calls.send_bytes(b"ready")
    while True:
        try:
            message = calls.recv_bytes()
        except EOFError:
            return
        _answer(calls, message)


def _answer(calls: Connection, message: bytes) -> None:
    """Do one call. What it has read is gone afterwards, from the disk too."""
    try:
        call = pickle.loads(message)
    except Exception as error:
        calls.send_bytes(b"taken")
        calls.send_bytes(pickle.dumps((str(error), None, [])))
        return
    # Only now does the file's time begin: to import what reads it may take seconds.
    calls.send_bytes(b"taken")
    stacks: list[Slices] = []
    try:
        answer, stacks = _guarded(*call)
    except ReadError as fault:
        answer = pickle.dumps((fault, None, []))
    calls.send_bytes(answer)
    for stack in stacks:
        for slice_ in stack:
            calls.send_bytes(slice_.data.cast("B"))


class _Pickler(pickle.Pickler):
    """Leaves out the values of slices, which may be more than the memory holds."""

    def __init__(self, file: io.BytesIO) -> None:
        super().__init__(file, protocol=5)
        self.stacks: list[Slices] = []

    def persistent_id(self, value: Any) -> tuple[tuple[int, ...], str] | None:
        """What makes a stack of the same kind."""
        if not isinstance(value, Slices):
            return None
        self.stacks.append(value)
        return value.shape, value.dtype.str


class _Unpickler(pickle.Unpickler):
    """Makes room for the values of slices."""

    def __init__(self, file: io.BytesIO) -> None:
        super().__init__(file)
        self.stacks: list[Slices] = []

    def persistent_load(self, key: tuple[tuple[int, ...], str]) -> Slices:
        """A stack to fill."""
        self.stacks.append(Slices.new(*key))
        return self.stacks[-1]


def _pickled(value: Any) -> tuple[bytes, list[Slices]]:
    file = io.BytesIO()
    pickler = _Pickler(file)
    pickler.dump(value)
    return file.getvalue(), pickler.stacks


def _unpickled(answer: bytes) -> tuple[Any, list[Slices]]:
    unpickler = _Unpickler(io.BytesIO(answer))
    return unpickler.load(), unpickler.stacks


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    # Whoever opens it tells what is wrong.
    except OSError:
        return 0


def _guarded(
    memory: int, reason: str, function: Callable[..., T], path: Path, *arguments: Any
) -> tuple[bytes, list[Slices]]:
    """Pickle None (for no fault), what the function returns, and its notes; the slices that are to follow.

    No exception gets out but ReadError: others may not survive pickling.
    """
    try:
        if sys.platform == "linux":
            _, most = resource.getrlimit(resource.RLIMIT_DATA)
            resource.setrlimit(resource.RLIMIT_DATA, (memory if most < 0 else min(memory, most), most))
        with heard() as notes:
            result = function(path, *arguments)
        return _pickled((None, result, notes))
    except ReadError:
        raise
    except BaseException as error:
        raise unreadable(path, error, reason) from error


def _prepare(alive: int) -> None:
    """What the process does first."""
    # Libraries written in C print what they meet in a file.
    silence = os.open(os.devnull, os.O_WRONLY)
    for stream in (1, 2):
        os.dup2(silence, stream)
    # The program has it too, and ends this process.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if sys.platform == "linux":
        # A crash leaves no copy of a scan.
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        # A pipe that breaks when the program ends, however it does. The kernel then kills this process, whatever it is
        # at; a thread that watched the pipe would wait for C code that hangs and holds the interpreter's lock.
        fcntl.fcntl(alive, fcntl.F_SETOWN, os.getpid())
        fcntl.fcntl(alive, fcntl.F_SETSIG, signal.SIGKILL)
        fcntl.fcntl(alive, fcntl.F_SETFL, fcntl.fcntl(alive, fcntl.F_GETFL) | os.O_ASYNC)
        # It may have broken before.
        if select.select([alive], [], [], 0)[0]:
            os._exit(1)
