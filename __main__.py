"""The `purezoo` command: settles how the process works before jax is imported; the rest is in train/cli.py."""

import ctypes
import logging
import os
import sys
from pathlib import Path


def main() -> None:
    """The entry point of `purezoo` and `python -m purezoo`."""
    keep_freed_memory()
    cache_folder = Path(
        os.environ.get("PUREZOO_CACHE") or Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache") / "purezoo"
    )
    os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(cache_folder.expanduser() / "xla"))
    os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")
    os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES", "-1")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # XLA's notes are not for those who train
    notes = logging.getLogger(__package__)
    notes.addHandler(logging.StreamHandler())
    notes.propagate = False  # to handlers that libraries add, which would say it again in another form
    from .train.cli import run

    sys.exit(run(sys.argv[1:]))


def keep_freed_memory() -> None:
    """Tells glibc to keep memory that is freed: handing it back costs a training step thousands of page faults.

    PUREZOO_MALLOC=0 turns it off. Elsewhere than on glibc it does nothing.
    """
    if os.environ.get("PUREZOO_MALLOC") == "0" or not sys.platform.startswith("linux"):
        return
    trim_threshold, top_pad, mmap_max, arena_max = -1, -2, -4, -8  # M_... in glibc's malloc.h
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return
    for parameter, value in ((mmap_max, 0), (trim_threshold, -1), (top_pad, 256 * 2**20), (arena_max, 1)):
        mallopt(parameter, value)


if __name__ == "__main__":
    main()
