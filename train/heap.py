"""Memory that was freed, on Linux: the command keeps it for the next step (see __main__.py), and hands it back at times."""

import contextlib
import ctypes


def hand_back() -> None:
    """Returns all free memory of glibc's heap to the system; elsewhere it does nothing.

    What is allocated between two dispatches splits the place of the gigabytes that each of them takes, so that the heap
    of a long training would grow to a multiple of what is in use. The next dispatch asks for its memory anew, which
    takes it about a second for 8 GB.
    """
    with contextlib.suppress(OSError, AttributeError, TypeError):  # no glibc
        ctypes.CDLL(None).malloc_trim(0)
