"""The `purezoo` command: settles how the process works before jax is imported; the rest is in train/cli.py."""

import ctypes
import logging
import os
import sys
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

YNNPACK = "--xla_cpu_experimental_ynn_fusion_type"  # what XLA leaves to that library


def main() -> None:
    """The entry point of `purezoo` and `python -m purezoo`."""
    keep_freed_memory()
    convolve_on_all_cores()
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


def convolve_on_all_cores() -> None:
    """Tells XLA to leave the convolutions on a CPU to Eigen: those of YNNPACK, the default of jaxlib 0.10, occupy one
    core for each 64 output channels.

    Does nothing where XLA_FLAGS says what YNNPACK is for, or names a file, nor with another jaxlib or a TPU's library:
    a flag that one does not know ends the process.
    """
    flags = os.environ.get("XLA_FLAGS", "").strip()
    settled = YNNPACK in flags or (flags and not flags.startswith("--"))
    if version("jaxlib").startswith("0.10.") and not settled and not find_spec("libtpu"):
        os.environ["XLA_FLAGS"] = f"{flags} {YNNPACK}=-individual_convolution".strip()


if __name__ == "__main__":
    main()
