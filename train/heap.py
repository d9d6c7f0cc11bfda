"""Memory that was freed, on Linux: the command keeps it for the next step (see __main__.py), and hands it back where
the process grows.

What is allocated between two dispatches may come to lie in the place of the gigabytes that each of them takes, and then
they take another one: a large network's process grew to three times what one dispatch needs.
"""

import contextlib
import ctypes
import os
import time

GROWTH = 1.25  # a process is too large beyond its usual size times this,
SLACK = 256 * 2**20  # and beyond so many bytes more
SECONDS = 10.0  # at least, between two times that memory is handed back: it takes about a second for 8 GB


class Heap:
    """How large the process usually is after a dispatch."""

    def __init__(self):
        self.usual, self.last = 0, -SECONDS

    def look(self) -> None:
        """After a dispatch: hands all free memory back where the process has grown since the first one."""
        size, now = resident(), time.monotonic()
        if not self.usual:
            self.usual = size
        elif size > GROWTH * self.usual + SLACK and now - self.last > SECONDS:
            hand_back()
            self.usual, self.last = 0, now


def resident() -> int:
    """Bytes of the process in memory; 0 where the system does not tell."""
    try:
        with open("/proc/self/statm") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return 0


def hand_back() -> None:
    """Returns all free memory of glibc's heap to the system."""
    with contextlib.suppress(OSError, AttributeError, TypeError):  # no glibc
        ctypes.CDLL(None).malloc_trim(0)
