"""What the C library does with freed memory."""

import ctypes
import sys

# From glibc's malloc.h.
_TRIM_THRESHOLD, _MMAP_MAX = -1, -4


def keep_freed_memory() -> bool:
    """Let this process keep large tensors' memory for the next ones, instead of giving it back to the system.

    glibc maps every block above 32 MiB anew, and the kernel then clears it page by page at the first write: at 320 x
    320 that costs as much as a third of a convolution, for every tensor of a step. The process's memory does not shrink
    afterwards.

    Returns
    -------
    Whether it could be done: only with glibc.
    """
    if sys.platform != "linux":
        return False
    try:
        set_option = ctypes.CDLL(None).mallopt
    except AttributeError:
        return False
    return bool(set_option(_MMAP_MAX, 0)) and bool(set_option(_TRIM_THRESHOLD, 2**31 - 1))
