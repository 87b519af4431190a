"""Volumes that are read and written a few slices at a time, so that memory does not grow with their length."""

from collections.abc import Callable, Iterator, Sequence
from math import prod
from tempfile import SpooledTemporaryFile
from threading import Lock
from typing import IO, Any, Protocol, Self, cast, overload

import numpy as np
from numpy.typing import NDArray

# Of a new stack, in bytes: below it stays in memory, and above on the disk of the system's temporary folder.
IN_MEMORY = 2**24


class Stack(Protocol):
    """Slices of one volume: an array, or what reads or computes its slices when they are asked for."""

    @property
    def shape(self) -> tuple[int, ...]: ...

    def __len__(self) -> int: ...

    def __iter__(self) -> Iterator[Any]: ...

    @overload
    def __getitem__(self, part: int) -> Any: ...

    @overload
    def __getitem__(self, part: slice | Sequence[int]) -> NDArray[Any]: ...


class Lazy:
    """What is common to stacks that are no arrays."""

    shape: tuple[int, ...]

    def __len__(self) -> int:
        return self.shape[0]

    def __iter__(self) -> Iterator[NDArray[Any]]:
        return (self.one(number) for number in range(len(self)))

    def __getitem__(self, part: int | slice | Sequence[int]) -> NDArray[Any]:
        numbers = range(len(self))[part] if isinstance(part, (int, slice)) else part
        return self.one(numbers) if isinstance(numbers, int) else np.stack([self.one(number) for number in numbers])

    def one(self, number: int) -> NDArray[Any]:
        """A slice."""
        raise NotImplementedError


class Mapped(Lazy):
    """A function of each slice of a stack.

    Parameters
    ----------
    shape : of what the function gives, without the number of slices; None: as the stack's.
    """

    def __init__(
        self, stack: Stack, function: Callable[[NDArray[Any]], NDArray[Any]], shape: tuple[int, ...] | None = None
    ) -> None:
        self._stack, self._function = stack, function
        self.shape = stack.shape if shape is None else (len(stack), *shape)

    def one(self, number: int) -> NDArray[Any]:
        return self._function(self._stack[number])


class Picked(Lazy):
    """Slices of a stack in another order."""

    def __init__(self, stack: Stack, order: Sequence[int]) -> None:
        self._stack, self._order = stack, order
        self.shape = (len(order), *stack.shape[1:])

    def one(self, number: int) -> NDArray[Any]:
        slice_: NDArray[Any] = self._stack[self._order[number]]
        return slice_


class Slices(Lazy):
    """Slices that lie one after the other in an open file.

    Parameters
    ----------
    file : open for reading, and for writing where slices are put; it is closed with the last that uses it.
    shape, dtype : of the whole.
    offset : where it begins.
    """

    def __init__(self, file: IO[bytes], shape: tuple[int, ...], dtype: Any, offset: int = 0) -> None:
        self._file, self.shape, self.dtype, self._offset = file, shape, np.dtype(dtype), offset
        # A file has one place at which it is read and written.
        self._lock = Lock()

    @classmethod
    def new(cls, shape: tuple[int, ...], dtype: Any) -> Self:
        """A stack to fill. Its file has no name, so that it is gone with the program, however that ends."""
        return cls(cast(IO[bytes], SpooledTemporaryFile(IN_MEMORY)), shape, dtype)

    @classmethod
    def of(cls, stack: Stack, dtype: Any) -> Self:
        """The slices of another stack, computed and stored once."""
        result = cls.new(stack.shape, dtype)
        for number, slice_ in enumerate(stack):
            result[number] = slice_
        return result

    def append(self, values: NDArray[Any]) -> None:
        """Put a slice behind the others; the first tells how large they are."""
        self.shape = (len(self) + 1, *values.shape)
        self[len(self) - 1] = values

    def one(self, number: int) -> NDArray[Any]:
        with self._lock:
            size = self._place(number)
            content = bytearray(self._file.read(size))
        if len(content) < size:
            raise EOFError(f"{size - len(content)} bytes of a slice are missing")
        return np.frombuffer(content, self.dtype).reshape(self.shape[1:])

    def __setitem__(self, number: int, values: NDArray[Any]) -> None:
        with self._lock:
            self._place(number)
            self._file.write(np.ascontiguousarray(values, self.dtype).data)

    def _place(self, number: int) -> int:
        """Go to a slice; give its length in bytes."""
        size = prod(self.shape[1:]) * self.dtype.itemsize
        self._file.seek(self._offset + number * size)
        return size


def extremes(stack: Stack) -> tuple[float, float]:
    """The smallest and the largest value; NaN where there is any."""
    ends = np.array([(slice_.min(), slice_.max()) for slice_ in stack])
    return ends[:, 0].min(), ends[:, 1].max()


def in_memory(stack: Stack) -> NDArray[Any]:
    """All of a stack, as an array of one's own; an array is itself."""
    if isinstance(stack, np.ndarray):
        return stack
    first = stack[0]
    result = np.empty(stack.shape, first.dtype)
    for number, slice_ in enumerate(stack):
        result[number] = slice_
    return result
