"""What a source gives before anything is split or standardised, and the checks that every source shares."""

import os
from typing import NamedTuple

import numpy as np

from ...errors import UserError
from .examples import Ragged


class Raw(NamedTuple):
    """The examples of a source, those of its own splits one after another in the order of `sizes`."""

    x: np.ndarray | Ragged  # [N, D] float32, [N, T, D] float32, or [N, H, W, C] uint8 or float32
    # [N] class indices (where `classes` are given), integers, floats or strings; [N, K] numbers; or [N, H, W] uint8
    y: np.ndarray
    sizes: dict[str, int]  # "train" and, where the source has them, "validation" and "test": number of examples
    classes: tuple[str, ...] = ()  # names of the classes where the source knows them
    features: tuple[str, ...] = ()  # names of the columns of x; () for images
    targets: tuple[str, ...] = ()  # names of the target columns; () where y can only be classes
    pixel_max: float = 0.0  # the value of white in an image; 0 for tables
    rate: int = 0  # of recordings, in Hz
    skipped: tuple[int, ...] = ()  # numbers of the pictures that could not be read and were left out


def as_examples(x: np.ndarray, what: str) -> np.ndarray:
    """Numbers [N, D], [N, H, W] or [N, H, W, C] as [N, D] float32 or [N, H, W, C], uint8 or float32.

    Raises UserError, naming `what` and the first bad row, where the shape or a value does not fit.
    """
    if x.dtype.kind not in "buif":
        raise UserError(f"{what} holds {x.dtype} values where numbers are needed.")
    if x.ndim not in (2, 3, 4) or 0 in x.shape:
        raise UserError(
            f"{what} has the shape {list(x.shape)}: tables are [N, D], images [N, H, W] or [N, H, W, C], and "
            "none of these may be 0."
        )
    if x.ndim == 3:
        x = x[..., None]
    if not (x.ndim == 4 and x.dtype == np.uint8):
        with np.errstate(over="ignore"):  # too large for float32 becomes infinite, which is refused below
            x = x.astype(np.float32, copy=False)
    check_finite(x, what)
    return x


def check_finite(x: np.ndarray, what: str) -> None:
    """UserError naming the first row of `x` [N, ...] with a NaN or an infinite value."""
    if x.dtype.kind == "f" and not np.isfinite(x).all():
        row, *place = np.argwhere(~np.isfinite(x))[0].tolist()
        raise UserError(
            f"{what} holds {x[(row, *place)]} in row {row}, at {place} (counted from 0): "
            "missing and infinite values must be filled in or removed first."
        )


def check_memory(size: int, what: str) -> None:
    """UserError where `size` bytes are more than this machine's memory: refused before anything is allocated."""
    if "SC_PHYS_PAGES" not in getattr(os, "sysconf_names", {}):  # Windows does not say
        return
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    if size > memory:
        raise UserError(
            f"{what} needs {size / 2**30:,.1f} GiB, and this machine's memory is {memory / 2**30:,.1f} GiB."
        )


def white(x: np.ndarray) -> float:
    """The likely value of white in images: 1 or 255, whichever holds all of `x`, or else its maximum."""
    highest = float(x.max())
    return next((limit for limit in (1.0, 255.0) if highest <= limit), highest)
